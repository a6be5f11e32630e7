"""The lock that makes a daemon the only one: `flock` on a file, held as long as the descriptor is open.

Not a pid file: what is written in the file means nothing. The invariant: at any time at most one open file
description in the system holds the lock of the file that `path` names; the system releases it when the
process dies.
"""

from __future__ import annotations

import errno
import fcntl
import os

from runt.errors import StoreError
from runt.store.disk_errors import from_os_error


class SingletonLock:
    """Made by `acquire` (or `inherit`), not directly."""

    def __init__(self, path: str, descriptor: int) -> None:
        self.path = path
        self._descriptor = descriptor

    @classmethod
    def acquire(cls, path: str | os.PathLike[str]) -> SingletonLock | None:
        """Take the lock without waiting; None when another process has it.

        Raises `StoreError` when the file cannot be opened or the file system has no locks.
        """
        name = os.fspath(path)
        while True:
            try:
                descriptor = os.open(name, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600)
            except OSError as error:
                raise from_os_error(error, name, "open") from error
            try:
                fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except OSError as error:
                os.close(descriptor)
                if error.errno in (errno.EWOULDBLOCK, errno.EAGAIN, errno.EACCES):
                    return None
                raise StoreError(
                    f"{name}: cannot be locked: {error.strerror}",
                    hint="set RUNT_DATA_DIR to a local directory",
                ) from error
            if _names(name, descriptor):
                return cls(name, descriptor)
            os.close(descriptor)  # the file was replaced between open and lock: ours guards nothing

    @classmethod
    def inherit(cls, path: str | os.PathLike[str], descriptor: int) -> SingletonLock:
        """The lock that a predecessor holds and handed over with its descriptor."""
        os.set_inheritable(descriptor, False)
        return cls(os.fspath(path), descriptor)

    @property
    def fileno(self) -> int:
        return self._descriptor

    def still_names_file(self) -> bool:
        """False when somebody removed or replaced the lock file: another daemon could start."""
        return self._descriptor >= 0 and _names(self.path, self._descriptor)

    def release(self) -> None:
        """Idempotent. The file stays: removing it would let two processes lock two files."""
        if self._descriptor >= 0:
            os.close(self._descriptor)
            self._descriptor = -1


def _names(name: str, descriptor: int) -> bool:
    try:
        return os.path.samestat(os.stat(name, follow_symlinks=False), os.fstat(descriptor))
    except FileNotFoundError:
        return False
