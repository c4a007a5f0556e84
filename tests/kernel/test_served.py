"""The server of a simulated kernel: its file, its clients' deaths, and its own."""

import asyncio
import errno
import os
import signal
import socket
import stat
import struct
import subprocess
import sys
import threading
from contextlib import closing

import pytest

from kevmond.errors import KernelError, KernelGone
from kevmond.kernel.base import KernelFilter
from kevmond.kernel.simulated import wire
from kevmond.kernel.simulated.model import SimulatedKernel
from kevmond.kernel.simulated.remote import RemoteKernel
from kevmond.kernel.simulated.served import KernelServer
from kevmond.kernel.simulated.served_requests import KERNEL_REQUESTS

BUFFER = memoryview(bytearray(1024))
TIMEOUT = 20


@pytest.fixture
def path(tmp_path):
    """Where to serve."""
    return tmp_path / "kernel"


def read(sock):
    """Read the next message, waiting for it; b"" at the end."""
    stream = socket.socket(fileno=os.dup(sock.fileno()))
    with stream:
        stream.settimeout(TIMEOUT)
        return stream.recv(1024)


async def test_file_is_private_and_goes_with_the_server(path):
    """The socket file has mode 0600 while it is served, and is removed at the end."""
    async with KernelServer(SimulatedKernel(), path):
        status = path.lstat()
        assert stat.S_ISSOCK(status.st_mode)
        assert stat.S_IMODE(status.st_mode) == 0o600
    assert not path.exists()


async def test_stale_file_is_replaced(path):
    """A socket file that nobody answers at is replaced."""
    with socket.socket(socket.AF_UNIX) as dead:
        dead.bind(str(path))
    async with KernelServer(SimulatedKernel(), path):
        kernel = RemoteKernel(path)
        assert (await asyncio.to_thread(kernel.identity)).host
        await asyncio.to_thread(kernel.close)


async def test_live_server_is_not_replaced(path):
    """Where another server answers, starting fails and says what to do; the other goes on."""
    async with KernelServer(SimulatedKernel(), path):
        second = KernelServer(SimulatedKernel(), path)
        with pytest.raises(KernelError, match="stop it or choose another path") as refusal:
            await second.start()
        assert refusal.value.symbol == "EADDRINUSE"
        await second.aclose()
        assert path.exists()


async def test_other_files_are_left_alone(path):
    """Something that is no socket is not touched."""
    path.write_text("mine")
    with pytest.raises(KernelError, match="no socket"):
        await KernelServer(SimulatedKernel(), path).start()
    assert path.read_text() == "mine"


@pytest.mark.parametrize("name", ["x" * 200, "missing/kernel"])
async def test_impossible_path_is_told(tmp_path, name):
    """A path too long for a socket, or in no folder, is named in the error."""
    with pytest.raises(KernelError, match=name):
        await KernelServer(SimulatedKernel(), tmp_path / name).start()


async def test_file_of_a_successor_is_left(path):
    """A server whose file was replaced by another's does not remove that one."""
    async with KernelServer(SimulatedKernel(), path):
        path.unlink()
        successor = KernelServer(SimulatedKernel(), path)
        await successor.start()
    assert path.exists()
    await successor.aclose()


def test_nobody_serves(path):
    """Without a server each call says so, and how to start one."""
    kernel = RemoteKernel(path)
    for call in (kernel.identity, lambda: kernel.open_event_socket(32768)):
        with pytest.raises(KernelGone, match="kevmond simulate --listen") as failure:
            call()
        assert failure.value.symbol == "ECONNREFUSED"


def test_in_process_and_served_readers_see_the_same_ids(path):
    """Posts of the server's own process and of clients are one sequence, to all readers."""
    local = SimulatedKernel()

    async def main():
        async with KernelServer(local, path):
            remote = RemoteKernel(path)
            there = await asyncio.to_thread(remote.open_event_socket, 32768)
            with closing(local.open_event_socket(32768)) as here:
                here.set_filter(KernelFilter())
                await asyncio.to_thread(there.set_filter, KernelFilter())
                assert local.post(1, 1, 2, 13) == 1
                assert await asyncio.to_thread(remote.post, 1, 1, 2, 12) == 2
                for code in (13, 12):
                    size = here.recv_into(BUFFER)
                    message = bytes(BUFFER[:size])
                    assert await asyncio.to_thread(read, there) == message
                    assert struct.unpack_from("<I", message, 20) == (code,)
            await asyncio.to_thread(there.close)
            await asyncio.to_thread(remote.close)
            assert local.statistics().pcbcount == 0

    asyncio.run(main())


