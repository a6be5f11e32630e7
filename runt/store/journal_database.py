"""A room's SQLite database, used by one thread at a time.

No threads and no queue: `journal_writer` has those. The invariants: a row that is there is whole (each has a
checksum); a database that exists under its final name is initialised; a damaged one is never written to, it
is replaced as a whole and kept under another name.
"""

from __future__ import annotations

import contextlib
import sqlite3
from collections.abc import Mapping, Sequence
from pathlib import Path

from runt.errors import StoreError
from runt.store.disk_errors import from_os_error, from_sqlite_error, is_damage, primary_code
from runt.store.journal_replacement import (
    build_replacement,
    finish_replacement,
    free_name,
    switch_to_replacement,
)
from runt.store.journal_rows import SEQ, Append, ExecutionRow, RoomDamaged, Rows
from runt.store.journal_tables import (
    CLOSED,
    DAMAGED,
    IN_USE,
    PUT_EXECUTION,
    PUT_SIDE,
    SCHEMA_VERSION,
    checksum,
    decode_execution,
    execution_values,
    insert_update,
    put_meta,
    put_snapshot,
    read_rows,
    row_counts,
    schema_is_ours,
)

WAL_VERSIONS = b"\2\2"
"""Bytes 18 and 19 of a database that is in WAL mode, as all of ours are."""

BUSY_TIMEOUT_S = 1.0
"""Only another daemon could hold the lock; a short wait covers one that is just going away."""


class RoomDatabase:
    """An open, checked database. Made by `open_room`."""

    def __init__(self, path: Path, connection: sqlite3.Connection) -> None:
        self.path = path
        self._connection = connection
        (self._last_row,) = connection.execute("SELECT coalesce(max(row), 0) FROM updates").fetchone()

    def commit(self, batch: Sequence[Append]) -> None:
        """Store `batch` (in order) in one transaction. Raises `StoreError`: then nothing of it was stored."""
        execute = self._connection.execute
        row = self._last_row
        try:
            execute("BEGIN IMMEDIATE")
            for item in batch:
                for doc, data in item.updates:
                    row += 1
                    insert_update(self._connection, row, item.seq, doc, data)
                self._store_rows(item)
            if not batch[-1].updates:
                # Otherwise the last update's row says it. The number must never be given out twice.
                put_meta(self._connection, SEQ, str(batch[-1].seq))
            execute("COMMIT")
        except sqlite3.Error as error:
            self._roll_back()
            raise from_sqlite_error(error, self.path, "write") from error
        except BaseException:
            self._roll_back()
            raise
        self._last_row = row

    def compact(self, doc: str, snapshot: bytes, upto: int) -> int:
        """Store `snapshot`, drop the updates of `doc` up to `upto`; returns the bytes of those that stay."""
        execute = self._connection.execute
        try:
            execute("BEGIN IMMEDIATE")
            put_snapshot(self._connection, doc, upto, snapshot)
            execute("DELETE FROM updates WHERE doc = ? AND seq <= ?", (doc, upto))
            (left,) = execute(
                "SELECT coalesce(sum(length(bytes)), 0) FROM updates WHERE doc = ?", (doc,)
            ).fetchone()
            execute("COMMIT")
        except sqlite3.Error as error:
            self._roll_back()
            raise from_sqlite_error(error, self.path, "compact") from error
        except BaseException:
            self._roll_back()
            raise
        return int(left)

    def recent_executions(self, count: int) -> list[str]:
        """Ids, the one that changed last first. Raises `StoreError`."""
        query = "SELECT id FROM executions ORDER BY rowid DESC LIMIT ?"
        try:
            return [str(id) for (id,) in self._connection.execute(query, (count,))]
        except sqlite3.Error as error:
            raise from_sqlite_error(error, self.path, "read") from error

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
        return decode_execution(body)

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
                put_meta(self._connection, CLOSED, row_counts(self._connection))
                self._connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
        except sqlite3.Error as error:
            raise from_sqlite_error(error, self.path, "close") from error
        finally:
            with contextlib.suppress(sqlite3.Error):  # the WAL stays: the next open reads it
                self._connection.close()

    def rows(self) -> Rows:
        """Everything that can be read, executions included."""
        return read_rows(self._connection, executions=True)

    def _store_rows(self, item: Append) -> None:
        execute = self._connection.execute
        for key, value in item.side.items():
            if value is None:
                execute("DELETE FROM side WHERE key = ?", (key,))
            else:
                execute(PUT_SIDE, (key, value, checksum(key, value)))
        for row in item.executions:
            execute(PUT_EXECUTION, execution_values(row))
        for name, text in item.meta.items():
            if text is None:
                execute("DELETE FROM meta WHERE key = ?", (name,))
            else:
                put_meta(self._connection, name, text)

    def _roll_back(self) -> None:
        # A failed COMMIT may have rolled back by itself, or the disk may refuse even this: nothing more to
        # do.
        with contextlib.suppress(sqlite3.Error):
            if self._connection.in_transaction:
                self._connection.execute("ROLLBACK")


