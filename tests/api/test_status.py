"""/v1/status and its kin: problems, warnings, figures."""

import asyncio
import json
import os
import struct
from types import SimpleNamespace

import psutil
import pytest

from kevmond import __version__
from kevmond.api import findings
from kevmond.api.client import ApiRefusal
from kevmond.api.findings import Health, What
from kevmond.api.listener import SOCKET
from kevmond.api.ownuse import OwnUse, user
from kevmond.api.server import ApiServer
from kevmond.api.services import Services
from kevmond.api.settings import ApiSettings
from kevmond.api.status import health, status
from kevmond.capture.reader import Capture
from kevmond.capture.settings import CaptureSettings
from kevmond.journal import Journal, JournalSettings
from kevmond.kernel.simulated.model import SimulatedKernel
from kevmond.sinks.fleet import Fleet
from kevmond.sinks.jsonl import JsonlSettings
from kevmond.sinks.subscriptions import Subscriptions

STRANGE = struct.pack("<6I", 24, 1, 1, 2, 7, 99)
CUT = struct.pack("<6I", 24, 1, 1, 2, 7, 13)


def of(found):
    """Return kinds of findings, and whose they are."""
    return [(each.what.value, each.about) for each in found]


class TestProblems:
    def test_none(self, figures):
        """A daemon whose parts are well is well, however busy its sinks are."""
        moment = figures.moment(figures.sink(lag=50_000), figures.sink("b", lag=0))
        assert findings.problems(moment) == (Health.OK, [])
        assert findings.warnings(moment) == []

    def test_kernel_socket(self, figures):
        """A socket that is not open is a failure, with the errors so far."""
        moment = figures.moment(capture={"connected": False, "errors": 3})
        found, (problem,) = findings.problems(moment)
        assert (found, problem.what) == (Health.FAILING, What.KERNEL_SOCKET)
        assert "3 errors" in problem.text
        assert "kevmond doctor" in problem.hint

    def test_journal(self, figures):
        """A disk that refuses is a failure; the text says how much would be lost, and why."""
        moment = figures.moment(journal={"refusal": "SQLITE_FULL: disk is full", "pending": 12})
        found, (problem,) = findings.problems(moment)
        assert (found, problem.what, problem.events) == (Health.FAILING, What.JOURNAL, 12)
        assert "SQLITE_FULL" in problem.text
        assert "/state/journal.sqlite" in problem.hint

    def test_sink_that_cannot_be_opened(self, figures):
        """It wants its settings put right and a reload."""
        sink = figures.sink("log", "failed", last_error="no such folder", lag=8)
        found, (problem,) = findings.problems(figures.moment(sink))
        assert (found, problem.what, problem.about) == (Health.FAILING, What.FAILED, "log")
        assert problem.text == "log cannot work: no such folder; 8 events waiting"
        assert "kevmond reload" in problem.hint

    @pytest.mark.parametrize(
        ("counters", "letters", "hint"),
        [
            ({"dropped": 4}, {}, "look at what it writes to"),
            ({"buried": 4}, {"hook": 4}, "kevmond webhook failures hook"),
            ({"buried": 4}, {"hook": 0}, "look at what it writes to"),
        ],
    )
    def test_sink_that_gave_events_up(self, figures, counters, letters, hint):
        """One that gave events up is failing until it takes one again."""
        sink = figures.sink("hook", "failed", last_error="400", kind="webhook", **counters)
        found, (problem,) = findings.problems(figures.moment(sink, letters=letters))
        assert (found, problem.what) == (Health.FAILING, What.FAILED)
        assert problem.text == "hook gave events up: 400"
        assert hint in problem.hint

    @pytest.mark.parametrize(
        ("kind", "hint"),
        [("webhook", "kevmond webhook resume hook"), ("exec", "restart the daemon")],
    )
    def test_disabled(self, figures, kind, hint):
        """A consumer that is disabled is a failure, however it came to that."""
        sink = figures.sink("hook", "disabled", kind=kind, last_error="410 Gone", lag=5)
        found, (problem,) = findings.problems(figures.moment(sink))
        assert (found, problem.what) == (Health.FAILING, What.DISABLED)
        assert problem.text == "hook is disabled: 410 Gone; 5 events waiting"
        assert hint in problem.hint

    @pytest.mark.parametrize("state", ["retrying", "starting"])
    def test_late(self, figures, state):
        """A consumer that has taken nothing for more than a minute makes it degraded."""
        sink = figures.sink("hook", state, kind="webhook", seconds=61, last_error="503", lag=7)
        found, (problem,) = findings.problems(figures.moment(sink))
        assert (found, problem.what) == (Health.DEGRADED, What.RETRYING)
        assert problem.text == "hook has taken nothing for 1.02 min: 503; 7 events waiting"
        assert "kevmond webhook test hook" in problem.hint

    def test_late_since_an_earlier_run(self, figures):
        """An outage that a restart did not end counts from its first attempt."""
        began = figures.NOW - 3600 * 10**9
        sink = figures.sink("files", "retrying", seconds=1, head_since_ns=began)
        found, (problem,) = findings.problems(figures.moment(sink))
        assert (found, problem.text) == (
            Health.DEGRADED,
            "files has taken nothing for 1 h; 0 events waiting",
        )

    def test_a_moment_is_no_problem(self, figures):
        """What is tried again for less than a minute is how things are."""
        sinks = [figures.sink("a", "retrying", seconds=60), figures.sink("b", "starting")]
        assert findings.problems(figures.moment(*sinks)) == (Health.OK, [])

    def test_api(self, figures):
        """What of the API does not work makes it failing."""
        found, (problem,) = findings.problems(figures.moment(), ["api.http.port: taken"])
        assert (found, problem.what, problem.text) == (
            Health.FAILING,
            What.API,
            "api.http.port: taken",
        )

    def test_the_worst_comes_first(self, figures):
        """Failures stand before what is merely late, and make the whole failing."""
        sinks = [figures.sink("a", "retrying", seconds=99), figures.sink("b", "failed")]
        found, problems = findings.problems(figures.moment(*sinks))
        assert found is Health.FAILING
        assert of(problems) == [("consumer-failed", "b"), ("consumer-retrying", "a")]


