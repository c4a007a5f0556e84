"""The errno names of the boundary are those that Darwin's kernel code may return."""

import errno
import re
from pathlib import Path

import pytest

from kevmond.kernel import abi
from kevmond.kernel.syserror import errno_name

HEADER = Path(__file__).parents[2] / "kext" / "host" / "include" / "sys" / "errno.h"


def test_every_errno_that_a_kext_knows_has_its_name_here():
    """The table is what kexts compile with, number for number; each number names itself again."""
    given = {
        name: int(number)
        for name, number in re.findall(r"#define (E\w+) (\d+)$", HEADER.read_text(), re.MULTILINE)
    }
    assert len(given) > 60
    assert given == abi.DARWIN_ERRNO
    assert {abi.errno_symbol(number): number for number in given.values()} == given
    assert {name: abi.errno_number(name) for name in given} == given


@pytest.mark.parametrize("name", abi.DARWIN_ERRNO)
def test_this_system_s_number_is_named_as_darwin_names_it(name):
    """An error that comes back from a call has the name it was sent with, or its other name."""
    told = errno_name(getattr(errno, name))
    assert told == name or {told, name} == {"ENOTSUP", "EOPNOTSUPP"}
