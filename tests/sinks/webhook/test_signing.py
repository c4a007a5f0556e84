"""Signatures, checked by the library that receivers use."""

from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st
from standardwebhooks import Webhook, WebhookVerificationError

from kevmond.errors import ConfigError
from kevmond.sinks.webhook.signing import Signer, check_secret, generate_secret, webhook_id

SECRET = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"
OTHER = "whsec_C2FVsBQIhrscChlQIMV+b5sSYspob7oD"


def headers(signature, at, name="msg_1"):
    """Return the headers of a signed request."""
    return {
        "webhook-id": name,
        "webhook-timestamp": str(int(at.timestamp())),
        "webhook-signature": signature,
    }


def test_signature_of_the_specification():
    """The signature that Standard Webhooks prints for its example is ours too."""
    at = datetime.fromtimestamp(1614265330, UTC)
    signature = Signer([SECRET]).sign("msg_p5jXN8AQM9LWM0D4loKWxJek", at, b'{"test": 2432232314}')
    assert signature == "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE="


@given(st.text(), st.sampled_from([[SECRET], [SECRET, OTHER], [OTHER, SECRET]]))
def test_library_verifies_what_is_signed(text, secrets):
    """Whatever the body, each secret that signed it verifies it."""
    at = datetime.now(UTC)
    signature = Signer(secrets).sign("msg_1", at, text.encode())
    for secret in secrets:
        Webhook(secret).verify(text.encode(), headers(signature, at), json_parse=False)


def test_other_secret_does_not_verify():
    """A receiver with another secret refuses the request."""
    at = datetime.now(UTC)
    signature = Signer([SECRET]).sign("msg_1", at, b"{}")
    with pytest.raises(WebhookVerificationError):
        Webhook(OTHER).verify(b"{}", headers(signature, at))


def test_no_secret_no_signature():
    """Without a secret nothing is signed."""
    assert Signer([]).sign("msg_1", datetime.now(UTC), b"{}") is None


def test_made_secret_can_sign():
    """A made secret is of the form that is asked for, and another each time."""
    made = generate_secret()
    assert check_secret(made) == made != generate_secret()
    Webhook(made)


@pytest.mark.parametrize("wrong", ["", "whsec_", "password", "whsec_!!!!", "whsec_c2hvcnQ="])
def test_secret_that_cannot_sign_is_told_without_showing_it(wrong):
    """A secret that is no base64, or too short, is refused; the message does not repeat it."""
    with pytest.raises(ConfigError) as caught:
        check_secret(wrong, "secret env:S")
    assert str(caught.value).startswith("secret env:S: not a webhook secret")
    assert not wrong.removeprefix("whsec_") or wrong not in str(caught.value)


def test_id_is_the_events_own():
    """A request with one event is named by the event."""
    assert webhook_id(["boot-7-0badcafe"]) == "boot-7-0badcafe"


def test_id_of_a_batch_is_that_of_its_events():
    """The same events give the same id, others another."""
    name = webhook_id(["a", "b", "c"])
    assert name.startswith("batch-")
    assert name == webhook_id(["a", "b", "c"])
    assert len({name, webhook_id(["a", "b"]), webhook_id(["a", "c"]), webhook_id(["a"])}) == 4


@pytest.mark.parametrize("odd", ["a\r\nb", "", "é", "x" * 300, "\ud800"])
def test_id_that_is_no_header_is_replaced(odd):
    """An id with characters that a header cannot have is replaced by a digest of it."""
    assert webhook_id([odd]).startswith("event-")
    assert webhook_id([odd]).isascii()
