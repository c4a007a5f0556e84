"""A kernel whose control sockets are checked, and the simulated kernel behind it.

The kernel's own side (registering, queueing) is done in the thread of the simulated kernel.  Loaded
by the programs and tests beside it.
"""

import asyncio
import os
import select
import threading
import traceback
from contextlib import closing, contextmanager

from kevmond.errors import KernelError
from kevmond.kernel.control_abi import ControlFlag, EnqueueFlag
from kevmond.kernel.control_base import ControlAddress
from kevmond.kernel.darwin import DarwinKernel
from kevmond.kernel.simulated.handlers import Handlers
from kevmond.kernel.simulated.kctl import Registration
from kevmond.kernel.simulated.model import SimulatedKernel

TIMEOUT = 20.0
STATIC_ID = 0x4D4B


class Echo(Handlers):
    """A control that sends back what it is sent, and notes every call.

    Options: 1 is kept and given back; 2 gives the client's own buffer back; 3 has the length of the
    number in that buffer; 4 fails with the errno that it is named; 5 is a length only.
    """

    provides = frozenset({"connect", "disconnect", "send", "setopt", "getopt"})

    def __init__(self):
        self.table = None
        self.calls = []
        self.kept = b""
        self.greeting = b""
        self.refuses = None

    async def connect(self, pcb, address):
        self.calls.append(("connect", pcb.unit, pcb.pid, pcb.uid, address))
        if self.greeting:
            self.table.enqueue(pcb.control, pcb.unit, self.greeting, EnqueueFlag.EOR)
        if self.refuses:
            raise KernelError("connect", self.refuses)

    async def disconnect(self, pcb):
        self.calls.append(("disconnect", pcb.unit))

    async def send(self, pcb, data, flags):
        self.calls.append(("send", data, flags))
        if data.startswith(b"fail "):
            raise KernelError("send", data[5:].decode())
        if not pcb.stream:
            self.table.enqueue(pcb.control, pcb.unit, data, EnqueueFlag.EOR)

    async def setopt(self, pcb, option, value):
        self.calls.append(("setopt", option, value))
        if option == 4:
            raise KernelError("setopt", value.decode())
        self.kept = value

    async def getopt(self, pcb, option, value, size):
        self.calls.append(("getopt", option, value, size))
        if value is None:
            return None, 10
        if option == 1:
            return self.kept, min(len(self.kept), size)
        if option == 3:
            length = int.from_bytes(value[:4], "little")
            return b"x" * length, length
        return None, size


class Slow(Handlers):
    """A control whose set option 1 is answered once option 2 was set, on whatever socket.

    With `connects_slowly` a connect waits for `released` as well.
    """

    provides = frozenset({"connect", "disconnect", "setopt", "getopt"})

    def __init__(self):
        self.entered = threading.Event()
        self.released = None
        self.connects_slowly = False
        self.disconnects = threading.Semaphore(0)

    async def connect(self, pcb, address):
        if self.connects_slowly:
            await self._wait()

    async def disconnect(self, pcb):
        self.disconnects.release()

    async def setopt(self, pcb, option, value):
        if option == 2:
            self.released.set()
            return
        await self._wait()

    async def _wait(self):
        self.released = asyncio.Event()
        self.entered.set()
        await self.released.wait()

    async def getopt(self, pcb, option, value, size):
        return None, size


