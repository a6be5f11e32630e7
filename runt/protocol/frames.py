"""Frames: the preamble and the length-prefixed pieces that a connection is cut into.

It does not know what a payload means, except that a y-sync *update* has a smaller cap than an initial sync.
The invariant: no payload is buffered before its announced length has passed the cap of its type, and the
frames that come out do not depend on how the bytes were split.

Wire form, after the preamble ``b"RUNT" + u8 version`` that both sides send first::

    u32 BE length of (type + payload) | u8 type | payload
"""

from __future__ import annotations

import struct
from collections.abc import Iterator, Mapping
from enum import IntEnum
from typing import Final

import msgspec

from runt.errors import LocalProtocolError, RemoteProtocolError

MAGIC: Final = b"RUNT"
PROTOCOL_VERSION: Final = 1
PREAMBLE: Final = MAGIC + bytes([PROTOCOL_VERSION])

KIB: Final = 1024
MIB: Final = 1024 * KIB


class FrameType(IntEnum):
    """What a frame carries. The numbers are the wire form and never change."""

    SYNC_N = 0
    REQUEST = 1
    RESPONSE = 2
    EVENT = 3
    PRESENCE = 4
    SYNC_R = 5
    SYNC_S = 6
    SESSION = 7
    BLOB = 8
    HANDSHAKE = 9


SYNC_TYPES: Final = frozenset({FrameType.SYNC_N, FrameType.SYNC_R, FrameType.SYNC_S})

PAYLOAD_CAPS: Final[Mapping[FrameType, int]] = {
    # A whole document may travel once, in a STEP2.
    FrameType.SYNC_N: 256 * MIB,
    FrameType.SYNC_R: 256 * MIB,
    FrameType.SYNC_S: 16 * MIB,
    # `kernel.start` carries an environment of at most 1 MiB; JSON escaping can grow it.
    FrameType.REQUEST: 8 * MIB,
    # Completions and inspections come back whole.
    FrameType.RESPONSE: 64 * MIB,
    FrameType.EVENT: 4 * MIB,
    FrameType.PRESENCE: 4 * KIB,
    FrameType.SESSION: 64 * KIB,
    # One chunk of an upload or of a ranged read, with room for its header.
    FrameType.BLOB: 1 * MIB + 4 * KIB,
    FrameType.HANDSHAKE: 64 * KIB,
}
"""Largest payload per type, in bytes, both when sending and when receiving."""

UPDATE_CAP: Final = 16 * MIB
"""Largest sync payload of kind UPDATE, in bytes. A bigger local edit travels as a STEP2."""

_HEADER: Final = struct.Struct(">IB")
_HEADER_BYTES: Final = _HEADER.size
_UPDATE_START: Final = b"\x00\x02"
_TYPES: Final = {int(type_): type_ for type_ in FrameType}


class Frame(msgspec.Struct, frozen=True):
    """One received frame."""

    type: FrameType
    payload: bytes


def encode(type_: FrameType, payload: bytes) -> bytes:
    """Make the bytes of one frame. Raises `LocalProtocolError` above the cap of its type."""
    cap = UPDATE_CAP if type_ in SYNC_TYPES and payload[:2] == _UPDATE_START else PAYLOAD_CAPS[type_]
    if len(payload) > cap:
        raise LocalProtocolError(f"{type_.name} frame of {len(payload)} bytes, the cap is {cap}")
    return _HEADER.pack(len(payload) + 1, type_) + payload


class FrameDecoder:
    """Bytes in, frames out. It never answers and never reads a socket.

    ``version`` is the other side's protocol version once its preamble has arrived, else None. A version other
    than ours is not an error here: the control channel speaks to any.
    """

    def __init__(self) -> None:
        self.version: int | None = None
        self._buffer = bytearray()
        self._fault: RemoteProtocolError | None = None

    @property
    def buffered(self) -> int:
        """Bytes held back because their frame is not complete."""
        return len(self._buffer)

    def feed(self, data: bytes) -> Iterator[Frame]:
        """Yield the frames that ``data`` completes, in order, then raise if what follows them is not a frame.

        After `RemoteProtocolError` every later call raises it again. Iterate to the end: what is not consumed
        stays buffered for the next call.
        """
        if self._fault is not None:
            raise self._fault
        buffer = self._buffer
        buffer += data
        at = 0
        try:
            if self.version is None:
                if not self._read_preamble():
                    return
                at = len(PREAMBLE)
            while len(buffer) - at >= _HEADER_BYTES:
                length, number = _HEADER.unpack_from(buffer, at)
                type_ = self._checked_type(length, number, at)
                end = at + 4 + length
                if len(buffer) < end:
                    return
                with memoryview(buffer) as view, view[at + _HEADER_BYTES : end] as piece:
                    payload = bytes(piece)
                at = end
                yield Frame(type_, payload)
        except RemoteProtocolError as error:
            self._fault = error
            raise
        finally:
            del buffer[:at]

    def _read_preamble(self) -> bool:
        head = bytes(self._buffer[: len(PREAMBLE)])
        if not MAGIC.startswith(head[: len(MAGIC)]):
            raise RemoteProtocolError(f"not runt's protocol: it begins with {head!r}")
        if len(head) < len(PREAMBLE):
            return False
        self.version = head[-1]
        return True

    def _checked_type(self, length: int, number: int, at: int) -> FrameType:
        """Check a frame's header (and the kind of a sync message, if it is there already) against the
        caps.
        """
        type_ = _TYPES.get(number)
        if type_ is None:
            raise RemoteProtocolError(f"unknown frame type {number}")
        if length < 1:
            raise RemoteProtocolError("a frame without a type")
        cap = PAYLOAD_CAPS[type_]
        if length - 1 > cap:
            raise RemoteProtocolError(f"{type_.name} frame of {length - 1} bytes, the cap is {cap}")
        if length - 1 > UPDATE_CAP and type_ in SYNC_TYPES:
            start = at + _HEADER_BYTES
            if bytes(self._buffer[start : start + 2]) == _UPDATE_START:
                raise RemoteProtocolError(f"update of {length - 1} bytes, the cap is {UPDATE_CAP}")
        return type_
