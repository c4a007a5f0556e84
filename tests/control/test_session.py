"""The sample protocol on a channel."""

import asyncio

import pytest

from kevmond.control.channel import ControlChannel
from kevmond.control.sample import (
    Message,
    MessageType,
    ProtocolError,
    Subscription,
)
from kevmond.control.session import Losses, SampleSession
from kevmond.control.target import ControlTarget
from kevmond.errors import KernelError
from kevmond.kernel.base import KernelFilter

FOO = ControlTarget("org.mklinux.nke.foo")


@pytest.fixture
def double(simulated, kit):
    """Give a control that speaks the protocol."""
    return kit.SampleDouble(simulated)


@pytest.fixture
async def session(simulated, double):
    """Give a session with it."""
    channel = await ControlChannel.connect(simulated, FOO)
    session = await SampleSession.open(channel)
    yield session
    await session.aclose()


def client(double):
    """Return the one client as the control sees it."""
    (only,) = double.clients.values()
    return only


async def take(session, count):
    """Return the next unasked messages."""
    async with asyncio.timeout(20):
        return [await anext(session) for _ in range(count)]


async def test_hello(session, double):
    """The other side's first word tells who it is."""
    assert (session.hello.protocol, session.hello.version) == (1, 0x10203)
    assert session.hello.unit == session.channel.unit
    assert session.hello.vendor_code == double.vendor


async def test_ten_thousand_echoes(session):
    """Ten thousand echoes of 512 bytes, many at once, come back each to its asker, none lost."""
    numbers = iter(range(10_000))

    async def ask():
        for number in numbers:
            payload = number.to_bytes(8, "little") * 64
            assert await session.echo(payload) == payload

    await asyncio.gather(*(ask() for _ in range(32)))
    assert session.lost == 0
    assert session.channel.messages == 10_001


async def test_echoes_come_back_in_order(double, session):
    """Answers come in the order of the questions."""
    answered = []

    async def ask(number):
        await session.echo(b"%d" % number)
        answered.append(number)

    await asyncio.gather(*(ask(number) for number in range(1000)))
    assert answered == list(range(1000))


@pytest.mark.parametrize("size", [0, 1, 16384 - 32])
async def test_echo_of_any_size(session, size):
    """An echo may be as long as a message can be."""
    assert await session.echo(b"e" * size) == b"e" * size


async def test_too_long(session):
    """An echo that no message can hold is refused, and the next one is as good as before."""
    with pytest.raises(ProtocolError, match="at most"):
        await session.echo(b"e" * 16384)
    assert await session.echo(b"x") == b"x"


async def test_requests(session, double, simulated):
    """Subscribing, emitting an event, commands, versions and counters reach the other side."""
    assert await session.subscribe(Subscription.CLIENTS | Subscription.EVENTS) == 5
    events = simulated.open_event_socket(32768)
    events.set_filter(KernelFilter(double.vendor))
    assert await session.emit_event(1, 2, 3, b"data") == double.vendor
    buffer = memoryview(bytearray(1024))
    assert events.recv_into(buffer) == 28
    assert bytes(buffer[24:28]) == b"data"
    events.close()
    await session.command(1)
    await session.command(2, 7)
    assert (double.commands[1], double.commands[2]) == ([None], [b"\7\0\0\0"])
    assert await session.command_count(2) == 1
    assert (await session.version()).max_message == 16384
    assert (await session.statistics()).clients == 1
    await session.goodbye()
    with pytest.raises(ValueError, match="command 3"):
        await session.command(3)


async def test_refusals(session, double):
    """A refused sending, and a result that is an error, are KernelErrors with Darwin's names."""
    double.send_refusals = ["EINVAL"]
    with pytest.raises(KernelError, match="EINVAL"):
        await session.echo(b"x")

    async def refuse(pcb, data, flags):
        message = Message.unpack(data)
        client(double).answer(message, MessageType.RESULT, b"\x37\0\0\0\0\0\0\0")

    double.send = refuse
    with pytest.raises(KernelError) as caught:
        await session.subscribe(Subscription.ALL)
    assert caught.value.symbol == "ENOBUFS"


