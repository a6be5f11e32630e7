"""A room's SQLite database, used by one thread at a time.

No threads and no queue: `journal_writer` has those. The invariants: a row that is there is whole (each has a
checksum); a database that exists under its final name is initialised; a damaged one is never written to, it
is replaced as a whole and kept under another name.

A replacement is built as ``<name>.building``, made durable, and renamed to ``<name>.new``: from here on it is
the truth. Then the old files are moved away and it gets the name. `open_room` finishes what a kill
interrupted.
"""

from __future__ import annotations

import contextlib
import os
import sqlite3
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from zlib import crc32

import msgspec

from runt.errors import StoreError
from runt.store.disk_errors import from_os_error, from_sqlite_error, primary_code
from runt.store.journal_rows import Append, ExecutionRow, RoomContents, RoomDamaged
from runt.store.safe_directory import sync_directory

SCHEMA_VERSION = 1
"""``PRAGMA user_version``. A higher one was written by a newer runt and is refused."""

BUSY_TIMEOUT_S = 1.0
"""Only another daemon could hold the lock; a short wait covers one that is just going away."""

DAMAGE_CODES = frozenset({sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB})
CLEAN = "store.clean"
SEQ = "store.seq"
DAMAGED = "damaged"
"""Key in ``meta`` that a replacement after damage carries: where the damaged file was kept."""

_SCHEMA = """
CREATE TABLE meta (key TEXT PRIMARY KEY, value TEXT NOT NULL) WITHOUT ROWID;
CREATE TABLE snapshots (doc TEXT PRIMARY KEY, upto INTEGER NOT NULL, bytes BLOB NOT NULL,
                        crc INTEGER NOT NULL);
CREATE TABLE updates (row INTEGER PRIMARY KEY, seq INTEGER NOT NULL, doc TEXT NOT NULL, bytes BLOB NOT NULL,
                      crc INTEGER NOT NULL);
CREATE TABLE side (key TEXT PRIMARY KEY, value BLOB NOT NULL, crc INTEGER NOT NULL);
CREATE TABLE executions (id TEXT PRIMARY KEY, cell TEXT NOT NULL, queued REAL, body BLOB NOT NULL,
                         crc INTEGER NOT NULL);
CREATE INDEX executions_by_cell ON executions (cell, queued);
"""
_INSERT_UPDATE = "INSERT INTO updates (seq, doc, bytes, crc) VALUES (?, ?, ?, ?)"
_PUT_SNAPSHOT = "INSERT OR REPLACE INTO snapshots (doc, upto, bytes, crc) VALUES (?, ?, ?, ?)"
_PUT_SIDE = "INSERT OR REPLACE INTO side (key, value, crc) VALUES (?, ?, ?)"
_PUT_META = "INSERT OR REPLACE INTO meta (key, value) VALUES (?, ?)"
_PUT_EXECUTION = "INSERT OR REPLACE INTO executions (id, cell, queued, body, crc) VALUES (?, ?, ?, ?, ?)"

_encode = msgspec.json.Encoder().encode
_decode_execution = msgspec.json.Decoder(ExecutionRow).decode


@dataclass
class Rows:
    """All rows of a database, as far as they can be read."""

    meta: dict[str, str] = field(default_factory=dict)
    snapshots: dict[str, tuple[int, bytes]] = field(default_factory=dict)
    updates: list[tuple[int, str, bytes]] = field(default_factory=list)
    side: dict[str, bytes] = field(default_factory=dict)
    executions: list[ExecutionRow] = field(default_factory=list)
    problems: list[str] = field(default_factory=list)
    """One line per thing that could not be read; empty when all is well."""

    def contents(self) -> RoomContents:
        return RoomContents(
            meta={key: value for key, value in self.meta.items() if not key.startswith("store.")},
            snapshots={doc: data for doc, (_, data) in self.snapshots.items()},
            updates=[(doc, data) for _, doc, data in self.updates],
            side=dict(self.side),
        )

    def last_seq(self) -> int:
        return max(
            int(self.meta.get(SEQ, "0")),
            max((upto for upto, _ in self.snapshots.values()), default=0),
            max((seq for seq, _, _ in self.updates), default=0),
        )


