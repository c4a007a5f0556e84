"""A sink with a policy: patience is measured, what is given up is kept, and nothing goes unsaid."""

import asyncio
import json

import pytest

from kevmond.errors import (
    GoneError,
    JournalError,
    PermanentError,
    RetryableError,
    UnreachableError,
)
from kevmond.events import own
from kevmond.events.event import Severity
from kevmond.events.revive import revive
from kevmond.sinks.base import DeliveryPolicy, SinkSettings
from kevmond.sinks.health import State
from kevmond.sinks.runner import SinkRunner
from kevmond.sinks.testing import MemoryJournal, records

PATIENCE = 30.0
DAY = 86400.0
SCHEDULE = (5.0, 30.0, 120.0, 600.0)


class Receiver:
    """A sink whose receiver answers as the test says."""

    Settings = SinkSettings

    def __init__(self, policy):
        self.policy = policy
        self.answers = []
        self.always = None
        self.offered = []
        self.took = []
        self.opening = []
        self.called = asyncio.Event()

    async def open(self):
        if self.opening:
            raise self.opening.pop(0)

    async def write(self, batch):
        self.offered.append([one.seq for one in batch])
        self.called.set()
        answer = self.answers.pop(0) if self.answers else self.always
        if callable(answer):
            answer = await answer()
        if isinstance(answer, BaseException):
            raise answer
        self.took += [one.seq for one in batch[:answer]]
        return answer

    async def reopen(self):
        pass

    async def aclose(self):
        pass


class Rig:
    """A runner on a clock that only moves while it waits; waits that are `held` stand still."""

    def __init__(self, policy=DeliveryPolicy(SCHEDULE), journal=None, letters=True, **settings):  # noqa: B008 - frozen
        self.now = 1000.0
        self.held = False
        self.waits = []
        self.waiting = asyncio.Event()
        self.told = []
        self.states = []
        self.journal = journal or MemoryJournal()
        self.sink = Receiver(policy)
        self.runner = SinkRunner(
            "hook",
            self.sink,
            SinkSettings(**settings),
            self.journal,
            announce=self.told.append,
            dead_letters=self.journal if letters else None,
            on_state=self.states.append,
            monotonic=lambda: self.now,
            wall_ns=lambda: int(self.now * 1e9),
            uniform=lambda low, high: high,
            pause=self.pause,
        )

    async def pause(self, seconds, woken):
        self.waits.append(seconds)
        self.waiting.set()
        if self.held:
            await woken.wait()
        else:
            self.now += seconds
            await asyncio.sleep(0)

    async def until(self, holds):
        """Let the loop turn until something holds."""
        async with asyncio.timeout(PATIENCE):
            while not holds():  # noqa: ASYNC110 - a cursor tells nobody that it moved
                await asyncio.sleep(0)

    async def settle(self):
        """Let all that can happen without the clock happen."""
        for _ in range(50):
            await asyncio.sleep(0)

    async def waits_for_attempt(self, number):
        """Wait until the runner stands in its wait of this number."""
        await self.until(lambda: len(self.waits) >= number)

    @property
    def counters(self):
        return self.runner.health.counters

    @property
    def words(self):
        return [one.state for one in self.told if isinstance(one, own.Sink)]

    @property
    def buried(self):
        return [letter.seq for _, letter in self.journal.buried]

    def stories(self):
        return [json.loads(letter.story) for _, letter in self.journal.buried]

    def accounts_for(self, count):
        """Whether everything read is in exactly one place."""
        c = self.counters
        return c.delivered + c.filtered + c.held + c.buried + c.dropped + c.missed == count


@pytest.fixture
async def rig():
    """Return a function that makes a rig, and drain what was made."""
    made = []

    def make(*args, **settings):
        made.append(Rig(*args, **settings))
        return made[-1]

    yield make
    for one in made:
        one.held = False
        await one.runner.drain(0.0)


# ---------------------------------------------------------------------- partial takes


