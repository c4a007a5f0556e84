"""Capture on a simulated kernel and a real journal: what is said, when, and that it adds up."""

import asyncio
import json

import pytest

from kevmond import stories
from kevmond.errors import KernelError
from kevmond.events.filters import EventFilter
from kevmond.kernel.abi import HEADER
from kevmond.kernel.replay import ReplayKernel

LINKS = [EventFilter(["class=network subclass=dl"])]
VENDOR = "org.mklinux.nke"


async def test_run_begins_with_its_start(run):
    """The first record of the very first run says where from, and that nothing is known before."""
    async with run() as one:
        pass
    assert [event.type for event in one.events] == ["kevmond.start"]
    (start,) = one.of("kevmond.start")
    assert (start.kernel, start.os_release, start.receive_space) == ("simulated", "20.6.0", 32768)
    assert (start.missed, start.clean_stop) == (None, None)


async def test_next_run_of_the_boot_tells_what_it_missed(run, kernel):
    """A second run states exactly how many events were posted while nobody listened."""
    async with run() as one:
        kernel.links(3)
        await one.accounted(3)
    kernel.links(7)
    async with run() as one:
        pass
    assert one.of("kevmond.start")[0].missed == 7
    (missed,) = one.of("kevmond.missed")
    assert (missed.count, missed.previous_id, missed.current_id) == (7, 3, 10)
    assert one.of("kevmond.boot") == []


async def test_run_of_another_boot_tells_of_it(run, kernel):
    """After a boot, what was missed cannot be known, and the stream says why."""
    async with run() as one:
        before = one.capture.context.boot_id
    kernel.reboot()
    kernel.links(2)
    async with run() as one:
        pass
    types = [event.type for event in one.events]
    assert types == ["kevmond.start", "kevmond.boot", "kevmond.missed"]
    assert one.of("kevmond.boot")[0].previous_boot_id == before
    assert one.of("kevmond.missed")[0].count is None


async def test_drains_in_batches_and_lets_others_have_their_turn(run, kernel):
    """Between two batches the loop does other work, and no event is lost or out of order."""
    async with run(batch_size=4) as one:
        appended = []
        append = one.journal.append

        def note(records):
            appended.append(len(records))
            append(records)

        one.journal.append = note
        kernel.links(10)
        await one.accounted(10)
    assert appended == [4, 4, 2]
    assert [event.kernel_id for event in one.kernel_events] == list(range(1, 11))


async def test_overflow_is_accounted_to_the_event(run, kernel, kit):
    """Posted is delivered and lost together, with the ids of what did not fit."""
    async with run() as one:
        kernel.links(kit.ROOM + 318)
        await one.until(lambda: len(one.kernel_events) == kit.ROOM)
        kernel.links(1)
        await one.accounted(1_001)
    (loss,) = one.of("kevmond.loss")
    assert (loss.lost, loss.total, loss.source) == (318, 318, "id-gap")
    assert (loss.first_id, loss.last_id) == (kit.ROOM + 1, 1_000)


@pytest.mark.parametrize("batch_size", [1, 11, 341, 682, 683, 4096])
async def test_tail_loss_needs_no_later_event(run, kernel, kit, batch_size):
    """What was lost at the end of a burst is said though nothing follows, at any batch size."""
    async with run(batch_size=batch_size) as one:
        kernel.links(kit.ROOM + 9)
        await one.accounted(kit.ROOM + 9)
        assert one.account == (kit.ROOM, 9)
    (loss,) = one.of("kevmond.loss")
    assert (loss.source, loss.first_id, loss.last_id) == ("tail", 683, 691)


async def test_queued_messages_are_no_loss(run, kernel, kit, clock):
    """However old, a message that waits in the socket is never reported lost."""
    async with run(clock=clock, batch_size=10) as one:
        kernel.links(kit.ROOM)
        for _ in range(5):
            one.capture._check()
            clock.monotonic += 10**10
            one.capture._watch.report()
        assert one.totals.lost == 0
        await one.accounted(kit.ROOM)
    assert one.of("kevmond.loss") == []


