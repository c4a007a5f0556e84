"""Subscribe, rotate and remove, and say each change when it is told as done.

Called as: subscription_program.py FOLDER.  First a line tells what the start found.
"""

import asyncio
import json
import sys
import time
from pathlib import Path

from kevmond.events.own import own_record
from kevmond.journal import Journal, JournalSettings
from kevmond.sinks.fleet import Fleet
from kevmond.sinks.subscriptions import Subscriptions
from kevmond.sinks.testing import CONTEXT

FOLDER = Path(sys.argv[1])
SETTINGS = {"url": "http://127.0.0.1:1/", "allow_http": True, "allow_private": True}


class Log:
    def warning(self, text, **facts):
        pass


def say(**facts):
    """Tell the test."""
    sys.stdout.write(json.dumps(facts) + "\n")
    sys.stdout.flush()


def secrets_in(refs):
    """Read what references to files stand for."""
    return [Path(ref.removeprefix("file:")).read_text().strip() for ref in refs]


def kept():
    """Count the files of secrets."""
    return sum(1 for _ in FOLDER.glob("secrets/*"))


async def main():
    """Do it all once, as far as it comes."""
    journal = Journal.open(JournalSettings(path=FOLDER / "journal.sqlite"))
    journal.set_context(CONTEXT)

    def record(payload):
        wall_ns = time.time_ns()
        journal.append([own_record(CONTEXT, payload, seq=journal.next_seq, wall_ns=wall_ns)])

    fleet = Fleet(journal, record, dead_letters=journal)
    webhooks = Subscriptions(
        journal, fleet, state_dir=FOLDER, say=record, log=Log(), drain_deadline=0
    )
    webhooks.load()
    await fleet.apply({}, 0)
    await webhooks.start()
    refs = {name: webhooks.show(name)["settings"]["secret"] for name in webhooks.names()}
    say(found={name: secrets_in(each) for name, each in refs.items()}, files=kept())
    for name in webhooks.names():
        await webhooks.remove(name, force=True)
        say(done="removed", name=name)
    for name in ("a", "b"):
        facts = await webhooks.add(SETTINGS, name=name, generate=True)
        say(done="added", name=name, secret=facts["secret"])
    facts = await webhooks.rotate_secret("b")
    say(done="rotated", name="b", secret=facts["secret"])
    await webhooks.pause("a")
    say(done="paused", name="a")
    await webhooks.aclose()
    await fleet.drain(0)
    await journal.aclose(5)


asyncio.run(main())
