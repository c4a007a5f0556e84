"""A channel on the simulated kernel, and on sockets that misbehave."""

import asyncio
import struct

import pytest

from kevmond.control.channel import ControlChannel
from kevmond.control.connecting import ControlAbsent
from kevmond.control.target import ControlTarget
from kevmond.errors import KernelError
from kevmond.kernel.control_base import ControlInfo

FOO = ControlTarget("org.mklinux.nke.foo")


@pytest.fixture
async def opened():
    """Connect, and close at the end."""
    channels = []

    async def connect(kernel, target=FOO, **more):
        channels.append(await ControlChannel.connect(kernel, target, **more))
        return channels[-1]

    yield connect
    for channel in channels:
        await channel.aclose()


async def take(channel, count):
    """Return the next messages."""
    async with asyncio.timeout(20):
        return [await anext(channel) for _ in range(count)]


# ---------------------------------------------------------------------- connecting


async def test_by_name(simulated, kit, opened):
    """A name is looked up, the kernel gives the unit, and the buffers are the control's own."""
    double = kit.SampleDouble(simulated)
    channel = await opened(simulated)
    assert (channel.name, channel.control_id) == (str(FOO), double.control.control_id)
    assert (channel.unit, channel.stream) == (1, False)
    assert (channel.send_space, channel.receive_space) == (16384, 262144)
    second = await opened(simulated)
    assert second.unit == 2


async def test_by_static_id(simulated, kit, opened):
    """A control with a static id is connected to by id and unit, or by its name alone."""
    flags = kit.ControlFlag.REG_ID_UNIT
    kit.SampleDouble(simulated, flags=flags, control_id=0x4D4B, unit=7)
    channel = await opened(simulated, ControlTarget("", 0x4D4B, 7))
    assert (channel.control_id, channel.unit, channel.name) == (0x4D4B, 7, "19787:7")
    await channel.aclose()
    by_name = await opened(simulated)
    assert (by_name.control_id, by_name.unit) == (0x4D4B, 7)


async def test_type_is_found_out(simulated, kit, opened):
    """A control that wants a stream is connected to as one, unless messages were insisted on."""
    kit.SampleDouble(simulated, flags=kit.ControlFlag.REG_SOCK_STREAM)
    channel = await opened(simulated)
    assert channel.stream
    with pytest.raises(KernelError) as caught:
        await opened(simulated, stream=False)
    assert caught.value.symbol == "EPROTOTYPE"


async def test_buffers_are_set_after_connecting(simulated, kit, opened):
    """Buffers asked for are in force though connecting sets them anew; too much gets the most."""
    kit.SampleDouble(simulated)
    channel = await opened(simulated, send_space=50_000, receive_space=1 << 30)
    assert channel.send_space == 50_000
    assert 4 << 20 < channel.receive_space <= simulated.sb_max


async def test_absent(simulated, opened):
    """A control that is not registered is told apart from one that refuses."""
    with pytest.raises(ControlAbsent) as caught:
        await opened(simulated)
    assert caught.value.symbol == "ENOENT"
    with pytest.raises(ControlAbsent):
        await opened(simulated, ControlTarget("", 999_999, 0))


@pytest.mark.parametrize("symbol", ["EBUSY", "ECONNREFUSED", "EALREADY", "EINPROGRESS", "EAGAIN"])
async def test_every_refusal_is_a_failure(simulated, kit, opened, symbol):
    """Whatever the control's handler says fails the attempt, as Darwin names it, EALREADY too."""
    double = kit.SampleDouble(simulated)
    double.refusal = symbol
    with pytest.raises(KernelError) as caught:
        await opened(simulated)
    assert caught.value.symbol == symbol
    assert simulated.kctl.pcbs == set()
    double.refusal = None
    await opened(simulated)


@pytest.mark.parametrize("error", [BlockingIOError(11, "x"), InterruptedError(4, "x")])
async def test_errors_of_the_system_too(hooked, opened, error):
    """An OSError of the connect call is a failure as well, never taken for being under way."""

    def refuse(sock):
        raise error

    hooked.on_connect = refuse
    with pytest.raises(KernelError, match=r"connect to org\.mklinux\.nke\.foo: E"):
        await opened(hooked)
    assert all(sock.closed for sock in hooked.sockets)


async def test_every_attempt_has_a_fresh_socket(hooked, opened):
    """No socket is used again after a failed connect, not even to find out the type."""

    def want_stream(sock):
        if not sock.stream:
            raise KernelError("connect", "EPROTOTYPE")

    hooked.on_connect = want_stream
    channel = await opened(hooked)
    assert channel.stream
    assert [stream for _, stream in hooked.attempts] == [False, True]
    assert [sock.closed for sock in hooked.sockets] == [True, False]


