"""The order of the rooms, held by reading every import."""

import ast
from pathlib import Path

import pytest

PACKAGE = Path(__file__).parent.parent / "kevmond"

ROOMS = [
    [
        "errors",
        "clock",
        "units",
        "paths",
        "secret",
        "shipped",
        "trust",
        "backoff",
        "faultpoints",
        "worker",
        "timelimit",
        "mistakes",
    ],
    ["kernel"],
    ["events"],
    ["stories"],
    ["journal"],
    ["capture"],
    ["control"],
    ["sinks"],
    ["history"],
    ["api"],
    ["service"],
    ["config"],
    ["daemon"],
    ["cli"],
    ["__main__"],
]
"""From the ground up: a room imports from its own row and the rows above it, never below."""

LEVEL = {room: level for level, row in enumerate(ROOMS) for room in row}


def modules():
    """Every module of the package with its dotted name."""
    for path in sorted(PACKAGE.rglob("*.py")):
        parts = path.relative_to(PACKAGE.parent).with_suffix("").parts
        yield ".".join(parts).removesuffix(".__init__"), path


def imports(path, *, everything):
    """Names of kevmond's modules that `path` imports; `everything` takes those in functions too."""
    tree = ast.parse(path.read_text())
    for node in ast.walk(tree) if everything else run_at_import(tree):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names if alias.name.startswith("kevmond"))
        elif isinstance(node, ast.ImportFrom) and (node.module or "").split(".")[0] == "kevmond":
            for alias in node.names:
                yield f"{node.module}.{alias.name}"


def run_at_import(tree):
    """Statements that importing the module runs: no function bodies, no TYPE_CHECKING blocks."""
    todo = list(tree.body)
    while todo:
        node = todo.pop()
        yield node
        if isinstance(node, ast.If) and "TYPE_CHECKING" in ast.unparse(node.test):
            todo += node.orelse
        elif not isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef, ast.Lambda)):
            todo += [child for child in ast.iter_child_nodes(node) if isinstance(child, ast.stmt)]


def room(name):
    """Return the room of a dotted name; the package itself belongs to the lowest."""
    parts = name.split(".")
    return parts[1] if len(parts) > 1 and parts[1] in LEVEL else "errors"


@pytest.mark.parametrize(("name", "path"), list(modules()))
def test_imports_go_downwards(name, path):
    """A module imports from its own room and from rooms below it only."""
    upwards = [
        other for other in imports(path, everything=True) if LEVEL[room(other)] > LEVEL[room(name)]
    ]
    assert upwards == []


def test_every_room_has_a_place():
    """A new room must be given its place in the order before it can be used."""
    rooms = {path.stem for path in PACKAGE.iterdir() if path.suffix == ".py" or path.is_dir()}
    assert rooms - {"__init__", "__pycache__", "py"} == set(LEVEL)


def test_no_import_circles():
    """No module imports, at import time, a module that leads back to it."""
    known = dict(modules())
    graph = {
        name: {
            target
            for other in imports(path, everything=False)
            for target in (other, other.rpartition(".")[0])
            if target in known and target != name
        }
        for name, path in known.items()
    }
    packages = {name for name, path in known.items() if path.stem == "__init__"}
    done, trail = set(), []

    def visit(name):
        assert name not in trail, " -> ".join([*trail[trail.index(name) :], name])
        if name in done:
            return
        trail.append(name)
        for other in sorted(graph[name]):
            # A package's __init__ that re-exports its modules is not a circle with them.
            if not (other in packages and name.startswith(other + ".")):
                visit(other)
        trail.pop()
        done.add(name)

    for name in graph:
        visit(name)


def test_kernel_room_is_plain():
    """The kernel boundary knows neither pydantic nor, but for the served simulation, asyncio."""
    for name, path in modules():
        if room(name) != "kernel":
            continue
        tree = ast.parse(path.read_text())
        used = {
            alias.name.split(".")[0]
            for node in ast.walk(tree)
            if isinstance(node, ast.Import)
            for alias in node.names
        } | {
            (node.module or "").split(".")[0]
            for node in ast.walk(tree)
            if isinstance(node, ast.ImportFrom)
        }
        forbidden = {"pydantic", "pydantic_core", "structlog", "uvloop"}
        if not name.startswith("kevmond.kernel.simulated"):
            forbidden.add("asyncio")
        assert used & forbidden == set(), name
