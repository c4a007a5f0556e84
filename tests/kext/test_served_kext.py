"""The kernel's half of a kext's host: what it answers, and what it survives."""

import asyncio
import socket
import struct

import pytest

from kevmond.errors import KernelError, KernelGone
from kevmond.kernel import control_abi
from kevmond.kernel.control_base import ControlAddress
from kevmond.kernel.simulated import served_kext, wire
from kevmond.kernel.simulated.kctl_pcb import ControlPcb
from kevmond.kernel.simulated.model import SimulatedKernel
from kevmond.kernel.simulated.remote import RemoteKernel
from kevmond.kernel.simulated.served import KernelServer
from kevmond.kernel.simulated.served_kext import KextHost, Kind

NAME = b"org.mklinux.test.frames"
EBUSY, EINVAL, EEXIST, ECONNREFUSED = 16, 22, 17, 61


class Reader:
    """Reads nothing."""

    def arrived(self): ...
    def settle(self): ...
    def take_back(self): ...
    def ended(self): ...
    def gone(self): ...


class Kext:
    """A host in this process, frame by frame."""

    def __init__(self, kernel):
        self.kernel = kernel
        self.sent = []
        self.calls = asyncio.Queue()
        self.dropped = False
        self.host = KextHost(kernel, send=self._sent, drop=self._drop)

    def _sent(self, frame):
        size, kind = wire.HEADER.unpack_from(frame)
        body = frame[wire.HEADER.size :]
        assert len(body) == size
        if kind == Kind.REPLY:
            self.sent.append((kind, body))
        else:
            self.calls.put_nowait((Kind(kind), struct.unpack_from("<I", body)[0], body[4:]))

    def _drop(self):
        self.dropped = True
        self.host.closed()

    def ask(self, kind, body):
        """Ask as a kext does; the error and what comes with it."""
        self.host.received(kind, struct.pack("<I", 77) + body)
        answer, reply = self.sent.pop()
        tag, error = struct.unpack_from("<Ii", reply)
        assert (answer, tag) == (Kind.REPLY, 77)
        return error, reply[8:]

    def register(self, name=NAME, bits=31, flags=0):
        body = struct.pack("<6I96s", flags, 0, 0, 0, 0, bits, name)
        error, reply = self.ask(Kind.REGISTER, body)
        return error or struct.unpack("<4I", reply)

    async def called(self):
        """Wait until the kernel calls; the kind, the tag and what comes with it."""
        return await asyncio.wait_for(self.calls.get(), 20)

    def give_back(self, tag, error=0, unitinfo=0, body=b""):
        self.host.received(Kind.RETURN, struct.pack("<IiQ", tag, error, unitinfo) + body)


@pytest.fixture
def kext():
    """Host a kext in this process, on a kernel of its own."""
    return Kext(SimulatedKernel())


def address(control_id, unit=0):
    """Make a sockaddr_ctl."""
    return control_abi.SOCKADDR_CTL.pack(32, 32, 2, control_id, unit)


def pcb_of(kext):
    """Open a control socket as the kernel sees it."""
    return ControlPcb(kext.kernel, Reader(), stream=False, pid=4711, uid=501)


async def connected(kext, control_id, unitinfo=0xABCD):
    """Connect a client whose connect handler says yes."""
    pcb = pcb_of(kext)
    connecting = asyncio.ensure_future(pcb.connect(address(control_id)))
    _, tag, _ = await kext.called()
    kext.give_back(tag, 0, unitinfo)
    await connecting
    return pcb


def test_registration_answers_with_defaults(kext):
    """REGISTER tells the ref, the id and the sizes that 0 stood for; names are unique."""
    ref, control_id, send_size, receive_size = kext.register()
    assert ref > 0xFFFF
    assert control_id == kext.kernel.kctl.lookup(NAME.ljust(96, b"\0"))
    assert (send_size, receive_size) == (2048, 8192)
    assert kext.register() == EEXIST
    assert kext.register(b"") == EINVAL
    assert kext.register(b"other", bits=30) == EINVAL


