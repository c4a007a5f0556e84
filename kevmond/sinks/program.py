"""One run of a program: started without a shell, fed, heard, waited for, and ended for certain.

The program gets a session of its own, so that it and all that it starts can be ended together, and
of the daemon's files it gets none.  Blocks; runs in a thread of the sink that wants it.
"""

from __future__ import annotations

import contextlib
import errno
import os
import selectors
import shutil
import signal
import subprocess
import threading
import time
from dataclasses import dataclass
from pathlib import Path
from typing import IO, TYPE_CHECKING, Final

from kevmond.errors import RetryableError

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

OUTPUT_KEPT: Final = 4096
"""Bytes of a program's output that are kept: the last ones."""

_TICK: Final = 0.1
"""Seconds after which a thread that hears nothing looks whether its program is still wanted."""
_LAST_GRACE: Final = 0.5
"""Longest time between SIGTERM and SIGKILL for a program that nobody waits for any more."""
_REAP: Final = 5.0
"""Seconds that a killed program is waited for; longer takes only one that the kernel holds."""
_CHUNK: Final = 1 << 16


@dataclass(frozen=True, slots=True)
class Outcome:
    """What became of a program that was started."""

    code: int | None
    """Its exit code, or minus the signal that ended it; None if it could not be waited for."""
    said: str
    """The end of its output, as one line of printable text."""
    ended: str = ""
    """Why it was ended from here; empty if it ended by itself."""

    @property
    def story(self) -> str:
        """How it ended and what it said."""
        if self.ended or self.code is None:
            how = self.ended or "it does not end"
        elif self.code < 0:
            how = f"it was killed by {_signal_name(-self.code)}"
        else:
            how = f"exit code {self.code}"
        return f"{how}; it said: {self.said}" if self.said else how


