"""What libc itself answers on control sockets once the library is preloaded.

Checks run in a process of their own, which serves the simulated kernel from a thread and prints
what failed as JSON.  What a `ControlSocket` can say is in control_contract.py; this is the rest:
calls as a C program makes them.
"""

# ruff: noqa: D401 - a check's docstring states the fact that it proves

import ctypes
import errno
import fcntl
import json
import os
import runpy
import select
import socket
import struct
import sys
import tempfile
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing, contextmanager
from pathlib import Path

from kevmond.kernel.control_abi import EnqueueFlag
from kevmond.kernel.darwin_control import DarwinControlSocket

HERE = Path(__file__).parent
LAB = runpy.run_path(str(HERE / "control_lab.py"))
LIBC = ctypes.CDLL(None, use_errno=True)
EOR = EnqueueFlag.EOR
LEVEL = 2


def libc(name, *arguments):
    """Errno that a libc function fails with; 0 if it does not."""
    ctypes.set_errno(0)
    return ctypes.get_errno() if getattr(LIBC, name)(*arguments) == -1 else 0


def number(call, *arguments):
    """Errno that a Python call fails with; 0 if it does not."""
    try:
        call(*arguments)
    except OSError as error:
        return error.errno
    return 0


def get(sock, level, name):
    """Read an integer option."""
    room, length = ctypes.c_int(-1), ctypes.c_uint(4)
    failed = libc(
        "getsockopt", sock.fileno(), level, name, ctypes.byref(room), ctypes.byref(length)
    )
    if failed:
        raise OSError(failed, "getsockopt")
    return room.value


def sockaddr(control_id, unit=0, family=32, system=2):
    """Lay out a sockaddr_ctl."""
    return struct.pack("<BBHII20x", 32, family, system, control_id, unit)


@contextmanager
def connected(lab, name="org.example.echo", kind=socket.SOCK_DGRAM):
    """Open a socket connected to a control by libc's own calls."""
    with closing(socket.socket(32, kind, 2)) as sock:
        assert libc("connect", sock.fileno(), sockaddr(lab.controls[name].control_id), 32) == 0
        yield sock


def last(lab, name):
    """The control's newest call of a name."""
    return [call for call in lab.echo.calls if call[0] == name][-1]


def check_connect_addresses(lab):
    """An address that is not of 32 bytes is EINVAL; its family is not looked at."""
    control_id = lab.controls["org.example.echo"].control_id
    with closing(socket.socket(32, 2, 2)) as sock:
        fd = sock.fileno()
        for size in (0, 16, 31, 33, 128):
            assert libc("connect", fd, sockaddr(control_id).ljust(256, b"\0"), size) == errno.EINVAL
        assert libc("connect", fd, bytes(300), 300) == errno.ENAMETOOLONG
        assert libc("connect", fd, None, 32) == errno.EFAULT
        assert libc("bind", fd, bytes(16), 16) == errno.EINVAL
        assert libc("connect", fd, sockaddr(control_id, family=5, system=77), 32) == 0
        assert last(lab, "connect")[4] == sockaddr(control_id, 1, family=5, system=77)
        assert libc("connect", fd, sockaddr(control_id), 32) == errno.EISCONN


def check_names(lab):
    """The peer's address is cut to its room, its whole length told; getsockname is refused."""
    with connected(lab) as sock:
        fd = sock.fileno()
        room = ctypes.create_string_buffer(64)
        for size in (64, 8):
            length = ctypes.c_uint(size)
            ctypes.memset(room, 0xAA, 64)
            assert libc("getpeername", fd, room, ctypes.byref(length)) == 0
            control_id = lab.controls["org.example.echo"].control_id
            kept = min(size, 32)
            assert length.value == 32
            assert room.raw == sockaddr(control_id, 1)[:kept] + b"\xaa" * (64 - kept)
        assert libc("getsockname", fd, room, ctypes.byref(length)) == errno.EOPNOTSUPP
        assert libc("listen", fd, 5) == errno.EOPNOTSUPP
        assert libc("accept", fd, None, None) == errno.EOPNOTSUPP


def check_close_during_connect(lab):
    """A socket that is closed while it connects stays closed: its number is free for others."""
    lab.slow.connects_slowly = True
    address = sockaddr(lab.controls["org.example.slow"].control_id)
    fd = socket.socket(32, 2, 2).detach()
    with ThreadPoolExecutor(2) as threads:
        connecting = threads.submit(libc, "connect", fd, address, 32)
        assert lab.slow.entered.wait(LAB["TIMEOUT"])
        closing = threads.submit(libc, "close", fd)
        room, length = ctypes.create_string_buffer(64), ctypes.c_uint(64)
        deadline = time.monotonic() + LAB["TIMEOUT"]
        while libc("getsockname", fd, room, ctypes.byref(length)) == errno.EOPNOTSUPP:
            assert time.monotonic() < deadline
        lab.run(lab.slow.released.set)
        assert connecting.result() == closing.result() == 0
    with tempfile.TemporaryFile() as file:
        os.dup2(file.fileno(), fd)
        assert os.write(fd, b"x") == 1
        os.close(fd)