async def test_static_unit_from_the_list(hooked, opened):
    """The unit of a named control with a static id is taken from the list of controls."""
    hooked.infos = [ControlInfo(7, str(FOO), 2, 9, 1, 1)]

    def refuse(sock):
        if hooked.attempts[-1][0].unit != 9:
            raise KernelError("connect", "ENOENT")

    hooked.on_connect = refuse
    assert (await opened(hooked)).unit == 9
    hooked.infos = []
    with pytest.raises(ControlAbsent):
        await opened(hooked)


async def test_prepared_before_connecting(hooked, opened):
    """What a caller wants done to a fresh socket is done before it is connected."""
    seen = []
    await opened(hooked, prepare=lambda sock: seen.append(list(hooked.attempts)))
    assert seen == [[]]


# ---------------------------------------------------------------------- receiving


async def test_messages_in_order(simulated, kit, opened):
    """Each message comes whole and in order, an empty one as b""."""
    double = kit.SampleDouble(simulated, hello=False)
    channel = await opened(simulated)
    wanted = [bytes([n % 256]) * (n % 700 + 1) for n in range(500)]
    for data in wanted:
        double.clients[1].raw(data)
    assert await take(channel, 500) == wanted
    assert channel.messages == 500


async def test_longest_message_is_not_cut(simulated, kit, opened):
    """A message as long as the receive buffer comes whole."""
    double = kit.SampleDouble(simulated, hello=False)
    channel = await opened(simulated, receive_space=1 << 20)
    double.clients[1].raw(b"x" * channel.receive_space)
    assert len((await take(channel, 1))[0]) == channel.receive_space == 1 << 20


async def test_reading_stops_and_resumes(hooked, kit, opened):
    """While nobody takes messages no more than `queue` are read; the rest comes afterwards."""
    channel = await opened(hooked, queue=10)
    sock = hooked.sockets[-1]
    sock.put(*(b"%d" % n for n in range(100)))
    await kit.until(lambda: channel.messages == 10)
    reads = sock.receives
    for _ in range(20):  # the socket is readable all the while
        await asyncio.sleep(0)
    assert sock.receives == reads
    assert await take(channel, 100) == [b"%d" % n for n in range(100)]


async def test_batches_are_bounded(hooked, kit, opened):
    """A socket that is never empty leaves the loop time for other work."""
    channel = await opened(hooked, queue=1 << 20)
    hooked.sockets[-1].put(*(b"x" for _ in range(10_000)))
    seen = set()
    while channel.messages < 10_000:
        seen.add(channel.messages)
        await asyncio.sleep(0)
    assert len(seen) > 100


async def test_an_empty_message_is_one(hooked, opened):
    """Nothing read from a living socket is an empty message, in its place."""
    channel = await opened(hooked)
    hooked.sockets[-1].put(b"a", b"", b"b", b"", b"")
    assert await take(channel, 5) == [b"a", b"", b"b", b"", b""]


async def test_a_dead_socket_raises_and_is_left_alone(hooked, kit, opened):
    """Nothing read from a dead socket is an error after its last message, and nobody spins."""
    channel = await opened(hooked)
    sock = hooked.sockets[-1]
    sock.put(b"last")
    sock.die()
    assert await take(channel, 1) == [b"last"]
    with pytest.raises(KernelError, match="let go of this connection") as caught:
        await take(channel, 1)
    assert caught.value.symbol == "EINVAL"
    reads = sock.receives
    for _ in range(20):  # it is readable all the while
        await asyncio.sleep(0)
    assert sock.receives == reads
    with pytest.raises(KernelError):
        await take(channel, 1)


async def test_a_kernel_that_reboots(simulated, kit, opened):
    """A simulated kernel that goes away ends the iteration with an error."""
    kit.SampleDouble(simulated, hello=False)
    channel = await opened(simulated)
    simulated.reboot()
    with pytest.raises(KernelError, match="ECONNRESET"):
        await take(channel, 1)


async def test_one_consumer(hooked, opened):
    """A second consumer at the same time is a mistake and told so."""
    channel = await opened(hooked)
    first = asyncio.ensure_future(anext(channel))
    await asyncio.sleep(0)
    with pytest.raises(RuntimeError, match="one consumer"):
        await anext(channel)
    hooked.sockets[-1].put(b"x")
    assert await first == b"x"