async def test_what_is_not_taken_is_offered_again_with_what_came_meanwhile(rig):
    """Of five, two are taken and acknowledged; three come again, filled up with newer ones."""
    made = rig(batch_size=5)
    made.sink.answers = [2, 4, None]
    await made.runner.start()
    made.journal.append(records(1, 6))
    await made.until(lambda: made.runner.position == 6)
    assert made.sink.offered == [[1, 2, 3, 4, 5], [3, 4, 5, 6], *made.sink.offered[2:]]
    assert made.sink.took == [1, 2, 3, 4, 5, 6]
    assert (made.counters.delivered, made.runner.position) == (6, 6)


async def test_partial_take_acknowledges_what_was_taken(rig):
    """The rest stays unacknowledged while it is offered again."""
    made = rig(batch_size=10)
    stop = asyncio.Event()
    made.sink.answers = [1, stop.wait]
    await made.runner.start()
    made.journal.append(records(1, 4))
    await made.until(lambda: len(made.sink.offered) == 2)
    assert made.runner.position == 1
    stop.set()


async def test_batch_that_is_refused_is_offered_again_as_it_is(rig):
    """Records that come while a batch is refused do not join it: its id stays the same."""
    made = rig(batch_size=5)
    made.held = True
    made.sink.answers = [RetryableError("503")]
    await made.runner.start()
    made.journal.append(records(1, 2))
    await made.waits_for_attempt(1)
    made.journal.append(records(3, 4))
    made.runner.nudge()
    await made.until(lambda: made.runner.position == 4)
    assert made.sink.offered == [[1, 2], [1, 2], [3, 4]]


async def test_taking_nothing_without_saying_why_is_a_failure(rig):
    """A sink that returns 0 is tried again, not asked in a circle without end."""
    made = rig()
    made.sink.answers = [0, -1]
    await made.runner.start()
    made.journal.append(records(1, 1))
    await made.until(lambda: made.runner.position == 1)
    assert made.waits == [5.0, 30.0]


# ---------------------------------------------------------------------- linger


async def test_batch_waits_for_more_as_long_as_set(rig):
    """With linger a batch is what came within that time of its first record, as one."""
    made = rig(batch_size=10, linger=2.0)
    made.held = True
    await made.runner.start()
    made.journal.append(records(1, 2))
    await made.waits_for_attempt(1)
    made.now += 0.5
    made.journal.append(records(3, 3))
    await made.waits_for_attempt(2)
    assert made.waits == [2.0, 1.5]
    assert made.sink.offered == []
    made.runner.nudge()  # the time is over
    await made.until(lambda: made.runner.position == 3)
    assert made.sink.offered == [[1, 2, 3]]


async def test_full_batch_does_not_linger(rig):
    """A batch goes out as soon as it is full."""
    made = rig(batch_size=3, linger=3600.0)
    made.held = True
    await made.runner.start()
    made.journal.append(records(1, 2))
    await made.waits_for_attempt(1)
    made.journal.append(records(3, 3))
    await made.until(lambda: made.runner.position == 3)
    made.journal.append(records(4, 6))
    await made.until(lambda: made.runner.position == 6)
    assert made.sink.offered == [[1, 2, 3], [4, 5, 6]]


async def test_stop_does_not_wait_for_more(rig):
    """What lingers when the daemon stops is delivered at once."""
    made = rig(batch_size=10, linger=3600.0)
    made.held = True
    await made.runner.start()
    made.journal.append(records(1, 2))
    await made.waits_for_attempt(1)
    await asyncio.wait_for(made.runner.drain(3600.0), PATIENCE)
    assert made.sink.offered == [[1, 2]]


async def test_filtered_records_do_not_linger(rig):
    """Where nothing passes the filter there is no batch to wait for."""
    made = rig(batch_size=10, linger=3600.0, filter=["severity>=warning"])
    made.held = True
    await made.runner.start()
    made.journal.append(records(1, 5))
    await made.until(lambda: made.runner.position == 5)
    assert made.waits == []


async def test_journal_in_trouble_while_lingering_ends_nothing(rig):
    """A read that fails amid a linger is told and tried again; the batch in hand goes out."""
    made = rig(batch_size=10, linger=10.0)
    made.held = True
    cursor = made.journal.cursor("sink.hook")
    read, calls = cursor.read, []

    async def read_or_fail(limit):
        calls.append(limit)
        if len(calls) == 2:
            raise JournalError("disk on fire")
        return await read(limit)

    cursor.read = read_or_fail
    made.journal.cursor = lambda name, start: cursor
    await made.runner.start()
    made.journal.append(records(1, 2))
    await made.until(lambda: len(made.waits) >= 2)
    made.held = False
    made.runner.nudge()
    await made.until(lambda: made.runner.position == 2)
    assert made.sink.took == [1, 2]
    assert made.words == ["retrying", "recovered"]


