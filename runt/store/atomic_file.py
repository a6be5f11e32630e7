"""Files of the user (notebooks, settings), read and replaced so that no version is ever lost.

It knows nothing of what is in them. The invariant: after `write_file` the path holds the old content or the
new, whole; a version that nobody expected is never overwritten; and the temporary file is gone.

The new content is written beside the file under a random name, made durable, and takes the name in one step.
Where the system can exchange two names, what comes out is compared with the expected version and put back if
it differs: that closes the gap between check and rename. Files that must keep their inode (hard links, mount
points) or whose directory we may not write are written in place, after a durable copy in the state directory.
"""

from __future__ import annotations

import contextlib
import errno
import hashlib
import os
import secrets
import stat
import time
from enum import Enum
from pathlib import Path
from typing import Final, Literal

from runt.errors import FileChanged, StoreError
from runt.store import rename
from runt.store.disk_errors import from_os_error
from runt.store.file_attributes import NotCarried, carry_over
from runt.store.in_place import write_in_place
from runt.store.safe_directory import sync_directory


class _Any(Enum):
    ANY = "any"


ANY: Final = _Any.ANY
"""As `expected_sha256`: whatever is there is to be replaced."""

Expected = str | None | Literal[_Any.ANY]

TEMPORARY_PREFIX = ".runt-"
TEMPORARY_SUFFIX = ".tmp"
DIGEST_CHARACTERS = 16
"""A temporary file's name begins with so much of its content's hash: who was killed over it can find it."""

_NEEDS_IN_PLACE = frozenset({errno.EACCES, errno.EPERM, errno.EBUSY, errno.EXDEV, errno.EROFS})
"""The directory (or a mount on the file) does not let us replace it; the file may still be writable."""


def read_file(path: str | os.PathLike[str]) -> tuple[bytes, str]:
    """The bytes of a regular file, and their SHA-256 in hex. Symbolic links are followed.

    Raises `OSError` as the system gave it (`FileNotFoundError`, `PermissionError`, `IsADirectoryError`), so
    that the caller can tell these apart; `StoreError` for a pipe, socket or device.
    """
    # Without O_NONBLOCK the open itself would wait for a pipe's writer.
    descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
    try:
        status = os.fstat(descriptor)
        if stat.S_ISDIR(status.st_mode):
            raise IsADirectoryError(errno.EISDIR, os.strerror(errno.EISDIR), os.fspath(path))
        if not stat.S_ISREG(status.st_mode):
            raise StoreError(f"{os.fspath(path)}: is not a regular file")
        pieces = []
        while piece := os.read(descriptor, 1 << 24):
            pieces.append(piece)
    finally:
        os.close(descriptor)
    data = b"".join(pieces)
    return data, hashlib.sha256(data).hexdigest()


def write_file(
    path: str | os.PathLike[str],
    data: bytes,
    *,
    expected_sha256: Expected,
    copies: Path | None = None,
    mode: int | None = None,
) -> str:
    """Replace the content of the file at `path` by `data`, durably; returns the SHA-256 of `data` in hex.

    Args:
        expected_sha256: the version that is to be replaced; None: there must be no file; `ANY`: do not check.
            A file that holds `data` already is left as it is, whatever was expected.
        copies: directory for the copy that is made before a file is written in place (default: the state
            directory of the environment).
        mode: permission bits of a new file (default: what the process's umask leaves of 0666).

    Raises:
        FileChanged: another version is there. Nothing was written.
        NoSpace: the disk is full; the old version is intact.
        StoreError: any other failure. The old version is intact, or the new one is there whole.
    """
    # Resolved once: the file that a link names now is the file that is written.
    target = Path(os.path.realpath(path))
    digest = hashlib.sha256(data).hexdigest()
    try:
        status = _status(target)
        current = _hash_of(target) if status is not None else None
        if status is not None and current == digest:
            _make_durable(target)
            return digest
        if expected_sha256 is not ANY and current != expected_sha256:
            raise FileChanged(str(target))
        if status is None:
            _create(target, data, mode, expected_sha256)
        elif not _must_stay(target, status) and _replace(target, data, status, expected_sha256):
            pass
        else:
            write_in_place(
                target, data, current or "", expected_sha256 is not ANY, copies or _default_copies()
            )
    except OSError as error:
        raise from_os_error(error, target, "write") from error
    return digest


def remove_strays(directory: Path, older_than_s: float = 3600.0) -> int:
    """Remove temporary files that a killed process left in `directory`; returns how many."""
    removed = 0
    for path in directory.glob(f"{TEMPORARY_PREFIX}*{TEMPORARY_SUFFIX}"):
        with contextlib.suppress(OSError):  # somebody else's, or gone: not ours to worry about
            status = path.lstat()
            if status.st_uid == os.geteuid() and time.time() - status.st_mtime > older_than_s:
                path.unlink()
                removed += 1
    return removed


