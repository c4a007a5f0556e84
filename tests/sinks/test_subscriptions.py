"""Webhooks subscribed at run time: they last, they are looked after, and they disturb nobody."""

import asyncio
import json
import stat
import time
from dataclasses import replace
from typing import ClassVar

import pytest

from kevmond.errors import ConfigError, GoneError, PermanentError, RetryableError
from kevmond.events.event import DECODED_KEPT
from kevmond.events.own import own_record
from kevmond.journal import Journal, JournalSettings
from kevmond.sinks import registry
from kevmond.sinks import replay as replaying
from kevmond.sinks.base import DeliveryPolicy, SinkSettings
from kevmond.sinks.fleet import Fleet
from kevmond.sinks.replay import Wanted
from kevmond.sinks.roll import Entry
from kevmond.sinks.subscriptions import Subscriptions
from kevmond.sinks.testing import CONTEXT, record
from kevmond.sinks.webhook.settings import WebhookSettings
from kevmond.sinks.webhookbook import ConflictError, UnknownWebhookError

PATIENCE = 30.0
URL = "https://receiver.example/hook"


class Log:
    def __init__(self):
        self.lines = []

    def warning(self, text, **facts):
        self.lines.append(facts)


class Receiver:
    """A sink of type webhook whose endpoint is this class: what was taken, and what it says."""

    Settings = WebhookSettings
    taken: ClassVar[list] = []
    secrets: ClassVar[list] = []
    answer = None
    policy = DeliveryPolicy(schedule=(60.0,), give_up_after=None, disable_after=None)

    def __init__(self, name, settings):
        self.name = name
        self.settings = settings
        self.policy = type(self).policy

    async def open(self):
        self.secrets.append([one.reveal() for one in self.settings.secret])

    async def write(self, batch):
        if self.answer is not None:
            raise self.answer
        self.taken.extend((self.name, one.seq) for one in batch)

    async def reopen(self):
        pass

    async def aclose(self):
        pass


async def until(holds, what="a condition"):
    """Wait for a condition."""
    async with asyncio.timeout(PATIENCE):
        while not holds():  # noqa: ASYNC110 - what is waited for tells nobody
            await asyncio.sleep(0.002)


class World:
    """What of a daemon the subscriptions live in; may be stopped and started again."""

    def __init__(self, folder):
        self.folder = folder
        self.log = Log()
        self.now_ns = time.time_ns()
        self.changes = 0

    async def start(self, **configured):
        self.journal = Journal.open(JournalSettings(path=self.folder / "journal.sqlite"))
        self.journal.set_context(CONTEXT)
        self.fleet = Fleet(self.journal, self.say, dead_letters=self.journal)
        self.webhooks = Subscriptions(
            self.journal,
            self.fleet,
            state_dir=self.folder,
            say=self.say,
            log=self.log,
            changed=self.changed,
            wall_ns=lambda: self.now_ns,
        )
        self.webhooks.load()
        await self.fleet.apply(configured, PATIENCE)
        await self.webhooks.start()

    async def stop(self):
        await self.webhooks.aclose()
        await self.fleet.drain(PATIENCE)
        await self.journal.aclose(PATIENCE)

    def say(self, payload):
        now = time.time_ns()
        self.journal.append([own_record(CONTEXT, payload, seq=self.journal.next_seq, wall_ns=now)])

    async def changed(self):
        self.changes += 1

    def post(self, count):
        """Append kernel events; return their positions."""
        first = self.journal.next_seq
        self.journal.append([record(seq) for seq in range(first, first + count)])
        return list(range(first, first + count))

    def state(self, name):
        return self.webhooks.show(name)["state"]


@pytest.fixture
def receiver(monkeypatch):
    """Make every webhook one whose receiver is in this process."""
    kind = type("Fresh", (Receiver,), {"taken": [], "secrets": []})
    load = registry.load
    monkeypatch.setattr(registry, "load", lambda name: kind if name == "webhook" else load(name))
    return kind


@pytest.fixture
async def world(tmp_path, receiver):
    """Start a world without configured sinks."""
    world = World(tmp_path)
    await world.start()
    yield world
    await world.stop()


def taken(receiver, name, wanted):
    """Positions among the wanted ones that were taken, in the order they were."""
    return [seq for whose, seq in receiver.taken if whose == name and seq in set(wanted)]


async def delivered(receiver, name, wanted):
    """Wait until all wanted positions were taken, and return them in order."""
    await until(lambda: len(taken(receiver, name, wanted)) >= len(wanted))
    return taken(receiver, name, wanted)


