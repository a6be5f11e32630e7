"""Which room a file belongs to: real path → room id, for one machine.

Not the truth about a room (its own journal is). The invariant: a path has at most one room, a room at most
one path; two names of one file (hard links) have one room.

Its methods block for some microseconds; what they wrote survives a killed process. Any thread may call them.
"""

from __future__ import annotations

import contextlib
import os
import sqlite3
import threading
from collections.abc import Iterator
from pathlib import Path

from runt.errors import StoreError
from runt.store.disk_errors import from_os_error, from_sqlite_error, is_damage
from runt.store.journal_replacement import free_name

_SCHEMA = """
CREATE TABLE IF NOT EXISTS rooms (path BLOB PRIMARY KEY, id TEXT NOT NULL UNIQUE, device INTEGER,
                                  inode INTEGER);
CREATE INDEX IF NOT EXISTS rooms_by_inode ON rooms (device, inode);
"""


class PathIndex:
    """Opens (or makes) the database at `path`.

    A damaged one is renamed and an empty one made; `kept_as` then says where, and the daemon, which can fill
    the index from its rooms, has to tell the user. Raises `StoreError`.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self.kept_as: Path | None = None
        self._lock = threading.Lock()
        try:
            try:
                self._connection = _connect(path)
            except (sqlite3.DatabaseError, UnicodeDecodeError) as error:
                if not is_damage(error):
                    raise
                self.kept_as = free_name(path)
                for suffix in ("", "-wal", "-shm"):
                    with contextlib.suppress(FileNotFoundError):
                        os.rename(f"{path}{suffix}", f"{self.kept_as}{suffix}")
                self._connection = _connect(path)
        except sqlite3.Error as error:
            raise from_sqlite_error(error, path, "open") from error
        except OSError as error:
            raise from_os_error(error, path, "open") from error

    def room_for(self, path: str | os.PathLike[str]) -> str | None:
        """The room of the file at `path` (which is resolved), or of another name of the same file."""
        real = os.path.realpath(path)
        with self._guarded() as connection:
            row = connection.execute("SELECT id FROM rooms WHERE path = ?", (os.fsencode(real),)).fetchone()
            if row is not None:
                return str(row[0])
            status = _stat(real)
            if status is None:
                return None
            query = "SELECT path, id FROM rooms WHERE device = ? AND inode = ?"
            candidates = connection.execute(
                query, (_signed(status.st_dev), _signed(status.st_ino))
            ).fetchall()
        for other, id in candidates:
            # The number alone proves nothing: it may have been used again after the other file was removed.
            known = _stat(os.fsdecode(other))
            if known is not None and os.path.samestat(known, status):
                return str(id)
        return None

    def assign(self, path: str | os.PathLike[str], id: str) -> None:
        """Say that the file at `path` (resolved) belongs to room `id`, and no other path does.

        Call it after each save too: a replaced file has a new inode. Raises `StoreError`.
        """
        real = os.path.realpath(path)
        status = _stat(real)
        device, inode = (_signed(status.st_dev), _signed(status.st_ino)) if status else (None, None)
        with self._guarded() as connection, connection:
            connection.execute("DELETE FROM rooms WHERE id = ? OR path = ?", (id, os.fsencode(real)))
            connection.execute(
                "INSERT INTO rooms VALUES (?, ?, ?, ?)", (os.fsencode(real), id, device, inode)
            )

    def forget(self, id: str) -> None:
        """Room `id` has no path any more. Raises `StoreError`."""
        with self._guarded() as connection, connection:
            connection.execute("DELETE FROM rooms WHERE id = ?", (id,))

    def path_of(self, id: str) -> str | None:
        with self._guarded() as connection:
            row = connection.execute("SELECT path FROM rooms WHERE id = ?", (id,)).fetchone()
        return os.fsdecode(row[0]) if row is not None else None

    def all(self) -> dict[str, str]:
        """Room id → real path."""
        with self._guarded() as connection:
            rows = connection.execute("SELECT id, path FROM rooms ORDER BY path").fetchall()
        return {str(id): os.fsdecode(path) for id, path in rows}

    def close(self) -> None:
        """Idempotent."""
        with self._lock:
            self._connection.close()

    @contextlib.contextmanager
    def _guarded(self) -> Iterator[sqlite3.Connection]:
        with self._lock:
            try:
                yield self._connection
            except sqlite3.ProgrammingError as error:
                raise StoreError(f"{self.path}: the index is closed") from error
            except sqlite3.Error as error:
                raise from_sqlite_error(error, self.path, "use") from error


def _connect(path: Path) -> sqlite3.Connection:
    os.close(os.open(path, os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600))
    connection = sqlite3.connect(path, check_same_thread=False)
    try:
        # EXCLUSIVE: only the daemon opens it, and without -shm it also works on a network file system.
        connection.execute("PRAGMA locking_mode = EXCLUSIVE")
        connection.execute("PRAGMA journal_mode = WAL")
        connection.execute("PRAGMA synchronous = NORMAL")
        connection.executescript(_SCHEMA)
        lines = [str(line) for (line,) in connection.execute("PRAGMA quick_check(1)")]
        if lines != ["ok"]:
            damage = sqlite3.DatabaseError(lines[0])
            damage.sqlite_errorcode = sqlite3.SQLITE_CORRUPT
            raise damage
    except BaseException:
        connection.close()
        raise
    return connection


def _stat(path: str) -> os.stat_result | None:
    try:
        return os.stat(path)
    except OSError:
        return None


def _signed(number: int) -> int:
    """SQLite's integers are signed 64 bits; inode numbers of some file systems are not."""
    return number - (1 << 64) if number >= 1 << 63 else number