# ---------------------------------------------------------------------- the schedule


async def test_waits_follow_the_published_schedule(rig):
    """Attempts come after the waits of the schedule, whose last one repeats."""
    made = rig()
    made.sink.answers = [RetryableError("503")] * 6
    await made.runner.start()
    made.journal.append(records(1, 1))
    await made.until(lambda: made.runner.position == 1)
    assert made.waits == [5.0, 30.0, 120.0, 600.0, 600.0, 600.0]
    assert made.counters.retried == 6
    assert made.words == ["retrying", "recovered"]
    assert made.states == ["healthy", "retrying", "healthy"]


async def test_next_batch_begins_the_schedule_anew(rig):
    """Success ends an outage: the next one begins with the first wait."""
    made = rig(batch_size=1)
    made.sink.answers = [RetryableError("503")] * 2 + [None] + [RetryableError("503")]
    await made.runner.start()
    made.journal.append(records(1, 2))
    await made.until(lambda: made.runner.position == 2)
    assert made.waits == [5.0, 30.0, 5.0]


@pytest.mark.parametrize(("asked", "waited"), [(1.0, 5.0), (60.0, 60.0), (1e6, 600.0)])
async def test_receivers_wish_is_obeyed_within_the_schedule(rig, asked, waited):
    """Retry-After makes a wait longer, never shorter, up to the longest of the schedule."""
    made = rig()
    made.sink.answers = [RetryableError("429", after=asked)]
    await made.runner.start()
    made.journal.append(records(1, 1))
    await made.until(lambda: made.runner.position == 1)
    assert made.waits == [waited]


async def test_opening_follows_the_schedule_too(rig):
    """A sink with a policy that cannot be opened is tried by its schedule, and misses nothing."""
    made = rig()
    made.sink.opening = [RetryableError("no"), RetryableError("no")]
    await made.runner.start()
    made.journal.append(records(1, 2))
    await made.until(lambda: made.runner.position == 2)
    assert made.waits == [5.0, 30.0]


async def test_figures_of_an_outage(rig):
    """Attempts, the first of them and the next are there to be shown."""
    made = rig()
    made.held = True
    made.sink.always = RetryableError("503")
    await made.runner.start()
    made.journal.append(records(1, 3))
    await made.waits_for_attempt(1)
    figures = made.runner.statistics()
    assert (figures.attempts, figures.lag, figures.state) == (1, 3, State.RETRYING)
    assert figures.head_since_ns == 1000 * 10**9
    assert figures.next_attempt_ns == 1005 * 10**9
    made.sink.always = None
    made.runner.nudge()
    await made.until(lambda: made.runner.position == 3)
    figures = made.runner.statistics()
    assert (figures.attempts, figures.head_since_ns, figures.next_attempt_ns) == (0, None, None)


# ---------------------------------------------------------------------- giving up


async def test_head_that_fails_for_too_long_goes_to_the_dead_letters(rig):
    """After three days the batch is buried with its story; the next is tried, in order."""
    made = rig(DeliveryPolicy((DAY / 2,), give_up_after=3 * DAY), batch_size=2)
    broken = RetryableError("it answered 503")
    broken.excerpt = "upstream is away"
    made.sink.answers = [broken] * 7
    await made.runner.start()
    made.journal.append(records(1, 4))
    await made.until(lambda: made.runner.position == 4)
    assert made.sink.offered == [[1, 2]] * 7 + [[3, 4]]
    assert sum(made.waits) == 3 * DAY
    assert (made.buried, made.sink.took) == ([1, 2], [3, 4])
    assert [consumer for consumer, _ in made.journal.buried] == ["sink.hook"] * 2
    story = made.stories()[0]
    assert story["why"] == "given up after 3 d: it answered 503"
    assert (story["attempts"], story["failing_seconds"]) == (7, 3 * DAY)
    assert story["since"] == "1970-01-01T00:16:40.000000Z"
    assert [try_["error"] for try_ in story["tries"]] == ["it answered 503"] * 7
    assert [try_.get("answer") for try_ in story["tries"]] == ["upstream is away"] + [None] * 6
    assert made.words == ["retrying", "failed", "recovered"]
    assert "events 1 to 2 went to the dead letters" in made.told[1].detail
    assert made.told[1].dead_letters == 2
    assert not [one for one in made.told if isinstance(one, own.Loss)]
    assert made.accounts_for(4)


