"""A control's messages as records."""

import pytest

from kevmond.control import telling
from kevmond.control.sample import Message, MessageType, Notice, NoticeKind
from kevmond.control.telling import LossTeller, raw_message, sample_message


def shown(data, limit=4096):
    """Return what of a raw message is shown."""
    record = raw_message("foo", "org.example", 1, data, limit)
    assert (record.channel, record.control, record.unit) == ("foo", "org.example", 1)
    assert record.size == len(data)
    return record.text, record.data, record.truncated


@pytest.mark.parametrize(
    ("data", "limit", "expected"),
    [
        (b"", 4096, (None, None, False)),
        (b"hello\n\tworld\r\n", 4096, ("hello\n\tworld\r\n", None, False)),
        ("grüße".encode(), 4096, ("grüße", None, False)),
        (b"a\0", 4096, (None, "6100", False)),
        (b"\x1b[31m", 4096, (None, "1b5b33316d", False)),
        (b"\xff\xfe", 4096, (None, "fffe", False)),
        (b"abcdef", 3, ("abc", None, True)),
        ("aü".encode(), 2, ("a", None, True)),  # not half a character
        (b"\0\1\2\3", 2, (None, "0001", True)),
        (b"abc", 0, ("", None, True)),
    ],
)
def test_text_or_hex(data, limit, expected):
    """Printable UTF-8 is shown as text, anything else as hex, and both only up to a limit."""
    assert shown(data, limit) == expected


def test_known_messages():
    """A message whose layout is known is shown by its fields alone."""
    payload = Notice(NoticeKind.COMMAND, 3, 77, 1, 9).pack()
    message = Message(MessageType.NOTICE, 5, payload, 0, 0)
    record = sample_message("foo", "org.example", 3, message, 4096)
    assert (record.message, record.sequence, record.reply_to) == ("notice", 5, None)
    assert record.fields == {
        "notice": "command",
        "unit": 3,
        "pid": 77,
        "command": 1,
        "argument": 9,
    }
    assert (record.size, record.text, record.data) == (20, None, None)


def test_other_messages():
    """A message whose layout is not known is shown as it is."""
    record = sample_message("foo", "x", 3, Message(MessageType.ECHO, 5, b"text", 4), 2)
    assert (record.message, record.reply_to, record.fields) == ("echo", 4, None)
    assert (record.text, record.truncated) == ("te", True)
    record = sample_message("foo", "x", 3, Message(99, 5, b"\0"), 4096)
    assert (record.message, record.data) == ("type 99", "00")


async def test_losses_are_told_at_once_and_then_rarely(kit, monkeypatch):
    """The first loss is told at once, more of it together, and every one exactly once."""
    monkeypatch.setattr(telling, "LOSS_INTERVAL", 0.02)
    told = []
    losses = LossTeller(told.append, "foo", "org.example", 2)
    losses.note(0)
    assert told == []
    for total in range(1, 101):
        losses.note(total)
    assert [(one.lost, one.total) for one in told] == [(1, 1)]
    await kit.until(lambda: len(told) == 2)
    assert (told[1].lost, told[1].total) == (99, 100)
    losses.note(103)
    losses.note(101)
    losses.flush()
    losses.flush()
    assert [one.lost for one in told] == [1, 99, 3]
