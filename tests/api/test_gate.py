"""Loopback: by our own names, from our own page, with the token; and nothing else."""

import json

import pytest

from kevmond.api import gate
from kevmond.api.listener import SOCKET
from kevmond.api.refusals import AGAIN


@pytest.fixture
async def page(server):
    """Open the page's port; return the port and the token."""
    where, _, token = server.open_page().partition("/#token=")
    return int(where.rpartition(":")[2]), token


@pytest.fixture
def get(page, exchange):
    """Ask for a path at the page's port, with headers in place of the usual ones or beside them."""
    port, token = page

    async def get(path="/v1/", *, method="GET", place=None, **headers):
        given = {"Host": f"127.0.0.1:{port}", "Authorization": f"Bearer {token}", **headers}
        lines = [f"{name.replace('_', '-')}: {value}" for name, value in given.items() if value]
        head = "\r\n".join([f"{method} {path} HTTP/1.1", "Connection: close", *lines])
        answer = await exchange(place or port, f"{head}\r\n\r\n".encode("latin-1"))
        head, _, body = answer.partition(b"\r\n\r\n")
        status, *lines = head.decode().split("\r\n")
        found = dict(line.split(": ", 1) for line in lines)
        return int(status.split()[1]), found, body

    return get


async def test_token_opens_the_api(get):
    """Who has the address that the daemon made is answered as at the Unix socket."""
    status, _, body = await get("/v1/webhooks")
    assert (status, json.loads(body)) == (200, {"webhooks": [{"name": "wh-1"}]})


@pytest.mark.parametrize(
    ("given", "text"),
    [
        (None, "no token"),
        ("Bearer ", "a wrong token"),
        ("Bearer x", "a wrong token"),
        ("Basic {token}", "a wrong token"),
        ("bearer {token}", "a wrong token"),
        ("Bearer {token} ", None),
        ("Bearer {token}x", "a wrong token"),
        ("Bearer \xff\xfe", "a wrong token"),
    ],
)
async def test_wrong_token_is_refused(get, page, subscriptions, log, given, text):
    """Without the very token nothing of the API is answered, which is said once."""
    for _ in range(3):
        given_now = given and given.format(token=page[1])
        status, headers, body = await get("/v1/webhooks/a", Authorization=given_now)
        if text is None:  # what stands around a header's value is no part of it
            assert status == 200
            continue
        assert (status, headers["WWW-Authenticate"]) == (401, "Bearer")
        assert json.loads(body)["error"] == f"the request has {text}"
        assert subscriptions.calls == []
    refusals = [(f"the API refused a request with {text}", {"path": "/v1/webhooks/a"})]
    assert log.lines == ([] if text is None else refusals)


async def test_token_is_not_looked_for_in_the_path(get, page):
    """A token in an address ends up in histories and logs: it does not count."""
    assert (await get(f"/v1/?token={page[1]}", Authorization=None))[0] == 401


async def test_every_path_of_the_api_needs_the_token(get):
    """Also one that is not there."""
    assert (await get("/v1/nonsense", Authorization=None))[0] == 401
    assert (await get("/v1/nonsense"))[0] == 404
    assert (await get("/v1/", Authorization=None, method="OPTIONS"))[0] == 401


@pytest.mark.parametrize("host", ["127.0.0.1", "localhost", "LOCALHOST", "[::1]"])
async def test_own_names_are_known(get, page, host):
    """Three names of loopback, with the port, are ours."""
    assert (await get(Host=f"{host}:{page[0]}"))[0] == 200


@pytest.mark.parametrize(
    "host",
    [
        "evil.example",
        "evil.example:{port}",
        "127.0.0.1",
        "localhost",
        "127.0.0.1:1",
        "127.0.0.2:{port}",
        "0.0.0.0:{port}",
        "localhost.evil.example:{port}",
        "127.0.0.1:{port}@evil.example",
        "[::ffff:127.0.0.1]:{port}",
        "",
    ],
)
async def test_other_names_are_refused(get, page, log, host):
    """A name that somebody made to point here (DNS rebinding) is none of ours; it is said once."""
    for _ in range(2):
        status, _, body = await get("/", Host=host.format(port=page[0]) or " ")
        assert status == 421
        assert "127.0.0.1, localhost or [::1]" in json.loads(body)["hint"]
    assert len(log.lines) == 1


async def test_request_without_a_name_is_refused(page, exchange, monkeypatch):
    """HTTP/1.0 has no need of one; here it is needed, and no resolver is asked for one."""
    monkeypatch.setattr("socket.getfqdn", None)
    port, token = page
    request = f"GET /v1/ HTTP/1.0\r\nAuthorization: Bearer {token}\r\n\r\n".encode()
    assert b" 421 " in (await exchange(port, request)).splitlines()[0]
    request = f"GET /v1/ HTTP/1.1\r\nAuthorization: Bearer {token}\r\n\r\n".encode()
    assert b" 400 " in (await exchange(port, request)).splitlines()[0]


async def test_port_80_needs_no_port_in_the_name():
    """Browsers leave the port of http out."""

    class Transport:
        def get_extra_info(self, name):
            return ("127.0.0.1", 80)

    class Request:
        transport = Transport()

    assert {"localhost", "127.0.0.1:80", "[::1]"} <= gate._names_of(Request)
    Request.transport = None
    assert gate._names_of(Request) == set()


