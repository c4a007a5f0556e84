"""Kernel controls of a simulated kernel, within this process, do what XNU was measured to do."""

import runpy
import select
from pathlib import Path

import pytest

from kevmond.errors import KernelError, KernelGone
from kevmond.kernel import abi, control_abi, kctl_sysctl
from kevmond.kernel.base import KernelFilter
from kevmond.kernel.control_abi import ControlFlag, EnqueueFlag
from kevmond.kernel.control_base import ControlAddress
from kevmond.kernel.simulated import kctl_sysctls
from kevmond.kernel.simulated.handlers import now
from kevmond.kernel.simulated.kctl import Registration
from kevmond.kernel.simulated.kctl_pcb import ControlPcb
from kevmond.kernel.simulated.model import SimulatedKernel

TABLE = runpy.run_path(str(Path(__file__).parent / "control_errno_table.py"))
ROWS, NOBODY_ROWS, RAW_ROWS = TABLE["ROWS"], TABLE["NOBODY_ROWS"], TABLE["RAW_ROWS"]
STATIC_ID, Probe, World = TABLE["STATIC_ID"], TABLE["Probe"], TABLE["World"]
outcome, sockaddr, to = TABLE["outcome"], TABLE["sockaddr"], TABLE["to"]

EOR = EnqueueFlag.EOR


@pytest.fixture
def world():
    """Make a kernel with the controls of the table."""
    kernel = SimulatedKernel()
    made = World(kernel, kernel.kctl)
    yield made
    made.close()


class Silent:
    """A reader that never reads."""

    def arrived(self):
        pass

    settle = take_back = ended = gone = arrived


def symbol(call, *arguments):
    """Return the errno name that a call ends with, or None."""
    return outcome(lambda _: call(*arguments), None)


@pytest.mark.parametrize(("name", "act", "expected"), ROWS, ids=[row[0] for row in ROWS])
def test_errno_of_a_client_s_call(world, name, act, expected):
    """Each call of a client ends as it did on XNU."""
    assert outcome(act, world) == expected


@pytest.mark.parametrize(
    ("name", "act", "expected"), NOBODY_ROWS, ids=[row[0] for row in NOBODY_ROWS]
)
def test_errno_for_somebody_who_is_not_root(world, name, act, expected):
    """Privilege is checked after the type of socket, and only where it is asked for."""
    world.kernel.uid = 501
    world.nobody = world.kernel
    assert outcome(act, world) == expected


@pytest.mark.parametrize(("name", "act", "expected"), RAW_ROWS, ids=[row[0] for row in RAW_ROWS])
def test_errno_of_an_odd_call(world, name, act, expected):
    """Calls that no client of ours would make end as they did on XNU."""
    pcb = ControlPcb(world.kernel, Silent(), stream=False, pid=1, uid=0)
    assert outcome(lambda w: now(act(w, pcb)), world) == expected


@pytest.mark.parametrize(
    ("wanted", "expected"),
    [
        (Registration(b"org.mklinux.nke.foo"), "EEXIST"),
        (Registration(b"other", ControlFlag(2), STATIC_ID, 7), "EEXIST"),
        (Registration(b"org.mklinux.nke.static", ControlFlag(2), STATIC_ID, 8), None),
        (Registration(b"org.mklinux.nke.foo", ControlFlag(2), 30000, 1), None),
        (Registration(b""), "EINVAL"),
        (Registration(b"x" * 96), "EINVAL"),
        (Registration(b"x" * 95), None),
    ],
)
def test_errno_of_ctl_register(world, wanted, expected):
    """Names are for dynamic ids alone; a static id may have several units."""
    assert symbol(world.table.register, wanted, Probe()) == expected


def test_a_control_without_a_connect_function_is_refused(world):
    """ctl_connect is compulsory."""

    class Nothing(Probe):
        provides = frozenset({"send"})

    assert symbol(world.table.register, Registration(b"x"), Nothing()) == "EINVAL"


