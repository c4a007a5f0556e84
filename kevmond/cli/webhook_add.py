"""`kevmond webhook add`: a new subscription."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from kevmond.cli import daemon
from kevmond.cli import webhook_common as common


@click.command(
    epilog="""\b
Examples:
  kevmond webhook add https://example.org/hook
  kevmond webhook add https://example.org/hook --name ops --filter 'severity>=warning'
  kevmond webhook add https://example.org/hook --secret-file secret.txt --batch 100 --linger 2s
  kevmond webhook add https://example.org/hook --header Authorization=file:/etc/kevmond/token
  kevmond webhook add http://127.0.0.1:8080/ --allow-http --allow-private --start oldest
  kevmond webhook add https://example.org/hook --set give_up_after=1d --set timeout=5s

\b
Requests are signed as Standard Webhooks has it, with a secret that is made and shown once, unless
--secret-file or --unsigned says otherwise.  Every setting of [sinks.NAME] with type "webhook" can
be given by --set (docs/webhooks.md lists them).
"""
)
@click.argument("url")
@click.option("--name", metavar="NAME", help="Name to call it by; one is made up if none is given.")
@click.option(
    "--filter", "rules", multiple=True, metavar="RULE", help="Only these events; may be repeated."
)
@click.option("--secret-file", metavar="FILE", help="Sign with the secret in FILE (- for stdin).")
@click.option("--generate", is_flag=True, help="Sign with a secret made now (the default).")
@click.option("--unsigned", is_flag=True, help="Do not sign: the receiver cannot tell who sends.")
@click.option(
    "--format",
    "form",
    type=click.Choice(["event", "cloudevents", "cloudevents-batch"]),
    help="Form of the body; event by default.",
)
@click.option("--batch", type=click.IntRange(1, 10_000), help="Most events in one request; 1.")
@click.option("--linger", metavar="TIME", help="How long a batch waits to fill, such as 2s.")
@click.option("--gzip", is_flag=True, help="Compress bodies.")
@click.option(
    "--header", "headers", multiple=True, metavar="NAME=VALUE",
    help="One more header; VALUE may be env:NAME or file:/path.",
)  # fmt: skip
@click.option("--timeout", metavar="TIME", help="How long a request may take; 20s.")
@click.option(
    "--start",
    type=click.Choice(["newest", "oldest"]),
    help="Begin with what comes (newest, the default) or with all the journal holds.",
)
@click.option(
    "--allow-http", is_flag=True, help="The URL may be http, which can be read on the way."
)
@click.option(
    "--allow-private", is_flag=True, help="It may lead to this machine or a private network."
)
@click.option("--client-cert", metavar="FILE", help="Certificate to show to the receiver (PEM).")
@click.option("--client-key", metavar="FILE", help="Its private key (PEM).")
@click.option("--ca-file", metavar="FILE", help="Certificates to trust in place of the system's.")
@click.option("--proxy", metavar="URL", help="HTTP proxy to go through.")
@click.option("--handshake", is_flag=True, help="Ask the receiver first (CloudEvents validation).")
@click.option(
    "--set", "overrides", multiple=True, metavar="KEY=VALUE", help="Any other setting of a webhook."
)
@daemon.daemon_options
def add(
    *,
    url: str,
    name: str | None,
    rules: tuple[str, ...],
    secret_file: str | None,
    generate: bool,
    unsigned: bool,
    form: str | None,
    batch: int | None,
    headers: tuple[str, ...],
    overrides: tuple[str, ...],
    state_dir: Path | None,
    config: Path | None,
    as_json: bool,
    **given: Any,
) -> None:
    """Subscribe the endpoint at URL: events are POSTed to it from now on, in order."""
    if sum([secret_file is not None, generate, unsigned]) > 1:
        raise click.UsageError("--secret-file, --generate and --unsigned exclude each other.")
    _check_rules(rules)
    settings: dict[str, Any] = {"url": url}
    named = {"filter": list(rules), "format": form, "batch_size": batch, **_files(given)}
    settings |= {key: value for key, value in named.items() if value not in (None, False, [])}
    if headers:
        settings["headers"] = dict(_pair(header, "--header") for header in headers)
    settings |= {key: _value(text) for key, text in (_pair(one, "--set") for one in overrides)}
    secret = common.secret_from(secret_file)
    body = {
        "name": name,
        "settings": settings,
        "secret": secret,
        "generate": secret is None and not unsigned and "secret" not in settings,
    }
    facts = common.ask(state_dir, config, "POST", body=body)
    with common.told_once(facts, "is subscribed"):
        if as_json:
            daemon.emit(facts)
            return
        click.echo(f"webhook {facts['name']} is subscribed: {facts['state']}")
        for line in daemon.rows([("url", facts["url"]), ("last error", facts.get("last_error"))]):
            click.echo(line)
        common.told_secret(facts)
        click.echo(f"\nDoes it arrive?  kevmond webhook test {facts['name']}")


def _check_rules(rules: tuple[str, ...]) -> None:
    """Refuse a rule that cannot be understood before anything is sent."""
    from kevmond.cli.values import event_filter

    event_filter(rules)


def _files(given: dict[str, Any]) -> dict[str, Any]:
    """Make file names absolute: the daemon works in another folder."""
    names = {"client_cert", "client_key", "ca_file"}
    return {
        key: str(Path(value).expanduser().absolute()) if key in names and value else value
        for key, value in given.items()
    }


def _pair(text: str, option: str) -> tuple[str, str]:
    key, separator, value = text.partition("=")
    if not (separator and key.strip()):
        raise click.BadParameter(f"{text!r} is not KEY=VALUE", param_hint=f"'{option}'")
    return key.strip(), value.strip()


def _value(text: str) -> Any:
    """Read a value as TOML, or else as the text it is."""
    import tomllib

    try:
        return tomllib.loads(f"value = {text}")["value"]
    except tomllib.TOMLDecodeError:
        return text
