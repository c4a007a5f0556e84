"""What the runner needs of the journal, so that a test can hand it another (see `testing`)."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal, Protocol

if TYPE_CHECKING:
    from collections.abc import Sequence

    from kevmond.events.event import Record
    from kevmond.journal.letters import DeadLetter


class CursorLike(Protocol):
    """What a runner needs of a cursor (`kevmond.journal`)."""

    @property
    def position(self) -> int:
        """Last position acknowledged."""
        ...

    @property
    def missed(self) -> int:
        """Records that went out of reach before they were read, in total."""
        ...

    async def read(self, limit: int) -> list[Record]:
        """Wait for records; CursorClosed when there will be no more."""
        ...

    async def available(self, limit: int) -> list[Record]:
        """Return the records that are there now, none if none are."""
        ...

    def acknowledge(self, seq: int) -> None:
        """Never give out this record, or one before it, again."""
        ...

    def close(self) -> None:
        """Let go of the cursor; its place is kept."""
        ...


class JournalLike(Protocol):
    """What a runner needs of the journal."""

    @property
    def next_seq(self) -> int:
        """Position of the record that will be appended next."""
        ...

    def advance(self, seq: int) -> None:
        """Never give out a position up to this one."""
        ...

    def cursor(
        self,
        name: str,
        *,
        durable: bool = True,
        start: Literal["oldest", "newest"] | int = "newest",
    ) -> CursorLike:
        """Return the consumer's cursor."""
        ...


class DeadLetters(Protocol):
    """Where the journal keeps what a receiver never took, and what a runner must remember."""

    def bury(
        self, consumer: str, letters: Sequence[DeadLetter], acknowledge: tuple[str, int]
    ) -> None:
        """Keep letters, and move the cursor of this name to this position, both or neither."""
        ...

    async def lasting(self) -> bool:
        """Wait until a crash undoes nothing of it; False, soon, if the disk refuses."""
        ...

    def state(self, key: str) -> str | None:
        """Return a value, of this run or an earlier one."""
        ...

    def set_state(self, key: str, value: str | None) -> None:
        """Keep a value, or (None) forget it."""
        ...
