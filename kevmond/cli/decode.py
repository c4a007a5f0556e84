"""`kevmond decode`: what recorded or given bytes say."""

from __future__ import annotations

import os
import sys
from itertools import chain
from typing import TYPE_CHECKING, Final

import click

if TYPE_CHECKING:
    from collections.abc import Callable

    from kevmond.errors import RecordingError
    from kevmond.events.decoder import Decoder
    from kevmond.events.event import Event
    from kevmond.kernel.recording import Recorded

_NO_BOOT: Final = "00000000-0000-0000-0000-000000000000"
"""Boot id in the ids of events whose boot is not known."""


@click.command(
    epilog="""\b
Examples:
  kevmond decode events.jsonl                     what was recorded?
  kevmond record - | kevmond decode -             what is happening?
  kevmond decode --hex "30 00 00 00 01 00 00 00"  what does this message say?
  kevmond decode events.jsonl --filter class=network --filter 'severity>=warning'
  kevmond decode events.jsonl.gz --format json | jq .type
  kevmond decode old.jsonl --os-release 17.7.0    layouts of macOS 10.13

\b
FILE holds lines as `kevmond record` writes them, lines of the JSON sink, lines with "trigger" and
"hex", or bare hex; .gz is decompressed.  Malformed lines are told with their number, the rest is
decoded, and the exit code is 65 then.
"""
)
@click.argument("files", metavar="[FILE|-]...", nargs=-1)
@click.option("--hex", "texts", multiple=True, metavar="HEX", help="A message; may be repeated.")
@click.option(
    "--format",
    "form",
    type=click.Choice(["pretty", "json"]),
    help="pretty on a terminal, else JSON lines, unless given.",
)
@click.option(
    "--bytes/--no-bytes",
    "dump",
    default=None,
    help="In pretty form, show each field with its bytes and offset (default: with --hex only).",
)
@click.option(
    "--os-release",
    metavar="RELEASE",
    help="Darwin release such as 24.4.0 whose layouts are used, over what the file says.",
)
@click.option(
    "--filter", "rules", multiple=True, metavar="RULE", help="Show only these; may be repeated."
)
def command(
    *,
    files: tuple[str, ...],
    texts: tuple[str, ...],
    form: str | None,
    dump: bool | None,
    os_release: str | None,
    rules: tuple[str, ...],
) -> int:
    """Decode messages from recordings, from standard input (-), or given as hex."""
    from kevmond.cli.values import event_filter
    from kevmond.kernel.recording import read_recording

    if not files and not texts:
        raise click.UsageError("Give a FILE, - for standard input, or --hex HEX.")
    passes = event_filter(rules)
    show = _shower(form, bool(texts) and not files if dump is None else dump)
    decoders = Decoders(os_release)
    malformed = 0

    def complain(error: RecordingError) -> None:
        nonlocal malformed
        malformed += 1
        _say(str(error))

    given = read_recording(
        [text.encode() for text in texts], name="--hex", warn=_say, on_error=complain
    )
    read = (read_recording(path, warn=_say, on_error=complain) for path in files)
    for recorded in chain(given, chain.from_iterable(read)):
        event = decoders.event(recorded)
        if passes.matches(event):
            show(event, recorded.trigger)
    return os.EX_DATAERR if malformed else 0


class Decoders:
    """A decoder for each boot and release that recordings tell of."""

    def __init__(self, os_release: str | None) -> None:
        self._os_release = os_release
        self._decoders: dict[tuple[str, str, str], Decoder] = {}

    def event(self, recorded: Recorded) -> Event:
        """Decode a recorded message; its time is "" if it was not recorded."""
        from kevmond.events.event import timestamp

        key = (
            recorded.boot_id or _NO_BOOT,
            self._os_release or recorded.os_release or "",
            recorded.os_build or "",
        )
        decoder = self._decoders.get(key)
        if decoder is None:
            decoder = self._decoders[key] = _decoder(*key)
        time = "" if recorded.wall_ns is None else timestamp(recorded.wall_ns)
        return decoder.event(recorded.raw, seq=0, time=time)


def _decoder(boot_id: str, os_release: str, os_build: str) -> Decoder:
    from kevmond.events.decoder import Decoder
    from kevmond.events.event import Context

    return Decoder(Context("", boot_id, os_release, os_build))


def _say(text: str) -> None:
    click.echo(f"kevmond: {text}", err=True)


def _shower(form: str | None, dump: bool) -> Callable[[Event, str | None], None]:
    out = sys.stdout.buffer
    if form == "json" or (form is None and not out.isatty()):

        def show(event: Event, trigger: str | None) -> None:
            del trigger
            out.write(event.json_line() + b"\n")
            out.flush()

        return show
    from kevmond.cli.pretty import event_lines, use_colour

    def show_pretty(event: Event, trigger: str | None) -> None:
        for line in event_lines(event, trigger=trigger, dump=dump):
            click.echo(line, color=use_colour())

    return show_pretty
