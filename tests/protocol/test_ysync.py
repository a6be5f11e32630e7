"""The y-sync codec, with pycrdt's as the oracle."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pycrdt import Doc, Text, create_sync_message, create_update_message, handle_sync_message

from runt.errors import RemoteProtocolError
from runt.protocol import ysync
from runt.protocol.ysync import SyncKind, SyncMessage


@given(st.sampled_from(SyncKind), st.binary(max_size=400))
def test_a_message_survives(kind: SyncKind, data: bytes) -> None:
    """What was encoded decodes to the same message."""
    assert ysync.decode(ysync.encode(kind, data)) == SyncMessage(kind, data)


@given(st.binary(max_size=64))
def test_garbage_has_one_error(junk: bytes) -> None:
    """Any bytes either decode or raise RemoteProtocolError."""
    try:
        message = ysync.decode(junk)
    except RemoteProtocolError:
        return
    assert len(message.data) < len(junk)


@given(st.integers(0, 2**63 - 1))
def test_a_varint_survives(value: int) -> None:
    """Numbers up to 63 bits survive and say where they end."""
    data = ysync.write_varint(value)
    assert ysync.read_varint(data + b"\xff", 0) == (value, len(data))


@pytest.mark.parametrize(
    "data", [b"", b"\x80", b"\x00\x00", b"\x00\x02\x05abc", b"\x00\x02\x01abc", b"\x00" + b"\xff" * 20]
)
def test_a_message_cut_short_or_too_long_is_refused(data: bytes) -> None:
    """The announced length is exact: neither less nor more may follow."""
    with pytest.raises(RemoteProtocolError):
        ysync.decode(data)


def test_it_is_the_standard_wire_form() -> None:
    """pycrdt's own messages decode here, and ours are understood by pycrdt."""
    ours = Doc({"t": Text()})
    ours["t"] += "é"
    theirs = Doc({"t": Text()})
    step1 = ysync.decode(create_sync_message(ours))
    assert step1 == SyncMessage(SyncKind.STEP1, ours.get_state())
    assert ysync.decode(create_update_message(ours.get_update())) == SyncMessage(
        SyncKind.UPDATE, ours.get_update()
    )
    handle_sync_message(ysync.encode(SyncKind.STEP2, ours.get_update())[1:], theirs)
    assert str(theirs["t"]) == "é"


def test_the_empty_constants_are_those_of_an_empty_document() -> None:
    """An empty document has the empty state and gives the empty update."""
    assert Doc().get_state() == ysync.EMPTY_STATE
    assert Doc().get_update() == ysync.EMPTY_UPDATE
