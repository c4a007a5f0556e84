"""What `kevmond doctor` checks of kernel controls, Apple's own: any Mac has them.

Mirrors what bsd/net/ntstat.c, bsd/net/netsrc.c and bsd/net/if_utun.c answer.
"""

from __future__ import annotations

import ipaddress
import itertools
import struct
import time
from typing import TYPE_CHECKING, Final

from kevmond.cli import doctor_probe as probe
from kevmond.errors import KernelError
from kevmond.kernel import abi, control_abi
from kevmond.kernel.base import KernelFilter
from kevmond.kernel.control_base import ControlAddress

if TYPE_CHECKING:
    from kevmond.kernel.base import EventSocket, Kernel

_EVENT_SPACE: Final = 1 << 20
_UNKNOWN_NAME: Final = "net.kevmond.no-such-control"

_NSTAT_HEADER: Final = struct.Struct("<QI2H")
_NSTAT_ERROR: Final = struct.Struct("<QI2HI4x")
_NSTAT_UNKNOWN_TYPE: Final = 0x7FFF0001
_NSTAT_CONTEXT: Final = 0x6B65766D6F6E64
_NETSRC_REQUEST: Final = struct.Struct("<2I2BH4s20x")
_NETSRC_REPLY_SIZE: Final = 56
_NET_EVENT_DATA: Final = struct.Struct("<2I16s")
_IF_CODES: Final = {9: "if-attached", 10: "if-detaching", 11: "if-detached"}
_DL: Final = (abi.KEV_VENDOR_APPLE, 1, 2)
"""Vendor, class and subclass of data-link events."""


def control_socket(kernel: Kernel) -> str:
    """Open a control socket, which anybody may."""
    with probe.control(kernel) as sock:
        return f"opened; {sock.count()} controls are registered"


def control_counters(kernel: Kernel) -> str:
    """Read the counters of controls."""
    told = kernel.control_statistics()
    if told is None:
        raise probe.NotPossible(f"{control_abi.SYSCTL_KCTL_STATS} cannot be read")
    return f"{told.reg_count} registered, {told.connections} connections since boot"


def control_list(kernel: Kernel) -> str:
    """Compare the list of controls with what a socket is told of each."""
    infos = kernel.controls()
    with probe.control(kernel) as sock:
        count = sock.count()
        for info in infos:
            try:
                found = sock.lookup(info.name)
            except KernelError:  # it went meanwhile
                continue
            if info.reg_unit is None and found != info.control_id:
                told = f"{info.name} has id {info.control_id} in the list, {found} by name"
                raise probe.Failed(told)
    if count != len(infos):
        raise probe.NotPossible(
            f"{len(infos)} are listed, {count} registered",
            "the system may show a part of the list only; or one came or went meanwhile",
        )
    return f"{count} controls: " + ", ".join(info.name for info in infos)


def statistics_echo(kernel: Kernel) -> str:
    """Have com.apple.network.statistics send a message back, whole, as one message."""
    request = _NSTAT_HEADER.pack(_NSTAT_CONTEXT, _NSTAT_UNKNOWN_TYPE, 80, 0) + bytes(range(64))
    with probe.connected(kernel, control_abi.NETWORK_STATISTICS_CONTROL) as sock:
        unit = sock.peer().unit
        began = time.perf_counter_ns()
        sock.send(request)
        probe.wait_for(sock)
        took_us = (time.perf_counter_ns() - began) / 1e3
        size = sock.next_size()
        answer = sock.receive(sock.receive_space)
    expected = _NSTAT_ERROR.pack(_NSTAT_CONTEXT, 1, 104, 0, abi.DARWIN_ERRNO["EINVAL"]) + request
    if answer != expected:
        raise probe.Failed(
            f"{len(answer)} bytes came back that are not the echo: {answer[:64].hex()}",
            "this kernel's private layout may differ; the channel itself works",
        )
    if size != len(answer):
        raise probe.Failed(f"SO_NREAD said {size} bytes for a message of {len(answer)}")
    return f"unit {unit}: {len(request)} bytes there, {len(answer)} back in {took_us:.0f} us"


def message_limit(kernel: Kernel) -> str:
    """Send more than the send buffer: EMSGSIZE, until the buffer is made larger."""
    with probe.connected(kernel, control_abi.NETWORK_STATISTICS_CONTROL) as sock:
        limit = sock.send_space
        size = limit + 1
        head = _NSTAT_HEADER.pack(_NSTAT_CONTEXT, _NSTAT_UNKNOWN_TYPE, size, 0)
        message = head.ljust(size, b"\0")
        probe.expect("EMSGSIZE", f"sending {size} bytes", lambda: sock.send(message))
        sock.set_send_space(2 * limit)
        sock.send(message)
    return f"{limit} bytes by default, more after SO_SNDBUF"


