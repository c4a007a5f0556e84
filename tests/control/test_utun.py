"""A utun tunnel on the simulated kernel, in process and served."""

import asyncio

import pytest

from kevmond.cli.ctl_packets import ping
from kevmond.control.utun import Packet, Utun, UtunFlag
from kevmond.errors import KernelError
from kevmond.kernel.base import KernelFilter
from kevmond.kernel.control_abi import UtunOption
from kevmond.kernel.control_base import ControlAddress
from kevmond.kernel.simulated.model import SimulatedKernel

PING = bytes.fromhex("4500002134f10000401131c90a0800010a080002e777270f000ddd6970696e6721")
"""A UDP packet as XNU's own utun gave it to a reader."""
PONG = PING[:12] + PING[16:20] + PING[12:16] + PING[20:]


class Counting:
    """A kernel that counts the sockets opened, and those not yet closed."""

    name = "simulated"
    inline = True

    def __init__(self, kernel=None, refuse=None):
        self.kernel = kernel or SimulatedKernel()
        self.refuse = refuse
        self.opened = 0

    def open_control_socket(self, *, stream=False):
        self.opened += 1
        if self.refuse:
            raise KernelError("socket", self.refuse)
        return self.kernel.open_control_socket(stream=stream)

    def controls(self):
        return self.kernel.controls()

    @property
    def left(self):
        return len(self.kernel.kctl.pcbs)


@pytest.fixture
def kernel():
    """Give a kernel that counts sockets, and check that each was closed."""
    counting = Counting()
    yield counting
    assert counting.left == 0


async def received(tunnel, count=1):
    """Read so many packets."""
    async with asyncio.timeout(5):
        return [await anext(tunnel) for _ in range(count)]


def inject(kernel, tunnel, message):
    """Have the kernel send a message into the tunnel."""
    (control,) = [one for one in kernel.kernel.kctl.controls if one.name.endswith(b"utun_control")]
    kernel.kernel.kctl.enqueue(control, tunnel.channel.unit, message, 2)


async def test_any_free_interface(kernel):
    """Without a unit the kernel chooses, the lowest first."""
    async with await Utun.open(kernel) as first, await Utun.open(kernel) as second:
        assert [(one.name, one.unit) for one in (first, second)] == [("utun0", 0), ("utun1", 1)]


async def test_one_interface(kernel):
    """A unit is that of the interface's name, 0 too."""
    async with await Utun.open(kernel, 0) as first, await Utun.open(kernel, 7) as other:
        assert (first.name, other.name, other.unit) == ("utun0", "utun7", 7)


async def test_a_taken_unit_is_told(kernel):
    """EBUSY names the interface and says what to do."""
    async with await Utun.open(kernel, 3):
        with pytest.raises(KernelError, match=r"open utun3: EBUSY \(.*leave the unit out") as error:
            await Utun.open(kernel, 3)
        assert error.value.symbol == "EBUSY"


async def test_the_first_free_one_of_a_range(kernel):
    """Each attempt has a socket of its own, none is left open."""
    async with await Utun.open(kernel, 4), await Utun.open(kernel, 5):
        before = kernel.opened
        async with await Utun.open(kernel, scan=range(4, 10)) as tunnel:
            assert (tunnel.name, kernel.opened - before, kernel.left) == ("utun6", 3, 3)


async def test_a_range_that_is_all_taken(kernel):
    """EBUSY names the whole range."""
    async with await Utun.open(kernel, 4), await Utun.open(kernel, 5):
        with pytest.raises(KernelError, match=r"open utun4 to utun5: EBUSY"):
            await Utun.open(kernel, scan=range(4, 6))
    with pytest.raises(KernelError, match="the range to scan is empty"):
        await Utun.open(kernel, scan=[])


async def test_what_is_not_busy_ends_a_scan_at_once():
    """EPERM is no reason to try the next unit."""
    kernel = Counting(SimulatedKernel(uid=501))
    with pytest.raises(KernelError, match=r"open a utun: EPERM \(only root") as error:
        await Utun.open(kernel, scan=range(256))
    assert (error.value.symbol, kernel.opened, kernel.left) == ("EPERM", 1, 0)


async def test_what_the_error_says_itself_is_kept():
    """And what to do about it is added."""
    kernel = Counting()

    def refuse(*, stream=False):
        raise KernelError("socket", "EPERM", "the sandbox says no")

    kernel.open_control_socket = refuse
    with pytest.raises(KernelError, match="the sandbox says no; only root may"):
        await Utun.open(kernel)


async def test_a_kernel_without_utun_is_told():
    """ENOENT, at once."""
    kernel = Counting()
    table = kernel.kernel.kctl
    table.deregister(table.controls[4])
    with pytest.raises(KernelError, match="ENOENT") as error:
        await Utun.open(kernel, scan=range(256))
    assert (error.value.symbol, kernel.opened) == ("ENOENT", 1)


@pytest.mark.parametrize("more", [{"unit": -1}, {"unit": 65535}, {"unit": 1, "scan": [2]}])
async def test_units_that_no_interface_has_are_refused(kernel, more):
    """Before anything is opened."""
    with pytest.raises(ValueError, match="unit"):
        await Utun.open(kernel, **more)
    assert kernel.opened == 0