async def test_last_wait_ends_with_the_patience(rig):
    """A wait longer than the patience left is cut to it, with one more attempt at its end."""
    made = rig(DeliveryPolicy((100.0,), give_up_after=250.0))
    made.sink.answers = [RetryableError("503")] * 4
    await made.runner.start()
    made.journal.append(records(1, 1))
    await made.until(lambda: made.runner.position == 1)
    assert made.waits == [100.0, 100.0, 50.0]
    assert made.buried == [1]


async def test_a_letter_makes_its_record_again(rig):
    """A dead letter holds all that makes the same event, id and JSON of it anew."""
    made = rig(batch_size=1)
    made.sink.answers = [PermanentError("413")]
    await made.runner.start()
    (one,) = records(1, 1)
    made.journal.append([one])
    await made.until(lambda: made.buried == [1])
    ((_, letter),) = made.journal.buried
    again = revive(letter.context, letter.seq, letter.wall_ns, letter.kind, letter.body)
    assert (again.event.id, again.line) == (letter.event_id, one.line)


async def test_permanent_refusal_is_buried_not_dropped(rig):
    """With a policy what is refused for good is kept, after one attempt."""
    made = rig(batch_size=2)
    made.sink.answers = [PermanentError("413 too large")]
    await made.runner.start()
    made.journal.append(records(1, 4))
    await made.until(lambda: made.runner.position == 4)
    assert (made.buried, made.sink.took, made.waits) == ([1, 2], [3, 4], [])
    assert [story["attempts"] for story in made.stories()] == [1, 1]
    assert made.counters.dropped == 0
    assert made.accounts_for(4)


async def test_permanent_refusal_of_a_part_keeps_the_rest(rig):
    """A refusal that is about one record buries that one; the others are offered again."""
    made = rig(batch_size=3)
    made.sink.answers = [PermanentError("413", count=1)]
    await made.runner.start()
    made.journal.append(records(1, 3))
    await made.until(lambda: made.runner.position == 3)
    assert (made.sink.offered, made.buried) == ([[1, 2, 3], [2, 3]], [1])


async def test_without_a_place_for_letters_they_are_a_loss(rig):
    """Where no journal takes them, what is given up is dropped, counted and said."""
    made = rig(DeliveryPolicy((1.0,), give_up_after=2.0), letters=False)
    made.sink.answers = [RetryableError("503")] * 3
    await made.runner.start()
    made.journal.append(records(1, 2))
    await made.runner.drain(PATIENCE)
    (loss,) = [one for one in made.told if isinstance(one, own.Loss)]
    assert (loss.lost, made.counters.dropped, made.runner.position) == (2, 2, 2)
    assert made.accounts_for(2)


async def test_story_tells_the_last_attempts_and_stays_short(rig):
    """A story has the newest twenty attempts, and of each no more than a little."""
    made = rig(DeliveryPolicy((1.0,), give_up_after=99.5))
    errors = [RetryableError(f"{number} " + "x" * 10_000) for number in range(101)]
    for error in errors:
        error.excerpt = "é\ud800" * 5000
    made.sink.answers = errors
    await made.runner.start()
    made.journal.append(records(1, 1))
    await made.until(lambda: made.buried == [1])
    (story,) = made.stories()
    assert story["attempts"] == 101
    assert [try_["error"].split()[0] for try_ in story["tries"]] == [str(n) for n in range(81, 101)]
    assert len(made.journal.buried[0][1].story) < 40_000


# ---------------------------------------------------------------------- time that does not count


