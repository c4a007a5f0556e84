"""What fields mean: the docstrings under them, read from the source.

Only documentation and the JSON Schema want them, so models do not carry them: parsing sources would
cost the daemon's start.
"""

from __future__ import annotations

import ast
import inspect
import sys
from functools import cache
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping


_NOT_OURS = ("builtins", "pydantic", "abc", "enum", "typing")


def field_docs(model: type) -> dict[str, str]:
    """Meaning of each field, member and property of a class, by name, as one line of text."""
    found: dict[str, str] = {}
    for owner in reversed(model.__mro__):
        if owner.__module__.partition(".")[0] not in _NOT_OURS:
            found |= _module_docs(owner.__module__).get(owner.__name__, {})
    return found


def class_doc(model: type) -> str:
    """Docstring of a class: its paragraphs, each on one line."""
    return "\n\n".join(_line(part) for part in (inspect.getdoc(model) or "").split("\n\n"))


def module_doc(module: str) -> str:
    """First line of a module's docstring, without the full stop."""
    __import__(module)
    return (inspect.getdoc(sys.modules[module]) or "").partition("\n")[0].rstrip(".")


@cache
def _module_docs(module: str) -> Mapping[str, dict[str, str]]:
    try:
        tree = ast.parse(inspect.getsource(sys.modules[module]))
    except (OSError, TypeError, KeyError):  # a plug-in without source, or one made on the fly
        return {}
    return {node.name: _class_docs(node) for node in tree.body if isinstance(node, ast.ClassDef)}


def _class_docs(node: ast.ClassDef) -> dict[str, str]:
    found: dict[str, str] = {}
    for item, after in zip(node.body, [*node.body[1:], None], strict=True):
        match item, after:
            case (
                ast.AnnAssign(target=ast.Name(id=name)),
                ast.Expr(value=ast.Constant(value=str(text))),
            ):
                found[name] = _line(text)
            case ast.Assign(targets=[ast.Name(id=name)]), ast.Expr(
                value=ast.Constant(value=str(text))
            ):
                found[name] = _line(text)
            case ast.FunctionDef(name=name), _:
                found[name] = _line(ast.get_docstring(item) or "")
            case _:
                pass
    return found


def _line(text: str) -> str:
    return " ".join(text.split())
