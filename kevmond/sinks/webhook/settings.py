"""What can be set for a webhook; what can be told to be wrong from the settings alone is refused.

Secrets, certificates and names are looked at later: when the sink opens, and at each connection.
"""

from __future__ import annotations

import re
from typing import Annotated, Any, Final, Literal
from urllib.parse import SplitResult, urlsplit

from pydantic import BeforeValidator, Field, model_validator

from kevmond.paths import StatePath
from kevmond.secret import Secret
from kevmond.sinks.base import DeliveryPolicy, SinkSettings
from kevmond.sinks.webhook.hostname import look_up_form
from kevmond.sinks.webhook.target import refusal
from kevmond.units import Duration, Size

SCHEDULE: Final = (5, 30, 120, 600, 1800, 3600, 7200, 18000, 36000, 36000, 36000)
"""Seconds: 5 s, 30 s, 2 min, 10 min, 30 min, 1 h, 2 h, 5 h, then 10 h again and again."""
DAY: Final = 86400.0
PACE: Final = 60.0
"""Longest wait, in seconds, that the rate a receiver allows (requests a minute) can ask for."""

_TOKEN: Final = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]+")
_VALUE: Final = re.compile(r"[\t -~]*")
_OURS: Final = frozenset(
    {
        "accept-encoding",
        "connection",
        "content-encoding",
        "content-length",
        "content-type",
        "expect",
        "host",
        "keep-alive",
        "te",
        "trailer",
        "transfer-encoding",
        "upgrade",
        "user-agent",
    }
)
_SECRET: Final = frozenset(["authorization", "cookie", "proxy-authorization"])

_SecretOrText = Annotated[Secret | str, Field(union_mode="left_to_right")]


def _several(given: Any) -> Any:
    return (given,) if isinstance(given, str | Secret) else given


