"""The life of a watched channel, as the stream tells it."""

import asyncio

import pytest

from kevmond.control import conversation, watch
from kevmond.control.sample import Goodbye, Hello, Message, MessageType
from kevmond.errors import ConfigError, KernelError
from kevmond.kernel.simulated.handlers import Handlers

FOO = "org.mklinux.nke.foo"
SAMPLE = {"control": FOO, "protocol": "sample"}


class Plain(Handlers):
    """A control that takes every client and says nothing by itself."""

    provides = frozenset({"connect", "disconnect"})

    def __init__(self):
        self.units = []

    async def connect(self, pcb, address):
        self.units.append(pcb.unit)

    async def disconnect(self, pcb):
        self.units.remove(pcb.unit)


async def test_raw_messages(simulated, kit, watching):
    """A channel without a protocol tells what comes, as it comes, until the daemon stops."""
    control = simulated.kctl.register(kit.Registration(b"org.example.test"), Plain())
    async with watching(simulated, control="org.example.test") as watched:
        connected = await watched.told("connected")
        assert (connected.channel, connected.control) == ("foo", "org.example.test")
        assert (connected.control_id, connected.unit) == (control.control_id, 1)
        assert (connected.send_space, connected.receive_space) == (2048, 8192)
        assert (connected.stream, connected.protocol, connected.attempts) == (False, None, 1)
        for n in range(20):
            simulated.kctl.enqueue(control, 1, b"message %d" % n, 2)
        await watched.told("message", 20)
    assert [one.text for one in watched.of("message")] == [f"message {n}" for n in range(20)]
    assert watched.types == ["connected", *["message"] * 20, "disconnected"]
    (gone,) = watched.of("disconnected")
    assert (gone.reason, gone.messages, gone.unit) == ("stopped", 20, 1)
    assert control.pcbs == []


async def test_the_section_may_name_the_control(simulated, kit, watching):
    """A section without a control is named after it."""
    simulated.kctl.register(kit.Registration(b"org.example.test"), Plain())
    async with watching(simulated, "org.example.test") as watched:
        assert (await watched.told("connected")).control == "org.example.test"


async def test_sample_messages(simulated, kit, watching):
    """With the sample protocol, hello tells versions, and messages are told by their fields."""
    double = kit.SampleDouble(simulated)
    settings = SAMPLE | {"subscribe": ("clients", "commands")}
    async with watching(simulated, **settings) as watched:
        connected = await watched.told("connected")
        assert (connected.protocol, connected.version) == (1, "1.2.3")
        await kit.until(lambda: double.clients[1].mask == 3)
        double.notice(7)
        message = await watched.told("message")
        assert (message.message, message.sequence) == ("notice", 3)
        assert message.fields["command"] == 7
    assert watched.types == ["connected", "message", "disconnected"]
    assert double.clients == {}


async def test_a_control_that_is_not_there_yet(simulated, kit, watching):
    """An absent control is no error: it is waited for, and connected to when it is registered."""
    async with watching(simulated, **SAMPLE, poll=3600) as watched:
        await watched.state("waiting")
        simulated.kctl.register(kit.Registration(b"org.example.other"), Plain())
        double = kit.SampleDouble(simulated)
        connected = await watched.told("connected")
        assert connected.attempts == 1
        assert watched.watch.statistics().state == "connected"
    assert watched.types == ["registered", "connected", "disconnected"]
    assert watched.of("registered")[0].control_id == double.control.control_id


async def test_looked_for_now_and_then(simulated, kit, watching):
    """A registration that no event told of is found by the slow poll."""
    async with watching(simulated, **SAMPLE, poll=0.01) as watched:
        await watched.state("waiting")
        simulated.kctl._post = lambda code, control: None
        kit.SampleDouble(simulated)
        await watched.told("connected")
    assert watched.types == ["registered", "connected", "disconnected"]


