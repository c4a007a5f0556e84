"""A run as a job of launchd's: where it speaks, and which failures are not tried again.

launchd starts the daemon again after every exit but a successful one.  An error in the
configuration is no better the next time, so it is said and then ends as a success; callers who
wait at the socket that launchd holds are told it too, since a socket with a caller left in it would
have launchd start the daemon again at once.
"""

from __future__ import annotations

import datetime as dt
import json
import os
import resource
import socket
import stat
import sys
from typing import Final

from kevmond.service import logging
from kevmond.service.activation import SOCKET_KEY, ActivationError, activated

FILES: Final = 1024
"""Descriptors that the daemon may have open; launchd's jobs may have 256."""
MOST_SAID: Final = 1 << 20
"""Bytes from which on the file that standard error goes to is cut."""
KEPT: Final = 1 << 16
"""Bytes at its end that stay then."""
_PERMANENT: Final = frozenset({os.EX_CONFIG, 2})
"""Exit codes that will be the same next time: a wrong configuration, a wrong command line."""
_HEARD: Final = 0.5
"""Seconds for a caller to send, and to take, what is on its way."""
_REQUEST: Final = 1 << 16


def begin() -> None:
    """Settle in, before anything can fail: own log to the system's, limits, a bounded file."""
    logging.to_system_log()
    _raise_file_limit()
    _cut_standard_error()


def end(error: str, code: int) -> int:
    """Say why the run failed, and return the exit code that has launchd do the right thing."""
    permanent = code in _PERMANENT
    lines = error.splitlines() or ["unknown error"]
    if permanent:
        lines.append("not tried again by itself: correct it, then run `kevmond service start`")
    now = dt.datetime.now(dt.UTC).isoformat(timespec="seconds").replace("+00:00", "Z")
    for line in lines:
        sys.stderr.write(f"{now} kevmond: {line}\n")
        logging.system_log("error", line)
    sys.stderr.flush()
    if not permanent:
        return code
    _turn_away(lines[:-1], lines[-1])
    return os.EX_OK


def _raise_file_limit() -> None:
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = FILES if hard == resource.RLIM_INFINITY else min(FILES, hard)
    if soft != resource.RLIM_INFINITY and soft < wanted:
        resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, hard))


def _cut_standard_error() -> None:
    """Keep only the end of a long file: launchd appends to it for ever, start after start."""
    try:
        descriptor = sys.stderr.fileno()
        found = os.fstat(descriptor)
        if not stat.S_ISREG(found.st_mode) or found.st_size <= MOST_SAID:
            return
        tail = _end_of(descriptor, found.st_size)
        os.ftruncate(descriptor, 0)
        os.lseek(descriptor, 0, os.SEEK_SET)
        os.write(descriptor, tail[tail.find(b"\n") + 1 :])
    except OSError:  # not ours to cut
        return


def _end_of(descriptor: int, size: int) -> bytes:
    try:
        return os.pread(descriptor, KEPT, size - KEPT)
    except OSError:  # opened for writing only
        return b""


def _turn_away(problems: list[str], hint: str) -> None:
    """Answer whoever waits for the API with what is wrong."""
    body = json.dumps({"error": "; ".join(problems), "hint": hint}).encode()
    head = (
        "HTTP/1.1 503 Service Unavailable\r\nContent-Type: application/json\r\n"
        f"Content-Length: {len(body)}\r\nConnection: close\r\n\r\n"
    )
    try:
        descriptors = activated(SOCKET_KEY)
    except ActivationError:
        return
    for descriptor in descriptors:
        with socket.socket(fileno=descriptor) as listener:
            listener.setblocking(False)
            while True:
                try:
                    caller, _ = listener.accept()
                except OSError:
                    break
                _answer(caller, head.encode() + body)


def _answer(caller: socket.socket, answer: bytes) -> None:
    with caller:
        caller.settimeout(_HEARD)
        try:
            caller.recv(_REQUEST)  # a connection closed with bytes unread is reset
            caller.sendall(answer)
        except OSError:
            return
