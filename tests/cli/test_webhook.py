"""`kevmond webhook`, against the daemon's own parts and a receiver in this process."""

import json
import re
import runpy
import subprocess
import sys
import time
from pathlib import Path

import pytest
from aiohttp import web
from standardwebhooks import Webhook

from kevmond.api.listener import SOCKET
from kevmond.api.server import ApiServer
from kevmond.api.services import Services
from kevmond.events.own import own_record
from kevmond.journal import Journal, JournalSettings
from kevmond.sinks.fleet import Fleet
from kevmond.sinks.subscriptions import Subscriptions
from kevmond.sinks.testing import CONTEXT, record
from kevmond.sinks.webhook.settings import WebhookSettings

PARTS = runpy.run_path(str(Path(__file__).parent / "parts.py"))
Parts, Log, PATIENCE = PARTS["Parts"], PARTS["Log"], PARTS["PATIENCE"]


class Receiver:
    """An HTTP server that keeps what it is sent, and answers as it is told."""

    def __init__(self):
        self.requests = []
        self.status = 204
        self.body = ""

    async def start(self):
        app = web.Application()
        app.router.add_post("/hook", self.answer)
        self.runner = web.AppRunner(app)
        await self.runner.setup()
        site = web.TCPSite(self.runner, "127.0.0.1", 0)
        await site.start()
        port = self.runner.addresses[0][1]
        self.url = f"http://127.0.0.1:{port}/hook"

    async def answer(self, request):
        self.requests.append((dict(request.headers), await request.read()))
        return web.Response(status=self.status, text=self.body)

    def events(self):
        return [json.loads(body) for _, body in self.requests]

    def seqs(self):
        return [event["seq"] for event in self.events() if event["vendor"] == 1]


class Daemon(Parts):
    """What of the daemon the command line talks to."""

    def __init__(self, folder):
        super().__init__(folder)
        self.receiver = Receiver()

    async def start(self):
        await self.receiver.start()
        self.journal = Journal.open(JournalSettings(path=self.folder / "journal.sqlite"))
        self.journal.set_context(CONTEXT)
        self.fleet = Fleet(self.journal, self.say, dead_letters=self.journal)
        self.webhooks = Subscriptions(
            self.journal, self.fleet, state_dir=self.folder, say=self.say, log=Log()
        )
        self.webhooks.load()
        url = self.receiver.url
        configured = WebhookSettings(url=url, allow_http=True, allow_private=True, enabled=True)
        await self.fleet.apply({"configured": configured}, PATIENCE)
        await self.webhooks.start()
        parts = dict.fromkeys(Services.__dataclass_fields__)
        services = Services(**{**parts, "subscriptions": self.webhooks})
        self.server = ApiServer(self.folder / SOCKET, services, log=Log())
        await self.server.start()

    async def stop(self):
        await self.server.aclose()
        await self.webhooks.aclose()
        await self.fleet.drain(0.2)  # some receivers refuse until the end
        await self.journal.aclose(PATIENCE)
        await self.receiver.runner.cleanup()

    def say(self, payload):
        now = time.time_ns()
        self.journal.append([own_record(CONTEXT, payload, seq=self.journal.next_seq, wall_ns=now)])

    def post(self, count):
        """Append kernel events; return their positions."""

        async def append():
            first = self.journal.next_seq
            self.journal.append([record(seq) for seq in range(first, first + count)])
            return list(range(first, first + count))

        return self.call(append())


def until(holds):
    """Wait for what another thread does."""
    end = time.monotonic() + PATIENCE
    while not holds():
        assert time.monotonic() < end
        time.sleep(0.005)


@pytest.fixture
def daemon():
    """Start the daemon's parts in a folder with a short path."""
    with Daemon.running() as daemon:
        yield daemon


@pytest.fixture
def receiver(daemon):
    """Hand out the receiver; the configured webhook is paused so that it sends it nothing."""
    daemon.call(daemon.webhooks.pause("configured"))
    return daemon.receiver


@pytest.fixture
def webhook(kevmond, daemon):
    """Call `kevmond webhook ARGS...` for that daemon."""
    return lambda *args: kevmond("webhook", *args, "--state-dir", daemon.folder)


@pytest.fixture
def added(webhook, receiver):
    """Subscribe the receiver as "a" and return what was printed as JSON."""

    def add(*args):
        options = ["--name", "a", "--allow-http", "--allow-private", "--json", *args]
        result = webhook("add", receiver.url, *options)
        assert result.code == 0, result.err
        return json.loads(result.out)

    return add


