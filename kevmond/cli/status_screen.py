"""The screen of `kevmond status`, made of what `GET /v1/status` tells."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

import click

from kevmond.cli import daemon
from kevmond.cli.pretty import printable, table
from kevmond.units import counted

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    Facts = dict[str, Any]

_COLOURS: Final = {"ok": "green", "degraded": "yellow", "failing": "red"}
_SIZES: Final = ((1 << 30, "GiB"), (1 << 20, "MiB"), (1 << 10, "KiB"))
_SPANS: Final = ((86400, "d"), (3600, "h"), (60, "min"), (1, "s"))
_TYPES_SHOWN: Final = 5
_HEADS: Final = ("NAME", "TYPE", "STATE", "WAITING", "DELIVERED", "FILTERED", "LOST", "DEAD")


def screen(facts: Facts) -> Iterator[str]:
    """Yield the lines."""
    yield _headline(facts)
    yield from _findings("problems", facts["problems"], "red")
    yield from _findings("warnings", facts["warnings"], "yellow")
    yield from _group("daemon", _daemon(facts["daemon"]))
    yield from _group("kernel", _kernel(facts["kernel"]))
    yield from _group("events", _events(facts["events"]))
    yield from _group("journal", _journal(facts["journal"]))
    yield from _consumers(facts["consumers"])
    yield from _group("API", _api(facts["api"]))
    yield from _group("configuration", [("file", facts["config"]["file"] or "built-in settings")])


def _headline(facts: Facts) -> str:
    health, problems, warnings = facts["health"], facts["problems"], facts["warnings"]
    counts = [
        counted(len(found), word)
        for found, word in ((problems, "problem"), (warnings, "warning"))
        if found
    ]
    told = click.style(health, bold=True, fg=_COLOURS.get(health))
    return f"kevmond is {told}" + (f": {', '.join(counts)}" if counts else "")


def _findings(title: str, found: Sequence[Facts], colour: str) -> Iterator[str]:
    if not found:
        return
    yield ""
    yield click.style(title, bold=True)
    for each in found:
        yield click.style(f"  {printable(each['text'])}", fg=colour)
        if each["hint"]:
            yield f"    -> {printable(each['hint'])}"


def _group(title: str, pairs: Sequence[tuple[str, Any]]) -> Iterator[str]:
    lines = list(daemon.rows(pairs))
    if lines:
        yield ""
        yield click.style(title, bold=True)
        yield from lines


def _daemon(facts: Facts) -> list[tuple[str, Any]]:
    percent, over = facts.get("cpu_percent"), facts.get("cpu_percent_over")
    threads, files = facts.get("threads"), facts.get("open_files")
    return [
        ("version", f"{facts['version']}, process {facts['pid']} of user {facts['user']}"),
        ("up", f"{_span(facts['uptime'])}, since {facts['started']}"),
        ("memory", _size(facts.get("rss_bytes"))),
        (
            "CPU",
            f"{percent:.1f} % of one over the last {_span(over)}, "
            f"{_span(facts['cpu_seconds'])} in all"
            if percent is not None
            else None,
        ),
        ("threads", threads),
        ("open files", files),
    ]


def _kernel(facts: Facts) -> list[tuple[str, Any]]:
    state = "open" if facts["connected"] else "not open"
    again = f", reopened {counted(facts['reopened'], 'time')}" if facts["reopened"] else ""
    failed = f", {counted(facts['errors'], 'error')}" if facts["errors"] else ""
    wanted = facts["filter"]
    codes = ", ".join(f"{key} {wanted[key]}" for key in ("vendor", "class", "subclass"))
    system = " ".join(filter(None, (facts["os_release"] and f"Darwin {facts['os_release']}",
                                    facts["os_build"] and f"({facts['os_build']})")))  # fmt: skip
    return [
        ("read by", facts["name"]),
        ("host", facts["host"]),
        ("system", system),
        ("boot", facts["boot_id"]),
        ("socket", state + again + failed),
        ("buffer", f"{_size(facts['receive_space'])} of {_size(facts['asked_space'])} asked for"),
        ("filter", "open: every event" if wanted["open"] else f"{codes} (0 is any)"),
    ]


def _events(facts: Facts) -> list[tuple[str, Any]]:
    apart = [
        f"{facts[key]} {word}"
        for key, word in (("unknown", "of unknown types"), ("malformed", "malformed"))
        if facts[key]
    ]
    late = f" ({facts['late']} more came late after all)" if facts["late"] else ""
    missed = facts["missed_before_start"]
    types = list(facts["by_type"].items())
    shown = [f"{name} {count}" for name, count in types[:_TYPES_SHOWN]]
    more = [f"{len(types) - _TYPES_SHOWN} types more"] if len(types) > _TYPES_SHOWN else []
    return [
        ("posted to us", facts["posted"]),
        ("read", ", ".join([str(facts["read"]), *apart])),
        ("lost", f"{facts['lost']}{late}"),
        ("awaited", facts["awaited"] or None),
        (
            "before that",
            f"{counted(missed, 'event')} posted while no kevmond ran" if missed else None,
        ),
        ("most often", ", ".join([*shown, *more])),
    ]


def _journal(facts: Facts) -> list[tuple[str, Any]]:
    share = 100 * facts["disk_bytes"] / facts["max_bytes"]
    newest, oldest = facts["newest"], facts["oldest"]
    pending, letters = facts["pending"], facts["dead_letters"]
    return [
        ("file", facts["path"]),
        ("holds", f"positions {oldest} to {newest}" if newest >= oldest else "nothing"),
        ("disk", f"{_size(facts['disk_bytes'])}, {share:.0f} % of {_size(facts['max_bytes'])}"),
        ("refused", facts["refusal"]),
        ("not written", f"{counted(pending, 'record')} so far" if pending else None),
        ("lost", facts["lost"] or None),
        ("damaged", facts["damaged"] or None),
        (
            "dead letters",
            f"{letters}, {_size(facts['dead_letters_bytes'])}" if letters else None,
        ),
    ]


def _consumers(found: Sequence[Facts]) -> Iterator[str]:
    yield ""
    yield click.style("consumers", bold=True)
    if not found:
        yield "  none"
        return
    lines = [
        (
            printable(one["name"]),
            one["type"],
            one["state"],
            str(one["lag"]),
            str(one["delivered"]),
            str(one["filtered"]),
            str(one["dropped"] + one["missed"]),
            str(one["dead_letters"]),
        )
        for one in found
    ]
    for number, cells in enumerate(table((_HEADS, *lines), right={3, 4, 5, 6, 7})):
        if number == 0:
            yield "  " + "  ".join(cells).rstrip()
            continue
        one = found[number - 1]
        cells[2] = click.style(cells[2], **daemon.state_style(one["state"]))
        yield "  " + "  ".join(cells).rstrip()
        if one["last_error"] and one["state"] not in {"healthy", "following"}:
            after = one["next_attempt"]
            tried = f"; next attempt {daemon.age(after)}" if after else ""
            yield click.style(f"      {printable(one['last_error'])}{tried}", dim=True)


def _api(facts: Facts) -> list[tuple[str, Any]]:
    if not facts:
        return []
    page, metrics, refused = (facts.get(key) for key in ("page_port", "metrics_port", "refused"))
    return [
        ("socket", facts.get("socket")),
        ("group", facts.get("group")),
        ("live page", f"127.0.0.1:{page}" if page else None),
        ("metrics", f"127.0.0.1:{metrics}" if metrics else None),
        ("callers", facts.get("callers")),
        ("refused", f"{sum(refused.values())}; the daemon's log says why" if refused else None),
    ]


def _size(count: int | None) -> str | None:
    if count is None:
        return None
    for size, unit in _SIZES:
        if count >= size:
            return f"{count / size:.1f} {unit}"
    return f"{count} B"


def _span(seconds: float | None) -> str:
    """Return a time in its two largest units: "3 d 4 h", "5 min 2 s", "0.4 s"."""
    left = seconds or 0.0
    if left < 10:  # noqa: PLR2004 - below that whole seconds tell too little
        return f"{left:.1f} s"
    parts: list[str] = []
    for size, unit in _SPANS:
        count, left = divmod(left, size)
        if count or parts:
            parts.append(f"{count:.0f} {unit}")
    return " ".join(parts[:2])
