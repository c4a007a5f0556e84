"""The page over the shipped daemon, which reads a simulated kernel in another process."""

import contextlib
import http.server
import itertools
import json
import runpy
import signal
import socket
import subprocess
import sys
import threading
from pathlib import Path
from types import SimpleNamespace

import pytest

from kevmond.api.client import ApiClient
from kevmond.kernel.simulated.remote import RemoteKernel

E2E = SimpleNamespace(**runpy.run_path(str(Path(__file__).parent.parent / "e2e/conftest.py")))
ROWS = "#rows tr.event"
EN0 = b"\x02\0\0\0\0\0\0\0en".ljust(24, b"\0")
LINK_OFF = (1, 1, 2, 12, EN0)
LINK_ON = (1, 1, 2, 13, EN0)
SETTINGS = ("--set", "capture.snapshot=false", "--set", "sinks.jsonl.type=jsonl",
            "--set", "sinks.jsonl.path=events.jsonl")  # fmt: skip


@pytest.fixture(scope="module")
def port():
    """Find a port that is free: it stays the page's over restarts."""
    with socket.socket() as trial:
        trial.bind(("127.0.0.1", 0))
        return trial.getsockname()[1]


@pytest.fixture
def kernel(tmp_path):
    """Serve a simulated kernel."""
    path = tmp_path / "kernel"
    command = [sys.executable, "-m", "kevmond", "simulate", "--listen", str(path)]
    with subprocess.Popen(command, stdout=subprocess.DEVNULL) as server:
        E2E.until(path.exists, "the simulated kernel")
        remote = RemoteKernel(str(path))
        remote.path = path
        yield remote
        remote.close()
        server.terminate()


@pytest.fixture
def start(tmp_path, kernel, port):
    """Start the daemon, again and again over the same state; returns it and the page's address."""
    runs = itertools.count(1)
    with contextlib.ExitStack() as stack:

        def start():
            page = ("--set", "api.http.enabled=true", "--set", f"api.http.port={port}")
            daemon = E2E.Daemon(
                tmp_path / "state", "--kernel", f"simulated:{kernel.path}", *SETTINGS, *page
            )
            stack.callback(daemon.process.wait, E2E.PATIENCE)
            stack.callback(daemon.process.kill)
            path = tmp_path / "state/kevmond.sock"
            E2E.until(path.exists, "the daemon's socket")
            daemon.ask = ApiClient(path).ask
            daemon.wait_for("kevmond.start", next(runs))
            daemon.url = daemon.ask("POST", "page")["url"]
            return daemon

        yield start


@pytest.fixture
def daemon(start):
    """Run the daemon."""
    return start()


@pytest.fixture
def opened(daemon, browse):
    """Open the page as `kevmond open` does."""
    page = browse(daemon.url)
    page.wait_for_selector(".connection[data-state=live]")
    return page


def types(page):
    """Return the types of the rows, from above."""
    return page.locator(f"{ROWS} td.type").all_inner_texts()


def test_page_of_a_running_daemon(daemon, opened, kernel, wait):
    """Events, plot, lanes, consumers and the ledger of a real run, each as the daemon has it."""
    assert opened.url == daemon.url.partition("#")[0]
    kernel.post(*LINK_ON)
    kernel.post(*LINK_OFF)
    wait(opened, "document.querySelector('#rows td.type')?.innerText === 'network.dl.link-off'")
    assert types(opened)[:2] == ["network.dl.link-off", "network.dl.link-on"]
    assert types(opened)[-1] == "kevmond.start"
    total = len(types(opened))
    wait(opened, f"document.querySelector('#plot-total').innerText.startsWith('{total} ')")
    assert opened.locator("#plot .bar").count() >= 1
    opened.reload()
    wait(opened, f"document.querySelector('#plot-total').innerText.startsWith('{total} ')")
    opened.click("#tab-interfaces")
    opened.wait_for_selector("#lanes .link .span.down")
    assert opened.inner_text("#now tr .state") == "down"
    opened.click("#tab-delivery")
    opened.wait_for_selector("#consumer-rows >> text=jsonl")
    assert "stream-" in opened.inner_text("#consumer-rows")
    opened.click("#tab-losses")
    wait(opened, "document.querySelector('#account').innerText.includes('Read\\t2')")
    assert opened.inner_text("#verdict h2") == "Everything accounted for"
    assert opened.inner_text("#health").startswith("● ok")


