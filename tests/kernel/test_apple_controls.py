"""Apple's own controls in the simulated kernel."""

import ipaddress
import json
import struct
from pathlib import Path

import pytest

from kevmond.errors import KernelError
from kevmond.kernel.base import KernelFilter
from kevmond.kernel.control_abi import UtunOption
from kevmond.kernel.control_base import ControlAddress
from kevmond.kernel.simulated.model import SimulatedKernel

UTUN = "com.apple.net.utun_control"
IPSEC = "com.apple.net.ipsec_control"
STATISTICS = "com.apple.network.statistics"
NETSRC = "com.apple.netsrc"
CAPTURE = Path(__file__).parents[1] / "captures" / "xnu-7195-events.jsonl"

PING = bytes.fromhex("4500002134f10000401131c90a0800010a080002e777270f000ddd6970696e6721")
"""A UDP packet as XNU's own utun gave it to a reader."""


@pytest.fixture
def kernel():
    """Boot a kernel."""
    return SimulatedKernel()


def connect(kernel, name, unit=0, *, stream=False):
    """Return a socket connected to the control of this name."""
    socket = kernel.open_control_socket(stream=stream)
    socket.connect(ControlAddress(socket.lookup(name), unit))
    return socket


def symbol(call, *args, **more):
    """Name of the errno that a call fails with."""
    with pytest.raises(KernelError) as failed:
        call(*args, **more)
    return failed.value.symbol


def events(kernel):
    """Open an event socket, and return what gives all that is posted from now on."""
    socket = kernel.open_event_socket(1 << 20)
    socket.set_filter(KernelFilter())
    buffer = memoryview(bytearray(1024))

    def read():
        found = []
        try:
            while True:
                found.append(bytes(buffer[: socket.recv_into(buffer)]))
        except BlockingIOError:
            return found

    return read


def captured(trigger, *codes):
    """Data-link events of a capture by what caused them, without their ids."""
    lines = map(json.loads, CAPTURE.read_text().splitlines())
    raws = (bytes.fromhex(line["hex"]) for line in lines if line["trigger"] == trigger)
    return [raw[:16] + raw[20:] for raw in raws if raw[12] == 2 and raw[20] in codes]


@pytest.mark.parametrize(
    ("control_id", "name", "flags", "receive_space", "send_space"),
    [
        (1, "com.apple.flow-divert", 0x9, 131072, 131072),
        (2, "com.apple.net.netagent", 0x1, 65536, 65536),
        (3, "com.apple.content-filter", 0x9, 524288, 524288),
        (4, "com.apple.net.rvi_control", 0x1, 65536, 65536),
        (5, "com.apple.net.utun_control", 0x29, 524288, 524288),
        (6, "com.apple.net.ipsec_control", 0x21, 65536, 65536),
        (7, "com.apple.netsrc", 0x0, 8192, 2048),
        (8, "com.apple.network.statistics", 0x18, 8192, 2048),
        (9, "com.apple.network.tcp_ccdebug", 0x5, 8192, 32768),
        (10, "com.apple.network.advisory", 0x1, 8192, 2048),
    ],
)
def test_they_are_registered_as_measured(
    kernel, control_id, name, flags, receive_space, send_space
):
    """Ids, flags and buffers are those of XNU's own list after its boot."""
    info = kernel.controls()[control_id - 1]
    assert (info.control_id, info.name, info.flags) == (control_id, name, flags)
    assert (info.receive_space, info.send_space) == (receive_space, send_space)
    assert info.reg_unit is None


def test_nobody_is_told_of_those_of_the_boot(kernel):
    """The first event id is still to be given out when the controls are there."""
    assert (len(kernel.controls()), kernel.last_id) == (10, 0)


@pytest.mark.parametrize("name", [UTUN, IPSEC, "com.apple.content-filter"])
def test_others_than_root_are_refused(name):
    """Privileged controls answer EPERM, and EPROTOTYPE to the wrong type of socket first."""
    kernel = SimulatedKernel(uid=501)
    assert symbol(connect, kernel, name) == "EPERM"
    assert symbol(connect, kernel, name, stream=True) == "EPROTOTYPE"


def test_bare_controls_take_a_connection_and_refuse_the_rest(kernel):
    """What is not simulated is refused, not ignored."""
    assert symbol(connect(kernel, "com.apple.net.netagent").send, b"x") == "EINVAL"
    socket = connect(kernel, "com.apple.content-filter")
    assert symbol(socket.get_option, 1, 4) == "ENOPROTOOPT"
    assert symbol(socket.set_option, 1, bytes(4)) == "ENOPROTOOPT"
    assert symbol(connect(kernel, "com.apple.flow-divert").get_option, 1, 4) == "ENOTSUP"