def check_ways_to_send(lab):
    """Send, sendto, sendmsg and write all reach the control, which sees Darwin's flags."""
    control_id = lab.controls["org.example.echo"].control_id
    with connected(lab) as sock:
        fd = sock.fileno()
        assert sock.send(b"hello", socket.MSG_DONTWAIT | socket.MSG_NOSIGNAL) == 5
        assert last(lab, "send") == ("send", b"hello", 0x80 | 0x80000)
        assert sock.send(b"") == 0
        assert last(lab, "send") == ("send", b"", 0)
        assert libc("sendto", fd, b"addressed", 9, 0, sockaddr(control_id, 9), 32) == 0
        assert last(lab, "send") == ("send", b"addressed", 0)
        assert sock.sendmsg([b"in ", b"", b"parts"]) == 8
        assert last(lab, "send") == ("send", b"in parts", 0)
        assert os.write(fd, b"written") == 7
        assert last(lab, "send") == ("send", b"written", 0)
        assert number(sock.send, b"x", socket.MSG_OOB) == errno.EOPNOTSUPP
        assert number(sock.send, bytes(2049)) == errno.EMSGSIZE
        assert number(os.write, fd, b"fail EIO") == errno.EIO
        assert number(os.write, fd, b"fail EDEADLK") == errno.EDEADLK
        for told, expected in ((9999, 9999), (11, 1011), (133, 1133), (134, 134), (-1, -1)):
            data = f"fail errno {told}".encode()
            assert libc("send", fd, data, len(data), 0) == expected


def check_ways_to_receive(lab):
    """Recv, recvfrom, recvmsg and read give one message each; peeking leaves it."""
    with connected(lab) as sock:
        fd = sock.fileno()
        for data in (b"one", b"two", b"three", b"four"):
            lab.enqueue(DarwinControlSocket(sock, stream=False), data, EOR)
        room = ctypes.create_string_buffer(64)
        assert sock.recv(64, socket.MSG_PEEK) == b"one"
        assert sock.recv(64) == b"one"
        assert LIBC.recvfrom(fd, room, 64, 0, None, None) == 3
        assert room.value == b"two"
        assert os.read(fd, 2) == b"th"
        assert LIBC.read(fd, room, 64) == 4
        assert number(sock.recv, 64) == errno.EAGAIN


def check_unconnected(lab):
    """Before connect every call of data is ENOTCONN, blocking or not, and options are EINVAL."""
    with closing(socket.socket(32, 2, 2)) as sock:
        fd = sock.fileno()
        room = ctypes.create_string_buffer(64)
        length = ctypes.c_uint(64)
        calls = {
            "send": (b"x", 1, 0),
            "sendto": (b"x", 1, 0, sockaddr(1), 32),
            "write": (b"x", 1),
            "recv": (room, 64, 0),
            "recvfrom": (room, 64, 0, None, None),
            "recvmsg": (bytes(56), 0),
            "read": (room, 64),
            "getpeername": (room, ctypes.byref(length)),
            "shutdown": (2,),
        }
        for name, arguments in calls.items():
            assert libc(name, fd, *arguments) == errno.ENOTCONN, name
        assert libc("setsockopt", fd, LEVEL, 1, b"abcd", 4) == errno.EINVAL
        assert libc("getsockopt", fd, LEVEL, 1, room, ctypes.byref(length)) == errno.EINVAL
        assert get(sock, socket.SOL_SOCKET, socket.SO_TYPE) == 2
        assert get(sock, socket.SOL_SOCKET, socket.SO_RCVBUF) == 0
        assert select.select([sock], [], [], 0)[0] == []


def check_setsockopt(lab):
    """Length 0 is no value, pointer or not; NULL with a length is EFAULT and no call at all."""
    with connected(lab) as sock:
        fd = sock.fileno()
        for pointer in (None, b"ignored"):
            assert libc("setsockopt", fd, LEVEL, 3, pointer, 0) == 0
            assert last(lab, "setopt") == ("setopt", 3, None)
        before = len(lab.echo.calls)
        assert libc("setsockopt", fd, LEVEL, 4, None, 8) == errno.EFAULT
        assert len(lab.echo.calls) == before
        for level in (0, 6):
            assert libc("setsockopt", fd, level, 1, b"abcd", 4) == errno.EINVAL
        assert libc("setsockopt", fd, 0xFFFF, 0x7777, b"abcd", 4) == errno.ENOPROTOOPT


def check_getsockopt(lab):
    """What the buffer holds is shown to the control; without room there is a length alone."""
    with connected(lab) as sock:
        fd = sock.fileno()
        room = ctypes.create_string_buffer(b"asked", 64)
        length = ctypes.c_uint(16)
        assert libc("getsockopt", fd, LEVEL, 2, room, ctypes.byref(length)) == 0
        assert last(lab, "getopt") == ("getopt", 2, b"asked" + bytes(11), 16)
        assert (length.value, room.raw[:16]) == (16, b"asked" + bytes(11))
        for pointer, size in ((None, 0), (None, 8), (room, 0)):
            length.value = size
            assert libc("getsockopt", fd, LEVEL, 3, pointer, ctypes.byref(length)) == 0
            assert length.value == 10
        assert last(lab, "getopt")[2:] == (None, 0)
        assert room.raw[:5] == b"asked"
        assert libc("getsockopt", fd, LEVEL, 3, room, None) == errno.EFAULT
        for level in (0, 6):
            length.value = 4
            assert libc("getsockopt", fd, level, 1, room, ctypes.byref(length)) == errno.EINVAL


