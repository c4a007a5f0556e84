"""Following a stream: server-sent events out of bytes cut anywhere, and every way that it ends."""

import contextlib
import itertools
import json
import socket
import threading

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kevmond.api import client as module
from kevmond.api.client import ApiClient, ApiRefusal, ApiUnreachable
from kevmond.api.sse import BEAT, encode, frame
from kevmond.api.sse_parser import Parser, ServerEvent
from kevmond.sinks.testing import odd_records, record

PATIENCE = 30


def parsed(*pieces):
    """Return the events in pieces of a stream."""
    parser = Parser()
    return [event for piece in pieces for event in parser.feed(piece)]


# ---------------------------------------------------------------------- bytes


@pytest.mark.parametrize(
    ("data", "events"),
    [
        (b"data: x\n\n", [(None, "message", b"x")]),
        (b"id: 7\nevent: event\ndata: {}\n\n", [("7", "event", b"{}")]),
        (b"data:x\n\n", [(None, "message", b"x")]),
        (b"data:  x\n\n", [(None, "message", b" x")]),
        (b"data: a\ndata: b\ndata\n\n", [(None, "message", b"a\nb\n")]),
        (b"data: a: b\n\n", [(None, "message", b"a: b")]),
        (b"data\n\n", [(None, "message", b"")]),
        (b": beat\n\n", []),
        (b": beat\ndata: x\n: beat\n\n", [(None, "message", b"x")]),
        (b"retry: 10\nnonsense: y\ndata: x\n\n", [(None, "message", b"x")]),
        (b"\n\n\ndata: x\n\n\n\n", [(None, "message", b"x")]),
        (b"\xef\xbb\xbfdata: x\n\ndata: \xef\xbb\xbf\n\n",
         [(None, "message", b"x"), (None, "message", b"\xef\xbb\xbf")]),
        (b"event: a\n\ndata: x\n\n", [(None, "message", b"x")]),
        (b"event: a\ndata: x\n\ndata: y\n\n", [(None, "a", b"x"), (None, "message", b"y")]),
    ],
)  # fmt: skip
def test_fields(data, events):
    """Fields, comments and blank lines mean what the standard says."""
    assert parsed(data) == events


def test_id_stands_until_another_comes():
    """An id goes with all events behind it, and comes without data, too."""
    told = parsed(b"id: 1\ndata: a\n\ndata: b\n\nid: 3\n\ndata: c\n\nid\ndata: d\n\n")
    assert [event.id for event in told] == ["1", "1", "3", ""]


def test_id_with_nul_is_none():
    """Such an id could not be sent back in a header."""
    assert parsed(b"id: 1\ndata: a\n\nid: 2\x003\ndata: b\n\n")[1] == ("1", "message", b"b")


@pytest.mark.parametrize("half", [b"id: 2\nevent: event\ndata: {}\n", b"data: {", b"id: 2\n"])
def test_event_that_is_cut_off_is_none(half):
    """Half an event does not count, nor does its id."""
    parser = Parser()
    (event,) = parser.feed(b"id: 1\ndata: a\n\n" + half)
    assert event.id == "1"
    assert parser.feed(b"") == []


@pytest.mark.parametrize("end", [b"\n", b"\r\n", b"\r"])
def test_each_line_end_counts(end):
    """Lines may end in each of three ways, and a cut between CR and LF is no blank line."""
    data = end.join([b"id: 1", b"data: a", b"data: b", b"", b"data: c", b"", b""])
    expected = [("1", "message", b"a\nb"), ("1", "message", b"c")]
    assert parsed(data) == expected
    assert parsed(*(data[at : at + 1] for at in range(len(data)))) == expected
    assert parsed(*(piece for byte in data for piece in (bytes([byte]), b""))) == expected


words = st.text(st.characters(blacklist_characters="\r\n\0", blacklist_categories=["Cs"]))
told_events = st.lists(
    st.builds(
        ServerEvent,
        id=words | st.none(),
        event=words,
        data=st.lists(words.map(str.encode), min_size=1).map(b"\n".join),
    )
)


