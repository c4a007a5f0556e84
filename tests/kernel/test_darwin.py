"""The Darwin kernel where there is none, and how it treats calls that fail."""

import ctypes
import errno
import socket
import sys
from contextlib import closing

import pytest

from kevmond.errors import KernelError, KernelGone
from kevmond.kernel import abi, darwin, kevt_sysctl, sysctl
from kevmond.kernel.darwin import DarwinEventSocket, DarwinKernel
from kevmond.kernel.syserror import errno_name

elsewhere = pytest.mark.skipif(sys.platform == "darwin", reason="this system is Darwin")


@elsewhere
def test_no_event_sockets_here():
    """Where there is no PF_SYSTEM the error names the errno and says what to use instead."""
    with pytest.raises(KernelError, match="kevmond simulate --listen") as failure:
        DarwinKernel().open_event_socket(32768)
    assert failure.value.symbol == "EAFNOSUPPORT"


@elsewhere
def test_no_sysctls_here():
    """Where libc has no sysctlbyname there are no statistics, and identity says why."""
    assert DarwinKernel().statistics() is None
    with pytest.raises(KernelError, match="no PF_SYSTEM sockets") as failure:
        DarwinKernel().identity()
    assert failure.value.symbol == "ENOSYS"


class FakeSocket:
    """A socket object whose calls fail with the errno given."""

    def __init__(self, number=0, received=0):
        self.number = number
        self.received = received
        self.closed = False

    def _do(self):
        if self.number:
            raise OSError(self.number, "no")

    def setblocking(self, flag):
        self.blocking = flag

    def setsockopt(self, level, name, value):
        self._do()

    def getsockopt(self, level, name):
        return 32768

    def recv_into(self, buffer):
        self._do()
        return self.received

    def fileno(self):
        return -1

    def close(self):
        self.closed = True


def test_refused_option_closes_the_socket(monkeypatch):
    """If the socket cannot be set up it is closed, and the error names call and errno."""
    fake = FakeSocket(errno.EINVAL)
    monkeypatch.setattr(socket, "socket", lambda *arguments: fake)
    with pytest.raises(KernelError, match="setsockopt SO_RCVBUF 65536: EINVAL"):
        DarwinKernel().open_event_socket(65536)
    assert fake.closed


def test_socket_is_opened_as_a_raw_event_socket(monkeypatch):
    """The socket is PF_SYSTEM 32, SOCK_RAW 3, SYSPROTO_EVENT 1, and does not block."""
    fake = FakeSocket()
    calls = []
    monkeypatch.setattr(socket, "socket", lambda *arguments: calls.append(arguments) or fake)
    DarwinKernel().open_event_socket(65536)
    assert calls == [(32, 3, 1)]
    assert fake.blocking is False


@pytest.mark.parametrize(
    ("number", "received", "kind"),
    [
        (errno.EAGAIN, 0, BlockingIOError),
        (errno.ENOBUFS, 0, KernelError),
        (errno.ECONNRESET, 0, KernelGone),
        (0, 0, KernelGone),
    ],
)
def test_failing_reads(number, received, kind):
    """EAGAIN passes as it is, an end is KernelGone, and all else is a KernelError."""
    fake = FakeSocket()
    with closing(DarwinEventSocket(fake, 32768)) as sock:
        fake.number, fake.received = number, received
        with pytest.raises(kind) as failure:
            sock.recv_into(memoryview(bytearray(10)))
        assert type(failure.value) is kind


@pytest.mark.parametrize("name", ["x" * 200, "a\0b"])
def test_impossible_vendor_names_are_unknown(name):
    """A name that cannot be in the kernel's table is ENOENT without asking."""
    with closing(DarwinEventSocket(FakeSocket(), 32768)) as sock:
        with pytest.raises(KernelError) as failure:
            sock.vendor_code(name)
        assert failure.value.symbol == "ENOENT"


class FakeSysctl:
    """sysctlbyname whose value grows a few times between probe and read."""

    def __init__(self, value, probe, growth=0):
        self.value = value
        self.probe = probe
        self.growth = growth
        self.rooms = []

    def __call__(self, name, old, size, new, new_size):
        pointer = ctypes.cast(size, ctypes.POINTER(ctypes.c_size_t))
        if old is None:
            pointer[0] = self.probe
            return 0
        self.rooms.append(pointer[0])
        if pointer[0] < len(self.value) or len(self.rooms) <= self.growth:
            ctypes.set_errno(errno.ENOMEM)
            return -1
        ctypes.memmove(old, self.value, len(self.value))
        pointer[0] = len(self.value)
        return 0


def test_short_probe_is_made_up_for(monkeypatch):
    """Headroom is added to what the kernel estimates, and the value is as long as it is."""
    fake = FakeSysctl(b"x" * 400, 336)
    monkeypatch.setattr(sysctl, "_function", lambda: fake)
    assert sysctl.read("a.list", headroom=100) == b"x" * 400
    assert fake.rooms == [436]


def test_growing_list_is_read_again(monkeypatch):
    """ENOMEM means that the list grew: the buffer is doubled, up to a bound."""
    fake = FakeSysctl(b"x" * 2000, 0)
    monkeypatch.setattr(sysctl, "_function", lambda: fake)
    assert sysctl.read("a.list", headroom=300) == b"x" * 2000
    assert fake.rooms == [300, 1024, 2048]
    endless = FakeSysctl(b"", 0, growth=100)
    monkeypatch.setattr(sysctl, "_function", lambda: endless)
    with pytest.raises(KernelError, match="ENOMEM"):
        sysctl.read("a.list")
    assert len(endless.rooms) == sysctl.ATTEMPTS


def test_changing_list_is_read_again(monkeypatch):
    """A list that changed while it was copied is read again, and given up after a few times."""
    lists = []
    monkeypatch.setattr(darwin.sysctl, "read", lambda name, headroom: lists.append(name) or b"")
    with closing(DarwinEventSocket(FakeSocket(), 32768)) as sock:
        monkeypatch.setattr(sock, "get_filter", lambda: None)
        assert sock.dropped() is None
    assert lists == ["net.systm.kevt.pcblist"] * 4


def test_headroom_covers_what_the_probe_leaves_out():
    """The headroom holds both xsystmgen records and a few sockets that appear meanwhile."""
    assert kevt_sysctl.HEADROOM >= 64 + 336


def test_every_errno_has_a_symbol():
    """A number without a name is told as it is; a failure without a number still has a name."""
    assert errno_name(errno.ENOBUFS) == "ENOBUFS"
    assert errno_name(9999) == "errno 9999"
    assert errno_name(None) == errno_name(0) == "EIO"


def test_ioctl_numbers_follow_from_their_parts():
    """Each ioctl number is direction, size of its structure, group 'e' and number."""
    out, into, group = 0x40000000, 0x80000000, ord("e") << 8
    parts = {
        abi.SIOCGKEVID: (out, 4, group | 1),
        abi.SIOCSKEVFILT: (into, abi.KEV_REQUEST.size, group | 2),
        abi.SIOCGKEVFILT: (out, abi.KEV_REQUEST.size, group | 3),
        abi.SIOCGKEVVENDOR: (out | into, abi.KEV_VENDOR_CODE.size, group | 4),
        abi.FIONREAD: (out, 4, ord("f") << 8 | 127),
    }
    for number, (direction, size, name) in parts.items():
        assert number == direction | size << 16 | name
    assert (abi.HEADER.size, abi.KEVTSTAT.size) == (24, 56)