def test_a_dynamic_id_is_above_every_other(world):
    """Ids go up from the largest in use, so the last one is given out again."""
    first = world.table.register(Registration(b"a"), Probe())
    assert first.control_id == max(control.control_id for control in world.table.controls)
    world.table.deregister(first)
    again = world.table.register(Registration(b"b"), Probe())
    assert again.control_id == first.control_id
    assert again.ref != first.ref


def test_registration_is_posted_with_unit_0(world):
    """KEV_CTL_REGISTERED and _DEREGISTERED tell the id, and 0 for the unit, static or not."""
    sock = world.kernel.open_event_socket(32768)
    sock.set_filter(KernelFilter(1, 3, 2))
    wanted = Registration(b"s", ControlFlag(2), 77, 9)
    world.table.deregister(world.table.register(wanted, Probe()))
    buffer = bytearray(100)
    told = []
    for _ in range(2):
        size = sock.recv_into(memoryview(buffer))
        told.append((abi.HEADER.unpack_from(buffer)[5], bytes(buffer[24:size])))
    assert told == [
        (code, control_abi.CTL_EVENT_DATA.pack(77, 0))
        for code in (control_abi.KEV_CTL_REGISTERED, control_abi.KEV_CTL_DEREGISTERED)
    ]
    sock.close()


def test_units_fill_gaps_from_1(world):
    """Unit 0 asks for the lowest free one, whatever was chosen by hand."""
    first, second = world.connected(), world.connected()
    world.connected(unit=50)
    third = world.connected()
    assert [one.peer().unit for one in (first, second, third)] == [1, 2, 3]
    first.close()
    assert world.connected().peer().unit == 1


def test_the_handler_sees_the_unit_given_out(world):
    """The address that connect is shown has the real unit, and whatever family was sent."""
    world.connected()
    (name, unit, address), *_ = world.probe.calls
    assert (name, unit, address) == ("connect", 1, sockaddr(world.foo, 1))


def test_a_refused_connect_is_disconnected(world):
    """The disconnect function runs after a failing connect function, and the unit is free."""
    world.probe.errors["connect"] = "ECONNREFUSED"
    assert symbol(world.connected) == "ECONNREFUSED"
    assert [call[:2] for call in world.probe.calls] == [("connect", 1), ("disconnect", 1)]
    assert world.foo.pcbs == []


def test_a_bound_socket_holds_its_control(world):
    """Bind fails, and has attached the socket: the control cannot go until it is closed."""
    sock = world.socket()
    assert symbol(sock.bind, to(world.foo)) == "EINVAL"
    assert symbol(world.table.deregister, world.foo) == "EBUSY"
    sock.close()
    assert symbol(world.table.deregister, world.foo) is None


def test_a_connected_control_stays(world):
    """ctl_deregister is EBUSY while somebody is connected, and says nothing."""
    sock = world.connected()
    before = world.kernel.last_id
    assert symbol(world.table.deregister, world.foo) == "EBUSY"
    assert world.kernel.last_id == before
    sock.close()
    world.table.deregister(world.foo)
    assert symbol(world.socket().connect, to(world.foo)) == "ENOENT"


def test_the_disconnect_function_finds_itself_attached(world):
    """It runs before the socket leaves the list, so deregistering inside it is EBUSY."""
    seen = []

    class Leaving(Probe):
        async def disconnect(self, pcb):
            seen.append(symbol(world.table.deregister, pcb.control))

    control = world.table.register(Registration(b"leaving"), Leaving())
    world.connected(control).close()
    assert seen == ["EBUSY"]


def test_buffers_before_and_after_connect(world):
    """Before connect there is no buffer; connect sets the control's own, and later changes last."""
    sock = world.socket()
    assert (sock.send_space, sock.receive_space) == (0, 0)
    sock.set_receive_space(100_000)
    sock.connect(to(world.sized))
    assert (sock.send_space, sock.receive_space) == (20000, 30000)
    sock.set_receive_space(65536)
    assert sock.receive_space == 65536
    assert world.table.enqueue_space(world.sized, 1) == 65536


