"""A room's journal as the event loop sees it: what was appended, what is committed, what is durable.

No I/O happens here: `journal_writer` has the threads. The invariants: appends are committed in the order of
their numbers; a number is reported only when it and all before it are committed; nothing that was appended is
forgotten until it is committed, whatever the disk does.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from runt.errors import StoreError
from runt.store.journal_rows import Append, ExecutionRow, RoomContents, RoomDamaged

if TYPE_CHECKING:
    from runt.store.journal_writer import JournalWriter

__all__ = ["Append", "ExecutionRow", "RoomContents", "RoomDamaged", "RoomJournal"]

COMPACT_LOG_BYTES = 1 << 20
"""A log below this is never worth a snapshot."""

COMPACT_FACTOR = 2
"""…nor one below this many times the snapshot: rewriting stays a constant share of what was appended."""

_NOTHING: Mapping[str, bytes | None] = {}
_NO_META: Mapping[str, str | None] = {}


class RoomJournal:
    """Made by `JournalWriter.open`. All methods and callbacks belong to the event loop's thread.

    Not bounded by itself: `backlog_bytes` says how much waits, and the room stops reading its peers by it.
    """

    def __init__(self, writer: JournalWriter, path: Path, contents: RoomContents, seq: int) -> None:
        self.path = path
        self.contents = contents
        """As loaded. Call `release` when it has been used."""
        self.committed = seq
        """The number up to which everything survives a killed daemon."""
        self.durable = seq
        """The number up to which everything survives a power cut."""
        self.backlog_bytes = 0
        """Bytes that are appended but not committed."""
        self.failure: StoreError | None = None
        """Set while the room is unsafe: nothing is committed until `rescue` succeeds."""
        self.on_committed: Callable[[int], None] | None = None
        self.on_durable: Callable[[int], None] | None = None
        self.on_failure: Callable[[StoreError], None] | None = None
        self._writer = writer
        self._seq = seq
        self._closed = False
        self._waiting: list[tuple[int, bool, asyncio.Future[None]]] = []
        self._log_bytes: dict[str, int] = {}
        self._snapshot_bytes = {doc: len(data) for doc, data in contents.snapshots.items()}
        for doc, data in contents.updates:
            self._log_bytes[doc] = self._log_bytes.get(doc, 0) + len(data)

    @property
    def appended(self) -> int:
        """The number of the last append."""
        return self._seq

    def release(self) -> None:
        """Forget `contents`: the documents hold it now."""
        self.contents = RoomContents()

    def append(
        self,
        updates: Sequence[tuple[str, bytes]] = (),
        side: Mapping[str, bytes | None] = _NOTHING,
        executions: Sequence[ExecutionRow] = (),
        meta: Mapping[str, str | None] = _NO_META,
    ) -> int:
        """Hand all of it to the writer, as one unit; returns its number (the previous one + 1). Never blocks.

        `updates` are ``(document, bytes)``; a None in `side` or `meta` removes that key.
        Raises `StoreError` only when the journal is closed. Failures of the disk come by `on_failure`.
        """
        if self._closed:
            raise StoreError(f"{self.path}: the journal is closed")
        self._seq += 1
        size = 0
        for doc, data in updates:
            size += len(data)
            self._log_bytes[doc] = self._log_bytes.get(doc, 0) + len(data)
        for value in side.values():
            size += len(value) if value is not None else 0
        self.backlog_bytes += size
        item = Append(self._seq, tuple(updates), dict(side), tuple(executions), dict(meta), size)
        self._writer.enqueue(self, item)
        return self._seq

    def compaction_due(self, doc: str) -> bool:
        """Whether the log of `doc` exceeds max(1 MiB, 2 × snapshot). How often to act is the room's."""
        limit = max(COMPACT_LOG_BYTES, COMPACT_FACTOR * self._snapshot_bytes.get(doc, 0))
        return self._log_bytes.get(doc, 0) > limit

    def compact(self, doc: str, snapshot: bytes, upto_seq: int) -> None:
        """Replace the updates of `doc` up to number `upto_seq` by `snapshot`, which must contain them.

        When the disk refuses, the log simply stays as it is (`compaction_due` stays true). Never blocks.
        """
        if not 0 <= upto_seq <= self._seq:
            raise ValueError(f"upto_seq {upto_seq} was never appended (last: {self._seq})")
        self._writer.enqueue_compaction(self, doc, snapshot, upto_seq)

    async def execution(self, id: str) -> ExecutionRow | None:
        """The row as committed. Raises `StoreError`."""
        return await self._writer.read_execution(self, id)

    async def recent_executions(self, count: int) -> list[str]:
        """The ids of the last `count` executions that were committed, newest first. Raises `StoreError`."""
        return await self._writer.read_recent_executions(self, count)

    async def flush(self, durable: bool = False) -> None:
        """Return when all appended so far is committed (or durable). Raises `StoreError` if it cannot be."""
        if (self.durable if durable else self.committed) >= self._seq:
            return
        if self.failure is not None:
            raise self.failure
        future = asyncio.get_running_loop().create_future()
        self._waiting.append((self._seq, durable, future))
        if durable:
            self._writer.hurry()
        await future

    async def rescue(self, snapshots: Mapping[str, bytes], side: Mapping[str, bytes] | None = None) -> None:
        """Write everything into a new database after a failure, durably; then commits go on.

        `snapshots` hold, for each document, all that was appended to it up to this call; `side` (optional)
        wins over side values in the old database, for when that cannot be read any more.
        Raises `StoreError` when that fails too: nothing is lost, the room stays unsafe, try again later.
        """
        await self._writer.rescue(self, dict(snapshots), dict(side or {}), self._seq)
        self._snapshot_bytes.update({doc: len(data) for doc, data in snapshots.items()})

    async def close(self) -> None:
        """Commit what waits and close the database. Idempotent.

        Raises `StoreError` when the room is unsafe and rows would be lost; it is closed all the same.
        """
        if self._closed:
            return
        self._closed = True
        try:
            await self._writer.close_room(self)
        finally:
            self._wake()
            for _, _, future in self._waiting:
                if not future.done():
                    future.set_exception(self.failure or StoreError(f"{self.path}: the journal is closed"))
            self._waiting.clear()

    # From here on: called by the writer, in the loop's thread.

    def report_committed(self, seq: int, size: int) -> None:
        self.backlog_bytes -= size
        if seq > self.committed:
            self.committed = seq
            self._wake()
            if self.on_committed is not None:
                self.on_committed(seq)

    def report_durable(self, seq: int) -> None:
        if seq > self.durable:
            self.durable = seq
            self._wake()
            if self.on_durable is not None:
                self.on_durable(seq)

    def report_failure(self, error: StoreError) -> None:
        self.failure = error
        waiting, self._waiting = self._waiting, []
        for _, _, future in waiting:
            if not future.done():
                future.set_exception(error)
        if self.on_failure is not None:
            self.on_failure(error)

    def report_rescued(self, seq: int, size: int) -> None:
        self.failure = None
        self.backlog_bytes -= size
        self.committed = max(self.committed, seq)
        self._wake()
        if self.on_committed is not None:  # also when nothing waited: the room is safe again
            self.on_committed(self.committed)
        self.report_durable(seq)

    def report_log_bytes(self, doc: str, log_bytes: int, snapshot_bytes: int) -> None:
        self._log_bytes[doc] = log_bytes
        self._snapshot_bytes[doc] = snapshot_bytes

    def _wake(self) -> None:
        still = []
        for seq, durable, future in self._waiting:
            if (self.durable if durable else self.committed) < seq:
                still.append((seq, durable, future))
            elif not future.done():
                future.set_result(None)
        self._waiting = still
