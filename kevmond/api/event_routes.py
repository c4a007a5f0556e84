"""/v1/events: what happened, as pages, counts and a stream, and what became of one event."""

from __future__ import annotations

import contextlib
from typing import TYPE_CHECKING, Any, Final, cast

from aiohttp import web

from kevmond import __version__
from kevmond.api.answers import PAST, SERVICES, DeniedError, NotHereError, answer
from kevmond.api.peer import peer_of
from kevmond.api.questions import CONDITION, check, choice, condition, when, whole
from kevmond.api.stream import STREAMS, Stream
from kevmond.errors import ConfigError
from kevmond.history.counts import BY, count
from kevmond.history.explain import explain
from kevmond.history.query import Wanted, search
from kevmond.journal.paging import bounds, find

if TYPE_CHECKING:
    import asyncio
    from collections.abc import Iterable

    from kevmond.events.event import Record
    from kevmond.history.counts import By

PAGE: Final = 100
"""Events in one answer, unless `limit` says another number."""
MOST_PAGE: Final = 1000
BUCKET: Final = 60
"""Seconds that are counted together, unless `bucket` says another number."""
MOST_STREAMS: Final = 128
CURSOR: Final = "Last-Event-ID"
"""Header by which a reader says how far it came."""

_PLACES: Final = ("after", "before", "since", "until")


def routes() -> list[web.RouteDef]:
    """Return what is served here."""
    return [
        web.get("/v1/events", _events),
        web.get("/v1/events/stream", _stream, allow_head=False),
        web.get("/v1/events/counts", _counts),
        web.get("/v1/events/{id}", _event),
        web.get("/v1/events/{id}/explain", _explain),
    ]


async def _events(request: web.Request) -> web.Response:
    """List events that fit a filter, a time and a text, a page at a time."""
    check(request, (*CONDITION, *_PLACES, "limit", "order"))
    newest_first = choice(request, "order", ("asc", "desc")) == "desc"
    limit = whole("limit", request.query.get("limit"))
    limit = PAGE if limit is None else min(max(1, limit), MOST_PAGE)
    past = request.app[PAST]
    page = await search(
        past.journal, past.turns, _wanted(request, newest_first=newest_first), limit
    )
    figures = {
        "first": page.records[0].seq if page.records else None,
        "last": page.last,
        "more": page.more,
        "oldest": past.journal.oldest_seq,
        "newest": past.journal.next_seq - 1,
    }
    return _with_lines(b'{"events":[%b],', page.records, figures)


async def _counts(request: web.Request) -> web.Response:
    """Count the newest events that fit, by type, interface or severity, and over time."""
    check(request, (*CONDITION, *_PLACES, "bucket", "by"))
    bucket = whole("bucket", request.query.get("bucket"))
    by = cast("By", choice(request, "by", BY))
    past = request.app[PAST]
    wanted = _wanted(request, newest_first=True)
    bucket = BUCKET if bucket is None else bucket
    return answer(await count(past.journal, past.turns, wanted, by=by, bucket=bucket))


async def _event(request: web.Request) -> web.Response:
    """Return one event, by its id or its position."""
    record = await _found(request)
    return web.Response(body=record.line, content_type="application/json", charset="utf-8")


async def _explain(request: web.Request) -> web.Response:
    """Tell which consumers got an event, and why the others did not."""
    record = await _found(request)
    services, streams = request.app[SERVICES], request.app[STREAMS]
    answers = await explain(
        record,
        services.journal,
        services.fleet,
        off=_switched_off(services.config(), services.fleet.names()),
        followers=streams,
    )
    return _with_lines(b'{"event":%b,', [record], {"consumers": answers})


async def _stream(request: web.Request) -> web.StreamResponse:
    """Follow events as they come, as server-sent events, from a cursor or a time on."""
    check(request, (*CONDITION, "after", "since"))
    services, streams = request.app[SERVICES], request.app[STREAMS]
    asked = condition(request)
    after = await _begin(request)
    if len(streams) >= MOST_STREAMS:
        raise DeniedError(503, f"{MOST_STREAMS} streams are open", "close some; there are no more")
    response = web.StreamResponse(headers={"Content-Type": "text/event-stream; charset=utf-8"})
    await response.prepare(request)
    transport = request.transport
    if transport is None:  # it hung up meanwhile
        return response
    stream = Stream(
        streams,
        services.journal,
        asked,
        transport=transport,
        write=response.write,
        peer=_peer(transport),
    )
    context = services.capture.context
    hello = {
        "version": __version__,
        "host": context.host,
        "boot_id": context.boot_id,
        "oldest": services.journal.oldest_seq,
        "newest": services.journal.next_seq - 1,
    }
    try:
        await stream.run(hello, after)
    except Exception as error:  # noqa: BLE001 - half an answer is there, so no other can be given
        streams.log.error("a stream failed", error=f"{type(error).__name__}: {error}")  # noqa: TRY400 - one line
        transport.abort()
    return response


async def _begin(request: web.Request) -> int | None:
    """Return the position behind which a stream begins; None if it begins with what comes."""
    if (told := request.headers.get(CURSOR)) is not None:
        return whole(CURSOR, told.strip())
    after, since_ns = whole("after", request.query.get("after")), when(request, "since")
    if after is not None and since_ns is not None:
        raise ConfigError("after and since: a stream begins at one of them")
    if since_ns is None:
        return after
    first, _ = await bounds(request.app[PAST].journal, since_ns)
    return first - 1


def _wanted(request: web.Request, *, newest_first: bool) -> Wanted:
    query = request.query
    return Wanted(
        condition(request),
        after=whole("after", query.get("after")),
        before=whole("before", query.get("before")),
        since_ns=when(request, "since"),
        until_ns=when(request, "until"),
        newest_first=newest_first,
    )


async def _found(request: web.Request) -> Record:
    check(request, ())
    event_id = request.match_info["id"]
    record = await find(request.app[PAST].journal, event_id)
    if record is None:
        journal = request.app[PAST].journal
        oldest, newest = journal.oldest_seq, journal.next_seq - 1
        hint = (
            f"it holds positions {oldest} to {newest}; older ones have left it (journal.max_age, "
            "journal.max_bytes); `kevmond history` lists what is there"
        )
        raise NotHereError(f"event {event_id[:100]} is not in the journal", hint)
    return record


def _with_lines(form: bytes, records: Iterable[Record], facts: dict[str, Any]) -> web.Response:
    """Answer with events whose JSON is made already."""
    lines = b",".join([record.line for record in records])
    rest: Any = answer(facts).body
    return web.Response(body=form % lines + rest[1:], content_type="application/json")


def _switched_off(config: dict[str, Any], running: list[str]) -> list[str]:
    """Return the configured sinks that do not run."""
    sinks = config["settings"].get("sinks", {})
    return [name for name in sinks if name not in running]


def _peer(transport: asyncio.Transport) -> str:
    """Return who is at the other end."""
    name = transport.get_extra_info("peername")
    if isinstance(name, tuple):
        return f"{name[0]}:{name[1]}"
    with contextlib.suppress(OSError, TypeError):
        peer = peer_of(transport.get_extra_info("socket"))
        return f"uid {peer.uid}" if peer.pid is None else f"pid {peer.pid}"
    return "unknown"
