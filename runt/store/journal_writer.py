"""The threads behind all room journals: one commits, one makes durable, two open.

It knows databases and queues, not documents. The invariants: one thread at a time uses a room's database;
what a room appended is committed in order, all that waits as one transaction; a room that failed commits
nothing more until it is rescued, and its rows are kept here; `fdatasync` never delays a commit.

The queue to the writer is not bounded here. Each room's `backlog_bytes` is the measure by which the daemon
stops reading that room's peers, so the bound is (rooms × the daemon's limit).
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import sqlite3
import threading
import time
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from queue import Empty, SimpleQueue
from typing import TypeVar

from runt.errors import StoreError
from runt.store import journal_database
from runt.store.disk_errors import from_os_error, from_sqlite_error
from runt.store.disk_sync import sync_data
from runt.store.journal import RoomJournal
from runt.store.journal_database import RoomDatabase
from runt.store.journal_replacement import build_replacement, switch_to_replacement, wal_path
from runt.store.journal_rescue import merged, readable_rows
from runt.store.journal_rows import Append, ExecutionRow, Rows
from runt.store.safe_directory import sync_directory

DURABLE_DELAY_S = 0.02
"""How long commits are gathered before one fdatasync: with a slow disk's 20 ms it stays within 50 ms."""

MAX_BATCH = 512
"""Appends in one transaction: bounds the time until the first of them is reported."""

CHECKPOINT_PAGES = 4000
"""Estimated WAL pages (16 MiB) after which a checkpoint no longer waits for a quiet moment."""

QUIET_CHECKPOINT_PAGES = 250
QUIET_S = 1.0
"""A checkpoint at leisure: this long after the last append, when at least so many pages (1 MiB) wait."""

PAGE_BYTES = 4096
PAGES_PER_COMMIT = 3
"""What the smallest commit writes: a leaf of each table and the file's first page."""

OPENERS = 2

_T = TypeVar("_T")


@dataclass(eq=False)
class _Room:
    """The writer's side of a room. Fields are the writer thread's unless it says otherwise."""

    journal: RoomJournal
    database: RoomDatabase
    committed: int
    """Written by the writer, read by the durability thread (a plain int: reading it is atomic)."""
    failed: bool = False
    held: list[Append] = field(default_factory=list)
    """What could not be committed, in order."""
    rescue_base: Rows | None = None
    """The rows of the failed database, from the first attempt at a rescue on."""
    wal_pages: int = 0
    closed: bool = False
    """Under `sync_lock`."""
    wal_descriptor: int = -1
    """Under `sync_lock`, like the durability thread's use of it."""
    sync_lock: threading.Lock = field(default_factory=threading.Lock)


@dataclass(frozen=True)
class _Job:
    """Something else to do with a room's database, between two commits."""

    room: _Room
    run: Callable[[], None]


