"""From a TOML file to `Settings`; every mistake is told with its file, its key and a way out."""

from __future__ import annotations

import os
import tomllib
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pydantic import BaseModel, ValidationError

from kevmond import trust
from kevmond.config.settings import DEFAULT_SINKS, Settings
from kevmond.errors import ConfigError, KevmondError
from kevmond.mistakes import mistakes
from kevmond.paths import config_search_path, default_state_dir
from kevmond.secret import Secret
from kevmond.sinks import registry

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from kevmond.sinks.base import SinkSettings

    Table = dict[str, Any]


@dataclass(frozen=True, slots=True)
class Loaded:
    """Settings, and the file they came from (None: the built-in defaults)."""

    settings: Settings
    path: Path | None


def load(
    path: Path | None = None,
    *,
    overrides: Sequence[str] = (),
    search: bool = True,
    state_dir: Path | None = None,
) -> Loaded:
    """Read the configuration.

    `path` must exist; without it the first file of the search path is taken, or, if there is none
    (or `search` is false), the built-in defaults.  `overrides` are "key.path=value" texts, the
    value being TOML or else plain text.  `state_dir` is the folder that a running daemon uses:
    it is the default, and relative files stay in it whatever the configuration says by now.
    Raises ConfigError with one line for every mistake.
    """
    if path is None and search:
        path = _found()
    where = str(path) if path is not None else "built-in configuration"
    table = _read(path) if path is not None else {}
    if "sinks" not in table:
        table["sinks"] = {name: dict(sink) for name, sink in DEFAULT_SINKS.items()}
    for override in overrides:
        _apply_override(table, override)
    return Loaded(_validate(table, where, state_dir), path)


def state_folder(path: Path | None = None) -> Path:
    """Return the state folder that a configuration names, whatever else is wrong with it.

    A daemon goes on with the configuration before when a new one is refused, and can be asked as
    ever.  Raises ConfigError if not even this can be read.
    """
    if path is None:
        path = _found()
    try:
        return _state_dir(_read(path) if path is not None else {})
    except RuntimeError as error:  # a home folder that does not exist
        raise ConfigError(f"{path}: daemon.state_dir: {error}") from error


def _found() -> Path | None:
    """Return the first file of the search path that is there."""
    return next((place for place in config_search_path() if _is_there(place)), None)


def _is_there(path: Path) -> bool:
    try:
        return path.exists()
    except OSError:  # in a folder that is not ours to look into
        return False


def _read(path: Path) -> Table:
    try:
        return tomllib.loads(trust.read(path))
    except trust.TrustError as error:  # kevmond runs programs and sends events as this file says
        raise ConfigError(
            "\n".join(f"{path}: {line}" for line in str(error).splitlines())
        ) from error
    except tomllib.TOMLDecodeError as error:
        raise ConfigError(f"{path}: not TOML: {error}") from error
    except UnicodeDecodeError as error:
        raise ConfigError(f"{path}: not UTF-8 text (byte {error.start})") from error
    except OSError as error:
        raise ConfigError(f"{path}: {error.strerror}; give another file by --config") from error


def _apply_override(table: Table, override: str) -> None:
    key, separator, text = override.partition("=")
    names = key.strip().split(".")
    if not separator or not all(names):
        raise ConfigError(f"--set {override}: write it as section.key=value")
    try:
        value = tomllib.loads(f"value = {text}")["value"]
    except tomllib.TOMLDecodeError:
        value = text
    for name in names[:-1]:
        table = table.setdefault(name, {})
        if not isinstance(table, dict):
            raise ConfigError(f"--set {override}: {name} is not a table")
    table[names[-1]] = value