async def test_an_answer_of_another_kind(session, double):
    """An answer that is none to this question is the protocol's error."""

    async def confuse(pcb, data, flags):
        client(double).answer(Message.unpack(data), MessageType.ECHO, b"")

    double.send = confuse
    with pytest.raises(ProtocolError, match="answered by echo"):
        await session.goodbye()


async def test_no_answer(session, double, kit):
    """A request that is not answered fails in time; an answer that comes later is nobody's."""
    asked = []

    async def keep(pcb, data, flags):
        asked.append(Message.unpack(data))

    send, double.send = double.send, keep
    given_up = asyncio.ensure_future(session.echo(b"x"))
    await kit.until(lambda: asked)
    given_up.cancel()
    with pytest.raises(KernelError, match="ETIMEDOUT"):
        await session.request(MessageType.ECHO, timeout=0.01)
    double.send = send
    client(double).answer(asked[0], MessageType.ECHO, b"late")
    double.notice(1)
    assert [message.type for message in await take(session, 1)] == [MessageType.NOTICE]
    assert await session.echo(b"x") == b"x"


async def test_unasked_messages(session, double):
    """What comes unasked comes by iteration, in order, while requests are answered."""
    for value in range(100):
        double.notice(value)
    assert await session.echo(b"x") == b"x"
    messages = await take(session, 100)
    assert [message.sequence for message in messages] == list(range(2, 102))


async def test_goodbye_ends_the_iteration(session, double):
    """The other side's goodbye is the last that iteration gives; requests still work then."""
    double.notice()
    double.say_goodbye()
    messages = [message async for message in session]
    assert [message.type for message in messages] == [MessageType.NOTICE, MessageType.GOODBYE]
    assert session.goodbye_reason == "unloading"
    assert await session.echo(b"x") == b"x"
    assert [message async for message in session] == []


async def test_losses_are_counted_once(session, double):
    """Messages that found no room are counted by the gap and by the other side's count: once."""
    session.channel._read(False)  # nobody reads, so the kernel's queue fills
    for value in range(10_000):
        double.notice(value)
    dropped = client(double).dropped
    assert dropped > 0
    session.channel._read(True)
    kept = 10_000 - dropped
    await take(session, kept)
    assert session.lost == 0  # the last of them were lost, and nothing came since
    double.notice()
    await take(session, 1)
    assert session.lost == dropped


async def test_losses_are_learnt_when_asked_for(session, double):
    """The last messages of a burst are known to be lost once the other side was asked; once."""
    session.channel._read(False)
    for value in range(10_000):
        double.notice(value)
    dropped = client(double).dropped
    session.channel._read(True)
    await take(session, 10_000 - dropped)
    await session.learn_losses()
    assert session.lost == dropped > 0
    await session.learn_losses()
    double.notice()
    await take(session, 1)
    assert session.lost == dropped


def message(sequence, dropped=0):
    """Make a message of which only the figures count."""
    return Message(MessageType.NOTICE, sequence, dropped=dropped)


@pytest.mark.parametrize(
    ("messages", "lost"),
    [
        ([(1, 0), (2, 0)], 0),
        ([(1, 0), (4, 2)], 2),  # both proofs
        ([(1, 0), (4, 0)], 2),  # the gap alone
        ([(1, 0), (2, 3)], 3),  # the count alone
        ([(3, 0)], 2),  # before the first
        ([(1, 0), (3, 0), (2, 0), (4, 0)], 0),  # out of turn
        ([(1, 0), (1, 0)], 0),
        ([(1, 0xFFFFFFFF), (2, 1)], 1),  # the count wraps; the first is nonsense
        ([(1, 0), (3, 1), (2, 0)], 1),  # an older count takes nothing back
    ],
)
def test_two_proofs_of_a_loss(messages, lost):
    """A gap and the other side's count prove the same loss: the larger of them counts."""
    losses = Losses()
    for sequence, dropped in messages:
        losses.note(message(sequence, dropped))
    assert losses.total == lost


