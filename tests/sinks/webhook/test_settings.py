"""What can be set for a webhook, and what is refused before anything is sent."""

import pytest
from pydantic import ValidationError

from kevmond.secret import Secret
from kevmond.sinks.base import DeliveryPolicy, policy_of
from kevmond.sinks.webhook.settings import WebhookSettings
from kevmond.sinks.webhook.sink import WebhookSink

URL = "https://hooks.example/in"


def test_url_is_all_that_must_be_given():
    """A URL alone makes a webhook: one event a request, tried for days."""
    settings = WebhookSettings(url=URL)
    assert (settings.batch_size, settings.linger, settings.format) == (1, 0, "event")
    assert sum(settings.schedule) > 86400
    assert settings.give_up_after == 3 * 86400
    assert settings.disable_after == 5 * 86400


def test_policy_is_what_is_set():
    """Schedule and ages reach the runner as the sink's policy; 0 means never."""
    settings = WebhookSettings(url=URL, schedule=["1s", "1m"], give_up_after="2h", disable_after=0)
    expected = DeliveryPolicy(schedule=(1.0, 60.0), give_up_after=7200.0, disable_after=None)
    assert policy_of(WebhookSink("hook", settings)) == expected


def test_one_secret_or_two():
    """A secret stands alone or in a list; dumps hold references and read back the same."""
    one = WebhookSettings(url=URL, secret="env:ONE")
    two = WebhookSettings(url=URL, secret=["env:ONE", "file:/two"])
    assert one.secret == (Secret("env:ONE"),)
    assert two.secret == (Secret("env:ONE"), Secret("file:/two"))
    assert WebhookSettings(**two.model_dump(mode="json")) == two


def test_header_by_reference_is_a_secret():
    """A header's value is text, or a reference that is read later."""
    headers = {"X-Team": "net: ops", "Authorization": "env:TOKEN"}
    settings = WebhookSettings(url=URL, headers=headers)
    assert settings.headers == {"X-Team": "net: ops", "Authorization": Secret("env:TOKEN")}


def test_messages_do_not_show_the_path():
    """The receiver is named without path and query: they may be all the secret there is."""
    assert WebhookSettings(url=f"{URL}/T0/x?key=k").where == "https://hooks.example"


@pytest.mark.parametrize(
    ("given", "says"),
    [
        ({"url": "http://h/"}, "use https, or set allow_http = true"),
        ({"url": "ftp://h/"}, "not a URL of the form https://host/path"),
        ({"url": "hooks.example"}, "not a URL of the form"),
        ({"url": "https:///x"}, "not a URL of the form"),
        ({"url": "https://h:99999/"}, "url: Port out of range"),
        ({"url": "https://u:p@h/"}, "use headers.Authorization"),
        ({"url": "https://h/#top"}, "a fragment"),
        ({"url": "https://h/a b"}, "a space or a control character"),
        ({"url": "https://h/\r\nX: y"}, "a space or a control character"),
        ({"url": "https://127.0.0.1/"}, "127.0.0.1 is this machine"),
        ({"url": "https://localhost:8443/"}, "localhost is this machine"),
        ({"url": "https://a.localhost./"}, "a.localhost is this machine"),
        ({"url": "https://127.1/"}, "127.1 is neither a name nor a whole IPv4 address"),
        ({"url": "https://2130706433/"}, "is neither a name nor a whole IPv4 address"),
        ({"url": "https://0x7f000001./"}, "is neither a name nor a whole IPv4 address"),
        ({"url": "https://10.1.2.3/"}, "10.1.2.3 is a private address; set allow_private = true"),
        ({"url": "https://[fe80::1]/"}, "fe80::1 is a link-local address"),
        ({"url": "https://[::ffff:192.168.1.1]/"}, "is a private address"),
        ({"url": "https://[::7f00:1]/"}, "::7f00:1 is no public address"),
        ({"url": "https://ⓛocalhost/"}, "localhost is this machine"),
        ({"url": "https://a..b/"}, "url: a..b is no name of a host: nothing stands between two"),
        ({"url": "https://.example/"}, "nothing stands between two dots"),
        ({"url": "https://a.b../"}, "nothing stands between two dots"),
        ({"url": f"https://{'a' * 64}.example/"}, "a part has 64 characters, and 63 are the most"),
        ({"url": f"https://{'a.' * 127}example/"}, "the host has 261 characters, and 253 are"),
        ({"url": "https://xn--a.example/"}, "xn--a.example is no internationalized name of a host"),
        ({"url": f"https://{'ü' * 64}.example/"}, "is no internationalized name of a host"),
        ({"url": "https://[v1.x]/"}, "url: [v1.x] is no IPv6 address"),
        ({"url": "https://a!b.example/"}, "a!b.example is no name of a host: '!' is in it"),
        ({"url": "https://h%41.example/"}, "'%' is in it"),
        ({"proxy": "http://a..b:3128/"}, "proxy: a..b is no name of a host"),
        ({"secret": "whsec_abcdef"}, "a secret is given by reference"),
        ({"secret": ["env:A", "env:B", "env:C"]}, "at most 2 items"),
        ({"headers": {"Webhook-Id": "x"}}, "Webhook-Id is kevmond's own to set"),
        ({"headers": {"Content-Type": "x"}}, "Content-Type is kevmond's own to set"),
        ({"headers": {"a b": "x"}}, "not the name of a header"),
        ({"headers": {"X-A": "b\r\nX-C: d"}}, "characters beyond ASCII"),
        ({"headers": {"authorization": "Bearer x"}}, "give authorization by reference"),
        ({"format": "cloudevents", "batch_size": 2}, 'use "cloudevents-batch"'),
        ({"client_key": "/key.pem"}, "client_key needs client_cert"),
        ({"proxy": "socks5://h:1080"}, "proxy: not a URL"),
        ({"proxy": "http://u:p@h:3128"}, "give the whole URL by reference"),
        ({"timeout": 120}, "write_timeout must be more than 120 s"),
        ({"handshake": True, "write_timeout": 90}, "write_timeout must be more than 100 s"),
        ({"schedule": []}, "at least 1 item"),
        ({"schedule": [0]}, "greater than 0"),
        ({"colour": "red"}, "Extra inputs are not permitted"),
    ],
)
def test_what_cannot_work_is_refused(given, says):
    """Each mistake is told with its key and what to write instead."""
    with pytest.raises(ValidationError) as caught:
        WebhookSettings(**{"url": URL, **given})
    assert says in str(caught.value)


@pytest.mark.parametrize(
    "host",
    [
        "h_x.example",
        "localhost4",
        "hooks.example.",
        f"{'a' * 63}.example",
        "münchen.example",
        "xn--mnchen-3ya.example",
        "xn--ls8h.example",
        "8.8.8.8",
        "[2606:4700::1111]",
    ],
)
def test_every_host_that_can_be_looked_up_is_taken(host):
    """Names are not judged by more than what makes a look-up impossible."""
    assert WebhookSettings(url=f"https://{host}:8443/in").where == f"https://{host}:8443"


def test_stop_does_not_wait_long_for_a_receiver():
    """A stopping daemon gives a webhook less time than it has itself, unless it is told so."""
    assert WebhookSettings(url=URL).drain_deadline == 2
    assert WebhookSettings(url=URL, drain_deadline="4s").drain_deadline == 4


def test_private_and_http_where_allowed():
    """Both are there for those who want them."""
    settings = WebhookSettings(url="http://localhost:8080/", allow_http=True, allow_private=True)
    assert settings.where == "http://localhost:8080"