def _validate(table: Table, where: str, state_dir: Path | None) -> Settings:
    problems: list[str] = []
    try:
        context = {"state_dir": state_dir or _state_dir(table)}
    except RuntimeError as error:  # a home folder that does not exist
        raise ConfigError(f"{where}: daemon.state_dir: {error}") from error
    rest = {**table, "daemon": table.get("daemon", {})}
    if state_dir is not None and isinstance(rest["daemon"], dict):
        rest["daemon"] = {"state_dir": str(state_dir), **rest["daemon"]}
    sinks = rest.pop("sinks")
    settings: Settings | None = None
    try:
        settings = Settings.model_validate(
            {"journal": {}, "capture": {}, **rest, "sinks": {}}, context=context
        )
    except ValidationError as error:
        problems += mistakes(Settings, error)
    built: dict[str, SinkSettings] = {}
    if not isinstance(sinks, dict):
        problems.append("sinks: write one table a sink, such as [sinks.log]")
        sinks = {}
    for name, sink in sinks.items():
        try:
            built[name] = _sink(name, sink, context)
        except ValidationError as error:
            problems += mistakes(registry.usable(sink["type"]).Settings, error, ("sinks", name))
        except KevmondError as error:
            problems.append(f"sinks.{name}: {error}")
    problems += _shared_files(built)
    if problems or settings is None:
        raise ConfigError("\n".join(f"{where}: {problem}" for problem in problems))
    return settings.model_copy(update={"sinks": built})


def _shared_files(sinks: dict[str, SinkSettings]) -> Iterator[str]:
    """Name the sinks that would write a file which another one writes."""
    taken: dict[Path, str] = {}
    for name, sink in sinks.items():
        path = getattr(sink, "path", None)
        if isinstance(path, Path) and sink.enabled and sink.type == "jsonl":
            first = taken.setdefault(Path(os.path.abspath(path)), name)  # noqa: PTH100 - no links
            if first != name:
                yield f"sinks.{name}.path: {path} is that of sinks.{first}; give each its own"


def _state_dir(table: Table) -> Path:
    daemon = table.get("daemon")
    named = daemon.get("state_dir") if isinstance(daemon, dict) else None
    return Path(named).expanduser() if isinstance(named, str) else default_state_dir()


def _sink(name: str, sink: Any, context: Table) -> SinkSettings:
    if not isinstance(sink, dict):
        raise ConfigError(f"write a table: [sinks.{name}]")
    kind = sink.get("type")
    if not isinstance(kind, str):
        raise ConfigError(f'say what kind it is: type = "jsonl" ({", ".join(registry.names())})')
    return registry.usable(kind).Settings.model_validate(sink, context=context)


def load_usable(path: Path | None = None, *, overrides: Sequence[str] = ()) -> Loaded:
    """Read the configuration as `load` does, and see that plug-ins and secrets can be had."""
    loaded = load(path, overrides=overrides)
    where = loaded.path or "built-in configuration"
    problems = [*check_plugins(loaded.settings), *check_secrets(loaded.settings)]
    if problems:
        raise ConfigError("\n".join(f"{where}: {problem}" for problem in problems))
    return loaded


def check_plugins(settings: Settings) -> list[str]:
    """Return one line for every sink whose plug-in cannot be used; a daemon runs without it."""
    problems = []
    for name, sink in settings.sinks.items():
        try:
            registry.load(sink.type)
        except ConfigError as error:
            problems.append(f"sinks.{name}: {error}")
    return problems


def check_secrets(settings: BaseModel) -> list[str]:
    """Return one line for every secret of `settings` that cannot be read now."""
    problems = []
    for key, secret in secrets(settings):
        try:
            secret.reveal()
        except ConfigError as error:
            problems.append(f"{'.'.join(key)}: {error}")
    return problems


def exposed_secrets(settings: BaseModel) -> list[str]:
    """Return one line for every file with a secret of `settings` that everybody may read."""
    return [
        f"{'.'.join(key)}: secret {secret.reference}: {line}"
        for key, secret in secrets(settings)
        if secret.path is not None and (line := trust.open_to_others(secret.path))
    ]


def secrets(settings: BaseModel) -> Iterator[tuple[tuple[str, ...], Secret]]:
    """Yield every secret of `settings` with the key where it stands."""
    return _secrets(settings, ())


def _secrets(value: Any, key: tuple[str, ...]) -> Iterator[tuple[tuple[str, ...], Secret]]:
    if isinstance(value, Secret):
        yield key, value
    elif isinstance(value, BaseModel):
        for name in type(value).model_fields:
            yield from _secrets(getattr(value, name), (*key, name))
    elif isinstance(value, dict):
        for name, item in value.items():
            yield from _secrets(item, (*key, str(name)))
    elif isinstance(value, (list, tuple)):
        for index, item in enumerate(value):
            yield from _secrets(item, (*key, str(index)))