async def test_cancelled_consumer_loses_nothing(hooked, kit, opened):
    """Whoever stops waiting leaves the message to the next who asks."""
    channel = await opened(hooked)
    waiting = asyncio.ensure_future(anext(channel))
    await asyncio.sleep(0)
    hooked.sockets[-1].put(b"x")
    await kit.until(lambda: channel.messages)
    waiting.cancel()
    await asyncio.wait({waiting})
    assert waiting.cancelled() or waiting.result() == b"x"
    if waiting.cancelled():
        assert await take(channel, 1) == [b"x"]


# ---------------------------------------------------------------------- sending


async def test_sends_in_the_order_of_the_calls(hooked, opened):
    """Many who send at once are served in order, several in one hop to the thread."""
    channel = await opened(hooked)
    wanted = [b"%d" % n for n in range(1000)]
    await asyncio.gather(*(channel.send(data) for data in wanted))
    assert hooked.sent == wanted


@pytest.mark.parametrize("refusals", [1, 5])
@pytest.mark.parametrize("symbol", ["ENOBUFS", "EAGAIN"])
async def test_no_room_is_tried_again(simulated, kit, opened, refusals, symbol):
    """A message that finds no room is offered again, and none overtakes it."""
    double = kit.SampleDouble(simulated, hello=False)
    got = []
    client_send = double.send

    async def send(pcb, data, flags):
        if double.send_refusals:
            await client_send(pcb, data, flags)
        got.append(data)

    double.send = send
    channel = await opened(simulated)
    double.send_refusals = [symbol] * refusals
    await asyncio.gather(*(channel.send(b"%d" % n) for n in range(10)))
    assert got == [b"%d" % n for n in range(10)]


async def test_no_room_in_time(hooked, opened):
    """A message that finds no room for too long fails with that errno; the next has its turn."""
    full = True

    def send(sock, data):
        if full:
            raise KernelError("send", "ENOBUFS")
        hooked.sent.append(data)
        return len(data)

    hooked.on_send = send
    channel = await opened(hooked)
    with pytest.raises(KernelError, match="ENOBUFS") as caught:
        await channel.send(b"first", timeout=0.3)
    assert caught.value.symbol == "ENOBUFS"
    full = False
    await channel.send(b"second")
    assert hooked.sent == [b"second"]


async def test_refusals_are_told(simulated, kit, opened):
    """Any other answer of the handler fails that message alone."""
    double = kit.SampleDouble(simulated)
    channel = await opened(simulated)
    double.send_refusals = ["EINVAL"]
    with pytest.raises(KernelError, match="EINVAL"):
        await channel.send(b"x")
    with pytest.raises(KernelError, match="EMSGSIZE"):
        await channel.send(b"x" * (channel.send_space + 1))
    double.send_refusals = ["EPIPE"]
    with pytest.raises(KernelError, match="EPIPE"):
        await channel.send(b"x")


async def test_a_handler_that_hangs(hooked, kit, opened):
    """A send that gets no answer fails in time, and the loop goes on meanwhile."""
    gate = kit.Gate()
    hooked.on_send = lambda sock, data: (gate(), len(data))[1]
    channel = await opened(hooked)
    sending = asyncio.ensure_future(channel.send(b"x"))
    await gate.entered()
    with pytest.raises(KernelError, match="ETIMEDOUT"):
        await channel.send(b"behind it", timeout=0.01)
    gate.open()
    await sending


async def test_cancelled_send_is_not_made(hooked, kit, opened):
    """A message whose sender no longer waits, and that has not been begun, is not sent."""
    gate = kit.Gate()

    def send(sock, data):
        if data == b"first":
            gate()
        hooked.sent.append(data)
        return len(data)

    hooked.on_send = send
    channel = await opened(hooked)
    first = asyncio.ensure_future(channel.send(b"first"))
    await gate.entered()
    second = asyncio.ensure_future(channel.send(b"second"))
    third = asyncio.ensure_future(channel.send(b"third"))
    await asyncio.sleep(0)
    second.cancel()
    gate.open()
    await asyncio.gather(first, third)
    assert hooked.sent == [b"first", b"third"]


async def test_a_stream_is_sent_in_pieces(hooked, opened):
    """On a stream no piece is sent twice, however often one is refused or taken in part."""
    refusals = iter([None, "ENOBUFS", None, "ENOBUFS", "ENOBUFS"])

    def send(sock, data):
        refusal = next(refusals, None)
        if refusal:
            raise KernelError("send", refusal)
        taken = data[:1500]
        hooked.sent.append(taken)
        return len(taken)

    hooked.on_send = send
    channel = await opened(hooked, stream=True)
    data = bytes(range(256)) * 40
    await asyncio.gather(channel.send(data), channel.send(b"end"))
    assert b"".join(hooked.sent) == data + b"end"
    assert max(map(len, hooked.sent)) <= channel.send_space


