"""How the receive buffer is raised against kernels that refuse."""

import pytest

from kevmond.errors import KernelError
from kevmond.kernel.receive_space import largest_granted, raise_receive_space


def refusing(limit, symbol="ENOBUFS"):
    """Make a setter that refuses more than `limit` bytes, and the list of what was asked."""
    asked = []

    def set_option(size):
        asked.append(size)
        if size > limit:
            raise KernelError("setsockopt", symbol)

    return set_option, asked


def test_largest_granted_is_as_measured():
    """With kern.ipc.maxsockbuf at 8 MiB the largest size is 7,456,540."""
    assert largest_granted(8388608) == 7456540


def test_granted_at_once():
    """What is granted at once is asked for once, and sb_max is not read."""
    set_option, asked = refusing(8388608)
    raise_receive_space(set_option, 8388608, lambda: pytest.fail("read"))
    assert asked == [8388608]


def test_refusal_steps_down_to_the_largest():
    """xnu-7195 refuses 8 MiB and grants its share of sb_max."""
    set_option, asked = refusing(7456540)
    raise_receive_space(set_option, 8388608, lambda: 8388608)
    assert asked == [8388608, 7456540]


def test_unknown_ceiling_is_taken_for_the_default():
    """Where kern.ipc.maxsockbuf cannot be read, 8 MiB is supposed."""
    set_option, asked = refusing(7456540)
    raise_receive_space(set_option, 100_000_000, lambda: None)
    assert asked == [100_000_000, 7456540]


def test_further_refusals_halve():
    """After that the size is halved until it is granted."""
    set_option, asked = refusing(1_000_000)
    raise_receive_space(set_option, 8388608, lambda: 8388608)
    assert asked == [8388608, 7456540, 3728270, 1864135, 932067]


def test_nothing_granted_leaves_the_default():
    """If nothing above the default is granted the socket keeps it."""
    set_option, asked = refusing(0)
    raise_receive_space(set_option, 100_000, lambda: 8388608)
    assert asked == [100_000, 99_999, 49_999]


def test_a_ceiling_above_the_wish_is_not_asked_for():
    """Never more than what is wanted is asked for."""
    set_option, asked = refusing(50_000)
    raise_receive_space(set_option, 65536, lambda: 8388608)
    assert max(asked) == 65536


def test_other_refusals_pass_through():
    """Only ENOBUFS means that less might be granted."""
    set_option, asked = refusing(0, "EINVAL")
    with pytest.raises(KernelError, match="EINVAL"):
        raise_receive_space(set_option, 65536, lambda: 8388608)
    assert asked == [65536]