def test_the_stream_control_has_one_client(kernel):
    """A second client of tcp_ccdebug gets EALREADY, and may come once the first is gone."""
    first = connect(kernel, "com.apple.network.tcp_ccdebug", stream=True)
    assert symbol(connect, kernel, "com.apple.network.tcp_ccdebug", stream=True) == "EALREADY"
    assert symbol(first.send, b"x") == "ENOTSUP"
    assert symbol(first.get_option, 1, 4) == "ENOTSUP"
    first.close()
    connect(kernel, "com.apple.network.tcp_ccdebug", stream=True).close()


class TestUtun:
    def test_the_lowest_free_unit_is_given_out(self, kernel):
        """Unit 0 takes the lowest free one, and the interface's number is one less."""
        sockets = [connect(kernel, UTUN) for _ in range(3)]
        assert [socket.peer().unit for socket in sockets] == [1, 2, 3]
        sockets[1].close()
        again = connect(kernel, UTUN)
        assert (again.peer().unit, again.get_option(UtunOption.IFNAME, 32)) == (2, b"utun1\0")

    def test_a_unit_may_be_chosen_once(self, kernel):
        """A unit that somebody has is EBUSY."""
        socket = connect(kernel, UTUN, 6)
        assert socket.get_option(UtunOption.IFNAME, 32) == b"utun5\0"
        assert symbol(connect, kernel, UTUN, 6) == "EBUSY"

    def test_its_buffers_hold_packets(self, kernel):
        """Both are 512 KiB."""
        socket = connect(kernel, UTUN)
        assert (socket.send_space, socket.receive_space) == (524288, 524288)

    @pytest.mark.parametrize(
        ("option", "size", "expected"),
        [
            (UtunOption.IFNAME, 6, b"utun0\0"),
            (UtunOption.IFNAME, 3, "EMSGSIZE"),
            (UtunOption.FLAGS, 64, "EMSGSIZE"),
            (UtunOption.FLAGS, 4, bytes(4)),
            (UtunOption.EXT_IFDATA_STATS, 64, "EMSGSIZE"),
            (UtunOption.MAX_PENDING_PACKETS, 64, "EMSGSIZE"),
            (UtunOption.MAX_PENDING_PACKETS, 4, b"\1\0\0\0"),
            (UtunOption.INC_IFDATA_STATS_IN, 24, "ENOPROTOOPT"),
            (999, 64, "ENOPROTOOPT"),
        ],
    )
    def test_options_are_read_as_measured(self, kernel, option, size, expected):
        """Numbers want exactly 4 bytes, the name wants room for its NUL."""
        socket = connect(kernel, UTUN)
        if isinstance(expected, bytes):
            assert socket.get_option(option, size) == expected
        else:
            assert symbol(socket.get_option, option, size) == expected

    @pytest.mark.parametrize(
        ("option", "value", "expected"),
        [
            (UtunOption.MAX_PENDING_PACKETS, b"\x10\0\0\0", None),
            (UtunOption.MAX_PENDING_PACKETS, bytes(4), "EINVAL"),
            (UtunOption.MAX_PENDING_PACKETS, b"\1\0", "EMSGSIZE"),
            (UtunOption.EXT_IFDATA_STATS, b"\1\0\0\0", None),
            (UtunOption.INC_IFDATA_STATS_IN, bytes(24), "EINVAL"),
            (UtunOption.IFNAME, b"utun7\0", "ENOPROTOOPT"),
            (UtunOption.FLAGS, bytes(4), "EINVAL"),
            (UtunOption.SET_DELEGATE_INTERFACE, b"en0", None),
            (UtunOption.SET_DELEGATE_INTERFACE, b"e" * 16, "EMSGSIZE"),
            (UtunOption.SET_DELEGATE_INTERFACE, None, None),
            (999, bytes(4), "ENOPROTOOPT"),
        ],
    )
    def test_options_are_set_as_measured(self, kernel, option, value, expected):
        """Flags only before connect, statistics only where they were asked for."""
        socket = connect(kernel, UTUN)
        if expected is None:
            socket.set_option(option, value)
        else:
            assert symbol(socket.set_option, option, value) == expected

    def test_statistics_are_added_once_they_are_switched_on(self, kernel):
        """EXT_IFDATA_STATS is what INC_IFDATA_STATS needs."""
        socket = connect(kernel, UTUN)
        socket.set_option(UtunOption.EXT_IFDATA_STATS, b"\1\0\0\0")
        socket.set_option(UtunOption.INC_IFDATA_STATS_OUT, struct.pack("<3Q", 1, 2, 3))
        assert symbol(socket.set_option, UtunOption.INC_IFDATA_STATS_IN, bytes(23)) == "EINVAL"

    def test_flags_are_set_between_bind_and_connect(self, kernel):
        """Bound is attached without an interface; with UUIDs the header is 20 bytes."""
        socket = kernel.open_control_socket()
        address = ControlAddress(socket.lookup(UTUN), 3)
        socket.bind(address)
        assert symbol(socket.get_option, UtunOption.IFNAME, 32) == "EINVAL"
        socket.set_option(UtunOption.FLAGS, b"\4\0\0\0")
        assert symbol(connect, kernel, UTUN, 3) == "EBUSY"
        socket.connect(address)
        assert socket.get_option(UtunOption.IFNAME, 32) == b"utun2\0"
        socket.send(b"\0\0\0\2" + b"u" * 16 + PING)
        assert socket.receive(100)[:20] == b"\0\0\0\2" + b"u" * 16

    def test_a_packet_comes_back_with_its_addresses_exchanged(self, kernel):
        """IPv4: everything else is as it was, checksums too."""
        socket = connect(kernel, UTUN)
        socket.send(b"\0\0\0\2" + PING)
        back = socket.receive(2000)
        assert back[:4] == b"\0\0\0\2"
        assert back[4:16] + back[20:24] + back[16:20] + back[24:] == PING

    def test_so_does_an_ipv6_packet(self, kernel):
        """Its family is 30, as Darwin has it."""
        source, target = (ipaddress.IPv6Address(f"fd00::{n}").packed for n in (1, 2))
        socket = connect(kernel, UTUN)
        socket.send(b"\0\0\0\x1e" + bytes([0x60, 0, 0, 0, 0, 1, 59, 64]) + source + target + b"x")
        assert socket.receive(2000)[12:] == target + source + b"x"

    @pytest.mark.parametrize(
        "data",
        [
            b"",
            b"\0\0",
            b"\0\0\0\x63" + PING,
            b"\0\0\0\x0a" + PING,
            b"\0\0\0\2",
            b"\0\0\0\x1e" + PING,
        ],
    )
    def test_what_is_no_packet_is_taken_and_lost(self, kernel, data):
        """The send succeeds, and nothing comes of it."""
        socket = connect(kernel, UTUN)
        assert socket.send(data) == len(data)
        with pytest.raises(BlockingIOError):
            socket.receive(100)

    @pytest.mark.parametrize("flags", [1, 2])
    def test_flags_stop_packets(self, kernel, flags):
        """NO_OUTPUT and NO_INPUT."""
        socket = kernel.open_control_socket()
        address = ControlAddress(socket.lookup(UTUN))
        socket.bind(address)
        socket.set_option(UtunOption.FLAGS, bytes([flags, 0, 0, 0]))
        socket.connect(address)
        socket.send(b"\0\0\0\2" + PING)
        with pytest.raises(BlockingIOError):
            socket.receive(100)

    def test_packets_that_nobody_reads_are_lost_in_the_end(self, kernel):
        """Sending never fails for want of room behind the tunnel."""
        socket = connect(kernel, UTUN)
        socket.set_receive_space(100)
        for _ in range(10):
            socket.send(b"\0\0\0\2" + PING)
        assert len(socket.receive(100)) == 37
        assert kernel.control_statistics().enqueue_fullsock == 8

    def test_an_interface_comes_and_goes_with_its_socket(self, kernel):
        """The events are byte for byte those that XNU's own code posted."""
        read = events(kernel)
        connect(kernel, UTUN).close()
        posted = [raw[:16] + raw[20:] for raw in read()]
        assert posted == [
            *captured("connect com.apple.net.utun_control unit 0", 9),
            *captured("close utun control socket", 10, 11),
        ]
        assert len(posted) == 3

    def test_a_socket_that_was_only_bound_made_no_interface(self, kernel):
        """Closing it tells nothing, and its unit is free again."""
        read = events(kernel)
        socket = kernel.open_control_socket()
        socket.bind(ControlAddress(socket.lookup(UTUN)))
        socket.close()
        assert read() == []
        assert connect(kernel, UTUN).peer().unit == 1

    def test_a_new_delegate_is_told(self, kernel):
        """An event of its own."""
        socket = connect(kernel, UTUN)
        read = events(kernel)
        socket.set_option(UtunOption.SET_DELEGATE_INTERFACE, b"en0")
        assert [raw[20] for raw in read()] == [25]


