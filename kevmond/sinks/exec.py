"""The `exec` sink: a program for every event, or for every batch of them.

The program is started without a shell, in a session of its own, with nothing of the daemon's but
what is written here: the event's JSON on standard input, its fields in the environment, standard
output and error in one pipe whose end is kept for the error text.  Exit codes are those of
sysexits.h where it has one: 0 took the event, 75 (EX_TEMPFAIL) asks for it again later.

Programs run in threads of the sink's own (kevmond/sinks/program.py), as many as may run at once;
the event loop and its way of watching children are not involved.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import pwd
import time
from pathlib import Path
from typing import TYPE_CHECKING, ClassVar, Final, Literal

from pydantic import Field, field_validator, model_validator

from kevmond.errors import PermanentError, RetryableError
from kevmond.paths import StatePath
from kevmond.secret import Secret
from kevmond.sinks.base import SinkSettings
from kevmond.sinks.program import ProgramRun, find_program
from kevmond.units import Duration
from kevmond.worker import Worker

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from kevmond.events.event import Record

PATH: Final = "/usr/bin:/bin:/usr/sbin:/sbin"
"""Where a program given by its bare name is looked for, and what it finds as PATH itself."""
FIELDS: Final = (
    *("schema", "type", "id", "seq", "time", "severity", "host", "boot_id", "kernel_id"),
    *("vendor", "vendor_name", "class", "class_name", "subclass", "subclass_name"),
    *("code", "code_name", "interface", "decode", "reason", "synthetic"),
)
"""Fields of an event that stand in the environment, as KEVMOND_ and the name in capitals."""

_SLICE: Final = 0.5
"""Seconds after which a write starts no more programs and tells how far it came: what is not
acknowledged when the daemon dies runs again."""
_FAILURES: Final = frozenset(range(1, 256)) - {os.EX_TEMPFAIL}
_MARGIN: Final = 1.0
"""Seconds of `write_timeout` that are not the programs'."""


class ExecSettings(SinkSettings):
    """A sink of type "exec"."""

    type: str = "exec"
    command: tuple[str, ...] = Field(min_length=1)
    """Program and arguments, one string each; no shell reads them.  The program is an absolute path
    or a bare name that is found in PATH."""
    per: Literal["event", "batch"] = "event"
    """What one run is given: an event, or all of a batch, one line of JSON each."""
    concurrency: int = Field(default=1, ge=1, le=64)
    """Most programs at once, per event.  With more than 1 they may overtake each other; events are
    acknowledged in order all the same."""
    timeout: Duration = Field(default=10.0, gt=0)
    """How long a program may run; then its process group is sent SIGTERM, and SIGKILL after
    `kill_after`.  `write_timeout` must be more than both together by a second."""
    kill_after: Duration = Field(default=2.0, ge=0)
    """Time between SIGTERM and SIGKILL."""
    permanent_codes: tuple[int, ...] = ()
    """Exit codes that give the event up instead of trying again, such as 65 (EX_DATAERR)."""
    cwd: StatePath = Path("/")
    """Folder that the program starts in."""
    environment: dict[str, str] = Field(default_factory=dict)
    """More variables for the program, beside PATH, HOME, USER, TMPDIR and KEVMOND_...; PATH is also
    where the program is looked for."""
    secrets: dict[str, Secret] = Field(default_factory=dict)
    """Variables whose values are secrets, each by reference (env:NAME or file:/path)."""
    log_output: bool = False
    """Whether what each program said (its last 4 KiB) is also written to the daemon's log."""

    @field_validator("command")
    @classmethod
    def _is_runnable(cls, command: tuple[str, ...]) -> tuple[str, ...]:
        if not command[0] or any("\0" in word for word in command):
            raise ValueError("the program's name is empty, or there is a NUL byte in a word")
        if "/" in command[0] and not command[0].startswith("/"):
            raise ValueError(f"write {command[0]!r} as an absolute path, or as a name without '/'")
        return command

    @field_validator("permanent_codes")
    @classmethod
    def _are_failures(cls, codes: tuple[int, ...]) -> tuple[int, ...]:
        if wrong := [code for code in codes if code not in _FAILURES]:
            raise ValueError(f"{wrong[0]} cannot be one: write codes from 1 to 255 other than 75")
        return codes

    @model_validator(mode="after")
    def _fits(self) -> ExecSettings:
        needed = self.timeout + self.kill_after + _MARGIN
        if self.write_timeout < needed:
            raise ValueError(
                f"write_timeout must be {needed:g} s at least: timeout, kill_after and a second"
            )
        for name in (*self.environment, *self.secrets):
            if not name or set(name) & {"=", "\0"} or name.startswith("KEVMOND_"):
                raise ValueError(f"{name!r} cannot be a variable of your own")
        return self


