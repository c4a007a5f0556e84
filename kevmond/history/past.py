"""The past as callers ask about it, and what all of them share."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from kevmond.history.machine import Machine
    from kevmond.journal.journal import Journal


class Daemon(Protocol):
    """What is needed of a running daemon."""

    @property
    def journal(self) -> Journal:
        """Its journal."""
        ...


class Past:
    """Holds next to nothing until somebody asks."""

    def __init__(self, daemon: Daemon) -> None:
        self._daemon = daemon
        self.turns = asyncio.Lock()
        """Held by whoever decodes a block of records: one in each turn of the loop."""
        self._machine: Machine | None = None

    @property
    def journal(self) -> Journal:
        """What holds the past."""
        return self._daemon.journal

    @property
    def machine(self) -> Machine:
        """The interfaces, kept from one question to the next."""
        if self._machine is None:
            from kevmond.history.machine import Machine  # noqa: PLC0415 - only who asks needs it

            self._machine = Machine(self.journal, self.turns)
        return self._machine