def written(events, draw):
    """Write events as a server may: with any line end, and comments in between."""
    lines = []
    for event in events:
        lines += [b": " + comment.encode() for comment in draw(st.lists(words, max_size=1))]
        if event.id is not None:
            lines.append(b"id: " + event.id.encode())
        if event.event:
            lines.append(b"event: " + event.event.encode())
        lines += [b"data: " + line for line in event.data.split(b"\n")]
        lines.append(b"")
    end = draw(st.sampled_from([b"\n", b"\r\n", b"\r"]))  # a CR and an LF of the next line are one
    return b"".join(line + end for line in lines)


def cut(data, places):
    """Cut bytes at places."""
    edges = [0, *sorted(min(place, len(data)) for place in places), len(data)]
    return [data[begin:end] for begin, end in itertools.pairwise(edges)]


@given(st.data(), told_events)
def test_any_cut_reads_the_same(data, events):
    """However the bytes are cut, the events are those that were written."""
    stream = written(events, data.draw)
    last, expected = None, []
    for event in events:
        last = event.id if event.id is not None else last
        expected.append(ServerEvent(last, event.event or "message", event.data))
    assert parsed(*cut(stream, data.draw(st.lists(st.integers(0, len(stream)))))) == expected


@given(st.binary(), st.lists(st.integers(0, 64)))
def test_any_bytes_read_the_same_however_cut(data, cuts):
    """Bytes that are no events do no harm, and their cuts make no difference."""
    assert parsed(*cut(data, cuts)) == parsed(data)


def test_what_the_daemon_writes_is_read():
    """Frames, beats and batches of events, hostile names among them, come out as they went in."""
    records = [record(1), *odd_records(2)]
    data = frame("hello", {"a": "\n\r"}, 5) + BEAT + encode(records) + frame("bye", {"b": 1})
    hello, *events, bye = parsed(data)
    assert (hello.id, hello.event, json.loads(hello.data)) == ("5", "hello", {"a": "\n\r"})
    assert [event.data for event in events] == [one.line for one in records]
    assert [event.id for event in events] == [str(one.seq) for one in records]
    assert (bye.event, bye.id) == ("bye", str(records[-1].seq))


# ---------------------------------------------------------------------- the connection

HEAD = b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream; charset=utf-8\r\n"
CHUNKED = HEAD + b"Transfer-Encoding: chunked\r\n\r\n"
END = b"0\r\n\r\n"


def chunk(data):
    """Make a chunk of an answer (RFC 9112, section 7.1)."""
    return b"%x\r\n%b\r\n" % (len(data), data)


class Server:
    """Answers each connection at a Unix socket by a function of it, one after the other."""

    def __init__(self, path, *answers):
        self.path = path
        self.requests = []
        self.answers = answers
        self.listening = socket.socket(socket.AF_UNIX)
        self.listening.bind(str(path))
        self.listening.listen()
        self.thread = threading.Thread(target=self.run)
        self.thread.start()

    def run(self):
        for answer in self.answers:
            connection, _ = self.listening.accept()
            with connection, contextlib.suppress(ConnectionError):
                connection.settimeout(PATIENCE)
                request = b""
                while b"\r\n\r\n" not in request and (data := connection.recv(65536)):
                    request += data
                self.requests.append(request.decode())
                answer(connection)

    def close(self):
        self.thread.join()
        self.listening.close()


@pytest.fixture
def serve(folder):
    """Serve answers: bytes, or functions of a connection; return a client and the server."""
    servers = []

    def start(*answers):
        def of(answer):
            return answer if callable(answer) else lambda connection: connection.sendall(answer)

        server = Server(folder / "s", *map(of, answers))
        servers.append(server)
        return ApiClient(folder / "s"), server

    yield start
    for server in servers:
        server.close()


def follow(client, **more):
    """Return all that a stream yields."""
    return list(client.stream("events", "stream", **more))


def test_stream_ends_when_the_daemon_ends_it(serve):
    """Events come in the batches that they were written in, up to the proper end."""
    batches = [b"id: 1\ndata: a\n\nid: 2\ndata: b\n\n", b"id: 3\ndata: c\n\n"]
    client, _ = serve(CHUNKED + b"".join(map(chunk, batches)) + END)
    told = follow(client)
    assert [event.id for events in told for event in events] == ["1", "2", "3"]
    assert len(told) == 2


