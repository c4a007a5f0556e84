"""`kevmond webhook verify`: requests from files and standard input, and the exit code."""

import gzip
import io
import json
import time
from datetime import UTC, datetime

import pytest

from kevmond.sinks.webhook.signing import Signer

SECRET = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"
OTHER = "whsec_C2FVsBQIhrscChlQIMV+b5sSYspob7oD"
BODY = b'{"schema":"kevmond/1","interface":"en0"}'


@pytest.fixture
def verify(kevmond):
    """Call `kevmond webhook verify ARGS...`."""
    return lambda *args: kevmond("webhook", "verify", *args)


@pytest.fixture
def secret(tmp_path):
    """Return the path of a file with the secret."""
    path = tmp_path / "secret"
    path.write_text(SECRET + "\n")
    return path


def headers(body=BODY, secret=SECRET, age=0):
    """Return the headers of a signed request of some age."""
    at = int(time.time()) - age
    signature = Signer([secret]).sign("msg_1", datetime.fromtimestamp(at, UTC), body)
    return {
        "content-type": "application/json",
        "webhook-id": "msg_1",
        "webhook-timestamp": str(at),
        "webhook-signature": signature,
    }


def request(given, body=BODY, newline="\r\n", first="POST /hook HTTP/1.1", prefix=""):
    """Return a request as it is on the wire, or as a tool shows it."""
    lines = [*([first] if first else []), *(f"{name}: {value}" for name, value in given.items())]
    return newline.join([*(prefix + line for line in lines), prefix, ""]).encode() + body


def stdin(monkeypatch, data):
    """Put bytes on standard input."""
    monkeypatch.setattr("sys.stdin", io.TextIOWrapper(io.BytesIO(data)))


def test_a_whole_request(verify, secret, tmp_path):
    """A dump of the wire is verified; the secret that fits and the age are told."""
    dump = tmp_path / "dump"
    dump.write_bytes(request(headers(age=30)))
    result = verify("--secret-file", secret, dump)
    assert (result.code, result.err) == (0, "")
    assert f"genuine: signed with the secret of file:{secret}" in result.out
    assert "msg_1" in result.out
    assert "30 s ago" in result.out or "31 s ago" in result.out
    assert f"{len(BODY)} bytes" in result.out


@pytest.mark.parametrize(
    "made",
    [
        {"newline": "\n"},
        {"first": ""},
        {"newline": "\n", "prefix": "> "},
        {"newline": "\r\n", "prefix": "> "},
        {"first": "POST https://hooks.example/hook HTTP/2"},
    ],
)
def test_what_tools_make_of_a_request(verify, secret, monkeypatch, made):
    """LF for CRLF, the lines of `curl -v`, no request line: all are understood."""
    stdin(monkeypatch, request(headers(), **made))
    assert verify("--secret-file", secret).code == 0


def test_headers_and_body_apart(verify, secret, tmp_path, monkeypatch):
    """Headers as lines, as JSON of several shapes, or one by one; the body byte for byte."""
    body, lines, table = tmp_path / "body", tmp_path / "lines", tmp_path / "table"
    body.write_bytes(BODY)
    given = headers()
    lines.write_text("".join(f"{name.upper()}: {value}\n" for name, value in given.items()))
    assert verify("--secret-file", secret, "--headers", lines, body).code == 0
    table.write_text(json.dumps({name: [value] for name, value in given.items()}))
    assert verify("--secret-file", secret, "--headers", table, body).code == 0
    each = [word for name, value in given.items() for word in ("-H", f"{name}: {value}")]
    assert verify("--secret-file", secret, *each, body).code == 0
    stdin(monkeypatch, BODY)
    assert verify("--secret-file", secret, "--headers", lines, "-").code == 0


def test_which_secret_fits(verify, secret, tmp_path, monkeypatch):
    """Secrets come from files, several in one too, and from the environment."""
    dump = tmp_path / "dump"
    dump.write_bytes(request(headers(secret=OTHER)))
    monkeypatch.setenv("HOOK_SECRET", OTHER)
    result = verify("--secret-file", secret, "--secret-env", "HOOK_SECRET", dump)
    assert "with the secret of env:HOOK_SECRET\n" in result.out
    secret.write_text(f"{SECRET}\n{OTHER}\n")
    result = verify("--secret-file", secret, dump)
    assert f"with the secret of file:{secret} line 2\n" in result.out
    assert OTHER not in result.out


def test_a_request_that_is_not_genuine(verify, secret, tmp_path):
    """Exit code 1, and the reason on stderr."""
    dump = tmp_path / "dump"
    dump.write_bytes(request(headers(secret=OTHER)))
    result = verify("--secret-file", secret, dump)
    assert (result.code, result.out) == (1, "")
    assert result.err.startswith("not genuine: no signature fits the secret: it is another secret")