def source_address(kernel: Kernel) -> str:
    """Ask com.apple.netsrc for the source address for 127.0.0.1."""
    loopback = ipaddress.IPv4Address("127.0.0.1")
    request = _NETSRC_REQUEST.pack(2, 0, 16, control_abi.DARWIN_AF_INET, 0, loopback.packed)
    with probe.connected(kernel, control_abi.NETSRC_CONTROL) as sock:
        sock.send(request)
        probe.wait_for(sock)
        answer = sock.receive(sock.receive_space)
    if len(answer) != _NETSRC_REPLY_SIZE:
        raise probe.Failed(
            f"{len(answer)} bytes came, {_NETSRC_REPLY_SIZE} expected: {answer.hex()}"
        )
    source = ipaddress.IPv4Address(answer[4:8])
    if not source.is_loopback:
        raise probe.Failed(f"the source for {loopback} is said to be {source}")
    return f"the source for {loopback} is {source}"


def unknown_name(kernel: Kernel) -> str:
    """Look up a name that nobody has: ENOENT."""
    with probe.control(kernel) as sock:
        probe.expect("ENOENT", f"looking up {_UNKNOWN_NAME}", lambda: sock.lookup(_UNKNOWN_NAME))
    return "ENOENT, as it should be"


def wrong_type(kernel: Kernel) -> str:
    """Connect a stream socket to a control for messages: EPROTOTYPE."""
    with probe.control(kernel, stream=True) as sock:
        address = ControlAddress(probe.lookup(sock, control_abi.NETSRC_CONTROL))
        probe.expect("EPROTOTYPE", "connecting a stream socket", lambda: sock.connect(address))
    return "EPROTOTYPE, as it should be"


def no_options(kernel: Kernel) -> str:
    """Read an option of a control that has none: ENOTSUP, not EOPNOTSUPP, another number."""
    with probe.connected(kernel, control_abi.NETSRC_CONTROL) as sock:
        probe.expect("ENOTSUP", "reading an option", lambda: sock.get_option(1, 4))
    return "ENOTSUP, as it should be"


def tunnel(kernel: Kernel) -> str:
    """Make a utun interface and take it away, and see the kernel's own events of that, in order."""
    with probe.events(kernel, _EVENT_SPACE) as events:
        events.set_filter(KernelFilter())
        with probe.control(kernel) as sock:
            try:
                sock.connect(ControlAddress(probe.lookup(sock, control_abi.UTUN_CONTROL)))
            except KernelError as error:
                if error.symbol == "EPERM":
                    told = "only root may make an interface"
                    raise probe.NotPossible(told, "sudo kevmond doctor") from error
                raise
            unit = sock.peer().unit - 1
            name = sock.get_option(control_abi.UtunOption.IFNAME, 32).rstrip(b"\0").decode()
        seen, ids = _interface_events(events, unit)
    if name != f"utun{unit}":
        raise probe.Failed(f"the interface of unit {unit + 1} is called {name!r}")
    wanted = list(_IF_CODES.values())
    if [word for word in seen if word in wanted] != wanted:
        told = ", ".join(seen) or "nothing"
        within = f"seen within {probe.PATIENCE_S:g} s"
        raise probe.Failed(f"{name}: expected {', '.join(wanted)}; {within}: {told}")
    jumps = [pair for pair in itertools.pairwise(ids) if pair[1] != (pair[0] + 1) & 0xFFFFFFFF]
    if jumps:
        raise probe.Failed(
            f"{name}: {', '.join(seen)}; but ids jump: {jumps}",
            "events were lost, or two were posted at once: try again",
        )
    return f"{name}: {', '.join(seen)}; ids {ids[0]} to {ids[-1]} without a gap"


def _interface_events(sock: EventSocket, unit: int) -> tuple[list[str], list[int]]:
    """Read events until the interface is gone; those of it by name, and the ids of all."""
    seen: list[str] = []
    ids: list[int] = []
    end = time.monotonic() + probe.PATIENCE_S
    buffer = memoryview(bytearray(abi.READ_SIZE))
    while "if-detached" not in seen:
        try:
            size = sock.recv_into(buffer)
        except BlockingIOError:
            left = end - time.monotonic()
            if left <= 0 or not probe.readable(sock.fileno(), left):
                break
            continue
        raw = bytes(buffer[:size])
        _, *what, kernel_id, code = abi.HEADER.unpack_from(raw)
        ids.append(kernel_id)
        data = raw[abi.HEADER.size :]
        if tuple(what) == _DL and len(data) >= _NET_EVENT_DATA.size:
            _, if_unit, if_name = _NET_EVENT_DATA.unpack_from(data)
            if (if_name.rstrip(b"\0"), if_unit) == (b"utun", unit):
                seen.append(_IF_CODES.get(code, f"code {code}"))
    return seen, ids
