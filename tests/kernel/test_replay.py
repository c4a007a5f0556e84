"""A recording replayed behaves as an event socket."""

import json
import select
import struct
from pathlib import Path

import pytest

from kevmond.errors import KernelError, KernelGone, RecordingError
from kevmond.kernel.base import EndOfEvents, Kernel, KernelFilter, KernelIdentity
from kevmond.kernel.recording import RecordingWriter, read_recording
from kevmond.kernel.replay import ReplayKernel

CAPTURE = Path(__file__).parents[1] / "captures" / "xnu-7195-events.jsonl"
BOOTS = ("aaaaaaaa-0000-4000-8000-000000000001", "bbbbbbbb-0000-4000-8000-000000000002")
WALL = 1_795_508_340_000_000_000


def message(kernel_id, kev_class=1, subclass=2, vendor=1):
    """Build a message without payload."""
    return struct.pack("<6I", 24, vendor, kev_class, subclass, kernel_id, 13)


def recording(path, *batches):
    """Write batches of (boot id, [(raw, wall_ns)])."""
    with RecordingWriter(path) as writer:
        for boot_id, messages in batches:
            writer.write(messages, KernelIdentity(boot_id, "h", "24.4.0", "24E248"))
    return path


def opened(kernel, kernel_filter=KernelFilter()):  # noqa: B008 - frozen
    """Open a socket that listens."""
    socket = kernel.open_event_socket(1 << 20)
    socket.set_filter(kernel_filter)
    return socket


def drain(socket):
    """Every message up to the end."""
    buffer = memoryview(bytearray(1024))
    found = []
    try:
        while True:
            found.append(bytes(buffer[: socket.recv_into(buffer)]))
    except EndOfEvents:
        return found


def readable(socket, seconds=0.0):
    """Whether a poller would be woken."""
    return bool(select.select([socket], [], [], seconds)[0])


def test_the_capture_is_delivered_byte_for_byte_and_then_ends():
    """What XNU delivered comes out as it went in, in order."""
    kernel: Kernel = ReplayKernel(CAPTURE)
    socket = opened(kernel)
    assert drain(socket) == [recorded.raw for recorded in read_recording(CAPTURE)]
    with pytest.raises(EndOfEvents):
        socket.recv_into(memoryview(bytearray(1024)))
    assert readable(socket)
    socket.close()


def test_nothing_is_delivered_before_a_filter_is_set():
    """A new socket's filter lets nothing pass, and the socket is not readable."""
    socket = ReplayKernel(CAPTURE).open_event_socket(100)
    assert socket.receive_space == 100
    assert socket.get_filter() == KernelFilter(vendor=0xFFFFFFFF)
    assert not readable(socket)
    with pytest.raises(BlockingIOError):
        socket.recv_into(memoryview(bytearray(1024)))
    assert socket.last_event_id() == 0
    socket.set_filter(KernelFilter())
    assert readable(socket)
    socket.close()


@pytest.mark.parametrize(
    "kernel_filter",
    [
        KernelFilter(1),
        KernelFilter(1, 3),
        KernelFilter(1, 1, 6),
        KernelFilter(1001),
        KernelFilter(7),
    ],
)
def test_the_filter_decides_what_is_delivered(kernel_filter):
    """Exactly the messages whose header matches come, and the last id counts the others too."""
    socket = opened(ReplayKernel(CAPTURE), kernel_filter)
    expected = [
        recorded.raw
        for recorded in read_recording(CAPTURE)
        if kernel_filter.matches(*struct.unpack_from("<3I", recorded.raw, 4))
    ]
    assert drain(socket) == expected
    assert socket.get_filter() == kernel_filter
    assert socket.last_event_id() == 209
    socket.close()


def test_the_last_id_is_that_of_the_last_message_posted():
    """SIOCGKEVID never runs ahead of what was read through an open filter."""
    socket = opened(ReplayKernel(CAPTURE))
    buffer = memoryview(bytearray(1024))
    for _ in range(20):
        socket.recv_into(buffer)
        assert socket.last_event_id() == struct.unpack_from("<I", buffer, 16)[0]
    socket.close()


def test_a_short_buffer_cuts_the_message_and_the_next_read_gives_the_next():
    """The rest of a cut message is thrown away, as the kernel does."""
    socket = opened(ReplayKernel(CAPTURE))
    raws = [recorded.raw for recorded in read_recording(CAPTURE)]
    buffer = memoryview(bytearray(10))
    assert socket.recv_into(buffer) == 10
    assert bytes(buffer) == raws[0][:10]
    socket.recv_into(buffer)
    assert bytes(buffer) == raws[1][:10]
    socket.close()


def test_recorded_times_and_identity_are_told(tmp_path):
    """Events of a replay carry the time, boot and release at which they were recorded."""
    path = recording(tmp_path / "r", (BOOTS[0], [(message(1), WALL), (message(2), WALL + 5000)]))
    kernel = ReplayKernel(path)
    identity = kernel.identity()
    assert (identity.boot_id, identity.os_release, identity.os_build) == (
        BOOTS[0],
        "24.4.0",
        "24E248",
    )
    socket = opened(kernel)
    assert socket.recorded_ns() is None
    times = []
    for _ in range(2):
        socket.recv_into(memoryview(bytearray(64)))
        times.append(socket.recorded_ns())
    assert times == [WALL, WALL + 5000]
    assert (socket.dropped(), kernel.statistics()) == (0, None)
    socket.close()


