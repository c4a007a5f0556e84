"""/v1/metrics: what Prometheus is told."""

import re
import struct

import pytest
from aiohttp import web
from aiohttp.test_utils import TestClient, TestServer
from prometheus_client.openmetrics.parser import (
    text_string_to_metric_families as parse_openmetrics,
)
from prometheus_client.parser import text_string_to_metric_families as parse

from kevmond import __version__
from kevmond.api import status_routes
from kevmond.api.answers import API, SERVICES
from kevmond.api.metrics import Figures, exposition
from kevmond.api.ownuse import Use

USE = Use(
    rss_bytes=5 << 20,
    virtual_bytes=9 << 20,
    cpu_seconds=1.5,
    threads=4,
    open_files=20,
    most_files=256,
    started=1.8e9,
)
LINK_ON = struct.pack("<6I", 48, 1, 1, 2, 7, 13) + b"\0" * 24
STRANGE = struct.pack("<6I", 24, 1, 1, 2, 7, 99)
OPENMETRICS = "application/openmetrics-text; version=1.0.0; charset=utf-8"


@pytest.fixture
def busy(figures):
    """Make the moment of a daemon where nothing is zero."""
    sinks = [
        figures.sink("log", kind="log", lag=3, delivered=7, filtered=2),
        figures.sink(
            "hook", "retrying", kind="webhook", attempts=4, dropped=1, missed=2, buried=3,
            retried=5, seconds=90,
        ),
    ]  # fmt: skip
    return figures.moment(
        *sinks,
        capture={"missed_before_start": 6, "errors": 1, "reopened": 1},
        totals={"delivered": 3, "lost": 8, "late": 2, "too_big": 1},
        counters={"appended": 11, "committed": 10, "lost": 4, "damaged": 5, "letters_lost": 9},
        raws=[LINK_ON, LINK_ON, STRANGE],
        letters={"hook": 3},
        streams=[{"name": "a", "lag": 5}, {"name": "b", "lag": 17}],
    )


def text(moment, accept="", **api):
    """Return the exposition of a moment."""
    return exposition(Figures(moment, USE, api), accept)[0].decode()


def families(moment, **api):
    """Return its families by name."""
    return {family.name: family for family in parse(text(moment, **api))}


def figure(moment, name, **labels):
    """Return the one value of a series."""
    samples = [sample for family in parse(text(moment)) for sample in family.samples]
    (value,) = [each.value for each in samples if (each.name, each.labels) == (name, labels)]
    return value


def test_conventions(busy):
    """All is told once, with help; counters end in _total, and nothing else does."""
    found = list(parse(text(busy)))
    series = [
        (each.name, tuple(sorted(each.labels.items()))) for one in found for each in one.samples
    ]
    assert len(series) == len(set(series))
    assert len(found) == len({family.name for family in found})
    for family in found:
        assert family.documentation.strip().endswith(".") or family.name == "python_info"
        assert family.type in {"counter", "gauge"}
        for sample in family.samples:
            assert sample.name.endswith("_total") == (family.type == "counter")
            assert sample.value >= 0


def test_openmetrics_says_the_same(busy):
    """Where it is asked for, the stricter form has the same series and figures."""
    body = text(busy, OPENMETRICS)
    assert body.endswith("# EOF\n")
    strict = {
        (each.name, tuple(each.labels.items())): each.value
        for family in parse_openmetrics(body)
        for each in family.samples
    }
    plain = {
        (each.name, tuple(each.labels.items())): each.value
        for family in parse(text(busy))
        for each in family.samples
    }
    assert strict == plain


def test_events(busy):
    """Events are told by type; those that came late are not taken off a counter."""
    read = "kevmond_events_read_total"
    assert figure(busy, read, type="network.dl.link-on") == 2
    assert figure(busy, read, type="network.dl.99") == 1
    assert figure(busy, "kevmond_events_unknown_total") == 1
    assert figure(busy, "kevmond_events_lost_total", source="kernel") == 10
    assert figure(busy, "kevmond_events_late_total") == 2
    assert figure(busy, "kevmond_events_lost_total", source="journal") == 4
    assert figure(busy, "kevmond_events_lost_total", source="journal-damage") == 5
    assert figure(busy, "kevmond_events_missed_before_start") == 6


def test_what_is_not_known_is_not_told(figures):
    """A run that cannot know what it missed has no such series, and no zero."""
    assert "kevmond_events_missed_before_start" not in families(figures.moment())


