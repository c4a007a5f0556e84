"""Secrets, and the signature of a request, as Standard Webhooks has them.

A request is signed over "webhook-id.webhook-timestamp.body" by HMAC-SHA256; during a rotation once
with each secret, the signatures separated by a space, so that the receiver may know either.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import re
import secrets
from typing import TYPE_CHECKING, Final

from standardwebhooks import Webhook

from kevmond.errors import ConfigError

if TYPE_CHECKING:
    from collections.abc import Sequence
    from datetime import datetime

PREFIX: Final = "whsec_"
LEAST: Final = 24
MOST: Final = 64
"""Bytes that a secret has, by the specification."""

_FIT: Final = re.compile(r"[!-~]{1,256}")


def generate_secret() -> str:
    """Return a new secret, of 32 random bytes."""
    return PREFIX + base64.b64encode(secrets.token_bytes(32)).decode()


def check_secret(secret: str, name: str = "secret") -> str:
    """Return the secret if it can sign; ConfigError saying what is wrong, but not the secret."""
    try:
        key = base64.b64decode(secret.removeprefix(PREFIX), validate=True)
    except (binascii.Error, ValueError):
        key = b""
    if not LEAST <= len(key) <= MOST:
        raise ConfigError(
            f"{name}: not a webhook secret; write {PREFIX} and the base64 of "
            f"{LEAST} to {MOST} random bytes"
        )
    return secret


class Signer:
    """Signs with every secret it was given; with none, requests go without signature."""

    def __init__(self, given: Sequence[str]) -> None:
        self._hooks = [Webhook(secret) for secret in given]

    def sign(self, webhook_id: str, at: datetime, body: bytes) -> str | None:
        """Return the value of webhook-signature; None without a secret.

        `at` must be in UTC: the library takes the clock time for that, whatever the zone.
        """
        if not self._hooks:
            return None
        text = body.decode()
        return " ".join(hook.sign(webhook_id, at, text) for hook in self._hooks)


def webhook_id(ids: Sequence[str]) -> str:
    """Return what names a request for ever: the event's id, or one made of the ids of all events.

    The same events have the same one, whenever they are sent.
    """
    if len(ids) == 1 and _FIT.fullmatch(ids[0]):
        return ids[0]
    digest = hashlib.blake2b("\n".join(ids).encode(errors="replace"), digest_size=16).hexdigest()
    return f"batch-{digest}" if len(ids) > 1 else f"event-{digest}"
