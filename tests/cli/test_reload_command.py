"""`kevmond reload`, against the API over a daemon that only says what became of it."""

import asyncio
import json
import tempfile
import threading
from pathlib import Path

import pytest
import uvloop

from kevmond.api.listener import SOCKET
from kevmond.api.server import ApiServer
from kevmond.api.services import Services

PATIENCE = 30.0


class Log:
    def warning(self, text, **facts):
        pass

    debug = error = warning


@pytest.fixture
def report():
    """Say what became of a reload; tests change it."""
    return {
        "state": "applied",
        "applied": [],
        "needs_restart": [],
        "problems": [],
        "file": "/etc/kevmond.toml",
    }


@pytest.fixture
def reload(kevmond, report):
    """Call `kevmond reload ARGS...`."""

    async def answer():
        return report

    async def serve(folder):
        parts = dict.fromkeys(Services.__dataclass_fields__)
        server = ApiServer(folder / SOCKET, Services(**{**parts, "reload": answer}), log=Log())
        await server.start()
        return server

    loop = uvloop.new_event_loop()
    thread = threading.Thread(target=loop.run_forever)
    thread.start()

    def call(work):
        return asyncio.run_coroutine_threadsafe(work, loop).result(PATIENCE)

    with tempfile.TemporaryDirectory(prefix="kev") as name:
        server = call(serve(Path(name)))
        yield lambda *args: kevmond("reload", *args, "--state-dir", name)
        call(server.aclose())
    loop.call_soon_threadsafe(loop.stop)
    thread.join()
    loop.close()


def test_applied(reload, report):
    """What was taken over, and what waits for a restart, is told; that is success."""
    report.update(applied=["sinks.a", "capture.narrow"], needs_restart=["journal.max_bytes"])
    result = reload()
    assert (result.code, result.err) == (0, "")
    assert result.out.splitlines() == [
        "the configuration is read anew",
        "  file           /etc/kevmond.toml",
        "  applied        sinks.a, capture.narrow",
        "  needs restart  journal.max_bytes",
    ]


def test_nothing_changed(reload, report):
    """A reload that changes nothing says so."""
    report["file"] = None
    result = reload()
    assert result.code == 0
    assert "nothing has changed" in result.out
    assert "built-in settings" in result.out


def test_file_that_cannot_be_reopened(reload, report):
    """The configuration is in force, but not all is well: exit 1."""
    report["problems"] = ["sinks.a: EACCES"]
    result = reload()
    assert result.code == 1
    assert "cannot be reopened: sinks.a: EACCES" in result.err


def test_refused(reload, report):
    """Every mistake is told, the old configuration stays, and it exits as EX_CONFIG."""
    report.update(state="refused", problems=["k.toml: sinks.a.pth: unknown", "k.toml: x: \x1b[2J"])
    result = reload()
    assert (result.code, result.out) == (78, "")
    assert result.err.splitlines()[:3] == [
        "kevmond: the configuration is refused; the old one stays in force",
        "  k.toml: sinks.a.pth: unknown",
        r"  k.toml: x: \x1b[2J",
    ]
    assert "kevmond config check" in result.err


def test_json(reload, report):
    """Programs get the report, refused or not."""
    result = reload("--json")
    assert (result.code, json.loads(result.out)) == (0, report)
    report.update(state="refused", problems=["a: no", "b: no"])
    result = reload("--json")
    found = json.loads(result.out)
    assert (result.code, found["state"], found["problems"]) == (78, "refused", ["a: no", "b: no"])


def test_no_daemon(kevmond, in_tmp):
    """Where no daemon runs it exits as EX_UNAVAILABLE."""
    result = kevmond("reload", "--state-dir", ".")
    assert (result.code, result.out) == (69, "")
