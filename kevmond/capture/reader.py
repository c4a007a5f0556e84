"""From the event socket into the journal.

The loop watches the socket; a callback reads until it is empty or a batch is full, decodes with
one stamp for the batch, and appends.  No error on the socket ends the watch: it is said in the
stream and the socket is opened again.
"""

from __future__ import annotations

import asyncio
import struct
from typing import TYPE_CHECKING, Any, Final

from kevmond.backoff import Backoff
from kevmond.capture.ledger import LossLedger
from kevmond.capture.losses import LossWatch
from kevmond.capture.position import KEY, Position
from kevmond.capture.resync import Resync
from kevmond.capture.socket import Opened, connect, vendor_names
from kevmond.capture.start import first_words
from kevmond.capture.statistics import CaptureStatistics
from kevmond.clock import SystemClock
from kevmond.errors import KernelError
from kevmond.events import own
from kevmond.events.event import Context
from kevmond.events.revive import decoder_for
from kevmond.kernel import abi
from kevmond.kernel.base import EndOfEvents, KernelFilter

if TYPE_CHECKING:
    from collections.abc import Sequence

    from kevmond.capture.settings import CaptureSettings
    from kevmond.clock import Clock
    from kevmond.events.event import Record
    from kevmond.events.filters import EventFilter
    from kevmond.journal.journal import Journal
    from kevmond.kernel.base import Kernel

_ID: Final = struct.Struct("<16xI")
"""The id in a kern_event_msg (sys/kern_event.h)."""