async def test_goodbye_unload_reload(simulated, kit, watching):
    """On a goodbye the channel closes so that the control can go, and is back when it is."""
    double = kit.SampleDouble(simulated)
    async with watching(simulated, **SAMPLE, goodbye_wait=3600, poll=3600) as watched:
        for n in range(1, 6):
            await watched.told("connected", n)
            number = double.control.control_id
            with pytest.raises(KernelError, match="EBUSY"):
                double.unload()
            double.say_goodbye()
            await watched.told("disconnected", n)
            double.unload()
            assert (await watched.told("deregistered", n)).control_id == number
            double.load()  # it gets the same number again
            assert (await watched.told("registered", n)).control_id == number
        await watched.told("connected", 6)
    once = ["connected", "goodbye", "disconnected", "deregistered", "registered"]
    assert watched.types == [*once * 5, "connected", "disconnected"]
    assert watched.of("goodbye")[0].reason == "unloading"
    assert watched.of("disconnected")[0].reason == "goodbye"


async def test_reloaded_in_one_breath(simulated, kit, watching):
    """A control that goes and comes back before anybody looks is told to have done both."""
    double = kit.SampleDouble(simulated)
    async with watching(simulated, **SAMPLE, goodbye_wait=3600, poll=3600) as watched:
        await watched.told("connected")
        double.say_goodbye()
        await watched.told("disconnected")
        double.unload()
        double.load()
        await watched.told("connected", 2)
    assert watched.types[2:6] == ["disconnected", "deregistered", "registered", "connected"]


async def test_unloaded_before_our_close_returns(hooked, kit, watching, monkeypatch):
    """A control that goes and comes back while our close is under way is connected to again."""
    hello = Hello(1, 1, 1, 16384, 1, 16, 1001, 1).pack()
    goodbye = Message(MessageType.GOODBYE, 2, Goodbye(1).pack()).pack()
    monkeypatch.setattr(conversation, "LAST_PATIENCE", 0)  # nobody answers
    gate, loop = kit.Gate(), asyncio.get_running_loop()
    hooked.on_close = lambda sock: gate() if sock.connected else None

    def greet(sock):
        loop.call_soon_threadsafe(sock.put, Message(MessageType.HELLO, 1, hello).pack())

    hooked.on_connect = greet
    async with watching(hooked, **SAMPLE, goodbye_wait=3600, poll=3600) as watched:
        await watched.told("connected")
        next(one for one in hooked.sockets if one.connected).put(goodbye)
        await gate.entered()
        hooked.events.post(1, 3, 2, 2, (7).to_bytes(8, "little"))
        hooked.events.post(1, 3, 2, 1, (7).to_bytes(8, "little"))
        for _ in range(10):
            await asyncio.sleep(0)
        gate.open()
        await watched.told("connected", 2)
    assert watched.types[:6] == [
        "connected",
        "goodbye",
        "disconnected",
        "deregistered",
        "registered",
        "connected",
    ]


async def test_another_control_is_not_ours(simulated, kit, watching):
    """After a goodbye, another control's registration does not bring us back to ours."""
    double = kit.SampleDouble(simulated)
    async with watching(simulated, **SAMPLE, goodbye_wait=3600, poll=3600) as watched:
        await watched.told("connected")
        double.say_goodbye()
        await watched.state("away")
        other = simulated.kctl.register(kit.Registration(b"org.example.other"), Plain())
        simulated.kctl.deregister(other)
        for _ in range(50):
            await asyncio.sleep(0)
        assert watched.watch.statistics().state == "away"
        double.unload()
        await watched.told("deregistered")
    assert watched.types == ["connected", "goodbye", "disconnected", "deregistered"]


async def test_goodbye_without_an_unload(simulated, kit, watching):
    """A control that stays registered after its goodbye is connected to again after a while."""
    double = kit.SampleDouble(simulated)
    async with watching(simulated, **SAMPLE, goodbye_wait=0.01, poll=3600) as watched:
        await watched.told("connected")
        double.say_goodbye()
        await watched.told("connected", 2)
    once = ["connected", "goodbye", "disconnected"]
    assert watched.types == [*once, "connected", "disconnected"]


