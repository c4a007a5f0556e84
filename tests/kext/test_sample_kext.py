"""The sample kext's own source, run in its host: each handler, and all of them under sanitizers."""

import os
import select
import struct
import threading

import pytest

from kevmond.control import sample
from kevmond.control.sample import Message, MessageType, Option
from kevmond.errors import KernelError

PATIENCE = 60
OPTIONS = "-DFOO_UNPRIVILEGED"
SANITIZED = ["asan", "tsan"]


class Client:
    """A client of the sample, one request at a time."""

    def __init__(self, socket):
        self.socket = socket
        self.sequence = 0
        self.last = 0
        self.dropped = 0
        self.unasked = []

    def next(self):
        """Read a message; sequence numbers go up by one, and by what was dropped."""
        readable, _, _ = select.select([self.socket], [], [], PATIENCE)
        assert readable, "no message came"
        message = Message.unpack(self.socket.receive(65536))
        assert message.sequence == self.last + 1 + message.dropped - self.dropped
        self.last, self.dropped = message.sequence, message.dropped
        return message

    def send(self, kind, payload=b""):
        self.sequence += 1
        self.socket.send(Message(kind, self.sequence, payload).pack())

    def ask(self, kind, payload=b""):
        """Send a message and return what answers it; others are kept."""
        self.send(kind, payload)
        while True:
            message = self.next()
            if message.reply_to == self.sequence:
                return message
            assert message.reply_to == 0
            self.unasked.append(message)

    def result(self, kind, payload=b""):
        """Send a message and return the result that answers it."""
        answer = self.ask(kind, payload)
        assert answer.type == MessageType.RESULT
        return sample.Result.unpack(answer.payload)

    def statistics(self):
        layout = sample.Statistics.LAYOUT.size
        return sample.Statistics.unpack(self.socket.get_option(Option.STATISTICS, layout))


@pytest.fixture
def connect(served):
    """Connect a client and read its hello."""

    def connect(**who):
        client = Client(served.client(sample.CONTROL_NAME, **who))
        hello = client.next()
        assert (hello.type, hello.reply_to) == (MessageType.HELLO, 0)
        client.hello = sample.Hello.unpack(hello.payload)
        return client

    return connect


def refused(call, *arguments):
    """Return the errno's name with which a call fails."""
    with pytest.raises(KernelError) as caught:
        call(*arguments)
    return caught.value.symbol


def clean(host):
    """End a host that nothing was wrong with."""
    lines, code = host.quit()
    assert (lines, code) == (["unloaded"], 0), host.errors()


@pytest.mark.parametrize("variant", ["plain", *SANITIZED])
def test_all_handlers(start, connect, served, variant):
    """Connect, send, both commands, every option and disconnect work, and leave nothing behind."""
    host = start("sample", OPTIONS, variant=variant, KEXT_HOST_PIECE="7")
    client = connect()
    assert (client.hello.unit, client.hello.clients, client.hello.max_clients) == (1, 1, 16)
    assert client.ask(MessageType.ECHO, b"twenty-two bytes of it").payload == (
        b"twenty-two bytes of it"
    )
    assert sample.Hello.unpack(client.ask(MessageType.HELLO).payload).unit == 1
    assert client.result(MessageType.SUBSCRIBE, sample.subscribe(7)) == sample.Result(0, 7)

    client.socket.set_option(Option.COMMAND_1, None)
    client.socket.set_option(Option.COMMAND_2, struct.pack("<I", 42))
    notices = [sample.Notice.unpack(client.next().payload) for _ in range(2)]
    assert [(one.notice, one.value, one.argument) for one in notices] == [(3, 1, 0), (3, 2, 42)]
    assert {one.pid for one in notices} == {os.getpid()}
    for option in (Option.COMMAND_1, Option.COMMAND_2):
        assert client.socket.get_option(option, 4) == struct.pack("<I", 1)

    version = sample.Version.unpack(client.socket.get_option(Option.VERSION, 16))
    assert (version.protocol, version.max_message, version.header_size) == (1, 16384, 32)
    client.socket.set_option(Option.DEBUG, struct.pack("<I", 2))
    assert client.socket.get_option(Option.DEBUG, 4) == struct.pack("<I", 2)
    assert client.statistics().commands == 2
    client.socket.close()
    assert connect().statistics().disconnects == 1
    served.close_clients()
    assert host.stats()["mbufs"] == 0
    clean(host)


@pytest.mark.parametrize("variant", ["plain", "asan"])
@pytest.mark.parametrize("piece", ["", "1", "31", "33"])
def test_echo_of_every_kind_of_size(start, connect, variant, piece):
    """Echoes come back whole, from empty to the largest, however the packet is cut."""
    start("sample", OPTIONS, variant=variant, **({"KEXT_HOST_PIECE": piece} if piece else {}))
    client = connect()
    for size in (0, 1, 31, 32, 224, 2048, 4063, 4064, 4065, 8192, sample.PAYLOAD_MAX):
        payload = bytes(i & 0xFF for i in range(size))
        assert client.ask(MessageType.ECHO, payload).payload == payload