async def test_too_much_unasked_waits(session, double, kit):
    """While nobody takes what comes unasked it is left to the kernel; taking it goes on with it."""
    for value in range(3000):
        double.notice(value)
    await kit.until(lambda: session._room is not None)
    with pytest.raises(KernelError, match="take what came unasked first"):
        await session.request(MessageType.ECHO, timeout=0.01)
    assert len(await take(session, 3000)) == 3000
    assert await session.echo(b"x") == b"x"
    assert session.lost == 0


async def test_closing_with_much_unasked(session, double, kit):
    """A session that nobody takes messages from can be closed, and gives them afterwards."""
    for value in range(3000):
        double.notice(value)
    await kit.until(lambda: session._room is not None)
    await session.aclose()
    assert len([message async for message in session]) > 2000


async def test_closing_ends_requests(session, double):
    """Closing the channel fails the requests under way and ends the iteration."""

    async def ignore(pcb, data, flags):
        pass

    double.send = ignore
    requests = [asyncio.ensure_future(session.echo(b"x")) for _ in range(3)]
    reading = asyncio.ensure_future(anext(session, None))
    await asyncio.sleep(0)
    await session.channel.aclose()
    for request in requests:
        with pytest.raises(KernelError, match="EBADF"):
            await request
    assert await reading is None
    with pytest.raises(KernelError, match="EBADF"):
        await session.echo(b"x")


async def test_garbage_ends_it(session, double):
    """Bytes that are no message end the session, for whoever waits for anything."""
    client(double).raw(b"garbage" * 10)
    with pytest.raises(ProtocolError, match="is this the sample's"):
        await take(session, 1)
    with pytest.raises(ProtocolError):
        await session.echo(b"x")


async def test_another_kind_of_control(simulated, double):
    """A control that says something else, or nothing, is not taken for the sample's."""
    double.hello = False
    channel = await ControlChannel.connect(simulated, FOO)
    with pytest.raises(ProtocolError, match=r"no hello within 0\.01 s"):
        await SampleSession.open(channel, timeout=0.01)
    await channel.aclose()
    channel = await ControlChannel.connect(simulated, FOO)
    client(double).raw(b"hello, world")
    with pytest.raises(ProtocolError, match="less than a header"):
        await SampleSession.open(channel)
    await channel.aclose()


async def test_a_socket_that_dies(simulated, double, session):
    """A session whose kernel goes away says so."""
    simulated.reboot()
    with pytest.raises(KernelError, match="ECONNRESET"):
        await take(session, 1)


async def test_cancelled_opening_stops_reading(simulated, double):
    """An opening that is given up leaves the channel to others."""
    double.hello = False
    channel = await ControlChannel.connect(simulated, FOO)
    opening = asyncio.ensure_future(SampleSession.open(channel))
    await asyncio.sleep(0)
    opening.cancel()
    await asyncio.wait({opening})
    await asyncio.sleep(0)
    client(double).raw(b"x")
    assert await anext(channel) == b"x"
    await channel.aclose()


async def test_several_at_once(simulated, double):
    """Sessions side by side each get their own answers."""
    channels = await asyncio.gather(*(ControlChannel.connect(simulated, FOO) for _ in range(8)))
    sessions = await asyncio.gather(*map(SampleSession.open, channels))

    async def echo(session):
        for number in range(100):
            payload = b"%d:%d" % (session.channel.unit, number)
            assert await session.echo(payload) == payload

    await asyncio.gather(*map(echo, sessions))
    assert sorted(session.hello.unit for session in sessions) == list(range(1, 9))
    await asyncio.gather(*(session.aclose() for session in sessions))
    assert double.clients == {}
