"""Controls to talk to: the sample's protocol in Python, and sockets that do as a test says."""

import asyncio
import contextlib
import threading
from collections import deque
from pathlib import Path
from types import SimpleNamespace

import pytest

from kevmond.control import sample
from kevmond.control.registrations import Registrations
from kevmond.control.settings import ControlSettings
from kevmond.control.watch import ControlWatch
from kevmond.errors import KernelError
from kevmond.kernel.control_abi import ControlFlag, EnqueueFlag
from kevmond.kernel.control_base import ControlAddress
from kevmond.kernel.simulated.handlers import Handlers
from kevmond.kernel.simulated.kctl import Registration
from kevmond.kernel.simulated.model import SimulatedKernel
from kevmond.kernel.simulated.readiness import Readiness

NAME = "org.example.test"
PATIENCE = 20
"""Seconds after which a test that waits has failed."""


class SampleDouble(Handlers):
    """The sample kernel extension as far as a client sees it; a test double, not the extension."""

    provides = frozenset({"connect", "disconnect", "send", "setopt", "getopt"})

    def __init__(self, kernel, *, name=sample.CONTROL_NAME, hello=True, **registration):
        self.kernel = kernel
        self.hello = hello
        self.refusal = None
        """Error that connecting fails with."""
        self.send_refusals = []
        """Errors that the next sends fail with."""
        self.clients = {}
        self.commands = {1: [], 2: []}
        self.vendor = kernel.vendor_code_find(name)
        self.registration = Registration(
            name=name.encode(),
            **{"send_size": sample.MESSAGE_MAX, "receive_size": sample.QUEUE_SIZE} | registration,
        )
        self.load()

    def load(self):
        """Register."""
        self.control = self.kernel.kctl.register(self.registration, self)

    def unload(self):
        """Deregister; KernelError EBUSY while somebody is connected."""
        self.kernel.kctl.deregister(self.control)

    def say_goodbye(self):
        """Ask every client to go."""
        for client in list(self.clients.values()):
            client.tell(sample.MessageType.GOODBYE, sample.Goodbye(1).pack())

    def notice(self, value=0):
        """Tell every client something unasked."""
        for client in list(self.clients.values()):
            notice = sample.Notice(sample.NoticeKind.COMMAND, client.unit, 1, value, 0)
            client.tell(sample.MessageType.NOTICE, notice.pack())

    async def connect(self, pcb, address):
        if self.refusal:
            raise KernelError("connect", self.refusal)
        client = self.clients[pcb.unit] = Client(self, pcb.unit)
        if self.hello:
            client.tell(sample.MessageType.HELLO, self._hello(client))

    async def disconnect(self, pcb):
        self.clients.pop(pcb.unit, None)

    async def send(self, pcb, data, flags):
        if self.send_refusals:
            raise KernelError("send", self.send_refusals.pop(0))
        client, types = self.clients[pcb.unit], sample.MessageType
        message = sample.Message.unpack(data)
        match message.type:
            case types.ECHO:
                client.answer(message, types.ECHO, message.payload)
            case types.HELLO:
                client.answer(message, types.HELLO, self._hello(client))
            case types.SUBSCRIBE:
                client.mask = sample.SUBSCRIBE.unpack(message.payload)[0]
                client.answer(message, types.RESULT, sample.Result(0, client.mask).pack())
            case types.EMIT_EVENT:
                event = sample.EMIT_EVENT.unpack_from(message.payload)
                self.kernel.kext_post(self.vendor, *event, message.payload[12:])
                client.answer(message, types.RESULT, sample.Result(0, self.vendor).pack())
            case types.GOODBYE:
                client.answer(message, types.RESULT, sample.Result(0).pack())
            case _:
                raise KernelError("send", "ENOTSUP")

    async def setopt(self, pcb, option, value):
        self.commands[option].append(value)

    async def getopt(self, pcb, option, value, size):
        match option:
            case 1 | 2:
                data = len(self.commands[option]).to_bytes(4, "little")
            case sample.Option.VERSION:
                data = sample.Version.LAYOUT.pack(1, 0x10203, sample.MESSAGE_MAX, 32)
            case sample.Option.STATISTICS:
                data = sample.Statistics.LAYOUT.pack(96, len(self.clients), *range(1, 12))
            case 40:  # the request comes back
                data = bytes(value or b"")[::-1]
            case 41:  # tells no length to those without a buffer
                if value is None:
                    raise KernelError("getsockopt", "EMSGSIZE")
                data = b"name\0rest"
            case 42:
                data = b"\7" * 70_000
            case _:
                raise KernelError("getsockopt", "ENOPROTOOPT")
        return (None, len(data)) if value is None else (data[:size], min(size, len(data)))

    def _hello(self, client):
        limit = sample.MESSAGE_MAX
        return sample.Hello(1, 0x10203, client.unit, limit, 1, 16, self.vendor, 1).pack()


