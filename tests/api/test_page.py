"""The live page's files, as they are served."""

import re
from importlib import resources

import pytest

from kevmond.api import page_routes
from kevmond.api.listener import SOCKET

FILES = [path for path in page_routes.files() if path != "/"]


@pytest.fixture
async def get(server, folder, exchange):
    """Ask for a path, at the page's port without the token or at the Unix socket."""
    port = int(server.open_page().split(":")[2].partition("/")[0])

    async def get(path, *, unix=False, method="GET", known=None):
        lines = [f"{method} {path} HTTP/1.1", f"Host: 127.0.0.1:{port}", "Connection: close"]
        if known:
            lines.append(f"If-None-Match: {known}")
        request = "\r\n".join([*lines, "", ""]).encode()
        answer = await exchange(folder / SOCKET if unix else port, request)
        head, _, body = answer.partition(b"\r\n\r\n")
        status, *lines = head.decode().split("\r\n")
        return int(status.split()[1]), dict(line.split(": ", 1) for line in lines), body

    return get


def test_everything_in_the_folder_is_served():
    """What stands in the package's folder is of a kind that is known, all of it."""
    folder = resources.files("kevmond.api") / "page"
    assert {f"/{each.name}" for each in folder.iterdir() if each.is_file()} <= set(FILES)


@pytest.mark.parametrize("unix", [False, True])
async def test_index_is_the_page(get, unix):
    """The root is index.html, without a token, at both places."""
    status, headers, body = await get("/", unix=unix)
    assert (status, headers["Content-Type"]) == (200, "text/html; charset=utf-8")
    assert body.lower().startswith(b"<!doctype html>")
    assert (await get("/index.html", unix=unix))[2] == body


@pytest.mark.parametrize("path", FILES)
async def test_file_has_its_type(get, path):
    """Browsers that are told not to guess need the right type of each file."""
    status, headers, body = await get(path)
    end = path.rpartition(".")[2]
    kind = {"html": "text/html", "css": "text/css", "js": "text/javascript",
            "svg": "image/svg+xml"}[end]  # fmt: skip
    assert status == 200
    assert headers["Content-Type"].partition(";")[0] == kind
    assert headers["Cache-Control"] == "no-cache"
    assert body == (resources.files("kevmond.api") / "page" / path[1:]).read_bytes()


async def test_known_file_is_not_sent_again(get):
    """A browser asks each time whether its copy is still right, and gets no body if it is."""
    _, headers, _ = await get("/")
    status, again, body = await get("/", known=headers["Etag"])
    assert (status, again["Etag"], body) == (304, headers["Etag"], b"")
    assert (await get("/", known='"other"'))[0] == 200


async def test_head_tells_without_a_body(get):
    """HEAD is GET without the file."""
    status, headers, body = await get("/", method="HEAD")
    assert (status, body) == (200, b"")
    assert int(headers["Content-Length"]) > 0


async def test_files_take_no_other_method(get):
    """There is nothing to be sent to a file."""
    assert (await get("/index.html", method="POST"))[0] == 405


@pytest.mark.parametrize("path", [path for path in FILES if path.endswith(("html", "css", "js"))])
def test_page_asks_nobody_else(path):
    """No file of the page names another server, and none has code or style in its markup."""
    text = page_routes.files()[path].decode()
    assert not re.search(
        r"""["'(]\s*(https?:)?//""", text.replace("http://www.w3.org/2000/svg", "")
    )
    if path.endswith("html"):
        assert not re.search(r"<script(?![^>]*\ssrc=)|\son\w+\s*=|<style|\sstyle\s*=", text)


def test_without_its_folder_there_is_no_page(monkeypatch):
    """An installation without the page's files serves the API all the same."""
    monkeypatch.setattr(page_routes, "FOLDER", "no-such-folder")
    assert page_routes.files.__wrapped__() == {}