async def test_narrow_filter_counts_by_the_socket(run, kernel, kit):
    """Where ids prove nothing, the kernel's counter of this very socket does."""
    async with run(filters=LINKS) as one:
        assert not one.capture.statistics().kernel_filter.is_open
        for _ in range(50):
            kernel.post(1, 3, 2, 1)
        kernel.links(kit.ROOM + 5)
        await one.accounted(kit.ROOM + 5)
    (loss,) = one.of("kevmond.loss")
    assert (loss.lost, loss.source) == (5, "socket-counter")


async def test_stop_reads_and_reports_what_is_left(run, kernel, kit):
    """What was posted before the stop is delivered or counted by it, whatever was due when."""
    async with run(loss_age=60, loss_report_interval=60) as one:
        kernel.links(kit.ROOM + 4)
    assert one.account == (kit.ROOM, 4)
    assert one.events[-1].type == "kevmond.loss"


# -- failures ---------------------------------------------------------------------------------


async def test_failed_socket_is_said_reopened_and_counted(run, kernel):
    """A socket error is a record; what was posted until the socket is back is lost, exactly."""
    async with run(snapshot=True) as one:
        kernel.links(2)
        await one.accounted(2)
        one.sock.fail_next_read("ENOBUFS")
        kernel.links(3)
        one.capture._readable()
        kernel.links(4)
        await one.until(lambda: len(one.of("kevmond.capture")) == 2)
        kernel.links(1)
        await one.accounted(10)
        await one.until(lambda: one.of("kevmond.resync"))
    error, reopened = one.of("kevmond.capture")
    assert (error.state, error.call, error.symbol) == ("error", "recv", "ENOBUFS")
    assert (reopened.state, reopened.attempt) == ("reopened", 1)
    assert one.account == (3, 7)
    assert "reopened" in [resync.cause for resync in one.of("kevmond.resync")]
    statistics = one.capture.statistics()
    assert (statistics.errors, statistics.reopened) == (1, 1)


async def test_failed_first_opening_raises(run, kernel):
    """A run whose first socket cannot be opened does not begin, and says nothing."""
    kernel.refusals = [KernelError("socket", "EPERM")]
    with pytest.raises(KernelError, match="EPERM"):
        async with run() as one:
            pass
    async with run() as one:
        pass
    assert one.of("kevmond.start")[0].clean_stop is True
    assert one.events[0].seq == 1


async def test_opening_is_tried_until_it_works(run, kernel):
    """Openings that fail are counted and tried again, and the gap is one gap."""
    async with run() as one:
        kernel.refusals = [KernelError("socket", "EMFILE") for _ in range(3)]
        one.sock.fail_next_read("EIO")
        kernel.links(5)
        await one.until(lambda: len(one.of("kevmond.capture")) == 2)
        await one.accounted(5)
    assert [said.attempt for said in one.of("kevmond.capture")] == [0, 4]
    assert one.capture.statistics().errors == 4
    assert one.account == (0, 5)


async def test_opening_that_fails_half_way_is_tried_again(run, kernel, monkeypatch):
    """An error after delivery began loses nothing from the account, and leaves no socket open."""
    async with run() as one:
        statistics = kernel.statistics
        failures = [KernelError("sysctl", "EIO")]

        def fail_once():
            kernel.links(2)
            if failures:
                raise failures.pop()
            return statistics()

        one.sock.fail_next_read("EIO")
        kernel.links(1)
        one.capture._readable()
        monkeypatch.setattr(kernel, "statistics", fail_once)
        await one.until(lambda: len(one.of("kevmond.capture")) == 2)
        monkeypatch.undo()
        await one.accounted(kernel.last_id)
        assert len(kernel.pcbs) == 1


async def test_socket_that_fails_again_and_again_is_opened_ever_more_rarely(run):
    """The waits go on growing through short respites, so that the stream is not flooded."""
    async with run(reopen_initial=0.001, reopen_maximum=60) as one:
        for count in range(1, 4):
            one.sock.fail_next_read("EIO")
            one.capture._readable()
            await one.until(lambda: one.capture.statistics().connected)
            assert one.capture._backoff.failures == count


