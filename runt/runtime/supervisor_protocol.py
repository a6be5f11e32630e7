"""The protocol between a supervisor and the daemon, and the journal's record format.

Not a client and not a server: bytes to values and back, standard library only, light to import (the
supervisor has to stay small). The invariant: an old supervisor must be able to serve a newer daemon,
so operations are only ever added, and every connection starts with a version.

On the socket, both ways::

    u32 LE length of what follows | u8 operation | payload

A journal record's payload (all little endian)::

    u8 channel | f64 time (unix seconds) | u16 n | n * u32 frame length (bytes) | frames

An *offset* is a position in the supervisor's journal in logical bytes since its start; a daemon stores
the offset after the last record that it has folded, and attaches with it.
"""

from __future__ import annotations

import socket
import struct
import sys
from collections.abc import Iterable, Sequence

from runt.errors import RemoteProtocolError

VERSION = 1

# Channels of a record. 0-3 carry the kernel's ZeroMQ multipart messages as they came.
IOPUB, SHELL, CONTROL, STDIN = 0, 1, 2, 3
SENT = 16  # one frame: the send id; written before the message is forwarded to the kernel
LIFECYCLE = 17  # one frame: `started <pid>`, `exited <status>`, `killed <signal>`, `stopping <why>`, …

# Daemon → supervisor.
ATTACH = 1  # u16 version | u64 offset: answer HELLO, then RECORDS from there on
START = 2  # a list, see encode_start
SEND = 3  # u8 channel | list [send id, *frames]
SIGNAL = 4  # i32 signal number, to the kernel's process group
RESTART = 5  # f64 grace (seconds)
ACK = 6  # u64 offset: everything before it is stored elsewhere and may be dropped
SHUTDOWN = 7  # f64 grace (seconds)

# Supervisor → daemon.
HELLO = 64
RECORDS = 65  # repeated: u64 end offset | u32 length | record payload

MAX_MESSAGE_BYTES = 1 << 30  # a SEND carries at most a paste or a widget buffer; guards against garbage
INSTANCE_ID_BYTES = 16

_LENGTH = struct.Struct("<I")
_RECORD_HEAD = struct.Struct("<BdH")
_BATCH_HEAD = struct.Struct("<QI")
_HELLO = struct.Struct(f"<H{INSTANCE_ID_BYTES}sIIQQ")
_ATTACH = struct.Struct("<HQ")
_OFFSET = struct.Struct("<Q")
_SIGNAL = struct.Struct("<i")
_GRACE = struct.Struct("<d")


class Record:
    """One journal record. ``end``: the offset (bytes) after it; ``time``: unix seconds of its writing."""

    __slots__ = ("channel", "end", "frames", "time")

    def __init__(self, end: int, channel: int, time: float, frames: Sequence[bytes]) -> None:
        self.end = end
        self.channel = channel
        self.time = time
        self.frames = frames

    def __repr__(self) -> str:
        return f"Record(end={self.end}, channel={self.channel}, frames={len(self.frames)})"


class Hello:
    """What a supervisor says about itself. Offsets in bytes; ``kernel_pid`` is 0 while no kernel runs."""

    __slots__ = ("end", "instance", "kernel_pid", "pid", "start", "version")

    def __init__(
        self, version: int, instance: bytes, pid: int, kernel_pid: int, start: int, end: int
    ) -> None:
        self.version = version
        self.instance = instance
        self.pid = pid
        self.kernel_pid = kernel_pid
        self.start = start
        self.end = end


class StartOrder:
    """Everything a kernel is started with. ``endpoints``: iopub, shell, control, stdin (ZeroMQ addresses).

    ``description`` is JSON text that the supervisor copies into ``kernel.json`` without reading it.
    ``umask`` is -1 for "keep". The environment never touches the disk.
    """

    __slots__ = (
        "argv", "connection_file", "connection_text", "cwd", "description", "endpoints", "env", "umask",
    )  # fmt: skip

    def __init__(
        self,
        argv: Sequence[str],
        env: dict[str, str],
        cwd: str,
        connection_file: str,
        connection_text: bytes,
        endpoints: Sequence[str],
        description: bytes = b"{}",
        umask: int = -1,
    ) -> None:
        self.argv = list(argv)
        self.env = env
        self.cwd = cwd
        self.connection_file = connection_file
        self.connection_text = connection_text
        self.endpoints = list(endpoints)
        self.description = description
        self.umask = umask


