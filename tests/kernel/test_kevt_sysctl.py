"""The sysctl records of event sockets, laid out here by literal offsets."""

import struct
from contextlib import ExitStack, closing

import pytest

from kevmond.kernel.base import KernelFilter
from kevmond.kernel.kevt_sysctl import KevtSocket, find_dropped, parse_pcblist, parse_stats
from kevmond.kernel.simulated import sysctls
from kevmond.kernel.simulated.model import SimulatedKernel
from kevmond.kernel.sysctl_records import UnstableListError


def record(size, kind, **fields):
    """Make a record: u32 length, u32 kind, and fields given as o<offset>=(format, value)."""
    data = bytearray(size)
    struct.pack_into("<2I", data, 0, size, kind)
    for offset, (layout, value) in fields.items():
        struct.pack_into("<" + layout, data, int(offset.removeprefix("o")), value)
    return bytes(data)


def generation(count, gen):
    """Make struct xsystmgen."""
    return record(32, 0, o8=("Q", count), o16=("Q", gen), o24=("Q", 5))


def event_socket(codes, pid, space, dropped):
    """Make the five records of one socket."""
    vendor, kev_class, subclass = codes
    return b"".join(
        [
            record(32, 0x100, o16=("I", vendor), o20=("I", kev_class), o24=("I", subclass)),
            record(104, 0x1, o36=("i", 1), o40=("i", 32), o68=("i", pid), o72=("i", pid)),
            record(32, 0x2, o8=("I", 48), o12=("I", space)),
            record(32, 0x4, o12=("I", 4096)),
            record(136, 0x8, o8=("Q", 99), o40=("Q", dropped)),
        ]
    )


TWO = [
    event_socket((0, 0, 0), 100, 32768, 7),
    event_socket((1, 1, 2), 200, 262144, 8),
]


def test_list_is_read():
    """Each socket tells its filter, process, receive buffer and drop counter."""
    data = generation(2, 9) + b"".join(TWO) + generation(2, 9)
    assert len(data) == 32 + 2 * 336 + 32
    assert parse_pcblist(data) == [
        KevtSocket(KernelFilter(0, 0, 0), 100, 32768, 7),
        KevtSocket(KernelFilter(1, 1, 2), 200, 262144, 8),
    ]


def test_empty_list_is_one_record():
    """With no socket at all there is one xsystmgen and nothing behind it."""
    assert parse_pcblist(generation(0, 9)) == []


def test_changed_list_is_told():
    """Generations that differ mean that the list changed under way; so does a missing end."""
    whole = generation(2, 9) + b"".join(TWO)
    for data in (whole + generation(2, 10), whole, whole[:-100], b"", whole[:31]):
        with pytest.raises(UnstableListError):
            parse_pcblist(data)


def test_unknown_and_longer_records_are_passed_over():
    """Records go by their own length, padded to 8, whatever their kind."""
    longer = record(109, 0x1, o68=("i", 100)) + bytes(3)
    data = b"".join(
        [
            generation(1, 9),
            record(32, 0x100),
            record(13, 0x400) + bytes(3),
            longer,
            record(136, 0x8, o40=("Q", 3)),
            generation(1, 9),
        ]
    )
    assert parse_pcblist(data) == [KevtSocket(KernelFilter(), 100, None, 3)]


def test_short_socket_record_has_no_pid():
    """Older kernels' xsocket_n ends before the process ids."""
    data = generation(1, 9) + record(32, 0x100) + record(64, 0x1) + generation(1, 9)
    assert parse_pcblist(data) == [KevtSocket(KernelFilter())]


def test_record_without_socket_is_passed_over():
    """A record that comes before any socket's is nobody's."""
    data = generation(1, 9) + record(136, 0x8) + generation(1, 9)
    assert parse_pcblist(data) == []


@pytest.mark.parametrize("length", [0, 4, 7, 0xFFFFFFFF])
def test_impossible_length_ends_it(length):
    """A record of an impossible length never loops nor reads beyond the end."""
    with pytest.raises(UnstableListError):
        parse_pcblist(generation(1, 9) + struct.pack("<2I", length, 0x100) + bytes(64))