@pytest.mark.parametrize(
    ("size", "count", "left"),
    [(1, 256, 0), (100, 81, 92), (512, 16, 0), (1000, 8, 192), (2048, 4, 0), (4000, 2, 192)],
)
def test_what_a_queue_holds(world, size, count, left):
    """A queue of 8192 bytes counts bytes and mbufs, and refuses beyond with ENOBUFS."""
    sock = world.connected()
    for _ in range(count):
        world.table.enqueue(world.foo, 1, bytes(size), EOR)
    if left < size:
        assert symbol(world.table.enqueue, world.foo, 1, bytes(size), EOR) == "ENOBUFS"
    assert world.table.enqueue_space(world.foo, 1) == left
    assert [len(sock.receive(9000)) for _ in range(count)] == [size] * count
    assert world.table.enqueue_space(world.foo, 1) == 8192


def test_data_without_an_end_of_record_joins_the_next(world):
    """5 and 7 bytes are read as one message of 12; with CTL_DATA_EOR they are two."""
    sock = world.connected()
    for flags, expected in ((0, [b"firstsecond!"]), (EOR, [b"first", b"second!"])):
        world.table.enqueue(world.foo, 1, b"first", flags)
        world.table.enqueue(world.foo, 1, b"second!", flags)
        assert sock.next_size() == len(expected[0])
        assert [sock.receive(100) for _ in expected] == expected
        assert symbol(sock.receive, 100) == "EAGAIN"


def test_what_was_read_is_not_joined(world):
    """Data after a message that was read is a message of its own."""
    sock = world.connected()
    for data in (b"first", b"second!"):
        world.table.enqueue(world.foo, 1, data, 0)
        assert sock.receive(100) == data


def test_a_short_read_loses_the_rest_of_a_message_and_nothing_of_a_stream(world):
    """recv(4) of ten bytes: the next recv gives the next message, or the rest of the stream."""
    sock = world.connected()
    for data in (b"0123456789", b"ABCDEFGHIJ"):
        world.table.enqueue(world.foo, 1, data, EOR)
    assert [sock.receive(4), sock.receive(100)] == [b"0123", b"ABCDEFGHIJ"]
    stream = world.connected(world.stream)
    for data in (b"first", b"second!"):
        world.table.enqueue(world.stream, 1, data, 0)
    assert [stream.receive(4), stream.receive(100)] == [b"firs", b"tsecond!"]
    assert world.table.enqueue_space(world.stream, 1) == 8192


def test_no_bytes_are_no_message(world):
    """Enqueueing nothing succeeds, and there is nothing to read."""
    sock = world.connected()
    world.table.enqueue(world.foo, 1, b"", EOR)
    assert symbol(sock.receive, 10) == "EAGAIN"


def test_a_stream_is_sent_in_pieces(world):
    """5000 bytes on a stream are three calls of its send function: 2048, 2048 and 904 bytes."""
    world.connected(world.stream).send(bytes(5000))
    assert [call for call in world.probe.calls if call[0] == "send"] == [
        ("send", 2048),
        ("send", 2048),
        ("send", 904),
    ]


def test_an_empty_send_is_a_call(world):
    """Zero bytes reach the send function."""
    world.connected().send(b"")
    assert ("send", 0) in world.probe.calls


def test_enqueue_to_nobody(world):
    """A unit that is not connected is EINVAL; one whose reader shut down, ENOBUFS."""
    assert symbol(world.table.enqueue, world.foo, 99, b"x", EOR) == "EINVAL"
    sock = world.connected()
    sock.shutdown(control_abi.SHUT_RD)
    assert symbol(world.table.enqueue, world.foo, 1, b"x", EOR) == "ENOBUFS"
    assert sock.receive(10) == b""
    sock.close()
    assert symbol(world.table.enqueue, world.foo, 1, b"x", EOR) == "EINVAL"


