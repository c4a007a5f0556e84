"""What `kevmond service status` shows."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator

    from kevmond.service.control import Control
    from kevmond.service.installed import Installed
    from kevmond.service.launchctl import Service
    from kevmond.service.place import Place


def screen(
    place: Place, found: Installed | None, service: Service | None, control: Control
) -> Iterator[str]:
    """Lay it out, a line each; what to do comes last."""
    from kevmond.service.exits import last_exit

    told = None if service is None else last_exit(service)
    yield f"{place.target}: {_state(found, service)}"
    for name, value in (
        ("job", place.plist if found else f"{place.plist} (not there)"),
        ("program", " ".join(found.arguments) if found else None),
        ("user", found.user if found else None),
        ("started", None if service is None else f"{service.runs or 0} times"),
        ("last exit", None if told is None else told.text),
        ("errors", found.error_file if found else None),
    ):
        if value is not None:
            yield f"  {name:<10} {value}"
    failing = service is None or not service.running
    if found is not None and failing:
        for line in control.said():
            yield f"    {line}"
    advice = _advice(place, found, service, control) if failing else ""
    if advice or (failing and told is not None and told.advice):
        yield f"-> {advice or (told.advice if told else '')}"


def _state(found: Installed | None, service: Service | None) -> str:
    if service is not None and service.running:
        return f"running, pid {service.pid}"
    if service is not None:
        return service.state
    return "not loaded" if found is not None else "not installed"


def _advice(
    place: Place, found: Installed | None, service: Service | None, control: Control
) -> str:
    sudo = "" if place.agent else "sudo "
    if found is None:
        return f"{sudo}kevmond service install{place.words}"
    if not control.enabled():
        return f"it is disabled; to have it run: {sudo}launchctl enable {place.target}"
    if service is None:
        return f"{sudo}kevmond service start{place.words}"
    return ""
