"""The Darwin kernel's control sockets: the calls they make, and how those that fail are told."""

import ctypes
import errno
import os
import socket
import struct
import sys
from contextlib import closing

import pytest

from kevmond.errors import KernelError, KernelGone
from kevmond.kernel import control_abi, libc
from kevmond.kernel.control_base import ControlAddress
from kevmond.kernel.darwin import DarwinKernel
from kevmond.kernel.darwin_control import DarwinControlSocket

elsewhere = pytest.mark.skipif(sys.platform == "darwin", reason="this system is Darwin")
linux = pytest.mark.skipif(sys.platform != "linux", reason="lays out Linux's addresses")


@elsewhere
@pytest.mark.parametrize("stream", [False, True])
def test_no_control_sockets_here(stream):
    """Where there is no PF_SYSTEM the error names the errno and says what to use instead."""
    with pytest.raises(KernelError, match="kevmond simulate --listen") as failure:
        DarwinKernel().open_control_socket(stream=stream)
    assert failure.value.symbol == "EAFNOSUPPORT"
    assert ("SOCK_STREAM" if stream else "SOCK_DGRAM") in failure.value.call


@elsewhere
def test_no_lists_here():
    """Where libc has no sysctlbyname there are no counters, and the list says why."""
    assert DarwinKernel().control_statistics() is None
    with pytest.raises(KernelError, match="no PF_SYSTEM sockets"):
        DarwinKernel().controls()


class FakeSocket:
    """A socket object with a number, whose reads fail as told."""

    def __init__(self, number=0):
        self.number = number
        self.blocking = True

    def setblocking(self, flag):
        self.blocking = flag

    def recv(self, size):
        raise OSError(self.number, "no")

    def fileno(self):
        return 77

    def close(self):
        pass


@pytest.mark.parametrize(("stream", "kind"), [(False, 2), (True, 1)])
def test_socket_is_opened_as_a_control_socket(monkeypatch, stream, kind):
    """The socket is PF_SYSTEM 32, SOCK_DGRAM 2 or SOCK_STREAM 1, SYSPROTO_CONTROL 2."""
    fake = FakeSocket()
    calls = []
    monkeypatch.setattr(socket, "socket", lambda *arguments: calls.append(arguments) or fake)
    sock = DarwinKernel().open_control_socket(stream=stream)
    assert calls == [(32, kind, 2)]
    assert fake.blocking is False
    assert sock.stream is stream


class FakeLibc:
    """Stands in for libc's functions: notes what they are given, and answers as told."""

    def __init__(self, result=0, number=0, fill=b"", length=None):
        self.result = result
        self.number = number
        self.fill = fill
        self.length = length
        self.calls = []

    def __call__(self, name, *_, **__):
        return lambda *arguments: self.answer(name, arguments)

    def answer(self, name, arguments):
        shown = []
        for argument in arguments:
            if isinstance(argument, ctypes.Array):
                shown.append(argument.raw)
            elif hasattr(argument, "_obj"):
                shown.append(argument._obj.value)
            else:
                shown.append(argument)
        self.calls.append((name, *shown))
        if self.fill:
            ctypes.memmove(arguments[3], self.fill, len(self.fill))
        if self.length is not None:
            arguments[-1]._obj.value = self.length
        ctypes.set_errno(self.number)
        return self.result


@pytest.fixture
def fake(monkeypatch):
    """Put a FakeLibc in the place of libc."""

    def install(**how):
        made = FakeLibc(**how)
        monkeypatch.setattr(libc, "_function", made)
        return made

    return install


def test_addresses_are_packed_as_on_a_mac(fake):
    """Connect and bind are given a sockaddr_ctl of 32 bytes."""
    calls = fake().calls
    with closing(DarwinControlSocket(FakeSocket(), stream=False)) as sock:
        sock.connect(ControlAddress(11, 3))
        sock.bind(ControlAddress(0x4D4B))
    assert calls == [
        ("connect", 77, bytes.fromhex("2020 0200 0b000000 03000000") + bytes(20), 32),
        ("bind", 77, bytes.fromhex("2020 0200 4b4d0000 00000000") + bytes(20), 32),
    ]