class Client:
    """A client as the double sees it."""

    def __init__(self, double, unit):
        self.double = double
        self.unit = unit
        self.sequence = 0
        self.dropped = 0
        self.mask = 0

    def tell(self, kind, payload):
        """Send something unasked; it is counted if it finds no room."""
        try:
            self._enqueue(kind, payload, 0)
        except KernelError:
            self.sequence += 1
            self.dropped += 1

    def answer(self, message, kind, payload):
        """Answer; ENOBUFS is the asker's."""
        self._enqueue(kind, payload, message.sequence)

    def raw(self, data):
        """Send bytes as they are."""
        kernel = self.double.kernel
        kernel.kctl.enqueue(self.double.control, self.unit, data, EnqueueFlag.EOR)

    def _enqueue(self, kind, payload, reply_to):
        message = sample.Message(kind, self.sequence + 1, payload, reply_to, self.dropped)
        self.raw(message.pack())
        self.sequence += 1


class Socket:
    """A control socket that does what its kernel's hooks say, in whatever thread they are called.

    Only the test's own thread puts messages into it.
    """

    def __init__(self, kernel, stream):
        self.kernel = kernel
        self.stream = stream
        self.queue = deque()
        self.dead = None
        self.closed = False
        self.receives = 0
        self.connected = False
        self.send_space = self.receive_space = 0
        self._ready = Readiness()

    def put(self, *messages):
        """Let messages arrive."""
        self.queue.extend(messages)
        self._ready.raise_()

    def die(self, symbol="EINVAL"):
        """Be readable, and empty, for ever."""
        self.dead = symbol
        self._ready.raise_()

    def fileno(self):
        return -1 if self.closed else self._ready.fileno()

    def lookup(self, name):
        return self.kernel.on_lookup(name)

    def connect(self, address):
        self.kernel.attempts.append((address, self.stream))
        self.kernel.on_connect(self)
        self.connected = True
        self.send_space, self.receive_space = 2048, 8192
        self.address = ControlAddress(address.control_id, address.unit or 1)

    def peer(self):
        if self.dead:
            raise KernelError("getpeername", self.dead)
        return self.address

    def send(self, data):
        return self.kernel.on_send(self, data)

    def receive(self, size):
        self.receives += 1
        if self.queue:
            return self.queue.popleft()[:size]
        if self.dead:
            return b""
        self._ready.lower()
        raise BlockingIOError

    def next_size(self):
        return len(self.queue[0]) if self.queue else 0

    def set_send_space(self, size):
        self.send_space = size

    def set_receive_space(self, size):
        self.receive_space = size

    def get_option(self, option, size, request=b""):
        return self.kernel.on_option(self, option)

    def option_size(self, option):
        return 0

    def set_option(self, option, value):
        self.kernel.on_option(self, option)

    def close(self):
        if not self.closed:
            self.kernel.on_close(self)
            self.closed = True
            self._ready.close()


