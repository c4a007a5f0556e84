"""Following the daemon's stream of events through its restarts, with no gap that is not told."""

from __future__ import annotations

import contextlib
import json
import os
import select
import stat
import threading
import time
from typing import TYPE_CHECKING, Any, Final

import click

from kevmond.api.client import ApiRefusal, ApiUnreachable
from kevmond.cli.paging import Walk

if TYPE_CHECKING:
    from collections.abc import Callable, Generator

    from kevmond.api.client import ApiClient
    from kevmond.api.sse_parser import ServerEvent
    from kevmond.cli.told import Out, Painter

FIRST_WAIT: Final = 0.2
MOST_WAIT: Final = 5.0
"""Seconds between two attempts to find the daemon again."""
BUSY: Final = 503
"""Status of a daemon that has too many streams."""


class Following:
    """One reader of the stream, from `run` on."""

    def __init__(
        self,
        client: ApiClient,
        query: dict[str, Any],
        show: Painter,
        out: Out,
        *,
        as_json: bool = False,
        follow: bool = True,
        wait: bool = False,
        sleep: Callable[[float], None] = time.sleep,
    ) -> None:
        """`follow`: go on when all that is there was shown; `wait`: for a daemon to come at all."""
        self.cursor: str | None = None
        """Position behind which to go on; all up to it was written."""
        self._client = client
        self._query = query
        self._show = show
        self._out = out
        self._as_json = as_json
        self._follow = follow
        self._wait = wait
        self._sleep = sleep
        self._delay = FIRST_WAIT
        self.met = False
        """Whether there was a daemon already."""
        self._lost = False  # whether it was told that there is none
        self._returns = False  # whether one is back that has not told yet all that it has
        self._missed = False  # whether events were missed since then
        self._done = False

    def run(self, *, since: str | None = None, after: int | None = None, last: int = 0) -> None:
        """Show events from there on, for ever or to the end of what is there.

        ApiUnreachable if there is no daemon at first; ApiRefusal if it does not take the query.
        """
        if after is not None:
            self.cursor = str(after)
        while True:
            try:
                with contextlib.closing(self._stream(since, last)) as stream:
                    for events in stream:
                        self._take(events)
                        if self._done:
                            return
                reason = "the daemon is gone"
            except ApiUnreachable as error:
                if not (self._wait or (self.met and self._follow)):
                    raise
                reason = self._reason(error)
            except ApiRefusal as refusal:
                if not self.met or refusal.status != BUSY:
                    raise
                reason = refusal.message
            self._pause(reason)

    # ------------------------------------------------------------------ where to begin

    def _stream(self, since: str | None, last: int) -> Generator[list[ServerEvent]]:
        query = self._query
        if self.cursor is None and since is not None:
            query = {**query, "since": since}
        elif self.cursor is None and last:
            self.cursor = str(self._before_last(last))
        return self._client.stream("events", "stream", query=query, cursor=self.cursor)

    def _before_last(self, count: int) -> int:
        """Return the position behind which the last so many begin."""
        newest = self._client.ask("GET", "events", query={"order": "desc", "limit": 1})
        found = newest["events"]
        begin: int = found[0]["seq"] if found else newest["oldest"] - 1
        query = {**self._query, "before": begin + 1}
        for lines in Walk(self._client, query, most=count, newest_first=True):
            begin = json.loads(lines[-1])["seq"] - 1
        return begin

    # ------------------------------------------------------------------ what comes

    def _take(self, events: list[ServerEvent]) -> None:
        """Show what came; the cursor moves on only when it is written."""
        lines: list[bytes] = []
        for event in events:
            if event.event == "event":
                lines.append(self._show(event.data))
            else:
                self._out.write(lines)  # what is told about comes behind it
                lines = self._tell(event.event, event.data)
            if self._done:
                break
        self._out.write(lines)
        if events and events[-1].id is not None:
            self.cursor = events[-1].id

    def _tell(self, kind: str, data: bytes) -> list[bytes]:
        """Say what is no event; return lines of standard output."""
        if kind == "missed":
            return self._tell_missed(json.loads(data))
        if kind == "hello":
            self._greet()
        elif kind == "caught-up":
            self._delay = FIRST_WAIT
            if self._returns and not self._missed:
                click.echo("kevmond: nothing was missed of what its journal has", err=True)
            self._returns = False
            self._done = not self._follow
        elif kind == "bye":
            self._pause_is_due(f"the daemon says goodbye: {json.loads(data)['reason']}")
        return []

    def _greet(self) -> None:
        if self._lost:
            told = "the daemon is back" if self.met else "a daemon is there"
            click.echo(f"kevmond: {told}", err=True)
            self._returns = self.met
        self.met, self._lost, self._missed = True, False, False

    def _tell_missed(self, facts: dict[str, Any]) -> list[bytes]:
        self._missed = True
        count = facts["missed"]
        if count is None:
            told = "all that the journal has is shown from its beginning"
        else:
            events = "1 event is" if count == 1 else f"{count} events are"
            told = f"{events} missing, {facts['first']} to {facts['last']}"
        click.echo(f"kevmond: {told}: {facts['reason']}", err=True)
        if not self._as_json:
            return []
        line = {"schema": "kevmond/1", "type": "tail.missed", **facts}
        return [json.dumps(line, separators=(",", ":")).encode()]

    # ------------------------------------------------------------------ when nobody is there

    def _reason(self, error: ApiUnreachable) -> str:
        silent = isinstance(error.__cause__, TimeoutError)
        return str(error) if silent or not self.met else "the daemon is gone"

    def _pause_is_due(self, reason: str) -> None:
        if not self._lost and (self._follow or self._wait):
            self._lost = True
            told = "it to come back" if self.met else "one"
            click.echo(f"kevmond: {reason}; waiting for {told}", err=True)

    def _pause(self, reason: str) -> None:
        self._pause_is_due(reason)
        self._sleep(self._delay)
        self._delay = min(self._delay * 2, MOST_WAIT)


def end_with_reader(descriptor: int = 1) -> None:
    """See to it that this process ends when nobody reads its output, even if nothing happens.

    `kevmond tail | head -1` is over when head has what it wants, not at the event after that.
    """
    mode = os.fstat(descriptor).st_mode
    if stat.S_ISFIFO(mode) or stat.S_ISSOCK(mode):
        threading.Thread(target=_end_with_reader, args=[descriptor], daemon=True).start()


def _end_with_reader(descriptor: int) -> None:
    poll = select.poll()
    poll.register(descriptor, select.POLLRDBAND)  # no pipe has any, and macOS wants something
    for _, found in poll.poll():
        if found & (select.POLLERR | select.POLLHUP):
            os._exit(0)  # as one ends that does not ignore SIGPIPE, but for the exit code