def clear_interrupted(path: str | os.PathLike[str], digest: str, replaced: str) -> None:
    """Remove what a process left that was killed while it wrote content of the hash `digest` to `path`.

    `replaced` is the hash of the version that was to be replaced. If another version came out of the exchange,
    the process had no time to put it back: it gets its name again. Raises `OSError`.
    """
    target = Path(os.path.realpath(path))
    for temporary in target.parent.glob(_temporary_name(digest, "*")):
        came_out, came_out_hash = read_file(temporary)
        data, current = read_file(target) if target.exists() else (b"", "")
        if current == digest and came_out_hash != replaced and not data.startswith(came_out):
            os.rename(temporary, target)
        else:
            _discard(temporary)


def _temporary_name(digest: str, distinction: str) -> str:
    return f"{TEMPORARY_PREFIX}{digest[:DIGEST_CHARACTERS]}-{distinction}{TEMPORARY_SUFFIX}"


def _status(target: Path) -> os.stat_result | None:
    try:
        status = os.stat(target, follow_symlinks=False)
    except FileNotFoundError:
        return None
    if not stat.S_ISREG(status.st_mode):
        raise StoreError(f"{target}: is not a regular file")
    return status


def _must_stay(target: Path, status: os.stat_result) -> bool:
    """Whether others would keep the old file if we replaced it: more names, or a mount on this one."""
    return status.st_nlink > 1 or status.st_dev != os.stat(target.parent).st_dev


def _create(target: Path, data: bytes, mode: int | None, expected: Expected) -> None:
    temporary, descriptor = _open_temporary(target, data, 0o666 if mode is None else 0o600)
    try:
        try:
            _write_all(descriptor, data)
            if mode is not None:
                os.fchmod(descriptor, mode)
            os.fsync(descriptor)
        finally:
            os.close(descriptor)
        try:
            if not rename.rename_to_free_name(temporary, target):
                os.link(temporary, target)  # fails, like the rename, when the name is taken
                os.unlink(temporary)
        except FileExistsError as error:
            if expected is not ANY:
                raise FileChanged(str(target)) from error
            os.rename(temporary, target)
        sync_directory(target.parent)
    except BaseException:
        _discard(temporary)
        raise


def _replace(target: Path, data: bytes, status: os.stat_result, expected: Expected) -> bool:
    """False when this file can only be written in place; nothing was changed then."""
    try:
        temporary, descriptor = _open_temporary(target, data, 0o600)
    except OSError as error:
        if error.errno in _NEEDS_IN_PLACE:
            return False
        raise
    try:
        try:
            _write_all(descriptor, data)
            carry_over(target, status, descriptor)
            os.fsync(descriptor)
            ours = os.fstat(descriptor)
        finally:
            os.close(descriptor)
        if not isinstance(expected, str):
            os.rename(temporary, target)
        else:
            _replace_expected(temporary, target, expected, ours)
        sync_directory(target.parent)
    except NotCarried:
        return False
    except OSError as error:
        if error.errno in _NEEDS_IN_PLACE:
            return False
        raise
    finally:
        _discard(temporary)
    return True


def _replace_expected(temporary: Path, target: Path, expected: str, ours: os.stat_result) -> None:
    try:
        exchanged = rename.exchange(temporary, target)
    except FileNotFoundError as error:
        raise FileChanged(str(target)) from error
    if not exchanged:
        # The best without an exchange: look again, as late as possible.
        try:
            late = _hash_of(target)
        except FileNotFoundError as error:
            raise FileChanged(str(target)) from error
        if late != expected:
            raise FileChanged(str(target))
        os.rename(temporary, target)
        return
    try:
        came_out = _hash_of(temporary)
    except BaseException:
        _put_back(temporary, target, ours)
        raise
    if came_out != expected:
        _put_back(temporary, target, ours)
        raise FileChanged(str(target))


def _put_back(temporary: Path, target: Path, ours: os.stat_result) -> None:
    """Undo an exchange. If somebody replaced ours meanwhile, theirs is the latest and stays."""
    rename.exchange(temporary, target)
    if not os.path.samestat(os.stat(temporary, follow_symlinks=False), ours):
        rename.exchange(temporary, target)


def _open_temporary(target: Path, data: bytes, mode: int) -> tuple[Path, int]:
    name = _temporary_name(hashlib.sha256(data).hexdigest(), secrets.token_hex(8))
    temporary = target.parent / name
    flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
    return temporary, os.open(temporary, flags, mode)


def _discard(temporary: Path) -> None:
    with contextlib.suppress(FileNotFoundError):
        os.unlink(temporary)


def _make_durable(target: Path) -> None:
    """An earlier write may have failed after its rename: right, but perhaps not yet durable."""
    descriptor = os.open(target, os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
    sync_directory(target.parent)


def _hash_of(path: Path) -> str:
    descriptor = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
    try:
        state = hashlib.sha256()
        while piece := os.read(descriptor, 1 << 20):
            state.update(piece)
        return state.hexdigest()
    finally:
        os.close(descriptor)


def _write_all(descriptor: int, data: bytes) -> None:
    view = memoryview(data)
    while view:
        view = view[os.write(descriptor, view) :]


def _default_copies() -> Path:
    from runt.store.places import Places  # only here: a caller that passes `copies` needs no environment

    return Places.from_environment().copies
