"""The sysctl records of controls, laid out here by literal offsets."""

import struct
from contextlib import closing

import pytest

from kevmond.errors import KernelError
from kevmond.kernel.control_abi import ControlFlag
from kevmond.kernel.control_base import ControlAddress, ControlClient, ControlInfo
from kevmond.kernel.kctl_sysctl import (
    PCB_HEADROOM,
    REG_HEADROOM,
    AttachedSocket,
    parse_pcblist,
    parse_reg_list,
    parse_stats,
    read_controls,
    with_clients,
)
from kevmond.kernel.simulated import sysctls
from kevmond.kernel.simulated.model import SimulatedKernel
from kevmond.kernel.sysctl_records import ATTEMPTS, UnstableListError

REG_LIST = "net.systm.kctl.reg_list"
PCBLIST = "net.systm.kctl.pcblist"


def record(size, kind, **fields):
    """Make a record: u32 length, u32 kind, and fields given as o<offset>=(format, value)."""
    data = bytearray(size)
    struct.pack_into("<2I", data, 0, size, kind)
    for offset, (layout, value) in fields.items():
        struct.pack_into("<" + layout, data, int(offset.removeprefix("o")), value)
    return bytes(data)


def framed(gen, *items, last=None):
    """Put a list between its two xsystmgen; an empty one has the first alone."""
    first = record(32, 0, o8=("Q", len(items)), o16=("Q", gen))
    behind = record(32, 0, o8=("Q", len(items)), o16=("Q", gen if last is None else last))
    return b"".join([first, *items, behind]) if items else first


def registration(control_id, name, unit=0xFFFFFFFF, flags=0, count=0, functions=()):
    """Make struct xkctl_reg; `functions` are the offsets of those that there are."""
    return record(
        200,
        0x40,
        o8=("I", control_id),
        o12=("I", unit),
        o16=("I", flags),
        o24=("Q", 0xB000B),
        o32=("I", 8192),
        o36=("I", 2048),
        o44=("I", count),
        o104=("96s", name),
        **{f"o{offset}": ("Q", 0xFFFFFF8000200000) for offset in functions},
    )


def attached(control_id, unit, uid, pid, owner_size=104):
    """Make the records of one socket: xkctlpcb, xsocket_n, two buffers, statistics."""
    owner = bytearray(record(104, 0x1, o64=("I", uid), o68=("i", pid), o72=("i", pid)))
    struct.pack_into("<I", owner, 0, owner_size)
    return b"".join(
        [
            record(128, 0x80, o16=("I", unit), o20=("I", control_id), o32=("96s", b"some.name")),
            bytes(owner[:owner_size]) + bytes(-owner_size % 8),
            record(32, 0x2, o12=("I", 8192)),
            record(32, 0x4, o12=("I", 2048)),
            record(136, 0x8),
        ]
    )


def test_registrations_are_read():
    """Each control tells its id, unit, flags, buffers, handlers and number of sockets."""
    data = framed(
        71,
        registration(11, b"org.mklinux.nke.foo", 0xFFFFFFFF, 0x1, 2, (48, 56, 64, 80, 88)),
        registration(19787, b"org.mklinux.nke.static", 7, 0x2, 0, (48,)),
    )
    assert len(data) == 32 + 2 * 200 + 32
    assert parse_reg_list(data) == [
        ControlInfo(
            11,
            "org.mklinux.nke.foo",
            ControlFlag.PRIVILEGED,
            None,
            2048,
            8192,
            frozenset({"connect", "disconnect", "send", "setopt", "getopt"}),
            2,
        ),
        ControlInfo(
            19787,
            "org.mklinux.nke.static",
            ControlFlag.REG_ID_UNIT,
            7,
            2048,
            8192,
            frozenset({"connect"}),
        ),
    ]


def test_send_list_and_rcvd_are_handlers_too():
    """The addresses at 72 and 96 are send_list and rcvd."""
    (info,) = parse_reg_list(framed(1, registration(1, b"x", functions=(72, 96))))
    assert info.handlers == {"send_list", "rcvd"}


def test_flags_and_names_nobody_knows_are_kept():
    """A flag without a name stays, and bytes that are no UTF-8 do not hide the control."""
    (info,) = parse_reg_list(framed(1, registration(1, b"a\xffb", flags=0x80000001)))
    assert info.flags == 0x80000001
    assert info.is_privileged
    assert info.name == "a\ufffdb"


def test_sockets_are_read():
    """Each socket tells control, unit, user and process; older kernels' records tell less."""
    data = framed(
        71,
        attached(11, 1, 501, 4711),
        attached(11, 2, 0, 4712, owner_size=68),
        attached(5, 3, 0, 1, owner_size=60),
    )
    assert parse_pcblist(data) == [
        AttachedSocket(11, 1, 4711, 501),
        AttachedSocket(11, 2, None, 0),
        AttachedSocket(5, 3, None, None),
    ]


def test_longer_and_unknown_records_are_passed_over():
    """Records go by their own length and kind."""
    longer = record(208, 0x40, o8=("I", 3), o12=("I", 0xFFFFFFFF), o104=("96s", b"longer"))
    short = record(100, 0x40) + bytes(4)
    unknown = record(24, 0x4000)
    infos = parse_reg_list(framed(1, longer, unknown, short))
    assert [(one.control_id, one.name) for one in infos] == [(3, "longer")]
    owner_of_nobody = record(104, 0x1)
    assert parse_pcblist(framed(1, owner_of_nobody, unknown)) == []


def test_empty_lists_are_one_record():
    """With nothing in it a list is one xsystmgen alone."""
    assert parse_reg_list(framed(3)) == []
    assert parse_pcblist(framed(3)) == []