class TestAdd:
    def test_events_arrive_signed(self, added, daemon, receiver):
        """The secret that was printed verifies what arrives, and ids are the events' own."""
        secret = added()["secret"]
        seqs = daemon.post(2)
        until(lambda: len(receiver.seqs()) == 2)
        assert receiver.seqs() == seqs
        for headers, body in receiver.requests:
            lowered = {name.lower(): value for name, value in headers.items()}
            event = Webhook(secret).verify(body.decode(), lowered)
            assert lowered["webhook-id"] == event["id"]

    def test_person_is_told_the_secret_once(self, webhook, receiver):
        """The output names the webhook, the secret and how to test it."""
        options = ("--allow-http", "--allow-private", "--name", "a")
        result = webhook("add", receiver.url, *options)
        assert "webhook a is subscribed: healthy" in result.out
        assert "whsec_" in result.out
        assert "kevmond webhook test a" in result.out
        assert "whsec_" not in webhook("show", "a").out

    def test_options_become_settings(self, added, webhook, tmp_path, in_tmp):
        """Each option is a setting, and --set reaches all others."""
        (tmp_path / "secret").write_text("whsec_" + "A" * 44 + "\n")
        facts = added(
            "--secret-file", "secret", "--filter", "class=network", "--format",
            "cloudevents-batch", "--batch", "50", "--linger", "2s", "--gzip",
            "--header", "X-Team=ops", "--timeout", "5s", "--set", "give_up_after=1d",
        )  # fmt: skip
        settings = facts["settings"]
        assert "secret" not in facts
        assert settings["filter"] == ["class=network"]
        assert settings["headers"] == {"X-Team": "ops"}
        assert (settings["format"], settings["batch_size"]) == ("cloudevents-batch", 50)
        assert (settings["linger"], settings["timeout"]) == (2.0, 5.0)
        assert (settings["gzip"], settings["give_up_after"]) == (True, 86400.0)

    def test_unsigned_is_a_choice(self, added, webhook):
        """Nothing is signed, and `show` says what that means."""
        assert added("--unsigned")["signed"] is False
        assert "receivers cannot tell who sends" in webhook("show", "a").out

    @pytest.mark.parametrize(
        ("args", "text"),
        [
            (("ftp://x.example/",), "not a URL of the form https://host/path"),
            (("http://x.example/",), "give --allow-http"),
            (("https://10.0.0.1/",), "give --allow-private"),
            (("https://x.example/", "--set", "tiemout=5"), "did you mean timeout?"),
            (("https://x.example/", "--name", "a b"), "not a name"),
        ],
    )
    def test_mistake_says_what_to_do(self, webhook, args, text):
        """Wrong settings exit as EX_CONFIG, with the option that helps."""
        result = webhook("add", *args)
        assert (result.code, text in result.err) == (78, True), result.err

    @pytest.mark.parametrize(
        ("args", "text"),
        [
            (("--filter", "clas=network"), "nearest known one is"),
            (("--secret-file", "missing"), "No such file"),
            (("--header", "nonsense"), "not KEY=VALUE"),
            (("--unsigned", "--generate"), "exclude each other"),
        ],
    )
    def test_wrong_usage_asks_no_daemon(self, kevmond, in_tmp, args, text):
        """What can be refused here is refused here."""
        result = kevmond("webhook", "add", "https://x.example/", *args, "--state-dir", ".")
        assert (result.code, text in result.err) == (2, True), result.err


class Full:
    """A standard output that takes nothing."""

    encoding = "utf-8"

    def write(self, text):
        raise OSError(28, "No space left on device")

    def flush(self):
        pass


@pytest.mark.parametrize("out", [Full(), None])
@pytest.mark.parametrize("as_json", [(), ("--json",)])
class TestSecretThatIsNotShown:
    def test_of_a_new_webhook(self, webhook, receiver, monkeypatch, out, as_json):
        """Whoever subscribes learns that the webhook is there, and how to get a secret."""
        with monkeypatch.context() as patch:
            patch.setattr(sys, "stdout", out)
            options = ("--name", "a", "--allow-http", "--allow-private", *as_json)
            result = webhook("add", receiver.url, *options)
        assert result.code != 0
        assert "webhook a is subscribed, its secret was not shown" in result.err
        assert "rotate-secret a" in result.err

    def test_of_a_rotation(self, added, webhook, monkeypatch, out, as_json):
        """A rotation is told as done, and another one advised."""
        added()
        with monkeypatch.context() as patch:
            patch.setattr(sys, "stdout", out)
            result = webhook("rotate-secret", "a", *as_json)
        assert result.code != 0
        assert "webhook a has a new secret, its secret was not shown" in result.err


@pytest.mark.parametrize(
    "command", ["show", "test", "pause", "remove", "failures", "rotate-secret"]
)
def test_empty_name_asks_no_daemon(kevmond, command):
    """A variable of a script that was never set is told as that."""
    result = kevmond("webhook", command, "", "--state-dir", ".")
    assert (result.code, "it is empty" in result.err) == (2, True)


