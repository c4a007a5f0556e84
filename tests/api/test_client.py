"""The command line's client: every way of not being answered has its own words."""

import socket
import threading

import pytest

from kevmond.api import client as module
from kevmond.api.client import ApiClient, ApiRefusal, ApiUnreachable


@pytest.fixture
def answering(folder):
    """Serve one connection with given bytes; `b""` closes it, None leaves it hanging."""
    sockets, threads = [], []

    def serve(data):
        listening = socket.socket(socket.AF_UNIX)
        sockets.append(listening)
        listening.bind(str(folder / "s"))
        listening.listen()

        def run():
            connection, _ = listening.accept()
            sockets.append(connection)
            connection.recv(65536)
            if data is not None:
                connection.sendall(data)
                connection.close()

        thread = threading.Thread(target=run)
        thread.start()
        threads.append(thread)
        return ApiClient(folder / "s", timeout=0.2)

    yield serve
    for thread in threads:
        thread.join()
    for each in sockets:
        each.close()


def answer(body, status="200 OK"):
    """Make an HTTP answer."""
    return f"HTTP/1.1 {status}\r\nContent-Length: {len(body)}\r\n\r\n{body}".encode()


def test_no_daemon_says_how_to_start_one(folder):
    """Without a socket the message names the place and the command."""
    with pytest.raises(ApiUnreachable, match="start it with `kevmond run`") as error:
        ApiClient(folder / "s").ask("GET")
    assert str(folder / "s") in str(error.value)
    assert error.value.exit_code == 69


def test_dead_daemon_s_socket_counts_as_none(folder):
    """A socket file alone is no daemon."""
    with socket.socket(socket.AF_UNIX) as dead:
        dead.bind(str(folder / "s"))
    with pytest.raises(ApiUnreachable, match="no daemon runs here"):
        ApiClient(folder / "s").ask("GET")


def test_system_s_daemon_is_pointed_to(folder):
    """Where the system's daemon has a socket, sudo is the advice."""
    (folder / "other").touch()
    with pytest.raises(ApiUnreachable, match="with sudo"):
        ApiClient(folder / "s", elsewhere=folder / "other").ask("GET")
    with pytest.raises(ApiUnreachable, match="no daemon runs here"):
        ApiClient(folder / "s", elsewhere=folder / "none").ask("GET")


def test_somebody_else_s_socket_asks_for_sudo(folder, monkeypatch):
    """EACCES means another user's daemon."""

    def refuse(self):
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(module._Connection, "connect", refuse)
    with pytest.raises(ApiUnreachable, match="belongs to another user; run this with sudo"):
        ApiClient(folder / "s").ask("GET")


@pytest.mark.parametrize(
    ("data", "words"),
    [
        (b"", "closed the connection"),
        (None, "does not answer within 0.2 s"),
        (answer("hello"), "is not JSON"),
        (answer("[]"), "not that of a kevmond daemon"),
        (b"SSH-2.0\r\n", "closed the connection"),
    ],
)
def test_odd_answer_is_told(answering, data, words):
    """Nothing that comes back raises anything but what can be shown."""
    with pytest.raises(ApiUnreachable, match=words):
        answering(data).ask("GET")


def test_refusal_carries_error_and_hint(answering):
    """A 4xx becomes one line with what to do."""
    body = '{"error": "no such thing", "hint": "try that"}'
    with pytest.raises(ApiRefusal, match="no such thing; try that") as error:
        answering(answer(body, "404 Not Found")).ask("GET")
    assert error.value.exit_code == 1


def test_wrong_settings_exit_as_wrong_configuration(answering):
    """422 is EX_CONFIG for scripts."""
    with pytest.raises(ApiRefusal) as error:
        answering(answer('{"error": "url: no"}', "422 Unprocessable")).ask("GET")
    assert error.value.exit_code == 78
