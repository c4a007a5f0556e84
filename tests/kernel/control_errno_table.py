"""What XNU answered to each call of a control's client, as measured, one row a fact.

A row is a name, what to do, and the errno that came back (None: success).  `ROWS` ask through
`ControlSocket`, so that every kernel that has controls can be held to them; `RAW_ROWS` are about
what no `ControlSocket` would say, and are asked of the kernel's side of the socket itself.
"""

from dataclasses import dataclass, field

from kevmond.errors import KernelError
from kevmond.kernel import abi, control_abi
from kevmond.kernel.control_abi import ControlFlag
from kevmond.kernel.control_base import ControlAddress
from kevmond.kernel.simulated.handlers import Handlers
from kevmond.kernel.simulated.kctl import Registration

STATIC_ID = 0x4D4B
OPTION = 5


class Probe(Handlers):
    """A control that notes its calls, and fails where it is told to."""

    provides = frozenset({"connect", "disconnect", "send", "setopt", "getopt"})

    def __init__(self):
        self.calls = []
        self.errors = {}
        self.option = b""
        self.wants = None

    def _call(self, name, *what):
        self.calls.append((name, *what))
        if name in self.errors:
            raise KernelError(name, self.errors[name])

    async def connect(self, pcb, address):
        self._call("connect", pcb.unit, address)

    async def disconnect(self, pcb):
        self._call("disconnect", pcb.unit)

    async def send(self, pcb, data, flags):
        self._call("send", len(data))

    async def setopt(self, pcb, option, value):
        self._call("setopt", option, value)
        self.option = value or b""

    async def getopt(self, pcb, option, value, size):
        self._call("getopt", option, value, size)
        if value is None:
            return None, 10
        data = self.option[:size] if self.wants is None else self.option[: self.wants]
        return data, len(data)


class Bare(Handlers):
    """A control with nothing but the compulsory connect function."""

    async def connect(self, pcb, address):
        pass


@dataclass
class World:
    """A kernel, and the controls of the table registered in it."""

    kernel: object
    """Where sockets are opened: a `ControlKernel`."""
    table: object
    """The `ControlTable` behind it."""
    probe: Probe = field(default_factory=Probe)
    nobody: object = None
    """The same kernel for a user who is not root; None where that cannot be had."""

    def __post_init__(self):
        def add(name, flags=0, handlers=None, **sizes):
            wanted = Registration(name.encode(), ControlFlag(flags), **sizes)
            return self.table.register(wanted, handlers or self.probe)

        self.foo = add("org.mklinux.nke.foo")
        self.static = add("org.mklinux.nke.static", 2, control_id=STATIC_ID, unit=7)
        self.stream = add("org.mklinux.nke.stream", 4)
        self.private = add("org.mklinux.nke.priv", 1)
        self.sized = add("org.mklinux.nke.sized", send_size=20000, receive_size=30000)
        self.bare = add("org.mklinux.nke.bare", handlers=Bare())
        self.opened = []

    def socket(self, *, stream=False, kernel=None):
        """Open a socket, which `close` closes."""
        found = (kernel or self.kernel).open_control_socket(stream=stream)
        self.opened.append(found)
        return found

    def connected(self, control=None, unit=0):
        """Open a socket connected to a control, "foo" unless told."""
        control = control or self.foo
        found = self.socket(stream=control.is_stream)
        found.connect(ControlAddress(control.control_id, unit))
        return found

    def close(self):
        """Close what was opened."""
        for one in self.opened:
            one.close()


def to(control, unit=0):
    """Address of a control."""
    return ControlAddress(control.control_id, unit)


def failing(world, name, symbol):
    """Let the probe fail at `name`, and hand out a connected socket."""
    found = world.connected()
    world.probe.errors[name] = symbol
    return found


def twice(world):
    """Connect a connected socket."""
    world.connected().connect(to(world.foo))