async def test_reboot_is_another_boot_with_ids_of_its_own(run, kernel):
    """A kernel that restarts gives another context; equal kernel ids make different event ids."""
    async with run() as one:
        before = one.capture.context.boot_id
        kernel.links(1)
        await one.accounted(1)
        kernel.reboot()
        await one.until(lambda: len(one.of("kevmond.capture")) == 2)
        kernel.links(1)
        await one.accounted(2)
        assert one.position.boot_id == kernel.identity().boot_id
    assert [boot.previous_boot_id for boot in one.of("kevmond.boot")] == [before]
    first, second = one.kernel_events
    assert (first.kernel_id, second.kernel_id) == (1, 1)
    assert first.boot_id == before
    assert second.boot_id == kernel.identity().boot_id
    assert first.id != second.id
    assert one.account == (2, 0)


async def test_position_is_of_the_new_boot_at_once(run, kernel):
    """Even if no event comes after a reboot, the next run knows which boot this one saw."""
    async with run() as one:
        kernel.links(4)
        await one.accounted(4)
        kernel.reboot()
        await one.until(lambda: len(one.of("kevmond.capture")) == 2)
        assert (one.position.boot_id, one.position.last_id) == (kernel.identity().boot_id, 0)


async def test_kernel_gone_with_an_id_to_be_asked_about(run, kernel):
    """A leap in the ids is believed or not, but never raised, where the kernel cannot be asked."""
    async with run() as one:
        kernel.links(1)
        kernel.last_id = 5
        kernel.links(1)

        def refuse():
            raise KernelError("SIOCGKEVID", "ECONNRESET")

        one.sock.last_event_id = refuse
        one.capture._readable()
        assert (one.totals.delivered, one.totals.awaited) == (2, 4)


async def test_failed_check_is_a_failed_socket(run, kernel):
    """A kernel that refuses to tell its last id is as good as an error on reading."""
    async with run() as one:

        def refuse():
            raise KernelError("SIOCGKEVID", "ENXIO")

        one.sock.last_event_id = refuse
        one.capture._beaten()
        await one.until(lambda: len(one.of("kevmond.capture")) == 2)
        kernel.links(1)
        await one.accounted(1)
    assert one.of("kevmond.capture")[0].call == "SIOCGKEVID"


async def test_stop_while_the_socket_is_away(run, kernel):
    """A stop waits for no socket that cannot be opened; the next run tells what it missed."""
    async with run(reopen_initial=60, reopen_maximum=60) as one:
        kernel.links(2)
        await one.accounted(2)
        one.sock.fail_next_read("EIO")
        one.capture._readable()
        kernel.links(3)
    assert one.capture._reopening.done()
    assert one.account == (2, 0)
    async with run() as one:
        pass
    assert one.of("kevmond.missed")[0].count == 3


# -- vendors ----------------------------------------------------------------------------------


async def test_vendor_known_at_start_is_named(run, kernel):
    """A configured name is asked for when the socket opens, and its events bear it."""
    code = kernel.vendor_code_find(VENDOR)
    async with run(vendors=[VENDOR, "com.example.absent"]) as one:
        kernel.kext_post(code, 1, 1, 1)
        await one.accounted(1)
    assert one.kernel_events[0].vendor_name == VENDOR


async def test_vendor_that_comes_later_is_asked_for_when_it_speaks(run, kernel):
    """A stranger's first event leads to another look at the names, and bears its own already."""
    async with run(vendors=[VENDOR]) as one:
        kernel.links(1)
        await one.accounted(1)
        kernel.kext_post(kernel.vendor_code_find(VENDOR), 1, 1, 1)
        await one.accounted(2)
    assert one.kernel_events[1].vendor_name == VENDOR