def test_a_recording_without_boot_id_gets_one_from_its_bytes(tmp_path):
    """Replaying the same bytes names the boot the same, and other bytes another."""
    copy = tmp_path / "copy.jsonl"
    copy.write_bytes(CAPTURE.read_bytes())
    cut = tmp_path / "cut.jsonl"
    cut.write_bytes(b"".join(CAPTURE.read_bytes().splitlines(keepends=True)[1:]))
    boots = [ReplayKernel(path).identity().boot_id for path in (CAPTURE, copy, cut)]
    assert boots[0] == boots[1] != boots[2]


def test_a_second_boot_in_the_recording_is_a_new_kernel(tmp_path):
    """At the change the socket is gone; one opened then delivers the next boot, to the end."""
    path = recording(
        tmp_path / "r",
        (BOOTS[0], [(message(7), WALL), (message(8), WALL)]),
        (BOOTS[1], [(message(1), WALL)]),
    )
    kernel = ReplayKernel(path)
    buffer = memoryview(bytearray(64))
    socket = opened(kernel)
    socket.recv_into(buffer)
    socket.recv_into(buffer)
    with pytest.raises(KernelGone, match="new boot"):
        socket.recv_into(buffer)
    socket.close()
    assert kernel.identity().boot_id == BOOTS[1]
    socket = opened(kernel)
    assert drain(socket) == [message(1)]
    socket.close()


def test_a_message_shorter_than_its_header_passes_an_open_filter_only(tmp_path):
    """Garbage in a recording is delivered, not refused."""
    path = tmp_path / "r"
    path.write_text(f"{message(5).hex()}\n1800\n")
    socket = opened(ReplayKernel(path))
    assert drain(socket) == [message(5), b"\x18\0"]
    assert socket.last_event_id() == 5
    socket.close()
    socket = opened(ReplayKernel(path), KernelFilter(1))
    assert drain(socket) == [message(5)]
    socket.close()


def test_an_empty_recording_ends_at_once(tmp_path):
    """No messages is no error."""
    (tmp_path / "r").write_text("# nothing\n")
    kernel = ReplayKernel(tmp_path / "r")
    assert kernel.identity().boot_id
    socket = opened(kernel)
    assert drain(socket) == []
    socket.close()


def test_a_malformed_recording_is_refused_before_anything_is_replayed(tmp_path):
    """The error comes at once and names the line."""
    (tmp_path / "r").write_text(f"{message(1).hex()}\n{json.dumps({'hex': 'x'})}\n")
    with pytest.raises(RecordingError, match=r"r:2: not hex"):
        ReplayKernel(tmp_path / "r")


def test_vendor_names_and_closed_sockets_are_errors_by_name():
    """ENOENT for a vendor, EBADF after closing, and closing twice is harmless."""
    socket = opened(ReplayKernel(CAPTURE))
    with pytest.raises(KernelError) as error:
        socket.vendor_code("com.example")
    assert error.value.symbol == "ENOENT"
    socket.close()
    socket.close()
    with pytest.raises(KernelError) as error:
        socket.recv_into(memoryview(bytearray(64)))
    assert error.value.symbol == "EBADF"


class StubClock:
    """A monotonic clock that a test moves."""

    now = 0

    def monotonic_ns(self):
        return self.now

    def wall_ns(self):
        return 0


def test_a_paced_replay_posts_by_recorded_times(tmp_path):
    """At speed 2 a message recorded 10 s after the first is posted after 5 s, filtered or not."""
    gaps = (0, 10, 10, 30)
    messages = [(message(i, 1 + i % 2), WALL + gap * 10**9) for i, gap in enumerate(gaps, 1)]
    clock = StubClock()
    kernel = ReplayKernel(recording(tmp_path / "r", (BOOTS[0], messages)), speed=2, clock=clock)
    socket = opened(kernel, KernelFilter(1, 2))
    buffer = memoryview(bytearray(64))
    assert socket.recv_into(buffer) == 24
    assert socket.last_event_id() == 1
    with pytest.raises(BlockingIOError):
        socket.recv_into(buffer)
    assert not readable(socket)
    clock.now = 5 * 10**9
    assert socket.last_event_id() == 3
    assert socket.recv_into(buffer) == 24
    assert bytes(buffer[:24]) == message(3, 2)
    with pytest.raises(BlockingIOError):
        socket.recv_into(buffer)
    clock.now = 15 * 10**9
    with pytest.raises(EndOfEvents):
        socket.recv_into(buffer)
    assert socket.last_event_id() == 4
    socket.close()


def test_a_paced_socket_becomes_readable_when_the_next_message_is_due(tmp_path):
    """A poller is woken; nothing has to look again by itself."""
    messages = [(message(1), WALL), (message(2), WALL + 10 * 10**9)]
    socket = opened(ReplayKernel(recording(tmp_path / "r", (BOOTS[0], messages)), speed=500))
    buffer = memoryview(bytearray(64))
    socket.recv_into(buffer)
    while True:
        try:
            size = socket.recv_into(buffer)
            break
        except BlockingIOError:
            assert readable(socket, 10)
    assert bytes(buffer[:size]) == message(2)
    socket.close()


def test_a_speed_that_is_not_above_zero_is_refused():
    """A replay that never moves is a mistake."""
    with pytest.raises(ValueError, match="above 0"):
        ReplayKernel(CAPTURE, speed=0)


def test_a_recording_has_no_controls():
    """Controls are not recorded: asking for them is refused, and says which kernels have some."""
    kernel = ReplayKernel(CAPTURE)
    for ask in (
        kernel.open_control_socket,
        lambda: kernel.open_control_socket(stream=True),
        kernel.controls,
    ):
        with pytest.raises(KernelError, match="use --kernel darwin") as refusal:
            ask()
        assert refusal.value.symbol == "EPROTONOSUPPORT"
    assert kernel.control_statistics() is None
