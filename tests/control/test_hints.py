"""What to do about errors of controls."""

import pytest

from kevmond.control import hints
from kevmond.errors import KernelError


@pytest.mark.parametrize(
    ("call", "symbol", "text"),
    [
        ("connect", "EBUSY", "about to be unloaded"),
        ("connect", "ENOSPC", "takes no more clients"),
        ("connect to org.x", "EALREADY", "one client at a time"),
        ("connect", "EPERM", "sudo"),
        ("setsockopt 5", "EPERM", "sudo"),
        ("send", "EBUSY", ""),
        ("connect", "EINVAL", ""),
    ],
)
def test_advice(call, symbol, text):
    """What an errno means depends on what was asked."""
    found = hints.advice(KernelError(call, symbol))
    assert text in found
    assert bool(text) == bool(found)


@pytest.mark.parametrize(
    ("call", "text"),
    [("send", "send space"), ("getsockopt 3", "--size"), ("setsockopt 3", "a value"), ("x", "")],
)
def test_a_wrong_length(call, text):
    """EMSGSIZE is another thing for a message than for an option."""
    assert text in hints.meaning(KernelError(call, "EMSGSIZE"))


def test_what_an_error_says_itself():
    """It is told apart from the call and the errno."""
    assert hints.said(KernelError("connect", "EBUSY")) == ""
    assert hints.said(KernelError("connect", "EBUSY", "it (the unit) is taken")) == (
        "it (the unit) is taken"
    )
    assert hints.joined("a", "", "b") == "a; b"
