"""The kernel's table of controls: registration, lookup, enqueueing, counters.

Mirrors ctl_register(), ctl_deregister(), ctl_enqueuedata() and their kin of
bsd/kern/kern_control.c as measured on XNU's own code.
"""

from __future__ import annotations

import bisect
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from kevmond.errors import KernelError
from kevmond.kernel import abi, control_abi
from kevmond.kernel.control_abi import ControlFlag

if TYPE_CHECKING:
    from kevmond.kernel.simulated.handlers import Handlers
    from kevmond.kernel.simulated.kctl_pcb import ControlPcb
    from kevmond.kernel.simulated.model import SimulatedKernel

_U32: Final = 0xFFFFFFFF
_NONE: Final = ControlFlag(0)

_REFS_BEGIN: Final = 0xFFFF
"""References begin above this, so that none is taken for an id."""


@dataclass(frozen=True, slots=True)
class Registration:
    """What a registrant asks for (the plain fields of struct kern_ctl_reg)."""

    name: bytes
    """The field ctl_name, with or without its NUL."""
    flags: ControlFlag = _NONE
    control_id: int = 0
    """Used with REG_ID_UNIT only, as is `unit`."""
    unit: int = 0
    send_size: int = 0
    """Longest message; 0 for the kernel's default, as for `receive_size`."""
    receive_size: int = 0


class Control:
    """A registered control."""

    __slots__ = (
        "control_id", "flags", "handlers", "name", "pcbs", "receive_size", "ref", "reg_unit",
        "send_size",
    )  # fmt: skip

    def __init__(self, wanted: Registration, name: bytes, control_id: int, ref: int) -> None:
        self.name = name
        self.flags = wanted.flags
        self.control_id = control_id
        self.reg_unit = wanted.unit if self.is_static else control_abi.REG_UNIT_DYNAMIC
        self.send_size = wanted.send_size or control_abi.DEFAULT_SEND_SPACE
        self.receive_size = wanted.receive_size or control_abi.DEFAULT_RECEIVE_SPACE
        self.ref = ref
        """What the registrant knows it by (kern_ctl_ref), u32; the next 4 billion have others."""
        self.pcbs: list[ControlPcb] = []
        """Sockets attached, connected or bound."""
        self.handlers: Handlers

    @property
    def is_static(self) -> bool:
        """Whether id and unit were the registrant's choice: then it takes one client at a time."""
        return ControlFlag.REG_ID_UNIT in self.flags

    @property
    def is_stream(self) -> bool:
        """Whether its sockets are byte streams."""
        return ControlFlag.REG_SOCK_STREAM in self.flags

    def answers_to(self, control_id: int, unit: int) -> bool:
        """Tell whether a connect to this id and unit means this control."""
        if self.control_id != control_id:
            return False
        return not self.is_static or self.reg_unit == unit

    def find(self, unit: int) -> ControlPcb | None:
        """Return the socket that has this unit."""
        return next((pcb for pcb in self.pcbs if pcb.unit == unit), None)


@dataclass(slots=True)
class Counters:
    """Those of struct kctlstat that move."""

    gencnt: int = 0
    connections: int = 0
    conn_fail: int = 0
    send_fail: int = 0
    enqueue_fail: int = 0
    enqueue_fullsock: int = 0
    bad_kctlref: int = 0


