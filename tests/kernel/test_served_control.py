"""Control sockets of a served kernel: their queue, their clients' deaths, and their server's."""

import asyncio
import gc
import os
import runpy
import select
import signal
import socket
import subprocess
import sys
import threading
import warnings
from collections import deque
from contextlib import closing, contextmanager, suppress
from pathlib import Path

import pytest

from kevmond.errors import KernelError, KernelGone
from kevmond.kernel import control_abi
from kevmond.kernel.control_base import ControlAddress
from kevmond.kernel.simulated import wire
from kevmond.kernel.simulated.client import Connection
from kevmond.kernel.simulated.remote import RemoteKernel
from kevmond.kernel.simulated.served_queue import ServedQueue, Style
from kevmond.kernel.simulated.wire import Operation, Status, Transport

LAB = runpy.run_path(str(Path(__file__).parent / "control_lab.py"))
TIMEOUT = 20.0

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="messages need packet sockets")


@pytest.fixture
def lab(served):
    """Make a served kernel with the contract's controls."""
    with LAB["served_by"](served, RemoteKernel, LAB["remote_user"]) as made:
        yield made
        made.kernel.close()


def received(sock, size=65536):
    """Read a message, waiting for it."""
    return LAB["received"](sock, size)


def symbol(call, *arguments):
    """Errno name that a call fails with."""
    return LAB["symbol"](call, *arguments)


@contextmanager
def connection(path, *frames):
    """Open a bare connection to a server and send it frames."""
    with socket.socket(socket.AF_UNIX) as client:
        client.settimeout(TIMEOUT)
        client.connect(str(path))
        client.sendall(b"".join(frames))
        yield client


def replies(client, count):
    """Read `count` replies."""
    reader = wire.FrameReader()
    found = []
    while len(found) < count:
        data = client.recv(65536)
        assert data, f"only {found}"
        found += reader.feed(data)
    return found


class Queue:
    """A ServedQueue with a queue of its own, and what it releases."""

    def __init__(self, style):
        self.queue = deque()
        self.released = []
        self.ends = []
        self.served = ServedQueue(
            asyncio.get_running_loop(),
            style,
            lambda: self.ends.append("broken"),
            lambda: self.ends.append("gone"),
        )
        self.served.attach(self.queue, self.released.append)
        self.reader = self.served.theirs.dup()
        self.reader.setblocking(False)

    def put(self, *messages):
        for message in messages:
            self.queue.append(message)
            self.served.arrived()

    def close(self):
        self.served.close()
        self.reader.close()


async def test_unread_packets_are_taken_back_in_order():
    """What was not read comes back to the front of the queue, and is released when it is read."""
    with closing(Queue(Style.PACKETS)) as made:
        made.put(b"one", b"two", b"three")
        assert made.reader.recv(100) == b"one"
        made.served.settle()
        assert made.released == [3]
        made.served.take_back()
        assert list(made.queue) == [b"two", b"three"]
        made.queue[-1] += b"four"
        made.served.arrived()
        assert [made.reader.recv(100) for _ in range(2)] == [b"two", b"threefour"]
        assert made.served.unread() == []
        assert made.released == [3, 3, 9]


async def test_packet_read_meanwhile_does_not_come_back():
    """A record that the reader was faster to read is not taken back, nor released."""
    with closing(Queue(Style.PACKETS)) as made:
        made.put(b"only")
        assert made.reader.recv(100) == b"only"
        made.served.take_back()
        assert not made.queue
        made.served.settle()
        assert made.released == []


async def test_full_pair_is_taken_back_and_filled_again():
    """However much waits, in the pair and behind it, it comes back and goes out in order."""
    expected = [number.to_bytes(4, "little") * 1000 for number in range(1000)]
    with closing(Queue(Style.PACKETS)) as made:
        made.put(*expected)
        assert 0 < len(made.queue) < 1000
        made.served.take_back()
        assert list(made.queue) == expected
        made.served.arrived()
        found = []
        async with asyncio.timeout(TIMEOUT):
            while len(found) < 1000:
                try:
                    found.append(made.reader.recv(5000))
                except BlockingIOError:
                    await asyncio.sleep(0)
        assert found == expected
        made.served.settle()
        assert made.released == [4000] * 1000