def test_options_carry_any_length_both_ways(world):
    """65536 bytes go in and come back; the function is shown what the buffer held."""
    sock = world.connected()
    sock.set_option(5, b"Q" * 65536)
    assert sock.get_option(5, 65536, request=b"ask") == b"Q" * 65536
    assert world.probe.calls[-1] == ("getopt", 5, b"ask" + bytes(65533), 65536)
    sock.set_option(6, None)
    assert world.probe.calls[-1] == ("setopt", 6, None)
    assert sock.get_option(5, 4) == b""
    assert sock.option_size(3) == 10
    assert world.probe.calls[-1] == ("getopt", 3, None, 0)


def test_a_getopt_function_must_not_return_more_than_it_was_given(world):
    """A kernel panics; this one says so."""
    sock = world.connected()
    sock.set_option(5, bytes(20))
    world.probe.wants = 20
    with pytest.raises(AssertionError, match="a panic"):
        sock.get_option(5, 8)


def test_pending_data_is_readable_through_a_descriptor(world):
    """The descriptor is readable exactly while something waits, and once reading has ended."""
    sock = world.connected()

    def readable():
        return bool(select.select([sock], [], [], 0)[0])

    assert not readable()
    world.table.enqueue(world.foo, 1, b"x", EOR)
    assert readable()
    sock.receive(10)
    assert not readable()
    sock.shutdown(control_abi.SHUT_RD)
    assert readable()


def test_a_crashed_kext_leaves_dead_sockets(world):
    """Where the control's owner crashed, reading ends and every call says so."""
    sock = world.connected()
    world.table.enqueue(world.foo, 1, b"x", EOR)
    world.table.deregister(world.foo, force=True)
    assert sock.receive(10) == b""
    assert [
        symbol(sock.peer),
        symbol(sock.send, b"x"),
        symbol(sock.set_option, 1, b"x"),
        symbol(sock.connect, to(world.bare)),
    ] == ["EINVAL", "EPIPE", "EINVAL", "EINVAL"]


def test_a_reboot_takes_sockets_and_controls(world):
    """Sockets of the kernel before are gone; only what registers at boot is there again."""
    sock = world.connected()
    world.kernel.reboot()
    with pytest.raises(KernelGone):
        sock.receive(10)
    names = {info.name for info in world.kernel.controls()}
    assert "org.mklinux.nke.foo" not in names


def test_closed_sockets_say_so(world):
    """Every call on a closed socket is EBADF; closing twice is harmless."""
    sock = world.connected()
    sock.close()
    sock.close()
    assert sock.fileno() == -1
    assert {symbol(sock.peer), symbol(sock.send, b"x"), symbol(sock.receive, 1)} == {"EBADF"}


def test_numbers_that_are_no_u32_are_refused(world):
    """An id or unit that does not fit the address is EINVAL with a hint, not a wrapped number."""
    with pytest.raises(KernelError, match="4294967295"):
        world.socket().connect(ControlAddress(-1))


def test_the_list_tells_who_is_connected(world):
    """Controls come by id, each with its sockets; counters move."""
    before = world.kernel.control_statistics()
    world.connected()
    world.connected(unit=9)
    info = {info.name: info for info in world.kernel.controls()}["org.mklinux.nke.foo"]
    assert [client.unit for client in info.clients] == [1, 9]
    assert (info.client_count, info.reg_unit, info.send_space) == (2, None, 2048)
    assert info.handlers == {"connect", "disconnect", "send", "setopt", "getopt"}
    ids = [info.control_id for info in world.kernel.controls()]
    assert ids == sorted(ids)
    after = world.kernel.control_statistics()
    assert after.connections - before.connections == 2
    assert after.pcbcount - before.pcbcount == 2


