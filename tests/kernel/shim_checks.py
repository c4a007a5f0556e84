"""What libc itself answers once the library is preloaded: checks run in a process of their own."""

# ruff: noqa: D401 - a check's docstring states the fact that it proves

import ctypes
import errno
import fcntl
import inspect
import json
import os
import socket
import struct
import sys
import traceback
from contextlib import closing
from pathlib import Path

from kevmond.kernel.base import KernelFilter
from kevmond.kernel.darwin import DarwinKernel
from kevmond.kernel.simulated.remote import RemoteKernel

LIBC = ctypes.CDLL(None, use_errno=True)


def opened():
    """Open a raw event socket that is closed at the end of the block."""
    return closing(socket.socket(32, socket.SOCK_RAW, 1))


def number(call, *arguments):
    """Errno that a Python call fails with; 0 if it does not."""
    try:
        call(*arguments)
    except OSError as error:
        return error.errno
    return 0


def libc(name, *arguments):
    """Errno that a libc function fails with; 0 if it does not."""
    ctypes.set_errno(0)
    return ctypes.get_errno() if getattr(LIBC, name)(*arguments) == -1 else 0


def sysctl(name, room, new=None):
    """Call sysctlbyname; errno, size told, and the buffer (None for a probe)."""
    size = ctypes.c_size_t(room or 0)
    old = None if room is None else ctypes.create_string_buffer(max(room, 1))
    ctypes.set_errno(0)
    new_size = ctypes.c_size_t(len(new) if new else 0)
    failed = LIBC.sysctlbyname(name.encode(), old, ctypes.byref(size), new, new_size)
    data = None if old is None else old.raw[: size.value]
    return ctypes.get_errno() if failed else 0, size.value, data


def check_socket_kinds(kernel):
    """Only raw sockets are events; unknown protocols are EPROTONOSUPPORT."""
    for protocol in (0, 1):
        assert number(lambda p=protocol: socket.socket(32, 3, p).close()) == 0
    for kind in (1, 2, 5):
        assert number(socket.socket, 32, kind, 1) == errno.EPROTOTYPE
    assert number(socket.socket, 32, 3, 99) == errno.EPROTONOSUPPORT


def check_descriptor_flags(kernel):
    """The descriptor is closed on exec and blocks, as Python makes sockets, until told not to."""
    with opened() as sock:
        assert not os.get_inheritable(sock.fileno())
        assert os.get_blocking(sock.fileno())
        sock.setblocking(False)
        assert not os.get_blocking(sock.fileno())
        assert number(sock.recv, 10) == errno.EAGAIN
    for flags, inheritable in ((0, True), (socket.SOCK_CLOEXEC, False)):
        fd = LIBC.socket(32, 3 | flags | socket.SOCK_NONBLOCK, 1)
        assert os.get_inheritable(fd) is inheritable
        assert not os.get_blocking(fd)
        os.close(fd)


def check_refused_calls(kernel):
    """Calls that mean nothing to an event socket answer as XNU does, and reading goes on."""
    with opened() as sock:
        fd = sock.fileno()
        address = ctypes.create_string_buffer(32)
        length = ctypes.c_uint(32)
        for name, arguments in {
            "bind": (address, 32),
            "connect": (address, 32),
            "listen": (5,),
            "accept": (None, None),
            "accept4": (None, None, 0),
            "getsockname": (address, ctypes.byref(length)),
            "send": (b"x", 1, 0),
            "sendto": (b"x", 1, 0, None, 0),
            "write": (b"x", 1),
        }.items():
            assert libc(name, fd, *arguments) == errno.EOPNOTSUPP, name
        assert libc("getpeername", fd, address, ctypes.byref(length)) == errno.ENOTCONN
        assert libc("shutdown", fd, 2) == errno.ENOTCONN
        fcntl.ioctl(fd, 0x800C6502, struct.pack("<3I", 0, 0, 0))
        kernel.post(1, 1, 2, 13)
        assert len(sock.recv(1024)) == 24