class TestAdd:
    async def test_subscription_gets_what_comes_from_then_on(self, world, receiver):
        """What was there before is not for it, unless it asks for the oldest."""
        before = world.post(2)
        facts = await world.webhooks.add({"url": URL}, name="new")
        await world.webhooks.add({"url": URL, "start": "oldest"}, name="old")
        after = world.post(2)
        assert await delivered(receiver, "new", after) == after
        assert await delivered(receiver, "old", before + after) == before + after
        assert taken(receiver, "new", before) == []
        assert (facts["name"], facts["state"], facts["origin"]) == (
            "new",
            "healthy",
            "subscription",
        )

    async def test_name_is_made_up_if_none_is_given(self, world):
        """Names tell that they are webhooks, and differ."""
        names = {(await world.webhooks.add({"url": URL}))["name"] for _ in range(3)}
        assert len(names) == 3
        assert all(name.startswith("wh-") and len(name) == 9 for name in names)

    async def test_subscription_outlives_a_clean_restart(self, world, receiver):
        """It goes on from its place."""
        await world.webhooks.add({"url": URL, "filter": ["class=network"]}, name="a")
        receiver.answer = RetryableError("down")
        seqs = world.post(3)
        await until(lambda: world.state("a") == "retrying")
        await world.stop()
        receiver.answer = None
        await world.start()
        assert await delivered(receiver, "a", seqs) == seqs
        assert world.webhooks.show("a")["filter"] == ["class=network"]

    async def test_subscription_lasts_once_the_caller_is_told(self, world, tmp_path):
        """A crash right after the answer does not take it back: the disk has it by then."""
        await world.webhooks.add({"url": URL}, name="a")
        other = tmp_path / "seen-by-another"
        other.mkdir()
        for part in tmp_path.glob("journal.sqlite*"):
            if not part.name.endswith(".lock"):
                (other / part.name).write_bytes(part.read_bytes())
        journal = Journal.open(JournalSettings(path=other / "journal.sqlite"))
        assert list(journal.states("webhook.")) == ["webhook.a"]
        await journal.aclose(PATIENCE)

    async def test_secret_is_made_shown_once_and_kept_in_a_private_file(self, world, tmp_path):
        """The journal and every answer but the first hold a reference only."""
        facts = await world.webhooks.add({"url": URL}, name="a", generate=True)
        assert facts["secret"].startswith("whsec_")
        (path,) = (tmp_path / "secrets").iterdir()
        assert stat.S_IMODE(path.stat().st_mode) == 0o600
        assert stat.S_IMODE(path.parent.stat().st_mode) == 0o700
        assert path.read_text().strip() == facts["secret"]
        shown = world.webhooks.show("a")
        assert shown["settings"]["secret"] == [f"file:{path}"]
        assert facts["secret"] not in json.dumps(shown)
        assert facts["secret"].encode() not in (tmp_path / "journal.sqlite").read_bytes()
        assert facts["secret"] not in (tmp_path / "webhooks.json").read_text()

    @pytest.mark.parametrize(
        ("settings", "rest", "text"),
        [
            ({"url": "nonsense"}, {}, "not a URL"),
            ({"url": "http://receiver.example/"}, {}, "allow_http"),
            ({"url": "https://127.0.0.1/"}, {}, "allow_private"),
            ({"url": URL, "formt": "event"}, {}, "formt: unknown key; did you mean format"),
            ({"url": URL, "batch_size": 0}, {}, "batch_size: .*it is 0"),
            ({"url": URL, "filter": ["clas=network"]}, {}, "filter.0: rule 'clas=network'"),
            ({"url": URL, "enabled": False}, {}, "enabled: .* pause it after"),
            ({"url": URL}, {"secret": "short"}, "not a webhook secret"),
            ({"url": URL}, {"name": "../x"}, "not a name: '../x'"),
        ],
    )
    async def test_mistake_is_told_and_leaves_nothing(self, world, tmp_path, settings, rest, text):
        """A refused subscription leaves no entry, no file and no sink."""
        with pytest.raises(ConfigError, match=text):
            await world.webhooks.add(settings, **rest)
        assert world.webhooks.listing() == []
        assert world.journal.states("webhook.") == {}
        assert not (tmp_path / "secrets").exists()

    async def test_name_in_use_is_refused(self, world):
        """One name is one sink, configured ones included."""
        await world.webhooks.add({"url": URL}, name="a")
        with pytest.raises(ConflictError, match="there is a sink 'a' already"):
            await world.webhooks.add({"url": URL}, name="a")

    async def test_interrupted_addition_leaves_nothing(self, world, monkeypatch, tmp_path):
        """A caller that goes away, or a sink that cannot start, takes everything back."""

        async def fail(*args):
            raise asyncio.CancelledError

        monkeypatch.setattr(world.fleet, "add", fail)
        with pytest.raises(asyncio.CancelledError):
            await world.webhooks.add({"url": URL}, name="a", generate=True)
        assert world.webhooks.listing() == []
        assert world.journal.states("webhook.") == {}
        assert list((tmp_path / "secrets").iterdir()) == []

    async def test_change_is_told_in_the_stream(self, world, receiver):
        """The other sinks see that a webhook came and went."""
        await world.webhooks.add({"url": URL}, name="a")
        await world.webhooks.remove("a")
        told = [
            change
            for one in await world.journal.read()
            if one.event.type == "kevmond.config"
            for change in one.event.payload.changes
        ]
        assert told == ["webhooks.a: added", "webhooks.a: removed"]

    async def test_kernel_is_asked_for_what_subscriptions_want(self, world):
        """Whoever narrows the kernel's filter is told of each change."""
        await world.webhooks.add({"url": URL, "filter": ["class=network"]}, name="a")
        assert [str(rule) for one in world.webhooks.filters() for rule in one.rules] == [
            "class=network"
        ]
        await world.webhooks.remove("a")
        assert (world.webhooks.filters(), world.changes) == ([], 2)