class TestWarnings:
    @pytest.mark.parametrize(
        ("parts", "text"),
        [
            ({"totals": {"lost": 9}}, "9 events lost before they could be read"),
            ({"totals": {"too_big": 2}}, "2 events too large for the kernel"),
            ({"counters": {"lost": 3}}, "3 records given up before the journal's disk"),
            ({"counters": {"damaged": 4}}, "4 records unreadable in the journal"),
            ({"counters": {"letters_lost": 5}}, "5 dead letters gone undelivered"),
        ],
    )
    def test_losses(self, figures, parts, text):
        """Each source of losses is told with its number; that is no problem by itself."""
        moment = figures.moment(**parts)
        (warning,) = findings.warnings(moment)
        assert warning.what is What.LOSS
        assert warning.text.startswith(text)
        assert warning.events == int(text.split()[0])
        assert findings.problems(moment) == (Health.OK, [])

    def test_losses_of_a_sink(self, figures):
        """What a sink gave up, and what it missed, are losses of its own."""
        warnings = findings.warnings(figures.moment(figures.sink(dropped=2, missed=3)))
        assert of(warnings) == [("loss", "files"), ("loss", "files")]
        assert [each.events for each in warnings] == [2, 3]
        assert "journal.max_bytes" in warnings[1].hint

    def test_paused(self, figures):
        """Somebody wanted it so, which is no problem but easily forgotten."""
        moment = figures.moment(figures.sink("hook", "paused", seconds=10**6, lag=3))
        (warning,) = findings.warnings(moment)
        assert (warning.what, warning.about, warning.events) == (What.PAUSED, "hook", 3)
        assert "kevmond webhook resume hook" in warning.hint
        assert findings.problems(moment) == (Health.OK, [])

    def test_dead_letters(self, figures):
        """Dead letters that wait are told with the way to send them again."""
        moment = figures.moment(figures.sink("hook"), letters={"hook": 2, "files": 0})
        (warning,) = findings.warnings(moment)
        assert (warning.what, warning.about, warning.events) == (What.DEAD_LETTERS, "hook", 2)
        assert "kevmond webhook replay hook --failed" in warning.hint

    def test_unknown_events(self, figures):
        """Apple's own unknown types are named, up to five of them; third parties' are not told."""
        raws = [struct.pack("<6I", 24, 1, 1, 2, 1, code) for code in range(91, 98)]
        raws.append(struct.pack("<6I", 24, 1001, 1, 2, 1, 1))
        (warning,) = findings.warnings(figures.moment(raws=raws))
        assert (warning.what, warning.events) == (What.UNKNOWN, 7)
        assert "network.dl.91, network.dl.92" in warning.text
        assert warning.text.endswith(" and 2 more")

    def test_malformed_events(self, figures):
        """Malformed ones are counted."""
        (warning,) = findings.warnings(figures.moment(raws=[CUT, CUT]))
        assert (warning.what, warning.events) == (What.MALFORMED, 2)

    def test_journal_nearly_full(self, figures):
        """Whoever is behind by more than half of a full journal is about to miss events."""
        full = {"disk_bytes": 1 << 20, "next_seq": 1001, "oldest_seq": 1}
        sinks = [figures.sink("slow", lag=501), figures.sink("well", lag=499)]
        (warning,) = findings.warnings(figures.moment(*sinks, journal=full))
        assert (warning.what, warning.about, warning.events) == (What.JOURNAL_FULL, "slow", 501)
        roomy = {**full, "disk_bytes": 9 << 16}
        assert findings.warnings(figures.moment(*sinks, journal=roomy)) == []

    def test_configuration_that_is_refused(self, figures):
        """A reload that was refused is told until one is not; the daemon is as well as ever."""
        report = {"state": "refused", "problems": ["/k.toml: a: wrong", "/k.toml: b: wrong"]}
        moment = figures.moment(reloaded=report)
        (warning,) = findings.warnings(moment)
        assert warning.what is What.CONFIG_REFUSED
        assert warning.text.endswith("in force: /k.toml: a: wrong (and 1 mistake more)")
        assert findings.problems(moment) == (Health.OK, [])
        well = {"state": "applied", "needs_restart": [], "problems": []}
        assert findings.warnings(figures.moment(reloaded=well)) == []

    def test_configuration_that_wants_a_restart(self, figures):
        """What was changed and is not in force is named."""
        report = {"state": "applied", "needs_restart": ["journal.max_age", "kernel"]}
        (warning,) = findings.warnings(figures.moment(reloaded=report))
        assert warning.what is What.NEEDS_RESTART
        assert "journal.max_age, kernel" in warning.text