async def test_strangers_lead_to_few_questions(run, kernel, clock, monkeypatch):
    """Events of a vendor that nobody named do not make every batch ask; Apple's never do."""
    asked = []
    code = kernel.vendor_code_find("com.example.other")
    async with run(vendors=[VENDOR], clock=clock) as one:
        vendor_code = one.sock.vendor_code
        monkeypatch.setattr(one.sock, "vendor_code", lambda n: (asked.append(n), vendor_code(n)))
        kernel.links(1)
        await one.accounted(1)
        assert asked == []
        for count in range(2, 5):
            kernel.kext_post(code, 1, 1, 1)
            await one.accounted(count)
        assert asked == [VENDOR]
        clock.monotonic += 11 * 10**9
        clock.wall += 11 * 10**9
        kernel.kext_post(code, 1, 1, 1)
        await one.accounted(5)
        assert asked == [VENDOR, VENDOR]


async def test_vendor_found_narrows_the_filter(run, kernel):
    """Once the code of the only vendor wanted is known, the kernel is asked for it alone."""
    wanted = [EventFilter([f"vendor={VENDOR}"])]
    async with run(vendors=[VENDOR], filters=wanted) as one:
        assert one.capture.statistics().kernel_filter.is_open
        code = kernel.vendor_code_find(VENDOR)
        kernel.kext_post(code, 1, 1, 1)
        await one.accounted(1)
        assert one.capture.statistics().kernel_filter.vendor == code
        kernel.links(3)
        kernel.kext_post(code, 1, 1, 1)
        await one.accounted(2)
    assert one.totals.lost == 0


# -- settings that change ---------------------------------------------------------------------


async def test_filter_is_changed_in_place(run, kernel):
    """Another filter is set on the open socket; nothing queued before is lost or counted twice."""
    async with run() as one:
        sock = one.sock
        kernel.links(5)
        await one.capture.apply(one.capture.settings, filters=LINKS)
        kernel.post(1, 3, 2, 1)
        kernel.links(2)
        await one.accounted(7)
        await one.capture.apply(one.capture.settings, filters=[])
        kernel.post(1, 3, 2, 1)
        await one.accounted(8)
        assert one.sock is sock
        assert sock.get_filter().is_open
    assert one.totals.posted == one.totals.delivered == 8


@pytest.mark.parametrize(("first", "second"), [((), LINKS), (LINKS, ())])
async def test_overflow_on_both_sides_of_a_change_is_counted_once(run, kernel, kit, first, second):
    """Drops before a change are proved in the old way, those after it in the new one."""
    async with run(filters=first) as one:
        kernel.links(kit.ROOM + 20)
        await one.capture.apply(one.capture.settings, filters=second)
        kernel.links(30)
        await one.accounted(kit.ROOM + 50)
        assert one.account == (kit.ROOM, 50)
    assert one.account == (kit.ROOM, 50)


async def test_apply_while_the_socket_is_away_holds_for_the_next(run, kernel):
    """What is applied during an outage is set on the socket that ends it."""
    async with run() as one:
        one.sock.fail_next_read("EIO")
        one.capture._readable()
        await one.capture.apply(one.capture.settings, filters=LINKS)
        await one.until(lambda: one.capture.statistics().connected)
        assert one.sock.get_filter().subclass == 2


async def test_apply_on_a_socket_that_fails_reopens_it(run, kernel):
    """A filter that cannot be set is a failed socket, and is set on the next one."""
    async with run() as one:

        def refuse(_):
            raise KernelError("SIOCSKEVFILT", "EIO")

        one.sock.set_filter = refuse
        await one.capture.apply(one.capture.settings, filters=LINKS)
        await one.until(lambda: len(one.of("kevmond.capture")) == 2)
        assert one.sock.get_filter().subclass == 2


# -- recordings -------------------------------------------------------------------------------


@pytest.fixture
def recording(tmp_path):
    """Write a recording of link events: boot id, kernel id and second of each."""

    def write(*messages):
        path = tmp_path / "events.rec"
        lines = [
            {
                "time": f"2024-01-01T00:00:{second:02}.25Z",
                "boot_id": boot,
                "hex": HEADER.pack(24, 1, 1, 2, kernel_id, 13).hex(),
            }
            for boot, kernel_id, second in messages
        ]
        path.write_text("\n".join(map(json.dumps, lines)))
        return ReplayKernel(path)

    return write