class TestRemove:
    async def test_removal_forgets_everything(self, world, tmp_path):
        """Its place, its entry and its secret are gone, also after a restart."""
        await world.webhooks.add({"url": URL}, name="a", generate=True)
        assert (await world.webhooks.remove("a"))["removed"] is True
        assert [one.name for one in world.journal.statistics().cursors if one.durable] == []
        assert list((tmp_path / "secrets").iterdir()) == []
        await world.stop()
        await world.start()
        assert world.webhooks.listing() == []

    async def test_name_can_be_given_again(self, world, receiver):
        """A new subscription of an old name begins anew, without place, standing or replay."""
        await world.webhooks.add({"url": URL}, name="a")
        await world.webhooks.replay("a", Wanted(since_ns=0))
        await world.webhooks.disable("a")
        await world.webhooks.remove("a")
        missed = world.post(2)
        facts = await world.webhooks.add({"url": URL}, name="a")
        assert (facts["standing"], facts["replay"], facts["lag"]) == ("active", None, 0)
        seqs = world.post(1)
        assert await delivered(receiver, "a", seqs) == seqs
        assert taken(receiver, "a", missed) == []

    async def test_hanging_receiver_does_not_hold_a_removal_up(self, world, receiver):
        """Removing does not wait for what will never be taken."""
        await world.webhooks.add({"url": URL}, name="a")
        receiver.answer = RetryableError("down")
        world.post(3)
        await until(lambda: world.state("a") == "retrying")
        async with asyncio.timeout(PATIENCE / 3):
            facts = await world.webhooks.remove("a")
        assert facts["waiting"] >= 3

    async def test_dead_letters_are_not_thrown_away_unasked(self, world, receiver):
        """A webhook with dead letters goes only by force, and they go with it."""
        await world.webhooks.add({"url": URL}, name="a")
        receiver.answer = PermanentError("too large")
        world.post(1)
        await until(lambda: world.webhooks.show("a")["dead_letters"] > 0)
        receiver.answer = None
        with pytest.raises(ConflictError, match="never delivered") as error:
            await world.webhooks.remove("a")
        assert "replay a --failed" in error.value.hint
        await world.webhooks.remove("a", force=True)
        assert world.journal.letter_counts() == {}

    async def test_interrupted_removal_is_finished_by_the_next_start(
        self, world, receiver, monkeypatch
    ):
        """Dead letters of a webhook that is off the roll are there for nobody."""
        await world.webhooks.add({"url": URL}, name="a")
        receiver.answer = PermanentError("too large")
        world.post(1)
        await until(lambda: world.webhooks.show("a")["dead_letters"] > 0)

        async def interrupted(name):
            raise asyncio.CancelledError

        with monkeypatch.context() as patch:
            patch.setattr(world.fleet, "remove", interrupted)
            with pytest.raises(asyncio.CancelledError):
                await world.webhooks.remove("a", force=True)
        assert world.journal.letter_counts() != {}
        await world.stop()
        await world.start()
        assert world.webhooks.names() == []
        assert (world.journal.letter_counts(), world.journal.states("webhook.")) == ({}, {})

    async def test_new_webhook_inherits_no_dead_letters(self, world, receiver):
        """What a configured sink of the name has left goes to no other receiver."""
        await world.fleet.apply({"a": WebhookSettings(url=URL)}, 1)
        receiver.answer = PermanentError("too large")
        world.post(1)
        await until(lambda: world.webhooks.show("a")["dead_letters"] > 0)
        await world.fleet.apply({}, 1)
        receiver.answer = None
        assert (await world.webhooks.add({"url": URL}, name="a"))["dead_letters"] == 0
        assert "earlier sink a" in world.log.lines[-1]["trouble"]