def test_slow_reader_holds_up_nobody(served):
    """A reader that never reads neither delays posts nor keeps messages from others."""
    with served() as path:
        kernel = RemoteKernel(path)
        with (
            closing(kernel.open_event_socket(8 * 1024 * 1024)) as slow,
            closing(kernel.open_event_socket(32768)) as quick,
        ):
            slow.set_filter(KernelFilter())
            quick.set_filter(KernelFilter())
            for _ in range(100):
                last = kernel.post(1, 1, 2, 13, bytes(24), times=600)
                received = 0
                while received < 600:
                    received += bool(read(quick))
            assert quick.last_event_id() == last == 60000
            assert quick.dropped() == 0
            assert slow.dropped() == 60000 - 32768
        kernel.close()


@pytest.mark.parametrize("transport", wire.Transport)
def test_loss_is_exact_while_reading(served, transport):
    """While a reader keeps reading, what it got and what it lost add up to what was posted."""
    with served() as path:
        kernel = RemoteKernel(path)
        with closing(kernel.open_event_socket(8192, transport=transport)) as sock:
            sock.set_filter(KernelFilter(1))
            poster = RemoteKernel(path)
            done = threading.Event()

            def post():
                for size in (0, 24, 48, 100, 200) * 40:
                    poster.post(1, 1, 2, 13, bytes(size), times=100)
                done.set()

            thread = threading.Thread(target=post)
            thread.start()
            seen = []
            while True:
                finished = done.is_set()
                try:
                    sock.recv_into(BUFFER)
                except BlockingIOError:
                    if finished:
                        break
                else:
                    seen.append(struct.unpack_from("<I", BUFFER, 16)[0])
            thread.join()
            assert seen == sorted(set(seen))
            assert sock.last_event_id() == 20000
            assert len(seen) + sock.dropped() == 20000
            poster.close()
        kernel.close()


READER = """
import sys
from kevmond.kernel.base import KernelFilter
from kevmond.kernel.simulated.remote import RemoteKernel
kernel = RemoteKernel(sys.argv[1])
sock = kernel.open_event_socket(65536)
sock.set_filter(KernelFilter())
print("ready", flush=True)
sys.stdin.read()
"""


def test_killed_reader_is_forgotten(served):
    """A reader that is killed leaves nothing behind, though its queue was full."""
    with served() as path:
        kernel = RemoteKernel(path)
        with subprocess.Popen(
            [sys.executable, "-c", READER, path],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
        ) as process:
            assert process.stdout.readline() == b"ready\n"
            kernel.post(1, 1, 2, 13, times=5000)
            assert kernel.statistics().pcbcount == 1
            process.send_signal(signal.SIGKILL)
            process.wait(TIMEOUT)
        # The kernel closed its descriptors before it was reaped, so the server knows by now
        # or at its next turn.
        for _ in range(1000):
            if kernel.statistics().pcbcount == 0:
                break
        assert kernel.statistics().pcbcount == 0
        kernel.close()


@pytest.mark.parametrize("transport", wire.Transport)
def test_server_that_stops_is_gone(served, transport):
    """When the server stops, a reader gets what was sent and then KernelGone, also from ioctls."""
    with served() as path:
        kernel = RemoteKernel(path)
        sock = kernel.open_event_socket(32768, transport=transport)
        sock.set_filter(KernelFilter())
        kernel.post(1, 1, 2, 13)
    with closing(sock):
        assert sock.recv_into(BUFFER) == 24
        with pytest.raises(KernelGone):
            sock.recv_into(BUFFER)
        with pytest.raises(KernelGone):
            sock.last_event_id()
        assert sock.dropped() is None
    with pytest.raises(KernelGone):
        kernel.post(1, 1, 2, 13)


def test_new_server_is_found(path):
    """After a server was replaced by another, the same RemoteKernel goes on with that one."""
    kernel = RemoteKernel(path)
    hosts = []

    async def serve(host):
        async with KernelServer(SimulatedKernel(host=host), path):
            hosts.append((await asyncio.to_thread(kernel.identity)).host)

    for host in ("first", "second"):
        asyncio.run(serve(host))
    assert hosts == ["first", "second"]
    kernel.close()


@pytest.mark.parametrize("transport", wire.Transport)
def test_reboot_takes_sockets_away(served, transport):
    """A reboot asked for by a client is the end of every socket, and a new boot."""
    with served() as path:
        kernel = RemoteKernel(path)
        boot = kernel.identity().boot_id
        with closing(kernel.open_event_socket(32768, transport=transport)) as sock:
            sock.set_filter(KernelFilter())
            kernel.reboot()
            with pytest.raises(KernelGone):
                sock.recv_into(BUFFER)
        assert kernel.identity().boot_id != boot
        assert kernel.statistics().pcbcount == 0
        kernel.close()


