"""Secrets in a configuration: named there, never written there."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pydantic_core import core_schema

from kevmond import trust
from kevmond.errors import ConfigError

if TYPE_CHECKING:
    from collections.abc import Iterable

    from pydantic import GetCoreSchemaHandler, GetJsonSchemaHandler
    from pydantic.json_schema import JsonSchemaValue

_PREFIXES = ("env:", "file:")


class Secret:
    """A reference to a secret: `env:NAME` or `file:/path`; the secret itself stays out of dumps."""

    __slots__ = ("reference",)

    def __init__(self, reference: str) -> None:
        if not reference.startswith(_PREFIXES):
            raise ValueError("a secret is given by reference: write env:NAME or file:/path")
        self.reference = reference

    @property
    def path(self) -> Path | None:
        """The file that holds it, if one does."""
        kind, _, name = self.reference.partition(":")
        return Path(name).expanduser() if kind == "file" else None

    def reveal(self) -> str:
        """Return the secret; ConfigError naming the reference if there is none.

        A trailing newline of a file does not belong to the secret.
        """
        path = self.path
        value = self._of_variable() if path is None else self._of_file(path)
        if not value:
            raise ConfigError(f"secret {self.reference}: it is empty")
        return value

    def _of_variable(self) -> str:
        value = os.environ.get(self.reference.removeprefix("env:"))
        if value is None:
            raise ConfigError(f"secret {self.reference}: the variable is not set")
        return value

    def _of_file(self, path: Path) -> str:
        try:
            return trust.read(path).rstrip("\r\n")
        except (trust.TrustError, OSError, UnicodeDecodeError) as error:
            why = "not UTF-8 text"
            if isinstance(error, trust.TrustError):
                why = "; ".join(str(error).splitlines())
            elif isinstance(error, OSError):
                why = error.strerror or str(error)
            raise ConfigError(f"secret {self.reference}: {why}") from error

    def __repr__(self) -> str:
        return f"Secret({self.reference!r})"

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Secret) and other.reference == self.reference

    def __hash__(self) -> int:
        return hash(self.reference)

    @classmethod
    def _read(cls, given: object) -> Secret:
        if isinstance(given, cls):
            return given
        return cls(given if isinstance(given, str) else "")

    @classmethod
    def __get_pydantic_core_schema__(
        cls, source: Any, handler: GetCoreSchemaHandler
    ) -> core_schema.CoreSchema:
        return core_schema.no_info_plain_validator_function(
            cls._read,
            serialization=core_schema.plain_serializer_function_ser_schema(
                lambda secret: secret.reference
            ),
        )

    @classmethod
    def __get_pydantic_json_schema__(
        cls, schema: core_schema.CoreSchema, handler: GetJsonSchemaHandler
    ) -> JsonSchemaValue:
        return {
            "type": "string",
            "pattern": "^(env|file):",
            "description": "env:NAME or file:/path",
        }


SENSITIVE = frozenset({"secret", "secrets", "headers", "proxy", "environment", "url"})
"""Keys whose values are never shown when they are wrong: somebody wrote the secret itself there."""


def shown(key: Iterable[object], given: object) -> str:
    """Return " (it is ...)" for an error about a value, or nothing where it may be secret."""
    if isinstance(given, (dict, list, tuple)) or not SENSITIVE.isdisjoint(map(str, key)):
        return ""
    return f" (it is {given!r})"