def test_ipsec_has_interfaces_of_its_own(kernel):
    """Units are counted beside those of utun; events are as captured."""
    connect(kernel, UTUN)
    read = events(kernel)
    socket = connect(kernel, IPSEC)
    assert socket.get_option(2, 32) == b"ipsec0\0"
    assert symbol(socket.get_option, 1, 4) == "ENOPROTOOPT"
    assert symbol(socket.send, b"x") == "EINVAL"
    socket.close()
    assert [raw[:16] + raw[20:] for raw in read()] == [
        *captured("connect com.apple.net.ipsec_control unit 0", 9),
        *captured("close ipsec control socket", 10, 11),
    ]


class TestStatistics:
    def test_any_request_comes_back_behind_an_error(self):
        """Nobody needs to be root, and the context is the sender's own."""
        socket = connect(SimulatedKernel(uid=501), STATISTICS)
        request = struct.pack("<QI2H", 7, 0x7FFF0001, 20, 0) + b"data"
        socket.send(request)
        assert socket.next_size() == 44
        assert socket.receive(100) == struct.pack("<QI2HII", 7, 1, 44, 0, 22, 0) + request

    def test_a_wrong_length_is_corrected_in_what_comes_back(self, kernel):
        """The kernel puts the length right and clears the flags."""
        socket = connect(kernel, STATISTICS)
        socket.send(struct.pack("<QI2H", 7, 9, 0, 5) + b"data")
        assert socket.receive(100)[24:] == struct.pack("<QI2H", 7, 9, 20, 0) + b"data"

    def test_what_has_no_header_or_is_too_long_is_refused(self, kernel):
        """15 bytes EINVAL, 2049 EMSGSIZE, unless the sender asks for more space."""
        socket = connect(kernel, STATISTICS)
        assert symbol(socket.send, bytes(15)) == "EINVAL"
        assert symbol(socket.send, bytes(2049)) == "EMSGSIZE"
        socket.set_send_space(4096)
        assert socket.send(bytes(2049)) == 2049

    def test_a_full_queue_takes_bare_errors_then_nothing(self, kernel):
        """8 KiB and a quarter more; then send says ENOBUFS, and the queue is whole again."""
        socket = connect(kernel, STATISTICS)
        request = struct.pack("<QI2H", 1, 9, 1000, 0) + bytes(984)
        for _ in range(10):
            socket.send(request)
        assert symbol(socket.send, request) == "ENOBUFS"
        sizes = []
        while size := socket.next_size():
            sizes.append(size)
            socket.receive(size)
        assert sizes == [1024] * 10
        socket.send(request)
        assert socket.next_size() == 1024
        assert socket.receive_space == 8192

    def test_the_last_room_is_filled_with_bare_errors(self, kernel):
        """Where the request does not fit any more, its error still does."""
        socket = connect(kernel, STATISTICS)
        request = struct.pack("<QI2H", 1, 9, 1900, 0) + bytes(1884)
        for _ in range(6):
            socket.send(request)
        sizes = []
        while size := socket.next_size():
            sizes.append(size)
            socket.receive(size)
        assert sizes == [1924] * 5 + [24]