async def test_unreachable_network_costs_no_patience(rig):
    """While nothing can be tried no attempt is counted and no time passes for the batch."""
    made = rig(DeliveryPolicy((10.0,), give_up_after=25.0), retry_maximum=60.0)
    refused, away = RetryableError("503"), UnreachableError("no route")
    made.sink.answers = [refused, *[away] * 40, refused, refused]
    await made.runner.start()
    made.journal.append(records(1, 1))
    await made.until(lambda: made.runner.position == 1)
    assert made.buried == []
    assert made.counters.retried == 3
    assert made.waits[0] == 10.0
    assert made.waits[1:41] == [0.5, 1.0, 2.0, 4.0, 8.0, 16.0, 32.0] + [60.0] * 33
    assert len(made.sink.offered) == 44


async def test_outage_goes_on_over_a_restart(rig):
    """Attempts, patience and story of the batch outlive the process; its absence does not count."""
    journal = MemoryJournal()
    policy = DeliveryPolicy((100.0,), give_up_after=250.0)
    first = rig(policy, journal)
    first.sink.answers = [RetryableError("before")] * 2
    holding = asyncio.Event()
    first.sink.always = holding.wait
    await first.runner.start()
    journal.append(records(1, 1))
    await first.until(lambda: len(first.sink.offered) == 3)
    first.runner._task.cancel()
    await asyncio.wait({first.runner._task})

    second = rig(policy, journal)
    second.now = 10_000.0
    second.sink.answers = [RetryableError("after")] * 3
    await second.runner.start()
    await second.until(lambda: second.buried == [1])
    assert second.waits == [100.0, 50.0]
    (story,) = second.stories()
    assert story["since"] == "1970-01-01T00:16:40.000000Z"
    assert [try_["error"] for try_ in story["tries"]] == ["before"] * 2 + ["after"] * 3
    assert journal.values == {} or json.loads(*journal.values.values())["attempts"] == 0


async def test_success_forgets_the_outage(rig):
    """Once a batch is taken, nothing of its trouble is left in the journal's state."""
    made = rig()
    made.sink.answers = [RetryableError("503")]
    seen = []
    keep = made.journal.set_state
    made.journal.set_state = lambda key, value: (seen.append((key, value)), keep(key, value))
    await made.runner.start()
    made.journal.append(records(1, 1))
    await made.until(lambda: made.runner.position == 1)
    assert [key for key, _ in seen] == ["note.sink.hook"] * 2
    assert json.loads(seen[0][1])["attempts"] == 1
    assert made.journal.values == {}


@pytest.mark.parametrize("note", ["", "nonsense", "{}", "[1]", '{"head": 1, "attempts": "x"}'])
async def test_note_that_is_none_is_passed_over(rig, note):
    """Whatever stands in the state, the sink runs."""
    journal = MemoryJournal()
    journal.values["note.sink.hook"] = note
    made = rig(journal=journal)
    await made.runner.start()
    journal.append(records(1, 1))
    await made.until(lambda: made.runner.position == 1)


# ---------------------------------------------------------------------- disabling


async def test_long_failure_disables(rig):
    """After five days without anything taken the sink rests: said as an error, its place kept."""
    made = rig(DeliveryPolicy((DAY,), give_up_after=2 * DAY, disable_after=5 * DAY), batch_size=1)
    made.sink.always = RetryableError("503")
    await made.runner.start()
    made.journal.append(records(1, 9))
    await made.until(lambda: made.runner.paused)
    assert made.now == 1000.0 + 5 * DAY
    assert made.buried == [1, 2]
    assert (made.runner.position, made.runner.lag) == (2, 7)
    assert made.runner.health.state is State.DISABLED
    last = made.told[-1]
    assert (last.state, last.severity()) == ("disabled", Severity.ERROR)
    assert last.detail == "it has taken nothing for 5 d: 503"
    assert made.states[-1] == "disabled"
    tried = len(made.sink.offered)
    await made.settle()
    assert len(made.sink.offered) == tried


