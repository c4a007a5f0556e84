"""Verifying what arrived: genuine requests, and what is wrong with others."""

import gzip
from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kevmond.errors import ConfigError
from kevmond.sinks.webhook.signing import Signer
from kevmond.sinks.webhook.verify import VerifyError, verify

SECRET = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"
OTHER = "whsec_C2FVsBQIhrscChlQIMV+b5sSYspob7oD"
AT = 1_795_507_771
BODY = b'{"schema":"kevmond/1","interface":"en0","host":"caf\xc3\xa9"}'


def signed(body=BODY, secrets=(SECRET,), at=AT, **more):
    """Return the headers of a request as kevmond sends it."""
    moment = datetime.fromtimestamp(at, UTC)
    return {
        "Webhook-Id": "msg_1",
        "Webhook-Timestamp": str(at),
        "Webhook-Signature": Signer(secrets).sign("msg_1", moment, body),
        **more,
    }


def test_a_genuine_request():
    """What the sender signed is verified, with its age and the secret that fits."""
    found = verify(signed(), BODY, [SECRET], now=AT + 12.5)
    assert (found.webhook_id, found.timestamp, found.age) == ("msg_1", AT, 12.5)
    assert (found.secret, found.signature, found.body) == (0, 0, BODY)


def test_the_example_of_the_specification():
    """The request that Standard Webhooks prints is genuine."""
    headers = {
        "webhook-id": "msg_p5jXN8AQM9LWM0D4loKWxJek",
        "webhook-timestamp": "1614265330",
        "webhook-signature": "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE=",
    }
    found = verify(headers, b'{"test": 2432232314}', [SECRET], tolerance=None)
    assert found.timestamp == 1614265330


@given(st.text(), st.sampled_from([[SECRET], [SECRET, OTHER], [OTHER, SECRET]]))
def test_every_body_that_is_signed_is_verified(text, secrets):
    """Whatever is sent, either secret of a rotation verifies it."""
    body = text.encode()
    headers = signed(body, secrets)
    for secret in secrets:
        assert verify(headers, body, [secret], now=AT).signature == secrets.index(secret)


def test_several_secrets_and_signatures():
    """It is told which secret fits which signature; those of other versions are passed over."""
    headers = signed(secrets=[OTHER])
    headers["Webhook-Signature"] = f"v1a,c29tZXRoaW5n v1,AAAA {headers['Webhook-Signature']}"
    found = verify(headers, BODY, [SECRET, OTHER], now=AT)
    assert (found.secret, found.signature) == (1, 2)


def test_a_compressed_body_is_decompressed():
    """Signed is the body before compression; a framework may also have decompressed it."""
    headers = signed(**{"Content-Encoding": "gzip"})
    assert verify(headers, gzip.compress(BODY), [SECRET], now=AT).body == BODY
    assert verify(headers, BODY, [SECRET], now=AT).body == BODY


def wrong(headers, body=BODY, secrets=(SECRET,), now=AT, **more):
    """Return the error that a request raises."""
    with pytest.raises(VerifyError) as caught:
        verify(headers, body, secrets, now=now, **more)
    return caught.value


@pytest.mark.parametrize("name", ["Webhook-Id", "Webhook-Timestamp", "Webhook-Signature"])
def test_a_missing_header_is_named(name):
    """And so are those that are there."""
    headers = signed()
    del headers[name]
    error = wrong(headers)
    assert error.reason == "header"
    assert str(error).startswith(f"missing header {name.lower()}; got: webhook-")


def test_all_missing_headers_are_named():
    """A request that is not signed at all says so at once."""
    text = str(wrong({"content-type": "application/json"}))
    assert text == (
        "missing headers webhook-id, webhook-timestamp, webhook-signature; got: content-type"
    )
    assert str(wrong({})).endswith("got: none")


@pytest.mark.parametrize(
    ("now", "told"),
    [
        (AT + 301, "the signature fits, but the request is 301 s old, and 300 s are allowed"),
        (AT - 301, "the signature fits, but the request is from 301 s in the future"),
    ],
)
def test_a_request_of_another_time(now, told):
    """Old ones may be repeated by somebody; any time can be allowed."""
    error = wrong(signed(), now=now)
    assert (error.reason, str(error).startswith(told)) == ("time", True)
    assert verify(signed(), BODY, [SECRET], now=now, tolerance=None).age == now - AT
    assert verify(signed(), BODY, [SECRET], now=now, tolerance=301).age == now - AT


