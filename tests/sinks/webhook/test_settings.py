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


def test_private_and_http_where_allowed():
    """Both are there for those who want them."""
    settings = WebhookSettings(url="http://localhost:8080/", allow_http=True, allow_private=True)
    assert settings.where == "http://localhost:8080"