async def test_refusals_are_told_once_an_outage(simulated, kit, watching):
    """A control that refuses is told once, and again when it refuses otherwise."""
    double = kit.SampleDouble(simulated)
    double.refusal = "EBUSY"
    async with watching(simulated, **SAMPLE) as watched:
        await kit.until(lambda: watched.watch.statistics().errors > 5)
        assert watched.types == ["error"]
        double.refusal = "EPERM"
        await watched.told("error", 2)
        double.refusal = None
        connected = await watched.told("connected")
        assert connected.attempts > 6
        double.refusal = "EBUSY"
        double.say_goodbye()
        await watched.told("goodbye")
    errors = watched.of("error")
    assert [(one.call, one.symbol) for one in errors] == [
        ("connect", "EBUSY"),
        ("connect", "EPERM"),
    ]
    assert errors[0].attempt == 1
    assert "no more clients" in errors[0].detail
    assert "root" in errors[1].detail


async def test_registration_ends_a_wait(simulated, kit, watching):
    """A control that is registered anew is tried at once, however long the wait was to be."""
    double = kit.SampleDouble(simulated)
    double.refusal = "EBUSY"
    more = {"retry_initial": 3600, "retry_maximum": 3600, "poll": 3600}
    async with watching(simulated, **SAMPLE, **more) as watched:
        await watched.told("error")
        double.unload()
        await watched.told("deregistered")
        double.refusal = None
        double.load()
        await watched.told("connected")
    assert watched.types[:4] == ["error", "deregistered", "registered", "connected"]


async def test_privilege_and_type(simulated, kit, watching):
    """A control for root, or of the other type, is an error with what to do about it."""
    simulated.uid = 501
    flags = kit.ControlFlag
    simulated.kctl.register(kit.Registration(b"org.example.root", flags.PRIVILEGED), Plain())
    simulated.kctl.register(kit.Registration(b"org.example.s", flags.REG_SOCK_STREAM), Plain())
    async with watching(simulated, control="org.example.root") as watched:
        assert (await watched.told("error")).symbol == "EPERM"
    async with watching(simulated, control="org.example.s", type="dgram") as watched:
        error = await watched.told("error")
        assert error.symbol == "EPROTOTYPE"
        assert 'type = "auto"' in error.detail
    async with watching(simulated, control="org.example.s") as watched:
        assert (await watched.told("connected")).stream


async def test_static_id_and_unit(simulated, kit, watching):
    """A control named by id and unit is waited for, connected to, and followed like any other."""
    flags = kit.ControlFlag.REG_ID_UNIT
    wanted = kit.Registration(b"org.example.static", flags, 900, 3)
    settings = {"control": "900:3", "poll": 3600, "retry_initial": 3600, "retry_maximum": 3600}
    async with watching(simulated, **settings) as watched:
        await watched.state("waiting")
        control = simulated.kctl.register(wanted, Plain())
        connected = await watched.told("connected")
        assert (connected.control, connected.control_id, connected.unit) == ("900:3", 900, 3)
        simulated.kctl.deregister(control, force=True)
        await watched.told("deregistered")
        await watched.state("waiting")
        simulated.kctl.register(wanted, Plain())
        await watched.told("connected", 2)
    assert watched.types[:5] == [
        "registered",
        "connected",
        "disconnected",
        "deregistered",
        "registered",
    ]


async def test_a_crashed_control(simulated, kit, watching):
    """A control that is gone though we are connected ends the connection, and that is said."""
    double = kit.SampleDouble(simulated)
    async with watching(simulated, **SAMPLE, poll=3600) as watched:
        await watched.told("connected")
        simulated.kctl.deregister(double.control, force=True)
        await watched.told("deregistered")
        double.clients.clear()
        double.load()
        await watched.told("connected", 2)
    types = ["connected", "disconnected", "deregistered", "registered", "connected", "disconnected"]
    assert watched.types == types
    assert watched.of("disconnected")[0].reason in {"deregistered", "failed"}
    assert watched.of("disconnected")[0].detail