class RoomDatabase:
    """An open, checked database. Made by `open_room`."""

    def __init__(self, path: Path, connection: sqlite3.Connection) -> None:
        self.path = path
        self._connection = connection

    def commit(self, batch: Sequence[Append]) -> None:
        """Store `batch` (in order) in one transaction. Raises `StoreError`: then nothing of it was stored."""
        execute = self._connection.execute
        try:
            execute("BEGIN IMMEDIATE")
            for item in batch:
                for doc, data in item.updates:
                    execute(_INSERT_UPDATE, (item.seq, doc, data, checksum(doc, data)))
                self._store_rows(item)
            if not batch[-1].updates:
                # Otherwise the last update's row says it. The number must never be given out twice.
                execute(_PUT_META, (SEQ, str(batch[-1].seq)))
            execute("COMMIT")
        except sqlite3.Error as error:
            self._roll_back()
            raise from_sqlite_error(error, self.path, "write") from error

    def compact(self, doc: str, snapshot: bytes, upto: int) -> int:
        """Store `snapshot`, drop the updates of `doc` up to `upto`; returns the bytes of those that stay."""
        execute = self._connection.execute
        try:
            execute("BEGIN IMMEDIATE")
            execute(_PUT_SNAPSHOT, (doc, upto, snapshot, checksum(doc, snapshot)))
            execute("DELETE FROM updates WHERE doc = ? AND seq <= ?", (doc, upto))
            (left,) = execute(
                "SELECT coalesce(sum(length(bytes)), 0) FROM updates WHERE doc = ?", (doc,)
            ).fetchone()
            execute("COMMIT")
        except sqlite3.Error as error:
            self._roll_back()
            raise from_sqlite_error(error, self.path, "compact") from error
        return int(left)

    def execution(self, id: str) -> ExecutionRow | None:
        """Raises `StoreError`."""
        query = "SELECT body, crc FROM executions WHERE id = ?"
        try:
            found = self._connection.execute(query, (id,)).fetchone()
        except sqlite3.Error as error:
            raise from_sqlite_error(error, self.path, "read") from error
        if found is None:
            return None
        body, crc = found
        if checksum(id, body) != crc:
            raise StoreError(f"{self.path}: the row of execution {id} is damaged")
        return _decode_execution(body)

    def checkpoint(self) -> None:
        """Move what is in the WAL into the database file. Raises `StoreError`."""
        try:
            self._connection.execute("PRAGMA wal_checkpoint(PASSIVE)")
        except sqlite3.Error as error:
            raise from_sqlite_error(error, self.path, "write") from error

    def close(self, *, clean: bool) -> None:
        """`clean` notes that no check is needed at the next open. Raises `StoreError` when that fails."""
        try:
            if clean:
                self._connection.execute(_PUT_META, (CLEAN, "1"))
                self._connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
        except sqlite3.Error as error:
            raise from_sqlite_error(error, self.path, "close") from error
        finally:
            with contextlib.suppress(sqlite3.Error):  # the WAL stays: the next open reads it
                self._connection.close()

    def rows(self) -> Rows:
        """Everything that can be read, executions included."""
        return _read_rows(self._connection, executions=True)

    def _store_rows(self, item: Append) -> None:
        execute = self._connection.execute
        for key, value in item.side.items():
            if value is None:
                execute("DELETE FROM side WHERE key = ?", (key,))
            else:
                execute(_PUT_SIDE, (key, value, checksum(key, value)))
        for row in item.executions:
            execute(_PUT_EXECUTION, _execution_values(row))
        for name, text in item.meta.items():
            if text is None:
                execute("DELETE FROM meta WHERE key = ?", (name,))
            else:
                execute(_PUT_META, (name, text))

    def _roll_back(self) -> None:
        # A failed COMMIT may have rolled back by itself, or the disk may refuse even this: nothing more to
        # do.
        with contextlib.suppress(sqlite3.Error):
            if self._connection.in_transaction:
                self._connection.execute("ROLLBACK")


def open_room(path: Path) -> tuple[RoomDatabase, Rows]:
    """Open the database at `path`, or make an empty one.

    Raises:
        RoomDamaged: it failed its check; it was replaced by what could be read of it (open again to use
        that). StoreError: it cannot be opened (locked by another daemon, no space, newer schema).
    """
    try:
        _finish_replacement(path)
        if not path.exists():
            build_replacement(path, Rows())
            switch_to_replacement(path)
        return _open_checked(path)
    except OSError as error:
        raise from_os_error(error, path, "open") from error
    except sqlite3.Error as error:
        raise from_sqlite_error(error, path, "open") from error