class HookedKernel:
    """A kernel whose calls are made in threads, and do as a test says; events are simulated."""

    name = "hooked"

    def __init__(self):
        self.events = SimulatedKernel()
        self.sockets = []
        self.attempts = []
        """Addresses connected to, each with whether it was as a stream."""
        self.sent = []
        self.infos = []
        self.on_lookup = lambda name: 7
        self.on_connect = lambda sock: None
        self.on_option = lambda sock, option: bytes([option])
        self.on_close = lambda sock: None

    def on_send(self, sock, data):
        self.sent.append(data)
        return len(data)

    def open_control_socket(self, *, stream=False):
        self.sockets.append(Socket(self, stream))
        return self.sockets[-1]

    def open_event_socket(self, receive_space):
        return self.events.open_event_socket(receive_space)

    def controls(self):
        return self.infos


class Gate:
    """Something that a thread hangs in until the test lets it go."""

    def __init__(self):
        self._entered = threading.Event()
        self._open = threading.Event()

    def __call__(self, *_):
        self._entered.set()
        assert self._open.wait(PATIENCE)

    async def entered(self):
        """Wait until a thread hangs in it."""
        await until(self._entered.is_set)

    def open(self):
        """Let go."""
        self._open.set()


async def until(condition):
    """Wait for a condition."""
    async with asyncio.timeout(PATIENCE):
        while not condition():  # noqa: ASYNC110 - of any kind, in any thread
            await asyncio.sleep(0.001)


def threads():
    """Threads that channels have started and that have not ended."""
    return [one for one in threading.enumerate() if one.name.startswith(("control ", "look for"))]


def descriptors():
    """Open file descriptors of this process."""
    return {path.name for path in Path("/dev/fd").iterdir()}


class Log:
    """Keeps what was logged."""

    def __init__(self):
        self.lines = []

    def _note(self, text, **more):
        self.lines.append((text, more))

    debug = info = warning = error = _note


class Watched:
    """A watch, and the records that it put into the stream."""

    def __init__(self, kernel, name, **settings):
        self.records = []
        self.log = Log()
        self.registrations = Registrations(kernel, self.log)
        quick = {"retry_initial": 0.005, "retry_maximum": 0.01}
        self.watch = ControlWatch(
            name,
            ControlSettings(**quick | settings),
            kernel,
            self.registrations,
            say=self.records.append,
            log=self.log,
        )

    @property
    def types(self):
        """What was told, in order, without the prefix."""
        return [record.TYPE.removeprefix("control.") for record in self.records]

    def of(self, kind):
        """Return the records of a type."""
        wanted = f"control.{kind}"
        return [one for one in self.records if wanted == one.TYPE]

    async def told(self, kind, count=1):
        """Wait for so many records of a type, and return the last of them."""
        await until(lambda: len(self.of(kind)) >= count)
        return self.of(kind)[count - 1]

    async def state(self, state):
        """Wait until the watch is that far."""
        await until(lambda: self.watch.statistics().state == state)


@pytest.fixture(autouse=True)
def _no_threads_left():
    """Every thread that a channel started ends with it."""
    before = threads()  # of a test that failed
    yield
    left = [thread for thread in threads() if thread not in before]
    for thread in left:
        thread.join(PATIENCE)
    assert not any(thread.is_alive() for thread in left)


@pytest.fixture
def simulated():
    """Give a simulated kernel."""
    return SimulatedKernel()


@pytest.fixture
def hooked():
    """Give a kernel with hooks."""
    return HookedKernel()


@pytest.fixture
def watching():
    """Watch a control; the watch is closed at the end of the block."""

    @contextlib.asynccontextmanager
    async def running(kernel, name="foo", **settings):
        watched = Watched(kernel, name, **settings)
        watched.registrations.start()
        watched.watch.start()
        try:
            yield watched
        finally:
            await watched.watch.aclose()
            await watched.registrations.stop()

    return running


@pytest.fixture
def kit():
    """Give what is above, by name."""
    return SimpleNamespace(
        NAME=NAME,
        PATIENCE=PATIENCE,
        ControlFlag=ControlFlag,
        Gate=Gate,
        Log=Log,
        SampleDouble=SampleDouble,
        Registration=Registration,
        Watched=Watched,
        descriptors=descriptors,
        threads=threads,
        until=until,
    )
