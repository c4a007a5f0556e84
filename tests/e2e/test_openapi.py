"""The API's description is true of what a running daemon answers."""

import contextlib
import copy
import http.client
import json
import shutil
import socket
import tempfile
import time
from pathlib import Path

import pytest
from jsonschema import Draft202012Validator

from kevmond.api import openapi
from kevmond.api.listener import SOCKET
from kevmond.api.routes import routes

LINK_ON = (1, 1, 2, 13, b"\x02\0\0\0\0\0\0\0en".ljust(24, b"\0"))
DOCUMENT = openapi.document(routes())
WEBHOOK = {"url": "http://127.0.0.1:1/", "allow_private": True, "allow_http": True}


def closed(shape):
    """Return a shape by which a key that is not told is a mistake."""
    if isinstance(shape, list):
        return [closed(each) for each in shape]
    if not isinstance(shape, dict):
        return shape
    made = {key: closed(each) for key, each in shape.items()}
    if "properties" in made and "if" not in made and "allOf" not in made:
        made.setdefault("additionalProperties", False)
    return made


def complaints(shape, value):
    """Return what is wrong with an answer, by a shape of the document."""
    components = {
        "schemas": {
            # events have a test of their own, by a schema that is not closed
            name: each if "allOf" in each else closed(each)
            for name, each in DOCUMENT["components"]["schemas"].items()
        }
    }
    validator = Draft202012Validator({**closed(copy.deepcopy(shape)), "components": components})
    return [f"{list(each.absolute_path)}: {each.message}" for each in validator.iter_errors(value)]


class Connection(http.client.HTTPConnection):
    """HTTP over a Unix socket."""

    def __init__(self, path):
        super().__init__("kevmond", timeout=30)
        self.path = path

    def connect(self):
        self.sock = socket.socket(socket.AF_UNIX)
        self.sock.settimeout(30)
        self.sock.connect(str(self.path))


@pytest.fixture
def state():
    """Make a state folder with a short path."""
    folder = tempfile.mkdtemp(prefix="kev")
    yield Path(folder) / "state"
    shutil.rmtree(folder)


@pytest.fixture
def check(state, daemon, kernel):
    """Run a daemon with a few events, and check answers of it by the description."""
    running = daemon("--kernel", f"simulated:{kernel.path}", state=state)
    running.wait_for("kevmond.start")
    kernel.post(*LINK_ON)
    running.wait_for("network.dl.link-on")
    end = time.monotonic() + 30
    while not (state / SOCKET).exists():
        assert time.monotonic() < end
        time.sleep(0.01)

    def check(method, route, *, where=None, body=None, status=200):
        """Ask for `where`, which is served by `route`, and return what was answered."""
        connection = Connection(state / SOCKET)
        with contextlib.closing(connection):
            data = None if body is None else json.dumps(body)
            connection.request(method, where or route, body=data)
            answer = connection.getresponse()
            text = answer.read()
        assert answer.status == status, text
        kind = answer.headers["Content-Type"].partition(";")[0]
        described = DOCUMENT["paths"][route][method.lower()]["responses"][str(status)]
        shape = described["content"][kind]["schema"]
        found = json.loads(text) if kind == "application/json" else text.decode()
        assert complaints(shape, found) == []
        return found

    return check


def test_shapes_are_closed_for_this_test():
    """The check of answers does find what is not described."""
    shape = {"$ref": "#/components/schemas/Error"}
    assert complaints(shape, {"error": "", "hint": ""}) == []
    assert complaints(shape, {"error": "", "hint": "", "more": 1}) != []
    assert complaints(shape, {"error": ""}) != []


def test_questions_are_answered_as_described(check):
    """Every operation that only asks has the shape that is told."""
    page = check("GET", "/v1/events", where="/v1/events?type=network.*&limit=1")
    (event,) = page["events"]
    one = f"/v1/events/{event['id']}"
    assert check("GET", "/v1/events/{id}", where=one) == event
    assert check("GET", "/v1/events/{id}/explain", where=f"{one}/explain")["consumers"]
    counts = check("GET", "/v1/events/counts", where="/v1/events/counts?by=severity")
    assert counts["buckets"]
    assert check("GET", "/v1/interfaces")["interfaces"]
    assert check("GET", "/v1/interfaces/timeline")["lanes"]
    assert check("GET", "/v1/status")["consumers"]
    assert check("GET", "/v1/health")["health"] == "ok"
    assert check("GET", "/v1/metrics").startswith("# HELP kevmond_")
    assert check("GET", "/v1/config")["settings"]
    assert check("GET", "/v1/")["name"] == "kevmond"
    assert check("GET", "/v1/openapi.json")["openapi"] == DOCUMENT["openapi"]


def test_changes_are_answered_as_described(check):
    """Every operation that does something has the shape that is told."""
    made = check(
        "POST",
        "/v1/webhooks",
        body={"settings": WEBHOOK, "name": "a", "generate": True},
        status=201,
    )
    assert made["secret"]
    one, route = "/v1/webhooks/a", "/v1/webhooks/{name}"
    assert check("GET", "/v1/webhooks")["webhooks"]
    check("GET", route, where=one)
    assert check("POST", f"{route}/test", where=f"{one}/test")["ok"] is False
    for what in ("pause", "resume"):
        check("POST", f"{route}/{what}", where=f"{one}/{what}")
    rotated = check("POST", f"{route}/rotate-secret", where=f"{one}/rotate-secret", body={})
    assert rotated["secret"]
    check("POST", f"{route}/replay", where=f"{one}/replay", body={"since": "1h"}, status=202)
    check("GET", f"{route}/failures", where=f"{one}/failures")
    check("POST", f"{route}/disable", where=f"{one}/disable", body={"reason": "why"})
    assert check("GET", "/v1/health", status=503)["problems"]
    assert check("GET", "/v1/status")["problems"]
    assert check("DELETE", route, where=f"{one}?force=1")["removed"]
    assert check("POST", "/v1/reload")["state"] == "applied"
    assert check("POST", "/v1/page")["url"].startswith("http://127.0.0.1:")


REFUSED = [
    ("GET", "/v1/events/{id}", "/v1/events/999999", None, 404),
    ("GET", "/v1/events", "/v1/events?limit=x", None, 422),
    ("GET", "/v1/events", "/v1/events?filtre=x", None, 422),
    ("GET", "/v1/webhooks/{name}", "/v1/webhooks/none", None, 404),
    ("POST", "/v1/webhooks", None, {}, 422),
    ("POST", "/v1/webhooks/{name}/pause", "/v1/webhooks/none/pause", None, 404),
]


def test_refusals_are_answered_as_described(check):
    """An error is `error` and `hint`, whatever refuses."""
    for method, route, where, body, status in REFUSED:
        assert check(method, route, where=where, body=body, status=status)["error"]