def wal_path(path: Path) -> Path:
    return path.with_name(path.name + "-wal")


def checksum(name: str, data: bytes) -> int:
    """Covers the key too: a row that belongs to another key is damage as well."""
    return crc32(data, crc32(name.encode()))


def _open_checked(path: Path) -> tuple[RoomDatabase, Rows]:
    connection = _connect(path)
    try:
        try:
            (version,) = connection.execute("PRAGMA user_version").fetchone()
            if version > SCHEMA_VERSION:
                raise StoreError(f"{path}: written by a newer runt (schema {version})", hint="update runt")
            rows = _read_rows(connection, executions=False)
            if version != SCHEMA_VERSION:
                rows.problems.append("its tables are missing")
            elif rows.meta.get(CLEAN) != "1" and not rows.problems:
                rows.problems += _quick_check(connection)
            if not rows.problems:
                connection.execute(_PUT_META, (CLEAN, "0"))
                return RoomDatabase(path, connection), rows
        except sqlite3.DatabaseError as error:
            if primary_code(error) not in DAMAGE_CODES:
                raise
            rows = Rows(problems=[str(error)])
        raise _replace_damaged(path, connection, rows.problems[0])
    except BaseException:
        with contextlib.suppress(sqlite3.Error):
            connection.close()
        raise


def _replace_damaged(path: Path, connection: sqlite3.Connection, reason: str) -> RoomDamaged:
    rows = _read_rows(connection, executions=True)
    with contextlib.suppress(sqlite3.Error):
        connection.close()
    kept_as = free_name(path)
    rows.meta[DAMAGED] = kept_as.name
    build_replacement(path, rows)
    switch_to_replacement(path, kept_as=kept_as)
    return RoomDamaged(str(path), f"damaged ({reason})", kept_as=str(kept_as), salvaged=rows.contents())


def _connect(path: Path) -> sqlite3.Connection:
    connection = sqlite3.connect(path, timeout=BUSY_TIMEOUT_S, isolation_level=None, check_same_thread=False)
    try:
        # EXCLUSIVE first: then the WAL's index is kept in memory and no -shm file is made.
        connection.execute("PRAGMA locking_mode = EXCLUSIVE")
        connection.execute("PRAGMA synchronous = NORMAL")
        connection.execute("PRAGMA wal_autocheckpoint = 0")  # the writer chooses a quiet moment
        connection.execute("PRAGMA temp_store = MEMORY")
    except BaseException:
        connection.close()
        raise
    return connection


def _quick_check(connection: sqlite3.Connection) -> list[str]:
    lines = [str(line) for (line,) in connection.execute("PRAGMA quick_check(3)")]
    return [] if lines == ["ok"] else lines


def _read_rows(connection: sqlite3.Connection, *, executions: bool) -> Rows:
    """Every row that is readable and matches its checksum; problem lines for the rest."""
    rows = Rows()
    lost: dict[str, int] = {}

    def whole(table: str, name: Any, data: Any, crc: Any) -> bool:
        if isinstance(name, str) and isinstance(data, bytes) and checksum(name, data) == crc:
            return True
        lost[table] = lost.get(table, 0) + 1
        return False

    def table(name: str, order: str, columns: str) -> list[tuple[Any, ...]]:
        return _read_table(
            connection, f"SELECT {order}, {columns} FROM {name} ORDER BY {order}", rows.problems
        )

    for _, key, value in table("meta", "key", "key, value"):
        if isinstance(key, str) and isinstance(value, str):
            rows.meta[key] = value
    for _, doc, upto, data, crc in table("snapshots", "rowid", "doc, upto, bytes, crc"):
        if whole("snapshots", doc, data, crc):
            rows.snapshots[doc] = (upto, data)
    for _, seq, doc, data, crc in table("updates", "row", "seq, doc, bytes, crc"):
        if whole("updates", doc, data, crc):
            rows.updates.append((seq, doc, data))
    for _, key, value, crc in table("side", "rowid", "key, value, crc"):
        if whole("side", key, value, crc):
            rows.side[key] = value
    if executions:
        for _, id, body, crc in table("executions", "rowid", "id, body, crc"):
            if whole("executions", id, body, crc):
                rows.executions.append(_decode_execution(body))
    rows.problems += [f"{count} rows of {name} do not match their checksum" for name, count in lost.items()]
    return rows