async def test_a_kernel_that_reboots(simulated, kit, watching, monkeypatch):
    """A simulated kernel that starts anew is found again, event socket and all."""
    monkeypatch.setattr("kevmond.control.registrations._FIRST_WAIT", 0.001)
    double = kit.SampleDouble(simulated)
    async with watching(simulated, **SAMPLE, poll=3600) as watched:
        await watched.told("connected")
        simulated.reboot()
        double.clients.clear()
        double.vendor = simulated.vendor_code_find(FOO)
        double.load()
        await watched.told("connected", 2)
    assert watched.of("disconnected")[0].reason == "failed"
    assert watched.types[:5] == [
        "connected",
        "disconnected",
        "deregistered",
        "registered",
        "connected",
    ]


async def test_losses(simulated, kit, watching):
    """Messages lost in the kernel are told, and add up to what the other side counted."""
    double = kit.SampleDouble(simulated, receive_size=2048)
    async with watching(simulated, **SAMPLE) as watched:
        await watched.told("connected")
        for value in range(500):  # faster than anybody can read
            double.notice(value)
        dropped = double.clients[1].dropped
        assert dropped > 0
        kept = 500 - dropped
        await watched.told("message", kept)
        double.notice()
        await watched.told("message", kept + 1)
        assert (await watched.told("loss")).unit == 1
        statistics = watched.watch.statistics()
        assert (statistics.messages, statistics.lost) == (kept + 2, dropped)
    assert sum(one.lost for one in watched.of("loss")) == dropped
    assert watched.of("loss")[-1].total == dropped
    assert watched.of("disconnected")[0].lost == dropped


async def burst(watched, double):
    """Say more than there is room for, and wait for what is left of it; return what is not."""
    await watched.told("connected")
    for value in range(500):
        double.notice(value)
    dropped = double.clients[1].dropped
    assert dropped > 0
    await watched.told("message", 500 - dropped)
    return dropped


def asked(double):
    """Keep the types of the messages that are sent to a control."""
    seen, send = [], double.send

    async def note(pcb, data, flags):
        seen.append(Message.unpack(data).type)
        await send(pcb, data, flags)

    double.send = note
    return seen


async def test_a_loss_at_the_end_of_a_burst(simulated, kit, watching, monkeypatch):
    """What was lost behind the last message is asked for when it is quiet, and then no more."""
    monkeypatch.setattr(conversation, "QUIET", 0.01)
    double = kit.SampleDouble(simulated, receive_size=2048)
    seen = asked(double)
    async with watching(simulated, **SAMPLE) as watched:
        dropped = await burst(watched, double)
        assert (await watched.told("loss")).lost == dropped
        await asyncio.sleep(0.05)  # several times what makes it quiet
        questions = len(seen)
        await asyncio.sleep(0.05)
        assert len(seen) == questions
        double.notice()
        await watched.told("message", 501 - dropped)
    assert sum(one.lost for one in watched.of("loss")) == dropped
    assert set(seen) == {MessageType.HELLO}


async def test_a_loss_just_before_the_end(simulated, kit, watching):
    """What was lost behind the last message is asked for before the channel is closed."""
    double = kit.SampleDouble(simulated, receive_size=2048)
    seen = asked(double)
    async with watching(simulated, **SAMPLE) as watched:
        dropped = await burst(watched, double)
        assert watched.of("loss") == []
    assert watched.types[-2:] == ["loss", "disconnected"]
    assert [one.lost for one in watched.of("loss")] == [dropped]
    assert watched.of("disconnected")[0].lost == dropped
    assert seen == [MessageType.HELLO]


async def test_who_wants_to_be_let_go_of_is_asked_nothing(simulated, kit, watching):
    """A goodbye tells the losses itself, and the channel is closed at once."""
    double = kit.SampleDouble(simulated)
    seen = asked(double)
    async with watching(simulated, **SAMPLE, goodbye_wait=3600) as watched:
        await watched.told("connected")
        double.say_goodbye()
        await watched.told("disconnected")
    assert seen == []