async def test_part_of_a_stream_is_taken_back():
    """A stream's bytes are released as they are read, and come back without what was."""
    with closing(Queue(Style.STREAM)) as made:
        made.put(b"first", b"second")
        assert made.reader.recv(3) == b"fir"
        made.served.settle()
        assert made.released == [3]
        made.served.take_back()
        assert b"".join(made.queue) == b"stsecond"
        made.served.arrived()
        assert made.reader.recv(100) == b"stsecond"
        made.served.settle()
        assert made.released == [3, 8]


@pytest.mark.parametrize("style", [Style.PACKETS, Style.STREAM])
async def test_end_voids_what_was_passed_on(style):
    """At the end nothing unread is left to read, only the end itself; nothing is released."""
    with closing(Queue(style)) as made:
        made.put(b"unread", b"unread too")
        made.served.ended()
        assert made.reader.recv(100) == b""
        assert not made.queue
        made.served.settle()
        assert made.released == []


async def test_message_beyond_the_pair_ends_the_reading():
    """A message that this system cannot pass on is not lost silently."""
    with closing(Queue(Style.PACKETS)) as made:
        made.put(bytes(9_000_000))
        assert made.ends == ["broken"]
        made.served.gone()
        assert made.ends == ["broken", "gone"]


def test_large_replies_are_sent_as_they_are_taken(lab):
    """A reply of megabytes arrives whole, and the server serves others meanwhile."""
    with lab.connected() as sock, lab.connected() as other:
        value = os.urandom(1 << 20) * 8
        sock.set_option(1, value)
        assert sock.get_option(1, len(value)) == value
        other.send(b"x")
        assert received(other) == b"x"


def socket_frame(kind=2, protocol=2, transport=Transport.PACKET):
    """Make a request for a socket."""
    return wire.frame(Operation.SOCKET, wire.SOCKET.pack(kind, protocol, transport, 1, 0))


@pytest.mark.parametrize(
    ("kind", "protocol", "transport", "expected"),
    [
        (2, 2, Transport.PACKET, None),
        (1, 2, Transport.PACKET, None),
        (2, 0, Transport.PACKET, None),
        (1, 0, Transport.PACKET, None),
        (3, 0, Transport.PACKET, None),
        (2, 2, Transport.FRAMED, b"EPROTONOSUPPORT"),
        (1, 2, Transport.FRAMED, b"EPROTONOSUPPORT"),
        (3, 2, Transport.PACKET, b"EPROTOTYPE"),
        (2, 1, Transport.PACKET, b"EPROTOTYPE"),
        (5, 0, Transport.PACKET, b"EPROTONOSUPPORT"),
        (2, 99, Transport.PACKET, b"EPROTONOSUPPORT"),
    ],
)
def test_which_sockets_there_are(lab, kind, protocol, transport, expected):
    """Controls are datagrams and streams, and have no framed transport; no protocol is any."""
    with connection(lab.kernel.path, socket_frame(kind, protocol, transport)) as client:
        status, reply = replies(client, 1)[0]
        assert (status, reply) == ((1, expected) if expected else (0, b""))


def test_requests_behind_a_slow_one_wait_their_turn(lab):
    """Requests of one connection are answered in order, though the first takes its time."""
    address = control_abi.SOCKADDR_CTL.pack(
        32, 32, 2, lab.controls["org.example.slow"].control_id, 0
    )
    option = wire.SOCKOPT.pack(2, 1, 1) + b"x"
    count = wire.IOCTL.pack(0x40044E02) + bytes(4)
    with connection(
        lab.kernel.path,
        socket_frame(),
        wire.frame(Operation.CONNECT, address),
        wire.frame(Operation.SETSOCKOPT, option),
        wire.frame(Operation.IOCTL, count),
    ) as client:
        assert lab.slow.entered.wait(TIMEOUT)
        assert [status for status, _ in replies(client, 2)] == [Status.OK] * 2
        assert select.select([client], [], [], 0)[0] == []
        lab.run(lab.slow.released.set)
        controls = len(lab.model.kctl.controls).to_bytes(4, "little")
        assert replies(client, 2) == [(Status.OK, b""), (Status.OK, controls)]


