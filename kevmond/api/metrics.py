"""The daemon's metrics for Prometheus, made of plain figures when they are asked for.

Imports prometheus_client, so it is imported by the first caller of the API only.  Names and units
are by Prometheus' conventions; docs/metrics.md lists them all, and a test holds it to that.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from prometheus_client import CollectorRegistry, PlatformCollector
from prometheus_client.core import (
    CounterMetricFamily,
    GaugeMetricFamily,
    InfoMetricFamily,
)
from prometheus_client.exposition import choose_encoder
from prometheus_client.registry import Collector

from kevmond import __version__
from kevmond.api import findings
from kevmond.sinks.health import State

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping

    from prometheus_client.core import Metric

    from kevmond.api.moment import Moment
    from kevmond.api.ownuse import Use
    from kevmond.sinks.health import SinkStatistics

    Figure = Callable[[SinkStatistics], int]

_SINK: Final = ("sink", "type")

_SINK_COUNTERS: Final[tuple[tuple[str, str, Figure], ...]] = (
    ("delivered", "Events that the sink took.", lambda sink: sink.counters.delivered),
    ("filtered", "Events that its filter held back.", lambda sink: sink.counters.filtered),
    ("dropped", "Events that it refused and that were lost.", lambda sink: sink.counters.dropped),
    (
        "missed",
        "Events that left the journal before it took them.",
        lambda sink: sink.counters.missed,
    ),
    ("buried", "Events put into its dead letters.", lambda sink: sink.counters.buried),
    ("retries", "Attempts that failed and were followed by another.", lambda s: s.counters.retried),
)

_SINK_GAUGES: Final[tuple[tuple[str, str, Figure], ...]] = (
    ("lag_events", "Events between its place and the newest.", lambda sink: sink.lag),
    ("failed_attempts", "Failed attempts at what it is to take next.", lambda sink: sink.attempts),
)


class Figures(Collector):
    """One scrape: a moment's figures."""

    def __init__(self, moment: Moment, use: Use, api: Mapping[str, Any]) -> None:
        """`use` is what the process takes, `api` what the server tells of itself."""
        self._moment = moment
        self._use = use
        self._api = api
        self._health, self._problems = findings.problems(moment, api.get("problems", ()))

    def collect(self) -> Iterator[Metric]:
        """Yield every family."""
        yield from self._daemon()
        yield from self._kernel()
        yield from self._events()
        yield from self._journal()
        yield from self._sinks()
        yield from self._streams()
        yield from self._callers()
        yield from self._process()

    # ------------------------------------------------------------------ families

    def _daemon(self) -> Iterator[Metric]:
        facts = {"version": __version__, "kernel": self._moment.kernel}
        yield InfoMetricFamily("kevmond_build", "Version, and which kernel is read.", value=facts)
        yield _gauge(
            "kevmond_start_time_seconds",
            "When this run began, in seconds since the epoch.",
            self._moment.started_ns / 1e9,
        )
        yield _states(
            "kevmond_health",
            "How the daemon is: 1 for the state that it is in, 0 for the others.",
            [((), self._health.value)],
            [each.value for each in findings.Health],
        )
        problems = GaugeMetricFamily(
            "kevmond_problems", "Problems there are now, by kind.", labels=["what"]
        )
        for what in findings.PROBLEMS:
            problems.add_metric([what.value], sum(each.what is what for each in self._problems))
        yield problems

    def _kernel(self) -> Iterator[Metric]:
        capture = self._moment.capture
        yield _gauge(
            "kevmond_kernel_socket_connected",
            "1 while the event socket is open.",
            int(capture.connected),
        )
        yield _gauge(
            "kevmond_kernel_receive_buffer_bytes",
            "Receive buffer that the kernel granted.",
            capture.receive_space,
        )
        yield _counter(
            "kevmond_kernel_socket_errors", "Failed calls on the event socket.", capture.errors
        )
        yield _counter(
            "kevmond_kernel_socket_reopened",
            "Times that the event socket was opened anew.",
            capture.reopened,
        )

    def _events(self) -> Iterator[Metric]:
        capture, understood = self._moment.capture, self._moment.understood
        totals, counters = capture.totals, self._moment.journal.counters
        read = CounterMetricFamily(
            "kevmond_events_read", "Kernel events that were read.", labels=["type"]
        )
        for event_type, count in capture.tally.by_type().items():
            read.add_metric([event_type], count)
        yield read
        yield _counter(
            "kevmond_events_unknown",
            "Of these, events of types that this version does not know.",
            understood.unknown,
        )
        yield _counter(
            "kevmond_events_malformed",
            "Of these, events that are not as their headers say.",
            understood.malformed,
        )
        lost = CounterMetricFamily(
            "kevmond_events_lost",
            "Events given up as lost; kevmond_events_late_total takes some of the kernel's back.",
            labels=["source"],
        )
        # The account's `lost` goes down when one comes after all, which a counter must not.
        lost.add_metric(["kernel"], totals.lost + totals.late)
        lost.add_metric(["journal"], counters.lost)
        lost.add_metric(["journal-damage"], counters.damaged)
        yield lost
        yield _counter(
            "kevmond_events_late", "Events that came after they were given up.", totals.late
        )
        yield _counter(
            "kevmond_events_too_large",
            "Events that the kernel could post to nobody for their size.",
            totals.too_big,
        )
        if capture.missed_before_start is not None:
            yield _gauge(
                "kevmond_events_missed_before_start",
                "Events posted between the run before and this one, if that is known.",
                capture.missed_before_start,
            )

    def _journal(self) -> Iterator[Metric]:
        journal, settings = self._moment.journal, self._moment.journal_settings
        counters = journal.counters
        for name, text, count in (
            ("appended", "Records given to the journal.", counters.appended),
            ("committed", "Records that its disk took.", counters.committed),
            ("commits", "Transactions that its disk took.", counters.commits),
            ("refused_commits", "Transactions that its disk did not take.", counters.refused),
            ("trimmed", "Records that retention removed.", counters.trimmed),
            (
                "dead_letters_lost",
                "Dead letters that went undelivered, to make room or with a database.",
                counters.letters_lost,
            ),
        ):
            yield _counter(f"kevmond_journal_{name}", text, count)
        for name, text, figure in (
            ("writable", "1 while its disk takes records.", int(journal.refusal is None)),
            ("pending_records", "Records that no disk has taken yet.", journal.pending),
            ("oldest_seq", "Oldest position that can be read.", journal.oldest_seq),
            ("newest_seq", "Newest position given out.", journal.next_seq - 1),
            ("disk_bytes", "Size of the database.", journal.disk_bytes),
            ("max_bytes", "Size from which the oldest records go.", settings.max_bytes),
            ("memory_records", "Records kept in memory for consumers.", journal.memory_records),
            ("memory_bytes", "Memory that these take, estimated.", journal.memory_bytes),
            ("dead_letters", "Dead letters of all sinks.", journal.letters),
            ("dead_letters_bytes", "What these take.", journal.letters_bytes),
        ):
            yield _gauge(f"kevmond_journal_{name}", text, figure)

    def _sinks(self) -> Iterator[Metric]:
        sinks = self._moment.sinks
        for name, text, figure in _SINK_COUNTERS:
            counter = CounterMetricFamily(f"kevmond_sink_{name}", text, labels=_SINK)
            for sink in sinks:
                counter.add_metric([sink.name, sink.type], figure(sink))
            yield counter
        for name, text, figure in _SINK_GAUGES:
            gauge = GaugeMetricFamily(f"kevmond_sink_{name}", text, labels=_SINK)
            for sink in sinks:
                gauge.add_metric([sink.name, sink.type], figure(sink))
            yield gauge
        letters = GaugeMetricFamily(
            "kevmond_sink_dead_letters", "Dead letters that wait.", labels=_SINK
        )
        for sink in sinks:
            letters.add_metric([sink.name, sink.type], self._moment.letters.get(sink.name, 0))
        yield letters
        yield _states(
            "kevmond_sink_state",
            "What the sink is doing: 1 for the state that it is in, 0 for the others.",
            [((sink.name, sink.type), sink.state.value) for sink in sinks],
            [each.value for each in State],
            labels=_SINK,
        )

    def _streams(self) -> Iterator[Metric]:
        """Yield sums: callers come and go, so none of them has series of its own."""
        streams = self._moment.streams
        yield _gauge("kevmond_streams", "Callers who follow the events now.", len(streams))
        yield _gauge(
            "kevmond_streams_lag_events",
            "Events that the slowest of them is behind.",
            max((int(each.get("lag", 0)) for each in streams), default=0),
        )

    def _callers(self) -> Iterator[Metric]:
        api = self._api
        yield _gauge("kevmond_api_callers", "Connections to the API now.", api.get("callers", 0))
        yield _counter(
            "kevmond_api_refused",
            "Callers and requests that the API refused.",
            sum(api.get("refused", {}).values()),
        )

    def _process(self) -> Iterator[Metric]:
        """Yield what prometheus_client's own collector, which is Linux's only, tells too."""
        use = self._use
        yield _counter(
            "process_cpu_seconds", "User and system CPU time, in seconds.", use.cpu_seconds
        )
        for name, text, figure in (
            ("resident_memory_bytes", "Resident memory size.", use.rss_bytes),
            ("virtual_memory_bytes", "Virtual memory size.", use.virtual_bytes),
            ("threads", "Threads.", use.threads),
            ("open_fds", "Open file descriptors.", use.open_files),
            ("max_fds", "File descriptors that may be open.", use.most_files),
            ("start_time_seconds", "When the process began, since the epoch.", use.started),
        ):
            if figure is not None:
                yield _gauge(f"process_{name}", text, figure)


def exposition(figures: Figures, accept: str) -> tuple[bytes, str]:
    """Return the metrics and their content type, in the form that an Accept header asks for."""
    registry = CollectorRegistry()
    registry.register(figures)
    PlatformCollector(registry)
    try:
        encode, kind = choose_encoder(accept)
        return encode(registry), kind
    except (ValueError, TypeError):  # the header names a version that is none
        encode, kind = choose_encoder("")
        return encode(registry), kind


def _gauge(name: str, text: str, figure: float) -> Metric:
    return GaugeMetricFamily(name, text, value=figure)


def _counter(name: str, text: str, count: float) -> Metric:
    return CounterMetricFamily(name, text, value=count)


def _states(
    name: str,
    text: str,
    found: Iterable[tuple[tuple[str, ...], Any]],
    states: Iterable[str],
    *,
    labels: tuple[str, ...] = (),
) -> Metric:
    """Return a gauge with a series for each state, 1 where that is it."""
    family = GaugeMetricFamily(name, text, labels=[*labels, "state"])
    every = tuple(states)
    for values, state in found:
        for each in every:
            family.add_metric([*values, each], int(each == state))
    return family
