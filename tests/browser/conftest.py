"""A headless Chromium that is watched: what it asks for, and what it complains of."""

import contextlib
import importlib.util
import os
import re
import runpy
import shutil
import time
from pathlib import Path
from types import SimpleNamespace

import pytest

HERE = Path(__file__).parent
FAKE = SimpleNamespace(**runpy.run_path(str(HERE / "fake.py")))
PATIENCE_MS = 15_000
"""Milliseconds after which a wait counts as failed."""

BROWSERS = (
    "chromium",
    "chromium-browser",
    "google-chrome",
    "/Applications/Chromium.app/Contents/MacOS/Chromium",
    "/Applications/Google Chrome.app/Contents/MacOS/Google Chrome",
)
ARGUMENTS = (
    "--no-sandbox",  # root, in a container, has none
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
)


REQUIRED = os.environ.get("KEVMOND_BROWSER_TESTS") == "required"


def browser():
    """Return the path of a browser; None if there is none."""
    named = os.environ.get("KEVMOND_BROWSER")
    return next(filter(None, map(shutil.which, [named] if named else BROWSERS)), None)


def missing():
    """Return what these tests need and is not there; "" if all is."""
    if importlib.util.find_spec("playwright") is None:
        return "Playwright is not installed"
    return "" if browser() else "there is no Chromium"


def pytest_collection_modifyitems(items):
    """Leave out what cannot be run here, and say how it can."""
    what = missing()
    if not what or REQUIRED:
        return
    reason = f"{what}: `make test-browser` installs what these tests need, and runs them"
    for item in items:
        if HERE in item.path.parents and "chromium" in item.fixturenames:
            item.add_marker(pytest.mark.skip(reason=reason))


@pytest.fixture(scope="module")
def chromium():
    """Start a browser, for one module: Playwright's loop, while it runs, bars all others."""
    assert not missing()
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        browsing = playwright.chromium.launch(executable_path=browser(), args=list(ARGUMENTS))
        yield browsing
        browsing.close()


class Watch:
    """What pages asked for and complained of."""

    def __init__(self):
        self.complaints = []
        self.requests = []
        self.expected = []

    def expect(self, pattern):
        """Take complaints that match: a test that makes the daemon refuse something has them."""
        self.expected.append(re.compile(pattern))

    def check(self, origin):
        """Fail on complaints, and on requests that went anywhere else."""
        unexpected = [
            text for text in self.complaints if not any(p.search(text) for p in self.expected)
        ]
        assert unexpected == []
        assert [url for url in self.requests if not url.startswith(f"{origin}/")] == []
        assert [url for url in self.requests if "token" in url] == []

    def over(self, context):
        """Watch all pages of a context."""
        context.add_init_script(
            "document.addEventListener('securitypolicyviolation', (event) =>"
            " console.error('policy: ' + event.violatedDirective + ' ' + event.blockedURI));"
        )
        context.on("request", lambda request: self.requests.append(request.url))
        context.on("weberror", lambda error: self.complaints.append(f"error: {error.error}"))
        context.on("console", self._console)

    def _console(self, message):
        if message.type in {"error", "warning"}:
            self.complaints.append(f"{message.type}: {message.text}")


@pytest.fixture
def watch():
    """Remember what pages do; `browse` holds it against them at the end."""
    return Watch()


@pytest.fixture
def browse(chromium, watch):
    """Open addresses, each in a browser that knows nothing of the others."""
    origins = set()
    with contextlib.ExitStack() as stack:

        def browse(url, *, scheme="light", size=(1280, 800), clock=False, **more):
            width, height = size
            context = chromium.new_context(
                color_scheme=scheme, viewport={"width": width, "height": height}, **more
            )
            stack.callback(context.close)
            context.set_default_timeout(PATIENCE_MS)
            watch.over(context)
            page = context.new_page()
            if clock:  # so that a test can have time pass
                page.clock.install()
            page.goto(url)
            origins.add("/".join(url.split("/")[:3]))
            return page

        yield browse
    assert len(origins) <= 1
    for origin in origins:
        watch.check(origin)


@pytest.fixture
def wait():
    """Wait until an expression holds in a page, by asking from outside: its policy bars eval()."""

    def wait(page, expression):
        end = time.monotonic() + PATIENCE_MS / 1000
        while not page.evaluate(expression):
            assert time.monotonic() < end, f"waited for {expression}"
            page.wait_for_timeout(20)

    return wait


@pytest.fixture
def rows(wait):
    """Wait until the stream's table has so many events."""

    def rows(page, count):
        wait(page, f"document.querySelectorAll('#rows tr.event').length === {count}")

    return rows


@pytest.fixture
def fake():
    """Serve the page over an API that says what it is told."""
    server = FAKE.Fake()
    yield server
    server.close()


@pytest.fixture
def an_event():
    """Make the JSON of an event."""
    return FAKE.an_event


@pytest.fixture
def made():
    """Make the other things that an API tells of."""
    return FAKE


@pytest.fixture
def live(fake, browse):
    """Open the page, and wait until its stream stands."""

    def live(**how):
        page = browse(fake.url, **how)
        page.wait_for_selector(".connection[data-state=live]")
        return page

    return live


@pytest.fixture
def busy(fake):
    """Have something of everything."""
    FAKE.busy(fake)
    return fake


@pytest.fixture
def go():
    """Open a view, and wait until something of the API's is in it."""
    parts = {"events": "#rows tr", "interfaces": "#now tr", "delivery": "#webhooks article"}

    def go(page, view):
        page.click(f"#tab-{view}")
        page.wait_for_selector(parts.get(view, "#account tr"))

    return go