@pytest.mark.parametrize(
    "request_bytes",
    [
        b"GET / HTTP/1.1\r\n\r\n",
        wire.frame(99),
        wire.frame(wire.Operation.SOCKET, b"\0"),
        wire.frame(wire.Operation.SOCKET, wire.SOCKET.pack(3, 1, 77, 1, 0)),
        wire.frame(wire.Operation.POST, wire.POST.pack(1, 1, 1, 1, 0)),
        wire.frame(wire.Operation.INJECT, b"\x05\0\0\0ab"),
        wire.frame(wire.Operation.INJECT, wire.U32.pack(0)),
        wire.frame(wire.Operation.VENDOR_FIND, b"\xff"),
        wire.frame(wire.Operation.SOCKET, wire.SOCKET.pack(3, 1, 0, 1, 0)) * 2,
    ],
)
def test_nonsense_ends_only_its_own_connection(served, request_bytes):
    """A client that does not speak the protocol is cut off, and others are served on."""
    with served() as path:
        kernel = RemoteKernel(path)
        before = kernel.identity()
        with socket.socket(socket.AF_UNIX) as client:
            client.settimeout(TIMEOUT)
            client.connect(str(path))
            client.sendall(request_bytes)
            while client.recv(1024):
                pass
        assert kernel.identity() == before
        assert kernel.statistics().pcbcount == 0
        kernel.close()


def test_socket_calls_without_a_socket_are_refused(served):
    """An ioctl on a connection that opened no socket answers EBADF."""
    with served() as path, socket.socket(socket.AF_UNIX) as client:
        client.settimeout(TIMEOUT)
        client.connect(str(path))
        client.sendall(wire.frame(wire.Operation.IOCTL, wire.IOCTL.pack(0x40046501)))
        assert client.recv(1024) == wire.frame(wire.Status.FAILED, b"EBADF")


def test_requests_may_come_in_pieces(served):
    """A request is read however it is cut."""
    request = wire.frame(wire.Operation.VENDOR_FIND, b"org.example")
    with served() as path, socket.socket(socket.AF_UNIX) as client:
        client.settimeout(TIMEOUT)
        client.connect(str(path))
        for byte in request:
            client.send(bytes([byte]))
        assert client.recv(1024) == wire.frame(wire.Status.OK, wire.U32.pack(1001))


def test_client_that_reads_no_replies_is_cut_off(served):
    """Replies that pile up unread end the connection; the server never waits for its client."""
    request = wire.frame(wire.Operation.SYSCTL, wire.SYSCTL.pack(0) + b"net.systm.kevt.stats")
    with served() as path, socket.socket(socket.AF_UNIX) as client:
        client.settimeout(TIMEOUT)
        client.connect(str(path))
        with pytest.raises((BrokenPipeError, ConnectionResetError)):
            client.sendall(request * 1_000_000)
        kernel = RemoteKernel(path)
        assert kernel.identity().host
        kernel.close()


class OutOfDescriptors:
    """A listening socket at which no client can be accepted for a number of times."""

    def __init__(self, listener, times):
        self.listener = listener
        self.times = times
        self.failed = asyncio.Event()

    def accept(self):
        if not self.times:
            return self.listener.accept()
        self.times -= 1
        self.failed.set()
        raise OSError(errno.EMFILE, "no more")

    def fileno(self):
        return self.listener.fileno()

    def close(self):
        self.listener.close()


@pytest.mark.parametrize(("pause", "times"), [(0.01, 3), (3600, 1000)])
async def test_clients_wait_while_descriptors_are_out(path, monkeypatch, pause, times):
    """A server out of descriptors does not try again and again, but after a while."""
    monkeypatch.setattr("kevmond.kernel.simulated.served._ACCEPT_AGAIN_SECONDS", pause)
    loop = asyncio.get_running_loop()
    async with KernelServer(SimulatedKernel(), path) as server:
        loop.remove_reader(server._listener.fileno())
        listener = server._listener = OutOfDescriptors(server._listener, times)
        server._watch(listener)
        with socket.socket(socket.AF_UNIX) as client:
            client.setblocking(False)
            client.connect(str(path))
            await asyncio.wait_for(listener.failed.wait(), TIMEOUT)
            if times < 1000:
                await loop.sock_sendall(client, wire.frame(wire.Operation.IOCTL, bytes(4)))
                answer = await asyncio.wait_for(loop.sock_recv(client, 100), TIMEOUT)
                assert answer == wire.frame(wire.Status.FAILED, b"EBADF")
            else:
                assert not loop.remove_reader(listener.fileno())
                assert listener.times == 999


def test_mistake_of_the_server_ends_its_client_only(served, monkeypatch):
    """A request that the server makes a mistake in ends the connection, at once."""

    def mistaken(kernel, body):
        return struct.pack("<I", -1)

    monkeypatch.setitem(KERNEL_REQUESTS, wire.Operation.VENDOR_FIND, mistaken)
    with served() as path:
        kernel = RemoteKernel(path)
        with pytest.raises(KernelGone) as failure:
            kernel.vendor_code_find("x")
        assert failure.value.symbol == "ECONNRESET"
        assert kernel.identity().host
        kernel.close()
