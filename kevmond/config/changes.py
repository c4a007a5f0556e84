"""What differs between two configurations, and what of it a running daemon can take over."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from pydantic import BaseModel

    from kevmond.config.loader import Loaded
    from kevmond.config.settings import Settings

AT_START_ONLY: Final = (
    "daemon.state_dir",
    "daemon.user",
    "daemon.group",
    "kernel",
    "journal",
    "capture.receive_space",
)
"""Keys, and sections, that are read when the daemon starts and not again."""


@dataclass(frozen=True, slots=True)
class Changes:
    """Keys that changed, by what becomes of them."""

    applied: tuple[str, ...]
    needs_restart: tuple[str, ...]

    def keep_running(self, old: Loaded, new: Loaded) -> Loaded:
        """Return the new configuration with what needs a restart as it was."""
        before, after = old.settings, new.settings
        capture = after.capture.model_copy(update={"receive_space": before.capture.receive_space})
        daemon = after.daemon.model_copy(
            update={key: getattr(before.daemon, key) for key in ("state_dir", "user", "group")}
        )
        kept = {
            "daemon": daemon,
            "kernel": before.kernel,
            "journal": before.journal,
            "capture": capture,
        }
        return replace(new, settings=after.model_copy(update=kept))


def compare(old: Settings, new: Settings) -> Changes:
    """Return which keys differ; a sink or channel counts as one key, "sinks.NAME"."""
    changed = [*_named(old.sinks, new.sinks, "sinks"), *_named(old.control, new.control, "control")]
    for section in ("daemon", "kernel", "capture", "journal", "api"):
        changed += _keys(getattr(old, section), getattr(new, section), section)
    late = tuple(key for key in changed if _at_start_only(key))
    return Changes(tuple(key for key in changed if key not in late), late)


def _named(
    old: Mapping[str, BaseModel], new: Mapping[str, BaseModel], section: str
) -> Iterator[str]:
    for name in sorted({*old, *new}):
        if old.get(name) != new.get(name):
            yield f"{section}.{name}"


def _keys(old: BaseModel, new: BaseModel, prefix: str) -> Iterator[str]:
    for name in type(old).model_fields:
        if getattr(old, name) != getattr(new, name):
            yield f"{prefix}.{name}"


def _at_start_only(key: str) -> bool:
    return any(key == start or key.startswith(f"{start}.") for start in AT_START_ONLY)