def after_refusal(world):
    """Connect again after the control itself refused."""
    found = world.socket()
    world.probe.errors["connect"] = "ECONNREFUSED"
    try:
        found.connect(to(world.foo))
    except KernelError:
        world.probe.errors.clear()
    found.connect(to(world.foo))


def refused(world, symbol):
    """Connect to a control that refuses."""
    world.probe.errors["connect"] = symbol
    world.socket().connect(to(world.foo))


def taken(world, control, unit):
    """Connect two sockets to one unit."""
    world.connected(control, unit)
    world.connected(control, unit)


def shut(world, how):
    """Shut a connected socket down."""
    world.connected().shutdown(how)


def raised(world):
    """Send more than the default after SO_SNDBUF was raised."""
    found = world.connected()
    found.set_send_space(8192)
    found.send(bytes(8000))


def shut_then(world, act):
    """Act after shutdown(SHUT_RDWR)."""
    found = world.connected()
    try:
        found.shutdown(control_abi.SHUT_RDWR)
    except KernelError:
        act(found)


ROWS = [
    ("CTLIOCGINFO of a known name", lambda w: w.socket().lookup("org.mklinux.nke.foo"), None),
    ("CTLIOCGINFO of an unknown name", lambda w: w.socket().lookup("no.such.control"), "ENOENT"),
    ("CTLIOCGINFO minds case", lambda w: w.socket().lookup("ORG.MKLINUX.NKE.FOO"), "ENOENT"),
    ("CTLIOCGINFO of an empty name", lambda w: w.socket().lookup(""), "EINVAL"),
    ("CTLIOCGINFO of 96 bytes", lambda w: w.socket().lookup("x" * 96), "EINVAL"),
    ("CTLIOCGINFO of 95 bytes", lambda w: w.socket().lookup("x" * 95), "ENOENT"),
    ("CTLIOCGINFO on a stream socket",
     lambda w: w.socket(stream=True).lookup("org.mklinux.nke.foo"), None),
    ("CTLIOCGCOUNT", lambda w: w.socket().count(), None),
    ("connect, unit 0", lambda w: w.connected(), None),
    ("connect, unit 50", lambda w: w.connected(unit=50), None),
    ("connect, unknown id", lambda w: w.socket().connect(ControlAddress(999999)), "ENOENT"),
    ("connect, static, its unit", lambda w: w.connected(w.static, 7), None),
    ("connect, static, wrong unit", lambda w: w.connected(w.static, 9), "ENOENT"),
    ("connect, static, unit 0", lambda w: w.connected(w.static, 0), "ENOENT"),
    ("connect, static, a second client", lambda w: taken(w, w.static, 7), "EBUSY"),
    ("connect, a unit twice", lambda w: taken(w, w.foo, 1), "EBUSY"),
    ("connect, DGRAM to STREAM", lambda w: w.socket().connect(to(w.stream)), "EPROTOTYPE"),
    ("connect, STREAM to DGRAM",
     lambda w: w.socket(stream=True).connect(to(w.foo)), "EPROTOTYPE"),
    ("connect, a connected socket", twice, "EISCONN"),
    ("connect, handler says ECONNREFUSED", lambda w: refused(w, "ECONNREFUSED"), "ECONNREFUSED"),
    ("connect, handler says EALREADY", lambda w: refused(w, "EALREADY"), "EALREADY"),
    ("connect again after the handler refused", after_refusal, None),
    ("connect, privileged, as root", lambda w: w.connected(w.private), None),
    ("bind without a bind function", lambda w: w.socket().bind(to(w.foo)), "EINVAL"),
    ("getpeername before connect", lambda w: w.socket().peer(), "ENOTCONN"),
    ("getpeername", lambda w: w.connected().peer(), None),
    ("setsockopt before connect", lambda w: w.socket().set_option(1, b"1234"), "EINVAL"),
    ("getsockopt before connect", lambda w: w.socket().get_option(1, 16), "EINVAL"),
    ("setsockopt", lambda w: w.connected().set_option(1, b"abcd"), None),
    ("setsockopt, NULL", lambda w: w.connected().set_option(1, None), None),
    ("setsockopt, 65536 bytes", lambda w: w.connected().set_option(5, bytes(65536)), None),
    ("setsockopt, 200000 bytes", lambda w: w.connected().set_option(5, bytes(200000)), None),
    ("setsockopt, option -1", lambda w: w.connected().set_option(-1, b"x"), None),
    ("setsockopt, option 0x7fffffff", lambda w: w.connected().set_option(0x7FFFFFFF, b"x"), None),
    ("getsockopt", lambda w: w.connected().get_option(1, 16), None),
    ("getsockopt, no buffer", lambda w: w.connected().option_size(3), None),
    ("setsockopt, handler says EINVAL",
     lambda w: failing(w, "setopt", "EINVAL").set_option(1, b"abcd"), "EINVAL"),
    ("setsockopt, handler says ENOTSUP",
     lambda w: failing(w, "setopt", "ENOTSUP").set_option(1, b"abcd"), "ENOTSUP"),
    ("setsockopt, handler says 9999",
     lambda w: failing(w, "setopt", "errno 9999").set_option(1, b"abcd"), "errno 9999"),
    ("getsockopt, handler says EINVAL",
     lambda w: failing(w, "getopt", "EINVAL").get_option(1, 16), "EINVAL"),
    ("setsockopt, no handler", lambda w: w.connected(w.bare).set_option(1, b"abcd"), "ENOTSUP"),
    ("getsockopt, no handler", lambda w: w.connected(w.bare).get_option(1, 4), "ENOTSUP"),
    ("send, no handler", lambda w: w.connected(w.bare).send(b"hello"), "ENOTSUP"),
    ("send before connect", lambda w: w.socket().send(b"x"), "ENOTCONN"),
    ("recv before connect", lambda w: w.socket().receive(10), "ENOTCONN"),
    ("recv, nothing there", lambda w: w.connected().receive(10), "EAGAIN"),
    ("send, 0 bytes", lambda w: w.connected().send(b""), None),
    ("send, 2048 bytes", lambda w: w.connected().send(bytes(2048)), None),
    ("send, 2049 bytes", lambda w: w.connected().send(bytes(2049)), "EMSGSIZE"),
    ("send, 65536 bytes", lambda w: w.connected().send(bytes(65536)), "EMSGSIZE"),
    ("send, 8000 bytes, SO_SNDBUF raised", raised, None),
    ("send, 20000 of 20000 bytes", lambda w: w.connected(w.sized).send(bytes(20000)), None),
    ("send, 20001 of 20000 bytes", lambda w: w.connected(w.sized).send(bytes(20001)), "EMSGSIZE"),
    ("send, handler says EIO", lambda w: failing(w, "send", "EIO").send(b"hello"), "EIO"),
    ("send, 5000 bytes on a stream", lambda w: w.connected(w.stream).send(bytes(5000)), None),
    ("SO_RCVBUF 0", lambda w: w.connected().set_receive_space(0), "EINVAL"),
    ("SO_RCVBUF above the maximum", lambda w: w.connected().set_receive_space(1 << 30), "ENOBUFS"),
    ("shutdown(SHUT_RD)", lambda w: shut(w, control_abi.SHUT_RD), None),
    ("shutdown(SHUT_WR)", lambda w: shut(w, control_abi.SHUT_WR), "EOPNOTSUPP"),
    ("shutdown(SHUT_RDWR)", lambda w: shut(w, control_abi.SHUT_RDWR), "EOPNOTSUPP"),
    ("shutdown before connect", lambda w: w.socket().shutdown(0), "ENOTCONN"),
    ("send after shutdown", lambda w: shut_then(w, lambda s: s.send(b"x")), None),
    ("recv after shutdown", lambda w: shut_then(w, lambda s: s.receive(10)), None),
    ("close", lambda w: w.connected().close(), None),
]  # fmt: skip