async def test_recording_ends_and_is_told_at_its_own_times(run, recording):
    """At its end capture is finished and the socket closed; events have the recorded times."""
    async with run(recording(("b", 500, 1), ("b", 501, 2), ("b", 505, 3))) as one:
        await asyncio.wait_for(one.capture.finished, 20)
        assert not one.capture.statistics().connected
        await one.all()
        count = len(one.events)
    assert len(one.events) == count
    assert [event.time for event in one.kernel_events] == [
        f"2024-01-01T00:00:0{second}.250000Z" for second in (1, 2, 3)
    ]


async def test_recording_loses_nothing_and_misses_nothing(run, recording):
    """Ids that a recording lacks were perhaps never asked for; reading it twice is no gap."""
    for _ in range(2):
        async with run(recording(("b", 500, 1), ("b", 505, 2))) as one:
            await asyncio.wait_for(one.capture.finished, 20)
        assert one.account == (2, 0)
        assert one.totals.posted == one.totals.delivered == 2
        assert one.of("kevmond.start")[0].missed is None
        assert one.of("kevmond.missed") == one.of("kevmond.boot") == []


async def test_recording_leaves_the_live_position_alone(run, kernel, recording):
    """A replay into the same journal does not make the kernel's own next run lose its count."""
    async with run() as one:
        kernel.links(2)
        await one.accounted(2)
    async with run(recording(("b", 500, 1))) as one:
        await asyncio.wait_for(one.capture.finished, 20)
    kernel.links(3)
    async with run() as one:
        pass
    assert one.of("kevmond.missed")[0].count == 3


async def test_stop_in_a_recording_keeps_its_times(run, recording):
    """What is read while stopping has its recorded time too."""
    async with run(recording(*(("b", at, at) for at in range(1, 41))), batch_size=3) as one:
        pass
    times = [event.time for event in one.kernel_events]
    assert times == [f"2024-01-01T00:00:{second:02}.250000Z" for second in range(1, 41)]


async def test_recording_over_a_boot(run, recording):
    """Where a recording goes on after a boot, so does the stream, in that boot's context."""
    async with run(recording(("a", 7, 1), ("b", 1, 2))) as one:
        await asyncio.wait_for(one.capture.finished, 20)
    assert [(event.boot_id, event.kernel_id) for event in one.kernel_events] == [("a", 7), ("b", 1)]
    assert one.of("kevmond.boot")[0].previous_boot_id == "a"
    assert one.account == (2, 0)


# -- sleep, rest, restart ---------------------------------------------------------------------


async def test_first_event_after_a_sleep_leads_to_a_resync(run, kernel, clock):
    """A wall clock far ahead of the monotonic one is noticed with the first event."""
    async with run(clock=clock, snapshot=True) as one:
        clock.wall += 3_600 * 10**9
        clock.monotonic += 10**9
        kernel.links(1)
        await one.until(lambda: one.of("kevmond.resync"))
        kernel.links(1)
        await one.accounted(2)
    assert [resync.cause for resync in one.of("kevmond.resync")] == ["wake"]


async def test_heartbeat_notices_a_sleep_without_events(run, clock):
    """So it is at a heartbeat; time that merely passes is no sleep."""
    async with run(clock=clock, snapshot=True) as one:
        clock.wall += 3_600 * 10**9
        clock.monotonic += 3_600 * 10**9
        one.capture._beaten()
        assert one.capture._resync._timer is None
        clock.wall += 21 * 10**9
        clock.monotonic += 10**9 // 2
        one.capture._beaten()
        await one.until(lambda: one.of("kevmond.resync"))
    assert [resync.cause for resync in one.of("kevmond.resync")] == ["wake"]


async def test_clock_that_was_set_back_hides_no_later_sleep(run, clock):
    """Each heartbeat takes the clocks as they stand, so a corrected clock is the new measure."""
    async with run(clock=clock, snapshot=True) as one:
        clock.wall -= 3_600 * 10**9
        one.capture._beaten()
        clock.wall += 60 * 10**9
        one.capture._beaten()
        await one.until(lambda: one.of("kevmond.resync"))
    assert [resync.cause for resync in one.of("kevmond.resync")] == ["wake"]


