"""Asking the receiver first, and keeping to the rate it allows."""

import pytest
from aiohttp import web

from kevmond.errors import GoneError, RetryableError
from kevmond.sinks.testing import record, records
from kevmond.sinks.webhook import handshake
from kevmond.sinks.webhook.handshake import Pace
from kevmond.sinks.webhook.sink import probe


def agreeing(status=200, **headers):
    """Return an answer to OPTIONS."""

    async def answer(request):
        named = {name.replace("_", "-"): value for name, value in headers.items()}
        return web.Response(status=status, headers=named)

    return answer


@pytest.mark.parametrize("origin", ["*", "mac.example", "MAC.example"])
async def test_receiver_is_asked_once_and_then_sent_to(receiver, opened, origin):
    """The first delivery asks with this machine's name; the others need not."""
    receiver.plan.append(agreeing(WebHook_Allowed_Origin=origin))
    sink = await opened(receiver.url, handshake=True)
    for number in (1, 2):
        await sink.write(records(number, number))
    assert [method for method, _, _ in receiver.got] == ["OPTIONS", "POST", "POST"]
    assert receiver.headers[0]["WebHook-Request-Origin"] == "mac.example"
    assert "webhook-id" not in receiver.headers[0]


@pytest.mark.parametrize(
    ("answer", "says"),
    [
        (405, "it answered OPTIONS with 405 Method Not Allowed"),
        (agreeing(), "WebHook-Allowed-Origin is missing"),
        (agreeing(WebHook_Allowed_Origin="else.example"), "WebHook-Allowed-Origin is else.example"),
        (
            agreeing(WebHook_Allowed_Origin="*", WebHook_Allowed_Rate="0"),
            "WebHook-Allowed-Rate is 0",
        ),
        (
            agreeing(WebHook_Allowed_Origin="*", WebHook_Allowed_Rate="many"),
            "WebHook-Allowed-Rate is many",
        ),
    ],
)
async def test_receiver_that_does_not_agree_gets_nothing(receiver, opened, answer, says):
    """Without the receiver's word nothing is posted; it is asked again with the next attempt."""
    receiver.plan.extend([answer, agreeing(WebHook_Allowed_Origin="*")])
    sink = await opened(receiver.url, handshake=True)
    with pytest.raises(RetryableError, match=says):
        await sink.write(records(1, 1))
    await sink.write(records(1, 1))
    assert [method for method, _, _ in receiver.got] == ["OPTIONS", "OPTIONS", "POST"]


async def test_gone_at_the_handshake(receiver, opened):
    """410 means the same here as to a delivery; a wait that is asked for is handed on."""
    receiver.plan.extend([agreeing(503, Retry_After="30"), 410])
    sink = await opened(receiver.url, handshake=True)
    with pytest.raises(RetryableError) as caught:
        await sink.write(records(1, 1))
    assert caught.value.after == 30
    with pytest.raises(GoneError):
        await sink.write(records(1, 1))


async def test_allowed_rate_is_kept(receiver, opened, monkeypatch):
    """With 30 requests a minute two seconds lie between one and the next."""
    slept = []
    now = [100.0]

    async def sleep(seconds):
        slept.append(seconds)
        now[0] += seconds

    monkeypatch.setattr(handshake.asyncio, "sleep", sleep)
    monkeypatch.setattr(handshake.time, "monotonic", lambda: now[0])
    receiver.plan.append(agreeing(WebHook_Allowed_Origin="*", WebHook_Allowed_Rate="30"))
    sink = await opened(receiver.url, handshake=True)
    for number in range(1, 5):
        await sink.write(records(number, number))
    assert slept == [2.0, 2.0, 2.0]
    now[0] += 60.0
    await sink.write(records(5, 5))
    assert len(slept) == 3


async def test_no_rate_no_wait(monkeypatch):
    """A receiver that allows any number waits for nothing."""

    async def sleep(seconds):
        raise AssertionError(seconds)

    monkeypatch.setattr(handshake.asyncio, "sleep", sleep)
    pace = Pace(None)
    for _ in range(100):
        await pace.wait()


async def test_odd_name_of_this_machine_is_made_one(receiver, settings):
    """What the machine is called need not be a name of the DNS; the header is one all the same."""
    from kevmond.events.decoder import Decoder
    from kevmond.events.event import Context

    receiver.plan.append(agreeing(WebHook_Allowed_Origin="*"))
    context = Context(host="Ünal's Mac\r\nX: y", boot_id="b")
    odd = Decoder(context).record(record(1).body, seq=1, wall_ns=1)
    await probe(settings(receiver.url, handshake=True), odd)
    assert receiver.headers[0]["WebHook-Request-Origin"] == "-nal-s-Mac--X--y"