_THIRD_PARTIES: Final = 1000
"""Vendor codes from here on are given out by kev_vendor_code_find."""

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
    ) -> None:
        """Take what to read and where to; nothing is opened yet.

        `filters` are those of all consumers: the kernel is asked for what they want together, and
        for everything if there is none, or one without rules among them.
        """
        self.settings = settings
        self.context = Context(host="", boot_id="")
        """What records of this run belong to; known once started."""
        self._kernel = kernel
        self._journal = journal
        self._filters = filters
        self._clock = clock or SystemClock()
        self._log = log or _Silent()
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
        self._watched = -1
        self._drained = True
        self._buffer = memoryview(bytearray(abi.READ_SIZE))
        self._heartbeat: asyncio.TimerHandle | None = None
        self._reopening: asyncio.Task[None] | None = None
        self._vendors_asked_ns = 0
        self._ahead_ns = 0  # how far the wall clock is ahead of the monotonic one
        self._errors = 0
        self._reopened = 0
        self._space = 0
        self._last_filter = KernelFilter()

    # ------------------------------------------------------------------ from outside

    async def start(self) -> None:
        """Open the socket, say how this run begins, and begin to read.

        Raises KernelError if the very first socket cannot be opened.
        """
        self.finished: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._ahead_ns = self._clock.wall_ns() - self._clock.monotonic_ns()
        before = Position.read(self._journal.state(KEY))
        opened = self._connect(None)
        for payload in first_words(
            self._kernel.name, opened, self._journal, filters=self._filters, before=before
        ):
            self._say(payload)
        self._remember()
        # The state is taken after the filter was set and before anything is read, so that a
        # change in between is at worst told twice.
        await self._resync.first()
        self._begin_reading()
        self._beat()

    async def stop(self) -> None:
        """Read what was posted so far, say what was lost, and close."""
        for each in (self._heartbeat, self._reopening):
            if each is not None:
                each.cancel()
        if self._opened is not None:
            self._settle()
            self._close()
        self._watch.report(force=True)
        self._watch.stop()
        self._resync.stop()
        self._remember()

    async def apply(self, settings: CaptureSettings, *, filters: Sequence[EventFilter]) -> None:
        """Take over what can be changed while running (all but the receive buffer)."""
        self.settings = self._resync.settings = settings
        self._filters = filters
        self._configure_ledger()
        opened = self._opened
        if opened is None:
            return
        opened.settings = settings
        try:
            if opened.look_up_vendors(settings.vendors):
                self._set_context(opened)
            opened.change_filter(opened.wanted_filter(filters), self._ledger, self._now())
        except KernelError as error:
            self._failed(error)

    def statistics(self) -> CaptureStatistics:
        """Figures since the start of this run."""
        opened = self._opened
        if opened is not None:
            self._last_filter = opened.kernel_filter
        return CaptureStatistics(
            totals=self._ledger.totals(),
            errors=self._errors,
            reopened=self._reopened,
            connected=opened is not None,
            receive_space=self._space,
            kernel_filter=self._last_filter,
        )

    # ------------------------------------------------------------------ the hot path

    def _readable(self) -> None:
        """Read a batch.  The loop comes again while the socket is readable."""
        opened = self._opened
        if opened is None:
            return
        ending = self._read_batch(opened)
        if isinstance(ending, BlockingIOError):
            self._ledger.drained(self._now())
        elif isinstance(ending, EndOfEvents):
            self._end()
        elif isinstance(ending, KernelError):
            self._failed(ending)

    def _read_batch(self, opened: Opened) -> Exception | None:
        """Read and take at most a batch; return what ended it early, if anything did."""
        recv_into, buffer = opened.sock.recv_into, self._buffer
        recorded_ns = opened.sock.recorded_ns if self._kernel.name == "replay" else None
        raws: list[bytes] = []
        times: list[int | None] = []
        append = raws.append
        ending: Exception | None = None
        try:
            for _ in range(self.settings.batch_size):
                append(bytes(buffer[: recv_into(buffer)]))
                if recorded_ns is not None:
                    times.append(recorded_ns())
        except (BlockingIOError, InterruptedError, EndOfEvents, KernelError) as error:
            ending = error
        self._drained = isinstance(ending, BlockingIOError)
        if raws:
            self._take(raws, times, self._now(), opened)
            self._watch.soon()
        return ending

    def _take(
        self, raws: list[bytes], times: list[int | None], now_ns: int, opened: Opened
    ) -> None:
        wall_ns = self._clock.wall_ns()
        seq = self._journal.next_seq
        make = self._decoder.record
        if times:
            records = [
                make(raw, seq=at, wall_ns=wall_ns if found is None else found)
                for at, (raw, found) in enumerate(zip(raws, times, strict=True), seq)
            ]
        else:
            records = [make(raw, seq=at, wall_ns=wall_ns) for at, raw in enumerate(raws, seq)]
        self._journal.append(records)
        self._ledger.observe(_ids(raws), now_ns, opened.sock.last_event_id)
        self._remember()
        if self.settings.vendors:
            self._meet_vendors(records, opened, now_ns)
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
        self._opened = opened
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

    def _begin_reading(self) -> None:
        if self._opened is not None:
            self._watched = self._opened.sock.fileno()
            asyncio.get_running_loop().add_reader(self._watched, self._readable)

    def _close(self) -> None:
        if self._watched >= 0:
            asyncio.get_running_loop().remove_reader(self._watched)
            self._watched = -1
        if self._opened is not None:
            self._last_filter = self._opened.kernel_filter
            self._opened.sock.close()
            self._opened = None

    def _end(self) -> None:
        """Take note that a recording has been read to its end."""
        self._settle()
        self._close()
        self._watch.report(force=True)
        self._watch.stop()
        if not self.finished.done():
            self.finished.set_result(None)

    def _failed(self, error: KernelError) -> None:
        """Say that the socket failed, let go of it, and set about opening it again."""
        self._errors += 1
        self._close()
        self._ledger.closed()
        self._log.warning("the event socket failed", call=error.call, errno=error.symbol)
        self._say(
            own.Capture(state="error", call=error.call, symbol=error.symbol, detail=str(error))
        )
        self._watch.report()
        if self._reopening is None or self._reopening.done():
            self._reopening = asyncio.get_running_loop().create_task(self._reopen(), name="reopen")

    async def _reopen(self) -> None:
        backoff = Backoff(self.settings.reopen_initial, self.settings.reopen_maximum)
        before = self.context.boot_id
        while self._opened is None:
            await asyncio.sleep(backoff.next())
            try:
                opened = self._connect(before)
            except KernelError as error:
                self._errors += 1
                if backoff.failures == 1:  # the first one is said, the others counted
                    self._log.error("the event socket cannot be opened", error=str(error))
        self._reopened += 1
        if opened.identity.boot_id != before:
            self._say(own.Boot(previous_boot_id=before))
        self._say(own.Capture(state="reopened", attempt=backoff.failures))
        self._begin_reading()
        self._watch.soon()
        self._resync.ask("reopened")

    # ------------------------------------------------------------------ accounts

    def _check(self) -> None:
        """Ask the kernel for the last id, read what there is, and let the ledger judge."""
        if not self._drained:
            self._readable()
        opened = self._opened
        if opened is None or not self._drained:
            return  # messages wait, and what comes next tells more than the last id: look again
        try:
            now_ns = self._now()
            self._ledger.posted_up_to(opened.sock.last_event_id(), now_ns)
            if self._ledger.awaited:
                self._readable()
            if not self._ledger.ids_count:
                opened.read_counters(self._ledger)
        except KernelError as error:
            self._failed(error)

    def _settle(self) -> None:
        """Read all that was posted up to now; what of it does not come is lost."""
        opened = self._opened
        if opened is None:
            return
        try:
            last_id = opened.sock.last_event_id()
            opened.read_counters(self._ledger)
        except KernelError:
            last_id = self._ledger.last_id
        begun = self._ledger.totals().delivered
        while True:
            ended = self._read_batch(opened) is not None
            if ended or self._ledger.totals().delivered - begun > _DRAIN_AT_STOP:
                break
        now_ns = self._now()
        self._ledger.posted_up_to(last_id, now_ns)
        self._ledger.drained(now_ns + self._ledger.age_ns)

    def _remember(self) -> None:
        """Keep how far we are, lasting together with the records appended just now."""
        ledger = self._ledger
        position = Position(
            self.context.boot_id, ledger.last_id, ledger.unsaid, self._clock.wall_ns()
        )
        self._journal.set_state(KEY, position.text())

    def _configure_ledger(self) -> None:
        self._ledger.report_every_ns = int(self.settings.loss_report_interval * 1e9)
        self._ledger.age_ns = int(self.settings.loss_age * 1e9)
        self._ledger.window = self.settings.loss_window

    # ------------------------------------------------------------------ what is said

    def _say(self, payload: own.OwnPayload, interface: str | None = None) -> None:
        seq, wall_ns = self._journal.next_seq, self._clock.wall_ns()
        record = own.own_record(
            self.context, payload, seq=seq, wall_ns=wall_ns, interface=interface
        )
        self._journal.append([record])
        if isinstance(payload, own.Loss):
            self._remember()

    def _meet_vendors(self, records: Sequence[Record], opened: Opened, now_ns: int) -> None:
        """Ask for the vendors' codes again when an unknown third party speaks."""
        if now_ns - self._vendors_asked_ns < _VENDOR_PAUSE_NS or all(
            (event := record.event).vendor_name is not None or (event.vendor or 0) < _THIRD_PARTIES
            for record in records
        ):
            return
        self._vendors_asked_ns = now_ns
        try:
            if opened.look_up_vendors(self.settings.vendors):
                self._set_context(opened)
                opened.change_filter(opened.wanted_filter(self._filters), self._ledger, now_ns)
        except KernelError as error:
            self._log.warning("vendors cannot be looked up", error=str(error))

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
        opened = self._opened
        if opened is not None:
            try:
                opened.read_counters(self._ledger)
            except KernelError as error:
                self._failed(error)
        self._check()
        self._watch.report()
        if self._ledger.awaited:
            self._watch.soon()
        self._beat()

    def _woke(self, ahead_ns: int) -> None:
        """Take note that the wall clock ran on while we stood still: the machine slept."""
        self._ahead_ns = ahead_ns
        self._resync.ask("wake")
        self._watch.soon()

    def _now(self) -> int:
        return self._clock.monotonic_ns()


def _ids(raws: list[bytes]) -> list[int | None]:
    """Return the kernel's id of each message, None for one too short to have it."""
    unpack = _ID.unpack_from
    try:
        return [unpack(raw)[0] for raw in raws]
    except struct.error:
        return [unpack(raw)[0] if len(raw) >= _ID.size else None for raw in raws]


class _Silent:
    """A log that nobody reads."""

    def __getattr__(self, name: str) -> Any:
        return lambda *_args, **_more: None