class TestStanding:
    async def test_paused_webhook_waits_and_goes_on_from_its_place(self, world, receiver):
        """Nothing is sent meanwhile and nothing is lost, restarts included."""
        await world.webhooks.add({"url": URL}, name="a")
        assert (await world.webhooks.pause("a"))["state"] == "paused"
        seqs = world.post(3)
        await world.stop()
        await world.start()
        assert (world.state("a"), world.webhooks.show("a")["standing"]) == ("paused", "paused")
        seqs += world.post(2)
        assert taken(receiver, "a", seqs) == []
        await world.webhooks.resume("a")
        assert await delivered(receiver, "a", seqs) == seqs

    async def test_disabled_webhook_says_why(self, world, receiver):
        """The reason is shown, stays over a restart, and goes with `resume`."""
        await world.webhooks.add({"url": URL}, name="a")
        await world.webhooks.disable("a", "being moved")
        await world.stop()
        await world.start()
        facts = world.webhooks.show("a")
        assert (facts["state"], facts["reason"]) == ("disabled", "being moved")
        seqs = world.post(1)
        facts = await world.webhooks.resume("a")
        assert (facts["standing"], facts["reason"]) == ("active", None)
        assert await delivered(receiver, "a", seqs) == seqs

    async def test_receiver_that_wants_no_more_stays_disabled(self, world, receiver):
        """A 410 outlives a restart: the receiver is not asked again."""
        await world.webhooks.add({"url": URL}, name="a")
        receiver.answer = GoneError("answered 410 Gone")
        seqs = world.post(1)
        await until(lambda: world.webhooks.show("a")["standing"] == "disabled")
        await world.stop()
        receiver.answer = None
        await world.start()
        facts = world.webhooks.show("a")
        assert facts["state"] == "disabled"
        assert "410 Gone" in facts["reason"]
        await world.webhooks.resume("a")
        assert await delivered(receiver, "a", seqs) == seqs

    async def test_unknown_name_gets_the_nearest(self, world):
        """A slip of the finger is answered with what was meant."""
        with pytest.raises(UnknownWebhookError) as error:
            world.webhooks.show("a")
        assert "kevmond webhook add URL" in error.value.hint
        await world.webhooks.add({"url": URL}, name="orders")
        with pytest.raises(UnknownWebhookError) as error:
            await world.webhooks.pause("order")
        assert error.value.hint == "did you mean orders?"


class TestRotation:
    async def test_both_secrets_sign_until_the_overlap_ends(self, world, receiver, tmp_path):
        """The newer comes first, the older goes when its time is over, and its file with it."""
        first = (await world.webhooks.add({"url": URL}, name="a", generate=True))["secret"]
        facts = await world.webhooks.rotate_secret("a", overlap=3600)
        assert receiver.secrets[-1] == [facts["secret"], first]
        assert facts["rotation_ends"] is not None
        await world.stop()
        world.now_ns += 3601 * 10**9
        await world.start()
        await until(lambda: receiver.secrets[-1] == [facts["secret"]])
        await until(lambda: world.webhooks.show("a")["rotation_ends"] is None)
        await until(lambda: len(list((tmp_path / "secrets").iterdir())) == 1)

    async def test_leaked_secret_can_be_dropped_at_once(self, world, receiver, tmp_path):
        """Without overlap the old secret signs nothing more."""
        await world.webhooks.add({"url": URL}, name="a", generate=True)
        facts = await world.webhooks.rotate_secret("a", overlap=0)
        assert receiver.secrets[-1] == [facts["secret"]]
        assert facts["rotation_ends"] is None
        assert len(list((tmp_path / "secrets").iterdir())) == 1

    async def test_third_secret_replaces_the_oldest(self, world, receiver, tmp_path):
        """Rotating twice within the overlap leaves the two newest."""
        await world.webhooks.add({"url": URL}, name="a", generate=True)
        second = (await world.webhooks.rotate_secret("a"))["secret"]
        third = (await world.webhooks.rotate_secret("a"))["secret"]
        assert receiver.secrets[-1] == [third, second]
        assert len(list((tmp_path / "secrets").iterdir())) == 2

    async def test_unsigned_webhook_begins_to_sign(self, world, receiver):
        """There is no older secret to go on with."""
        await world.webhooks.add({"url": URL}, name="a")
        given = "whsec_" + "A" * 44
        facts = await world.webhooks.rotate_secret("a", secret=given)
        assert receiver.secrets[-1] == [given]
        assert "secret" not in facts

    async def test_files_of_an_interrupted_rotation_are_swept(self, world, tmp_path):
        """A secret that no subscription refers to does not stay on the disk; other files do."""
        await world.webhooks.add({"url": URL}, name="a", generate=True)
        folder = tmp_path / "secrets"
        (folder / "webhook-a-0123456789ab").write_text("left behind")
        (folder / "token").write_text("somebody's own")
        await world.stop()
        await world.start()
        assert len(list(folder.iterdir())) == 2
        assert (folder / "token").exists()


