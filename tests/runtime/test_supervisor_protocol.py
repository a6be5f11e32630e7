"""The supervisor's protocol: every value survives, in any split; damage is refused."""

from __future__ import annotations

import os
import socket

import pytest
from hypothesis import given
from hypothesis import strategies as st

from runt.errors import RemoteProtocolError
from runt.runtime import supervisor_protocol as protocol

FRAMES = st.lists(st.binary(max_size=50), max_size=6)
TEXT = st.text(st.characters(exclude_characters="\0", codec="utf-8"), max_size=20)


@given(st.lists(st.tuples(st.integers(0, 31), FRAMES), max_size=8), st.integers(0, 200))
def test_records_survive_any_split(entries: list[tuple[int, list[bytes]]], step: int) -> None:
    """A batch of records comes out as it went in, however the bytes are cut."""
    payloads = [
        (at * 7, protocol.encode_record(channel, 1.5, frames)) for at, (channel, frames) in enumerate(entries)
    ]
    stream = protocol.encode_batch(payloads) + protocol.encode_batch([])
    buffer, found = bytearray(), []
    for start in range(0, len(stream), step + 1):
        buffer += stream[start : start + step + 1]
        found += protocol.take_messages(buffer)
    assert not buffer
    assert [operation for operation, _ in found] == [protocol.RECORDS, protocol.RECORDS]
    records = protocol.decode_batch(found[0][1])
    assert [(r.end, r.channel, r.time, list(r.frames)) for r in records] == [
        (at * 7, channel, 1.5, frames) for at, (channel, frames) in enumerate(entries)
    ]


@given(st.binary(max_size=300))
def test_damage_is_refused_and_nothing_else(data: bytes) -> None:
    """Any bytes either decode or raise RemoteProtocolError."""
    decoders = (
        protocol.decode_batch, protocol.decode_hello, protocol.decode_attach, protocol.decode_start,
        protocol.decode_send, protocol.decode_signal, protocol.decode_grace, protocol.decode_ack,
        lambda payload: protocol.decode_record(0, payload),
        lambda payload: protocol.take_messages(bytearray(payload)),
    )  # fmt: skip
    for decode in decoders:
        try:
            decode(data)  # type: ignore[operator]
        except RemoteProtocolError:
            continue


@given(st.lists(TEXT, max_size=5), st.dictionaries(TEXT.filter(lambda t: t and "=" not in t), TEXT), TEXT)
def test_a_start_order_survives(argv: list[str], env: dict[str, str], cwd: str) -> None:
    """Command, environment and directory arrive as they were given, undecodable bytes included."""
    argv = [*argv, os.fsdecode(b"\xff")]
    order = protocol.StartOrder(argv, env, cwd, "/c", b"{}", ["ipc://a", "ipc://b"], b'{"name":"x"}', 0o22)
    (operation, payload), *rest = protocol.take_messages(bytearray(protocol.encode_start(order)))
    assert (operation, rest) == (protocol.START, [])
    back = protocol.decode_start(payload)
    assert all(getattr(back, name) == getattr(order, name) for name in order.__slots__)


def test_small_messages_survive() -> None:
    """HELLO, ATTACH, SEND, SIGNAL, ACK and the graces carry their values."""

    def payload(data: bytes) -> bytes:
        return protocol.take_messages(bytearray(data))[0][1]

    hello = protocol.decode_hello(
        payload(protocol.encode_hello(protocol.Hello(1, b"i" * 16, 5, 6, 7, 8))) + b"more"
    )
    assert (hello.instance, hello.pid, hello.kernel_pid, hello.start, hello.end) == (b"i" * 16, 5, 6, 7, 8)
    assert protocol.decode_attach(payload(protocol.encode_attach(9))) == (protocol.VERSION, 9)
    assert protocol.decode_send(payload(protocol.encode_send("é", 2, [b"", b"x"]))) == (
        "é".encode(),
        2,
        [b"", b"x"],
    )
    assert protocol.decode_signal(payload(protocol.encode_signal(15))) == 15
    assert protocol.decode_ack(payload(protocol.encode_ack(1 << 40))) == 1 << 40
    assert protocol.decode_grace(payload(protocol.encode_grace(protocol.RESTART, 0.5))) == 0.5


def test_a_huge_length_is_refused() -> None:
    """A length beyond the cap is refused before anything is waited for."""
    with pytest.raises(RemoteProtocolError):
        protocol.take_messages(bytearray(b"\xff\xff\xff\xff"))


def test_peer_uid() -> None:
    """The other end of a Unix socket is known by its user."""
    left, right = socket.socketpair(socket.AF_UNIX)
    with left, right:
        assert protocol.peer_uid(left) == os.geteuid()
