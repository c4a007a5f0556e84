"""`kevmond events`: every event the kernel can post, to read and to search."""

from __future__ import annotations

import fnmatch
import json
import shutil
from typing import TYPE_CHECKING, Any

import click

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from kevmond.events.kinds import EventKind


@click.command(
    epilog="""\b
Examples:
  kevmond events                                every event
  kevmond events link                           which tell of links?
  kevmond events 'network.nd6.*'                a glob over types
  kevmond events KEV_INET_ARPCOLLISION          by the C name
  kevmond events --class system                 one class
  kevmond events --verbose network.dl.link-on   all about one, with its payload's layout
  kevmond events --json | jq -r .type           for programs: one object a line
"""
)
@click.argument("search", nargs=-1, metavar="[SEARCH]...")
@click.option("--class", "class_", metavar="C", help="Only this class, by name or number.")
@click.option("--json", "as_json", is_flag=True, help="JSON lines, with everything known.")
@click.option("--markdown", is_flag=True, help="The whole catalogue as docs/events.md.")
@click.option(
    "--verbose", "-v", metavar="TYPE", help="All about one event: a type, a C name or V.C.S.CODE."
)
def command(
    search: tuple[str, ...], class_: str | None, as_json: bool, markdown: bool, verbose: str | None
) -> int:
    """List events that have every SEARCH word in their type, C name or description.

    A word may be a glob; it then has to match the whole type or C name.
    """
    from kevmond.cli.values import did_you_mean
    from kevmond.events import catalogue

    if markdown:
        from kevmond.events.docs import markdown as written

        click.echo(written(), nl=False)
        return 0
    kinds = list(catalogue.kinds())
    if verbose is not None:
        _show_all_about(_named(verbose, kinds))
        return 0
    if class_ is not None:
        kinds = [kind for kind in kinds if class_ in (kind.class_name, str(kind.kev_class))]
        if not kinds:
            known = [entry.word for entry in catalogue.CLASSES.values()]
            hint = did_you_mean(class_, known) or f"; there are {', '.join(known)}"
            raise click.BadParameter(f"no events in class {class_!r}{hint}", param_hint="'--class'")
    found = [kind for kind in kinds if all(_matches(word, kind) for word in search)]
    if not found:
        hint = did_you_mean(search[-1], [kind.type for kind in kinds])
        hint = hint or did_you_mean(search[-1], [kind.code_name for kind in kinds])
        click.echo(f"kevmond: no event matches {' '.join(search)!r}{hint}", err=True)
        return 1
    for line in map(json.dumps, map(_facts, found)) if as_json else _table(found):
        click.echo(line)
    return 0


def _matches(word: str, kind: EventKind) -> bool:
    places = (kind.type, kind.macro, kind.alias)
    if any(char in word for char in "*?["):
        return any(fnmatch.fnmatchcase(place.lower(), word.lower()) for place in places)
    return any(word.lower() in place.lower() for place in (*places, kind.description))


def _named(word: str, kinds: Sequence[EventKind]) -> EventKind:
    from kevmond.cli.values import did_you_mean

    for kind in kinds:
        if word.lower() == kind.type or word.upper() in (kind.macro, kind.alias or None):
            return kind
        if word == ".".join(map(str, kind.key)):
            return kind
    known = [each.type for each in kinds] + [each.macro for each in kinds]
    hint = did_you_mean(word, known) or "; `kevmond events` lists them"
    raise click.BadParameter(f"no event {word!r}{hint}", param_hint="'--verbose'")


def _table(kinds: Sequence[EventKind]) -> Iterator[str]:
    from kevmond.cli.pretty import COLOURS

    room = shutil.get_terminal_size((120, 24)).columns
    width = max(len(kind.type) for kind in kinds)
    numbers = max(len(_number(kind)) for kind in kinds)
    for kind in kinds:
        shown = click.style(f"{kind.type:<{width}}", **COLOURS[kind.severity.value])
        left = room - width - numbers - 4
        text = kind.description
        if kind.status != "posted":
            text = f"{text} ({kind.status})"
        yield f"{shown}  {_number(kind):<{numbers}}  {_cut(text, max(left, 40))}"


def _number(kind: EventKind) -> str:
    return f"{kind.kev_class}.{kind.subclass}.{kind.code}"


def _cut(text: str, room: int) -> str:
    return text if len(text) <= room else text[: room - 1].rstrip() + "…"


def _facts(kind: EventKind) -> dict[str, Any]:
    from kevmond.cli.pretty import payload_rows

    keys = ("offset", "wire", "c_name", "name", "description")
    return {
        "type": kind.type,
        "vendor": kind.vendor,
        "class": kind.kev_class,
        "subclass": kind.subclass,
        "code": kind.code,
        "macro": kind.macro,
        "alias": kind.alias or None,
        "severity": kind.severity.value,
        "description": kind.description,
        "status": kind.status,
        "since": kind.since or None,
        "last": kind.last or None,
        "posted_by": kind.posted_by or None,
        "payloads": [
            {
                "name": variant.payload.__name__,
                "c_struct": variant.payload.C_STRUCT,
                "size": variant.payload.SIZE,
                "first_darwin": variant.first,
                "last_darwin": variant.last,
                "fields": [
                    dict(zip(keys, row, strict=True)) for row in payload_rows(variant.payload)
                ],
            }
            for variant in kind.variants
        ],
    }


def _show_all_about(kind: EventKind) -> None:
    from kevmond.cli.pretty import COLOURS

    click.secho(kind.type, bold=True, **COLOURS[kind.severity.value])
    click.echo(f"  {kind.description}\n")
    facts = {
        "vendor": f"{kind.vendor_name} ({kind.vendor})",
        "class": f"{kind.class_name} ({kind.kev_class}, {kind.class_macro})",
        "subclass": f"{kind.subclass_name} ({kind.subclass}, {kind.subclass_macro})",
        "code": f"{kind.code_name} ({kind.code}, {kind.macro})",
        "also": kind.alias,
        "severity": kind.severity.value,
        "status": kind.status,
        "since": kind.since,
        "last": kind.last,
        "posted by": kind.posted_by,
        "filter": f"--filter type={kind.type}",
    }
    for name, value in facts.items():
        if value:
            click.echo(f"  {name:<10} {value}")
    if not kind.variants:
        private = "its layout is not public" if kind.private else "none"
        click.echo(f"\n  payload    {private}")
    for variant in kind.variants:
        click.echo()
        for line in _layout(variant):
            click.echo(f"  {line}")


def _layout(variant: Any) -> Iterator[str]:
    from kevmond.cli.pretty import payload_rows

    model = variant.payload
    releases = {
        (True, True): "",
        (False, True): f", from Darwin {variant.first}",
        (True, False): f", up to Darwin {variant.last}",
        (False, False): f", Darwin {variant.first} to {variant.last}",
    }[variant.first is None, variant.last is None]
    yield f"payload    {model.__name__}: struct {model.C_STRUCT}, {model.SIZE} bytes{releases}"
    yield f"           {model.HEADER}"
    rows = list(payload_rows(model))
    widths = [max((len(row[column]) for row in rows), default=0) for column in (1, 2, 3)]  # type: ignore[arg-type]
    for offset, wire, c_name, name, described in rows:
        yield (
            f"  {offset:>4}  {wire:<{widths[0]}}  {c_name:<{widths[1]}}"
            f"  {click.style(f'{name:<{widths[2]}}', bold=True)}  {described}"
        ).rstrip()
