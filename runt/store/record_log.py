"""An append-only log of records in segment files; the supervisor's journal.

It does not fsync (it has to survive a killed process, not a power cut) and never changes what is written. The
invariant: every record below `end` is whole and in order; what a kill left unfinished is cut off at the next
open. Standard library only.

Format: segment ``<offset of its first byte, 16 hex digits>.log``; a record is ``u32 length | u32 crc32 |
payload``, big endian, the checksum over length and payload (so that a run of zero bytes is not a record).
Offsets count the bytes of all segments since the log began, headers included; they stay valid when old
segments are dropped.
"""

from __future__ import annotations

import contextlib
import errno
import os
import struct
from collections.abc import Sequence
from zlib import crc32

from runt.errors import NoSpace, StoreError
from runt.store.safe_directory import ensure_private_directory

SEGMENT_BYTES = 16 * 1024 * 1024
"""A new segment begins when the current one has reached this size: what `drop_before` frees at a time."""

MAX_RECORD_BYTES = 1 << 30
"""A longer length field is damage."""

_HEADER = struct.Struct(">II")
_LENGTH = struct.Struct(">I")
_IOV_MAX = min(1024, max(16, os.sysconf("SC_IOV_MAX")))
_SUFFIX = ".log"


class RecordLog:
    """Opens, and by default makes, the log in `directory`. One writer at a time: the caller's business.

    With `read_only` nothing is made, cut or locked: for the journal of a supervisor that is lost.
    Raises `StoreError` (`NoSpace`).
    """

    def __init__(
        self,
        directory: str | os.PathLike[str],
        *,
        segment_bytes: int = SEGMENT_BYTES,
        read_only: bool = False,
    ) -> None:
        self.directory = os.fspath(directory)
        self._segment_bytes = segment_bytes
        self._read_only = read_only
        self._readers: dict[int, int] = {}
        self._descriptor = -1
        self._torn = False
        if not read_only:
            ensure_private_directory(directory)
        try:
            self._segments = self._list_segments()
            self._end = self._scan_last() if self._segments else 0
            if not read_only:
                if not self._segments:
                    self._segments = [0]
                self._descriptor = self._open_segment(self._segments[-1])
                os.ftruncate(self._descriptor, self._end - self._segments[-1])
        except OSError as error:
            self.close()
            raise self._error(error, "open") from error

    @property
    def start(self) -> int:
        """Offset of the first byte that is still kept."""
        return self._segments[0] if self._segments else 0

    @property
    def end(self) -> int:
        """Offset behind the last whole record."""
        return self._end

    def append(self, payloads: Sequence[bytes]) -> int:
        """Write all of `payloads`, or none, with one call to the system; returns the new `end`.

        Raises `StoreError` (`NoSpace` when the disk is full): nothing was appended, the log stays usable.
        """
        if self._descriptor < 0:
            raise StoreError(f"{self.directory}: the log is closed or read-only")
        if not payloads:
            return self._end
        pieces: list[bytes] = []
        size = 0
        for payload in payloads:
            length = len(payload)
            if length > MAX_RECORD_BYTES:
                raise StoreError(f"{self.directory}: a record of {length} bytes is too long")
            pieces.append(_HEADER.pack(length, crc32(payload, crc32(_LENGTH.pack(length)))))
            pieces.append(payload)
            size += _HEADER.size + length
        try:
            if self._torn:
                self._cut()
            if self._end - self._segments[-1] >= self._segment_bytes:
                self._next_segment()
            if len(pieces) > _IOV_MAX:
                pieces = [b"".join(pieces)]
            written = os.writev(self._descriptor, pieces)
            if written < size:
                # A short write is how a full disk announces itself, or a signal: the rest decides.
                self._write_rest(memoryview(b"".join(pieces))[written:])
        except OSError as error:
            self._torn = True
            with contextlib.suppress(OSError):  # stays torn: the next append cuts first
                self._cut()
            raise self._error(error, "append to") from error
        self._end += size
        return self._end

    def read(self, offset: int, max_bytes: int) -> list[tuple[int, bytes]]:
        """Records from `offset` (a record's border) on, as ``(offset behind the record, payload)``.

        As many as fit into `max_bytes` (payloads and headers), but at least one; empty at `end`.
        Raises `StoreError` when `offset` was dropped, lies beyond `end`, or the bytes there are damaged.
        """
        if offset == self._end:
            return []
        if not self.start <= offset < self._end:
            raise StoreError(f"{self.directory}: offset {offset} is not in {self.start}..{self._end}")
        index = max(i for i, first in enumerate(self._segments) if first <= offset)
        first = self._segments[index]
        stop = self._segments[index + 1] if index + 1 < len(self._segments) else self._end
        try:
            descriptor = self._reader(first)
            data = os.pread(descriptor, min(max(max_bytes, _HEADER.size), stop - offset), offset - first)
            if len(data) >= _HEADER.size:
                needed = _HEADER.size + _LENGTH.unpack_from(data)[0]
                if len(data) < needed <= stop - offset:
                    data = os.pread(descriptor, needed, offset - first)
        except OSError as error:
            raise self._error(error, "read") from error
        records = []
        at = 0
        while (payload := _record_at(data, at)) is not None:
            at += _HEADER.size + len(payload)
            records.append((offset + at, payload))
        if not records:
            raise StoreError(f"{self.directory}: the record at offset {offset} is damaged")
        return records

    def drop_before(self, offset: int) -> int:
        """Remove segments that lie wholly before `offset` (never the last); returns the new `start`."""
        while len(self._segments) > 1 and self._segments[1] <= offset:
            first = self._segments[0]
            try:
                os.unlink(self._path(first))
            except FileNotFoundError:
                pass
            except OSError as error:
                raise self._error(error, "drop from") from error
            del self._segments[0]
            descriptor = self._readers.pop(first, -1)
            if descriptor >= 0:
                os.close(descriptor)
        return self.start

    def close(self) -> None:
        """Idempotent."""
        for descriptor in (self._descriptor, *self._readers.values()):
            if descriptor >= 0:
                os.close(descriptor)
        self._descriptor = -1
        self._readers.clear()

    def __enter__(self) -> RecordLog:
        return self

    def __exit__(self, *exc: object) -> None:
        self.close()

    def _path(self, first: int) -> str:
        return os.path.join(self.directory, f"{first:016x}{_SUFFIX}")

    def _list_segments(self) -> list[int]:
        found = []
        for name in os.listdir(self.directory):
            stem = name.removesuffix(_SUFFIX)
            if name.endswith(_SUFFIX) and len(stem) == 16 and all(c in "0123456789abcdef" for c in stem):
                found.append(int(stem, 16))
        return sorted(found)

    def _open_segment(self, first: int) -> int:
        flags = os.O_RDWR | os.O_CREAT | os.O_APPEND | os.O_NOFOLLOW | os.O_CLOEXEC
        return os.open(self._path(first), flags, 0o600)

    def _next_segment(self) -> None:
        descriptor = self._open_segment(self._end)
        old, self._descriptor = self._descriptor, descriptor
        os.close(old)
        self._segments.append(self._end)

    def _reader(self, first: int) -> int:
        if first == self._segments[-1] and self._descriptor >= 0:
            return self._descriptor
        if first not in self._readers:
            # Readers go forward: an older segment's descriptor is not needed again soon.
            for other in self._readers.values():
                os.close(other)
            self._readers.clear()
            self._readers[first] = os.open(self._path(first), os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC)
        return self._readers[first]

    def _scan_last(self) -> int:
        """Offset behind the last whole record of the last segment, one record in memory at a time."""
        first = self._segments[-1]
        descriptor = os.open(self._path(first), os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC)
        try:
            size = os.fstat(descriptor).st_size
            at = 0
            while at + _HEADER.size <= size:
                (length,) = _LENGTH.unpack(os.pread(descriptor, _LENGTH.size, at))
                if length > min(MAX_RECORD_BYTES, size - at - _HEADER.size):
                    break
                if _record_at(os.pread(descriptor, _HEADER.size + length, at), 0) is None:
                    break
                at += _HEADER.size + length
            return first + at
        finally:
            os.close(descriptor)

    def _cut(self) -> None:
        os.ftruncate(self._descriptor, self._end - self._segments[-1])
        self._torn = False

    def _write_rest(self, rest: memoryview) -> None:
        while rest:
            rest = rest[os.write(self._descriptor, rest) :]

    def _error(self, error: OSError, action: str) -> StoreError:
        if error.errno in (errno.ENOSPC, errno.EDQUOT):
            return NoSpace(
                f"{self.directory}: the disk is full, cannot {action} the log", hint="free some space"
            )
        return StoreError(f"{self.directory}: cannot {action} the log: {error.strerror or error}")


def _record_at(data: bytes, at: int) -> bytes | None:
    """The whole, undamaged record at byte `at` of `data`, else None."""
    if at + _HEADER.size > len(data):
        return None
    length, checksum = _HEADER.unpack_from(data, at)
    payload = data[at + _HEADER.size : at + _HEADER.size + length]
    if len(payload) < length or crc32(payload, crc32(_LENGTH.pack(length))) != checksum:
        return None
    return payload