NOBODY_ROWS = [
    ("connect, privileged, as uid 501",
     lambda w: w.socket(kernel=w.nobody).connect(to(w.private)), "EPERM"),
    ("connect, unprivileged, as uid 501",
     lambda w: w.socket(kernel=w.nobody).connect(to(w.foo)), None),
    ("connect, privileged stream, DGRAM, as uid 501",
     lambda w: w.socket(kernel=w.nobody, stream=True).connect(to(w.private)), "EPROTOTYPE"),
]  # fmt: skip
"""Rows about somebody who is not root."""


def sockaddr(control, unit=0, family=abi.PF_SYSTEM, system=control_abi.AF_SYS_CONTROL):
    """Lay out an address, right or wrong."""
    return control_abi.SOCKADDR_CTL.pack(32, family, system, control.control_id, unit)


async def connected_pcb(world, pcb):
    """Connect the kernel's side of a socket."""
    await pcb.connect(sockaddr(world.foo))
    return pcb


async def _wrong_length(world, pcb):
    await pcb.connect(sockaddr(world.foo)[:16])


async def _no_address(world, pcb):
    await pcb.connect(b"")


async def _odd_family(world, pcb):
    await pcb.connect(sockaddr(world.foo, family=5, system=77))


def _set(level, name, value):
    async def act(world, pcb):
        await (await connected_pcb(world, pcb)).setsockopt(level, name, value)

    return act


