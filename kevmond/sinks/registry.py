"""Sinks by the name of their type: kevmond's own, and plug-ins found by entry points.

A plug-in is any installed package that declares, in its pyproject.toml,

    [project.entry-points."kevmond.sinks"]
    mqtt = "my_package.mqtt:MqttSink"

Nothing is imported before a sink of that type is asked for.  kevmond's own are known without a look
at the installed packages' metadata, so that a start does not pay for it.
"""

from __future__ import annotations

import difflib
import importlib
import inspect
from typing import TYPE_CHECKING, Any, Final

from kevmond.errors import ConfigError
from kevmond.sinks.base import SinkSettings

if TYPE_CHECKING:
    from kevmond.sinks.base import Sink

GROUP: Final = "kevmond.sinks"
"""The entry points' group."""

OWN: Final = {
    "exec": "kevmond.sinks.exec:ExecSink",
    "jsonl": "kevmond.sinks.jsonl:JsonlSink",
    "log": "kevmond.sinks.log:LogSink",
    "unix": "kevmond.sinks.unix:UnixSink",
    "webhook": "kevmond.sinks.webhook.sink:WebhookSink",
}
"""The same as in pyproject.toml (a test compares them)."""


class PluginError(ConfigError):
    """A sink's class cannot be used: says which, and why.  Other sinks are not affected."""


def names() -> list[str]:
    """Return every type there is, in order; imports none of them."""
    return sorted({*OWN, *_installed()})


def load(kind: str) -> type[Sink]:
    """Return the class of a type.

    Raises ConfigError for a type that nobody declares, naming the nearest and all that are known,
    and PluginError for one that is declared but cannot be used.
    """
    target = OWN.get(kind)
    if target is None:
        targets = _installed().get(kind, [])
        if not targets:
            raise ConfigError(_unknown(kind))
        if len(targets) > 1:
            raise PluginError(
                f"sink type {kind}: declared by several packages ({', '.join(targets)}); "
                "uninstall all but one"
            )
        target = targets[0]
    sink = _resolve(kind, target)
    wrong = shortcomings(sink)
    if wrong:
        raise PluginError(f"sink type {kind}: {target} is no sink: {'; '.join(wrong)}")
    return sink  # type: ignore[no-any-return]  # just checked


def usable(kind: str) -> type[Sink]:
    """As `load`, but for a plug-in that cannot be used return a sink that fails and says why.

    With it a daemon starts although a plug-in is broken.  Raises ConfigError for unknown types.
    """
    try:
        return load(kind)
    except PluginError as error:
        from kevmond.sinks.broken import broken  # noqa: PLC0415 - seldom needed

        return broken(str(error))


def shortcomings(sink: Any) -> list[str]:
    """Return what keeps a class from being a sink; nothing if it is one."""
    if not inspect.isclass(sink):
        return ["it is not a class"]
    wrong = []
    settings = getattr(sink, "Settings", None)
    if not (inspect.isclass(settings) and issubclass(settings, SinkSettings)):
        wrong.append("its Settings is not a subclass of kevmond.sinks.base.SinkSettings")
    try:
        inspect.signature(sink).bind("name", "settings")
    except TypeError:
        wrong.append("its constructor does not take (name, settings)")
    for method, arguments in _METHODS.items():
        function = getattr(sink, method, None)
        if not inspect.iscoroutinefunction(function):
            wrong.append(f"it has no `async def {method}`")
            continue
        try:
            inspect.signature(function).bind("self", *arguments)
        except TypeError:
            listed = ", ".join(["self", *arguments])
            wrong.append(f"its {method} does not take ({listed})")
    return wrong


_METHODS: Final = {"open": (), "write": ("batch",), "reopen": (), "aclose": ()}


def _resolve(kind: str, target: str) -> Any:
    module, _, attribute = target.partition(":")
    try:
        found: Any = importlib.import_module(module)
        for name in attribute.split("."):
            found = getattr(found, name)
    except Exception as error:  # a plug-in may fail in any way
        raise PluginError(
            f"sink type {kind}: {target} cannot be imported: {type(error).__name__}: {error}"
        ) from error
    return found


def _installed() -> dict[str, list[str]]:
    """Return what installed packages declare: type -> "module:Class", each once."""
    from importlib.metadata import entry_points  # noqa: PLC0415 - slow, and seldom needed

    found: dict[str, set[str]] = {}
    for point in entry_points(group=GROUP):
        found.setdefault(point.name, set()).add(point.value)
    return {kind: sorted(targets) for kind, targets in found.items()}


def _unknown(kind: str) -> str:
    known = names()
    near = difflib.get_close_matches(kind, known, 1)
    hint = f"did you mean {near[0]}? " if near else ""
    return f"unknown sink type {kind!r}; {hint}known: {', '.join(known)}"