@pytest.fixture(params=["moved", "reached by a link"])
def elsewhere(request, tmp_path):
    """Give the state folder another path: a function from the old one to the new."""

    def change(folder):
        new = tmp_path / "elsewhere"
        if request.param == "moved":
            folder.rename(new)
        else:
            new.symlink_to(folder)
        return new

    return change


async def test_secrets_outlive_another_path_of_the_state_folder(receiver, tmp_path, elsewhere):
    """They are found in the present folder, are rotated there, and go when they are let go."""
    (tmp_path / "state").mkdir()
    world = World(tmp_path / "state")
    await world.start()
    first = (await world.webhooks.add({"url": URL}, name="a", generate=True))["secret"]
    await world.stop()
    world.folder = elsewhere(world.folder)
    await world.start()
    try:
        secrets = world.folder / "secrets"
        assert receiver.secrets[-1] == [first]
        (path,) = secrets.iterdir()
        assert world.webhooks.show("a")["settings"]["secret"] == [f"file:{path}"]
        second = (await world.webhooks.rotate_secret("a"))["secret"]
        assert receiver.secrets[-1] == [second, first]
        await world.webhooks.remove("a")
        assert list(secrets.iterdir()) == []
    finally:
        await world.stop()


class TestConfigured:
    """Webhooks of the configuration."""

    async def test_reload_leaves_subscriptions_alone(self, world, receiver):
        """A change of the configuration neither stops a subscription nor forgets its place."""
        await world.webhooks.add({"url": URL}, name="a")
        runner = world.fleet.runner("a")
        await world.fleet.apply({"b": WebhookSettings(url=URL)}, 1)
        await world.fleet.apply({}, 1)
        assert world.fleet.runner("a") is runner
        seqs = world.post(1)
        assert await delivered(receiver, "a", seqs) == seqs

    async def test_place_outlives_a_restart_with_another_configuration(self, world, receiver):
        """The start's `retain_only` knows the subscriptions."""
        await world.webhooks.add({"url": URL}, name="a")
        await world.webhooks.pause("a")
        seqs = world.post(2)
        await world.stop()
        await world.start(log=SinkSettings(type="nonsense"))
        await world.webhooks.resume("a")
        assert await delivered(receiver, "a", seqs) == seqs

    async def test_pause_of_a_configured_one_is_remembered(self, world):
        """It stays paused over a restart, and is changed in its file only."""
        configured = {"c": WebhookSettings(url=URL)}
        await world.fleet.apply(configured, 1)
        facts = world.webhooks.show("c")
        assert (facts["origin"], facts["state"]) == ("configuration", "healthy")
        await world.webhooks.pause("c")
        await world.stop()
        await world.start(**configured)
        assert world.state("c") == "paused"
        await world.webhooks.resume("c")
        assert world.journal.states("webhook.") == {}
        for wish in (world.webhooks.remove, world.webhooks.rotate_secret):
            with pytest.raises(ConflictError, match="one of the configuration"):
                await wish("c")

    async def test_sink_of_another_type_is_not_held_by_a_pause(self, world):
        """What only webhooks can resume does not outlive the change of a section's type."""
        await world.fleet.apply({"c": WebhookSettings(url=URL)}, 1)
        await world.webhooks.pause("c")
        await world.fleet.apply({"c": SinkSettings(type="nonsense")}, 1)
        assert not world.fleet.runner("c").paused
        assert world.journal.states("webhook.") == {}

    async def test_standing_goes_with_its_section(self, world):
        """A pause of a section that is gone is forgotten at the next start, as its place is."""
        await world.fleet.apply({"c": WebhookSettings(url=URL)}, 1)
        await world.webhooks.pause("c")
        await world.stop()
        await world.start()
        assert world.journal.states("webhook.") == {}

    async def test_configured_sink_of_the_same_name_runs_instead(self, world, receiver):
        """One name is one place: the configuration's goes on there, and gives it back."""
        await world.webhooks.add({"url": URL}, name="a")
        await world.fleet.apply({"a": WebhookSettings(url="https://other.example/")}, 1)
        assert world.webhooks.show("a")["url"] == "https://other.example/"
        await world.fleet.apply({}, 1)
        assert world.webhooks.show("a")["url"] == URL
        seqs = world.post(1)
        assert await delivered(receiver, "a", seqs) == seqs