@pytest.mark.parametrize(
    "frames",
    [
        [socket_frame(), wire.frame(Operation.SEND, b"\0")],
        [socket_frame(), wire.frame(Operation.GETSOCKOPT, b"\0\0\0\0")],
        [socket_frame(), wire.frame(Operation.SETSOCKOPT, b"")],
        [socket_frame(), wire.frame(Operation.SHUTDOWN, b"")],
        [socket_frame(), socket_frame()],
        [socket_frame(), wire.frame(Operation.HOST)],
        [socket_frame(), wire.frame(77)],
    ],
)
def test_nonsense_ends_only_its_own_connection(lab, frames):
    """A client that does not speak the protocol is cut off, and others are served on."""
    with connection(lab.kernel.path, *frames) as client:
        while client.recv(1024):
            pass
    with lab.connected() as sock:
        sock.send(b"x")
        assert received(sock) == b"x"


@pytest.mark.parametrize(
    ("kind", "protocol", "operation", "expected"),
    [
        (3, 1, Operation.CONNECT, b"EOPNOTSUPP"),
        (3, 1, Operation.SEND, b"EOPNOTSUPP"),
        (3, 1, Operation.GETPEER, b"ENOTCONN"),
        (3, 1, Operation.SHUTDOWN, b"ENOTCONN"),
        (2, 2, Operation.DROPPED, b"ENOTSUP"),
    ],
)
def test_calls_of_the_other_kind_of_socket(lab, kind, protocol, operation, expected):
    """An event socket refuses a control's calls as XNU does, and the other way round."""
    frames = [socket_frame(kind, protocol), wire.frame(operation)]
    with connection(lab.kernel.path, *frames) as client:
        assert replies(client, 2)[1] == (Status.FAILED, expected)


def test_too_many_requests_at_once_end_the_connection(lab):
    """Requests that pile up behind a slow one end the connection once they are too many."""
    address = control_abi.SOCKADDR_CTL.pack(
        32, 32, 2, lab.controls["org.example.slow"].control_id, 0
    )
    option = wire.frame(Operation.SETSOCKOPT, wire.SOCKOPT.pack(2, 1, 1) + b"x")
    frames = [socket_frame(), wire.frame(Operation.CONNECT, address), option]
    with connection(lab.kernel.path, *frames) as client:
        assert lab.slow.entered.wait(TIMEOUT)
        client.sendall(option * 100)
        with pytest.raises((AssertionError, ConnectionResetError)):
            replies(client, 4)
        assert lab.slow.disconnects.acquire(timeout=TIMEOUT)


OUT_OF_DESCRIPTORS = """
import os, resource, sys
from kevmond.errors import KernelError
from kevmond.kernel.simulated.model import SimulatedKernel
from kevmond.kernel.simulated.remote import RemoteKernel
kernel = RemoteKernel(sys.argv[1])
kernel.identity()
here = SimulatedKernel().open_control_socket()
resource.setrlimit(resource.RLIMIT_NOFILE, (64, 64))
taken = []
try:
    while True:
        taken.append(os.dup(0))
except OSError:
    pass
for _ in range(int(sys.argv[2])):
    os.close(taken.pop())
for call in (kernel.open_control_socket, lambda: kernel.open_event_socket(32768), here.fileno):
    try:
        call()
    except KernelError as error:
        print(error.symbol)
"""

CLIENT = """
import sys
from kevmond.kernel.control_base import ControlAddress
from kevmond.kernel.simulated.remote import RemoteKernel
sock = RemoteKernel(sys.argv[1]).open_control_socket()
sock.connect(ControlAddress(int(sys.argv[2])))
print("connected", flush=True)
sock.set_option(1, b"x")
"""