def _read_table(connection: sqlite3.Connection, query: str, problems: list[str]) -> list[tuple[Any, ...]]:
    """All rows, in order; around a damaged place, those before it and those behind it."""
    found: dict[Any, tuple[Any, ...]] = {}
    for direction in ("ASC", "DESC"):
        try:
            for row in connection.execute(f"{query} {direction}"):
                found[row[0]] = row
            break
        except sqlite3.DatabaseError as error:
            # SQLITE_ERROR here: the table is missing, the schema page is damaged.
            if primary_code(error) not in DAMAGE_CODES | {sqlite3.SQLITE_ERROR}:
                raise
            problems.append(str(error))
    return [found[key] for key in sorted(found)]


def _execution_values(row: ExecutionRow) -> tuple[object, ...]:
    body = _encode(row)
    return (row.id, row.cell, row.queued, body, checksum(row.id, body))


def build_replacement(path: Path, rows: Rows) -> None:
    """Write ``.building`` with `rows`, make it durable, and commit to it by renaming it to ``.new``."""
    building = _beside(path, ".building")
    _remove(building)
    try:
        os.close(os.open(building, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600))
        connection = sqlite3.connect(building, isolation_level=None)
        try:
            connection.execute("PRAGMA journal_mode = MEMORY")
            connection.execute("PRAGMA synchronous = OFF")  # one fsync at the end
            connection.executescript("BEGIN;" + _SCHEMA)
            _fill(connection, rows)
            connection.execute(f"PRAGMA user_version = {SCHEMA_VERSION}")
            connection.execute("COMMIT")
            connection.execute("PRAGMA journal_mode = WAL")
        finally:
            connection.close()
        descriptor = os.open(building, os.O_RDWR | os.O_CLOEXEC)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)
        os.rename(building, _beside(path, ".new"))
        sync_directory(path.parent)
    except BaseException:
        with contextlib.suppress(OSError):
            _remove(building)
        raise


def _fill(connection: sqlite3.Connection, rows: Rows) -> None:
    meta = rows.meta | {CLEAN: "1", SEQ: str(rows.last_seq())}
    connection.executemany(_PUT_META, meta.items())
    connection.executemany(
        _PUT_SNAPSHOT,
        ((doc, upto, data, checksum(doc, data)) for doc, (upto, data) in rows.snapshots.items()),
    )
    connection.executemany(
        _INSERT_UPDATE, ((seq, doc, data, checksum(doc, data)) for seq, doc, data in rows.updates)
    )
    connection.executemany(_PUT_SIDE, ((key, data, checksum(key, data)) for key, data in rows.side.items()))
    connection.executemany(_PUT_EXECUTION, map(_execution_values, rows.executions))


def switch_to_replacement(path: Path, *, keep_old: bool = False, kept_as: Path | None = None) -> Path | None:
    """Put ``.new`` in the place of the old files. Safe to repeat after a kill at any point."""
    if keep_old and kept_as is None and path.exists():
        kept_as = free_name(path)
    # The database first: a database without its WAL under the final name would lose what was committed.
    for suffix in ("", "-wal", "-shm"):
        old = _beside(path, suffix)
        if not old.exists():
            continue
        if kept_as is not None:
            os.rename(old, _beside(kept_as, suffix))
        else:
            os.unlink(old)
    os.rename(_beside(path, ".new"), path)
    sync_directory(path.parent)
    return kept_as


def _finish_replacement(path: Path) -> None:
    _remove(_beside(path, ".building"))
    if _beside(path, ".new").exists():
        switch_to_replacement(path, keep_old=True)
    elif not path.exists() and wal_path(path).exists():
        # Somebody removed the database but not its log: keep that out of the way of the new one.
        os.rename(wal_path(path), wal_path(free_name(path)))


def free_name(path: Path) -> Path:
    """``<name>.corrupt``, or the first ``.corrupt-<n>`` that is free."""
    candidate, number = _beside(path, ".corrupt"), 1
    while candidate.exists() or wal_path(candidate).exists():
        number += 1
        candidate = _beside(path, f".corrupt-{number}")
    return candidate


def _remove(path: Path) -> None:
    for suffix in ("", "-wal", "-shm", "-journal"):
        _beside(path, suffix).unlink(missing_ok=True)


def _beside(path: Path, suffix: str) -> Path:
    return path.with_name(path.name + suffix)
