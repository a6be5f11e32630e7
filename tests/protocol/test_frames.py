"""The framing: any split gives the same frames, garbage has one error, caps hold before the payload
arrives.
"""

from __future__ import annotations

import struct

import pytest
from hypothesis import given
from hypothesis import strategies as st

from runt.errors import LocalProtocolError, RemoteProtocolError
from runt.protocol import frames
from runt.protocol.frames import PREAMBLE, Frame, FrameDecoder, FrameType
from tests.protocol.session_pair import pieces

FRAMES = st.lists(st.builds(Frame, st.sampled_from(FrameType), st.binary(max_size=300)), max_size=12)
SIZES = st.lists(st.integers(1, 40), max_size=200)


def decode_all(data: bytes, sizes: list[int]) -> tuple[list[Frame], bool]:
    """The frames that come out of these pieces, and whether a fault ended them."""
    decoder = FrameDecoder()
    out: list[Frame] = []
    for piece in pieces(data, sizes):
        try:
            for frame in decoder.feed(piece):
                out.append(frame)
        except RemoteProtocolError:
            return out, True
    return out, False


@given(FRAMES, SIZES)
def test_any_split_gives_the_same_frames(sent: list[Frame], sizes: list[int]) -> None:
    """Frames come out as they went in, wherever the stream is cut."""
    stream = PREAMBLE + b"".join(frames.encode(frame.type, frame.payload) for frame in sent)
    assert decode_all(stream, sizes) == (sent, False)


@given(FRAMES, st.binary(max_size=200), SIZES)
def test_garbage_ends_in_the_same_place_for_any_split(
    good: list[Frame], junk: bytes, sizes: list[int]
) -> None:
    """Frames before a fault come out, then RemoteProtocolError and nothing else, whole or in pieces."""
    stream = PREAMBLE + b"".join(frames.encode(frame.type, frame.payload) for frame in good) + junk
    assert decode_all(stream, sizes) == decode_all(stream, [])


@given(st.binary(min_size=1, max_size=64))
def test_a_stream_without_our_preamble_is_refused(junk: bytes) -> None:
    """Anything that cannot become our magic is refused at its first wrong byte."""
    decoder = FrameDecoder()
    if frames.MAGIC.startswith(junk[:4]):
        list(decoder.feed(junk[:4]))
        return
    with pytest.raises(RemoteProtocolError):
        list(decoder.feed(junk))
    with pytest.raises(RemoteProtocolError):
        list(decoder.feed(b""))


@pytest.mark.parametrize("type_", list(FrameType))
def test_a_cap_holds_before_the_payload_is_buffered(type_: FrameType) -> None:
    """A header that announces too much is refused when the header is complete, without its payload."""
    decoder = FrameDecoder()
    cap = frames.PAYLOAD_CAPS[type_]
    assert list(decoder.feed(PREAMBLE + struct.pack(">IB", cap + 1, type_))) == []
    decoder = FrameDecoder()
    with pytest.raises(RemoteProtocolError, match="cap"):
        list(decoder.feed(PREAMBLE + struct.pack(">IB", cap + 2, type_)))


def test_a_big_update_is_refused_at_its_kind_and_a_big_step2_is_not() -> None:
    """Only an initial sync may be above 16 MiB: two bytes of payload decide."""
    header = struct.pack(">IB", frames.UPDATE_CAP + 10, FrameType.SYNC_N)
    assert list(FrameDecoder().feed(PREAMBLE + header + b"\x00\x01")) == []
    with pytest.raises(RemoteProtocolError, match="update"):
        list(FrameDecoder().feed(PREAMBLE + header + b"\x00\x02"))


def test_sending_above_the_cap_is_our_own_error() -> None:
    """A payload above its cap is a LocalProtocolError of the sender, never sent."""
    with pytest.raises(LocalProtocolError):
        frames.encode(FrameType.PRESENCE, b"x" * (frames.PAYLOAD_CAPS[FrameType.PRESENCE] + 1))


def test_another_version_is_reported_not_refused() -> None:
    """The version byte is handed on: the control channel speaks to any."""
    decoder = FrameDecoder()
    assert list(decoder.feed(frames.MAGIC + b"\x09")) == []
    assert decoder.version == 9
    assert decoder.buffered == 0