class ControlTable:
    """All controls of one kernel, by id."""

    def __init__(self, kernel: SimulatedKernel) -> None:
        self.kernel = kernel
        self._refs = _REFS_BEGIN
        self.controls: list[Control] = []
        """Ascending by id and unit, the order in which names are looked for."""
        self.counters = Counters()
        self.pcbs: set[ControlPcb] = set()
        """Every open control socket, attached or not."""

    def register(self, wanted: Registration, handlers: Handlers, *, quiet: bool = False) -> Control:
        """Register a control (ctl_register) and post KEV_CTL_REGISTERED unless `quiet`.

        KernelError EINVAL for a name that is empty or not terminated within 96 bytes, or without a
        connect function; EEXIST where the name (dynamic id) or the id and unit (static) are taken.
        """
        name = wanted.name.partition(b"\0")[0]
        too_long = len(name) > control_abi.CTL_NAME_MAX
        if not name or too_long or "connect" not in handlers.provides:
            raise KernelError("ctl_register", "EINVAL")
        static = ControlFlag.REG_ID_UNIT in wanted.flags
        if static:
            taken = self.find(wanted.control_id, wanted.unit) is not None
        else:
            taken = any(control.name == name for control in self.controls)
        if taken:
            raise KernelError("ctl_register", "EEXIST")
        control_id = wanted.control_id if static else self._free_id()
        control = Control(wanted, name, control_id, self._free_ref())
        control.handlers = handlers
        bisect.insort(self.controls, control, key=lambda one: (one.control_id, one.reg_unit))
        self.counters.gencnt += 1
        if not quiet:
            self._post(control_abi.KEV_CTL_REGISTERED, control)
        return control

    def deregister(self, control: Control, *, force: bool = False) -> None:
        """Remove a control (ctl_deregister) and post KEV_CTL_DEREGISTERED.

        KernelError EBUSY while a socket is attached to it, EINVAL if it is not registered.  No
        kernel has `force`: its registrant crashed, and attached sockets are dead from now on.
        """
        if control not in self.controls:
            self.counters.bad_kctlref += 1
            raise KernelError("ctl_deregister", "EINVAL")
        if control.pcbs and not force:
            raise KernelError("ctl_deregister", "EBUSY", f"{len(control.pcbs)} attached")
        self.controls.remove(control)
        for pcb in list(control.pcbs):
            pcb.abandon()
        self.counters.gencnt += 1
        self._post(control_abi.KEV_CTL_DEREGISTERED, control)

    def find(self, control_id: int, unit: int) -> Control | None:
        """Return the control that a connect to this id and unit means."""
        return next((one for one in self.controls if one.answers_to(control_id, unit)), None)

    def lookup(self, field: bytes) -> int:
        """Return the id of a name (CTLIOCGINFO); `field` is ctl_name, 96 bytes.

        KernelError EINVAL for an empty or unterminated name, ENOENT for one that nobody has.
        """
        name = field.partition(b"\0")[0]
        if not name or len(name) > control_abi.CTL_NAME_MAX:
            raise KernelError("CTLIOCGINFO", "EINVAL")
        for control in self.controls:
            if control.name == name:
                return control.control_id
        raise KernelError("CTLIOCGINFO", "ENOENT", "no such control is registered")

    def enqueue(self, control: Control, unit: int, data: bytes, flags: int) -> None:
        """Queue data for a client (ctl_enqueuedata).

        KernelError EINVAL if nobody has the unit, ENOBUFS if there is no room.
        """
        received = self._attached(control, unit, "ctl_enqueuedata").received
        try:
            received.enqueue(data, flags)
        except KernelError:
            self.counters.enqueue_fail += 1
            self.counters.enqueue_fullsock += 1
            raise

    def enqueue_space(self, control: Control, unit: int) -> int:
        """Bytes that may be queued for a client (ctl_getenqueuespace); KernelError EINVAL."""
        return self._attached(control, unit, "ctl_getenqueuespace").received.space()

    def reboot(self) -> None:
        """Go away: every socket and every control with it."""
        for pcb in list(self.pcbs):
            pcb.reader.gone()
        for control in self.controls:
            control.handlers.gone()

    def _attached(self, control: Control, unit: int, call: str) -> ControlPcb:
        pcb = control.find(unit) if control in self.controls else None
        if pcb is None:
            raise KernelError(call, "EINVAL", f"unit {unit} is nobody's")
        return pcb

    def _free_id(self) -> int:
        """Return the id above the largest in use, or the lowest free one where there is none."""
        largest = self.controls[-1].control_id if self.controls else 0
        if largest < _U32:
            return largest + 1
        used = {control.control_id for control in self.controls}
        return next(number for number in range(1, _U32) if number not in used)

    def _free_ref(self) -> int:
        used = {control.ref for control in self.controls}
        while True:
            self._refs = (self._refs + 1) & _U32
            if self._refs and self._refs not in used:
                return self._refs

    def _post(self, code: int, control: Control) -> None:
        self.kernel.post(
            abi.KEV_VENDOR_APPLE,
            control_abi.KEV_SYSTEM_CLASS,
            control_abi.KEV_CTL_SUBCLASS,
            code,
            control_abi.CTL_EVENT_DATA.pack(control.control_id, 0),
        )