def test_references_are_u32_and_not_soon_given_out_again(world):
    """After 2^32 registrations references begin anew, without 0 and without those in use."""
    world.table._refs = 0xFFFFFFFE
    refs = []
    for _ in range(2):
        control = world.table.register(Registration(b"a"), Probe())
        refs.append(control.ref)
        world.table.deregister(control)
    world.table._refs = world.foo.ref - 1
    refs.append(world.table.register(Registration(b"a"), Probe()).ref)
    assert refs[:2] == [0xFFFFFFFF, 1]
    assert refs[2] not in {world.foo.ref, world.static.ref, world.stream.ref}


def test_only_a_queue_that_refuses_is_counted(world):
    """An enqueue to nobody is the control's own mistake; one without room is a failure."""
    before = world.kernel.control_statistics()
    assert symbol(world.table.enqueue, world.foo, 99, b"x", EOR) == "EINVAL"
    assert world.kernel.control_statistics() == before
    world.connected()
    assert symbol(world.table.enqueue, world.foo, 1, bytes(9000), EOR) == "ENOBUFS"
    after = world.kernel.control_statistics()
    assert (after.enqueue_fail, after.enqueue_fullsock) == (1, 1)


@pytest.mark.parametrize("sizes", [{"send_size": 7456541}, {"receive_size": 0xFFFFFFFF}])
def test_buffers_that_no_socket_may_have(world, sizes):
    """Where the buffers cannot be reserved connect is ENOBUFS, the disconnect function called."""
    control = world.table.register(Registration(b"big", **sizes), world.probe)
    assert symbol(world.connected, control) == "ENOBUFS"
    assert [call[:2] for call in world.probe.calls] == [("disconnect", 1)]
    assert control.pcbs == []
    assert world.kernel.control_statistics().conn_fail == 1
    fits = world.table.register(Registration(b"fits", send_size=7456540), world.probe)
    assert world.connected(fits).send_space == 7456540


def test_newer_kernels_cut_buffers_and_list_them():
    """Where sizes are cut to sb_max a control may ask for any, and the list of sockets is whole."""
    kernel = SimulatedKernel(clamp_receive_space=True, sb_max=0x7FFFFFFF)
    made = World(kernel, kernel.kctl)
    big = Registration(b"big", send_size=0xFFFFFFFF, receive_size=0x30000000)
    sock = made.connected(made.table.register(big, made.probe))
    assert (sock.send_space, sock.receive_space) == (0x7FFFFFFF, 0x30000000)
    listed = kctl_sysctl.parse_pcblist(kctl_sysctls.pcblist(kernel)[1])
    assert [one.unit for one in listed] == [1]
    made.close()


@pytest.mark.parametrize(("flags", "count"), [(0, 8192), (4, 256)])
def test_newer_kernels_count_the_mbufs_of_streams_only(flags, count):
    """Of one-byte messages a datagram control takes as many as there are bytes, a stream 256."""
    kernel = SimulatedKernel(clamp_receive_space=True)
    control = kernel.kctl.register(Registration(b"x", ControlFlag(flags)), Probe())
    sock = kernel.open_control_socket(stream=control.is_stream)
    sock.connect(to(control))
    for _ in range(count):
        kernel.kctl.enqueue(control, 1, b"x", EOR)
    assert symbol(kernel.kctl.enqueue, control, 1, b"x", EOR) == "ENOBUFS"
    sock.close()


def test_user_numbers_are_unsigned():
    """Nobody's -2 is 4294967294, to a control's functions as in the lists."""
    kernel = SimulatedKernel(uid=-2)
    sock = kernel.open_control_socket()
    sock.connect(ControlAddress(sock.lookup(control_abi.NETSRC_CONTROL)))
    listed = kctl_sysctl.parse_pcblist(kctl_sysctls.pcblist(kernel)[1])
    assert [one.uid for one in listed] == [0xFFFFFFFE]
    sock.close()