@pytest.mark.parametrize("text", ["", "soon", "-5", "1.5", "9" * 20, "999999999999", "\u0661"])
def test_a_timestamp_that_is_none(text):
    """Only whole seconds of our time are a timestamp."""
    error = wrong(signed() | {"Webhook-Timestamp": text})
    assert error.reason == "header"
    assert "webhook-timestamp" in str(error)


def test_the_present_is_the_clock_s():
    """Without `now` the age is that of the moment."""
    at = int(datetime.now(UTC).timestamp())
    assert -5 < verify(signed(at=at), BODY, [SECRET]).age < 60


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("v2,AAAA", "no signature of version v1, but: v2;"),
        ("AAAA", "but: no version;"),
        ("v1", "but: no version;"),
        ("v1,%%%", "no base64 ('%%%')"),
        ("v1,\u00e9", "no base64"),
        (",", "no signature of version v1"),
    ],
)
def test_a_signature_that_is_none(text, told):
    """It is quoted, and told what one looks like."""
    error = wrong(signed() | {"Webhook-Signature": text})
    assert error.reason == "header"
    assert told in str(error)


@pytest.mark.parametrize(
    ("change", "told"),
    [
        ({"Webhook-Id": "msg_2"}, "it is another secret, or the body"),
        ({"Webhook-Timestamp": str(AT + 1)}, "it is another secret, or the body"),
    ],
)
def test_a_header_that_was_changed(change, told):
    """The signature is over id and time too."""
    error = wrong(signed() | change)
    assert error.reason == "signature"
    assert told in str(error)


def test_another_secret():
    """One or several: none fits."""
    assert "no signature fits the secret" in str(wrong(signed(), secrets=[OTHER]))
    assert "fits any of the 2 secrets" in str(wrong(signed(), secrets=[OTHER, OTHER]))


@pytest.mark.parametrize(
    ("sent", "got", "told"),
    [
        (BODY, BODY + b"\n", "the line break at the body's end is taken away"),
        (BODY, BODY + b"\r\n", "the line break at the body's end is taken away"),
        (BODY + b"\n", BODY, "the body ends with a line break"),
        (b"{\n}", b"{\r\n}", "its line breaks are LF and not CRLF"),
        (BODY, b"\xef\xbb\xbf" + BODY, "the byte order mark before the body is taken away"),
        (BODY, BODY.replace(b",", b", "), "was the body parsed and written anew?"),
        (BODY, b"", "the body is empty; was it read before?"),
    ],
)
def test_a_body_that_was_changed_on_its_way(sent, got, told):
    """The usual alterations are found out."""
    error = wrong(signed(sent), got)
    assert error.reason == "signature"
    assert told in str(error)


def test_a_body_that_cannot_be_one(monkeypatch):
    """No text, a torn stream, a bomb: each is told."""
    packed = gzip.compress(BODY)
    zipped = {"Content-Encoding": "gzip"}
    assert "content-encoding: gzip is missing" in str(wrong(signed(), packed))
    assert "its end is missing" in str(wrong(signed(**zipped), packed[:-4]))
    monkeypatch.setattr("kevmond.sinks.webhook.verify.LONGEST", 100)
    bomb = wrong(signed(**zipped), gzip.compress(bytes(1 << 20)))
    assert (bomb.reason, str(bomb)) == ("body", "the body is longer than 100 bytes")


@given(st.dictionaries(st.text(), st.text()), st.binary())
def test_no_request_raises_anything_else(more, body):
    """Whatever arrives is answered with VerifyError."""
    for headers in (more, signed() | {name.title(): value for name, value in more.items()}):
        with pytest.raises(VerifyError):
            verify(headers, body, [SECRET], now=AT)


@given(*[st.text(min_size=1)] * 3, st.binary())
def test_no_odd_header_raises_anything_else(name, time, signature, body):
    """Nor does anything in the three headers that count."""
    headers = {"webhook-id": name, "webhook-timestamp": time, "webhook-signature": signature}
    with pytest.raises(VerifyError):
        verify(headers, body, [SECRET], now=AT)
    headers |= {"webhook-timestamp": str(AT), "webhook-signature": f"v1,{signature}"}
    with pytest.raises(VerifyError):
        verify(headers, body, [SECRET], now=AT)


def test_secrets_that_are_none():
    """No secret is an error of the caller's, a bad one of whoever wrote it down."""
    assert wrong(signed(), secrets=[]).reason == "signature"
    with pytest.raises(ConfigError, match="secret 2: not a webhook secret"):
        verify(signed(), BODY, [SECRET, "hunter2"], now=AT)
