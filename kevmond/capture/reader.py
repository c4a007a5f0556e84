"""From the event socket into the journal.

The loop watches the socket; a callback reads until it is empty or a batch is full, decodes with
one stamp for the batch, and appends.  No error on the socket ends the watch: it is said in the
stream and the socket is opened again.
"""

from __future__ import annotations

import asyncio
import contextlib
from typing import TYPE_CHECKING, Any, Final

from kevmond.backoff import Backoff
from kevmond.capture.ledger import LossLedger
from kevmond.capture.losses import LossWatch
from kevmond.capture.position import KEY, Position
from kevmond.capture.resync import Resync
from kevmond.capture.socket import REPLAY, Batch, Opened, connect, vendor_names
from kevmond.capture.start import first_words
from kevmond.capture.statistics import CaptureStatistics
from kevmond.capture.tally import Tally
from kevmond.clock import SystemClock
from kevmond.errors import KernelError
from kevmond.events import own
from kevmond.events.event import Context
from kevmond.events.revive import decoder_for
from kevmond.kernel.base import KernelFilter

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from kevmond.capture.settings import CaptureSettings
    from kevmond.clock import Clock
    from kevmond.events.filters import EventFilter
    from kevmond.events.own_payload import OwnPayload
    from kevmond.journal.journal import Journal
    from kevmond.kernel.base import Kernel

_VENDOR_PAUSE_NS: Final = 10_000_000_000
"""A vendor that is not known is asked for no more often than this."""

_DRAIN_AT_STOP: Final = 1 << 16
"""More than any socket holds: a stop reads no further, however fast events are posted."""