def test_peer_is_read_from_its_address(fake, monkeypatch):
    """Getpeername's sockaddr_ctl tells id and unit."""
    address = control_abi.SOCKADDR_CTL.pack(32, 32, 2, 11, 3)
    monkeypatch.setattr(libc, "getpeername", lambda descriptor: address)
    with closing(DarwinControlSocket(FakeSocket(), stream=False)) as sock:
        assert sock.peer() == ControlAddress(11, 3)


def test_options_are_set_at_the_control_s_level(fake):
    """Options go to level 2; no value is a NULL pointer and length 0."""
    calls = fake().calls
    with closing(DarwinControlSocket(FakeSocket(), stream=False)) as sock:
        sock.set_option(1, None)
        sock.set_option(-1, b"abc")
        sock.set_send_space(65536)
        sock.set_receive_space(65537)
    assert calls == [
        ("setsockopt", 77, 2, 1, None, 0),
        ("setsockopt", 77, 2, -1, b"abc", 3),
        ("setsockopt", 77, 0xFFFF, 0x1001, struct.pack("<i", 65536), 4),
        ("setsockopt", 77, 0xFFFF, 0x1002, struct.pack("<i", 65537), 4),
    ]


def test_options_are_read_into_a_buffer_that_says_something(fake):
    """The buffer begins as the request and zeros; what is told of it comes back."""
    calls = fake(fill=b"answer", length=6).calls
    with closing(DarwinControlSocket(FakeSocket(), stream=False)) as sock:
        assert sock.get_option(5, 2000, b"ask") == b"answer"
    assert calls == [("getsockopt", 77, 2, 5, b"ask" + bytes(1997), 2000)]


def test_length_of_an_option_is_asked_without_buffer(fake):
    """Its length is asked with a NULL pointer and length 0."""
    calls = fake(length=10).calls
    with closing(DarwinControlSocket(FakeSocket(), stream=False)) as sock:
        assert sock.option_size(5) == 10
    assert calls == [("getsockopt", 77, 2, 5, None, 0)]


def test_sizes_are_socket_options(fake):
    """Buffers and the next message's size are options of SOL_SOCKET 0xffff."""
    calls = fake(fill=struct.pack("<i", 8192)).calls
    with closing(DarwinControlSocket(FakeSocket(), stream=False)) as sock:
        assert (sock.send_space, sock.receive_space, sock.next_size()) == (8192, 8192, 8192)
    assert [call[2:4] for call in calls] == [(0xFFFF, 0x1001), (0xFFFF, 0x1002), (0xFFFF, 0x1020)]


@pytest.mark.parametrize(
    ("number", "symbol"),
    [
        (errno.EPERM, "EPERM"),
        (errno.EINTR, "EINTR"),
        (errno.EAGAIN, "EAGAIN"),
        (9999, "errno 9999"),
    ],
)
def test_errors_have_names(fake, number, symbol):
    """Whatever a handler returns is a KernelError with that name, or number; none is repeated."""
    calls = fake(result=-1, number=number).calls
    with closing(DarwinControlSocket(FakeSocket(), stream=False)) as sock:
        for name, call in {
            "connect": lambda: sock.connect(ControlAddress(1)),
            "send": lambda: sock.send(b"x"),
            "setsockopt": lambda: sock.set_option(1, b"x"),
            "getsockopt": lambda: sock.get_option(1, 4),
        }.items():
            before = len(calls)
            with pytest.raises(KernelError, match=f"{name}: {symbol}") as failure:
                call()
            assert (failure.value.symbol, len(calls)) == (symbol, before + 1)