class TestShape:
    def test_status(self, figures):
        """What is told is JSON, with the groups that a reader looks for."""
        sink = figures.sink("hook", "retrying", kind="webhook", lag=4, filtered=1, seconds=5)
        moment = figures.moment(sink, raws=[STRANGE], letters={"hook": 2})
        found = status(moment, use={"rss_bytes": 1}, api={"callers": 1}, config_file="/k.toml")
        found = json.loads(json.dumps(found))
        assert list(found) == [
            "health", "problems", "warnings", "daemon", "kernel", "events", "journal", "consumers",
            "api", "config",
        ]  # fmt: skip
        assert found["health"] == "ok"
        assert found["warnings"][1]["what"] == "unknown-events"
        assert set(found["warnings"][0]) == {"what", "text", "hint", "about", "events"}
        assert found["daemon"]["uptime"] == 90.0
        assert found["daemon"]["rss_bytes"] == 1
        assert found["kernel"]["asked_space"] == 8 << 20
        assert found["events"]["by_type"] == {"network.dl.99": 1}
        assert found["journal"]["newest"] == 100
        (consumer,) = found["consumers"]
        assert (consumer["name"], consumer["kind"], consumer["state"]) == (
            "hook", "webhook", "retrying",
        )  # fmt: skip
        assert (consumer["lag"], consumer["filtered"], consumer["dead_letters"]) == (4, 1, 2)
        assert consumer["since"] == "2027-01-15T07:59:55.000000Z"
        assert consumer["next_attempt"] is None
        assert found["api"] == {"callers": 1}
        assert found["config"] == {"file": "/k.toml"}

    def test_streams_are_consumers(self, figures):
        """A caller who follows the events is listed with all that a consumer has."""
        sink = figures.sink()
        moment = figures.moment(sink, streams=[{"name": "stream-1", "sent": 8, "lag": 2}])
        found = status(moment, use={}, api={}, config_file=None)["consumers"]
        assert (found[1]["name"], found[1]["kind"], found[1]["lag"]) == ("stream-1", "stream", 2)
        assert (found[1]["state"], found[1]["delivered"]) == ("following", 8)
        assert set(found[0]) <= set(found[1])

    def test_what_the_server_says_counts(self, figures):
        """A problem of the API's server is one of the daemon's."""
        found = health(figures.moment(), {"problems": ["api.metrics.port: taken"]})
        assert found["health"] == "failing"
        assert found["problems"][0]["what"] == "api"