class Capture:
    """Reads one kernel into one journal; made, started, stopped once."""

    def __init__(
        self,
        kernel: Kernel,
        journal: Journal,
        settings: CaptureSettings,
        *,
        filters: Sequence[EventFilter] = (),
        clock: Clock | None = None,
        log: Any = None,
        heard: Callable[[Sequence[bytes] | None], None] | None = None,
    ) -> None:
        """Take what to read and where to; nothing is opened yet.

        `filters` are those of all consumers: the kernel is asked for what they want together, and
        for everything if there is none, or one without rules among them.  `heard` is called with
        each batch of messages once it is appended, and with None when the machine slept.
        """
        self.settings = settings
        self.context = Context(host="", boot_id="")
        """What records of this run belong to; known once started."""
        self._kernel = kernel
        self._journal = journal
        self._filters = filters
        self._clock = clock or SystemClock()
        self._log = log or _Silent()
        self._heard = heard or _ignore
        self._ledger = LossLedger()
        self._configure_ledger()
        self._watch = LossWatch(
            self._ledger,
            check=self._check,
            say=self._say,
            lost=lambda: self._resync.ask("loss"),
            monotonic_ns=self._clock.monotonic_ns,
        )
        self._resync = Resync(settings, self._say, clock=self._clock, log=self._log)
        self._opened: Opened | None = None
        self._opened_ns = 0
        self._watched = -1
        self._drained = True
        self._heartbeat: asyncio.TimerHandle | None = None
        self._reopening: asyncio.Task[None] | None = None
        self._backoff: Backoff | None = None
        self._vendors_from_ns = 0  # when vendors may be asked for again
        self._ahead_ns = 0  # how far the wall clock is ahead of the monotonic one
        self._errors = 0
        self._reopened = 0
        self._space = 0
        self._missed: int | None = None
        self._tally = Tally()
        self._last_filter = KernelFilter()

    # ------------------------------------------------------------------ from outside

    async def start(self) -> None:
        """Open the socket, say how this run begins, and begin to read.

        Raises KernelError if the very first socket cannot be opened.
        """
        self.finished: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._ahead_ns = self._clock.wall_ns() - self._now()
        opened = self._connect(None)
        before = None if opened.recorded else Position.read(self._journal.state(KEY))
        for payload in first_words(
            self._kernel.name, opened, self._journal, filters=self._filters, before=before
        ):
            if isinstance(payload, own.Start):
                self._missed = payload.missed
            self._say(payload)
        self._remember()
        try:
            # The state is taken after the filter was set and before anything is read, so that a
            # change in between is at worst told twice.
            await self._resync.first()
        except BaseException:
            self._close()
            raise
        self._begin_reading(opened)
        self._beat()

    async def stop(self) -> None:
        """Read what was posted so far, say what was lost, and close."""
        if self._heartbeat is not None:
            self._heartbeat.cancel()
        if self._reopening is not None:
            self._reopening.cancel()
            await asyncio.wait([self._reopening])
        self._finish()
        self._resync.stop()
        self._remember()

    async def apply(self, settings: CaptureSettings, *, filters: Sequence[EventFilter]) -> None:
        """Take over what can be changed while running (all but the receive buffer)."""
        self.settings = self._resync.settings = settings
        self._filters = filters
        self._configure_ledger()
        if self._heartbeat is not None:  # timers that run already keep no old interval
            self._heartbeat.cancel()
            self._beat()
        self._watch.stop()
        self._watch.soon()
        opened = self._opened
        if opened is None:
            return
        opened.settings = settings
        try:
            if opened.look_up_vendors():
                self._set_context(opened)
            self._narrow(opened)
        except KernelError as error:
            self._failed(error)

    def statistics(self) -> CaptureStatistics:
        """Figures since the start of this run."""
        opened = self._opened
        return CaptureStatistics(
            totals=self._ledger.totals(),
            errors=self._errors,
            reopened=self._reopened,
            connected=opened is not None,
            receive_space=self._space,
            kernel_filter=self._last_filter if opened is None else opened.kernel_filter,
            tally=self._tally,
            missed_before_start=self._missed,
        )

    # ------------------------------------------------------------------ the hot path

    def _readable(self) -> None:
        """Read a batch.  The loop comes again while the socket is readable."""
        opened = self._opened
        if opened is None:
            return
        ending = self._read(opened)
        if ending is None:
            return
        if isinstance(ending, BlockingIOError):
            self._ledger.drained(self._now())
        elif isinstance(ending, KernelError):
            self._failed(ending)
        else:
            self._end()

    def _read(self, opened: Opened) -> Exception | None:
        """Read and take at most a batch; return what ended it early, if anything did."""
        batch = opened.read(self.settings.batch_size)
        self._drained = isinstance(batch.ending, BlockingIOError)
        if batch.raws:
            self._take(opened, batch)
            self._watch.soon()
        return batch.ending

    def _take(self, opened: Opened, batch: Batch) -> None:
        now_ns, wall_ns = self._now(), self._clock.wall_ns()
        raws, times = batch.raws, batch.times
        # Names before events, so that the first event of a vendor bears its name.
        named = bool(self.settings.vendors) and self._meet_vendors(opened, raws, now_ns)
        make, seq = self._decoder.record, self._journal.next_seq
        if times is None:
            records = [make(raw, seq=at, wall_ns=wall_ns) for at, raw in enumerate(raws, seq)]
        else:
            records = [
                make(raw, seq=at, wall_ns=wall_ns if found is None else found)
                for at, (raw, found) in enumerate(zip(raws, times, strict=True), seq)
            ]
        self._journal.append(records)
        self._heard(raws)
        ids = batch.ids()
        self._tally.count(raws, sound=None not in ids)
        self._ledger.observe(ids, now_ns, opened.known_last_id)
        self._remember()
        if named:
            with contextlib.suppress(KernelError):  # the next read tells what is wrong
                self._narrow(opened)
        ahead_ns = wall_ns - now_ns
        if ahead_ns - self._ahead_ns > self.settings.wake_jump * 1e9:
            self._woke(ahead_ns)

    # ------------------------------------------------------------------ opening and closing

    def _connect(self, known_boot: str | None) -> Opened:
        opened = connect(
            self._kernel,
            self.settings,
            self._filters,
            self._ledger,
            known_boot=known_boot,
            now_ns=self._now(),
        )
        self._opened, self._opened_ns = opened, self._now()
        self._space = opened.sock.receive_space
        self._set_context(opened)
        return opened

    def _set_context(self, opened: Opened) -> None:
        identity = opened.identity
        self.context = Context(
            host=identity.host,
            boot_id=identity.boot_id,
            os_release=identity.os_release,
            os_build=identity.os_build,
            vendor_names=vendor_names(opened.vendor_codes),
        )
        self._decoder = decoder_for(self.context)
        self._journal.set_context(self.context)

    def _begin_reading(self, opened: Opened) -> None:
        self._watched = opened.sock.fileno()
        asyncio.get_running_loop().add_reader(self._watched, self._readable)

    def _narrow(self, opened: Opened) -> None:
        """Ask the kernel for no more than what is wanted now."""
        opened.change_filter(opened.wanted_filter(self._filters), self._ledger, self._now())

    def _close(self) -> None:
        """Let go of the socket; what it still held, as far as it is known, is lost."""
        if self._watched >= 0:
            asyncio.get_running_loop().remove_reader(self._watched)
            self._watched = -1
        if self._opened is not None:
            self._last_filter = self._opened.kernel_filter
            self._opened.sock.close()
            self._opened = None
            self._ledger.closed()

    def _finish(self) -> None:
        """Read the socket to its end, close it, and say what was lost."""
        if self._opened is not None:
            self._settle(self._opened)
            self._close()
        self._watch.report(force=True)
        self._watch.stop()

    def _end(self) -> None:
        """Take note that a recording has been read to its end."""
        self._finish()
        if not self.finished.done():
            self.finished.set_result(None)

    def _failed(self, error: KernelError) -> None:
        """Say that the socket failed, let go of it, and set about opening it again."""
        self._errors += 1
        if self._opened is not None:
            with contextlib.suppress(KernelError):  # its last word, if it still has one
                self._opened.read_counters(self._ledger)
        self._close()
        self._log.warning("the event socket failed", call=error.call, errno=error.symbol)
        self._say(
            own.Capture(state="error", call=error.call, symbol=error.symbol, detail=str(error))
        )
        self._watch.report(force=True)
        if self._reopening is None or self._reopening.done():
            self._reopening = asyncio.get_running_loop().create_task(self._reopen(), name="reopen")

    async def _reopen(self) -> None:
        backoff, before, attempts = self._waits(), self.context.boot_id, 0
        while self._opened is None:
            await asyncio.sleep(backoff.next())
            attempts += 1
            try:
                self._begin_reading(self._connect(before))
            except Exception as error:  # noqa: BLE001 - whatever fails, the watch goes on
                self._errors += 1
                self._close()
                if attempts == 1:  # the first one is said, the others counted
                    self._log.error("the event socket cannot be opened", error=str(error))
        self._reopened += 1
        if self.context.boot_id != before:
            self._say(own.Boot(previous_boot_id=before))
        self._say(own.Capture(state="reopened", attempt=attempts))
        self._remember()
        self._watch.soon()
        self._resync.ask("reopened")

    def _waits(self) -> Backoff:
        """Return the waits of this outage; one that follows a short respite goes on with them.

        A socket that opens well and fails at once would otherwise be opened again without end, and
        each time be told of in the stream.
        """
        maximum = self.settings.reopen_maximum
        if self._backoff is None or self._now() - self._opened_ns > maximum * 1e9:
            self._backoff = Backoff(self.settings.reopen_initial, maximum)
        return self._backoff

    # ------------------------------------------------------------------ accounts

    def _check(self, *, counters: bool = False) -> None:
        """Ask the kernel for the last id, then read what there is, and let the ledger judge.

        In this order: what was posted up to that id is then read, or was dropped.  The kernel's
        counters are asked for where ids prove nothing, and if the caller wants them.
        """
        opened = self._opened
        if opened is None:
            return
        try:
            if counters or not opened.ids_count:
                opened.read_counters(self._ledger)
            last_id = opened.sock.last_event_id()
        except KernelError as error:
            self._failed(error)
            return
        self._readable()
        if self._opened is opened and self._drained:
            self._ledger.posted_up_to(last_id, self._now())
        # Otherwise it failed, or messages wait, whose reading leads to the next check.

    def _settle(self, opened: Opened) -> None:
        """Read all that was posted up to now, however much comes while we do."""
        last_id = self._ledger.last_id
        with contextlib.suppress(KernelError):
            opened.read_counters(self._ledger)
            last_id = opened.sock.last_event_id()
        for _ in range(_DRAIN_AT_STOP // self.settings.batch_size + 1):
            if self._read(opened) is not None:
                break
        self._ledger.posted_up_to(last_id, self._now())

    def _remember(self) -> None:
        """Keep how far we are, lasting together with the records appended just now.

        A recording's ids are not this kernel's: where that was left off stays as it is.
        """
        if self._kernel.name == REPLAY or not self.context.boot_id:
            return
        ledger = self._ledger
        position = Position(
            self.context.boot_id, ledger.last_id, ledger.unsaid, self._clock.wall_ns()
        )
        self._journal.set_state(KEY, position.text())

    def _configure_ledger(self) -> None:
        settings = self.settings
        self._ledger.configure(
            report_every_ns=int(settings.loss_report_interval * 1e9),
            age_ns=int(settings.loss_age * 1e9),
            window=settings.loss_window,
        )

    # ------------------------------------------------------------------ what is said

    def _say(self, payload: OwnPayload, interface: str | None = None) -> None:
        seq, wall_ns = self._journal.next_seq, self._clock.wall_ns()
        record = own.own_record(
            self.context, payload, seq=seq, wall_ns=wall_ns, interface=interface
        )
        self._journal.append([record])
        if isinstance(payload, own.Loss):
            self._remember()

    def _meet_vendors(self, opened: Opened, raws: Sequence[bytes], now_ns: int) -> bool:
        """Ask for names' codes again when a stranger speaks; tell whether a code was found."""
        if now_ns < self._vendors_from_ns or not opened.hears_strangers(raws):
            return False
        self._vendors_from_ns = now_ns + _VENDOR_PAUSE_NS
        try:
            found = opened.look_up_vendors()
        except KernelError as error:
            self._log.warning("vendors cannot be looked up", error=str(error))
            return False
        if found:
            self._set_context(opened)
        return found

    # ------------------------------------------------------------------ the heartbeat

    def _beat(self) -> None:
        self._heartbeat = asyncio.get_running_loop().call_later(
            self.settings.heartbeat, self._beaten
        )

    def _beaten(self) -> None:
        ahead_ns = self._clock.wall_ns() - self._now()
        if ahead_ns - self._ahead_ns > self.settings.wake_jump * 1e9:
            self._woke(ahead_ns)
        self._ahead_ns = ahead_ns
        last_id = self._ledger.last_id
        self._check(counters=True)
        if not self._ledger.ids_count and self._ledger.last_id != last_id:
            self._remember()  # others' events go by unread, and are not missed
        self._watch.report()
        if self._ledger.awaited:
            self._watch.soon()
        self._beat()

    def _woke(self, ahead_ns: int) -> None:
        """Take note that the wall clock ran on while we stood still: the machine slept."""
        self._ahead_ns = ahead_ns
        self._heard(None)
        self._resync.ask("wake")
        self._watch.soon()

    def _now(self) -> int:
        return self._clock.monotonic_ns()


def _ignore(_: Sequence[bytes] | None) -> None:
    """Have nobody to tell."""


class _Silent:
    """A log that nobody reads."""

    def __getattr__(self, name: str) -> Any:
        return lambda *_args, **_more: None
