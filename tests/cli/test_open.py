"""`kevmond open`, against the API's server, with no browser but a stand-in."""

import http.client
import json
import re
import stat
import sys
import tempfile
import webbrowser
from pathlib import Path
from urllib.parse import unquote, urlsplit

import pytest

from kevmond.cli import open as module


class Browser:
    """Notes what it should show."""

    def __init__(self):
        self.shown = []
        self.works = True

    def open(self, url):
        self.shown.append(url)
        return self.works

    @property
    def files(self):
        return [Path(unquote(urlsplit(url).path)) for url in self.shown]


@pytest.fixture
def browser(monkeypatch, tmp_path):
    """Be a user before a screen with a browser."""
    browser = Browser()
    monkeypatch.setattr(webbrowser, "open", browser.open)
    monkeypatch.setattr(module.os, "geteuid", lambda: 501)
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    monkeypatch.delenv("SSH_CONNECTION", raising=False)
    monkeypatch.setenv("DISPLAY", ":0")
    return browser


@pytest.fixture
def page(ask, past):
    """Call `kevmond open ARGS...`."""
    return lambda *args: ask("open", *args)


def test_address_answers(page, browser):
    """What is printed is the page's address, with a token that the API takes."""
    url = page().out.strip()
    found = re.fullmatch(r"http://127\.0\.0\.1:(\d+)/#token=([\w-]{43})", url)
    connection = http.client.HTTPConnection("127.0.0.1", int(found[1]), timeout=30)
    connection.request("GET", "/v1/", headers={"Authorization": f"Bearer {found[2]}"})
    answer = connection.getresponse()
    assert (answer.status, json.loads(answer.read())["name"]) == (200, "kevmond")
    connection.close()


def test_browser_is_shown_a_private_file(page, browser):
    """The token is no argument of a program, which all users can read."""
    url = page().out.strip()
    (file,) = browser.files
    assert browser.shown[0].startswith("file:///")
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    assert f'content="0; url={url}"' in file.read_text()


def test_file_of_the_time_before_goes(page, browser, tmp_path):
    """One of them at most lies about."""
    page()
    page()
    assert list(tmp_path.iterdir()) == browser.files[1:]


def test_token_is_warned_of(page, browser):
    """On stderr, so that the address alone is what a pipe gets."""
    result = page()
    assert "holds a token" in result.err
    assert len(result.lines) == 1


@pytest.mark.parametrize("option", ["--print", "--json"])
def test_browser_is_not_asked(page, browser, option):
    """For who wants the address only."""
    result = page(option)
    assert (result.code, browser.shown) == (0, [])
    assert "#token=" in result.out
    assert option != "--json" or json.loads(result.out)["url"]


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (lambda patch: patch.setenv("SSH_CONNECTION", "a 1 b 2"), "ssh -L"),
        (lambda patch: patch.setattr(module.os, "geteuid", lambda: 0), "root should start no"),
        (lambda patch: patch.delenv("DISPLAY"), "there is no screen here"),
    ],
)
def test_where_no_browser_can_be_it_is_said(page, browser, monkeypatch, change, words):
    """The address is printed all the same."""
    monkeypatch.delenv("WAYLAND_DISPLAY", raising=False)
    monkeypatch.setattr(sys, "platform", "linux")
    change(monkeypatch)
    result = page()
    assert (result.code, browser.shown) == (0, [])
    assert f"{words}" in result.err
    assert "open the address in a browser" in result.err
    assert result.out.startswith("http://127.0.0.1:")


def test_browser_that_does_not_start_is_told(page, browser):
    """The address can still be opened by hand."""
    browser.works = False
    result = page()
    assert (result.code, "no browser could be started" in result.err) == (0, True)


def test_without_a_daemon_the_way_to_one_is_told(kevmond, tmp_path):
    """EX_UNAVAILABLE, and the command that starts one."""
    result = kevmond("open", "--state-dir", tmp_path)
    assert (result.code, "start it with `kevmond run`" in result.err) == (69, True)