class WebhookSettings(SinkSettings):
    """A sink of type "webhook"."""

    type: str = "webhook"
    url: str
    """Where to POST; https, unless `allow_http`."""
    secret: Annotated[
        tuple[Secret, ...],
        BeforeValidator(_several, json_schema_input_type=Secret | tuple[Secret, ...]),
        Field(max_length=2),
    ] = ()
    """Reference to the secret that requests are signed with ("whsec_" and base64), or two of them,
    the newer first, while it is being changed; without one, requests are not signed."""
    format: Literal["event", "cloudevents", "cloudevents-batch"] = "event"
    """event: the event's JSON, or an array of them if `batch_size` is more than 1; cloudevents: one
    CloudEvent 1.0 in JSON; cloudevents-batch: an array of them."""
    batch_size: int = Field(default=1, ge=1, le=10_000)
    """Most events in one request."""
    batch_bytes: Size = Field(default=256 << 10, ge=1)
    """Most bytes in the body of one request, before compression; one event is sent whatever its
    size."""
    gzip: bool = False
    """Whether bodies are compressed; the signature is that of the body before compression."""
    headers: dict[str, _SecretOrText] = Field(default={})
    """More headers for each request; a value env:NAME or file:/path is read when the sink opens,
    and Authorization must be given that way."""
    timeout: Duration = Field(default=20.0, gt=0)
    """How long a request may take, from the look-up of the name to the answer."""
    connect_timeout: Duration = Field(default=10.0, gt=0)
    """How much of that may pass until the connection stands."""
    write_timeout: Duration = Field(default=120.0, gt=0)
    """How long one batch may take with everything that goes with it: the validation handshake, the
    wait for the rate that the receiver allows, and halving a body that it finds too large."""
    drain_deadline: Duration | None = Field(default=2.0, ge=0)
    """How long a stopping daemon lets it finish, where that is less than `daemon.drain_deadline`;
    what is left waits in the journal."""
    allow_http: bool = False
    """Whether the URL may be http, which anybody on the way can read."""
    allow_private: bool = False
    """Whether connections may go to addresses that are not public: this machine, private networks,
    link-local, and the like.  The address itself is looked at when the connection is made."""
    client_cert: StatePath | None = None
    """Certificate (PEM) that kevmond shows to the receiver."""
    client_key: StatePath | None = None
    """Its private key (PEM, not encrypted), where it is not in the same file."""
    ca_file: StatePath | None = None
    """Certificates (PEM) to trust in place of the system's."""
    proxy: _SecretOrText | None = None
    """URL of an HTTP proxy.  One with a password in it is given by reference (env:, file:)."""
    handshake: bool = False
    """Whether the receiver is asked first (OPTIONS) if it wants events from here, as CloudEvents
    has it for webhooks; the rate it allows is then kept."""
    schedule: tuple[Annotated[Duration, Field(gt=0)], ...] = Field(default=SCHEDULE, min_length=1)
    """Waits before the second attempt, the third, and so on; the last one repeats.  Each is drawn
    between half of it and all of it.  A receiver that asks for a wait (Retry-After) is given it, up
    to the longest of these."""
    give_up_after: Duration = Field(default=3 * DAY, ge=0)
    """How long the first event in line is tried before it goes to the dead letters and the next
    has its turn; 0: for ever.  Time without a network does not count."""
    disable_after: Duration = Field(default=5 * DAY, ge=0)
    """After how long without any success the sink is disabled; 0: never."""

    @property
    def policy(self) -> DeliveryPolicy:
        """How long the receiver is waited for."""
        return DeliveryPolicy(
            schedule=self.schedule,
            give_up_after=self.give_up_after or None,
            disable_after=self.disable_after or None,
        )

    @property
    def where(self) -> str:
        """The receiver in messages: without path and query, which may hold a secret."""
        parts = urlsplit(self.url)
        return f"{parts.scheme}://{parts.netloc}"

    @model_validator(mode="after")
    def _url_can_be_used(self) -> WebhookSettings:
        parts, host = _split(self.url, "url")
        if parts.scheme == "http" and not self.allow_http:
            raise ValueError("url: it is http; use https, or set allow_http = true")
        if parts.fragment:
            raise ValueError("url: a fragment (#) is never sent; leave it away")
        if not self.allow_private:
            local = host == "localhost" or host.endswith(".localhost")
            why = "this machine" if local else refusal(host)
            if why:
                raise ValueError(f"url: {host} is {why}; set allow_private = true to allow it")
        if isinstance(self.proxy, str):
            _split(self.proxy, "proxy")
        return self

    @model_validator(mode="after")
    def _headers_can_be_sent(self) -> WebhookSettings:
        for name, value in self.headers.items():
            low = name.lower()
            if not _TOKEN.fullmatch(name):
                raise ValueError(f"headers: {name!r} is not the name of a header")
            if low in _OURS or low.startswith("webhook-"):
                raise ValueError(f"headers: {name} is kevmond's own to set")
            if isinstance(value, str):
                if low in _SECRET:
                    raise ValueError(f"headers: give {name} by reference: env:NAME or file:/path")
                if not _VALUE.fullmatch(value):
                    raise ValueError(f"headers: the value of {name} has characters beyond ASCII")
        return self

    @model_validator(mode="after")
    def _fields_fit_together(self) -> WebhookSettings:
        if self.format == "cloudevents" and self.batch_size > 1:
            raise ValueError(
                'format = "cloudevents" has one event in a request: '
                'leave batch_size at 1, or use "cloudevents-batch"'
            )
        if self.client_key and not self.client_cert:
            raise ValueError("client_key needs client_cert")
        least = self.timeout + (self.timeout + PACE if self.handshake else 0)
        if self.write_timeout <= least:
            raise ValueError(
                f"write_timeout must be more than {least:g} s, which a request may take"
            )
        return self


def _split(url: str, key: str) -> tuple[SplitResult, str]:
    """Return the parts of a URL, and its host as it is looked up; ValueError says what is wrong."""
    try:
        parts = urlsplit(url)
        port = parts.port
    except ValueError as error:
        raise ValueError(f"{key}: {error}") from error
    if parts.scheme not in {"http", "https"} or not parts.hostname or port == 0:
        raise ValueError(f"{key}: not a URL of the form https://host/path")
    if not url.isprintable() or " " in url:
        raise ValueError(f"{key}: it has a space or a control character in it")
    if "@" in parts.netloc:
        raise ValueError(
            f"{key}: no name and password here; "
            + (
                "give the whole URL by reference: env:NAME or file:/path"
                if key == "proxy"
                else "use headers.Authorization"
            )
        )
    try:
        return parts, look_up_form(parts.hostname, bracketed="[" in parts.netloc)
    except ValueError as error:
        raise ValueError(f"{key}: {error}") from error