class TestRoll:
    async def test_subscriptions_outlive_a_journal_set_aside(self, world, receiver, tmp_path):
        """A journal that cannot be read costs records, not the subscriptions."""
        await world.webhooks.add({"url": URL}, name="a", generate=True)
        await world.stop()
        for part in tmp_path.glob("journal.sqlite*"):
            part.write_bytes(b"this is no database" * 500)
        await world.start()
        seqs = world.post(1)
        assert await delivered(receiver, "a", seqs) == seqs
        assert any("copy" in line["trouble"] for line in world.log.lines)
        assert list(world.journal.states("webhook.")) == ["webhook.a"]

    async def test_settings_of_another_version_are_kept_and_said(self, world, tmp_path):
        """What this version does not understand does not run, is shown, and loses no secret."""
        await world.webhooks.add({"url": URL}, name="a", generate=True)
        (path,) = (tmp_path / "secrets").iterdir()
        future = {"secret": [f"file:{path}"], "from_the_future": 1}
        table = Entry(settings={"type": "webhook", "url": URL, **future})
        world.journal.set_state("webhook.a", table.model_dump_json())
        await world.stop()
        await world.start()
        facts = world.webhooks.show("a")
        assert facts["state"] == "failed"
        assert "from_the_future: unknown key" in facts["last_error"]
        assert "from_the_future" in world.journal.states("webhook.")["webhook.a"]
        assert path.exists()
        with pytest.raises(ConfigError, match="from_the_future"):
            await world.webhooks.rotate_secret("a")
        assert list(path.parent.iterdir()) == [path]
        await world.webhooks.remove("a")
        assert not path.exists()

    async def test_garbage_on_the_roll_stops_nothing(self, world, tmp_path):
        """An entry that is no JSON is said, keeps place, copy and secret, and can be removed."""
        await world.webhooks.add({"url": URL}, name="a", generate=True)
        await world.webhooks.add({"url": URL}, name="b")
        held = world.journal.states("webhook.")["webhook.a"][:-3]
        world.journal.set_state("webhook.a", held)
        await world.stop()
        await world.start()
        assert any("webhook a" in line["trouble"] for line in world.log.lines)
        facts = world.webhooks.show("a")
        assert (facts["state"], "another version" in facts["last_error"]) == ("failed", True)
        for wish in (world.webhooks.pause, world.webhooks.rotate_secret):
            with pytest.raises(ConflictError, match="cannot be read"):
                await wish("a")
        await world.webhooks.pause("b")  # writes the copy
        assert json.loads((tmp_path / "webhooks.json").read_text())["a"] == held
        assert world.journal.states("webhook.")["webhook.a"] == held
        assert "sink.a" in [one.name for one in world.journal.statistics().cursors]
        assert len(list((tmp_path / "secrets").iterdir())) == 1
        await world.webhooks.remove("a")
        await world.stop()
        await world.start()
        assert world.webhooks.names() == ["b"]
        assert list((tmp_path / "secrets").iterdir()) == []

    async def test_unreadable_entry_comes_back_from_the_copy_as_it_was(self, world, tmp_path):
        """A journal set aside does not cost what only another version understands."""
        world.journal.set_state("webhook.a", "{")
        await world.stop()
        await world.start(c=WebhookSettings(url=URL))
        await world.webhooks.pause("c")
        await world.stop()
        for part in tmp_path.glob("journal.sqlite*"):
            part.write_bytes(b"this is no database" * 500)
        await world.start()
        assert world.journal.states("webhook.")["webhook.a"] == "{"

    async def test_disk_that_cannot_be_read_sweeps_no_secret(self, world, tmp_path, monkeypatch):
        """A journal that could not be read may refer to more than is known."""
        await world.webhooks.add({"url": URL}, name="a", generate=True)
        (tmp_path / "secrets" / "webhook-b-0123456789ab").write_text("of another one")
        await world.stop()
        real = Journal.statistics
        monkeypatch.setattr(Journal, "statistics", lambda self: replace(real(self), refusal="EIO"))
        await world.start()
        assert len(list((tmp_path / "secrets").iterdir())) == 2

    async def test_unreadable_copy_sweeps_no_secret(self, world, tmp_path):
        """Where it is not known what is referred to, nothing is deleted."""
        await world.webhooks.add({"url": URL}, name="a", generate=True)
        await world.stop()
        for part in [*tmp_path.glob("journal.sqlite*"), tmp_path / "webhooks.json"]:
            part.write_bytes(b"this is no database" * 500)
        await world.start()
        assert len(list((tmp_path / "secrets").iterdir())) == 1

    async def test_disk_that_takes_no_secret_is_told(self, world, tmp_path):
        """A secret that cannot be kept refuses the subscription."""
        (tmp_path / "secrets").write_text("a file in the way")
        with pytest.raises(ConfigError, match="the secret cannot be kept"):
            await world.webhooks.add({"url": URL}, name="a", generate=True)
        assert world.webhooks.listing() == []


