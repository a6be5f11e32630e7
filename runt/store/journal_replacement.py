"""Replacing a room's database as a whole: after damage, after a failed disk, and when there is none yet.

A replacement is built as ``<name>.building``, made durable, and renamed to ``<name>.new``: from here on it is
the truth. Then the old files are moved away and it gets the name. The invariant: after a kill at any point
`finish_replacement` leaves the old database or the new one under the name, whole, with its own WAL or none.
"""

from __future__ import annotations

import contextlib
import os
import sqlite3
from pathlib import Path

from runt.store.journal_rows import Rows
from runt.store.journal_tables import SCHEMA, SCHEMA_VERSION, fill
from runt.store.safe_directory import sync_directory


def wal_path(path: Path) -> Path:
    return path.with_name(path.name + "-wal")


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
            connection.execute("BEGIN")
            for statement in SCHEMA:
                connection.execute(statement)
            fill(connection, rows)
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


def finish_replacement(path: Path) -> None:
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
