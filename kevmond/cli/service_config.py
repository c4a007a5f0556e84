"""What of a configuration counts when kevmond is installed as a service."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from kevmond.config.settings import Settings
    from kevmond.service.installation import Configured
    from kevmond.service.place import Host, Place

_STARTER: Final = """\
# kevmond, as a service of launchd.  Every setting and its default: `kevmond config default`.
# After a change: `kevmond config check -c THIS_FILE`, then `{reload}`.
# Standard error is kept for what goes wrong before the daemon runs: no [sinks.*] of type "log"
# here, unless it has output = "syslog".
{daemon}
[sinks.jsonl]             # events, a line each, in the state folder; it rotates by itself
type = "jsonl"
path = "events.jsonl"
"""


def configured(
    host: Host,
    place: Place,
    *,
    config: Path | None = None,
    state_dir: Path | None = None,
    user: str | None = None,
) -> Configured:
    """Find the configuration and check it; without one, make up a first one.

    Raises ConfigError with one line for every mistake.
    """
    from kevmond.service.installation import Configured

    given = None if state_dir is None else state_dir.expanduser().absolute()
    file = _find(host, place) if config is None else config.expanduser().absolute()
    if file is None:
        chosen = given or place.state_dir
        tell = given is not None or user is not None
        return Configured(place.config, chosen, starter=_starter(place, chosen if tell else None))
    settings = _checked(host.disk(file))
    told = "state_dir" in settings.daemon.model_fields_set
    group, doubts = _group(settings)
    return Configured(
        file,
        given or (settings.daemon.state_dir if told else place.state_dir),
        named=given is None and (told or user is None),
        stop=_stop(settings),
        group=group,
        user=settings.daemon.user,
        doubts=[*doubts, *_doubts(settings, user)],
    )


def _find(host: Host, place: Place) -> Path | None:
    """Return the first configuration that is there."""
    for file in place.configs:
        try:
            if host.disk(file).exists():
                return file
        except OSError:  # in a folder that is not ours to look into
            continue
    return None


def _starter(place: Place, state_dir: Path | None) -> str:
    import json

    daemon = f"\n[daemon]\nstate_dir = {json.dumps(str(state_dir))}\n" if state_dir else ""
    sudo = "" if place.agent else "sudo "
    return _STARTER.format(reload=f"{sudo}kevmond reload", daemon=daemon)


def _checked(file: Path) -> Settings:
    from kevmond.config.loader import load_usable

    return load_usable(file).settings


def _stop(settings: Settings) -> float:
    from kevmond.daemon import JOURNAL_DEADLINE

    return settings.daemon.drain_deadline + JOURNAL_DEADLINE


def _group(settings: Settings) -> tuple[int | None, list[str]]:
    from kevmond.api.listener import ApiError, find_group

    if settings.api.group is None:
        return None, []
    try:
        return find_group(settings.api.group).gid, []
    except ApiError as error:
        return None, [str(error)]


def _doubts(settings: Settings, user: str | None) -> Iterator[str]:
    """Say what is right in a terminal and not in a service."""
    for name, sink in settings.sinks.items():
        output = getattr(sink, "output", None)
        if sink.type == "log" and sink.enabled and output != "syslog":
            yield (
                f"sinks.{name} writes every event to {_stream(output)}, which nobody rotates: "
                'set output = "syslog", or leave this sink out'
            )
    if settings.kernel.source not in {"auto", "darwin"}:
        yield f"kernel.source is {settings.kernel.source}: this service tells nothing of this Mac"
    if user is not None and settings.daemon.user is not None:
        yield "daemon.user needs a start as root: with --user, leave it out of the configuration"


def _stream(output: object) -> str:
    return "standard output" if output == "stdout" else "standard error"