class Lab:
    """A kernel that is checked, and what is behind it."""

    def __init__(self, kernel, model, run, as_user):
        self.kernel = kernel
        self.model = model
        self.run = run
        """Calls a function in the thread of the simulated kernel."""
        self.as_user = as_user
        """Opens sockets as another user within its block."""
        self.echo = Echo()
        self.slow = Slow()
        self.controls = run(self._register)

    def _register(self):
        table = self.echo.table = self.model.kctl
        wanted = [
            (Registration(b"org.example.echo"), self.echo),
            (Registration(b"org.example.stream", ControlFlag.REG_SOCK_STREAM), self.echo),
            (Registration(b"org.example.private", ControlFlag.PRIVILEGED), self.echo),
            (Registration(b"org.example.sized", send_size=20000, receive_size=30000), self.echo),
            (Registration(b"org.example.static", ControlFlag.REG_ID_UNIT, STATIC_ID, 7), self.echo),
            (Registration(b"org.example.slow"), self.slow),
        ]
        return {one.name.decode(): table.register(one, handlers) for one, handlers in wanted}

    def end(self):
        """Take the controls away again; one that still has a socket fails the check."""
        for control in self.controls.values():
            if control in self.model.kctl.controls:
                self.run(lambda control=control: self.model.kctl.deregister(control))

    @contextmanager
    def connected(self, name="org.example.echo", unit=0):
        """Open a socket connected to a control, and close it."""
        control = self.controls[name]
        with closing(self.kernel.open_control_socket(stream=control.is_stream)) as sock:
            sock.connect(ControlAddress(control.control_id, unit))
            yield sock

    def enqueue(self, sock, data, flags=EnqueueFlag.EOR):
        """Queue data for the client of a socket, as the control does; the errno name or None."""
        peer = sock.peer()
        control = next(one for one in self.controls.values() if one.control_id == peer.control_id)
        return self.run(
            lambda: symbol(self.model.kctl.enqueue, control, peer.unit, data, flags, fails=None)
        )


def symbol(call, *arguments, fails=True):
    """Errno name that a call fails with; where it need not, None if it does not."""
    try:
        call(*arguments)
    except BlockingIOError:
        return "EAGAIN"
    except KernelError as error:
        return error.symbol
    assert not fails, "it did not fail"
    return None


def received(sock, size=65536):
    """Read a message, waiting for it."""
    while True:
        try:
            return sock.receive(size)
        except BlockingIOError:
            assert select.select([sock], [], [], TIMEOUT)[0], "nothing came"


def received_bytes(sock, count):
    """Read `count` bytes of a stream, waiting for them."""
    data = b""
    while len(data) < count:
        data += received(sock, count - len(data))
    return data


def same(name):
    """Give the other name of an errno that this system has twice."""
    return {"EOPNOTSUPP": "ENOTSUP", "ENOTSUP": "EOPNOTSUPP"}.get(name, name)


@contextmanager
def in_process():
    """Make a lab of a simulated kernel in this process."""
    kernel = SimulatedKernel()

    @contextmanager
    def as_user(uid):
        kernel.uid = uid
        try:
            yield
        finally:
            kernel.uid = 0

    lab = Lab(kernel, kernel, lambda work: work(), as_user)
    yield lab
    lab.end()


@contextmanager
def served_by(serving, open_kernel, as_user):
    """Make a lab of a kernel that `open_kernel` makes of a path, served by another thread."""
    model = SimulatedKernel()
    loops = []

    def run(work):
        async def call():
            return work()

        return asyncio.run_coroutine_threadsafe(call(), loops[0]).result(TIMEOUT)

    with serving(model, loops.append) as path:
        kernel = open_kernel(path)
        lab = Lab(kernel, model, run, lambda uid: as_user(kernel, uid))
        yield lab
        lab.end()


@contextmanager
def remote_user(kernel, uid):
    """Be another user for a RemoteKernel."""
    kernel.uid = uid
    try:
        yield
    finally:
        kernel.uid = 0


@contextmanager
def shim_user(kernel, uid):
    """Be another user for the preloaded library."""
    os.environ["KEVSHIM_UID"] = str(uid)
    try:
        yield
    finally:
        del os.environ["KEVSHIM_UID"]


def open_darwin(path):
    """Make the Darwin kernel, which the preloaded library brings to the simulated one."""
    os.environ["KEVSHIM_SERVER"] = str(path)
    return DarwinKernel()


def failures(checks, make_lab):
    """Run each check in a lab of its own; the traceback of each that failed by its name."""
    failed = {}
    for name, check in checks.items():
        try:
            with make_lab() as lab:
                check(lab)
        except BaseException:  # noqa: BLE001 - whatever failed is told to the test that asked
            failed[name] = traceback.format_exc()
    return failed