class TestLook:
    def test_list_has_both_kinds(self, added, webhook):
        """Configured and subscribed ones stand side by side, with what waits."""
        added()
        rows = [line.split() for line in webhook("list").out.splitlines()]
        assert [row[:2] for row in rows] == [
            ["NAME", "STATE"],
            ["a", "healthy"],
            ["configured", "paused"],
        ]
        found = [json.loads(line) for line in webhook("list", "--json").out.splitlines()]
        assert [(one["name"], one["origin"]) for one in found] == [
            ("a", "subscription"),
            ("configured", "configuration"),
        ]

    def test_show_tells_why_it_does_not_deliver(self, added, webhook, daemon, receiver):
        """State, error, attempts and the time of the next one."""
        added()
        receiver.status, receiver.body = 503, "down for repairs"
        daemon.post(1)
        until(lambda: daemon.webhooks.show("a")["attempts"] > 0)
        shown = webhook("show", "a").out
        assert "a  retrying" in shown
        assert "503 Service Unavailable" in shown
        assert "down for repairs" in shown
        assert "next attempt" in shown
        facts = json.loads(webhook("show", "a", "--json").out)
        assert facts["next_attempt"] > facts["failing_since"]
        assert "503" in webhook("list").out

    def test_unknown_name_gets_a_hint(self, added, webhook):
        """A near miss names the right one."""
        added()
        result = webhook("show", "configred")
        assert (result.code, "did you mean configured?" in result.err) == (1, True)

    def test_without_a_daemon_the_way_to_one_is_told(self, kevmond, tmp_path):
        """EX_UNAVAILABLE, the path that was tried, and the command that starts one."""
        result = kevmond("webhook", "list", "--state-dir", tmp_path)
        assert result.code == 69
        assert f"{tmp_path}/{SOCKET}" in result.err
        assert "kevmond run" in result.err

    def test_configuration_names_the_state_folder(self, kevmond, daemon, tmp_path):
        """--config finds the same daemon."""
        file = tmp_path / "kevmond.toml"
        file.write_text(f'[daemon]\nstate_dir = "{daemon.folder}"\n')
        assert "configured" in kevmond("webhook", "list", "--config", file).out


class TestTest:
    def test_success_prints_the_answer(self, added, webhook, receiver):
        """One marked event is sent, signed like all others, and the answer shown."""
        added()
        receiver.status, receiver.body = 200, "welcome\x1b[31m"
        result = webhook("test", "a")
        assert (result.code, "200 OK" in result.out, "welcome\\x1b[31m" in result.out) == (
            0,
            True,
            True,
        )
        (event,) = receiver.events()
        assert (event["type"], event["payload"]["sink"]) == ("kevmond.test", "a")

    def test_refusal_and_silence_are_failures(self, added, webhook, receiver):
        """Exit 1 for scripts, with the status or the reason."""
        added()
        receiver.status = 403
        result = webhook("test", "a", "--json")
        assert (result.code, json.loads(result.out)["status"]) == (1, 403)
        dead = webhook(
            "add", "http://127.0.0.1:1/", "--name", "b", "--allow-http", "--allow-private"
        )
        assert dead.code == 0
        result = webhook("test", "b")
        assert (result.code, "no answer: " in result.out) == (1, True)
        assert "ECONNREFUSED" in result.out


class TestChange:
    def test_pause_and_resume(self, added, webhook, daemon, receiver):
        """What comes meanwhile is delivered afterwards."""
        added()
        assert "is paused" in webhook("pause", "a").out
        seqs = daemon.post(2)
        assert json.loads(webhook("resume", "a", "--json").out)["standing"] == "active"
        until(lambda: receiver.seqs() == seqs)

    def test_disable_keeps_its_reason(self, added, webhook):
        """The reason is there for whoever looks."""
        added()
        webhook("disable", "a", "--reason", "moved house")
        shown = webhook("show", "a").out
        assert "a  disabled" in shown
        assert "moved house" in shown
        result = webhook("pause", "a")
        assert (result.code, "resume a" in result.err) == (1, True)

    def test_remove_needs_force_for_dead_letters(self, added, webhook, daemon, receiver):
        """What was never delivered is not thrown away by accident."""
        added("--set", "give_up_after=1ms", "--set", "schedule=[0.001]")
        receiver.status = 500
        daemon.post(1)
        until(lambda: daemon.webhooks.show("a")["dead_letters"] > 0)
        refused = webhook("remove", "a")
        assert (refused.code, "--force" in refused.err) == (1, True)
        assert "dead letters" in webhook("remove", "a", "--force").out
        assert webhook("show", "a").code == 1

    def test_rotated_secret_signs_beside_the_old_one(self, added, webhook, daemon, receiver):
        """Receivers with either secret can verify during the overlap."""
        old = added()["secret"]
        result = webhook("rotate-secret", "a", "--json")
        new = json.loads(result.out)["secret"]
        daemon.post(1)
        until(receiver.seqs)
        headers, body = receiver.requests[-1]
        lowered = {name.lower(): value for name, value in headers.items()}
        for secret in (old, new):
            assert Webhook(secret).verify(body.decode(), lowered)

    def test_rotation_says_until_when(self, added, webhook):
        """The text names the end of the overlap, or that there is none."""
        added()
        assert "the old one signs too until 2" in webhook("rotate-secret", "a").out
        dropped = webhook("rotate-secret", "a", "--overlap", "0s").out
        assert "the old one signs no more" in dropped
        assert "whsec_" in dropped

    def test_configured_one_is_changed_in_its_file(self, webhook, daemon):
        """The hint says where."""
        for args in (("remove", "configured"), ("rotate-secret", "configured")):
            result = webhook(*args)
            assert (result.code, "SIGHUP" in result.err) == (1, True)