def check_ioctls(kernel):
    """Unknown ioctls are ENOTSUP and a NULL argument EFAULT; FIONREAD counts all bytes."""
    with opened() as sock:
        fd = sock.fileno()
        assert number(fcntl.ioctl, fd, 0xC0644E03, bytes(100)) == errno.ENOTSUP
        assert number(fcntl.ioctl, fd, 0x5413, bytes(8)) == errno.ENOTSUP
        for request in (0x40046501, 0x800C6502, 0x400C6503, 0xC0CC6504):
            assert number(fcntl.ioctl, fd, request, 0) == errno.EFAULT
        fcntl.ioctl(fd, 0x800C6502, struct.pack("<3I", 1, 77, 0))
        assert fcntl.ioctl(fd, 0x400C6503, bytes(12)) == struct.pack("<3I", 1, 77, 0)
        for size in (16, 0, 0):
            kernel.post(1, 77, 2, 13, bytes(size))
        assert fcntl.ioctl(fd, 0x541B, bytes(4)) == struct.pack("<i", 88)
        assert fcntl.ioctl(fd, 0x4004667F, bytes(4)) == struct.pack("<i", 88)
        assert sock.getsockopt(0xFFFF, 0x1020) == 40
        assert sock.getsockopt(0xFFFF, 0x1112) == 3


def check_vendor_ioctl(kernel):
    """SIOCGKEVVENDOR leaves the structure alone on ENOENT, and looks for 199 bytes at most."""
    code = kernel.vendor_code_find("y" * 199)
    with opened() as sock:
        request = bytearray(struct.pack("<I200s", 7, b"nobody"))
        assert number(fcntl.ioctl, sock.fileno(), 0xC0CC6504, request) == errno.ENOENT
        assert request == struct.pack("<I200s", 7, b"nobody")
        answer = fcntl.ioctl(sock.fileno(), 0xC0CC6504, struct.pack("<I200s", 0, b"y" * 200))
        assert struct.unpack_from("<I", answer) == (code,)


def check_options(kernel):
    """Options carry this system's numbers; what an event socket lacks is ENOPROTOOPT."""
    with opened() as sock:
        level = socket.SOL_SOCKET
        options = {
            socket.SO_RCVBUF: 32768,
            socket.SO_SNDBUF: 4096,
            socket.SO_RCVLOWAT: 1,
            socket.SO_TYPE: 3,
            socket.SO_ERROR: 0,
        }
        assert {name: sock.getsockopt(level, name) for name in options} == options
        assert sock.getsockopt(level, socket.SO_TYPE, 2) == struct.pack("<h", 3)
        for size, expected in ((7456541, errno.ENOBUFS), (0, errno.EINVAL), (-1, errno.EINVAL)):
            assert number(sock.setsockopt, level, socket.SO_RCVBUF, size) == expected
            assert sock.getsockopt(level, socket.SO_RCVBUF) == 32768
        sock.setsockopt(level, socket.SO_RCVBUF, 7456540)
        assert sock.getsockopt(level, socket.SO_RCVBUF) == 7456540
        assert number(sock.getsockopt, level, socket.SO_KEEPALIVE) == errno.ENOPROTOOPT
        assert number(sock.getsockopt, 6, 1) == errno.ENOPROTOOPT
        assert number(sock.setsockopt, 2, 1, 1) == errno.ENOPROTOOPT


def check_receive_timeout(kernel):
    """A blocking read with SO_RCVTIMEO ends with EAGAIN."""
    with opened() as sock:
        timeout = struct.pack("@ll", 0, 20_000)
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVTIMEO, timeout)
        assert number(sock.recv, 10) == errno.EAGAIN


def check_peek(kernel):
    """MSG_PEEK leaves the message where it is; read(2) reads one as well."""
    with opened() as sock:
        fcntl.ioctl(sock.fileno(), 0x800C6502, struct.pack("<3I", 0, 0, 0))
        kernel.post(1, 1, 2, 13)
        peeked = sock.recv(100, socket.MSG_PEEK)
        assert os.read(sock.fileno(), 100) == peeked


def check_stats_sysctl(kernel):
    """net.systm.kevt.stats is 56 bytes, and writing it is refused with EPERM."""
    assert sysctl("net.systm.kevt.stats", None)[:2] == (0, 56)
    failed, size, data = sysctl("net.systm.kevt.stats", 100)
    assert (failed, size) == (0, 56)
    assert struct.unpack("<7Q", data)[0] == kernel.statistics().pcbcount
    assert sysctl("net.systm.kevt.stats", 56, new=b"x" * 56)[0] == errno.EPERM
    assert sysctl("net.systm.kevt.nothing", None)[0] == errno.ENOENT