class ExecSink:
    """Runs programs; remembers those that took their event, so that none runs twice in a run."""

    Settings: ClassVar[type[SinkSettings]] = ExecSettings

    def __init__(self, name: str, settings: ExecSettings) -> None:
        self._name = name
        self._settings = settings
        count = settings.concurrency if settings.per == "event" else 1
        self._workers = [Worker(f"sink-{name}-{number}") for number in range(count)]
        self._environment: dict[bytes, bytes] | None = None
        self._taken: set[int] = set()
        """Positions that are taken and not told yet, because one before them is not."""
        self._failed: tuple[int, Exception] | None = None
        """The first that was not taken, where others before it were: they were told first."""

    async def open(self) -> None:
        """See that the program is there, and read the secrets."""
        await self.reopen()
        path = self._prepared()[b"PATH"].decode("utf-8", "replace")
        await self._workers[0].run(find_program, self._settings.command[0], path)

    async def write(self, batch: Sequence[Record]) -> int | None:
        """Run the program, for each event or once; tell how many events were taken."""
        if self._settings.per == "batch":
            data = b"".join(record.line + b"\n" for record in batch)
            await self._run(self._workers[0], batch, data)
            return None
        failed, self._failed = self._failed, None
        if failed is not None and failed[0] == batch[0].seq:
            raise failed[1]  # as it was: it has had this attempt
        failures = await self._each(batch)
        count = 0
        while count < len(batch) and batch[count].seq in self._taken:
            count += 1
        if count:
            self._taken = {seq for seq in self._taken if seq > batch[count - 1].seq}
        first = batch[count].seq if count < len(batch) else 0
        if first in failures:
            if not count:
                raise failures[first]
            self._failed = first, failures[first]
        return count

    async def _each(self, batch: Sequence[Record]) -> dict[int, Exception]:
        """Run programs side by side until the slice is over or one fails; return the failures."""
        waiting = iter([record for record in batch if record.seq not in self._taken])
        failures: dict[int, Exception] = {}
        end = time.monotonic() + _SLICE

        async def lane(worker: Worker) -> None:
            for record in waiting:
                try:
                    await self._run(worker, [record], record.line + b"\n")
                except Exception as error:  # noqa: BLE001 - raised when it is this event's turn
                    failures[record.seq] = error
                else:
                    self._taken.add(record.seq)
                if failures or time.monotonic() > end:
                    return

        if len(self._workers) == 1:
            await lane(self._workers[0])
            return failures
        async with asyncio.TaskGroup() as group:
            for worker in self._workers[: len(batch)]:
                group.create_task(lane(worker))
        return failures

    async def _run(self, worker: Worker, records: Sequence[Record], data: bytes) -> None:
        settings = self._settings
        run = ProgramRun(
            settings.command,
            {**self._prepared(), **dict(_variables(self._name, records))},
            data,
            cwd=settings.cwd,
            timeout=settings.timeout,
            kill_after=settings.kill_after,
        )
        try:
            outcome = await worker.run(run)
        except asyncio.CancelledError:
            run.unwanted.set()
            raise
        if settings.log_output and outcome.said:
            self._log(records, outcome.said)
        if outcome.code == 0 and not outcome.ended:
            return
        text = f"{settings.command[0]}: {outcome.story}"
        if outcome.code in settings.permanent_codes and not outcome.ended:
            raise PermanentError(text, len(records))
        raise RetryableError(text)

    def _log(self, records: Sequence[Record], said: str) -> None:
        import structlog  # noqa: PLC0415 - only where it is wanted

        log = structlog.get_logger("kevmond.sinks")
        log.warning(  # shown at the level that the daemon has by default
            "exec", sink=self._name, seq=records[-1].seq, output=said
        )

    def _prepared(self) -> Mapping[bytes, bytes]:
        assert self._environment is not None, "write comes after open"
        return self._environment

    async def reopen(self) -> None:
        """Read the secrets anew."""
        self._environment = await self._workers[0].run(_own_environment, self._settings)

    async def aclose(self) -> None:
        """Let the threads end; a program whose write was cancelled is being ended already."""
        self._taken.clear()
        self._failed = None
        await asyncio.gather(*(worker.end(lambda: None) for worker in self._workers))


# ---------------------------------------------------------------------- what a program is given


def _own_environment(settings: ExecSettings) -> dict[bytes, bytes]:
    """Return the variables that are the same in every run."""
    found = {"PATH": PATH}
    with contextlib.suppress(KeyError):  # a user without an entry
        user = pwd.getpwuid(os.geteuid())
        found |= {"HOME": user.pw_dir, "USER": user.pw_name}
    if "TMPDIR" in os.environ:
        found["TMPDIR"] = os.environ["TMPDIR"]
    found |= settings.environment
    found |= {name: secret.reveal() for name, secret in settings.secrets.items()}
    return {os.fsencode(name): _bytes(value) for name, value in found.items()}


def _variables(sink: str, records: Sequence[Record]) -> Iterator[tuple[bytes, bytes]]:
    """Yield what tells of the event, or of the batch's first and last."""
    yield b"KEVMOND_SINK", _bytes(sink)
    yield b"KEVMOND_COUNT", b"%d" % len(records)
    if len(records) > 1:
        first, last = records[0].event, records[-1].event
        yield from (
            (b"KEVMOND_FIRST_ID", first.id.encode()),
            (b"KEVMOND_LAST_ID", last.id.encode()),
        )
        yield from (
            (b"KEVMOND_FIRST_SEQ", b"%d" % first.seq),
            (b"KEVMOND_LAST_SEQ", b"%d" % last.seq),
        )
        return
    event = records[0].event
    for field in FIELDS:
        value = getattr(event, f"{field}_" if field in {"schema", "class"} else field)
        if isinstance(value, bool):
            value = int(value)
        yield f"KEVMOND_{field.upper()}".encode(), b"" if value is None else _bytes(str(value))


def _bytes(value: str) -> bytes:
    """Return a value as an environment can hold it."""
    return value.replace("\0", "\N{REPLACEMENT CHARACTER}").encode("utf-8", "replace")