async def test_at_rest_only_the_heartbeat_is_timed(run, kernel, kit):
    """After a burst with a loss is told of, no timer is left but the slow one."""
    async with run() as one:
        kernel.links(kit.ROOM + 3)
        await one.accounted(kit.ROOM + 3)
        capture = one.capture
        await one.until(lambda: capture._watch._timer is None)
        assert capture._resync._timer is None
        assert capture._reopening is None
        left = capture._heartbeat.when() - asyncio.get_running_loop().time()
        assert 50 < left <= 60


async def test_heartbeat_reads_the_counters(run, kernel):
    """What the kernel refused to post to anybody is told at the next heartbeat, as no loss."""
    async with run() as one:
        with pytest.raises(KernelError):
            kernel.post(1, 1, 2, 13, bytes(500))
        one.capture._beaten()
        await one.until(lambda: one.of("kevmond.loss"))
    (loss,) = one.of("kevmond.loss")
    assert loss.lost == 0
    assert "1 were too large" in loss.detail


async def test_position_lasts_with_its_records(run, kernel, kit, tmp_path):
    """A run that was killed left a position that tells exactly what its journal lacks."""
    killed = kit.Run(kernel, tmp_path / "killed.sqlite", loss_age=60)
    await killed.capture.start()
    kernel.links(kit.ROOM + 6)
    await killed.until(lambda: len(killed.kernel_events) == kit.ROOM)
    kernel.links(1)  # shows the six in between missing; no record says so yet
    await killed.until(lambda: len(killed.kernel_events) == kit.ROOM + 1)
    assert killed.position.unsaid == 6
    kernel.links(kit.ROOM)  # posted and never read
    await killed.journal.aclose(5)  # the records are on the disk, and nothing says goodbye
    killed.capture._close()
    killed.capture._watch.stop()
    killed.capture._heartbeat.cancel()
    async with run(name="killed.sqlite") as one:
        pass
    assert one.of("kevmond.missed")[0].count == 6 + kit.ROOM
    assert killed.account[0] + one.of("kevmond.missed")[0].count == kernel.last_id


async def test_said_losses_are_not_missed_again(run, kernel, kit):
    """What a record reports as lost is not told again by the next run."""
    async with run() as one:
        kernel.links(kit.ROOM + 6)
        await one.accounted(kit.ROOM + 6)
        assert one.position.unsaid == 0
    async with run() as one:
        pass
    assert one.of("kevmond.missed")[0].count == 0


async def test_others_events_are_not_missed_by_a_narrow_run(run, kernel):
    """With a narrow filter a heartbeat remembers how far the machine's ids have come."""
    async with run(filters=LINKS) as one:
        for _ in range(9):
            kernel.post(1, 3, 2, 1)
        one.capture._beaten()
        assert one.position.last_id == 9


async def test_start_that_is_cut_short_closes_its_socket(run, kernel, monkeypatch):
    """Whatever ends a start, no socket stays open behind it."""

    async def cancelled(_):
        raise asyncio.CancelledError

    monkeypatch.setattr("kevmond.capture.resync.Resync.first", cancelled)
    with pytest.raises(asyncio.CancelledError):
        async with run():
            pass
    assert kernel.pcbs == ()


@pytest.mark.parametrize("name", ["garbage", "storm"])
async def test_hard_stories_are_accounted_for(run, kernel, name):
    """Malformed messages and a flood raise nothing, and the account stays exact."""
    async with run(receive_space=8 << 20) as one:
        played = await stories.play(stories.load(name), kernel, speed=float("inf"))
        await one.accounted(played)
    totals = one.totals
    assert totals.posted == totals.delivered + totals.lost
    assert totals.lost == 0


async def test_storm_that_overflows_is_accounted_for(run, kernel):
    """The flood against a small buffer: lost and delivered are what was posted."""
    async with run() as one:
        played = await stories.play(stories.load("storm"), kernel, speed=float("inf"))
        await one.accounted(played)
    assert one.account[1] == one.totals.lost > 0