async def test_calls_carry_the_client(kext):
    """Each call tells ref, unit, pid, uid and, after connect, the unitinfo that connect gave."""
    ref, control_id, *_ = kext.register()
    pcb = pcb_of(kext)
    connecting = asyncio.ensure_future(pcb.connect(address(control_id)))
    kind, tag, body = await kext.called()
    assert kind is Kind.CALL_CONNECT
    assert body == struct.pack("<4I", ref, 1, 4711, 501) + address(control_id, 1)
    kext.give_back(tag, 0, 0xDEADBEEF12)
    await connecting

    who = struct.pack("<4IQ", ref, 1, 4711, 501, 0xDEADBEEF12)
    sending = asyncio.ensure_future(pcb.send(b"data", 0x80))
    kind, tag, body = await kext.called()
    assert (kind, body) == (Kind.CALL_SEND, who + struct.pack("<I", 0x80) + b"data")
    kext.give_back(tag)
    assert await sending == 4

    setting = asyncio.ensure_future(pcb.setsockopt(2, -1, None))
    kind, tag, body = await kext.called()
    assert (kind, body) == (Kind.CALL_SETOPT, who + struct.pack("<iI", -1, 0))
    kext.give_back(tag)
    await setting

    getting = asyncio.ensure_future(pcb.getsockopt(2, 7, b"ab", 4))
    kind, tag, body = await kext.called()
    assert (kind, body) == (Kind.CALL_GETOPT, who + struct.pack("<iII", 7, 1, 4) + b"ab\0\0")
    kext.give_back(tag, 0, 0, struct.pack("<2I", 3, 1) + b"xyz")
    assert await getting == (b"xyz", 3)

    closing = asyncio.ensure_future(pcb.close())
    kind, tag, body = await kext.called()
    assert (kind, body) == (Kind.CALL_DISCONNECT, who)
    kext.give_back(tag, EBUSY)
    await closing


async def test_refused_connect_keeps_its_unitinfo(kext):
    """A connect handler that fails has its unitinfo handed to disconnect all the same."""
    _, control_id, *_ = kext.register()
    connecting = asyncio.ensure_future(pcb_of(kext).connect(address(control_id)))
    _, tag, _ = await kext.called()
    kext.give_back(tag, ECONNREFUSED, 0x1234)
    kind, tag, body = await kext.called()
    assert kind is Kind.CALL_DISCONNECT
    assert body.endswith(struct.pack("<Q", 0x1234))
    kext.give_back(tag)
    with pytest.raises(KernelError, match="ECONNREFUSED"):
        await connecting


async def test_calls_overlap(kext):
    """Calls for several clients are open at once and may return in any order."""
    _, control_id, *_ = kext.register()
    pcbs = [await connected(kext, control_id) for _ in range(3)]
    sends = [asyncio.ensure_future(pcb.send(b"x")) for pcb in pcbs]
    tags = [(await kext.called())[1] for _ in sends]
    for tag, send in reversed(list(zip(tags, sends, strict=True))):
        assert not send.done()
        kext.give_back(tag)
        assert await send == 1


async def test_a_kext_asks_while_it_is_called(kext):
    """A handler may enqueue before it returns; units, room and refs are checked."""
    ref, control_id, *_ = kext.register()
    pcb = await connected(kext, control_id)
    sending = asyncio.ensure_future(pcb.send(b"x"))
    _, tag, _ = await kext.called()
    assert kext.ask(Kind.ENQUEUE, struct.pack("<3I", ref, 1, 2) + b"answer") == (0, b"")
    assert kext.ask(Kind.ENQUEUE, struct.pack("<3I", ref, 2, 2) + b"answer") == (EINVAL, b"")
    assert kext.ask(Kind.ENQUEUE, struct.pack("<3I", ref + 1, 1, 2) + b"answer") == (EINVAL, b"")
    assert kext.ask(Kind.SPACE, struct.pack("<2I", ref, 1)) == (0, struct.pack("<Q", 8186))
    assert kext.ask(Kind.DEREGISTER, struct.pack("<I", ref)) == (EBUSY, b"")
    kext.give_back(tag)
    await sending
    assert list(pcb.received.queue) == [b"answer"]