def test_own_socket_is_found_by_process_and_filter():
    """Only the socket of the same process with the same filter counts."""
    sockets = [
        KevtSocket(KernelFilter(1), 100, 32768, 1),
        KevtSocket(KernelFilter(0), 100, 32768, 2),
        KevtSocket(KernelFilter(0), 200, 32768, 3),
    ]
    assert find_dropped(sockets, KevtSocket(KernelFilter(0), 100, 32768)) == 2
    assert find_dropped(sockets, KevtSocket(KernelFilter(2), 100, 32768)) is None
    assert find_dropped([], KevtSocket(KernelFilter(0), 100, 32768)) is None


def test_twins_are_told_apart_by_their_buffer_or_not_at_all():
    """Two sockets alike in all that shows leave the counter unknown."""
    sockets = [
        KevtSocket(KernelFilter(0), 100, 32768, 1),
        KevtSocket(KernelFilter(0), 100, 65536, 2),
    ]
    assert find_dropped(sockets, KevtSocket(KernelFilter(0), 100, 65536)) == 2
    twins = [sockets[0], sockets[0]]
    assert find_dropped(twins, KevtSocket(KernelFilter(0), 100, 32768)) is None


def test_stats_are_read():
    """Seven counters of 64 bits; a longer structure is read as far as it is known."""
    data = struct.pack("<7Q", 1, 57, 1, 7, 2, 82, 447212)
    statistics = parse_stats(data + b"more")
    assert statistics == parse_stats(data)
    assert (statistics.pcbcount, statistics.gencnt, statistics.badvendor) == (1, 57, 1)
    assert (statistics.toobig, statistics.nomem) == (7, 2)
    assert (statistics.fullsock, statistics.posted) == (82, 447212)
    assert parse_stats(data[:-1]) is None


def test_simulated_list_has_the_same_layout():
    """What the simulated kernel lays out is, field by field, what was laid out here by hand."""
    kernel = SimulatedKernel()
    assert sysctls.read(kernel, "net.systm.kevt.pcblist")[1] == generation(0, 0)[:24] + bytes(8)
    with ExitStack() as stack:
        for size in (32768, 262144):
            stack.enter_context(closing(kernel.open_event_socket(size))).set_filter(
                KernelFilter(1, 1, 2)
            )
        for _ in range(10):
            kernel.post(1, 1, 2, 13, bytes(200))
        probe, data = sysctls.read(kernel, "net.systm.kevt.pcblist")
    assert (probe, len(data)) == (2 * 336, 32 + 2 * 336 + 32)
    by_hand = generation(2, 2) + event_socket((1, 1, 2), 0, 262144, 0)
    lengths = [32, 32, 104, 32, 32, 136]
    position = 0
    for length in lengths:
        ours = struct.unpack_from("<2I", data, position)
        assert ours == struct.unpack_from("<2I", by_hand, position)
        assert ours[0] == length
        position += length
    socket_record = data[64:168]
    assert struct.unpack_from("<h", socket_record, 16) == (3,)
    assert struct.unpack_from("<2i", socket_record, 36) == (1, 32)
    assert struct.unpack_from("<6I", data, 168)[2:] == (2240, 262144, 2560, 2097152)
    assert struct.unpack_from("<6I", data, 200)[3] == 4096


@pytest.mark.parametrize(("count", "slack"), [(1, 0), (7, 0), (8, 1), (17, 2)])
def test_probe_is_short(count, slack):
    """The size told without a buffer leaves out both xsystmgen and has no slack below 8."""
    kernel = SimulatedKernel()
    with ExitStack() as stack:
        for _ in range(count):
            stack.enter_context(closing(kernel.open_event_socket(32768)))
        probe, data = sysctls.read(kernel, "net.systm.kevt.pcblist")
        assert probe == (count + slack) * 336
        assert len(data) == count * 336 + 64