def test_sinks(busy):
    """A sink's series bear its name and type, and its state is one of all that there are."""
    hook = {"sink": "hook", "type": "webhook"}
    for name, value in (
        ("dropped_total", 1), ("missed_total", 2), ("buried_total", 3), ("dead_letters", 3),
        ("retries_total", 5), ("failed_attempts", 4),
    ):  # fmt: skip
        assert figure(busy, f"kevmond_sink_{name}", **hook) == value
    assert figure(busy, "kevmond_sink_lag_events", sink="log", type="log") == 3
    states = [
        (each.labels["state"], each.value)
        for each in families(busy)["kevmond_sink_state"].samples
        if each.labels["sink"] == "hook"
    ]
    assert [state for state, value in states if value == 1] == ["retrying"]
    assert len(states) == 7


def test_health_and_problems(busy, figures):
    """Health is one of three states, and problems are counted by kind."""
    assert figure(busy, "kevmond_health", state="degraded") == 1
    assert figure(busy, "kevmond_health", state="ok") == 0
    assert figure(busy, "kevmond_problems", what="consumer-retrying") == 1
    assert figure(figures.moment(), "kevmond_health", state="ok") == 1
    found = families(figures.moment(), problems=["taken"])["kevmond_problems"]
    assert {each.labels["what"] for each in found.samples if each.value} == {"api"}


def test_streams_and_callers(busy):
    """Callers come and go, so they are told in sum."""
    assert figure(busy, "kevmond_streams") == 2
    assert figure(busy, "kevmond_streams_lag_events") == 17
    found = families(busy, callers=3, refused={"too slow": 2, "other user": 1})
    assert found["kevmond_api_callers"].samples[0].value == 3
    assert found["kevmond_api_refused"].samples[0].value == 3


def test_labels_are_escaped(figures):
    """Whatever a sink is called, the text can be read and gives the name back."""
    name = 'a"b\\c\nd'
    moment = figures.moment(figures.sink(name))
    assert figure(moment, "kevmond_sink_lag_events", sink=name, type="jsonl") == 0


def test_a_figure_that_the_system_keeps(figures):
    """What cannot be known of the process is left out."""
    body = exposition(Figures(figures.moment(), USE._replace(open_files=None), {}), "")[0].decode()
    assert "process_open_fds" not in body
    assert "process_resident_memory_bytes 5.24288e+06" in body


class TestServed:
    @pytest.fixture
    async def client(self, busy, monkeypatch):
        """Serve metrics alone, as on a port of their own, over a moment."""
        monkeypatch.setattr(status_routes, "look", lambda services, streams=(): busy)
        app = web.Application()
        app[SERVICES] = None
        app.add_routes([web.get("/metrics", status_routes.metrics)])
        async with TestClient(TestServer(app)) as client:
            yield client

    async def test_plain_text(self, client):
        """Without a wish it is text of version 0.0.4."""
        async with client.get("/metrics") as response:
            assert response.headers["Content-Type"] == "text/plain; version=0.0.4; charset=utf-8"
            assert f'kevmond_build_info{{kernel="simulated",version="{__version__}"}} 1.0' in (
                await response.text()
            )

    async def test_openmetrics(self, client):
        """With the header that Prometheus sends it is OpenMetrics."""
        wish = f"{OPENMETRICS};q=0.75,text/plain;version=0.0.4;q=0.5"
        async with client.get("/metrics", headers={"Accept": wish}) as response:
            assert response.headers["Content-Type"].startswith("application/openmetrics-text")
            assert (await response.text()).endswith("# EOF\n")

    @pytest.mark.parametrize(
        "wish", ["application/openmetrics-text;version=abc", "text/plain;version=1.x", ",;=,"]
    )
    async def test_nonsense(self, client, wish):
        """A wish that makes no sense is answered with plain text."""
        async with client.get("/metrics", headers={"Accept": wish}) as response:
            assert response.status == 200
            assert "version=0.0.4" in response.headers["Content-Type"]

    async def test_what_the_server_tells(self, client):
        """Where the server tells of itself, its callers are in it."""
        client.app._state[API] = _Api()
        async with client.get("/metrics") as response:
            assert "kevmond_api_callers 2.0" in await response.text()


class _Api:
    def facts(self):
        return {"callers": 2, "refused": {}}


def test_all_is_documented(busy, pytestconfig):
    """The tables of docs/metrics.md have every metric with its type and labels, and no other."""
    page = (pytestconfig.rootpath / "docs" / "metrics.md").read_text()
    rows = re.findall(r"^\| `(\w+)` \| (\w+) \|(.*?)\| (.+?) \|$", page, re.MULTILINE)
    told = {name: (kind, tuple(re.findall(r"`(\w+)`", labels))) for name, kind, labels, _ in rows}
    emitted = {}
    for family in parse(text(busy)):
        for sample in family.samples:
            emitted.setdefault(sample.name, (family.type, set()))[1].update(sample.labels)
    assert {name: (kind, tuple(sorted(labels))) for name, (kind, labels) in told.items()} == {
        name: (kind, tuple(sorted(labels))) for name, (kind, labels) in emitted.items()
    }
    assert len(rows) == len(told)