def check_pcblist_probe_is_short(kernel):
    """The size probe says 0 for no socket and 336 for one, whose list takes 400 bytes."""
    assert sysctl("net.systm.kevt.pcblist", None)[:2] == (0, 0)
    assert sysctl("net.systm.kevt.pcblist", 100)[:2] == (0, 32)
    with opened():
        assert sysctl("net.systm.kevt.pcblist", None)[:2] == (0, 336)
        failed, _, cut = sysctl("net.systm.kevt.pcblist", 336)
        assert failed == errno.ENOMEM
        failed, size, data = sysctl("net.systm.kevt.pcblist", 400)
        assert (failed, size) == (0, 400)
        assert cut == data[:336]
        assert struct.unpack_from("<3I", data, 32 + 16) == (0xFFFFFFFF, 0, 0)
        assert struct.unpack_from("<i", data, 64 + 68) == (os.getpid(),)
        assert struct.unpack_from("<i", data, 64 + 40) == (32,)


def check_twins_have_no_counter(kernel):
    """Two sockets of one process that are alike in filter and buffer cannot be told apart."""
    sockets = [DarwinKernel().open_event_socket(4096) for _ in range(2)]
    for sock in sockets:
        sock.set_filter(KernelFilter(1, 2, 3))
    assert [sock.dropped() for sock in sockets] == [None, None]
    sockets[0].set_filter(KernelFilter(1, 2, 4))
    assert [sock.dropped() for sock in sockets] == [0, 0]
    for sock in sockets:
        sock.close()


def check_other_sockets_are_untouched(kernel):
    """Sockets of other families go to libc."""
    left, right = socket.socketpair()
    with left, right:
        left.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 65536)
        assert left.getsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF) == 131072
        left.send(b"hello")
        assert fcntl.ioctl(right.fileno(), 0x541B, bytes(4)) == struct.pack("<i", 5)
        assert os.read(right.fileno(), 10) == b"hello"
        os.write(right.fileno(), b"back")
        assert left.recv(10) == b"back"
        left.shutdown(socket.SHUT_WR)
        assert right.recv(10) == b""
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        listener.listen()
        with socket.create_connection(listener.getsockname()) as client:
            accepted, address = listener.accept()
            assert address == client.getsockname()
            accepted.close()


def check_descriptor_number_is_free_again(kernel):
    """A closed socket's number, taken by a file, is the file's."""
    sock = socket.socket(32, 3, 1)
    number_was = sock.fileno()
    sock.close()
    with Path("/dev/null").open("wb", buffering=0) as file:
        os.dup2(file.fileno(), number_was)
        assert os.write(number_was, b"x") == 1
        os.close(number_was)


def check_absent_server(kernel):
    """With no server a socket fails with the errno of connecting to it."""
    path = os.environ["KEVSHIM_SERVER"]
    LIBC.setenv(b"KEVSHIM_SERVER", b"/nowhere/at/all", 1)
    try:
        assert number(socket.socket, 32, 3, 1) == errno.ENOENT
        assert sysctl("kern.osrelease", None)[0] == errno.ENOENT
        LIBC.unsetenv(b"KEVSHIM_SERVER")
        assert number(socket.socket, 32, 3, 1) == errno.EAFNOSUPPORT
        assert sysctl("kern.osrelease", None)[0] == errno.ENOSYS
    finally:
        LIBC.setenv(b"KEVSHIM_SERVER", path.encode(), 1)


CHECKS = {
    name.removeprefix("check_"): function
    for name, function in list(globals().items())
    if name.startswith("check_") and inspect.isfunction(function)
}

if __name__ == "__main__":
    remote = RemoteKernel(sys.argv[1])
    failed = {}
    for check_name, check in CHECKS.items():
        try:
            check(remote)
        except BaseException:  # noqa: BLE001 - whatever failed is told to the test that asked
            failed[check_name] = traceback.format_exc()
    json.dump(failed, sys.stdout)