@pytest.mark.parametrize("variant", ["plain", "asan"])
def test_messages_that_are_none(start, connect, variant):
    """What is not a message is refused with the errno that says why, and its packet freed."""
    host = start("sample", OPTIONS, variant=variant)
    client = connect()
    client.socket.set_send_space(65536)
    good = Message(MessageType.ECHO, 1, b"x").pack()
    cases = [
        (b"", "EINVAL"),
        (good[:31], "EINVAL"),
        (b"XXXX" + good[4:], "EINVAL"),
        (good[:4] + b"\2\0" + good[6:], "ENOTSUP"),
        (good[:6] + b"\x63\0" + good[8:], "ENOTSUP"),
        (good + b"more", "EINVAL"),
        (good[:-1], "EINVAL"),
        (good[:32] + bytes(16384), "EMSGSIZE"),
        (Message(MessageType.SUBSCRIBE, 1, b"abc").pack(), "EINVAL"),
        (Message(MessageType.EMIT_EVENT, 1, b"short").pack(), "EINVAL"),
        (Message(MessageType.GOODBYE, 1, b"x").pack(), "EINVAL"),
    ]
    assert [(data, refused(client.socket.send, data)) for data, _ in cases] == cases
    assert client.statistics().errors == len(cases)
    assert client.ask(MessageType.ECHO, b"still there").payload == b"still there"
    assert host.stats()["mbufs"] == 0


@pytest.mark.parametrize("variant", ["plain", "asan"])
def test_options_that_are_none(start, connect, variant):
    """Options of another size, another direction or no meaning are refused by name."""
    start("sample", OPTIONS, variant=variant)
    client = connect(uid=501).socket
    assert refused(client.set_option, Option.COMMAND_1, b"abc") == "EINVAL"
    assert refused(client.set_option, Option.VERSION, b"abcd") == "ENOPROTOOPT"
    assert refused(client.set_option, 99, None) == "ENOPROTOOPT"
    assert refused(client.set_option, Option.DEBUG, struct.pack("<I", 1)) == "EPERM"
    assert refused(client.get_option, Option.VERSION, 15) == "EMSGSIZE"
    assert refused(client.get_option, 99, 4) == "ENOPROTOOPT"
    sizes = [client.option_size(option) for option in Option]
    assert sizes == [4, 4, 16, sample.Statistics.LAYOUT.size, 4]


def test_emitted_events(start, connect, served):
    """A client's event and the kext's own reach event sockets with the kext's vendor code."""
    host = start("sample", OPTIONS)
    vendor = served.remote.vendor_code_find(sample.VENDOR)
    events = served.events(vendor)
    client = connect()
    assert client.hello.vendor_code == vendor
    payload = sample.emit_event(7, 8, 9, bytes(200))
    assert client.result(MessageType.EMIT_EVENT, payload) == sample.Result(0, vendor)
    too_much = sample.EMIT_EVENT.pack(7, 8, 9) + bytes(201)
    assert client.result(MessageType.EMIT_EVENT, too_much).symbol == "EMSGSIZE"
    client.socket.close()
    host.say("unload")
    buffer = bytearray(1024)
    got = []
    for _ in range(4):
        size = events.recv_into(buffer)
        _, _, kev_class, subclass, _, code = struct.unpack_from("<6I", buffer)
        got.append((kev_class, subclass, code, size - 24))
    assert got == [(1, 1, 3, 12), (7, 8, 9, 200), (1, 1, 4, 8), (1, 1, 2, 0)]


def test_no_room(start, connect):
    """With a full queue send() is ENOBUFS and nothing is lost; notices are lost, and counted."""
    host = start("sample", OPTIONS)
    client, watcher = connect(), connect()
    watcher.result(MessageType.SUBSCRIBE, sample.subscribe(sample.Subscription.COMMANDS))
    watcher.socket.set_receive_space(4096)
    watcher.send(MessageType.ECHO, bytes(3000))
    assert refused(watcher.send, MessageType.ECHO, bytes(3000)) == "ENOBUFS"
    # Of 4096 bytes 3032 are taken, and a notice takes 52.
    for _ in range(30):
        client.socket.set_option(Option.COMMAND_1, None)
    room = (4096 - 3032) // 52
    messages = [watcher.next() for _ in range(1 + room)]
    assert watcher.socket.next_size() == 0
    client.socket.set_option(Option.COMMAND_2, None)
    assert watcher.next().dropped == 30 - room
    assert client.statistics().dropped == 30 - room
    assert [message.type for message in messages[1:]] == [MessageType.NOTICE] * room
    assert host.stats()["mbufs"] == 0


