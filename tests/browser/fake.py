"""An API server that says what a test tells it to: for what a daemon seldom or never does.

It speaks the daemon's HTTP (paths, shapes, headers) over lists that a test fills, on an event loop
in a thread beside the test.  Filters are not understood, but for the words that a test gives.
"""

import asyncio
import json
import mimetypes
import secrets
import threading
from datetime import UTC, datetime, timedelta
from pathlib import Path

from aiohttp import web

import kevmond.api
from kevmond.api.gate import HEADERS

PAGE = Path(kevmond.api.__file__).parent / "page"
SEVERITIES = ("debug", "info", "notice", "warning", "error", "critical")


def stamp(when):
    """Write a time as the API does."""
    return when.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%S.%fZ")


def ago(**span):
    """Return a time in the past, as the API writes it."""
    return stamp(datetime.now(UTC) - timedelta(**span))


def an_event(seq, *, kind="network.dl.link-on", severity="notice", time=None, **fields):
    """Make the JSON of an event."""
    payload = fields.pop("payload", {"if_family": 2, "if_unit": 0, "if_name": "en"})
    data = bytes(range(20, 44))
    raw = b"".join(number.to_bytes(4, "little") for number in (48, 1, 1, 2, seq, 13)) + data
    return {
        "schema": "kevmond/1",
        "id": f"boot-{seq}-{kind}",
        "seq": seq,
        "time": time or stamp(datetime.now(UTC)),
        "host": "testhost",
        "boot_id": "boot",
        "kernel_id": seq,
        "vendor": 1,
        "vendor_name": "apple",
        "class": 1,
        "class_name": "network",
        "subclass": 2,
        "subclass_name": "dl",
        "code": 13,
        "code_name": "link-on",
        "type": kind,
        "severity": severity,
        "interface": "en0",
        "payload": payload,
        "decode": "full",
        "reason": None,
        "extra": None,
        "synthetic": False,
        "raw": raw.hex(),
        **fields,
    }


def a_consumer(name, **fields):
    """Make a consumer of a status."""
    return {
        "name": name,
        "kind": "sink",
        "type": "jsonl",
        "state": "healthy",
        "since": ago(hours=2),
        "lag": 0,
        "position": 10,
        "delivered": 10,
        "filtered": 0,
        "dropped": 0,
        "missed": 0,
        "retried": 0,
        "dead_letters": 0,
        "last_error": None,
        "attempts": 0,
        "next_attempt": None,
        **fields,
    }


def a_webhook(name, **fields):
    """Make a subscription."""
    return {
        "name": name,
        "origin": "subscription",
        "url": f"https://hooks.example/{name}",
        "format": "standard",
        "filter": [],
        "signed": True,
        "rotation_ends": None,
        "created": ago(days=3),
        "standing": "active",
        "reason": None,
        "since": None,
        "dead_letters": 0,
        "replay": None,
        "state": "healthy",
        "position": 10,
        "lag": 0,
        "delivered": 10,
        "filtered": 0,
        "retried": 0,
        "buried": 0,
        "dropped": 0,
        "missed": 0,
        "last_error": None,
        "attempts": 0,
        "failing_since": None,
        "next_attempt": None,
        **fields,
    }


def a_status(**fields):
    """Make the status of a daemon that is well."""
    return {
        "health": "ok",
        "problems": [],
        "warnings": [],
        "daemon": {
            "version": "0.1.0",
            "pid": 4711,
            "user": "root",
            "started": ago(hours=2, minutes=11),
            "uptime": 7860.5,
            "rss_bytes": 46_100_000,
            "cpu_seconds": 12.5,
            "cpu_percent": 0.4,
        },
        "kernel": {
            "name": "simulated",
            "connected": True,
            "host": "testhost",
            "boot_id": "boot",
            "os_release": "20.6.0",
        },
        "events": {
            "read": 10,
            "known": 10,
            "unknown": 0,
            "malformed": 0,
            "lost": 0,
            "late": 0,
            "awaited": 0,
            "posted": 10,
            "missed_before_start": 0,
            "too_big": 0,
            **fields.pop("events", {}),
        },
        "journal": {"lost": 0, "damaged": 0, "dead_letters_lost": 0, **fields.pop("journal", {})},
        "consumers": [],
        "api": {},
        "config": {"file": None},
        **fields,
    }


