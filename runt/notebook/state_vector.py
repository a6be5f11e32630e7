"""State vectors: how much of each writer's history a replica has.

Not a test of equality: deletions do not show in a state vector, so two different documents can have equal
ones. They serve causality only. Invariant: no input makes the decoder read past its end, loop long, or raise
anything but `RemoteProtocolError`.
"""

from __future__ import annotations

from runt.errors import RemoteProtocolError

_MAX_VARINT_BYTES = 10  # 64 bits; client ids take 53, clocks 32


def decode_state(state: bytes) -> dict[int, int]:
    """Decode a state vector: client id → number of its operations that are known.

    Raises:
        RemoteProtocolError: the bytes are not one state vector.
    """
    count, position = _varint(state, 0)
    if count > len(state) // 2:  # each entry takes at least two bytes
        raise RemoteProtocolError(f"state vector of {len(state)} bytes claims {count} entries")
    clocks: dict[int, int] = {}
    for _ in range(count):
        client, position = _varint(state, position)
        clock, position = _varint(state, position)
        clocks[client] = max(clock, clocks.get(client, 0))
    if position != len(state):
        raise RemoteProtocolError("state vector with bytes after its end")
    return clocks


def covers(state: bytes, other: bytes) -> bool:
    """Whether every operation counted in ``other`` is counted in ``state``.

    Raises:
        RemoteProtocolError: either is not a state vector.
    """
    clocks = decode_state(state)
    return all(clocks.get(client, 0) >= clock for client, clock in decode_state(other).items())


def _varint(data: bytes, position: int) -> tuple[int, int]:
    """Decode a little-endian base-128 number; returns it and the position after it."""
    value = 0
    for index, byte in enumerate(data[position : position + _MAX_VARINT_BYTES]):
        value |= (byte & 0x7F) << (7 * index)
        if byte < 0x80:
            return value, position + index + 1
    raise RemoteProtocolError("state vector ends inside a number")
