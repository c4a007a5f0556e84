"""How a control is named to the kernel: struct sockaddr_ctl and struct ctl_info as bytes."""

from __future__ import annotations

import struct
from typing import TYPE_CHECKING

from kevmond.errors import KernelError
from kevmond.kernel import abi, control_abi
from kevmond.kernel.control_base import ControlAddress

if TYPE_CHECKING:
    from collections.abc import Callable


def packed(address: ControlAddress) -> bytes:
    """Lay out a sockaddr_ctl; KernelError EINVAL for numbers that are no u32."""
    try:
        return control_abi.SOCKADDR_CTL.pack(
            control_abi.SOCKADDR_CTL.size,
            abi.PF_SYSTEM,
            control_abi.AF_SYS_CONTROL,
            address.control_id,
            address.unit,
        )
    except struct.error:
        call = f"connect to {address.control_id}:{address.unit}"
        raise KernelError(call, "EINVAL", "id and unit are numbers from 0 to 4294967295") from None


def unpacked(data: bytes) -> ControlAddress:
    """Read a sockaddr_ctl."""
    _, _, _, control_id, unit = control_abi.SOCKADDR_CTL.unpack(data)
    return ControlAddress(control_id, unit)


def control_id_of(ioctl: Callable[[int, bytes], bytes], name: str) -> int:
    """Ask `ioctl` (request, argument) for the id of a name: see `ControlSocket.lookup`."""
    text = name.encode()
    call = f"CTLIOCGINFO {name!r}"
    if not 0 < len(text) <= control_abi.CTL_NAME_MAX or b"\0" in text:
        raise KernelError(call, "EINVAL", "a control's name has 1 to 95 bytes and no NUL")
    try:
        answer = ioctl(control_abi.CTLIOCGINFO, control_abi.CTL_INFO.pack(0, text))
    except KernelError as error:
        hint = "no control of this name is registered" if error.symbol == "ENOENT" else ""
        raise type(error)(call, error.symbol, hint) from error
    control_id: int = control_abi.CTL_INFO.unpack(answer)[0]
    return control_id
