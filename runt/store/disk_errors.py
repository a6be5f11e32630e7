"""Translation of operating-system and SQLite errors into the store's errors.

It decides nothing about retrying. The invariant: a full disk (or quota) is always `NoSpace`, whoever reports
it, and the original error stays reachable as ``__cause__`` (raise ``… from error``).
"""

from __future__ import annotations

import errno
import os
import sqlite3

from runt.errors import NoSpace, StoreError

DAMAGE_CODES = frozenset({sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB})
FULL_ERRNOS = frozenset({errno.ENOSPC, errno.EDQUOT})


def from_os_error(error: OSError, path: str | os.PathLike[str], action: str) -> StoreError:
    """`action` is a verb: "write", "sync"."""
    if error.errno in FULL_ERRNOS:
        return NoSpace(
            f"{os.fspath(path)}: the disk is full, cannot {action} it", hint="free some disk space"
        )
    return StoreError(f"{os.fspath(path)}: cannot {action} it: {error.strerror or error}")


def from_sqlite_error(error: sqlite3.Error, path: str | os.PathLike[str], action: str) -> StoreError:
    """`SQLITE_FULL` becomes `NoSpace`, everything else a plain `StoreError`."""
    if primary_code(error) == sqlite3.SQLITE_FULL:
        return NoSpace(
            f"{os.fspath(path)}: the disk is full, cannot {action} it", hint="free some disk space"
        )
    return StoreError(f"{os.fspath(path)}: cannot {action} it: {error}")


def is_damage(error: sqlite3.Error | UnicodeDecodeError) -> bool:
    """Whether SQLite says that the file is not what it wrote. Its message may quote what is no text."""
    if isinstance(error, UnicodeDecodeError) or primary_code(error) in DAMAGE_CODES:
        return True
    # "Could not decode to UTF-8 column …" comes from Python's module, which gives it no code.
    return isinstance(error, sqlite3.OperationalError) and not hasattr(error, "sqlite_errorcode")


def primary_code(error: Exception) -> int:
    """SQLite's primary result code; 0 when the error came from Python's module itself."""
    return int(getattr(error, "sqlite_errorcode", 0)) & 0xFF