def test_client_killed_within_a_handler_is_disconnected_after_it(lab):
    """A client that dies while a handler runs is disconnected once that returns."""
    control = lab.controls["org.example.slow"]
    with subprocess.Popen(
        [sys.executable, "-c", CLIENT, lab.kernel.path, str(control.control_id)],
        stdout=subprocess.PIPE,
    ) as process:
        assert process.stdout.readline() == b"connected\n"
        assert lab.slow.entered.wait(TIMEOUT)
        process.send_signal(signal.SIGKILL)
        process.wait(TIMEOUT)
    assert not lab.slow.disconnects.acquire(blocking=False)
    assert len(lab.run(lambda: list(control.pcbs))) == 1
    lab.run(lab.slow.released.set)
    assert lab.slow.disconnects.acquire(timeout=TIMEOUT)


def test_server_that_stops_runs_the_disconnect_handlers(served):
    """When the server stops, a call that waits ends with KernelGone, and controls are told."""
    slow = None
    with LAB["served_by"](served, RemoteKernel, LAB["remote_user"]) as lab:
        slow = lab.slow
        sock = lab.kernel.open_control_socket()
        sock.connect(ControlAddress(lab.controls["org.example.slow"].control_id))
        outcome = []

        def call():
            try:
                sock.set_option(1, b"x")
            except KernelError as error:
                outcome.append(error)

        thread = threading.Thread(target=call)
        thread.start()
        assert lab.slow.entered.wait(TIMEOUT)
        lab.controls = {}
    thread.join(TIMEOUT)
    assert isinstance(outcome[0], KernelGone)
    assert slow.disconnects.acquire(timeout=TIMEOUT)
    with pytest.raises(KernelGone):
        sock.receive(10)
    with pytest.raises(KernelGone):
        sock.peer()
    sock.close()


def test_reboot_takes_sockets_away(lab):
    """After a reboot a control socket is gone; no handler of the old kernel is called."""
    with lab.connected() as sock:
        lab.kernel.reboot()
        assert select.select([sock], [], [], TIMEOUT)[0] == [sock]
        with pytest.raises(KernelGone):
            sock.receive(100)
        with pytest.raises(KernelGone):
            sock.send(b"x")
    assert [call[0] for call in lab.echo.calls] == ["connect"]
    assert lab.kernel.control_statistics().pcbcount == 0


def test_mistake_of_a_control_ends_its_client_only(lab):
    """What would panic a Mac, a get option longer than its room, cuts off the client here."""
    with lab.connected() as sock, pytest.raises(KernelGone):
        sock.get_option(3, 4, (100).to_bytes(4, "little"))
    with lab.connected() as sock:
        sock.send(b"x")
        assert received(sock) == b"x"


def test_late_reply_is_not_taken_for_anothers(lab):
    """A request that timed out ends the connection: what comes late answers nothing else."""
    late = Connection(lab.kernel.path, timeout=0.05)
    late.open_socket("socket", 2, 2, Transport.PACKET)
    address = control_abi.SOCKADDR_CTL.pack(
        32, 32, 2, lab.controls["org.example.slow"].control_id, 0
    )
    late.ask("connect", Operation.CONNECT, address)
    with pytest.raises(KernelGone) as failure:
        late.ask("setsockopt", Operation.SETSOCKOPT, wire.SOCKOPT.pack(2, 1, 1) + b"x")
    assert failure.value.symbol == "ETIMEDOUT"
    assert late.is_gone()
    lab.run(lab.slow.released.set)
    with pytest.raises(KernelGone):
        late.ask("getpeername", Operation.GETPEER)


def test_nobody_serves(tmp_path):
    """Without a server each call says so, and how to start one."""
    kernel = RemoteKernel(tmp_path / "kernel")
    for call in (kernel.open_control_socket, kernel.controls, kernel.control_statistics):
        with pytest.raises(KernelGone, match="kevmond simulate --listen") as failure:
            call()
        assert failure.value.symbol == "ECONNREFUSED"


