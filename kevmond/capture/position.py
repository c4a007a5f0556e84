"""How far the kernel's events have been taken, remembered from run to run."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Final

from kevmond.capture.sequence import MASK, signed_difference

KEY: Final = "capture.position"
"""Under which the journal keeps it, together with the records that it speaks of."""


@dataclass(frozen=True, slots=True)
class Position:
    """Everything up to `last_id` of a boot is in the journal, but for `unsaid` events."""

    boot_id: str
    last_id: int
    """u32, the kernel's."""
    unsaid: int
    """Events up to `last_id` that are neither there nor in a record of a loss yet."""
    wall_ns: int
    """When it was taken."""

    def text(self) -> str:
        """As it is stored."""
        return json.dumps([self.boot_id, self.last_id, self.unsaid, self.wall_ns])

    @classmethod
    def read(cls, text: str | None) -> Position | None:
        """Return what was stored; None for nothing, or for what nobody can read."""
        try:
            stored = json.loads(text or "")
        except (ValueError, RecursionError):
            return None
        match stored:
            case [str(boot_id), int(last_id), int(unsaid), int(wall_ns)]:
                return cls(boot_id, last_id & MASK, unsaid, wall_ns)
        return None

    def missed(self, boot_id: str, current_id: int) -> int | None:
        """Events posted since, told by the last id now; None if another boot lies between.

        An id before the last one is no news: a recording that is read again, or two posters that
        raised the counter at once.
        """
        if boot_id != self.boot_id:
            return None
        return max(0, max(0, signed_difference(current_id, self.last_id)) + self.unsaid)