class JournalWriter:
    """Owns the threads. `start` in the event loop that uses the journals; `close` before that loop ends."""

    def __init__(self) -> None:
        self._queue: SimpleQueue[tuple[_Room, Append] | _Job | None] = SimpleQueue()
        self._rooms: dict[RoomJournal, _Room] = {}
        self._opening: set[Path] = set()
        self._loop: asyncio.AbstractEventLoop | None = None
        self._openers = ThreadPoolExecutor(OPENERS, thread_name_prefix="runt-journal-open")
        self._threads: list[threading.Thread] = []
        self._with_wal: set[_Room] = set()
        """The commit thread's: rooms with something to checkpoint."""
        self._unsynced: dict[_Room, float] = {}
        self._sync_wanted = threading.Condition()
        self._hurry = False
        self._stopping = False

    def start(self, loop: asyncio.AbstractEventLoop | None = None) -> None:
        """Start the threads; reports are delivered in `loop` (default: the running one)."""
        self._loop = loop or asyncio.get_running_loop()
        for name, target in (("commit", self._run_commits), ("sync", self._run_syncs)):
            thread = threading.Thread(target=target, name=f"runt-journal-{name}", daemon=True)
            thread.start()
            self._threads.append(thread)

    async def open(self, path: Path) -> RoomJournal:
        """Open (or make) the database at the absolute `path` in a worker thread.

        Raises:
            RoomDamaged: it failed its check and was replaced by what could be read: see `salvaged`. Tell the
                user, then open again.
            StoreError: it cannot be opened, or is open already.
        """
        if path in self._opening or any(room.database.path == path for room in self._rooms.values()):
            raise StoreError(f"{path}: already open")
        self._opening.add(path)
        try:
            loop = asyncio.get_running_loop()
            database, rows = await loop.run_in_executor(self._openers, journal_database.open_room, path)
        finally:
            self._opening.discard(path)
        seq = rows.last_seq()
        journal = RoomJournal(self, path, rows.contents(), seq)
        self._rooms[journal] = _Room(journal, database, seq)
        return journal

    async def close(self) -> None:
        """Close every room, then the threads. Then raises the first `StoreError` that there was."""
        errors = []
        for journal in list(self._rooms):
            try:
                await journal.close()
            except StoreError as error:
                errors.append(error)
        self._queue.put(None)
        with self._sync_wanted:
            self._stopping = True
            self._sync_wanted.notify()
        for thread in self._threads:
            await asyncio.to_thread(thread.join)
        self._threads.clear()
        self._openers.shutdown()
        if errors:
            raise errors[0]

    # Called by RoomJournal, in the loop's thread.

    def enqueue(self, journal: RoomJournal, item: Append) -> None:
        self._queue.put((self._rooms[journal], item))

    def enqueue_compaction(self, journal: RoomJournal, doc: str, snapshot: bytes, upto: int) -> None:
        room = self._rooms[journal]
        self._queue.put(_Job(room, lambda: self._compact(room, doc, snapshot, upto)))

    async def read_execution(self, journal: RoomJournal, id: str) -> ExecutionRow | None:
        room = self._rooms[journal]

        def read() -> ExecutionRow | None:
            for item in reversed(room.held):
                for row in item.executions:
                    if row.id == id:
                        return row
            return room.database.execution(id)

        return await self._call(room, read)

    async def read_recent_executions(self, journal: RoomJournal, count: int) -> list[str]:
        room = self._rooms[journal]
        return await self._call(room, lambda: room.database.recent_executions(count))

    async def rescue(
        self, journal: RoomJournal, snapshots: dict[str, bytes], side: dict[str, bytes], seq: int
    ) -> None:
        room = self._rooms[journal]
        await self._call(room, lambda: self._rescue(room, snapshots, side, seq))

    async def close_room(self, journal: RoomJournal) -> None:
        room = self._rooms.get(journal)
        if room is None:
            return
        try:
            await self._call(room, lambda: self._close(room))
        finally:
            del self._rooms[journal]

    def hurry(self) -> None:
        """Somebody waits for durability: do not gather."""
        with self._sync_wanted:
            self._hurry = True
            self._sync_wanted.notify()

    async def _call(self, room: _Room, function: Callable[[], _T]) -> _T:
        future: Future[_T] = Future()

        def run() -> None:
            # A caller that was cancelled wants no answer, but what it began is done: it may be a close.
            wanted = future.set_running_or_notify_cancel()
            try:
                result = function()
            except BaseException as error:  # noqa: BLE001 - handed to the caller, whole
                if wanted:
                    future.set_exception(error)
            else:
                if wanted:
                    future.set_result(result)

        self._queue.put(_Job(room, run))
        return await asyncio.wrap_future(future)

    # The commit thread.

    def _run_commits(self) -> None:
        quiet: float | None = None
        while True:
            try:
                first = self._queue.get(timeout=quiet)
            except Empty:
                quiet = None
                self._checkpoint(QUIET_CHECKPOINT_PAGES)
                continue
            batch = [first]
            while first is not None and len(batch) < MAX_BATCH:
                try:
                    batch.append(self._queue.get_nowait())
                except Empty:
                    break
            if not self._process(batch):
                return
            self._checkpoint(CHECKPOINT_PAGES)
            quiet = QUIET_S

    def _process(self, batch: list[tuple[_Room, Append] | _Job | None]) -> bool:
        """False when it is time to stop."""
        waiting: dict[_Room, list[Append]] = {}
        for entry in batch:
            if entry is None:
                break
            if isinstance(entry, _Job):
                self._commit(entry.room, waiting.pop(entry.room, []))
                entry.run()
            else:
                room, item = entry
                waiting.setdefault(room, []).append(item)
        for room, items in waiting.items():
            self._commit(room, items)
        return batch[-1] is not None

    def _commit(self, room: _Room, items: list[Append]) -> None:
        if not items:
            return
        if room.failed:
            room.held += items
            return
        try:
            room.database.commit(items)
        except StoreError as error:
            room.held += items
            self._fail(room, error)
            return
        except Exception as error:  # noqa: BLE001 - a bug of one room must not end the thread that serves all
            room.held += items
            self._fail(room, StoreError(f"{room.database.path}: cannot write it: {error!r}"))
            return
        seq = items[-1].seq
        size = sum(item.size for item in items)
        room.committed = seq
        room.wal_pages += PAGES_PER_COMMIT + size // PAGE_BYTES
        self._with_wal.add(room)
        self._report(room.journal.report_committed, seq, size)
        self._want_sync(room)

    def _compact(self, room: _Room, doc: str, snapshot: bytes, upto: int) -> None:
        if room.failed:
            return
        try:
            left = room.database.compact(doc, snapshot, upto)
        except Exception:  # noqa: BLE001 - whatever it was, it must not end the thread that serves all rooms
            return  # nothing is lost: the updates are still there, and compaction stays due
        room.wal_pages += PAGES_PER_COMMIT + len(snapshot) // PAGE_BYTES
        self._with_wal.add(room)
        self._report(room.journal.report_log_bytes, doc, left, len(snapshot))
        self._want_sync(room)

    def _rescue(self, room: _Room, snapshots: dict[str, bytes], side: dict[str, bytes], seq: int) -> None:
        path = room.database.path
        if room.rescue_base is None:
            # Read once: a later attempt may find the old database closed, or less readable.
            room.rescue_base = readable_rows(room.database)
        rows = merged(room.rescue_base, room.held, snapshots, side, seq)
        with room.sync_lock:
            _close_descriptor(room)
            try:
                # Build first: while that fails the old database is still in place.
                build_replacement(path, rows)
                with contextlib.suppress(StoreError):
                    room.database.close(clean=False)
                switch_to_replacement(path, keep_old=bool(room.rescue_base.problems))
            except OSError as error:
                raise from_os_error(error, path, "replace") from error
            except sqlite3.Error as error:
                raise from_sqlite_error(error, path, "replace") from error
            room.database, _ = journal_database.open_room(path)
        size = sum(item.size for item in room.held)
        room.held.clear()
        room.rescue_base = None
        room.failed = False
        room.committed = seq
        room.wal_pages = 0
        self._report(room.journal.report_rescued, seq, size)

    def _close(self, room: _Room) -> None:
        self._with_wal.discard(room)
        with self._sync_wanted:
            self._unsynced.pop(room, None)
        with room.sync_lock:
            room.closed = True
            _close_descriptor(room)
            room.database.close(clean=not room.failed)
        if room.held:
            raise room.journal.failure or StoreError(f"{room.database.path}: rows were not committed")
        self._report(room.journal.report_durable, room.committed)

    def _checkpoint(self, pages: int) -> None:
        for room in [room for room in self._with_wal if room.wal_pages >= pages]:
            room.wal_pages = 0
            self._with_wal.discard(room)
            if room.failed:
                continue
            try:
                room.database.checkpoint()
            except StoreError as error:
                self._fail(room, error)

    def _fail(self, room: _Room, error: StoreError) -> None:
        if not room.failed:
            room.failed = True
            self._report(room.journal.report_failure, error)

    # The durability thread.

    def _want_sync(self, room: _Room) -> None:
        with self._sync_wanted:
            if room not in self._unsynced:
                self._unsynced[room] = time.monotonic()
                self._sync_wanted.notify()

    def _run_syncs(self) -> None:
        while True:
            with self._sync_wanted:
                while not self._unsynced and not self._stopping:
                    self._sync_wanted.wait()
                if self._stopping:
                    return
                due = min(self._unsynced.values()) + DURABLE_DELAY_S
                while not (self._hurry or self._stopping) and (left := due - time.monotonic()) > 0:
                    self._sync_wanted.wait(left)
                self._hurry = False
                rooms = list(self._unsynced)
                self._unsynced.clear()
            for room in rooms:
                self._sync(room)

    def _sync(self, room: _Room) -> None:
        with room.sync_lock:
            if room.failed or room.closed:
                return
            seq = room.committed
            try:
                if room.wal_descriptor < 0:
                    # Not the database file: closing any descriptor of that would drop SQLite's locks.
                    path = wal_path(room.database.path)
                    room.wal_descriptor = os.open(path, os.O_RDWR | os.O_NOFOLLOW | os.O_CLOEXEC)
                    sync_directory(path.parent)
                sync_data(room.wal_descriptor)
            except OSError as error:
                # Never retried on this file: the kernel may have dropped the pages. The room needs a new one.
                self._fail(room, from_os_error(error, room.database.path, "sync"))
                return
        self._report(room.journal.report_durable, seq)

    def _report(self, method: Callable[..., None], *values: object) -> None:
        assert self._loop is not None
        with contextlib.suppress(RuntimeError):  # the loop is closed: nobody listens any more
            self._loop.call_soon_threadsafe(method, *values)


def _close_descriptor(room: _Room) -> None:
    if room.wal_descriptor >= 0:
        os.close(room.wal_descriptor)
        room.wal_descriptor = -1
