"""Directories and small files that belong to this user alone.

It knows nothing of what is kept there. The invariant: a path that these functions accept is owned by the
effective user, carries no permission for anybody else, and was not reached through a symbolic link in its
last component. Standard library only: the supervisor uses it too.
"""

from __future__ import annotations

import contextlib
import errno
import os
import secrets
import stat

from runt.errors import NoSpace, StoreError, UnsafeDirectory

PRIVATE_DIRECTORY_MODE = 0o700
PRIVATE_FILE_MODE = 0o600
OTHERS = 0o077
"""Permission bits of group and others: none may be set."""

MAX_PRIVATE_FILE_BYTES = 16 * 1024 * 1024
"""Far above any record that we keep; a larger file was not written by us."""


def ensure_private_directory(path: str | os.PathLike[str]) -> None:
    """Make `path` (and missing parents, each 0700) or check that what is there is ours alone.

    Raises:
        UnsafeDirectory: a symbolic link, not a directory, another owner, or permissions for others.
        StoreError: it could not be made (`NoSpace` when the disk is full).
    """
    os.close(open_private_directory(path))


def open_private_directory(path: str | os.PathLike[str]) -> int:
    """Like `ensure_private_directory`; returns a descriptor of the directory, for the caller to close."""
    name = os.path.abspath(os.fspath(path))
    _make(name)
    flags = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
    try:
        descriptor = os.open(name, flags)
    except OSError as error:
        if error.errno in (errno.ELOOP, errno.ENOTDIR):
            reason = "is a symbolic link" if os.path.islink(name) else "is not a directory"
            raise UnsafeDirectory(name, reason, hint="move it away, then try again") from error
        if error.errno == errno.EACCES:
            raise UnsafeDirectory(name, "cannot be opened by this user", hint="check its owner") from error
        raise _store_error(error, name, "open") from error
    try:
        _check_parent(name)
        _check(name, os.fstat(descriptor))
    except BaseException:
        os.close(descriptor)
        raise
    return descriptor


def write_private_file(path: str | os.PathLike[str], data: bytes, *, durable: bool = True) -> None:
    """Replace the small file at `path` by `data` in one step (mode 0600, random temporary name, rename).

    Raises `StoreError` (`NoSpace`); the old file is then intact and no temporary file is left.
    """
    name = os.path.abspath(os.fspath(path))
    temporary = os.path.join(os.path.dirname(name), f".{secrets.token_hex(8)}.tmp")
    flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
    try:
        descriptor = os.open(temporary, flags, PRIVATE_FILE_MODE)
        try:
            try:
                _write_all(descriptor, data)
                if durable:
                    os.fsync(descriptor)
            finally:
                os.close(descriptor)
            os.rename(temporary, name)
        except BaseException:
            with contextlib.suppress(OSError):
                os.unlink(temporary)
            raise
        if durable:
            sync_directory(os.path.dirname(name))
    except OSError as error:
        raise _store_error(error, name, "write") from error


def read_private_file(path: str | os.PathLike[str]) -> bytes:
    """The bytes of a small file that only we can have written.

    Raises:
        FileNotFoundError: there is none.
        UnsafeDirectory: a link, not a regular file, another owner, or writable by others.
    """
    name = os.path.abspath(os.fspath(path))
    try:
        descriptor = os.open(name, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
    except FileNotFoundError:
        raise
    except OSError as error:
        if error.errno == errno.ELOOP:
            raise UnsafeDirectory(name, "is a symbolic link", hint="remove it") from error
        raise _store_error(error, name, "open") from error
    try:
        status = os.fstat(descriptor)
        if not stat.S_ISREG(status.st_mode):
            raise UnsafeDirectory(name, "is not a regular file", hint="remove it")
        if status.st_uid != os.geteuid() or status.st_mode & 0o022:
            raise UnsafeDirectory(name, "could have been written by another user", hint="remove it")
        if status.st_size > MAX_PRIVATE_FILE_BYTES:
            raise StoreError(f"{name}: unexpectedly large ({status.st_size} bytes)", hint="remove it")
        pieces = []
        while piece := os.read(descriptor, 1 << 20):
            pieces.append(piece)
        return b"".join(pieces)
    except OSError as error:
        raise _store_error(error, name, "read") from error
    finally:
        os.close(descriptor)


def sync_directory(path: str | os.PathLike[str]) -> None:
    """Make the entries of a directory durable. Raises `OSError`."""
    descriptor = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _make(name: str) -> None:
    """mkdir -p, every new level 0700 whatever the umask adds."""
    missing = []
    level = name
    while not os.path.lexists(level):
        missing.append(level)
        level = os.path.dirname(level)
    for level in reversed(missing):
        try:
            os.mkdir(level, PRIVATE_DIRECTORY_MODE)
        except FileExistsError:
            continue  # made by someone else meanwhile: the checks that follow decide
        except OSError as error:
            if error.errno in (errno.EACCES, errno.EPERM, errno.EROFS):
                raise UnsafeDirectory(name, f"cannot be made: {error.strerror}") from error
            raise _store_error(error, level, "make") from error


def _check(name: str, status: os.stat_result) -> None:
    if status.st_uid != os.geteuid():
        raise UnsafeDirectory(
            name,
            f"belongs to user {status.st_uid}, not to {os.geteuid()}",
            hint="remove it or choose another",
        )
    if status.st_mode & OTHERS:
        mode = stat.S_IMODE(status.st_mode)
        raise UnsafeDirectory(name, f"others have access (mode {mode:04o})", hint=f"chmod 700 {name}")


def _check_parent(name: str) -> None:
    """Anybody could swap our directory for theirs when the parent is writable by all and not sticky."""
    parent = os.path.dirname(name)
    status = os.stat(parent)
    if status.st_mode & stat.S_IWOTH and not status.st_mode & stat.S_ISVTX:
        raise UnsafeDirectory(
            name,
            f"its parent {parent} is writable by everybody",
            hint=f"chmod o-w {parent} or choose another",
        )


def _write_all(descriptor: int, data: bytes) -> None:
    view = memoryview(data)
    while view:
        view = view[os.write(descriptor, view) :]


def _store_error(error: OSError, name: str, action: str) -> StoreError:
    if error.errno in (errno.ENOSPC, errno.EDQUOT):
        return NoSpace(f"{name}: no space to {action} it", hint="free some disk space")
    return StoreError(f"{name}: cannot {action} it: {error.strerror or error}")