def check_socket_options(lab):
    """Buffers are options with this system's numbers, and Darwin's own are understood as well."""
    with connected(lab) as sock:
        level = socket.SOL_SOCKET
        assert get(sock, level, socket.SO_RCVBUF) == 8192
        assert get(sock, level, socket.SO_SNDBUF) == 2048
        size = struct.pack("@i", 70000)
        assert libc("setsockopt", sock.fileno(), level, socket.SO_SNDBUF, size, 4) == 0
        assert get(sock, 0xFFFF, 0x1001) == 70000
        assert get(sock, level, socket.SO_ERROR) == 0
        assert get(sock, 0xFFFF, 0x1112) == 0
    with connected(lab, "org.example.stream", socket.SOCK_STREAM) as sock:
        assert get(sock, level, socket.SO_TYPE) == 1
        assert number(get, sock, 0xFFFF, 0x1112) == errno.ENOPROTOOPT


def check_ioctls(lab):
    """A failed lookup leaves its structure alone; an event socket's ioctls are ENOTSUP."""
    with closing(socket.socket(32, 2, 2)) as sock:
        fd = sock.fileno()
        request = bytearray(struct.pack("<I96s", 0xDEAD, b"no.such.control"))
        assert number(fcntl.ioctl, fd, 0xC0644E03, request) == errno.ENOENT
        assert request == struct.pack("<I96s", 0xDEAD, b"no.such.control")
        assert number(fcntl.ioctl, fd, 0xC0644E03, bytes(4) + b"x" * 96) == errno.EINVAL
        assert number(fcntl.ioctl, fd, 0xC0644E03, 0) == errno.EFAULT
        for other in (0x40046501, 0x5413):
            assert number(fcntl.ioctl, fd, other, bytes(8)) == errno.ENOTSUP
    with connected(lab) as sock:
        for data in (b"first", b"second!"):
            lab.enqueue(DarwinControlSocket(sock, stream=False), data, EOR)
        assert fcntl.ioctl(sock.fileno(), 0x541B, bytes(4)) == struct.pack("<i", 12)
        assert fcntl.ioctl(sock.fileno(), 0x4004667F, bytes(4)) == struct.pack("<i", 12)


def check_blocking_read(lab):
    """A blocking read waits for a message, until SO_RCVTIMEO if there is one."""
    with connected(lab) as sock:
        sock.send(b"hello")
        assert sock.recv(100) == b"hello"
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVTIMEO, struct.pack("@ll", 0, 20_000))
        assert number(sock.recv, 10) == errno.EAGAIN


def check_event_sockets_refuse_as_before(lab):
    """An event socket still refuses to be connected and sent to."""
    with closing(socket.socket(32, 3, 1)) as sock:
        fd = sock.fileno()
        room = ctypes.create_string_buffer(64)
        length = ctypes.c_uint(64)
        for name, arguments in {
            "bind": (sockaddr(1), 32),
            "connect": (sockaddr(1), 32),
            "send": (b"x", 1, 0),
            "sendto": (b"x", 1, 0, None, 0),
            "write": (b"x", 1),
        }.items():
            assert libc(name, fd, *arguments) == errno.EOPNOTSUPP, name
        assert number(sock.sendmsg, [b"x"]) == errno.EOPNOTSUPP
        assert libc("getpeername", fd, room, ctypes.byref(length)) == errno.ENOTCONN
        assert libc("shutdown", fd, 2) == errno.ENOTCONN


def check_child_that_closes(lab):
    """A child that closes what it inherited does not close its parent's socket."""
    with connected(lab) as sock:
        child = os.fork()
        if child == 0:
            os.close(sock.fileno())
            os._exit(0)
        assert os.waitpid(child, 0)[1] == 0
        sock.send(b"still here")
        assert sock.recv(100) == b"still here"


def check_user(lab):
    """KEVSHIM_UID tells who the simulated kernel takes the program for."""
    private = sockaddr(lab.controls["org.example.private"].control_id)
    with lab.as_user(501), closing(socket.socket(32, 2, 2)) as sock:
        assert libc("connect", sock.fileno(), private, 32) == errno.EPERM
    with closing(socket.socket(32, 2, 2)) as sock:
        assert libc("connect", sock.fileno(), private, 32) == 0


CHECKS = {
    name.removeprefix("check_"): function
    for name, function in list(globals().items())
    if name.startswith("check_")
}

if __name__ == "__main__":
    serving = runpy.run_path(str(HERE / "conftest.py"))["serving"]
    json.dump(
        LAB["failures"](
            CHECKS,
            lambda: LAB["served_by"](serving, LAB["open_darwin"], LAB["shim_user"]),
        ),
        sys.stdout,
    )