async def test_own_page_may_ask(get, page):
    """The Origin that a browser tells of our own page is the address it was called by."""
    port = page[0]
    assert (await get(Origin=f"http://127.0.0.1:{port}"))[0] == 200
    assert (await get(Host=f"localhost:{port}", Origin=f"http://localhost:{port}"))[0] == 200


@pytest.mark.parametrize(
    "origin",
    ["http://evil.example", "null", "https://127.0.0.1:{port}", "http://127.0.0.1",
     "http://localhost:{port}", "http://127.0.0.1:{port}/"],
)  # fmt: skip
async def test_other_pages_are_refused(get, page, subscriptions, log, origin):
    """Whatever another web page has the browser send is not looked at, the token or not."""
    for _ in range(2):
        given = origin.format(port=page[0])
        status, _, _ = await get("/v1/webhooks/a/pause", method="POST", Origin=given)
        assert status == 403
    assert subscriptions.calls == []
    assert len(log.lines) == 1


async def test_answers_tell_browsers_to_be_careful(get):
    """Every answer, refusals included, has the headers that keep other pages out."""
    for path, more in (("/v1/", {}), ("/v1/", {"Authorization": None}), ("/nonsense", {})):
        _, headers, _ = await get(path, **more)
        assert headers["Content-Security-Policy"] == (
            "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; img-src "
            "'self' data:; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
        )
        assert headers["X-Content-Type-Options"] == "nosniff"
        assert headers["Referrer-Policy"] == "no-referrer"
        assert headers["Cache-Control"] == "no-store"
        assert headers["Server"] == "kevmond"
        assert "Access-Control-Allow-Origin" not in headers


@pytest.mark.parametrize(
    ("path", "status"),
    [
        ("/..%2f..%2fetc%2fpasswd", 404),
        ("/../../etc/passwd", 404),
        ("/%2e%2e/%2e%2e/etc/passwd", 404),
        ("/page/../server.py", 404),
        ("/..%5c..%5cserver.py", 404),
        ("//etc/passwd", 404),
        ("//evil.example/v1/", 404),
        ("/index.html%00.js", 404),
        ("/index.html/", 404),
        ("/%00", 404),
        ("/server.py", 404),
        ("/__init__.py", 404),
        ("http://evil.example/v1/", 400),
        ("http://127.0.0.1/", 400),
    ],
)
async def test_path_tricks_lead_nowhere(get, path, status):
    """A path is one of a fixed list, or there is nothing: no file is looked for by it."""
    found, headers, body = await get(path, Authorization=None)
    assert found == status, body
    assert headers["X-Content-Type-Options"] == "nosniff"
    assert b"root:" not in body


@pytest.mark.parametrize("path", ["/\0", "/a b", "/v1/\x7f", "evil.example:80", "*"])
async def test_no_path_at_all_is_no_request(get, path):
    """What HTTP does not allow as a target is answered by 400 before anything is looked at."""
    assert (await get(path))[0] in {400, 404}


@pytest.mark.parametrize(
    "path", ["/%76%31/webhooks", "/v1/./webhooks", "/x/../v1/webhooks", "/V1/webhooks"]
)
async def test_other_spellings_do_not_get_around_the_token(get, subscriptions, path):
    """However a path of the API is written, it needs the token."""
    assert (await get(path, Authorization=None))[0] in {401, 404}


async def test_a_million_refusals_are_no_million_lines(get, log):
    """Each kind of refusal is said at first, and again when there are many more."""
    for _ in range(AGAIN + 5):
        await get(Authorization=None)
    assert [facts.get("times") for _, facts in log.lines] == [None, AGAIN]


async def test_unix_socket_needs_no_token(get, folder):
    """Its callers are known by the kernel; they call it kevmond, or this machine."""
    place = folder / SOCKET
    for host in ("kevmond", "localhost", "127.0.0.1:8000"):
        assert (await get(place=place, Host=host, Authorization=None))[0] == 200


async def test_unix_socket_by_a_foreign_name_is_refused(get, folder):
    """A page whose name leads to a forwarded port asks as if it were ours, but for the name."""
    found = await get(place=folder / SOCKET, Host="evil.example:9000", Authorization=None)
    assert found[0] == 421


@pytest.mark.parametrize(
    ("headers", "status"),
    [
        ({"Host": "localhost:9000", "Origin": "http://localhost:9000"}, 200),
        ({"Host": "localhost", "Origin": "http://localhost"}, 200),
        ({"Host": "[::1]:9000", "Sec_Fetch_Site": "same-origin"}, 200),
        ({"Host": "localhost:9000", "Origin": "http://evil.example"}, 403),
        ({"Host": "evil.example:9000", "Origin": "http://evil.example:9000"}, 421),
        ({"Host": "evil.example:9000", "Sec_Fetch_Site": "same-origin"}, 421),
    ],
)
async def test_browsers_behind_a_forwarded_port_are_held_to_our_page(get, folder, headers, status):
    """Who forwards a port to the Unix socket does not open it to every page in a browser."""
    found, _, _ = await get(place=folder / SOCKET, Authorization=None, **headers)
    assert found == status
