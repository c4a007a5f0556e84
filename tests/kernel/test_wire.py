"""The frames of the served socket."""

import pytest

from kevmond.kernel.simulated import wire


def test_frames_are_cut_from_any_pieces():
    """Frames come out whole, however the stream was cut."""
    stream = wire.frame(1, b"one") + wire.frame(2) + wire.frame(3, b"three")
    for step in (1, 3, 7, len(stream)):
        reader = wire.FrameReader()
        frames = []
        for start in range(0, len(stream), step):
            frames += reader.feed(stream[start : start + step])
        assert frames == [(1, b"one"), (2, b""), (3, b"three")]


def test_absurd_frame_is_refused():
    """A frame that claims more than the longest option is not of this protocol."""
    with pytest.raises(wire.ProtocolError, match="claims"):
        list(wire.FrameReader().feed(wire.HEADER.pack(wire.BODY_MAX + 1, 1)))


def test_messages_are_joined_and_taken_apart():
    """Messages of any length survive being joined; a cut one is refused."""
    messages = [b"a", b"", b"xyz" * 100]
    joined = wire.pack_messages(messages)
    assert list(wire.unpack_messages(joined)) == messages
    for cut in (joined[:-1], joined[:2]):
        with pytest.raises(wire.ProtocolError, match="cut"):
            list(wire.unpack_messages(cut))