@pytest.mark.parametrize("parse", [parse_reg_list, parse_pcblist])
def test_changed_or_cut_list_is_told(parse):
    """Generations that differ mean that the list changed under way; so does a missing end."""
    item = registration(1, b"x") if parse is parse_reg_list else attached(1, 1, 0, 1)
    for data in (framed(1, item, last=2), framed(1, item)[:-32], b"", framed(1, item)[:40]):
        with pytest.raises(UnstableListError):
            parse(data)


def info(control_id, unit=None, name="x"):
    """Make a control without clients."""
    return ControlInfo(control_id, name, ControlFlag(0), unit, 2048, 8192)


def test_clients_join_by_id():
    """Clients are their control's by id, in order of their units; nobody's are left out."""
    sockets = [AttachedSocket(2, 9), AttachedSocket(2, 1, 7, 0), AttachedSocket(99, 1)]
    joined = with_clients([info(2), info(1)], sockets)
    assert [one.control_id for one in joined] == [1, 2]
    assert joined[0].clients == ()
    assert joined[1].clients == (ControlClient(1, 7, 0), ControlClient(9))


def test_one_static_id_may_be_several_controls():
    """Controls that share a static id are told apart by their unit."""
    joined = with_clients([info(5, 8), info(5, 7)], [AttachedSocket(5, 7), AttachedSocket(5, 8)])
    assert [(one.reg_unit, one.clients) for one in joined] == [
        (7, (ControlClient(7),)),
        (8, (ControlClient(8),)),
    ]


def test_unstable_lists_are_read_again():
    """A list that changed is read again; headroom makes up for the kernel's short estimate."""
    changed = framed(1, registration(1, b"x"), last=2)
    answers = {
        REG_LIST: [changed, framed(2, registration(1, b"x", count=1))],
        PCBLIST: [b"", framed(2, attached(1, 1, 0, 7))],
    }
    rooms = []

    def read(name, headroom):
        rooms.append((name, headroom))
        return answers[name].pop(0)

    (found,) = read_controls(read)
    assert found.clients == (ControlClient(1, 7, 0),)
    assert rooms == [(REG_LIST, REG_HEADROOM)] * 2 + [(PCBLIST, PCB_HEADROOM)] * 2
    assert REG_HEADROOM >= 64 + 200
    assert PCB_HEADROOM >= 64 + 432


def test_list_that_never_stands_still_is_told():
    """After a few attempts the list is given up, and the error says why."""
    reads = []
    with pytest.raises(KernelError, match="changed each time") as failure:
        read_controls(lambda name, headroom: reads.append(name) or b"")
    assert failure.value.symbol == "EAGAIN"
    assert reads == [REG_LIST] * ATTEMPTS


@pytest.mark.parametrize("sockets", [KernelError("sysctl", "EPERM"), b""])
def test_refused_list_of_sockets_hides_no_control(sockets):
    """Who is connected is best effort: the controls are told without."""

    def read(name, headroom):
        if name == REG_LIST:
            return framed(1, registration(1, b"x", count=3))
        if isinstance(sockets, KernelError):
            raise sockets
        return sockets

    (found,) = read_controls(read)
    assert (found.client_count, found.clients) == (3, ())


def test_refused_list_of_controls_is_an_error():
    """Without the list of controls there is nothing to tell."""

    def read(name, headroom):
        raise KernelError(name, "EPERM")

    with pytest.raises(KernelError, match="EPERM"):
        read_controls(read)


def test_stats_are_read():
    """Fourteen counters of 64 bits; a longer structure is read as far as it is known."""
    data = struct.pack("<14Q", 0, 16, 1, 71, 23, 1, 2, 0, 10, 9, 2, 0, 1, 0)
    statistics = parse_stats(data + b"more")
    assert statistics == parse_stats(data)
    assert (statistics.reg_total, statistics.reg_count, statistics.pcbcount) == (0, 16, 1)
    assert (statistics.gencnt, statistics.connections, statistics.conn_fail) == (71, 23, 1)
    assert (statistics.send_fail, statistics.send_list_fail) == (2, 0)
    assert (statistics.enqueue_fail, statistics.enqueue_fullsock) == (10, 9)
    assert (statistics.bad_kctlref, statistics.tbl_size_too_big) == (2, 0)
    assert (statistics.enqdata_mb_alloc_fail, statistics.enqdata_sbappend_fail) == (1, 0)
    assert parse_stats(data[:-1]) is None


def test_simulated_lists_are_understood():
    """What the simulated kernel lays out reads as what it says of itself."""
    kernel = SimulatedKernel()
    with closing(kernel.open_control_socket()) as sock:
        sock.connect(ControlAddress(sock.lookup("com.apple.netsrc")))
        told = kernel.controls()
        assert read_controls(lambda name, _: sysctls.read(kernel, name)[1]) == told
        stats = sysctls.read(kernel, "net.systm.kctl.stats")[1]
        assert parse_stats(stats) == kernel.control_statistics()
    assert [len(one.clients) for one in told if one.name == "com.apple.netsrc"] == [1]


def test_lists_are_as_long_as_they_were_on_xnu():
    """16 controls made 3264 bytes there, and one socket 472: its owner's record was shorter."""
    items = [registration(number, b"x") for number in range(16)]
    assert len(framed(71, *items)) == 3264
    one = framed(71, attached(19793, 1, 0, 7, owner_size=76))
    assert len(one) == 472
    assert parse_pcblist(one) == [AttachedSocket(19793, 1, 7, 0)]