def message(operation: int, payload: bytes = b"") -> bytes:
    """Return one message for the socket."""
    return _LENGTH.pack(1 + len(payload)) + bytes((operation,)) + payload


def take_messages(buffer: bytearray) -> list[tuple[int, bytes]]:
    """Remove the complete messages at the start of ``buffer`` and return them as (operation, payload).

    Raises:
        RemoteProtocolError: a length is zero or beyond MAX_MESSAGE_BYTES.
    """
    found: list[tuple[int, bytes]] = []
    at = 0
    size = len(buffer)
    while size - at >= 4:
        (length,) = _LENGTH.unpack_from(buffer, at)
        if not 1 <= length <= MAX_MESSAGE_BYTES:
            raise RemoteProtocolError(f"supervisor socket: a message of {length} bytes")
        if size - at - 4 < length:
            break
        found.append((buffer[at + 4], bytes(memoryview(buffer)[at + 5 : at + 4 + length])))
        at += 4 + length
    if at:
        del buffer[:at]
    return found


def pack_list(items: Sequence[bytes]) -> bytes:
    """Encode byte strings: u32 count, u32 lengths, contents."""
    count = len(items)
    return struct.pack(f"<I{count}I", count, *map(len, items)) + b"".join(items)


def unpack_list(data: bytes, at: int = 0) -> list[bytes]:
    """Decode :func:`pack_list` from byte ``at`` on. Raises RemoteProtocolError when it does not fit."""
    try:
        (count,) = struct.unpack_from("<I", data, at)
        if count > (len(data) - at) // 4:
            raise RemoteProtocolError("supervisor socket: a list longer than its message")
        lengths = struct.unpack_from(f"<{count}I", data, at + 4)
    except struct.error as error:
        raise RemoteProtocolError("supervisor socket: a cut list") from error
    return _cut(data, at + 4 + 4 * count, lengths)


def _cut(data: bytes, at: int, lengths: Iterable[int]) -> list[bytes]:
    items = []
    for length in lengths:
        items.append(data[at : at + length])
        at += length
    if at > len(data):
        raise RemoteProtocolError("supervisor socket: frames longer than their message")
    return items


def encode_record(channel: int, time: float, frames: Sequence[bytes]) -> bytes:
    """Return the payload of one journal record. ``time`` in unix seconds."""
    count = len(frames)
    return (
        _RECORD_HEAD.pack(channel, time, count)
        + struct.pack(f"<{count}I", *map(len, frames))
        + b"".join(frames)
    )


def decode_record(end: int, payload: bytes) -> Record:
    """Return the record whose journal offset ends at ``end``. Raises RemoteProtocolError when damaged."""
    try:
        channel, time, count = _RECORD_HEAD.unpack_from(payload)
        lengths = struct.unpack_from(f"<{count}I", payload, _RECORD_HEAD.size)
    except struct.error as error:
        raise RemoteProtocolError("a cut journal record") from error
    return Record(end, channel, time, _cut(payload, _RECORD_HEAD.size + 4 * count, lengths))


def encode_batch(entries: Iterable[tuple[int, bytes]]) -> bytes:
    """Return one RECORDS message from (end offset, record payload) pairs."""
    parts = []
    for end, payload in entries:
        parts.append(_BATCH_HEAD.pack(end, len(payload)))
        parts.append(payload)
    return message(RECORDS, b"".join(parts))


def decode_batch(payload: bytes) -> list[Record]:
    """Return the records of one RECORDS message."""
    records = []
    at = 0
    size = len(payload)
    while at < size:
        if size - at < _BATCH_HEAD.size:
            raise RemoteProtocolError("a cut batch of journal records")
        end, length = _BATCH_HEAD.unpack_from(payload, at)
        at += _BATCH_HEAD.size
        if size - at < length:
            raise RemoteProtocolError("a cut batch of journal records")
        records.append(decode_record(end, payload[at : at + length]))
        at += length
    return records


def encode_hello(hello: Hello) -> bytes:
    """Return the HELLO message."""
    return message(
        HELLO,
        _HELLO.pack(hello.version, hello.instance, hello.pid, hello.kernel_pid, hello.start, hello.end),
    )


