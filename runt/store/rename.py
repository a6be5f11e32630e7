"""The two renames that Python does not offer: exchange two files, and rename only to a free name.

No policy. The invariant: each is one step for every other process, or it reports that the file system cannot.
"""

from __future__ import annotations

import ctypes
import errno
import functools
import os
import sys
from collections.abc import Callable
from pathlib import Path

_AT_FDCWD = -100
_NOREPLACE, _EXCHANGE = (4, 2) if sys.platform == "darwin" else (1, 2)
"""Flags of `renamex_np` (macOS) and `renameat2` (Linux)."""

_UNSUPPORTED = frozenset({errno.ENOSYS, errno.EINVAL, errno.ENOTSUP, errno.EOPNOTSUPP})


def exchange(one: Path, other: Path) -> bool:
    """Swap what the two names mean. False when the system cannot; raises `OSError` for any other failure."""
    return _rename(one, other, _EXCHANGE)


def rename_to_free_name(old: Path, new: Path) -> bool:
    """Rename `old` to `new` unless `new` exists (`FileExistsError`). False when the system cannot."""
    return _rename(old, new, _NOREPLACE)


def _rename(old: Path, new: Path, flags: int) -> bool:
    call = _system_call()
    if call is None:
        return False
    code = call(os.fsencode(old), os.fsencode(new), flags)
    if code == 0:
        return True
    if code in _UNSUPPORTED:
        return False
    raise OSError(code, os.strerror(code), str(old), None, str(new))


@functools.cache
def _system_call() -> Callable[[bytes, bytes, int], int] | None:
    """A function ``(old, new, flags) -> errno`` (0: done), or None when the C library has none."""
    library = ctypes.CDLL(None, use_errno=True)
    if sys.platform == "darwin":
        renamex = getattr(library, "renamex_np", None)
        if renamex is None:
            return None
        return lambda old, new, flags: ctypes.get_errno() if renamex(old, new, flags) else 0
    renameat2 = getattr(library, "renameat2", None)
    if renameat2 is None:
        return None
    return lambda old, new, flags: (
        ctypes.get_errno() if renameat2(_AT_FDCWD, old, _AT_FDCWD, new, flags) else 0
    )
