"""Writing into an existing file, for those that cannot be replaced: hard links, mounts, foreign directories.

Not the ordinary way (`atomic_file` is). The invariant: as long as the file may be neither old nor new, a
durable copy of the old version exists under `copies`, beside a note of where it belongs.
"""

from __future__ import annotations

import contextlib
import errno
import hashlib
import os
import secrets
from pathlib import Path

from runt.errors import FileChanged, StoreError
from runt.store.safe_directory import ensure_private_directory, write_private_file


def write_in_place(target: Path, data: bytes, current: str, check: bool, copies: Path) -> None:
    """Overwrite `target`, whose content has the hash `current`, by `data`, durably.

    With `check`, `FileChanged` is raised when another version turned up meanwhile.
    Raises `OSError` (the old content is back), or `StoreError` naming the copy when even that failed.
    """
    descriptor = os.open(target, os.O_RDWR | os.O_NOFOLLOW | os.O_CLOEXEC)
    try:
        old = _read(descriptor)
        if check and hashlib.sha256(old).hexdigest() != current:
            raise FileChanged(str(target))
        copy = _keep(target, old, copies)
        try:
            _reserve(descriptor, len(old), len(data))
            if check and _read(descriptor)[: len(old)] != old:
                raise FileChanged(str(target))
            _overwrite(descriptor, data)
        except FileChanged:
            with contextlib.suppress(OSError):
                _forget(copy)
            raise
        except OSError as error:
            _restore(target, descriptor, old, copy, error)
            raise
        _forget(copy)
    finally:
        os.close(descriptor)


def _keep(target: Path, old: bytes, copies: Path) -> Path:
    ensure_private_directory(copies)
    copy = copies / f"{secrets.token_hex(4)}-{target.name[-120:]}"
    try:
        write_private_file(copy.with_name(copy.name + ".path"), os.fsencode(target) + b"\n")
        write_private_file(copy, old)
    except BaseException:
        with contextlib.suppress(OSError):
            _forget(copy)  # not needed: the file itself was not touched
        raise
    return copy


def _forget(copy: Path) -> None:
    for path in (copy, copy.with_name(copy.name + ".path")):
        with contextlib.suppress(FileNotFoundError):
            os.unlink(path)


def _reserve(descriptor: int, old_size: int, new_size: int) -> None:
    """Find out that the disk is full before a byte is overwritten."""
    if new_size <= old_size or not hasattr(os, "posix_fallocate"):
        return
    try:
        os.posix_fallocate(descriptor, 0, new_size)
    except OSError as error:
        if error.errno not in (errno.EOPNOTSUPP, errno.EINVAL, errno.ENOSYS):
            raise


def _overwrite(descriptor: int, data: bytes) -> None:
    view, at = memoryview(data), 0
    while at < len(data):
        at += os.pwrite(descriptor, view[at:], at)
    os.ftruncate(descriptor, len(data))
    os.fsync(descriptor)


def _restore(target: Path, descriptor: int, old: bytes, copy: Path, cause: OSError) -> None:
    """Its blocks are still allocated, so writing the old content back needs no space."""
    try:
        _overwrite(descriptor, old)
    except OSError as error:
        raise StoreError(
            f"{target}: could not be written ({cause.strerror}), nor restored ({error.strerror})",
            hint=f"its last version is kept in {copy}",
        ) from cause
    with contextlib.suppress(OSError):
        _forget(copy)


def _read(descriptor: int) -> bytes:
    pieces, at = [], 0
    while piece := os.pread(descriptor, 1 << 24, at):
        pieces.append(piece)
        at += len(piece)
    return b"".join(pieces)