def test_systems_without_packets_have_streams_only(lab, monkeypatch):
    """Where Unix sockets know no packets a datagram control socket is refused, and says why."""
    monkeypatch.setattr("kevmond.kernel.simulated.remote._HAS_PACKETS", False)
    with pytest.raises(KernelError, match="SOCK_SEQPACKET") as failure:
        lab.kernel.open_control_socket()
    assert failure.value.symbol == "EPROTONOSUPPORT"
    with lab.connected("org.example.stream") as sock:
        lab.enqueue(sock, b"x")
        assert received(sock) == b"x"


@pytest.mark.parametrize("uid", [-2, 0xFFFFFFFE])
def test_user_numbers_are_unsigned(lab, uid):
    """Nobody's -2 is 4294967294, and lists tell it to everybody."""
    with lab.as_user(uid), lab.connected():
        clients = [client for control in lab.kernel.controls() for client in control.clients]
        assert [client.uid for client in clients] == [0xFFFFFFFE]


def test_request_that_never_began_is_let_go(lab):
    """What follows a request at once may end the connection; nothing is left of that request."""
    address = control_abi.SOCKADDR_CTL.pack(
        32, 32, 2, lab.controls["org.example.echo"].control_id, 0
    )
    with warnings.catch_warnings(record=True) as told:
        warnings.simplefilter("always")
        with connection(lab.kernel.path, socket_frame()) as client:
            replies(client, 1)
            client.sendall(wire.frame(Operation.CONNECT, address) + b"\xff" * 8)
            with suppress(ConnectionResetError):
                assert client.recv(100) == b""
        for _ in range(3):  # turns of the server's loop
            lab.run(lambda: None)
        gc.collect()
    assert [str(one.message) for one in told] == []
    assert lab.echo.calls == []


def test_client_that_sends_on_and_on_is_not_read(lab):
    """While a request is under way the server takes in only so much of what follows it."""
    address = control_abi.SOCKADDR_CTL.pack(
        32, 32, 2, lab.controls["org.example.slow"].control_id, 0
    )
    head = wire.SOCKOPT.pack(2, 2, 1)
    slow = wire.frame(Operation.SETSOCKOPT, wire.SOCKOPT.pack(2, 1, 1) + b"x")
    more = memoryview(wire.frame(Operation.SETSOCKOPT, head + bytes(1 << 20)) * 40)
    frames = [socket_frame(), wire.frame(Operation.CONNECT, address), slow]
    with connection(lab.kernel.path, *frames) as client:
        assert lab.slow.entered.wait(TIMEOUT)
        client.setblocking(False)
        sent = turns = 0
        while sent < len(more) and turns < 50:
            try:
                sent += client.send(more[sent:])
                turns = 0
            except BlockingIOError:
                lab.run(lambda: None)
                turns += 1
        assert sent < 8 << 20
        lab.run(lab.slow.released.set)
        client.settimeout(TIMEOUT)
        client.sendall(more[sent:])
        assert replies(client, 43) == [(Status.OK, b"")] * 43


def test_descriptors_are_not_inherited(lab):
    """What a client receives is closed in the programs it starts, as whatever Python opens is."""
    with lab.connected() as sock, closing(lab.kernel.open_event_socket(32768)) as events:
        assert not os.get_inheritable(sock.fileno())
        assert not os.get_inheritable(events.fileno())


@pytest.mark.parametrize("spare", [0, 1])
def test_client_that_runs_out_of_descriptors(lab, spare):
    """Without a descriptor for the connection, or for what comes with a reply, it is EMFILE."""
    program = [sys.executable, "-c", OUT_OF_DESCRIPTORS, lab.kernel.path, str(spare)]
    result = subprocess.run(program, capture_output=True, text=True, check=False, timeout=TIMEOUT)
    assert result.stderr == ""
    assert result.stdout.split() == ["EMFILE"] * 3