async def test_packets_go_and_come_without_their_framing(kernel):
    """IPv4 and IPv6; the family is found from the version, and is Darwin's."""
    async with await Utun.open(kernel) as tunnel:
        await tunnel.send(PING)
        await tunnel.send(ping(1))
        first, second = await received(tunnel, 2)
        assert first == Packet(2, PONG)
        assert (second.family, second.data[8:24]) == (30, ping(1)[24:40])
        told = tunnel.statistics
        assert (told.packets_in, told.packets_out) == (2, 2)
        assert told.bytes_in == told.bytes_out == len(PING) + len(ping(1))


@pytest.mark.parametrize("data", [b"", b"\0\0\0\2", b"\x50" + bytes(19)])
async def test_what_is_no_packet_is_refused(kernel, data):
    """The kernel would say nothing, and lose it."""
    async with await Utun.open(kernel) as tunnel:
        with pytest.raises(ValueError, match="neither an IPv4 nor an IPv6 packet"):
            await tunnel.send(data)
        assert tunnel.statistics.packets_out == 0


@pytest.mark.parametrize(
    "message",
    [b"\0", b"\0\0\0\2", b"\0\0\0\x1e" + PING, b"\0\0\0\x0a" + PING, b"\2\0\0\0" + PING],
)
async def test_malformed_messages_are_counted_and_passed_over(kernel, message):
    """Too short, family and version at odds, unknown family, wrong order of bytes."""
    async with await Utun.open(kernel) as tunnel:
        inject(kernel, tunnel, message)
        inject(kernel, tunnel, b"\0\0\0\2" + PING)
        assert await received(tunnel) == [Packet(2, PING)]
        assert (tunnel.statistics.malformed, tunnel.statistics.packets_in) == (1, 1)


async def test_too_long_a_packet_is_an_error(kernel):
    """EMSGSIZE reaches the sender, and is counted."""
    async with await Utun.open(kernel, send_space=2048) as tunnel:
        with pytest.raises(KernelError, match="EMSGSIZE"):
            await tunnel.send(PING.ljust(2045, b"\0"))
        await tunnel.send(PING.ljust(2044, b"\0"))
        assert (tunnel.statistics.failed, tunnel.statistics.packets_out) == (1, 1)


async def test_options(kernel):
    """Each is read and set as what it means."""
    async with await Utun.open(kernel) as tunnel:
        assert await tunnel.max_pending() == 1
        await tunnel.set_max_pending(16)
        assert await tunnel.max_pending() == 16
        with pytest.raises(KernelError, match="EINVAL"):
            await tunnel.set_max_pending(0)
        assert not await tunnel.external_statistics()
        with pytest.raises(KernelError, match="EINVAL"):
            await tunnel.add_statistics(incoming=True, packets=1)
        await tunnel.set_external_statistics(on=True)
        assert await tunnel.external_statistics()
        await tunnel.add_statistics(incoming=True, packets=1, size=2, errors=3)
        await tunnel.add_statistics(incoming=False, packets=1)
        await tunnel.set_delegate("en0")
        await tunnel.set_delegate(None)
        with pytest.raises(ValueError, match="15 bytes"):
            await tunnel.set_delegate("e" * 16)


async def test_flags_are_set_before_it_is_connected(kernel):
    """With UUIDs every packet tells its process, and what is sent has room for one."""
    async with await Utun.open(kernel, 2, flags=UtunFlag.ENABLE_PROC_UUID) as tunnel:
        assert (tunnel.name, tunnel.flags) == ("utun2", UtunFlag.ENABLE_PROC_UUID)
        assert await tunnel.channel.get_u32(UtunOption.FLAGS) == 4
        await tunnel.send(PING)
        inject(kernel, tunnel, b"\0\0\0\2" + b"u" * 16 + PING)
        assert await received(tunnel, 2) == [
            Packet(2, PONG, bytes(16)),
            Packet(2, PING, b"u" * 16),
        ]


async def test_a_scan_with_flags_goes_on_from_a_taken_unit(kernel):
    """There it is bind that says EBUSY."""
    async with (
        await Utun.open(kernel, 1),
        await Utun.open(kernel, scan=[1, 2], flags=UtunFlag.NO_INPUT) as tunnel,
    ):
        assert tunnel.name == "utun2"


async def test_closing_takes_the_interface_away(kernel):
    """Twice is harmless; the iteration ends, and the unit is free."""
    socket = kernel.kernel.open_event_socket(1 << 16)
    socket.set_filter(KernelFilter(1, 1, 2))
    tunnel = await Utun.open(kernel, 1)
    await tunnel.aclose()
    await tunnel.aclose()
    assert [packet async for packet in tunnel] == []
    buffer = memoryview(bytearray(1024))
    codes = [bytes(buffer[: socket.recv_into(buffer)])[20] for _ in range(3)]
    assert codes == [9, 10, 11]
    async with await Utun.open(kernel, 1) as again:
        assert again.name == "utun1"


async def test_a_thousand_packets_come_back_in_order(kernel):
    """Nothing is lost while the reader keeps up."""
    async with await Utun.open(kernel) as tunnel:
        for number in range(1000):
            await tunnel.send(PING[:20] + number.to_bytes(4, "big"))
        packets = await received(tunnel, 1000)
        assert [int.from_bytes(one.data[20:], "big") for one in packets] == list(range(1000))


async def test_a_tunnel_survives_others_sockets(kernel):
    """A socket that is merely bound has a unit as well."""
    bound = kernel.kernel.open_control_socket()
    bound.bind(ControlAddress(bound.lookup("com.apple.net.utun_control"), 1))
    async with await Utun.open(kernel) as tunnel:
        assert tunnel.name == "utun1"
    bound.close()