async def test_time_without_anything_to_deliver_is_no_failure(rig):
    """Between a batch that was given up and the next event the receiver is not failing."""
    made = rig(DeliveryPolicy((1.0,), give_up_after=2.0, disable_after=10.0))
    made.sink.answers = [RetryableError("503")] * 4
    await made.runner.start()
    made.journal.append(records(1, 1))
    await made.until(lambda: made.buried == [1])
    await made.settle()
    made.now += 5 * DAY
    made.journal.append(records(2, 2))
    await made.until(lambda: made.runner.position == 2)
    assert made.sink.took == [2]
    assert not made.runner.paused


async def test_gone_receiver_disables_at_once(rig):
    """410: no attempt is made any more, and what was not taken stays where it is."""
    made = rig(batch_size=2)
    made.sink.answers = [None, GoneError("it answered 410 Gone")]
    await made.runner.start()
    made.journal.append(records(1, 6))
    await made.until(lambda: made.runner.paused)
    await made.settle()
    assert (made.runner.position, made.sink.offered) == (2, [[1, 2], [3, 4]])
    assert made.words == ["disabled"]
    assert made.told[-1].detail == "it answered 410 Gone"
    assert made.buried == []


async def test_gone_at_opening_disables_too(rig):
    """A receiver that says at the handshake that it never will is left alone."""
    made = rig()
    made.sink.opening = [GoneError("it answered 410 Gone")]
    await made.runner.start()
    assert made.runner.health.state is State.DISABLED
    made.runner.resume()
    made.journal.append(records(1, 1))
    await made.until(lambda: made.runner.position == 1)
    assert made.words == ["disabled", "resumed"]


async def test_any_sink_can_be_told_that_its_receiver_is_gone(rig):
    """GoneError disables a sink that has no policy."""
    made = rig(policy=None)
    made.sink.answers = [GoneError("no more")]
    await made.runner.start()
    made.journal.append(records(1, 2))
    await made.until(lambda: made.runner.paused)
    assert (made.runner.position, made.counters.dropped) == (0, 0)


async def test_resumed_sink_has_all_its_patience_again(rig):
    """Who resumes a disabled sink gives it a fresh start, with the same batch."""
    made = rig(DeliveryPolicy((10.0,), disable_after=20.0))
    made.sink.always = RetryableError("503")
    await made.runner.start()
    made.journal.append(records(1, 2))
    await made.until(lambda: made.runner.paused)
    attempts = len(made.sink.offered)
    made.sink.always, made.sink.answers = None, [RetryableError("503")] * 2
    made.runner.resume()
    await made.until(lambda: made.runner.position == 2)
    assert made.sink.offered[attempts:] == [[1, 2]] * 3
    assert made.words == ["retrying", "disabled", "resumed", "recovered"]
    assert made.journal.values == {}


# ---------------------------------------------------------------------- pause


async def test_paused_sink_reads_nothing_and_goes_on_where_it_was(rig):
    """While a sink is paused its cursor is not read; resumed, it delivers all that came."""
    made = rig()
    await made.runner.start()
    made.journal.append(records(1, 1))
    await made.until(lambda: made.runner.position == 1)
    await made.settle()
    made.runner.pause()
    made.runner.pause()
    await made.settle()
    reads = made.runner._cursor.reads
    made.journal.append(records(2, 5))
    await made.settle()
    assert (made.sink.took, made.runner.position) == ([1], 1)
    assert (made.runner._cursor.reads, made.runner._cursor._read_to) == (reads, 1)
    assert (made.runner.paused, made.runner.statistics().state) == (True, State.PAUSED)
    made.runner.resume()
    await made.until(lambda: made.runner.position == 5)
    assert made.sink.took == [1, 2, 3, 4, 5]
    assert made.words == ["paused", "resumed"]
    assert made.states == ["healthy", "paused", "healthy"]


async def test_pause_lets_the_attempt_under_way_finish(rig):
    """What the receiver takes while the sink is being paused is acknowledged, and no more."""
    made = rig(batch_size=2)
    taking = asyncio.Event()

    async def take_one():
        await taking.wait()
        return 1

    made.sink.answers = [take_one]
    await made.runner.start()
    made.journal.append(records(1, 6))
    await made.until(lambda: made.sink.offered)
    made.runner.pause()
    taking.set()
    await made.settle()
    assert (made.runner.position, made.sink.offered) == (1, [[1, 2]])
    assert made.runner._cursor._read_to == 2
    assert made.runner.health.state is State.PAUSED
    made.runner.resume()
    await made.until(lambda: made.runner.position == 6)
    assert made.runner.health.state is State.HEALTHY