def an_interface(name, *, state="up", **fields):
    """Make an interface as it is now."""
    up = state == "up"
    since = ago(minutes=30)
    return {
        "name": name,
        "state": state,
        "up": up,
        "running": up,
        "addresses": [{"address": "192.168.1.20/24", "since": since, "since_seq": 3}] if up else [],
        "link_address": "1e:00:8a:00:10:01",
        "mtu": 1500,
        "link_quality": None,
        "link_quality_word": None,
        "since": {"up": since, "running": since, "present": since},
        "unsure": [],
        "gone": state == "gone",
        "last_event": {"seq": 1, "type": "network.dl.link-on", "time": since},
        **fields,
    }


class Fake:
    """Serves from the constructor to `close`; tests change its lists and call its methods."""

    def __init__(self):
        self.token = secrets.token_urlsafe(32)
        self.events = []
        self.status = a_status()
        self.webhooks = []
        self.lanes = []
        self.interfaces = []
        self.looked_from = ago(hours=3)
        self.explained = [
            {"name": "jsonl", "kind": "sink", "type": "jsonl", "verdict": "delivered", "why": ""}
        ]
        self.answers = {}
        """Path to (status, JSON): what is answered instead."""
        self.bad_filter = None
        """(rule, error, hint): a rule that is refused."""
        self.passes = {}
        """Rule to a function that tells whether an event passes it."""
        self.asked = []
        """(method, path and query, body) of every request under /v1/."""
        self.resumed = []
        """Last-Event-ID of every stream that was opened; None where there was none."""
        self.acts = {
            "test": {"ok": True, "status": 204, "outcome": "taken", "seconds": 0.012, "body": ""},
            "pause": {},
            "resume": {},
            "replay": {"replay": {"what": "dead letters", "state": "running"}},
        }
        """What is answered to what is done with a webhook."""
        self.closed = False
        """Whether streams are refused with 503."""
        self._streams = {}
        self._ready = threading.Event()
        self._thread = threading.Thread(target=lambda: asyncio.run(self._serve()))
        self._thread.start()
        assert self._ready.wait(10)

    # ------------------------------------------------------------------ what tests do

    @property
    def url(self):
        """Address with the token."""
        return f"{self.origin}/#token={self.token}"

    @property
    def origin(self):
        return f"http://127.0.0.1:{self.port}"

    @property
    def newest(self):
        return self.events[-1]["seq"] if self.events else 0

    def post(self, *events):
        """Have events come now."""

        async def post():
            for event in events:
                self.events.append(event)
                for queue, rules in self._streams.items():
                    if self._wanted(event, rules):
                        queue.put_nowait(("event", event["seq"], json.dumps(event)))
                    else:
                        queue.put_nowait(("position", None, json.dumps({"seq": event["seq"]})))

        self._call(post())

    def tell(self, kind, facts, seq=None):
        """Send any message to all streams."""

        async def tell():
            for queue in self._streams:
                queue.put_nowait((kind, seq, json.dumps(facts)))

        self._call(tell())

    def cut(self):
        """Close all streams."""

        async def cut():
            for queue in self._streams:
                queue.put_nowait(None)

        self._call(cut())

    def did(self):
        """Return path and body of what was asked to be done."""
        return [(path, body) for method, path, body in self.asked if method == "POST"]

    def close(self):
        self._loop.call_soon_threadsafe(self._stop.set)
        self._thread.join(10)

    # ------------------------------------------------------------------ server

    def _call(self, work):
        return asyncio.run_coroutine_threadsafe(work, self._loop).result(10)

    async def _serve(self):
        self._loop, self._stop = asyncio.get_running_loop(), asyncio.Event()
        app = web.Application(middlewares=[self._gate])
        app.on_response_prepare.append(self._headers)
        app.add_routes(
            [
                web.get("/v1/events/stream", self._stream),
                web.get("/v1/events/counts", self._counts),
                web.get("/v1/events/{id}/explain", self._explain),
                web.get("/v1/events", self._history),
                web.get("/v1/status", self._state),
                web.get("/v1/webhooks", self._roll),
                web.get("/v1/interfaces", self._now),
                web.get("/v1/interfaces/timeline", self._timeline),
                web.post("/v1/webhooks/{name}/{act}", self._act),
                web.get("/{name:.*}", self._file),
            ]
        )
        runner = web.AppRunner(app, access_log=None, shutdown_timeout=0.1)
        await runner.setup()
        try:
            await web.TCPSite(runner, "127.0.0.1", 0).start()
            self.port = runner.addresses[0][1]
            self._ready.set()
            await self._stop.wait()
        finally:
            await runner.cleanup()

    @web.middleware
    async def _gate(self, request, handler):
        if not request.path.startswith("/v1/"):
            return await handler(request)
        self.asked.append((request.method, request.path_qs, await request.text()))
        if request.headers.get("Authorization") != f"Bearer {self.token}":
            return web.json_response({"error": "a wrong token", "hint": ""}, status=401)
        if request.path in self.answers:
            status, facts = self.answers[request.path]
            return web.json_response(facts, status=status)
        for rule in request.query.getall("filter", []):
            if self.bad_filter is not None and rule == self.bad_filter[0]:
                _, error, hint = self.bad_filter
                return web.json_response({"error": error, "hint": hint}, status=422)
        return await handler(request)

    async def _headers(self, request, response):
        response.headers.update(HEADERS)

    async def _file(self, request):
        path = PAGE / (request.match_info["name"] or "index.html")
        if not path.is_file():
            raise web.HTTPNotFound
        kind = mimetypes.guess_type(path.name)[0]
        return web.Response(body=path.read_bytes(), content_type=kind)

    def _wanted(self, event, rules):
        tests = [self.passes[rule] for rule in rules if rule in self.passes]
        return not tests or any(test(event) for test in tests)

    async def _history(self, request):
        query = request.query
        found = [e for e in self.events if self._wanted(e, query.getall("filter", []))]
        found = [e for e in found if int(query.get("after", 0)) < e["seq"]]
        found = [e for e in found if e["seq"] < int(query.get("before", 1 << 60))]
        if "type" in query:
            found = [e for e in found if e["type"] == query["type"]]
        if query.get("order") == "desc":
            found.reverse()
        limit = int(query.get("limit", 100))
        shown = found[:limit]
        return web.json_response(
            {
                "events": shown,
                "first": shown[0]["seq"] if shown else None,
                "last": shown[-1]["seq"] if shown else None,
                "more": len(found) > limit,
                "oldest": self.events[0]["seq"] if self.events else 1,
                "newest": self.newest,
            }
        )

    async def _counts(self, request):
        by, buckets, total = request.query["by"], {}, {}
        for event in self.events:
            if event["seq"] >= int(request.query.get("before", 1 << 60)):
                continue
            if not self._wanted(event, request.query.getall("filter", [])):
                continue
            bucket = buckets.setdefault(event["time"][:16], {})
            bucket[event[by]] = bucket.get(event[by], 0) + 1
            total[event[by]] = total.get(event[by], 0) + 1
        return web.json_response(
            {
                "bucket": 60,
                "total": sum(total.values()),
                "by": total,
                "cut": False,
                "buckets": [
                    {"time": f"{time}:00.000000Z", "count": sum(words.values()), "by": words}
                    for time, words in sorted(buckets.items())
                ],
            }
        )

    async def _state(self, _request):
        return web.json_response(self.status)

    async def _roll(self, _request):
        return web.json_response({"webhooks": self.webhooks})

    async def _act(self, request):
        return web.json_response(self.acts[request.match_info["act"]])

    async def _explain(self, request):
        event = next(e for e in self.events if str(e["seq"]) == request.match_info["id"])
        return web.json_response({"event": event, "consumers": self.explained})

    async def _now(self, _request):
        return web.json_response({"interfaces": self.interfaces, "looked_from": self.looked_from})

    async def _timeline(self, request):
        units = {"m": "minutes", "h": "hours"}
        text = request.query["since"]
        since = datetime.now(UTC) - timedelta(**{units[text[-1]]: int(text[:-1])})
        now = stamp(datetime.now(UTC))
        return web.json_response({"since": stamp(since), "until": now, "lanes": self.lanes})

    async def _stream(self, request):
        if self.closed:
            return web.json_response({"error": "stopping", "hint": ""}, status=503)
        last = request.headers.get("Last-Event-ID")
        self.resumed.append(last)
        response = web.StreamResponse()
        response.content_type = "text/event-stream"
        await response.prepare(request)
        after = int(last) if last else self.newest
        rules = request.query.getall("filter", [])
        queue = asyncio.Queue()
        hello = {"version": "0.1.0", "host": "testhost", "boot_id": "boot", "oldest": 1}
        hello |= {"newest": self.newest, "after": after}
        queue.put_nowait(("hello", None, json.dumps(hello)))
        for event in self.events:
            if event["seq"] > after and self._wanted(event, rules):
                queue.put_nowait(("event", event["seq"], json.dumps(event)))
        self._streams[queue] = rules
        try:
            while (message := await queue.get()) is not None:
                kind, seq, data = message
                number = "" if seq is None else f"id: {seq}\n"
                await response.write(f"{number}event: {kind}\ndata: {data}\n\n".encode())
        except ConnectionError:
            pass
        finally:
            del self._streams[queue]
        return response