def test_events(kext):
    """A kext's vendor code is its own, its events need one, and an id comes back."""
    error, code = kext.ask(Kind.VENDOR_FIND, b"org.mklinux.test")
    assert (error, code) == (0, struct.pack("<I", 1001))
    assert kext.ask(Kind.VENDOR_FIND, b"\xff\xfe") == (EINVAL, b"")
    before = kext.kernel.last_id
    posted = kext.ask(Kind.POST, struct.pack("<4I", 1001, 1, 2, 3) + b"data")
    assert posted == (0, struct.pack("<I", before + 1))
    assert kext.ask(Kind.POST, struct.pack("<4I", 1, 1, 2, 3)) == (EINVAL, b"")


async def test_a_host_that_goes_away(kext):
    """Its controls go, calls that run fail with EIO, and sockets that were connected are dead."""
    _, control_id, *_ = kext.register()
    pcb = await connected(kext, control_id)
    sending = asyncio.ensure_future(pcb.send(b"x"))
    await kext.called()
    kext.host.closed()
    with pytest.raises(KernelError, match="EIO"):
        await sending
    with pytest.raises(KernelError, match="EPIPE"):
        await pcb.send(b"x")
    with pytest.raises(KernelError, match="ENOENT"):
        kext.kernel.kctl.lookup(NAME.ljust(96, b"\0"))
    await pcb.close()


async def test_a_caller_cannot_leave_a_handler(kext):
    """A cancelled connect waits for the handler, and only then disconnects."""
    _, control_id, *_ = kext.register()
    pcb = pcb_of(kext)
    connecting = asyncio.ensure_future(pcb.connect(address(control_id)))
    _, tag, _ = await kext.called()
    connecting.cancel()
    await asyncio.sleep(0)
    await asyncio.sleep(0)
    assert not connecting.done()
    assert kext.calls.empty()
    kext.give_back(tag, 0, 0x77)
    kind, tag, body = await kext.called()
    assert kind is Kind.CALL_DISCONNECT
    assert body.endswith(struct.pack("<Q", 0x77))
    kext.give_back(tag)
    with pytest.raises(asyncio.CancelledError):
        await connecting


def test_a_rebooted_kernel_drops_its_kexts(kext):
    """A kernel that goes away takes its kexts along; the new one has no control of theirs."""
    kext.register()
    kext.kernel.reboot()
    assert kext.dropped
    assert NAME.decode() not in [control.name for control in kext.kernel.controls()]


@pytest.mark.parametrize(
    ("kind", "body"),
    [
        (0x99, b"\0\0\0\0"),
        (Kind.REGISTER, b""),
        (Kind.REGISTER, bytes(4) + bytes(119)),
        (Kind.REGISTER, bytes(4) + bytes(121)),
        (Kind.DEREGISTER, b"\0"),
        (Kind.DEREGISTER, bytes(4)),
        (Kind.ENQUEUE, bytes(12)),
        (Kind.SPACE, bytes(8)),
        (Kind.POST, bytes(12)),
        (Kind.RETURN, bytes(15)),
        (Kind.RETURN, bytes(16)),
        (Kind.CALL_SEND, bytes(64)),
    ],
)
def test_frames_that_are_none(kext, kind, body):
    """A frame that is not of the protocol drops the host, and does nothing else."""
    kext.host.received(kind, body)
    assert kext.dropped
    assert kext.sent == []


async def test_half_an_answer(kext):
    """A getopt that returns nonsense fails with EIO, whatever the client asked."""
    _, control_id, *_ = kext.register()
    pcb = await connected(kext, control_id)
    for body in (b"", struct.pack("<2I", 5, 1) + b"12345"):
        getting = asyncio.ensure_future(pcb.getsockopt(2, 1, b"\0", 4))
        _, tag, _ = await kext.called()
        kext.give_back(tag, 0, 0, body)
        with pytest.raises(KernelError, match="EIO"):
            await getting


