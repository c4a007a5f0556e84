"""Which kernel control is meant: by name, or by number and unit (struct sockaddr_ctl)."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Final

from kevmond.errors import ConfigError
from kevmond.kernel import control_abi

_NUMBER: Final = re.compile(r"0[xX][0-9a-fA-F]+|[0-9]+")
_U32: Final = 0xFFFFFFFF


@dataclass(frozen=True, slots=True)
class ControlTarget:
    """A control to connect to.

    With a `name`, the number is looked up at every attempt: it may be another after the control's
    kernel extension was loaded again.  Without one, `control_id` and `unit` are used as they are,
    which is for controls that are registered with a static id.
    """

    name: str = ""
    control_id: int = 0
    unit: int = 0

    @classmethod
    def parse(cls, text: str) -> ControlTarget:
        """Read "org.example.control" or "ID:UNIT" (decimal, or hex with 0x); ConfigError."""
        control_id, colon, unit = text.partition(":")
        if colon and _NUMBER.fullmatch(control_id) and _NUMBER.fullmatch(unit):
            numbers = _number(control_id), _number(unit)
            if max(numbers) > _U32:
                raise ConfigError(f"not a control: {text!r}: id and unit are at most {_U32}")
            return cls("", *numbers)
        if not 0 < len(text.encode()) <= control_abi.CTL_NAME_MAX or "\0" in text:
            raise ConfigError(
                f"not a control: {text!r}; write its name (1 to {control_abi.CTL_NAME_MAX} bytes), "
                "or ID:UNIT for one with a static id"
            )
        return cls(text)

    def __str__(self) -> str:
        return self.name or f"{self.control_id}:{self.unit}"


def _number(text: str) -> int:
    return int(text, 16 if text[:2] in {"0x", "0X"} else 10)
