"""The journal against the same model while disks fail, processes die and pages are torn.

A death is a copy of the files as they stand, opened by a new journal: at rest, while the disk
refuses, or in the middle of a commit.  The journal that was copied ends out of sight.
"""

import contextlib
import runpy
import shutil
import sqlite3
from collections import Counter
from pathlib import Path

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import invariant, precondition, rule

from kevmond.events.event import Context, Kind
from kevmond.journal.letters import DeadLetter
from kevmond.journal.store import Store

MODEL = runpy.run_path(str(Path(__file__).parent / "test_model.py"))
NAMES = MODEL["NAMES"]

REFUSALS = {
    "ENOSPC": ("database or disk is full", "SQLITE_FULL"),
    "EIO": ("disk I/O error", "SQLITE_IOERR"),
    "EIO at fsync": ("disk I/O error", "SQLITE_IOERR_FSYNC"),
    "EROFS": ("attempt to write a readonly database", "SQLITE_READONLY"),
    "EMFILE": ("unable to open database file", "SQLITE_CANTOPEN"),
}
STAGES = ("begin", "insert", "commit")


def refusal(why):
    """Make the error that SQLite raises then."""
    text, name = REFUSALS[why]
    error = sqlite3.OperationalError(text)
    error.sqlite_errorname, error.sqlite_errorcode = name, getattr(sqlite3, name)
    return error


