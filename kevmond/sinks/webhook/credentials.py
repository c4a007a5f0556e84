"""What a webhook needs from files and the environment, read when the sink opens and reopens."""

from __future__ import annotations

import ssl
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Final
from urllib.parse import urlsplit

from kevmond.errors import ConfigError
from kevmond.secret import Secret
from kevmond.sinks.webhook.signing import Signer, check_secret

if TYPE_CHECKING:
    from kevmond.sinks.webhook.settings import WebhookSettings

SYSTEM_BUNDLE: Final = Path("/etc/ssl/cert.pem")
"""macOS keeps the certificates it trusts here too; Python from python.org looks elsewhere."""


@dataclass(frozen=True, slots=True)
class Credentials:
    """Nothing in it is shown by its repr."""

    signer: Signer = field(repr=False)
    headers: dict[str, str] = field(repr=False)
    proxy: str | None = field(repr=False)
    tls: ssl.SSLContext = field(repr=False)


def read_credentials(settings: WebhookSettings) -> Credentials:
    """Read secrets and certificates; blocking.  ConfigError names the key or file that is wrong."""
    secrets = [check_secret(one.reveal(), f"secret {one.reference}") for one in settings.secret]
    headers = {name: _header(name, value) for name, value in settings.headers.items()}
    return Credentials(Signer(secrets), headers, _proxy(settings.proxy), _tls(settings))


def _header(name: str, value: Secret | str) -> str:
    if isinstance(value, str):
        return value
    text = value.reveal()
    if not (text.isascii() and text.isprintable()):
        raise ConfigError(f"headers.{name}: {value.reference} has characters beyond ASCII")
    return text


def _proxy(value: Secret | str | None) -> str | None:
    if not isinstance(value, Secret):
        return value
    url = value.reveal().strip()
    parts = urlsplit(url)
    if parts.scheme not in {"http", "https"} or not parts.hostname:
        raise ConfigError(f"proxy {value.reference}: not a URL of the form http://host:port")
    return url


def _tls(settings: WebhookSettings) -> ssl.SSLContext:
    ca_file, cert = settings.ca_file, settings.client_cert
    # Not `ssl.create_default_context`: what that refuses changes from one Python to the next.
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    context.set_alpn_protocols(["http/1.1"])
    if ca_file is None:
        context.load_default_certs()
        places = ssl.get_default_verify_paths()
        if not (places.cafile or places.capath) and SYSTEM_BUNDLE.exists():
            context.load_verify_locations(SYSTEM_BUNDLE)
    else:
        try:
            context.load_verify_locations(ca_file)
        except OSError as error:
            raise ConfigError(f"ca_file {ca_file}: {_why(error)}") from error
    if cert is not None:
        try:
            # Without a password given, OpenSSL would ask for one on the terminal.
            context.load_cert_chain(cert, settings.client_key, password="")
        except OSError as error:
            files = f"{cert}" + (f", {settings.client_key}" if settings.client_key else "")
            raise ConfigError(f"client_cert {files}: {_why(error)}") from error
    return context


def _why(error: OSError) -> str:
    if isinstance(error, ssl.SSLError):
        return f"not PEM as it is wanted here ({error.reason or error})"
    return error.strerror or str(error)