def test_cursor_is_sent_as_last_event_id(serve):
    """Query and cursor reach the daemon as they should; without a cursor there is no header."""
    client, server = serve(CHUNKED + END, CHUNKED + END)
    follow(client, query={"filter": ["a=1 b=2", "c>3"], "since": "10m"}, cursor="41")
    follow(client)
    first, second = server.requests
    assert first.startswith("GET /v1/events/stream?filter=a%3D1+b%3D2&filter=c%3E3&since=10m HTTP")
    assert "\r\nLast-Event-ID: 41\r\n" in first
    assert "\r\nAccept: text/event-stream\r\n" in first
    assert second.startswith("GET /v1/events/stream HTTP/1.1\r\n")
    assert "Last-Event-ID" not in second


def test_event_is_there_when_it_was_written(serve):
    """Nothing is kept back until more comes."""
    seen = threading.Event()

    def answer(connection):
        connection.sendall(CHUNKED + chunk(b"id: 1\ndata: a\n\n"))
        assert seen.wait(PATIENCE)
        connection.sendall(chunk(b"data: b\n\n") + END)

    client, _ = serve(answer)
    stream = client.stream("events", "stream")
    assert next(stream) == [("1", "message", b"a")]
    seen.set()
    assert list(stream) == [[("1", "message", b"b")]]


def test_sign_of_life_is_an_empty_batch(serve):
    """A beat is passed on, so that the reader gets a turn."""
    client, _ = serve(CHUNKED + chunk(BEAT) + END)
    assert follow(client) == [[]]


def test_refusal_is_read_as_one(serve):
    """What the daemon says against it is told, whatever was asked to be followed."""
    body = b'{"error": "no such rule", "hint": "try another"}'
    head = b"HTTP/1.1 422 Unprocessable\r\nContent-Length: %d\r\n\r\n" % len(body)
    client, _ = serve(head + body)
    with pytest.raises(ApiRefusal, match="no such rule; try another") as error:
        follow(client)
    assert (error.value.status, error.value.exit_code) == (422, 78)


@pytest.mark.parametrize(
    "answer",
    [
        b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: 2\r\n\r\n{}",
        b"HTTP/1.1 204 No Content\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello",
    ],
)
def test_answer_that_is_no_stream_is_told(serve, answer):
    """Whoever else may listen there is not followed."""
    client, _ = serve(answer)
    with pytest.raises(ApiUnreachable, match=r"not JSON|not that of a kevmond daemon"):
        follow(client)


@pytest.mark.parametrize(
    "rest",
    [b"", b"40\r\nid: 2\ndata: b", b"4", b"nonsense\r\n"],
)
def test_break_in_the_middle_is_told_after_what_was_whole(serve, rest):
    """A killed daemon ends in the middle of anything; the events before that count."""
    client, _ = serve(CHUNKED + chunk(b"id: 1\ndata: a\n\n") + rest)
    stream = client.stream("events", "stream")
    assert next(stream) == [("1", "message", b"a")]
    with pytest.raises(ApiUnreachable, match="closed the connection"):
        list(stream)


def test_silence_is_told(serve, monkeypatch):
    """A daemon that shows no sign of life for longer than it ever does counts as hung."""
    monkeypatch.setattr(module, "SILENCE", 0.2)
    over = threading.Event()

    def answer(connection):
        connection.sendall(CHUNKED + chunk(b"data: a\n\n"))
        assert over.wait(PATIENCE)

    client, _ = serve(answer)
    stream = client.stream("events", "stream")
    next(stream)
    with pytest.raises(ApiUnreachable, match=r"does not answer within 0\.2 s"):
        next(stream)
    over.set()


def test_stream_that_is_left_is_closed(serve):
    """Who stops reading hangs up."""
    closed = threading.Event()

    def answer(connection):
        connection.sendall(CHUNKED + chunk(b"data: a\n\n"))
        if connection.recv(1) == b"":
            closed.set()

    client, _ = serve(answer)
    stream = client.stream("events", "stream")
    next(stream)
    stream.close()
    assert closed.wait(PATIENCE)


def test_no_daemon_is_told(folder):
    """A stream begins as every question does."""
    with pytest.raises(ApiUnreachable, match="start it with `kevmond run`"):
        follow(ApiClient(folder / "s"))