class TestReplay:
    def test_dead_letters_are_shown_and_sent_again(self, added, webhook, daemon, receiver):
        """`failures` tells their story, `replay --failed` delivers them with the same ids."""
        added("--set", "give_up_after=1ms", "--set", "schedule=[0.001]")
        receiver.status, receiver.body = 500, "out of cheese"
        seqs = daemon.post(2)
        until(lambda: daemon.webhooks.show("a")["dead_letters"] >= 2)
        shown = webhook("failures", "a", "--limit", "500").out
        assert "network.dl.link-off" in shown
        assert re.search(r"^    20\S+Z  .*out of cheese", shown, re.MULTILINE), shown
        letters = [json.loads(line) for line in webhook("failures", "a", "--json").out.splitlines()]
        assert set(seqs) <= {one["seq"] for one in letters}
        receiver.requests.clear()
        receiver.status = 204
        result = webhook("replay", "a", "--failed")
        assert result.code == 0, result.out
        assert "dead letters: done" in result.out
        assert receiver.seqs() == seqs
        assert "has no dead letters" in webhook("failures", "a").out

    def test_time_and_id(self, added, webhook, daemon, receiver):
        """A stretch of time, a position, an id."""
        added()
        seqs = daemon.post(3)
        until(lambda: receiver.seqs() == seqs)
        until(lambda: daemon.webhooks.show("a")["position"] >= seqs[-1])
        receiver.requests.clear()
        since, until_ = (record(seqs[at]).event.time for at in (1, 2))
        result = webhook("replay", "a", "--since", since, "--until", until_, "--json")
        assert json.loads(result.out)["taken"] == 2
        assert webhook("replay", "a", record(seqs[0]).event.id).code == 0
        assert webhook("replay", "a", seqs[2]).code == 0
        assert receiver.seqs() == [seqs[1], seqs[2], seqs[0], seqs[2]]

    def test_missing_event_fails(self, added, webhook):
        """Exit 1 and the reason."""
        added()
        result = webhook("replay", "a", "4711000")
        assert (result.code, "not in the journal" in result.out) == (1, True)

    @pytest.mark.parametrize("args", [(), ("1", "--failed"), ("--since", "1h", "--failed")])
    def test_one_thing_at_a_time(self, webhook, args):
        """Exactly one choice is wanted."""
        assert webhook("replay", "a", *args).code == 2

    def test_without_waiting_it_goes_on_in_the_daemon(self, added, webhook, daemon, receiver):
        """--no-wait returns at once; `show` tells how far it is."""
        added()
        daemon.post(1)
        until(receiver.seqs)
        receiver.status = 500
        result = webhook("replay", "a", "--since", "7000d", "--no-wait", "--json")
        assert (result.code, json.loads(result.out)["state"]) == (0, "running")
        assert "running" in webhook("show", "a").out


def test_help_loads_neither_http_nor_pydantic():
    """Help is quick, as that of every other command."""
    program = (
        "import sys, kevmond.cli.webhook;"
        "print(sys.modules.keys() & {'aiohttp', 'pydantic', 'asyncio', 'http.client'})"
    )
    found = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=True
    )
    assert found.stdout.strip() == "set()"


def test_every_subcommand_is_listed(kevmond):
    """`kevmond webhook --help` shows what there is."""
    result = kevmond("webhook", "--help")
    for name in ("add", "list", "show", "test", "pause", "resume", "disable", "remove"):
        assert f"\n  {name} " in result.out
    for name in ("rotate-secret", "failures", "replay", "verify"):
        assert f"\n  {name} " in result.out
