"""Y-sync messages: the standard three (STEP1, STEP2, UPDATE) as bytes and back.

It does not touch a document: state vectors and updates are opaque here. The invariant: a decoded message had
exactly the length that it announced, and a malformed one raises `RemoteProtocolError` and nothing else.

Wire form (that of the y-protocols, so any Yjs implementation reads it)::

    varint 0 (sync) | varint kind | varint byte length | data
"""

from __future__ import annotations

from enum import IntEnum
from typing import Final

import msgspec

from runt.errors import RemoteProtocolError

EMPTY_STATE: Final = b"\x00"
"""The state vector of a document that holds nothing: asks for everything."""

EMPTY_UPDATE: Final = b"\x00\x00"
"""An update with neither structs nor deletions."""

MAX_VARINT_BYTES: Final = 9
"""Enough for 63 bits, more than any length or clock that a document can have."""

_SYNC: Final = 0


class SyncKind(IntEnum):
    """STEP1 carries a state vector and asks; STEP2 answers with an update; UPDATE carries a change."""

    STEP1 = 0
    STEP2 = 1
    UPDATE = 2


class SyncMessage(msgspec.Struct, frozen=True):
    """One decoded message. ``data`` is a state vector for STEP1, else an update."""

    kind: SyncKind
    data: bytes


_KINDS: Final = tuple(SyncKind)


def write_varint(value: int) -> bytes:
    """Encode a non-negative integer, 7 bits a byte, low bits first."""
    out = bytearray()
    while value > 0x7F:
        out.append(value & 0x7F | 0x80)
        value >>= 7
    out.append(value)
    return bytes(out)


def read_varint(data: bytes, at: int) -> tuple[int, int]:
    """Decode the integer at byte ``at``; return it and the offset after it."""
    value = 0
    for index in range(MAX_VARINT_BYTES):
        if at + index >= len(data):
            raise RemoteProtocolError("sync message cut short inside a number")
        byte = data[at + index]
        value |= (byte & 0x7F) << (7 * index)
        if byte < 0x80:
            return value, at + index + 1
    raise RemoteProtocolError("sync message with a number above 63 bits")


def encode(kind: SyncKind, data: bytes) -> bytes:
    """Make the payload of a sync frame."""
    return bytes((_SYNC, kind)) + write_varint(len(data)) + data


def decode(payload: bytes) -> SyncMessage:
    """Read the payload of a sync frame. Raises `RemoteProtocolError`."""
    outer, at = read_varint(payload, 0)
    if outer != _SYNC:
        raise RemoteProtocolError(f"not a sync message: type {outer}")
    number, at = read_varint(payload, at)
    if number >= len(_KINDS):
        raise RemoteProtocolError(f"unknown kind of sync message: {number}")
    length, at = read_varint(payload, at)
    if length != len(payload) - at:
        raise RemoteProtocolError(f"sync message announces {length} bytes and has {len(payload) - at}")
    return SyncMessage(_KINDS[number], payload[at:])