async def test_nothing_is_sent_too(hooked, opened):
    """A message without bytes reaches the handler, on a stream as well."""
    for stream in (False, True):
        channel = await opened(hooked, stream=stream)
        await channel.send(b"")
    assert hooked.sent == [b"", b""]


# ---------------------------------------------------------------------- options


async def test_options(simulated, kit, opened):
    """Options are set to bytes, a number or nothing, and read at any length."""
    double = kit.SampleDouble(simulated)
    channel = await opened(simulated)
    await channel.set_option(1)
    await channel.set_option(1, 0x01020304)
    await channel.set_option(1, -2)
    await channel.set_option(1, b"bytes")
    assert double.commands[1] == [None, b"\4\3\2\1", b"\xfe\xff\xff\xff", b"bytes"]
    assert await channel.get_u32(1) == 4
    assert await channel.get_option(42) == b"\7" * 70_000
    assert await channel.get_option(42, 10) == b"\7" * 10
    assert await channel.get_option(40, 4, b"ab") == b"\0\0ba"
    assert await channel.get_option(40, request=b"ab") == bytes(4094) + b"ba"
    assert await channel.get_text(41) == "name"
    assert await channel.get_struct(3, struct.Struct("<H2x3I")) == (1, 0x10203, 16384, 32)


async def test_options_that_are_not_there(simulated, kit, opened):
    """An option's error is the handler's, and one of another length than wanted is told."""
    kit.SampleDouble(simulated)
    channel = await opened(simulated)
    for call in (channel.get_option(99), channel.get_u32(99)):
        with pytest.raises(KernelError, match="ENOPROTOOPT"):
            await call
    with pytest.raises(KernelError, match="EPROTO"):
        await channel.get_struct(1, struct.Struct("<Q"))


# ---------------------------------------------------------------------- the end


async def test_closing_twice_and_together(simulated, kit, opened):
    """Closing any number of times closes once, and frees the unit."""
    kit.SampleDouble(simulated)
    channel = await opened(simulated)
    await asyncio.gather(*(channel.aclose() for _ in range(5)))
    await channel.aclose()
    assert simulated.kctl.pcbs == set()


async def test_after_the_end(hooked, opened):
    """After closing, what was there is still given, and every call says that it is closed."""
    channel = await opened(hooked)
    hooked.sockets[-1].put(b"a", b"b")
    await channel.aclose()
    assert [data async for data in channel] == [b"a", b"b"]
    for call in (channel.send(b"x"), channel.get_option(1), channel.set_option(1)):
        with pytest.raises(KernelError, match="EBADF"):
            await call


async def test_closing_reads_all_that_waits(hooked, kit, opened):
    """Closing reads on though reading was stopped, past empty messages too."""
    channel = await opened(hooked, queue=10)
    wanted = [b"" if n % 100 == 50 else b"%d" % n for n in range(1000)]
    hooked.sockets[-1].put(*wanted)
    await kit.until(lambda: channel.messages == 10)
    await channel.aclose()
    assert [data async for data in channel] == wanted
    assert (channel.messages, channel.unread) == (1000, False)


async def test_closing_waits_for_what_is_on_its_way(hooked, opened):
    """What the kernel says it has, and has not handed out yet, is waited for."""
    channel = await opened(hooked)
    sock = hooked.sockets[-1]
    loop, late = asyncio.get_running_loop(), [b"late"]

    def next_size():
        if late:
            loop.call_soon_threadsafe(sock.put, late.pop())
            return 4
        return 0

    sock.next_size = next_size
    await channel.aclose()
    assert [data async for data in channel] == [b"late"]
    assert not channel.unread


async def test_closing_ends_though_more_comes(hooked, opened):
    """No more is read than could wait when closing began; that there is more is told."""
    channel = await opened(hooked)
    sock = hooked.sockets[-1]
    sock.receive = lambda size: b"x" * 64
    sock.next_size = lambda: 64
    await channel.aclose()
    assert len([data async for data in channel]) == channel.receive_space // 64
    assert channel.unread


async def test_closing_is_not_held_up_by_reading(hooked, kit, opened):
    """What does not come in time is given up."""
    channel = await opened(hooked)
    hooked.sockets[-1].next_size = lambda: 64
    await channel.aclose(timeout=0.01)
    assert [data async for data in channel] == []
    await kit.until(lambda: hooked.sockets[-1].closed)
    assert channel.unread


