"""What every sink must do, as checks that a test runs; kevmond's own and plug-ins alike.

    @pytest.mark.parametrize("check", contract.CHECKS, ids=lambda check: check.__name__)
    async def test_contract(check, tmp_path):
        settings = MqttSink.Settings(...)
        await check(lambda: MqttSink("test", settings))

Each check is given a function that returns a new sink whose receiver works and, from one call to
the next within a check, stays the same.  A sink that fails raises AssertionError, saying at what.
"""

from __future__ import annotations

import asyncio
import contextlib
from typing import TYPE_CHECKING, Final

from kevmond.events.describe import field_docs
from kevmond.sinks import registry
from kevmond.sinks.health import State
from kevmond.sinks.runner import SinkRunner
from kevmond.sinks.testing import MemoryJournal, odd_records, records

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from kevmond.events.event import Record
    from kevmond.sinks.base import Sink

    Make = Callable[[], Sink]

PATIENCE: Final = 20.0
"""Seconds after which a check takes a sink for hung."""


async def is_a_sink(make: Make) -> None:
    """Have the methods, the constructor and the Settings that are asked for."""
    wrong = registry.shortcomings(type(make()))
    assert not wrong, f"it is no sink: {'; '.join(wrong)}"


async def has_settings_that_can_be_written_down(make: Make) -> None:
    """Tell what each setting means, and refuse unknown keys."""
    model = type(make()).Settings
    docs = field_docs(model)
    for name, field in model.model_fields.items():
        told = field.description or name in docs
        assert told, f"setting {name} has no docstring under it"
    assert model.model_config.get("extra") == "forbid", "an unknown key must be an error"
    assert model.model_json_schema(), "the settings have no JSON Schema"


async def opens_and_tells_what_it_holds(make: Make) -> None:
    """Return a position or None from `open`."""
    sink = make()
    try:
        held = await sink.open()
        assert held is None or (isinstance(held, int) and held >= 0), f"open returned {held!r}"
    finally:
        await sink.aclose()


async def _take(sink: Sink, batch: list[Record]) -> None:
    """Offer a batch until all of it is taken, as the runner does."""
    rest = batch
    while rest:
        taken = await sink.write(rest)
        if taken is None:
            return
        assert 1 <= taken <= len(rest), f"write returned {taken} of {len(rest)} records"
        rest = rest[taken:]


async def takes_batches_of_all_sizes(make: Make) -> None:
    """Take one record, then many, and leave the batch as it is."""
    sink = make()
    await sink.open()
    try:
        for batch in (records(1, 1), records(2, 301)):
            before = list(batch)
            await _take(sink, batch)
            assert batch == before, "write changed the batch"
    finally:
        await sink.aclose()


async def takes_records_of_every_kind(make: Make) -> None:
    """Take malformed events, odd text, the longest message and kevmond's own records."""
    sink = make()
    await sink.open()
    try:
        for record in odd_records(1):
            await _take(sink, [record])
        await _take(sink, odd_records(100))
    finally:
        await sink.aclose()


async def goes_on_after_reopen(make: Make) -> None:
    """Take batches after `reopen`, and after two in a row."""
    sink = make()
    await sink.open()
    try:
        await _take(sink, records(1, 2))
        await sink.reopen()
        await sink.reopen()
        await _take(sink, records(3, 4))
    finally:
        await sink.aclose()


async def closes_whatever_happened(make: Make) -> None:
    """Close without `open`, and twice."""
    await make().aclose()
    sink = make()
    await sink.open()
    await sink.aclose()
    await sink.aclose()


async def survives_a_cancelled_write(make: Make) -> None:
    """Take the same batch again after a write that was cancelled, and close."""
    sink = make()
    await sink.open()
    batch = records(1, 50)
    write = asyncio.ensure_future(sink.write(batch))
    await asyncio.sleep(0)
    write.cancel()
    with contextlib.suppress(asyncio.CancelledError):
        await write
    try:
        await asyncio.wait_for(_take(sink, batch), PATIENCE)
    finally:
        await asyncio.wait_for(sink.aclose(), PATIENCE)


async def works_in_the_runner(make: Make) -> None:
    """Deliver what the runner hands over; a second run goes on where the first stopped."""
    journal = MemoryJournal()
    for first, last in ((1, 40), (41, 60)):
        sink = make()
        runner = SinkRunner(
            "contract",
            sink,
            sink.Settings.model_construct(),
            journal,
            announce=lambda _payload: None,
        )
        await runner.start()
        journal.append(records(first, last))
        await runner.drain(PATIENCE)
        counters = runner.health.counters
        assert runner.health.last_error is None, f"it refused: {runner.health.last_error}"
        assert runner.health.state is State.STOPPED
        assert counters.delivered == last - first + 1, f"{counters.delivered} delivered"
        assert runner.position == last, f"acknowledged up to {runner.position}"


CHECKS: Final[tuple[Callable[[Make], Awaitable[None]], ...]] = (
    is_a_sink,
    has_settings_that_can_be_written_down,
    opens_and_tells_what_it_holds,
    takes_batches_of_all_sizes,
    takes_records_of_every_kind,
    goes_on_after_reopen,
    closes_whatever_happened,
    survives_a_cancelled_write,
    works_in_the_runner,
)
"""All of them."""