def test_garbage_on_the_connection(served):
    """A host that sends garbage is hung up on; other clients of the server notice nothing."""
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as connection:
        connection.settimeout(20)
        connection.connect(str(served.path))
        connection.sendall(wire.frame(wire.Operation.HOST))
        assert connection.recv(8) == wire.frame(wire.Status.OK)
        registration = struct.pack("<7I96s", 5, 0, 0, 0, 0, 0, 1, NAME)
        connection.sendall(wire.frame(Kind.REGISTER, registration))
        assert connection.recv(65536)
        assert NAME.decode() in [control.name for control in served.remote.controls()]
        connection.sendall(b"\xff" * 64)
        assert connection.recv(1) == b""
    assert NAME.decode() not in [control.name for control in served.remote.controls()]


async def test_a_server_in_a_hurry_leaves_no_handler_waiting(tmp_path):
    """Stopped twice, a server ends at once, though a kext's handler never returns."""
    server = KernelServer(SimulatedKernel(), tmp_path / "kernel")
    await server.start()
    reader, writer = await asyncio.open_unix_connection(server.path)
    writer.write(wire.frame(wire.Operation.HOST))
    writer.write(wire.frame(Kind.REGISTER, struct.pack("<7I96s", 5, 0, 0, 0, 0, 0, 31, NAME)))
    registered = await frame_of(reader, Kind.REPLY)
    client = RemoteKernel(server.path).open_control_socket
    sock = await asyncio.to_thread(client)
    control_id = struct.unpack_from("<I", registered, 12)[0]
    connecting = asyncio.ensure_future(asyncio.to_thread(sock.connect, ControlAddress(control_id)))
    await frame_of(reader, Kind.CALL_CONNECT)
    before = asyncio.all_tasks()
    stopping = asyncio.ensure_future(server.aclose())
    with pytest.raises(KernelGone):
        await connecting
    assert not stopping.done()
    stopping.cancel()
    with pytest.raises(asyncio.CancelledError):
        await stopping
    assert not server.path.exists()
    assert await asyncio.wait_for(reader.read(), 20) == b""
    under_way = (before | asyncio.all_tasks()) - {asyncio.current_task()}
    await asyncio.wait_for(asyncio.wait(under_way), 20)
    writer.close()
    await asyncio.to_thread(sock.close)


async def frame_of(reader, kind):
    """Read frames until one of a kind; its body."""
    while True:
        size, found = wire.HEADER.unpack(await reader.readexactly(wire.HEADER.size))
        body = await reader.readexactly(size)
        if found == kind:
            return body


def test_a_socket_is_no_host(served):
    """A connection that is a socket cannot become a host: it is hung up on."""
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as connection:
        connection.settimeout(20)
        connection.connect(str(served.path))
        asked = wire.SOCKET.pack(control_abi.SOCK_DGRAM, 2, wire.Transport.PACKET, 1, 0)
        connection.sendall(wire.frame(wire.Operation.SOCKET, asked))
        reply, descriptors, _, _ = socket.recv_fds(connection, 64, 1)
        assert reply == wire.frame(wire.Status.OK)
        socket.close(descriptors[0])
        connection.sendall(wire.frame(wire.Operation.HOST))
        assert connection.recv(1) == b""


def test_a_hosted_control_is_not_for_this_process(kext):
    """The kernel's own process cannot wait for a host: the host is asked nothing."""
    _, control_id, *_ = kext.register()
    sock = kext.kernel.open_control_socket()
    with pytest.raises(RuntimeError, match="serve its kernel"):
        sock.connect(ControlAddress(control_id))
    sock.close()
    assert kext.calls.empty()


def test_every_handler_has_a_bit():
    """The bits of REGISTER are one for each function that a third party may give."""
    assert sorted(served_kext.HANDLER_BITS.values()) == [1, 2, 4, 8, 16]