class ProgramRun:
    """A program from its start to its end; to be called once."""

    def __init__(
        self,
        command: Sequence[str],
        environment: Mapping[bytes, bytes],
        data: bytes,
        *,
        cwd: Path,
        timeout: float,
        kill_after: float,
    ) -> None:
        """Take what it is given; `environment` is all of it, `data` its standard input.

        After `timeout` seconds its process group is sent SIGTERM, `kill_after` later SIGKILL.
        """
        self.unwanted = threading.Event()
        """To be set by another thread: nobody waits for the outcome, so let it come to an end."""
        self._command = command
        self._environment = environment
        self._rest = memoryview(data)
        self._cwd = cwd
        self._timeout = timeout
        self._kill_after = kill_after
        self._said = b""
        self._pipes = selectors.PollSelector()

    def __call__(self) -> Outcome:
        """Run it; RetryableError if it cannot be started."""
        if self.unwanted.is_set():
            return Outcome(None, "", "it was not started")
        with self._pipes:
            process = self._start()
            assert process.stdin is not None
            assert process.stdout is not None
            with process.stdin, process.stdout:
                try:
                    self._watch(process.stdin, selectors.EVENT_WRITE)
                    self._watch(process.stdout, selectors.EVENT_READ)
                    ended = self._attend(process)
                finally:
                    self._let_go(process.stdin)
                    if process.returncode is None:
                        self._end(process)
        return Outcome(process.returncode, _readable(self._said), ended)

    def _start(self) -> subprocess.Popen[bytes]:
        path = self._environment[b"PATH"].decode("utf-8", "replace")
        program = find_program(self._command[0], path)
        try:
            return subprocess.Popen(  # noqa: S603 - what runs is the settings' own wish
                self._command,
                executable=program,
                bufsize=0,
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=subprocess.STDOUT,
                cwd=self._cwd,
                env=self._environment,
                start_new_session=True,
            )
        except OSError as error:
            raise RetryableError(self._not_started(program, error)) from error

    def _not_started(self, program: str, error: OSError) -> str:
        symbol = errno.errorcode.get(error.errno or 0, str(error.errno))
        if error.filename is not None and Path(os.fsdecode(error.filename)) == self._cwd:
            return f"{program}: cannot start in the folder {self._cwd}: {symbol}; set cwd"
        hint = {
            "ENOEXEC": "; a script needs a first line such as #!/bin/sh",
            "ENOENT": "; is the interpreter in its first line there?",
            "EACCES": "; give this user the right to run it",
            "EAGAIN": "; this user has too many processes",
        }.get(symbol, "")
        return f"{program}: cannot be started: {symbol} ({error.strerror}){hint}"

    def _watch(self, pipe: IO[bytes], event: int) -> None:
        os.set_blocking(pipe.fileno(), False)
        self._pipes.register(pipe, event)

    def _let_go(self, pipe: IO[bytes]) -> None:
        with contextlib.suppress(KeyError, ValueError):
            self._pipes.unregister(pipe)
        pipe.close()

    def _attend(self, process: subprocess.Popen[bytes]) -> str:
        """Feed and hear it until it has exited (""), or has to be ended (why)."""
        deadline = time.monotonic() + self._timeout
        while not self.unwanted.is_set():
            left = deadline - time.monotonic()
            if left <= 0:
                return f"it ran longer than {self._timeout:g} s and was ended"
            if not self._pipes.get_map():
                with contextlib.suppress(subprocess.TimeoutExpired):
                    process.wait(min(left, _TICK))
                    return ""
            elif not self._exchange(min(left, _TICK)) and process.poll() is not None:
                return ""  # something that it left running holds its output, and may go on
        return "it was ended because nobody waits for it any more"

    def _exchange(self, seconds: float) -> bool:
        """Wait for the pipes, write what is taken and read what is there; False for nothing."""
        ready = self._pipes.select(seconds)
        for key, _ in ready:
            feeding = key.events == selectors.EVENT_WRITE
            try:
                if feeding:
                    self._rest = self._rest[os.write(key.fd, self._rest[:_CHUNK]) :]
                    over = not self._rest
                else:
                    chunk = os.read(key.fd, _CHUNK)
                    self._said = (self._said + chunk)[-OUTPUT_KEPT:]
                    over = not chunk
            except BlockingIOError:
                continue
            except BrokenPipeError:  # it does not want to read all of it: its own affair
                over = True
            if over:
                pipe = key.fileobj
                assert not isinstance(pipe, int)
                self._let_go(pipe)  # type: ignore[arg-type]  # one of the two files
        return bool(ready)

    def _end(self, process: subprocess.Popen[bytes]) -> None:
        """End the whole process group; the program is reaped last: its number stays the group's."""
        grace = self._kill_after
        if self.unwanted.is_set():
            grace = min(grace, _LAST_GRACE)
        until = time.monotonic() + grace
        _signal(process, signal.SIGTERM)
        while (left := until - time.monotonic()) > 0:
            if not self._pipes.get_map() and _has_exited(process):
                break
            self._exchange(min(left, _TICK / 4))
        _signal(process, signal.SIGKILL)
        with contextlib.suppress(subprocess.TimeoutExpired):
            process.wait(_REAP)


def find_program(name: str, path: str) -> str:
    """Return where a program is; RetryableError if it is not there or cannot be run.

    `name` is an absolute path, or is looked for in the folders of `path` (as in PATH).
    """
    found = shutil.which(name, path=path)
    if found is not None:
        return found
    if not name.startswith("/"):
        raise RetryableError(f"{name}: no such program in {path}; give its absolute path")
    place = Path(name)
    if place.is_dir():
        raise RetryableError(f"{name}: it is a folder; give the path of a program")
    if place.exists():
        raise RetryableError(f"{name}: this user may not run it; see its permissions (chmod +x)")
    raise RetryableError(f"{name}: there is no such program; give the path of one that is there")


def _signal(process: subprocess.Popen[bytes], number: signal.Signals) -> None:
    with contextlib.suppress(ProcessLookupError, PermissionError):  # macOS: EPERM for a zombie
        os.killpg(process.pid, number)


def _has_exited(process: subprocess.Popen[bytes]) -> bool:
    """Whether it has exited, without reaping it; False where that cannot be told."""
    if not hasattr(os, "waitid"):  # macOS before Python 3.13
        return False
    return os.waitid(os.P_PID, process.pid, os.WEXITED | os.WNOHANG | os.WNOWAIT) is not None


def _signal_name(number: int) -> str:
    try:
        return signal.Signals(number).name
    except ValueError:
        return f"signal {number}"


def _readable(output: bytes) -> str:
    """Return output as one line that acts on no terminal and in no log."""
    text = " ".join(output.decode("utf-8", "replace").split())
    return "".join(char if char.isprintable() else "\N{REPLACEMENT CHARACTER}" for char in text)