async def test_a_control_that_does_not_answer_the_last_question(
    simulated, kit, watching, monkeypatch
):
    """It is waited for, but not long, and what came is told."""
    monkeypatch.setattr(conversation, "LAST_PATIENCE", 0.01)
    double = kit.SampleDouble(simulated)

    async def ignore(pcb, data, flags):
        pass

    double.send = ignore
    async with watching(simulated, **SAMPLE) as watched:
        await watched.told("connected")
        double.notice()
    assert watched.types == ["connected", "message", "disconnected"]


@pytest.mark.parametrize("protocol", ["raw", "sample"])
async def test_what_is_left_unread_is_told(simulated, kit, watching, monkeypatch, protocol):
    """A control that says more than can be read while it is closed has that told."""
    monkeypatch.setattr(conversation, "LAST_PATIENCE", 0.01)
    double = kit.SampleDouble(simulated)
    async with watching(simulated, **SAMPLE | {"protocol": protocol}) as watched:
        await watched.told("connected")
        channel = watched.watch._link.channel
        receive = channel._sock.receive
        double.notice()

        def more(size):
            double.notice()
            return receive(size)

        channel._sock.receive = more
    (gone,) = watched.of("disconnected")
    if protocol == "raw":
        assert (gone.lost, "was not read" in gone.detail) == (0, True)
        assert watched.of("loss") == []
    else:
        (loss,) = watched.of("loss")
        assert (loss.lost, gone.lost, "was not read" in loss.detail) == (1, 1, True)


async def test_the_protocol_is_found_out_by_the_name(simulated, kit, watching):
    """The sample's own control is spoken to in its protocol, and so is let go of."""
    double = kit.SampleDouble(simulated)
    async with watching(simulated, FOO, subscribe=("clients",)) as watched:
        assert (await watched.told("connected")).protocol == 1
        double.say_goodbye()
        await watched.told("disconnected")
        double.unload()
        await watched.told("deregistered")


@pytest.mark.parametrize("said", [None, b"something else", b"x" * 40])
async def test_who_does_not_speak_the_protocol(simulated, kit, watching, monkeypatch, said):
    """A control that does not speak the protocol is an error, once, and tried again later."""
    monkeypatch.setattr(conversation, "HELLO_PATIENCE", 0.01)
    double = kit.SampleDouble(simulated, hello=False)
    connect = double.connect

    async def speak(pcb, address):
        await connect(pcb, address)
        if said is not None:
            double.clients[pcb.unit].raw(said)

    double.connect = speak
    async with watching(simulated, **SAMPLE) as watched:
        error = await watched.told("error")
        assert error.symbol == "EPROTO"
        assert "is this the sample's control?" in error.detail
        await kit.until(lambda: watched.watch.statistics().errors > 3)
        double.connect, double.hello = connect, True
        await watched.told("connected")
    assert watched.types == ["error", "connected", "disconnected"]


async def test_garbage_in_between(simulated, kit, watching):
    """Garbage from a control that spoke the protocol ends that connection, and another is made."""
    double = kit.SampleDouble(simulated)
    async with watching(simulated, **SAMPLE) as watched:
        await watched.told("connected")
        double.clients[1].raw(b"garbage")
        await watched.told("connected", 2)
    assert watched.types[:4] == ["connected", "error", "disconnected", "connected"]
    assert watched.of("disconnected")[0].reason == "failed"
    assert watched.of("error")[0].symbol == "EPROTO"


async def test_a_refused_subscription(simulated, kit, watching):
    """A subscription that is refused is told, and the channel stays."""
    double = kit.SampleDouble(simulated)
    double.send_refusals = ["ENOTSUP"]
    async with watching(simulated, **SAMPLE, subscribe=("events",)) as watched:
        error = await watched.told("error")
        assert error.symbol == "ENOTSUP"
        double.notice()
        await watched.told("message")
    assert watched.types == ["connected", "error", "message", "disconnected"]


