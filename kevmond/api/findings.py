"""What is wrong with a running daemon, what is merely worth knowing, and what to do about each.

docs/status.md tells every kind; a test holds it to that.
"""

from __future__ import annotations

from enum import StrEnum
from typing import TYPE_CHECKING, Final, NamedTuple

from kevmond.api.moment import WEBHOOK
from kevmond.sinks.health import State
from kevmond.sinks.outage import span
from kevmond.units import counted

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from kevmond.api.moment import Moment
    from kevmond.sinks.health import SinkStatistics

PATIENCE: Final = 60.0
"""Seconds for which a consumer may be tried again before that is a problem."""
NEARLY: Final = 0.9
"""Share of journal.max_bytes from which the journal counts as nearly full."""
TYPES_TOLD: Final = 5
"""Types of events that a text names."""


class Health(StrEnum):
    """How the daemon is."""

    OK = "ok"
    DEGRADED = "degraded"
    """Something is late, and nothing is lost by that so far."""
    FAILING = "failing"
    """Something does not work, and will not by waiting alone."""


class What(StrEnum):
    """Kinds of problems and warnings."""

    KERNEL_SOCKET = "kernel-socket"
    JOURNAL = "journal"
    FAILED = "consumer-failed"
    DISABLED = "consumer-disabled"
    RETRYING = "consumer-retrying"
    API = "api"
    LOSS = "loss"
    PAUSED = "consumer-paused"
    DEAD_LETTERS = "dead-letters"
    UNKNOWN = "unknown-events"
    MALFORMED = "malformed-events"
    JOURNAL_FULL = "journal-nearly-full"
    CONFIG_REFUSED = "config-refused"
    NEEDS_RESTART = "config-needs-restart"


PROBLEMS: Final = (
    What.KERNEL_SOCKET,
    What.JOURNAL,
    What.FAILED,
    What.DISABLED,
    What.RETRYING,
    What.API,
)
"""Those that make the daemon an ailing one; the others are warnings."""


class Finding(NamedTuple):
    """One of them."""

    what: What
    text: str
    hint: str
    about: str | None = None
    """Name of the consumer, where it is one's."""
    events: int | None = None
    """How many events it is about, where that can be told."""


def problems(moment: Moment, api: Sequence[str] = ()) -> tuple[Health, list[Finding]]:
    """Return how the daemon is, and why it is not well; the worst comes first.

    `api` tells what of the API does not work, a line each.
    """
    failing = [*_kernel(moment), *_journal(moment), *_sinks(moment), *_api(api)]
    late = list(_late(moment))
    health = Health.FAILING if failing else Health.DEGRADED if late else Health.OK
    return health, failing + late


def warnings(moment: Moment) -> list[Finding]:
    """Return what is worth knowing of this run, and does not make it an ailing one."""
    return [
        *_losses(moment),
        *_nearly_full(moment),
        *_paused(moment),
        *_letters(moment),
        *_not_understood(moment),
        *_configuration(moment),
    ]


# ---------------------------------------------------------------------- problems


def _kernel(moment: Moment) -> Iterator[Finding]:
    capture = moment.capture
    if not capture.connected:
        yield Finding(
            What.KERNEL_SOCKET,
            f"the kernel's event socket is not open, after {counted(capture.errors, 'error')}: no "
            "events are read",
            "it is tried again by itself; the daemon's log says what failed, and `kevmond doctor` "
            "what this system offers",
        )


def _journal(moment: Moment) -> Iterator[Finding]:
    journal = moment.journal
    if journal.refusal is not None:
        yield Finding(
            What.JOURNAL,
            f"the journal's disk takes nothing: {journal.refusal}; "
            f"{counted(journal.pending, 'record')} in memory would be lost with this process",
            f"free space for {moment.journal_settings.path}, or mend its disk; it is tried again "
            "by itself",
            events=journal.pending,
        )


def _sinks(moment: Moment) -> Iterator[Finding]:
    for sink in moment.sinks:
        if sink.state is State.FAILED:
            yield _failed(sink, moment.letters)
        elif sink.state is State.DISABLED:
            yield Finding(
                What.DISABLED,
                f"{sink.name} is disabled: {sink.last_error}; {_waiting(sink)}",
                f"when its receiver is well: `kevmond webhook resume {sink.name}`"
                if sink.type == WEBHOOK
                else "when its receiver is well, restart the daemon",
                sink.name,
            )


def _failed(sink: SinkStatistics, letters: Mapping[str, int]) -> Finding:
    counters = sink.counters
    if not (counters.dropped or counters.buried):
        text = f"{sink.name} cannot work: {sink.last_error}; {_waiting(sink)}"
        hint = "put right what that says, then `kevmond reload`"
    elif letters.get(sink.name):
        text = f"{sink.name} gave events up: {sink.last_error}"
        hint = f"`kevmond webhook failures {sink.name}` shows them; over as soon as it takes one"
    else:
        text = f"{sink.name} gave events up: {sink.last_error}"
        hint = "look at what it writes to; over as soon as it takes one"
    return Finding(What.FAILED, text, hint, sink.name)


def _api(lines: Sequence[str]) -> Iterator[Finding]:
    for line in lines:
        yield Finding(What.API, line, "put that right in [api], then `kevmond reload`")


