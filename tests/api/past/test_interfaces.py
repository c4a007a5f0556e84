"""/v1/interfaces: as they are now, and over time."""

import time

from kevmond.events import own
from kevmond.events.event import timestamp
from kevmond.sinks.testing import link_message, record

LINK = {"interface": "en0", "kind": "link", "label": "link", "cut": False}


async def test_interfaces_are_told_as_they_are_now(daemon):
    """Snapshots and events make the state; each field is told with its beginning."""
    state = own.InterfaceState(name="en0", up=True, running=True, addresses=("192.168.1.2/24",))
    await daemon.say(own.Snapshot(cause="start", state=state))
    await daemon.put()
    first, second = record(1).event.time, record(2).event.time
    assert await daemon.get("interfaces") == {
        "interfaces": [
            {
                "name": "en0",
                "state": "down",
                "up": True,
                "running": False,
                "addresses": [{"address": "192.168.1.2/24", "since": first, "since_seq": 1}],
                "link_address": None,
                "mtu": None,
                "link_quality": None,
                "link_quality_word": None,
                "since": {"present": first, "up": first, "running": second},
                "unsure": [],
                "gone": False,
                "last_event": {"seq": 2, "type": "network.dl.link-off", "time": second},
            }
        ],
        "looked_from": first,
    }
    await daemon.put(code=13)
    (en0,) = (await daemon.get("interfaces"))["interfaces"]
    assert (en0["state"], en0["last_event"]["seq"]) == ("up", 3)


async def test_timeline_is_of_the_time_that_is_asked_for(daemon):
    """An hour, unless another time is given."""
    now_ns = time.time_ns()
    seqs_and_ages = [(1, 5000), (2, 1000)]
    daemon.journal.append(
        [
            record(seq, raw=link_message(seq, code=12 + seq % 2), second=second(now_ns, age))
            for seq, age in seqs_and_ages
        ]
    )
    await daemon.journal.lasting()
    found = await daemon.get("interfaces/timeline")
    down = [each for each in found["lanes"] if each["kind"] == "link"]
    turned = (await daemon.get("events/2"))["time"]
    spans = [
        {"from": found["since"], "to": turned, "state": "up"},
        {"from": turned, "to": None, "state": "down"},
    ]
    assert down == [{**LINK, "spans": spans}]
    found = await daemon.get("interfaces/timeline", since="500s")
    assert [each["spans"][0]["from"] for each in found["lanes"]] == [found["since"]] * 2
    assert found["since"] > timestamp(now_ns - 500 * 10**9)


def second(now_ns, age):
    """Return when something of this age was, in seconds since the records' beginning."""
    return (now_ns - age * 10**9 - record(0).wall_ns) / 1e9


async def test_mistakes_are_told(daemon):
    """Nothing but `since` can be asked."""
    told = await daemon.get("interfaces/timeline", since="soon", status=422)
    assert "since: not a time: 'soon'" in told["error"]
    told = await daemon.get("interfaces", since="1h", status=422)
    assert "no such parameter" in told["error"]