async def test_closing_ends_every_wait(hooked, kit, opened):
    """Closing ends the iteration, and fails the sends that wait."""
    gate = kit.Gate()
    hooked.on_send = lambda sock, data: (gate(), len(data))[1]
    channel = await opened(hooked)
    reading = asyncio.ensure_future(anext(channel, None))
    sends = [asyncio.ensure_future(channel.send(b"x")) for _ in range(3)]
    await gate.entered()
    option = asyncio.ensure_future(channel.get_option(1))
    await asyncio.sleep(0)
    await channel.aclose(timeout=0)
    assert await reading is None
    for send in sends:
        with pytest.raises(KernelError, match="EBADF"):
            await send
    gate.open()
    with pytest.raises(KernelError, match="EBADF"):
        await option


async def test_a_close_that_hangs(hooked, kit, opened):
    """Closing gives up in time where the control's handler hangs, and is done when that returns."""
    gate = hooked.on_close = kit.Gate()
    channel = await opened(hooked)
    await channel.aclose(timeout=0.01)
    assert not hooked.sockets[-1].closed
    gate.open()
    await channel.aclose()
    assert hooked.sockets[-1].closed


async def test_cancelled_closing_closes(hooked, kit, opened):
    """Whoever stops waiting for a close does not stop the close."""
    gate = hooked.on_close = kit.Gate()
    channel = await opened(hooked)
    closing = asyncio.ensure_future(channel.aclose())
    await gate.entered()
    closing.cancel()
    await asyncio.wait({closing})
    gate.open()
    await kit.until(lambda: hooked.sockets[-1].closed)


async def test_cancelled_connecting_closes(hooked, kit):
    """A connect that is given up leaves neither socket, reader nor thread, whenever it returns."""
    gate = hooked.on_connect = kit.Gate()
    before = kit.descriptors()
    connecting = asyncio.ensure_future(ControlChannel.connect(hooked, FOO))
    await gate.entered()
    connecting.cancel()
    await asyncio.wait({connecting})
    assert connecting.cancelled()
    gate.open()
    await kit.until(lambda: all(sock.closed for sock in hooked.sockets))
    await kit.until(lambda: not kit.threads())
    assert kit.descriptors() == before


async def test_cancelled_when_it_is_just_connected(hooked, kit):
    """A connect that is given up in the instant it succeeds leaves nothing either."""
    before = kit.descriptors()
    connecting = asyncio.ensure_future(ControlChannel.connect(hooked, FOO))
    loop = asyncio.get_running_loop()
    done = asyncio.Event()

    def connected(sock):
        loop.call_soon_threadsafe(cancel)

    def cancel():
        connecting.cancel()
        done.set()

    hooked.on_connect = connected
    await done.wait()
    await asyncio.wait({connecting})
    if not connecting.cancelled():
        await connecting.result().aclose()
    await kit.until(lambda: all(sock.closed for sock in hooked.sockets))
    await kit.until(lambda: not kit.threads())
    assert kit.descriptors() == before


@pytest.mark.parametrize("what", ["send", "option"])
async def test_cancelled_calls_leave_nothing(hooked, kit, what):
    """A call that is given up while its handler hangs leaves nothing once that returns."""
    before = kit.descriptors()
    channel = await ControlChannel.connect(hooked, FOO)
    gate = kit.Gate()
    hooked.on_send = lambda sock, data: (gate(), len(data))[1]
    hooked.on_option = lambda sock, option: (gate(), b"x")[1]
    call = channel.send(b"x") if what == "send" else channel.get_option(1)
    calling = asyncio.ensure_future(call)
    await gate.entered()
    behind = asyncio.ensure_future(channel.get_option(2))
    await asyncio.sleep(0)
    calling.cancel()
    behind.cancel()
    await asyncio.wait({calling, behind})
    closing = asyncio.ensure_future(channel.aclose())
    await asyncio.sleep(0)
    assert not closing.done()
    gate.open()
    await closing
    await kit.until(lambda: not kit.threads())
    assert kit.descriptors() == before


async def test_no_channel_waits_for_another(hooked, kit, opened):
    """A control whose handler hangs holds up its own channel alone."""
    gate = kit.Gate()
    stuck = await opened(hooked)
    hooked.on_send = lambda sock, data: (gate() if data == b"stuck" else None, len(data))[1]
    waiting = asyncio.ensure_future(stuck.send(b"stuck"))
    await gate.entered()
    for _ in range(4):
        await (await opened(hooked)).send(b"x")
    assert not waiting.done()
    gate.open()
    await waiting