def open_room(path: Path) -> tuple[RoomDatabase, Rows]:
    """Open the database at `path`, or make an empty one.

    Raises:
        RoomDamaged: it failed its check and was replaced by what could be read of it: open again to use that.
        StoreError: it cannot be opened (locked by another daemon, no space, newer schema).
    """
    try:
        finish_replacement(path)
        if not path.exists():
            build_replacement(path, Rows())
            switch_to_replacement(path)
        return _open_checked(path)
    except OSError as error:
        raise from_os_error(error, path, "open") from error
    except sqlite3.Error as error:
        raise from_sqlite_error(error, path, "open") from error


def replace_room(path: Path, snapshots: Mapping[str, bytes], side: Mapping[str, bytes]) -> Path:
    """Put a database with these documents and side values, and the old executions, in the place of one that
    is whole but of no use. Returns where the old one is kept. It must not be open. Raises `StoreError`.
    """
    try:
        database, _ = open_room(path)
        try:
            old = database.rows()
        finally:
            database.close(clean=False)
        kept_as = free_name(path)
        rows = Rows(
            meta=old.meta | {DAMAGED: kept_as.name},
            snapshots={doc: (old.last_seq(), data) for doc, data in snapshots.items()},
            side=dict(side),
            executions=old.executions,
        )
        rows.meta[SEQ] = str(old.last_seq())  # its numbers must never be given out twice
        build_replacement(path, rows)
        switch_to_replacement(path, kept_as=kept_as)
    except OSError as error:
        raise from_os_error(error, path, "replace") from error
    except sqlite3.Error as error:
        raise from_sqlite_error(error, path, "replace") from error
    return kept_as


def _open_checked(path: Path) -> tuple[RoomDatabase, Rows]:
    intact = _header_is_ours(path)
    connection = sqlite3.connect(path, timeout=BUSY_TIMEOUT_S, isolation_level=None, check_same_thread=False)
    try:
        rows = _checked_rows(path, connection) if intact else Rows(problems=["file is not a database"])
        if not rows.problems:
            return RoomDatabase(path, connection), rows
        raise _replace_damaged(path, connection, rows.problems[0])
    except BaseException:
        with contextlib.suppress(sqlite3.Error):
            connection.close()
        raise


def _checked_rows(path: Path, connection: sqlite3.Connection) -> Rows:
    """All but the executions, and the note that it is in use. Damage is in `problems`.

    Raises `StoreError` (newer schema), `sqlite3.Error` (any other trouble).
    """
    try:
        # EXCLUSIVE first: then the WAL's index is kept in memory and no -shm file is made.
        connection.execute("PRAGMA locking_mode = EXCLUSIVE")
        connection.execute("PRAGMA synchronous = NORMAL")
        connection.execute("PRAGMA wal_autocheckpoint = 0")  # the writer chooses a quiet moment
        # Zeros over replaced rows where that is free: else one changed pointer could bring an old one back.
        connection.execute("PRAGMA secure_delete = FAST")
        (version,) = connection.execute("PRAGMA user_version").fetchone()
        if version > SCHEMA_VERSION:
            raise StoreError(f"{path}: written by a newer runt (schema {version})", hint="update runt")
        rows = read_rows(connection, executions=False)
        if version != SCHEMA_VERSION or not schema_is_ours(connection):
            rows.problems.append("its tables are not as they were made")
        elif not rows.meta.keys() >= {CLOSED, SEQ}:
            rows.problems.append("rows are missing")
        elif rows.meta[CLOSED] == IN_USE:
            rows.problems += _quick_check(connection)
        elif rows.meta[CLOSED] != row_counts(connection):
            rows.problems.append("rows are missing")
        if not rows.problems:
            put_meta(connection, CLOSED, IN_USE)
        return rows
    except (sqlite3.DatabaseError, UnicodeDecodeError) as error:
        # SQLITE_ERROR: our own statements are right, so it is the file ("unsupported file format").
        if not is_damage(error) and primary_code(error) != sqlite3.SQLITE_ERROR:
            raise
        return Rows(problems=[str(error)])


def _replace_damaged(path: Path, connection: sqlite3.Connection, reason: str) -> RoomDamaged:
    try:
        rows = read_rows(connection, executions=True)
    except (sqlite3.DatabaseError, UnicodeDecodeError):
        rows = Rows()  # not even the first page can be read; the file itself is kept
    with contextlib.suppress(sqlite3.Error):
        connection.close()
    kept_as = free_name(path)
    rows.meta[DAMAGED] = kept_as.name
    build_replacement(path, rows)
    switch_to_replacement(path, kept_as=kept_as)
    return RoomDamaged(str(path), f"damaged ({reason})", kept_as=str(kept_as), salvaged=rows.contents())


def _header_is_ours(path: Path) -> bool:
    """To be asked before SQLite opens it (closing any descriptor drops its locks). A changed version byte
    would only make the database read-only.
    """
    with open(path, "rb") as file:
        header = file.read(20)
    return header[:16] == b"SQLite format 3\0" and header[18:] == WAL_VERSIONS


def _quick_check(connection: sqlite3.Connection) -> list[str]:
    lines = [str(line) for (line,) in connection.execute("PRAGMA quick_check(3)")]
    return [] if lines == ["ok"] else lines