class TestOwnUse:
    def test_this_process(self):
        """Figures of this very process are there and plausible."""
        use = OwnUse().look()
        assert use.rss_bytes > 1 << 20
        assert use.virtual_bytes > use.rss_bytes
        assert use.threads >= 1
        assert use.open_files > 0
        assert use.cpu_seconds > 0
        assert use.started <= psutil.time.time()

    def test_share_of_the_cpu(self):
        """The first answer is of the whole life, the next of the time since, a hasty one no new."""
        clock = SimpleNamespace(now=1000.0, cpu=2.0)
        process = _process(clock)
        use = OwnUse(process, monotonic=lambda: clock.now, wall=lambda: 5000.0)
        first = use.facts()
        assert (first["cpu_percent"], first["cpu_percent_over"]) == (0.2, 1000.0)
        clock.now, clock.cpu = 1010.0, 7.0
        assert use.facts()["cpu_percent"] == 50.0
        clock.now, clock.cpu = 1010.5, 7.5
        found = use.facts()
        assert (found["cpu_percent"], found["cpu_percent_over"]) == (50.0, 10.0)
        assert found["cpu_seconds"] == 7.5

    def test_what_the_system_keeps_to_itself(self):
        """A figure that cannot be had is None, and the others are told."""
        process = _process(SimpleNamespace(now=1.0, cpu=1.0))
        process.num_fds = _denied
        process.memory_info = _denied
        facts = OwnUse(process).facts()
        assert (facts["rss_bytes"], facts["open_files"], facts["threads"]) == (None, None, 3)

    def test_user_without_a_name(self, monkeypatch):
        """A number that no account has stands for itself."""
        monkeypatch.setattr(os, "geteuid", lambda: 4_000_000_123)
        assert user() == "4000000123"


def _denied():
    raise psutil.AccessDenied


def _process(clock):
    process = SimpleNamespace(
        memory_info=lambda: SimpleNamespace(rss=10, vms=20),
        cpu_times=lambda: SimpleNamespace(user=clock.cpu, system=0.0),
        num_threads=lambda: 3,
        num_fds=lambda: 4,
        create_time=lambda: 4000.0,
    )
    process.oneshot = lambda: open(os.devnull)  # noqa: PTH123, SIM115 - some context manager
    return process