@pytest.mark.parametrize(
    ("number", "kind"),
    [
        (errno.EAGAIN, BlockingIOError),
        (errno.ENOTCONN, KernelError),
        (errno.ECONNRESET, KernelGone),
    ],
)
def test_failing_reads(number, kind):
    """EAGAIN passes as it is, a simulated kernel's end is KernelGone, all else a KernelError."""
    with closing(DarwinControlSocket(FakeSocket(number), stream=False)) as sock:
        with pytest.raises(kind) as failure:
            sock.receive(10)
        assert type(failure.value) is kind


def test_impossible_sizes_are_refused_without_a_call(fake):
    """What the kernel would refuse is neither allocated nor copied."""
    calls = fake().calls
    with closing(DarwinControlSocket(FakeSocket(), stream=False)) as sock:
        for call in (
            lambda: sock.get_option(1, (64 << 20) + 1),
            lambda: sock.set_option(1, bytes((64 << 20) + 1)),
            lambda: sock.set_send_space(1 << 31),
            lambda: sock.connect(ControlAddress(1 << 32)),
        ):
            with pytest.raises(KernelError) as failure:
                call()
            assert failure.value.symbol == "EINVAL"
    assert calls == []


def unix_address(path):
    """Lay out a sockaddr_un of this system."""
    return struct.pack("=H", socket.AF_UNIX) + os.fsencode(path) + b"\0"


@linux
def test_real_calls(tmp_path):
    """The calls reach libc with the right types: a Unix socket is bound, connected and sent to."""
    path = tmp_path / "here"
    with socket.socket(socket.AF_UNIX) as listener, socket.socket(socket.AF_UNIX) as client:
        libc.bind(listener.fileno(), unix_address(path))
        listener.listen()
        libc.connect(client.fileno(), unix_address(path))
        assert libc.getpeername(client.fileno()) == unix_address(path)
        accepted, _ = listener.accept()
        with accepted:
            assert libc.send(client.fileno(), b"a\0b") == 3
            assert accepted.recv(10) == b"a\0b"
        option = (socket.SOL_SOCKET, socket.SO_KEEPALIVE)
        assert libc.getsockopt(client.fileno(), *option, b"", 4) == (bytes(4), 4)
        libc.setsockopt(client.fileno(), *option, struct.pack("=i", 1))
        assert libc.getsockopt(client.fileno(), *option, b"", 8) == (struct.pack("=i", 1), 4)
        with pytest.raises(KernelError) as failure:
            libc.setsockopt(client.fileno(), *option, None)
        assert failure.value.symbol == "EINVAL"


@pytest.mark.parametrize(
    "call",
    [
        lambda: libc.connect(-1, bytes(32)),
        lambda: libc.bind(-1, bytes(32)),
        lambda: libc.getpeername(-1),
        lambda: libc.send(-1, b"x"),
        lambda: libc.getsockopt(-1, 2, 1, b"", 4),
        lambda: libc.setsockopt(-1, 2, 1, b"x"),
    ],
)
def test_closed_descriptor(call):
    """A call on no descriptor is EBADF."""
    with pytest.raises(KernelError) as failure:
        call()
    assert failure.value.symbol == "EBADF"


def test_ioctl_numbers_follow_from_their_parts():
    """Each ioctl number is direction, size of its structure, group 'N' and number."""
    out, into, group = 0x40000000, 0x80000000, ord("N") << 8
    assert out | 4 << 16 | group | 2 == control_abi.CTLIOCGCOUNT
    assert out | into | control_abi.CTL_INFO.size << 16 | group | 3 == control_abi.CTLIOCGINFO
    assert (control_abi.CTL_INFO.size, control_abi.SOCKADDR_CTL.size) == (100, 32)
    assert (control_abi.XKCTL_REG.size, control_abi.XKCTLPCB.size) == (200, 128)
    assert control_abi.KCTLSTAT.size == 112