def test_an_old_request(verify, secret, tmp_path):
    """The tolerance is an option, and so is to have none."""
    dump = tmp_path / "dump"
    dump.write_bytes(request(headers(age=4000)))
    result = verify("--secret-file", secret, dump)
    assert (result.code, "s old, and 300 s are allowed" in result.err) == (1, True)
    assert verify("--secret-file", secret, "--tolerance", "2h", dump).code == 0
    assert verify("--secret-file", secret, "--any-age", dump).code == 0
    assert verify("--secret-file", secret, "--tolerance", "long", dump).code == 2


def test_json(verify, secret, tmp_path):
    """For programs: facts if it is genuine, the reason if not."""
    dump = tmp_path / "dump"
    dump.write_bytes(request(headers()))
    facts = json.loads(verify("--json", "--secret-file", secret, dump).out)
    assert (facts["genuine"], facts["webhook_id"], facts["signature"]) == (True, "msg_1", 1)
    assert facts["secret"] == f"file:{secret}"
    dump.write_bytes(request({"host": "example"}))
    result = verify("--json", "--secret-file", secret, dump)
    facts = json.loads(result.out)
    assert (result.code, facts["genuine"], facts["reason"]) == (1, False, "header")


def test_a_compressed_request(verify, secret, tmp_path):
    """Both sizes are told."""
    packed = gzip.compress(BODY * 40)
    dump = tmp_path / "dump"
    given = headers(BODY * 40) | {"content-encoding": "gzip", "content-length": str(len(packed))}
    dump.write_bytes(request(given, packed))
    result = verify("--secret-file", secret, dump)
    assert f"{len(BODY) * 40} bytes, compressed {len(packed)}" in result.out


def test_the_length_of_a_body(verify, secret, tmp_path):
    """What a tool added behind it is cut; what is missing is told."""
    dump = tmp_path / "dump"
    given = headers() | {"content-length": str(len(BODY))}
    dump.write_bytes(request(given, BODY + b"\n"))
    assert verify("--secret-file", secret, dump).code == 0
    dump.write_bytes(request(given, BODY[:-1]))
    result = verify("--secret-file", secret, dump)
    assert result.code == 65
    assert f"has {len(BODY) - 1} bytes, and content-length says {len(BODY)}" in result.err


def test_a_chunked_body(verify, secret, tmp_path):
    """A body in pieces is put together, and a torn one is told."""
    dump = tmp_path / "dump"
    given = headers() | {"transfer-encoding": "chunked"}
    chunked = b"%x;a=b\r\n%s\r\n%x\r\n%s\r\n0\r\n\r\n" % (5, BODY[:5], len(BODY) - 5, BODY[5:])
    dump.write_bytes(request(given, chunked))
    assert verify("--secret-file", secret, dump).code == 0
    for torn in (chunked[:10], chunked[:-10], b""):
        dump.write_bytes(request(given, torn))
        result = verify("--secret-file", secret, dump)
        assert (result.code, "cut off" in result.err) == (65, True)


@pytest.mark.parametrize(
    ("data", "told"),
    [
        (BODY, "this is no whole request"),
        (b"", "this is no whole request"),
        (b"POST / HTTP/1.1\r\nno header\r\n\r\n{}", "the headers have a line that is none"),
        (b'{"webhook-id": \n\n', "look like JSON, but are not"),
    ],
)
def test_what_is_no_request(verify, secret, tmp_path, data, told):
    """Exit code 65, and what was expected."""
    dump = tmp_path / "dump"
    dump.write_bytes(data)
    result = verify("--secret-file", secret, dump)
    assert (result.code, told in result.err) == (65, True)


def test_what_is_missing(verify, secret, tmp_path):
    """No secret, no file, twice standard input: each has its code and its text."""
    assert verify("x").code == 2
    assert "--secret-file" in verify("x").err
    assert verify("--secret-file", secret, "--headers", "-").code == 2
    result = verify("--secret-file", secret, tmp_path / "none")
    assert (result.code, "cannot be read" in result.err) == (66, True)
    assert verify("--secret-file", tmp_path / "none", "x").code == 78
    secret.write_text("hunter2")
    dump = tmp_path / "dump"
    dump.write_bytes(request(headers()))
    result = verify("--secret-file", secret, dump)
    assert (result.code, "not a webhook secret" in result.err) == (78, True)
    assert "hunter2" not in result.err


def test_help_tells_how(verify):
    """Examples and exit codes are in the help."""
    text = verify("--help").out
    assert "nc -l 8000 | kevmond webhook verify" in text
    assert "Exit code 0" in text