class TestServed:
    """Over HTTP, from real parts."""

    @pytest.fixture
    async def parts(self, folder, log):
        """Run all of a daemon that status looks at, with a simulated kernel."""
        kernel = SimulatedKernel()
        journal = Journal.open(JournalSettings(path=folder / "journal.sqlite"))
        said = []
        fleet = Fleet(journal, said.append, dead_letters=journal)
        webhooks = Subscriptions(journal, fleet, state_dir=folder, say=said.append, log=log)
        capture = Capture(kernel, journal, CaptureSettings(snapshot=False))
        report = {"state": "applied", "applied": ["sinks.f"], "needs_restart": [], "problems": []}

        async def reload():
            return report

        services = Services(
            subscriptions=webhooks,
            journal=journal,
            fleet=fleet,
            capture=capture,
            kernel=kernel.name,
            started_ns=1,
            config=lambda: {"file": "/etc/kevmond.toml", "settings": {"daemon": {}}},
            reload=reload,
        )
        server = ApiServer(folder / SOCKET, services, log=log)
        await fleet.apply({"f": JsonlSettings(path=folder / "events.jsonl")}, 5)
        await capture.start()
        await server.start()
        yield SimpleNamespace(
            kernel=kernel, capture=capture, fleet=fleet, report=report, server=server
        )
        await server.aclose()
        await webhooks.aclose()
        await capture.stop()
        await fleet.drain(5)
        await journal.aclose(5)

    @pytest.fixture
    def server(self, parts):
        """Stand in for the server that only writes down."""

    async def test_status(self, parts, ask, until):
        """What the parts did is told; the file sink has it all."""
        parts.kernel.post(1, 1, 2, 13, b"\0" * 24)
        parts.kernel.post(1, 1, 2, 99)
        await until(lambda: parts.fleet.statistics()[0].counters.delivered == 3)
        found = await ask("GET", "status")
        assert (found["health"], found["problems"]) == ("ok", [])
        assert [each["what"] for each in found["warnings"]] == ["unknown-events"]
        assert found["daemon"]["version"] == __version__
        assert found["daemon"]["pid"] == os.getpid()
        assert found["daemon"]["rss_bytes"] > 1 << 20
        assert found["kernel"]["name"] == "simulated"
        assert found["kernel"]["connected"] is True
        assert found["kernel"]["boot_id"] == parts.capture.context.boot_id
        events = found["events"]
        assert (events["read"], events["known"], events["unknown"]) == (2, 1, 1)
        (consumer,) = found["consumers"]
        assert (consumer["name"], consumer["state"], consumer["lag"]) == ("f", "healthy", 0)
        assert found["api"]["callers"] == 1
        assert found["config"] == {"file": "/etc/kevmond.toml"}
        assert (await ask("GET", "health"))["health"] == "ok"

    async def test_health_of_an_ailing_daemon(self, parts, ask):
        """Health answers 503 with the problems in it, for checks that only look at the number."""
        parts.fleet.runner("f").disable("a test")
        with pytest.raises(ApiRefusal) as refused:
            await ask("GET", "health")
        assert refused.value.status == 503
        found = await ask("GET", "status")
        assert (found["health"], found["problems"][0]["about"]) == ("failing", "f")

    async def test_who_follows_the_events(self, parts, ask, folder, closed):
        """A stream is a consumer as long as it is open."""
        reader, writer = await asyncio.open_unix_connection(str(folder / SOCKET))
        writer.write(b"GET /v1/events/stream HTTP/1.1\r\nHost: k\r\n\r\n")
        await asyncio.wait_for(reader.readuntil(b"event: hello"), 30)
        found = (await ask("GET", "status"))["consumers"]
        assert [each["kind"] for each in found] == ["sink", "stream"]
        assert found[1]["state"] == "following"
        assert set(found[0]) <= set(found[1])
        await closed(writer)

    async def test_api_that_is_not_as_it_should_be(self, parts, ask):
        """What the server cannot do as it is set is a problem of the daemon until it can."""
        await parts.server.apply(ApiSettings(group="no such group"))
        found = await ask("GET", "status")
        assert found["health"] == "failing"
        assert [each["what"] for each in found["problems"]] == ["api"]
        assert "no such group" in found["problems"][0]["text"]
        await parts.server.apply(ApiSettings())
        assert (await ask("GET", "status"))["health"] == "ok"

    async def test_config_and_reload(self, parts, ask):
        """The configuration in force is told, and what became of reading it anew."""
        assert (await ask("GET", "config"))["settings"] == {"daemon": {}}
        assert await ask("POST", "reload") == parts.report
        parts.report.update(state="refused", applied=[], problems=["a: no", "b: no"])
        with pytest.raises(ApiRefusal, match="a: no\nb: no") as refused:
            await ask("POST", "reload")
        assert (refused.value.status, refused.value.exit_code) == (422, 78)


def test_every_finding_is_documented(pytestconfig):
    """docs/status.md has a section for each kind, problems apart from warnings."""
    text = (pytestconfig.rootpath / "docs" / "status.md").read_text()
    problems, _, warnings = text.partition("## Warnings")
    told = {what for what in What if f"### `{what.value}`" in problems}
    assert told == set(findings.PROBLEMS)
    told = {what for what in What if f"### `{what.value}`" in warnings}
    assert told == set(What) - set(findings.PROBLEMS)