async def test_nothing_that_came_is_lost_at_the_end(simulated, kit, watching):
    """What had come when the daemon stops is told before the end is."""
    double = kit.SampleDouble(simulated)
    async with watching(simulated, **SAMPLE) as watched:
        await watched.told("connected")
        for value in range(100):
            double.notice(value)
    assert watched.types == ["connected", *["message"] * 100, "disconnected"]
    assert watched.of("disconnected")[0].messages == 102  # hello, and the answer to a last question


async def test_a_kernel_without_controls(hooked, kit, watching):
    """A kernel that opens no control socket is an error, once, and no end."""

    def refuse(*, stream=False):
        raise KernelError("socket", "EAFNOSUPPORT")

    hooked.open_control_socket = refuse
    async with watching(hooked, **SAMPLE) as watched:
        await kit.until(lambda: watched.watch.statistics().errors > 3)
    assert watched.types == ["error"]


async def test_a_connect_that_hangs(hooked, kit, watching, monkeypatch):
    """A control that does not answer is told of, and the daemon stops all the same."""
    monkeypatch.setattr(watch, "SLOW_HANDLER", 0.01)
    gate = hooked.on_connect = kit.Gate()
    async with watching(hooked, control="org.example.a") as watched:
        error = await watched.told("error")
        assert error.symbol == "ETIMEDOUT"
        assert "has not answered" in error.detail
    assert watched.types == ["error"]
    gate.open()
    await kit.until(lambda: all(sock.closed for sock in hooked.sockets))


async def test_a_slow_connect(hooked, kit, watching, monkeypatch):
    """A control that answers late is connected to when it does, by the one attempt."""
    monkeypatch.setattr(watch, "SLOW_HANDLER", 0.01)
    gate = hooked.on_connect = kit.Gate()
    async with watching(hooked, control="org.example.a") as watched:
        await watched.told("error")
        gate.open()
        await watched.told("connected")
    assert len(hooked.attempts) == 1
    assert watched.types == ["error", "connected", "disconnected"]


async def test_a_close_that_hangs(hooked, kit):
    """A control that does not let go holds the daemon's stop up for no longer than is allowed."""
    gate = kit.Gate()
    hooked.on_close = lambda sock: gate() if sock.connected else None
    watched = kit.Watched(hooked, "foo", control="org.example.a")
    watched.registrations.start()
    watched.watch.start()
    await watched.told("connected")
    await watched.watch.aclose(timeout=0.01)
    assert watched.types == ["connected", "disconnected"]
    await watched.watch.aclose()
    await watched.registrations.stop()
    gate.open()
    await kit.until(lambda: all(sock.closed for sock in hooked.sockets))


@pytest.mark.parametrize("turns", range(40))
async def test_stopped_at_any_moment(hooked, kit, turns):
    """A watch that is stopped at whatever moment of its life leaves nothing behind."""
    before = kit.descriptors()
    watched = kit.Watched(hooked, "foo", control="org.example.a")
    watched.registrations.start()
    watched.watch.start()
    for _ in range(turns):
        await asyncio.sleep(0 if turns % 2 else 0.0001)
    await watched.watch.aclose("changed")
    await watched.watch.aclose()
    await watched.registrations.stop()
    await kit.until(lambda: all(sock.closed for sock in hooked.sockets))
    await kit.until(lambda: not kit.threads())
    assert kit.descriptors() == before
    assert watched.types in ([], ["connected", "disconnected"])
    assert watched.watch.statistics().state == "stopped"


async def test_a_mistake_of_ours_ends_nothing(simulated, kit, watching):
    """Whatever goes wrong within is logged, and the channel goes on."""
    double = kit.SampleDouble(simulated)
    async with watching(simulated, **SAMPLE) as watched:
        await watched.told("connected")
        broken = watched.watch._link.talk
        broken._heard = None
        double.notice()
        await watched.told("connected", 2)
    assert any("a control channel failed" in line for line, _ in watched.log.lines)


def test_a_section_that_can_be_no_control(simulated, kit):
    """A name that no control can have is refused at once."""
    with pytest.raises(ConfigError):
        kit.Watched(simulated, "n" * 96)