class TestReplay:
    @pytest.fixture
    async def settled(self, world, receiver):
        """Subscribe, deliver ten events, and hand out their positions."""
        await world.webhooks.add({"url": URL, "filter": ["code=link-off"]}, name="a")
        seqs = world.post(10)
        await delivered(receiver, "a", seqs)
        receiver.taken.clear()
        return seqs

    async def finished(self, world, wanted):
        await world.webhooks.replay("a", wanted)
        await until(lambda: world.webhooks.show("a")["replay"]["state"] != "running")
        return world.webhooks.show("a")["replay"]

    async def test_stretch_of_time_comes_again_in_order(self, world, receiver, settled):
        """Both ends count, the filter holds, and the place does not move."""
        place = world.fleet.runner("a").position
        wanted = Wanted(since_ns=record(settled[2]).wall_ns, until_ns=record(settled[5]).wall_ns)
        job = await self.finished(world, wanted)
        assert (job["state"], job["taken"], job["error"]) == ("done", 4, None)
        assert taken(receiver, "a", settled) == settled[2:6]
        assert world.fleet.runner("a").position == place

    async def test_one_event_by_id_or_position(self, world, receiver, settled):
        """An id finds its event, and so does its `seq`."""
        event_id = record(settled[3]).event.id
        await self.finished(world, Wanted(event_id=event_id))
        await self.finished(world, Wanted(event_id=str(settled[4])))
        assert receiver.taken == [("a", settled[3]), ("a", settled[4])]

    async def test_record_of_kevmond_s_own_is_found_by_its_id(self, world, receiver, settled):
        """Not only the kernel's events have ids."""
        own = next(one for one in await world.journal.read() if one.event.type == "kevmond.config")
        await self.finished(world, Wanted(event_id=own.event.id))
        assert receiver.taken == [("a", own.seq)]

    @pytest.mark.parametrize("wanted", ["boot-17-deadbeef", "999999", "no id at all"])
    async def test_event_that_is_not_there_is_told(self, world, receiver, settled, wanted):
        """The answer names what bounds the journal."""
        job = await self.finished(world, Wanted(event_id=wanted))
        assert job["state"] == "stopped"
        assert "is not in the journal" in job["error"]

    async def test_dead_letters_go_when_they_are_taken(self, world, receiver, settled):
        """--failed delivers them with their ids and in order, and leaves none behind."""
        receiver.answer = PermanentError("413 Content Too Large")
        seqs = world.post(3)
        await until(lambda: world.webhooks.show("a")["dead_letters"] >= 3)
        failures = await world.webhooks.failures("a")
        assert [one["seq"] for one in failures if one["seq"] in seqs] == seqs
        assert failures[0]["event"]["id"] == failures[0]["event_id"]
        receiver.answer = None
        job = await self.finished(world, Wanted(failed=True))
        assert job["taken"] >= 3
        assert taken(receiver, "a", seqs) == seqs
        await until(lambda: world.webhooks.show("a")["dead_letters"] == 0)

    async def test_letter_that_is_refused_again_stays(self, world, receiver, settled):
        """Refused for good is counted, and the next has its turn."""
        receiver.answer = PermanentError("no")
        world.post(2)
        await until(lambda: world.webhooks.show("a")["dead_letters"] >= 2)
        job = await self.finished(world, Wanted(failed=True))
        assert (job["state"], job["taken"], job["error"]) == ("done", 0, "no")
        assert 2 <= job["refused"] <= world.webhooks.show("a")["dead_letters"]

    async def test_failing_receiver_ends_a_replay(self, world, receiver, settled, monkeypatch):
        """After some attempts it stops, and says at which event."""
        monkeypatch.setattr(replaying, "RETRY_INITIAL", 0.001)
        monkeypatch.setattr(replaying, "RETRY_MAXIMUM", 0.001)
        receiver.answer = RetryableError("500 Internal Server Error")
        job = await self.finished(world, Wanted(since_ns=0))
        assert (job["state"], job["taken"]) == ("stopped", 0)
        assert job["error"] == "500 Internal Server Error"
        assert job["event_id"] is not None

    async def test_replay_stops_where_the_receiver_is_gone(self, world, receiver, settled):
        """A 410 ends it at once."""
        receiver.answer = GoneError("410 Gone")
        job = await self.finished(world, Wanted(since_ns=0))
        assert (job["state"], job["error"]) == ("stopped", "410 Gone")

    async def test_one_replay_at_a_time(self, world, receiver, settled, monkeypatch):
        """A second one is refused while the first is under way; a pause ends that."""
        receiver.answer = RetryableError("down")
        await world.webhooks.replay("a", Wanted(since_ns=0))
        with pytest.raises(ConflictError, match="under way"):
            await world.webhooks.replay("a", Wanted(failed=True))
        await world.webhooks.pause("a")
        assert world.webhooks.show("a")["replay"]["state"] == "interrupted"
        with pytest.raises(ConflictError, match="is paused") as error:
            await world.webhooks.replay("a", Wanted(failed=True))
        assert "resume a" in error.value.hint

    async def test_replay_goes_on_through_changed_settings(
        self, world, receiver, settled, monkeypatch
    ):
        """A reload that changes the webhook under a replay does not end it."""
        monkeypatch.setattr(replaying, "RETRY_INITIAL", 0.001)
        monkeypatch.setattr(replaying, "RETRY_MAXIMUM", 0.001)
        await world.fleet.apply({"c": WebhookSettings(url=URL, start="oldest")}, 1)
        await delivered(receiver, "c", settled)
        receiver.taken.clear()
        gate, reached = asyncio.Event(), asyncio.Event()
        offer = world.fleet.runner("c").offer

        async def slow(batch):
            reached.set()
            await gate.wait()
            return await offer(batch)

        monkeypatch.setattr(world.fleet.runner("c"), "offer", slow)
        await world.webhooks.replay("c", Wanted(since_ns=0))
        await reached.wait()
        changed = WebhookSettings(url="https://other.example/", start="oldest")
        await world.fleet.apply({"c": changed}, 1)
        gate.set()
        await until(lambda: world.webhooks.show("c")["replay"]["state"] == "done")
        assert taken(receiver, "c", settled) == settled

    @pytest.mark.parametrize("after", [{}, {"c": SinkSettings(type="nonsense")}])
    async def test_replay_of_a_webhook_that_goes_is_interrupted(
        self, world, receiver, settled, monkeypatch, after
    ):
        """Nothing is left to deliver through; that is said, and is no failure of the receiver."""
        monkeypatch.setattr(replaying, "RETRY_INITIAL", 0.001)
        monkeypatch.setattr(replaying, "RETRY_MAXIMUM", 0.001)
        await world.fleet.apply({"c": WebhookSettings(url=URL)}, 1)
        receiver.answer = RetryableError("down")
        monkeypatch.setattr(replaying, "ATTEMPTS", 10**9)
        await world.webhooks.replay("c", Wanted(event_id=str(settled[0])))
        job, task = world.webhooks._replays._jobs["c"]
        await until(lambda: job.error is not None)
        await world.fleet.apply(after, 0)
        async with asyncio.timeout(PATIENCE):
            await task
        assert (job.state, job.error) == ("interrupted", "webhook c is gone")

    async def test_long_replay_leaves_others_their_turn(self, world, receiver, settled):
        """What comes meanwhile is delivered between the replay's batches."""
        many = world.post(DECODED_KEPT + 500)
        await delivered(receiver, "a", many)
        receiver.taken.clear()
        await world.webhooks.replay("a", Wanted(since_ns=0))
        fresh = world.post(1)
        await delivered(receiver, "a", fresh)
        await until(lambda: world.webhooks.show("a")["replay"]["state"] == "done")
        assert taken(receiver, "a", many) == many


def test_secret_files_have_no_place_for_others(tmp_path):
    """Nothing outside the folder, and nothing that is not a secret's file, is ever deleted."""
    from kevmond.sinks.secretfiles import SecretFiles

    files = SecretFiles(tmp_path / "secrets")
    kept = files.keep("a", "value")
    outside = tmp_path / "webhook-a-0123456789ab"
    outside.touch()
    files.drop([f"file:{outside}", "env:HOME", kept.reference])
    assert outside.exists()
    assert list((tmp_path / "secrets").iterdir()) == []
