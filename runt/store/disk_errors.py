"""Translation of operating-system and SQLite errors into the store's errors.

It decides nothing about retrying. The invariant: a full disk (or quota) is always `NoSpace`, whoever reports
it, and the original error stays reachable as ``__cause__`` (raise ``… from error``).
"""

from __future__ import annotations

import errno
import os
import sqlite3

from runt.errors import NoSpace, StoreError

FULL_ERRNOS = frozenset({errno.ENOSPC, errno.EDQUOT})


def from_os_error(error: OSError, path: str | os.PathLike[str], action: str) -> StoreError:
    """`action` is a verb: "write", "make durable"."""
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


def primary_code(error: sqlite3.Error) -> int:
    """SQLite's primary result code; 0 when the error came from Python's module itself."""
    return int(getattr(error, "sqlite_errorcode", 0)) & 0xFF