def _late(moment: Moment) -> Iterator[Finding]:
    for sink in moment.sinks:
        if sink.state not in (State.RETRYING, State.STARTING):
            continue
        since = min(filter(None, (sink.since_ns, sink.head_since_ns)), default=moment.now_ns)
        seconds = (moment.now_ns - since) / 1e9
        if seconds <= PATIENCE:
            continue
        why = f": {sink.last_error}" if sink.last_error else ""
        yield Finding(
            What.RETRYING,
            f"{sink.name} has taken nothing for {span(seconds)}{why}; {_waiting(sink)}",
            f"`kevmond webhook test {sink.name}` tells what its receiver answers"
            if sink.type == WEBHOOK
            else "look at what it writes to; it is tried again by itself",
            sink.name,
        )


# ---------------------------------------------------------------------- warnings


def _losses(moment: Moment) -> Iterator[Finding]:
    told = "docs/loss.md tells what each loss means"
    totals, counters = moment.capture.totals, moment.journal.counters
    if totals.lost:
        yield Finding(
            What.LOSS,
            f"{counted(totals.lost)} lost before they could be read",
            "a larger capture.receive_space may help",
            events=totals.lost,
        )
    if totals.too_big:
        text = f"{counted(totals.too_big)} too large for the kernel to post to anybody"
        yield Finding(What.LOSS, text, told, events=totals.too_big)
    for count, word, text in (
        (counters.lost, "record", "given up before the journal's disk took them"),
        (counters.damaged, "record", "unreadable in the journal, whose disk may be failing"),
        (counters.letters_lost, "dead letter", "gone undelivered, to make room"),
    ):
        if count:
            yield Finding(What.LOSS, f"{counted(count, word)} {text}", told, events=count)
    for sink in moment.sinks:
        dropped, missed = sink.counters.dropped, sink.counters.missed
        if dropped:
            text = f"{sink.name} gave {counted(dropped)} up for good"
            yield Finding(What.LOSS, text, told, sink.name, dropped)
        if missed:
            text = (
                f"{sink.name} missed {counted(missed)}, gone from the journal before it took them"
            )
            hint = "see why it is slow, or raise journal.max_bytes"
            yield Finding(What.LOSS, text, hint, sink.name, missed)


def _nearly_full(moment: Moment) -> Iterator[Finding]:
    """Warn of consumers who are nearer to the journal's end that goes than to the one that comes.

    A journal that is full is as it should be; what counts is whether somebody still wants what it
    will let go of next.
    """
    journal, most = moment.journal, moment.journal_settings.max_bytes
    if journal.disk_bytes < NEARLY * most:
        return
    kept = journal.next_seq - journal.oldest_seq
    for sink in moment.sinks:
        if sink.lag > kept / 2:
            yield Finding(
                What.JOURNAL_FULL,
                f"{sink.name} is {counted(sink.lag)} behind, and the journal, which is nearly "
                f"full, holds {kept}: the oldest go first",
                "have it go on, or raise journal.max_bytes",
                sink.name,
                sink.lag,
            )


def _paused(moment: Moment) -> Iterator[Finding]:
    for sink in moment.sinks:
        if sink.state is State.PAUSED:
            yield Finding(
                What.PAUSED,
                f"{sink.name} is paused; {_waiting(sink)}",
                f"`kevmond webhook resume {sink.name}` has it go on",
                sink.name,
                sink.lag,
            )


def _letters(moment: Moment) -> Iterator[Finding]:
    for name, count in moment.letters.items():
        if count:
            yield Finding(
                What.DEAD_LETTERS,
                f"{counted(count)} for {name} given up and kept",
                f"`kevmond webhook failures {name}` shows them, `kevmond webhook replay {name} "
                "--failed` sends them again",
                name,
                count,
            )


def _not_understood(moment: Moment) -> Iterator[Finding]:
    understood = moment.understood
    strangers = understood.unknown_apple
    if strangers:
        count = sum(strangers.values())
        named = ", ".join(list(strangers)[:TYPES_TOLD])
        more = f" and {len(strangers) - TYPES_TOLD} more" if len(strangers) > TYPES_TOLD else ""
        yield Finding(
            What.UNKNOWN,
            f"{counted(count)} of types that this version does not know: {named}{more}",
            "they are delivered with all their bytes; a newer kevmond may know them",
            events=count,
        )
    if understood.malformed:
        yield Finding(
            What.MALFORMED,
            f"{counted(understood.malformed)} not as their headers say",
            "they are delivered with all their bytes and a `reason`; a newer kevmond may "
            "understand them",
            events=understood.malformed,
        )


def _configuration(moment: Moment) -> Iterator[Finding]:
    report = moment.reloaded
    if report is None:
        return
    if report["state"] == "refused":
        lines = report["problems"] or ["no reason is known"]
        more = f" (and {counted(len(lines) - 1, 'mistake')} more)" if len(lines) > 1 else ""
        yield Finding(
            What.CONFIG_REFUSED,
            f"the configuration is refused, and the one before stays in force: {lines[0]}{more}",
            "`kevmond config check` names every mistake; then `kevmond reload`",
        )
    elif report["needs_restart"]:
        yield Finding(
            What.NEEDS_RESTART,
            f"changed in the configuration, but not in force: {', '.join(report['needs_restart'])}",
            "restart the daemon",
        )


def _waiting(sink: SinkStatistics) -> str:
    return f"{counted(sink.lag)} waiting"