def decode_hello(payload: bytes) -> Hello:
    """Return the values of a HELLO; a newer supervisor may append more, which is ignored."""
    try:
        return Hello(*_HELLO.unpack_from(payload))
    except struct.error as error:
        raise RemoteProtocolError("supervisor socket: a cut HELLO") from error


def encode_attach(offset: int) -> bytes:
    """Return the ATTACH message for records after ``offset``."""
    return message(ATTACH, _ATTACH.pack(VERSION, offset))


def decode_attach(payload: bytes) -> tuple[int, int]:
    """Return (version, offset)."""
    return _unpack(_ATTACH, payload)  # type: ignore[return-value]


def encode_start(order: StartOrder) -> bytes:
    """Return the START message."""
    fields = [
        order.description,
        order.cwd.encode(errors="surrogateescape"),
        order.connection_file.encode(errors="surrogateescape"),
        order.connection_text,
        b"%d" % order.umask,
        pack_list([endpoint.encode() for endpoint in order.endpoints]),
        pack_list([argument.encode(errors="surrogateescape") for argument in order.argv]),
        pack_list([f"{k}={v}".encode(errors="surrogateescape") for k, v in order.env.items()]),
    ]
    return message(START, pack_list(fields))


def decode_start(payload: bytes) -> StartOrder:
    """Return the order of a START message."""
    fields = unpack_list(payload)
    if len(fields) < 8:
        raise RemoteProtocolError("supervisor socket: a cut START")

    def text(data: bytes) -> str:
        return data.decode(errors="surrogateescape")

    pairs = (text(item).partition("=") for item in unpack_list(fields[7]))
    return StartOrder(
        argv=[text(item) for item in unpack_list(fields[6])],
        env={name: value for name, _, value in pairs},
        cwd=text(fields[1]),
        connection_file=text(fields[2]),
        connection_text=fields[3],
        endpoints=[text(item) for item in unpack_list(fields[5])],
        description=fields[0],
        umask=int(fields[4]),
    )


def encode_send(send_id: str, channel: int, frames: Sequence[bytes]) -> bytes:
    """Return a SEND message; ``send_id`` is written to the journal before the frames are forwarded."""
    return message(SEND, bytes((channel,)) + pack_list([send_id.encode(), *frames]))


def decode_send(payload: bytes) -> tuple[bytes, int, list[bytes]]:
    """Return (send id, channel, frames)."""
    items = unpack_list(payload, 1)
    if not items:
        raise RemoteProtocolError("supervisor socket: a SEND without an id")
    return items[0], payload[0], items[1:]


def encode_signal(number: int) -> bytes:
    """Return a SIGNAL message."""
    return message(SIGNAL, _SIGNAL.pack(number))


def decode_signal(payload: bytes) -> int:
    """Return the signal's number."""
    return int(_unpack(_SIGNAL, payload)[0])


def encode_grace(operation: int, grace_s: float) -> bytes:
    """Return a RESTART or SHUTDOWN message."""
    return message(operation, _GRACE.pack(grace_s))


def decode_grace(payload: bytes) -> float:
    """Return the grace in seconds."""
    return float(_unpack(_GRACE, payload)[0])


def encode_ack(offset: int) -> bytes:
    """Return an ACK message."""
    return message(ACK, _OFFSET.pack(offset))


def decode_ack(payload: bytes) -> int:
    """Return the acknowledged offset (bytes)."""
    return int(_unpack(_OFFSET, payload)[0])


def _unpack(form: struct.Struct, payload: bytes) -> tuple[int | float, ...]:
    try:
        return form.unpack_from(payload)
    except struct.error as error:
        raise RemoteProtocolError("supervisor socket: a cut message") from error


def peer_uid(connection: socket.socket) -> int:
    """Return the user id of the process at the other end of a Unix socket. Raises OSError if unknown."""
    if sys.platform == "darwin":
        # struct xucred { u_int version; uid_t uid; … } through SOL_LOCAL (0), LOCAL_PEERCRED (1).
        credentials = connection.getsockopt(0, 1, 76)
        return int(struct.unpack_from("<II", credentials)[1])
    credentials = connection.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, 12)
    return int(struct.unpack("<iII", credentials)[1])
