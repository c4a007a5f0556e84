"""Which events somebody asks for on the command line."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any, TypeVar

import click

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

Function = TypeVar("Function", bound="Callable[..., object]")


def condition_options(function: Function) -> Function:
    """Add FILTER..., --filter, --interface, --type and --text: the parameter `asked`, a query."""
    for option in (
        click.option("--text", metavar="TEXT", help="Only events with this text in their JSON."),
        click.option(
            "--type",
            "types",
            multiple=True,
            metavar="TYPE",
            help="Only events of this type, such as network.dl.*; may be repeated.",
        ),
        click.option(
            "--interface",
            "-i",
            "interfaces",
            multiple=True,
            metavar="NAME",
            help="Only events of this interface, such as en0 or utun*; may be repeated.",
        ),
        click.option(
            "--filter",
            "alternatives",
            multiple=True,
            metavar="RULE",
            help="One more rule, as an alternative; may be repeated.",
        ),
        click.argument("words", nargs=-1, metavar="[FILTER]..."),
    ):
        function = option(function)
    return function


def rules_of(words: Sequence[str], alternatives: Sequence[str] = ()) -> list[str]:
    """Return rules: words that are arguments of their own make one, an argument of several another.

    So neither `class=network interface=en0` nor "class=network interface=en0" needs any thought.
    """
    single = [word for word in words if len(word.split()) <= 1]
    whole = [word for word in words if len(word.split()) > 1]
    return [*([" ".join(single)] if single else []), *whole, *alternatives]


def query_of(given: dict[str, Any]) -> dict[str, Any]:
    """Return the API's query for what `condition_options` took; mistakes are told as such."""
    from kevmond.errors import FilterError
    from kevmond.history.condition import Condition

    rules = rules_of(given.pop("words"), given.pop("alternatives"))
    interface, types = ",".join(given.pop("interfaces")), ",".join(given.pop("types"))
    text = given.pop("text") or ""
    try:
        Condition(rules, interface=interface, types=types, text=text)
    except FilterError as error:
        raise click.UsageError(_with_example(rules, str(error))) from error
    query = {"filter": rules, "interface": interface, "type": types, "text": text}
    return {key: value for key, value in query.items() if value}


def _with_example(rules: Sequence[str], message: str) -> str:
    """Add what was probably meant by a word alone, such as `en0`."""
    alone = [word for rule in rules for word in rule.split() if word != "drop" and "=" not in word]
    if not alone or any(sign in alone[0] for sign in "<>"):
        return message
    return f"{message}\nPerhaps --interface {alone[0]}, --type {alone[0]} or --text {alone[0]}?"


def at(text: str | None, option: str) -> str | None:
    """Return a time in RFC 3339 of text such as "10m" (ago); BadParameter if it is none."""
    if text is None:
        return None
    from kevmond.errors import ConfigError
    from kevmond.events.event import timestamp
    from kevmond.units import moment

    try:
        return timestamp(moment(text, time.time_ns()))
    except ConfigError as error:
        raise click.BadParameter(str(error), param_hint=f"'{option}'") from error