def test_detail_of_a_real_event(opened, kernel, wait, rows):
    """Bytes as the kernel posted them, and the sink that got them."""
    kernel.post(*LINK_ON)
    wait(opened, "document.querySelector('#rows td.type')?.innerText === 'network.dl.link-on'")
    opened.keyboard.press("j")
    opened.keyboard.press("Enter")
    opened.wait_for_selector("#detail .who >> text=jsonl")
    assert "delivered" in opened.inner_text("#detail .who")
    shown = json.loads(opened.text_content("#detail pre.json"))
    assert bytes.fromhex(shown["raw"])[24:] == EN0
    assert opened.text_content("#detail pre.hex").startswith("0000  30 00 00 00 01 00 00 00")
    assert "en" in opened.text_content("#detail pre.hex").splitlines()[2]


def test_filter_of_a_real_daemon(opened, kernel, watch, wait):
    """The one filter language narrows the stream; a mistake is told in the daemon's words."""
    watch.expect("422")
    opened.fill("#filter", "code=lnk-off")
    opened.keyboard.press("Enter")
    opened.wait_for_selector("#filter-error")
    assert "link-off" in opened.inner_text("#filter-error")
    opened.fill("#filter", "code=link-off; drop type=kevmond.*")
    opened.keyboard.press("Enter")
    wait(opened, "document.querySelectorAll('#rows tr').length === 0")
    kernel.post(*LINK_ON)
    kernel.post(*LINK_OFF)
    kernel.post(*LINK_ON)
    wait(opened, "document.querySelectorAll('#rows tr').length > 0")
    assert types(opened) == ["network.dl.link-off"]


def test_restart_loses_nothing_and_doubles_nothing(start, browse, kernel, watch, wait):
    """The daemon is stopped, events are read by its next run, and the page goes on from its place.

    A new run has a new token: the page waits for it, and takes it from the address bar.
    """
    watch.expect("ERR_|401")
    daemon = start()
    page = browse(daemon.url)
    page.wait_for_selector(".connection[data-state=live]")
    for _ in range(5):
        kernel.post(*LINK_ON)
    wait(page, f"document.querySelectorAll('{ROWS}').length >= 6")
    assert daemon.stop(signal.SIGTERM) == 0
    page.wait_for_selector(".connection[data-state=waiting]")
    daemon = start()
    for _ in range(5):
        kernel.post(*LINK_OFF)
    page.wait_for_selector("#notice >> text=no longer takes")
    page.evaluate("hash => { location.hash = hash; }", daemon.url.partition("#")[2])
    daemon.wait_for("network.dl.link-off", 5)
    kernel.post(*LINK_ON)
    written = [
        event["seq"] for event in daemon.wait_for("network.dl.link-on", 6) and daemon.events()
    ]
    wait(page, f"document.querySelector('#rows tr')?.dataset.seq === '{written[-1]}'")
    shown = page.eval_on_selector_all(ROWS, "rows => rows.map((row) => Number(row.dataset.seq))")
    assert shown == written[::-1]
    assert page.locator("#rows tr.gap").count() == 0


class Receiver(http.server.BaseHTTPRequestHandler):
    """Takes what it is sent."""

    def do_POST(self):
        body = self.rfile.read(int(self.headers["Content-Length"]))
        self.server.taken.append(json.loads(body))
        self.send_response(204)
        self.end_headers()

    def log_message(self, *_):
        """Say nothing."""


@pytest.fixture
def receiver():
    """Listen for webhooks."""
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Receiver) as server:
        server.taken = []
        thread = threading.Thread(target=server.serve_forever, args=(0.05,))
        thread.start()
        yield server
        server.shutdown()
        thread.join(10)


def test_subscription_at_work(daemon, opened, kernel, receiver, wait):
    """Test, pause, resume and replay by buttons do what the daemon's own commands do."""
    url = f"http://127.0.0.1:{receiver.server_address[1]}/hook"
    settings = {"url": url, "allow_http": True, "allow_private": True}
    settings["filter"] = ["code=link-on", "drop type=kevmond.*"]
    daemon.ask("POST", "webhooks", body={"name": "here", "settings": settings, "generate": True})
    opened.click("#tab-delivery")
    opened.click("article >> text=Test")
    opened.wait_for_selector(".said.good")
    assert opened.inner_text(".said.good").startswith("Taken: HTTP 204 in ")
    assert "kevmond.test" in json.dumps(receiver.taken)

    opened.click("article >> text=Pause")
    opened.wait_for_selector("article >> text=Resume")
    kernel.post(*LINK_ON)
    wait(opened, "!document.querySelector('article .figures').innerText.includes('waiting\\n0')")
    opened.click("article >> text=Resume")
    E2E.until(lambda: "link-on" in json.dumps(receiver.taken), "the event that waited")
    wait(opened, "document.querySelector('article .figures').innerText.includes('delivered\\n1')")

    before = len(receiver.taken)
    opened.click("article >> text=Replay…")
    opened.fill("#replay-since", "10m")
    opened.click("#replay >> text=Deliver again")
    opened.wait_for_selector("article .replay >> text=done, 1 taken")
    assert "link-on" in json.dumps(receiver.taken[before:])