def busy(fake):
    """Have something of everything that the page shows."""
    now = datetime.now(UTC)
    fake.events = [
        an_event(
            seq,
            severity=SEVERITIES[seq % 6],
            kind=f"network.dl.kind-{seq % 9}",
            time=stamp(now - timedelta(seconds=19 * (180 - seq))),
        )
        for seq in range(1, 181)
    ]
    loss = {"lost": 12, "total": 12, "late": 0, "source": "id-gap", "first_id": 4, "last_id": 15}
    fake.events += [
        an_event(181, kind="kevmond.loss", severity="error", payload=loss, raw=None),
        an_event(182, kind="kevmond.missed", severity="warning", payload={"count": 37}),
    ]
    fake.status = a_status(
        health="failing",
        problems=[
            {
                "what": "consumer-disabled",
                "text": "pager is disabled: HTTP 410",
                "hint": "`kevmond webhook resume pager`",
            }
        ],
        warnings=[{"what": "loss", "text": "12 events were lost", "hint": "a larger buffer"}],
        events={"read": 1000, "lost": 12, "posted": 1012, "missed_before_start": 37},
        consumers=[
            a_consumer("jsonl"),
            a_consumer(
                "pager",
                kind="webhook",
                type="webhook",
                state="retrying",
                lag=1204,
                dead_letters=3,
                last_error="HTTP 503",
                next_attempt=stamp(now + timedelta(seconds=90)),
            ),
        ],
    )
    fake.webhooks = [
        a_webhook("pager", dead_letters=3, state="retrying", last_error="HTTP 503"),
        a_webhook("chat", origin="configuration", standing="paused", state="paused"),
    ]
    spans = [
        {"from": ago(minutes=50), "to": ago(minutes=20), "state": "up"},
        {"from": ago(minutes=20), "to": ago(minutes=18), "state": "down"},
        {"from": ago(minutes=18), "to": None, "state": "up"},
    ]
    there = [{"from": ago(minutes=50), "to": None, "state": "present"}]
    fake.lanes = [
        {"interface": "en0", "kind": "interface", "label": "interface", "spans": there},
        {"interface": "en0", "kind": "link", "label": "link", "spans": spans},
        {"interface": "en0", "kind": "address", "label": "192.168.1.20/24", "spans": there},
    ]
    fake.interfaces = [an_interface("en0"), an_interface("en1", state="down")]