async def test_pause_amid_an_outage_stops_the_clock(rig):
    """Time in which the sink was paused is not counted against the batch."""
    made = rig(DeliveryPolicy((10.0,), give_up_after=25.0))
    made.held = True
    made.sink.answers = [RetryableError("503")] * 3
    await made.runner.start()
    made.journal.append(records(1, 1))
    await made.waits_for_attempt(1)
    made.runner.pause()
    await made.settle()
    assert made.runner.next_attempt_ns is None
    made.now += DAY
    made.held = False
    made.runner.resume()
    await made.until(lambda: made.runner.position == 1)
    assert (made.sink.took, made.buried) == ([1], [])
    assert made.words == ["retrying", "paused", "resumed", "recovered"]


async def test_sink_paused_before_its_start_is_not_opened(rig):
    """A sink that was paused in an earlier run takes its place and touches nothing."""
    made = rig()
    made.sink.opening = [PermanentError("must not be asked")]
    made.runner.pause()
    await asyncio.wait_for(made.runner.start(), PATIENCE)
    made.journal.append(records(1, 2))
    await made.settle()
    assert (made.runner.lag, len(made.sink.opening)) == (2, 1)
    made.sink.opening.clear()
    made.runner.resume()
    await made.until(lambda: made.runner.position == 2)
    assert made.words == ["paused", "resumed"]


async def test_disabled_stays_disabled_when_paused(rig):
    """Pausing hides no error; only `resume` ends it, and a reload does not."""
    made = rig()
    await made.runner.start()
    made.runner.disable("by hand")
    made.runner.pause()
    await made.runner.reopen()
    assert made.runner.health.state is State.DISABLED
    made.runner.resume()
    made.runner.resume()
    assert made.words == ["disabled", "resumed"]


@pytest.mark.parametrize("rest", ["pause", "disable"])
async def test_resting_sink_drains_at_once(rig, rest):
    """A sink that rests does not use its deadline, and says what waits."""
    made = rig()
    await made.runner.start()
    made.runner.pause() if rest == "pause" else made.runner.disable("410")
    made.journal.append(records(1, 3))
    await asyncio.wait_for(made.runner.drain(3600.0), PATIENCE)
    why = "it is paused" if rest == "pause" else "410"
    assert made.told[-1].detail == f"what follows event 0 waits in the journal ({why})"
    assert made.runner.position == 0


# ---------------------------------------------------------------------- nudges


async def test_nudge_ends_the_wait_and_begins_the_schedule_anew(rig):
    """The network came back: the next attempt is made now, and those after it by the schedule."""
    made = rig()
    made.held = True
    made.sink.always = RetryableError("503")
    await made.runner.start()
    made.journal.append(records(1, 1))
    for number in (1, 2):
        await made.waits_for_attempt(number)
        made.now += 5
        made.runner.nudge()
    await made.waits_for_attempt(3)
    assert made.waits == [5.0, 5.0, 5.0]


async def test_nudge_amid_an_attempt_is_heeded_after_it(rig):
    """What changes while an attempt is under way, which may fail for want of it, is not missed."""
    made = rig()
    made.held = True
    go_on = asyncio.Event()

    async def fail():
        await go_on.wait()
        raise RetryableError("no route")

    made.sink.answers = [fail]
    await made.runner.start()
    made.journal.append(records(1, 1))
    await made.until(lambda: made.sink.offered)
    made.runner.nudge()
    go_on.set()
    await made.until(lambda: made.runner.position == 1)
    assert made.waits == []


async def test_nudge_in_good_times_does_nothing(rig):
    """A nudge from before an attempt does not shorten the wait after it."""
    made = rig()
    made.held = True
    made.sink.answers = [RetryableError("503")]
    await made.runner.start()
    made.runner.nudge()
    await made.settle()
    made.journal.append(records(1, 1))
    await made.waits_for_attempt(1)
    await made.settle()
    assert len(made.sink.offered) == 1