class TestNetsrc:
    @staticmethod
    def request(address, version=2):
        """Ask for the source address to a destination."""
        told = ipaddress.ip_address(address)
        if told.version == 4:
            sockaddr = struct.pack("<2BH4s20x", 16, 2, 0, told.packed)
        else:
            sockaddr = struct.pack("<2BHI16sI", 28, 30, 0, 0, told.packed, 0)
        return struct.pack("<2I", version, 0) + sockaddr

    @pytest.mark.parametrize(
        ("target", "source"),
        [("127.0.0.1", "0210" + "0000" + "7f000001"), ("::1", "1c1e")],
    )
    def test_the_loopback_is_reached_from_itself(self, target, source):
        """56 bytes: the source first, the interface's index last."""
        socket = connect(SimulatedKernel(uid=501), NETSRC)
        socket.send(self.request(target))
        answer = socket.receive(100)
        assert len(answer) == 56
        assert answer[:2] == (b"\x10\2" if target == "127.0.0.1" else b"\x1c\x1e")
        where = slice(4, 8) if target == "127.0.0.1" else slice(8, 24)
        assert answer[where] == ipaddress.ip_address(target).packed
        assert answer[52:54] == b"\1\0"

    @pytest.mark.parametrize(
        ("request_", "expected"),
        [
            (request("0.0.0.0"), "EINVAL"),
            (request("127.0.0.1", 3), "EINVAL"),
            (request("127.0.0.1")[:35], "EINVAL"),
            (bytes([2, 0, 0, 0]) + bytes(32), "EINVAL"),
            (request("192.0.2.1", 1), "EHOSTUNREACH"),
            (request("192.0.2.1"), "EHOSTUNREACH"),
        ],
    )
    def test_what_it_cannot_answer_it_refuses(self, kernel, request_, expected):
        """The sender is told by errno."""
        assert symbol(connect(kernel, NETSRC).send, request_) == expected

    def test_it_has_no_options(self, kernel):
        """ENOTSUP, both ways."""
        socket = connect(kernel, NETSRC)
        assert symbol(socket.get_option, 1, 4) == "ENOTSUP"
        assert symbol(socket.set_option, 1, bytes(4)) == "ENOTSUP"