def _get(level, name, size):
    async def act(world, pcb):
        await (await connected_pcb(world, pcb)).getsockopt(level, name, bytes(size), size)

    return act


async def _set_unconnected(world, pcb):
    await pcb.setsockopt(6, 1, bytes(4))


async def _oob(world, pcb):
    await (await connected_pcb(world, pcb)).send(b"x", control_abi.MSG_OOB)


def _ioctl(request, argument):
    async def act(world, pcb):
        pcb.ioctl(request, argument)

    return act


RAW_ROWS = [
    ("connect, an address of 16 bytes", _wrong_length, "EINVAL"),
    ("connect, an address of 0 bytes", _no_address, "EINVAL"),
    ("connect, wrong sc_family and ss_sysaddr", _odd_family, None),
    ("setsockopt, level 0", _set(0, 1, bytes(4)), "EINVAL"),
    ("setsockopt, level 1", _set(1, 1, bytes(4)), "EINVAL"),
    ("setsockopt, level 6", _set(6, 1, bytes(4)), "EINVAL"),
    ("getsockopt, level 0", _get(0, 1, 4), "EINVAL"),
    ("getsockopt, level 1", _get(1, 1, 4), "EINVAL"),
    ("getsockopt, level 6", _get(6, 1, 4), "EINVAL"),
    ("setsockopt before connect, level 6", _set_unconnected, "EINVAL"),
    ("setsockopt, an unknown option of the socket", _set(0xFFFF, 0x7777, bytes(4)), "ENOPROTOOPT"),
    ("getsockopt, an unknown option of the socket", _get(0xFFFF, 0x7777, 4), "ENOPROTOOPT"),
    ("setsockopt, above 64 MiB", _set(2, 1, bytes((64 << 20) + 1)), "EINVAL"),
    ("send with MSG_OOB", _oob, "EOPNOTSUPP"),
    ("an unknown ioctl", _ioctl(0x5413, bytes(8)), "ENOTSUP"),
    ("SIOCGKEVID", _ioctl(abi.SIOCGKEVID, bytes(4)), "ENOTSUP"),
    ("CTLIOCGINFO, 96 bytes without a NUL",
     _ioctl(control_abi.CTLIOCGINFO, bytes(4) + b"x" * 96), "EINVAL"),
]  # fmt: skip


def outcome(act, world):
    """Return the errno name that `act` ended with, or None."""
    try:
        act(world)
    except BlockingIOError:
        return "EAGAIN"
    except KernelError as error:
        return error.symbol
    return None