def test_a_static_unit_may_be_any(world):
    """A static control of unit 4294967295 is that, and no control of any unit."""
    wanted = Registration(b"last", ControlFlag.REG_ID_UNIT, 77, 0xFFFFFFFF)
    world.table.register(wanted, Probe())
    listed = kctl_sysctl.parse_reg_list(kctl_sysctls.reg_list(world.kernel)[1])
    units = {one.name: one.reg_unit for one in listed}
    assert units["last"] == 0xFFFFFFFF
    assert units["org.mklinux.nke.foo"] is None


def test_nothing_may_end_a_record(world):
    """Data without CTL_DATA_EOR is a record of its own once nothing came with it."""
    sock = world.connected()
    for data, flags in ((b"first", 0), (b"", EOR), (b"second!", EOR)):
        world.table.enqueue(world.foo, 1, data, flags)
    assert [sock.receive(100), sock.receive(100)] == [b"first", b"second!"]
    for data, flags in ((b"first", 0), (b"", 0), (b"second!", EOR)):
        world.table.enqueue(world.foo, 1, data, flags)
    assert sock.receive(100) == b"firstsecond!"


@pytest.mark.parametrize(("stream", "expected"), [(False, None), (True, "EINVAL")])
def test_the_end_of_a_record_is_not_for_streams(world, stream, expected):
    """MSG_EOR is for datagrams."""
    pcb = ControlPcb(world.kernel, Silent(), stream=stream, pid=1, uid=0)
    now(pcb.connect(sockaddr(world.stream if stream else world.foo)))
    assert symbol(lambda: now(pcb.send(b"x", control_abi.MSG_EOR))) == expected


def test_a_host_that_dies_within_a_send(world):
    """A stream whose control goes away between two pieces of a send is EPIPE, not a mistake."""

    class Dying(Probe):
        async def send(self, pcb, data, flags):
            world.table.deregister(pcb.control, force=True)

    wanted = Registration(b"dying", ControlFlag.REG_SOCK_STREAM, send_size=100)
    sock = world.connected(world.table.register(wanted, Dying()))
    assert symbol(sock.send, bytes(250)) == "EPIPE"


def test_a_getopt_function_is_shown_no_size_without_a_buffer(world):
    """NULL with a length of 8 is NULL with a length of 0."""
    pcb = ControlPcb(world.kernel, Silent(), stream=False, pid=1, uid=0)
    now(pcb.connect(sockaddr(world.foo)))
    assert now(pcb.getsockopt(2, 3, None, 8)) == (b"", 10)
    assert world.probe.calls[-1] == ("getopt", 3, None, 0)


def test_what_a_refusing_control_queued_is_not_readable(world):
    """Once a read found nothing the descriptor is not readable, whatever was queued and void."""

    class Rude(Probe):
        async def connect(self, pcb, address):
            world.table.enqueue(pcb.control, pcb.unit, b"x", EOR)
            raise KernelError("connect", "EBUSY")

    sock = world.socket()
    assert sock.fileno() >= 0
    rude = world.table.register(Registration(b"rude"), Rude())
    assert symbol(sock.connect, to(rude)) == "EBUSY"
    sock.connect(to(world.foo))
    assert symbol(sock.receive, 10) == "EAGAIN"
    assert select.select([sock], [], [], 0)[0] == []


def test_a_hosted_control_is_refused_before_it_is_asked(world):
    """In this process a control that waits for another process is not even attached to."""

    class Hosted(Probe):
        suspends = True

    control = world.table.register(Registration(b"hosted"), Hosted())
    with pytest.raises(RuntimeError, match=r"hosted: .* serve its kernel"):
        world.connected(control)
    with pytest.raises(RuntimeError, match="serve its kernel"):
        world.socket().bind(to(control))
    assert control.pcbs == []
