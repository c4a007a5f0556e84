"""`kevmond state`: the interfaces as they are now, and since when."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

import click

from kevmond.cli import daemon

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    Facts = dict[str, Any]

_COLOURS: Final = {"up": "green", "down": "red", "present": "green"}
_SPANS: Final = 10
"""Latest spans of each lane that are shown."""
_SHORT: Final = 10
"""Seconds below which parts of one are told."""


@click.command(
    epilog="""\b
Examples:
  kevmond state
  kevmond state en0                 all that is known of one, and what it did in the last hour
  kevmond state en0 --since 1d
  kevmond state --json | jq -r '.interfaces[] | select(.state == "down") | .name'

\b
It is what the journal tells: the snapshots that the daemon takes of the system, and the kernel's
events since.  A question mark is at what the kernel said was set, and not to what.
"""
)
@click.argument("name", required=False)
@click.option(
    "--since",
    metavar="TIME",
    default="1h",
    show_default=True,
    help="How far back NAME's past goes.",
)
@click.option("--gone", is_flag=True, help="List interfaces, too, that are there no more.")
@daemon.daemon_options
def command(
    *,
    name: str | None,
    since: str,
    gone: bool,
    state_dir: Path | None,
    config: Path | None,
    as_json: bool,
) -> int:
    """Show the interfaces as they are now, and since when; of the interface NAME all there is."""
    from kevmond.cli.asking import at
    from kevmond.cli.pretty import use_colour

    query = {"since": at(since, "--since")}
    client = daemon.client(state_dir, config)
    facts = client.ask("GET", "interfaces")
    if name is None:
        if as_json:
            daemon.emit(facts)
            return 0
        lines = _table([one for one in facts["interfaces"] if gone or not one["gone"]])
    else:
        found = [one for one in facts["interfaces"] if one["name"] == name]
        if not found:
            _say_unknown(name, [one["name"] for one in facts["interfaces"]])
            return 1
        past = client.ask("GET", "interfaces", "timeline", query=query)
        lanes = [lane for lane in past["lanes"] if lane["interface"] == name]
        if as_json:
            daemon.emit({**found[0], "lanes": lanes})
            return 0
        lines = _details(found[0], lanes, since)
    for line in lines:
        click.echo(line, color=use_colour())
    return 0


def _say_unknown(name: str, known: list[str]) -> None:
    from kevmond.cli.pretty import printable
    from kevmond.cli.values import did_you_mean

    known = [printable(each) for each in known]
    hint = did_you_mean(name, known) or f"; there are {', '.join(known) or 'none at all'}"
    click.echo(f"kevmond: the journal knows no interface {name!r}{hint}", err=True)


def _table(found: list[Facts]) -> Iterator[str]:
    from kevmond.cli.pretty import printable, table

    rows, states = [("NAME", "STATE", "SINCE", "ADDRESSES")], [""]
    for one in found:
        addresses = [printable(each["address"]) for each in one["addresses"]]
        head = (printable(one["name"]), _state(one), daemon.age(_since(one)))
        rows.append((*head, addresses[0] if addresses else ""))
        rows += [("", "", "", address) for address in addresses[1:]]
        states += [one["state"], *("" for _ in addresses[1:])]
    for number, (cells, state) in enumerate(zip(table(rows, right=()), states, strict=True)):
        if number:
            cells[1] = click.style(cells[1], fg=_COLOURS.get(state), dim=state == "gone")
            yield "  ".join(cells).rstrip()
        else:
            yield click.style("  ".join(cells).rstrip(), bold=True)
    if not found:
        yield "no interface is known; the daemon may have just begun (capture.snapshot)"


def _details(one: Facts, lanes: list[Facts], since: str) -> Iterator[str]:
    from kevmond.cli.pretty import printable

    state = click.style(_state(one), fg=_COLOURS.get(one["state"]))
    yield f"{click.style(printable(one['name']), bold=True)}  {state}"

    def told(key: str, value: object) -> str | None:
        if value is None:
            return None
        text = {True: "yes", False: "no"}.get(value, value) if isinstance(value, bool) else value
        sure = "?" if key in one["unsure"] else ""
        began = one["since"].get(key)
        return f"{text}{sure}" + (f"  for {_lasted(began)}" if began else "")

    last = one["last_event"]
    yield from daemon.rows(
        [
            ("there", told("gone" if one["gone"] else "present", value=not one["gone"])),
            ("up", told("up", one["up"])),
            ("running", told("running", one["running"])),
            ("MTU", told("mtu", one["mtu"])),
            ("link address", told("link_address", one["link_address"])),
            ("link quality", told("link_quality", _quality(one))),
            ("last event", last and f"{last['seq']}  {last['type']}  {daemon.age(last['time'])}"),
        ]
    )
    for number, each in enumerate(one["addresses"]):
        label = "" if number else "addresses"
        yield f"  {label:<14} {printable(each['address'])}  for {_lasted(each['since'])}"
    yield ""
    yield from _past(lanes, since)


def _past(lanes: list[Facts], since: str) -> Iterator[str]:
    from kevmond.cli.pretty import printable, table

    rows: list[tuple[str, ...]] = [("", "STATE", "FROM", "TO", "LASTED")]
    for lane in lanes:
        label = printable(lane["label"])
        if lane["cut"] or len(lane["spans"]) > _SPANS:
            rows.append((label, "...", "", "", ""))
            label = ""
        for span in lane["spans"][-_SPANS:]:
            end = "now" if span["to"] is None else _local(span["to"])
            lasted = _lasted(span["from"], span["to"])
            rows.append((label, span["state"], _local(span["from"]), end, lasted))
            label = ""
    if len(rows) == 1:
        yield f"nothing is known of what it was since {since}"
        return
    for number, cells in enumerate(table(rows, right=())):
        if number:
            cells[1] = click.style(cells[1], fg=_COLOURS.get(cells[1].strip()))
            yield "  " + "  ".join(cells).rstrip()
        else:
            yield click.style("  " + "  ".join(cells).rstrip(), bold=True)


def _state(one: Facts) -> str:
    key = "up" if one["running"] is None else "running"
    return f"{one['state']}?" if key in one["unsure"] and not one["gone"] else str(one["state"])


def _since(one: Facts) -> str | None:
    """Return since when its state is what it is."""
    since: dict[str, str] = one["since"]
    keys = ("gone",) if one["gone"] else ("running", "up", "present")
    return next((since[key] for key in keys if key in since), None)


def _quality(one: Facts) -> str | None:
    word, number = one["link_quality_word"], one["link_quality"]
    return str(number) if word is None and number is not None else word


def _lasted(begin: str, end: str | None = None) -> str:
    seconds = daemon.seconds_between(begin, end)
    return f"{seconds:.3f} s" if seconds < _SHORT else daemon.lasting(seconds)


def _local(text: str) -> str:
    import datetime as dt

    return f"{dt.datetime.fromisoformat(text).astimezone():%Y-%m-%d %H:%M:%S}"