class FaultMachine(MODEL["JournalMachine"]):
    def __init__(self):
        super().__init__()
        self.error = None
        self.stage = ""
        self.copy_at = None
        self.torn = False
        self.aside = 0  # journals that were set aside
        self.letters = []  # (consumer, seq, story), in the order buried
        machine = self

        class FaultyStore(Store):
            def __init__(self, *args):
                machine.check("begin")
                super().__init__(*args)

            def begin(self):
                machine.check("begin")
                super().begin()

            def insert(self, rows):
                machine.check("insert")
                super().insert(rows)

            def commit(self):
                machine.check("commit")
                machine.copy_if("before")
                super().commit()
                machine.copy_if("after")

        self.store = FaultyStore

    def check(self, stage):
        """Be the disk: refuse from a stage on, if it is refusing."""
        if self.full and stage in {self.stage, "commit"}:
            raise refusal(self.error)

    # ------------------------------------------------------------------ the disk

    @precondition(lambda self: not self.full)
    @rule(error=st.sampled_from([*REFUSALS]), stage=st.sampled_from(STAGES))
    def disk_fills(self, error, stage):
        self.error, self.stage = error, stage
        self.full = True

    @rule(name=NAMES)
    def disk_cannot_be_read(self, name):
        """Let a read fail: what it would have given comes with the next."""
        consumer = self.consumers.get(name)
        if consumer is None:
            return
        reader = self.journal._reader
        original = reader.ask

        async def refuse(generation, job):
            raise refusal("EIO")

        reader.ask = refuse
        with contextlib.suppress(sqlite3.OperationalError):
            self.read(name, 10)
        reader.ask = original

    # ------------------------------------------------------------------ death

    def copy_if(self, moment):
        """Copy the files if they are to be copied at this moment of a commit."""
        if self.copy_at == moment:
            self.copy_at = None
            self.copy()

    def copy(self):
        """Copy the files as a death would leave them."""
        self.after = self.folder / f"life-{self.life + 1}"
        self.after.mkdir()
        for path in self.settings.path.parent.glob("j*"):
            if path.is_file():
                shutil.copyfile(path, self.after / path.name)

    def model(self):
        """Return all that a death may take back."""
        return (
            list(self.appended),
            dict(self.positions),
            {name: set(seqs) for name, seqs in self.excused.items()},
            {name: set(seqs) for name, seqs in self.told.items()},
            list(self.letters),
        )

    @invariant()
    def remember(self):
        """Keep what the disk surely has: all there is, while it refuses nothing."""
        if self.journal is not None and not self.full:
            self.kept = self.model()

    @rule()
    def die(self):
        """Die at rest, or while records are out that no disk took."""
        self.copy()
        self.begin_anew(self.kept)

    @precondition(lambda self: not self.full)
    @rule(moment=st.sampled_from(["before", "after"]), count=st.integers(1, 30))
    def die_in_a_commit(self, moment, count):
        """Die when the transaction is all but done, or just done."""
        before = self.model()
        self.copy_at = moment
        self.append(count, 10)
        assert self.copy_at is None
        self.begin_anew(before if moment == "before" else self.model())

    @precondition(lambda self: not self.full)
    @rule(part=st.floats(0, 1, exclude_max=True))
    def die_and_find_a_page_torn(self, part):
        """Die, and find a page of records overwritten: it costs what is on it, and is counted."""
        self.copy()
        if tear(self.after / "j", part):
            self.torn = True
        self.begin_anew(self.kept)

    def begin_anew(self, model):
        """Leave the journal to itself and open the copy."""
        self.full = False
        self.end()
        self.life += 1
        self.settings = self.settings.model_copy(update={"path": self.after / "j"})
        self.appended, self.positions, self.excused, self.told, self.letters = model
        self.consumers.clear()
        self.open()
        known = {one.name: one.position for one in self.journal.statistics().cursors}
        before, self.aside = self.aside, len({*self.after.glob("*.set-aside-*")})
        set_aside = self.aside > before  # by this life, or by the one before and not made good
        if set_aside and not known:
            assert self.torn
            there = self.run(lambda: self.journal.read(limit=10**6))
            self.appended = [record.seq for record in there]
            self.positions, self.excused, self.told, self.letters = {}, {}, {}, []
        assert self.journal.next_seq > max(self.shown, default=0), "a position may be repeated"
        assert known == self.positions
        self.check_letters()

    def check_account(self, wanted, read, missed):
        """Of what a torn page held, positions that were passed over count as well."""
        if self.torn:
            assert read + missed >= wanted
        else:
            super().check_account(wanted, read, missed)

    # ------------------------------------------------------------------ dead letters

    @rule(name=NAMES, count=st.integers(1, 4))
    def bury(self, name, count):
        """Give up on what was read last: acknowledged and buried in one."""
        consumer = self.consumers.get(name)
        if consumer is None:
            return
        fresh = [seq for seq in consumer.read[-count:] if seq > self.positions[name]]
        if not fresh:
            return
        dead = [self.dead(seq) for seq in fresh]
        self.told.setdefault(name, set()).update(consumer.told)
        self.run(lambda: self.journal.bury(name, dead, (name, fresh[-1])))
        self.positions[name] = fresh[-1]
        self.letters += [(name, seq, f"story of {seq}") for seq in fresh]

    def dead(self, seq):
        return DeadLetter(
            seq,
            f"id-{seq}",
            10**18,
            Kind.KERNEL,
            self.shown[seq],
            Context(host="h", boot_id="b"),
            f"story of {seq}",
        )

    @precondition(lambda self: self.letters)
    @rule(data=st.data())
    def unbury(self, data):
        """Take letters out, as a replay does."""
        found = self.run(lambda: self.journal.letters(limit=1000))
        index = data.draw(st.integers(0, len(found) - 1))
        assert self.run(lambda: self.call(self.journal.unbury, [found[index].number])) == 1
        del self.letters[index]

    async def call(self, function, *args):
        return function(*args)

    @rule()
    def check_letters(self):
        """Every letter is there, in order, with its record and its story."""
        found = self.run(lambda: self.journal.letters(limit=1000))
        assert [(one.consumer, one.seq, one.story) for one in found] == self.letters
        for one in found:
            assert one.record.body == self.shown[one.seq]
        counts = Counter(consumer for consumer, _, _ in self.letters)
        assert self.journal.letter_counts() == dict(counts)

    def teardown(self):
        self.copy_at = None
        super().teardown()


def tear(path, part):
    """Overwrite a page that holds records, if there is one; return whether there was."""
    rows = []
    with (
        contextlib.closing(sqlite3.connect(path)) as db,
        contextlib.suppress(sqlite3.DatabaseError),  # torn before
    ):
        db.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchall()
        rows = db.execute("SELECT body FROM batches ORDER BY first_seq").fetchall()
    if not rows:
        return False
    body = rows[int(part * len(rows))][0]
    data = path.read_bytes()
    at = data.find(body[:32])
    if at < 0:
        return False
    page = at // 4096 * 4096
    path.write_bytes(data[:page] + b"\xff" * 4096 + data[page + 4096 :])
    return True


TestFaultModel = FaultMachine.TestCase
TestFaultModel.settings = settings(max_examples=60, stateful_step_count=40, deadline=None)
