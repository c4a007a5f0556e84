"""Sockets that launchd made, handed out by a library that stands in for it."""

import errno
import json
import os
import socket
import subprocess
import sys

import pytest

from kevmond.service.activation import activated

ASK = """
import json, os, sys
from kevmond.errors import KevmondError
from kevmond.service.activation import activated
try:
    found = [activated(name) for name in sys.argv[1:]]
    print(json.dumps([found, [os.get_inheritable(fd) for fds in found for fd in fds]]))
except KevmondError as error:
    print(json.dumps(str(error)))
"""


def ask(environment, *names, descriptors=(), code=ASK):
    """Ask for sockets in a process of its own."""
    done = subprocess.run(
        [sys.executable, "-c", code, *names],
        env=environment,
        pass_fds=descriptors,
        stdout=subprocess.PIPE,
        check=True,
        timeout=60,
    )
    return json.loads(done.stdout)


@pytest.fixture
def listeners():
    """Open two listening sockets; their descriptors."""
    made = [socket.socket(socket.AF_UNIX) for _ in range(2)]
    yield [each.fileno() for each in made]
    for each in made:
        each.close()


def test_all_descriptors_of_a_name_are_handed_out(as_job, listeners):
    """And programs that the daemon starts do not get them."""
    found = ask(as_job(Api=listeners), "Api", descriptors=listeners)
    assert found == [[listeners], [False, False]]


def test_names_are_told_apart(as_job, listeners):
    """Each has its own; one that the job has not, has none."""
    first, second = listeners
    found, _ = ask(as_job(Api=[first], Other=[second]), "Other", "Api", "Ap", descriptors=listeners)
    assert found == [[second], [first], []]


def test_the_same_ones_are_given_again(as_job, listeners):
    """They are given once (EALREADY); whoever asks later gets what was given."""
    found, _ = ask(as_job(Api=listeners), "Api", "Api", descriptors=listeners)
    assert found == [listeners, listeners]


def test_one_that_was_closed_is_not_given_again(as_job, listeners):
    """Its number may be another file's by then."""
    code = """
import json, os
from kevmond.service.activation import activated
first, second = activated("Api")
os.close(first)
print(json.dumps(activated("Api") == [second]))
"""
    assert ask(as_job(Api=listeners), descriptors=listeners, code=code) is True


def test_whoever_is_no_job_has_none(as_job):
    """ESRCH: not started by launchd, though a shell of a terminal's has the variable too."""
    environment = as_job()
    del environment["LAUNCHD_STAND_IN"]
    assert ask(environment, "Api") == [[[]], []]


def test_any_other_refusal_is_told(as_job):
    """By its symbol."""
    environment = as_job() | {"LAUNCHD_STAND_IN_ERROR": str(errno.ENOMEM)}
    assert ask(environment, "Api") == "launch_activate_socket(Api): ENOMEM"


def test_where_there_is_no_launchd_there_are_none():
    """The call is missing from the C library, and nobody minds."""
    if sys.platform == "darwin":
        pytest.skip("this is a Mac")
    assert activated("Api") == []
    assert ask(os.environ | {"XPC_SERVICE_NAME": "0"}, "Api") == [[[]], []]


def test_asking_costs_no_import_off_a_mac():
    """No ctypes is loaded by a daemon that has no use for it."""
    code = """
import json, sys
from kevmond.service.activation import activated
activated("Api")
print(json.dumps("ctypes" in sys.modules))
"""
    environment = {key: os.environ[key] for key in os.environ if key != "XPC_SERVICE_NAME"}
    assert ask(environment, code=code) is (sys.platform == "darwin")