def test_no_cluster(start, connect):
    """ENOMEM for a long answer is ENOBUFS to the client, who sends again."""
    start("sample", OPTIONS, KEXT_HOST_ENOMEM="1")
    client = connect()
    assert refused(client.send, MessageType.ECHO, bytes(8000)) == "ENOBUFS"
    client.sequence -= 1
    assert client.ask(MessageType.ECHO, bytes(8000)).payload == bytes(8000)


def test_privileged(start, connect):
    """As it is built by default, only root may connect."""
    start("sample")
    assert refused(lambda: connect(uid=501)) == "EPERM"
    connect(uid=0)


def test_static_id(start, served):
    """Built with a static id and unit, it takes one client at a time, at that address alone."""
    start("sample", "-DFOO_UNPRIVILEGED", "-DFOO_STATIC_ID=0x4d4b", "-DFOO_STATIC_UNIT=7")
    client = Client(served.client(sample.CONTROL_NAME, 7))
    assert client.socket.peer().control_id == 0x4D4B
    assert sample.Hello.unpack(client.next().payload).unit == 7
    assert refused(served.client, sample.CONTROL_NAME, 7) == "EBUSY"
    assert refused(served.client, sample.CONTROL_NAME, 8) == "ENOENT"


@pytest.mark.parametrize("variant", ["plain", *SANITIZED])
def test_a_client_that_is_faster(start, connect, served, variant):
    """A client that connects before ctl_register has returned is served like any other."""
    events = served.events(1)
    host = start("sample", OPTIONS, variant=variant, says=None, KEXT_HOST_LATE_REF="1")
    readable, _, _ = select.select([events], [], [], PATIENCE)
    assert readable, "no control was registered"
    client = connect()
    assert client.ask(MessageType.ECHO, b"early").payload == b"early"
    assert host.line() == "loaded"
    client.socket.close()
    clean(host)


@pytest.mark.parametrize("variant", ["plain", *SANITIZED])
def test_goodbye(start, connect, variant):
    """Unloading asks each client to go and is refused until it has; then a reload starts anew."""
    host = start("sample", OPTIONS, variant=variant)
    clients = [connect(), connect()]
    assert host.say("unload") == "unload refused: KERN_FAILURE"
    for client in clients:
        goodbye = client.next()
        assert goodbye.type == MessageType.GOODBYE
        assert sample.Goodbye.unpack(goodbye.payload).word == "unloading"
        assert client.ask(MessageType.ECHO, b"refused, so all goes on").payload
        client.socket.close()
    assert host.say("unload") == "unloaded"
    assert host.say("load") == "loaded"
    assert connect().statistics().connects == 1
    assert host.stats()["locks"] == 1


def test_seventeen_clients(start, connect, served):
    """Sixteen clients fit; the next is refused, its disconnect does no harm, and a gap is used."""
    host = start("sample", OPTIONS)
    clients = [connect() for _ in range(16)]
    assert refused(served.client, sample.CONTROL_NAME) in {"ENOSPC", "errno 28"}
    assert clients[0].statistics().refused == 1
    assert clients[0].statistics().clients == 16
    clients[5].socket.close()
    assert connect().hello.unit == 6
    assert host.stats()["mbufs"] == 0


@pytest.mark.parametrize("variant", SANITIZED)
def test_four_clients_at_once(start, connect, served, variant):
    """Four clients do everything at once, coming and going, without a race or a leak."""
    host = start("sample", OPTIONS, variant=variant, KEXT_HOST_PIECE="100")
    failures = []

    def work(number):
        for round_ in range(4):
            client = connect()
            client.result(MessageType.SUBSCRIBE, sample.subscribe(7))
            for i in range(15):
                payload = bytes([number, round_, i]) * (1 + 37 * i)
                assert client.ask(MessageType.ECHO, payload).payload == payload
                client.socket.set_option(1 + i % 2, struct.pack("<I", i))
                event = sample.emit_event(1 + number, 1, i, payload[:200])
                assert client.result(MessageType.EMIT_EVENT, event).error == 0
                assert client.socket.get_option(Option.COMMAND_1, 4)
                assert client.statistics().clients >= 1
            client.socket.close()

    def attempt(number):
        try:
            work(number)
        except BaseException as error:  # noqa: BLE001 - told below, whatever it is
            failures.append(error)

    threads = [threading.Thread(target=attempt, args=(number,)) for number in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert failures == [], host.errors()
    last = connect()
    assert last.statistics().connects == 17
    assert last.statistics().commands == 4 * 4 * 15
    last.socket.close()
    assert host.stats()["mbufs"] == 0
    clean(host)
    assert "ERROR" not in host.errors()
    assert "WARNING" not in host.errors()


def test_many_echoes_in_order(start, connect):
    """Two thousand echoes of 512 bytes come back, each once and in order."""
    host = start("sample", OPTIONS)
    client = connect()
    for number in range(2000):
        payload = struct.pack("<I", number) * 128
        assert client.ask(MessageType.ECHO, payload).payload == payload
    assert host.stats()["mbufs_made"] == 2000