async def test_storm_of_nudges_makes_few_attempts(rig):
    """However many events say that the network changed, attempts stay seconds apart."""
    made = rig()
    made.held = True
    made.sink.always = RetryableError("503")
    await made.runner.start()
    made.journal.append(records(1, 1))
    await made.waits_for_attempt(1)
    for _ in range(100):
        made.now += 0.1
        made.runner.nudge()
        await made.settle()
    assert 2 <= len(made.sink.offered) <= 4


# ---------------------------------------------------------------------- the end, and others


async def test_dead_receiver_ends_the_drain_early(rig):
    """A stop makes one more attempt and does not wait for one that comes after the deadline."""
    made = rig()
    made.held = True
    made.sink.always = RetryableError("503")
    await made.runner.start()
    made.journal.append(records(1, 3))
    await made.waits_for_attempt(1)
    await asyncio.wait_for(made.runner.drain(3.0), PATIENCE)
    assert len(made.sink.offered) == 2
    assert (made.runner.position, made.waits) == (0, [5.0])
    assert made.told[-1].state == "stopped"
    assert made.told[-1].detail == "what follows event 0 waits in the journal (503)"


async def test_offer_out_of_turn_counts_nothing(rig):
    """A replay goes through the sink between two batches, and leaves place and counters alone."""
    made = rig()
    await made.runner.start()
    made.journal.append(records(1, 2))
    await made.until(lambda: made.runner.position == 2)
    made.sink.answers = [1, RetryableError("503"), KeyError("x"), GoneError("410")]
    assert await made.runner.offer(records(1, 2)) == 1
    for _ in range(2):
        with pytest.raises(RetryableError, match=r"503|KeyError"):
            await made.runner.offer(records(1, 2))
    with pytest.raises(GoneError):
        await made.runner.offer(records(1, 2))
    assert made.runner.paused
    assert (made.counters.delivered, made.runner.position) == (2, 2)


async def test_offer_to_a_sink_that_is_not_open_is_refused(rig):
    """Nothing is handed to a sink before it opened."""
    made = rig()
    with pytest.raises(RetryableError, match="not open"):
        await made.runner.offer(records(1, 1))


def test_policy_needs_a_schedule():
    """A policy without any wait is a mistake that is said at once."""
    with pytest.raises(ValueError, match="at least one wait"):
        DeliveryPolicy(())
    with pytest.raises(ValueError, match="negative"):
        DeliveryPolicy((5.0, -1.0))


async def test_stop_lets_the_attempt_of_a_paused_sink_finish(rig):
    """What is being taken while a sink is paused and the daemon stops is still acknowledged."""
    made = rig(batch_size=2)
    taking = asyncio.Event()
    made.sink.answers = [lambda: _take_after(taking)]
    await made.runner.start()
    made.journal.append(records(1, 4))
    await made.until(lambda: made.sink.offered)
    made.runner.pause()
    draining = asyncio.ensure_future(made.runner.drain(PATIENCE))
    await made.settle()
    taking.set()
    await asyncio.wait_for(draining, PATIENCE)
    assert (made.runner.position, made.sink.offered) == (2, [[1, 2]])


async def _take_after(event):
    await event.wait()


async def test_sink_with_a_policy_and_linger_has_no_timer_while_idle():
    """Nothing is scheduled while there is nothing to deliver, whatever is set."""
    made = Rig(linger=5.0)
    await made.runner.start()
    made.journal.append(records(1, 2))
    await made.until(lambda: made.runner.position == 2)
    await made.settle()
    tasks = {task.get_name() for task in asyncio.all_tasks()}
    assert not [name for name in tasks if name.startswith(("linger", "more"))]
    await made.runner.drain(0.0)


async def test_nothing_is_offered_before_a_burial_lasts(rig):
    """A crash after a burial must not bring its events back behind later ones."""
    made = rig(batch_size=1)
    made.sink.answers = [PermanentError("413")]
    lasts = asyncio.Event()
    made.journal.lasting = lasts.wait
    await made.runner.start()
    made.journal.append(records(1, 2))
    await made.until(lambda: made.buried == [1])
    await made.settle()
    assert made.sink.offered == [[1]]
    lasts.set()
    await made.until(lambda: made.runner.position == 2)
    assert made.sink.offered == [[1], [2]]
