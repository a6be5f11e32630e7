"""A room's SQLite database, used by one thread at a time.

No threads and no queue: `journal_writer` has those. The invariants: a row that is there is whole (each has a
checksum); a database that exists under its final name is initialised; a damaged one is never written to, it
is replaced as a whole and kept under another name.
"""

from __future__ import annotations

import contextlib
import sqlite3
from collections.abc import Sequence
from pathlib import Path

from runt.errors import StoreError
from runt.store.disk_errors import from_os_error, from_sqlite_error, primary_code
from runt.store.journal_replacement import (
    build_replacement,
    finish_replacement,
    free_name,
    switch_to_replacement,
)
from runt.store.journal_rows import SEQ, Append, ExecutionRow, RoomDamaged, Rows
from runt.store.journal_tables import (
    CLEAN,
    DAMAGE_CODES,
    DAMAGED,
    INSERT_UPDATE,
    PUT_EXECUTION,
    PUT_META,
    PUT_SIDE,
    PUT_SNAPSHOT,
    SCHEMA_VERSION,
    checksum,
    decode_execution,
    execution_values,
    read_rows,
)

BUSY_TIMEOUT_S = 1.0
"""Only another daemon could hold the lock; a short wait covers one that is just going away."""


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
                    execute(INSERT_UPDATE, (item.seq, doc, data, checksum(doc, data)))
                self._store_rows(item)
            if not batch[-1].updates:
                # Otherwise the last update's row says it. The number must never be given out twice.
                execute(PUT_META, (SEQ, str(batch[-1].seq)))
            execute("COMMIT")
        except sqlite3.Error as error:
            self._roll_back()
            raise from_sqlite_error(error, self.path, "write") from error

    def compact(self, doc: str, snapshot: bytes, upto: int) -> int:
        """Store `snapshot`, drop the updates of `doc` up to `upto`; returns the bytes of those that stay."""
        execute = self._connection.execute
        try:
            execute("BEGIN IMMEDIATE")
            execute(PUT_SNAPSHOT, (doc, upto, snapshot, checksum(doc, snapshot)))
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
                self._connection.execute(PUT_META, (CLEAN, "1"))
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
                execute(PUT_META, (name, text))

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
        finish_replacement(path)
        if not path.exists():
            build_replacement(path, Rows())
            switch_to_replacement(path)
        return _open_checked(path)
    except OSError as error:
        raise from_os_error(error, path, "open") from error
    except sqlite3.Error as error:
        raise from_sqlite_error(error, path, "open") from error


def _open_checked(path: Path) -> tuple[RoomDatabase, Rows]:
    connection = _connect(path)
    try:
        try:
            (version,) = connection.execute("PRAGMA user_version").fetchone()
            if version > SCHEMA_VERSION:
                raise StoreError(f"{path}: written by a newer runt (schema {version})", hint="update runt")
            rows = read_rows(connection, executions=False)
            if version != SCHEMA_VERSION:
                rows.problems.append("its tables are missing")
            elif rows.meta.get(CLEAN) != "1" and not rows.problems:
                rows.problems += _quick_check(connection)
            if not rows.problems:
                connection.execute(PUT_META, (CLEAN, "0"))
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
    rows = read_rows(connection, executions=True)
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
