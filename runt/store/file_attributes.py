"""Owner, mode, ACL and extended attributes: carried from a file to the one that replaces it.

It does not replace anything. The invariant: `carry_over` either makes the new file as accessible as the old
one, to the same people, or says that it could not.
"""

from __future__ import annotations

import ctypes
import errno
import os
import stat
import sys
from pathlib import Path

_NOT_OURS_TO_SET = frozenset({errno.EPERM, errno.EACCES, errno.ENOTSUP, errno.EOPNOTSUPP, errno.EINVAL})
_COPYFILE_ACL_AND_XATTR = (1 << 0) | (1 << 2)


class NotCarried(Exception):
    """The new file cannot get an attribute of the old one (only root may give files away, for instance)."""


def carry_over(old: Path, status: os.stat_result, descriptor: int) -> None:
    """Give the file open at `descriptor` the owner, ACL, extended attributes and mode of `old`.

    Raises:
        NotCarried: this process may not set one of them.
        OSError: the disk failed.
    """
    mine = os.fstat(descriptor)
    if (mine.st_uid, mine.st_gid) != (status.st_uid, status.st_gid):
        try:
            os.fchown(descriptor, status.st_uid, status.st_gid)
        except PermissionError as error:
            raise NotCarried("owner") from error
    # The mode after the owner: a change of owner clears set-uid bits. The ACL after the mode, whose group
    # bits are the ACL's mask.
    os.fchmod(descriptor, stat.S_IMODE(status.st_mode))
    if sys.platform == "darwin":
        _carry_darwin(old, descriptor)
    elif sys.platform == "linux":
        _carry_linux(old, descriptor)


if sys.platform == "linux":

    def _carry_linux(old: Path, descriptor: int) -> None:
        try:
            names = os.listxattr(old)
        except OSError as error:
            if error.errno in _NOT_OURS_TO_SET:
                return  # a file system without extended attributes
            raise
        for name in names:
            try:
                os.setxattr(descriptor, name, os.getxattr(old, name))
            except OSError as error:
                if error.errno not in _NOT_OURS_TO_SET:
                    raise
                # Security labels are the system's to give: the new file got its own.
                if not name.startswith(("security.", "trusted.", "system.nfs4_acl")):
                    raise NotCarried(name) from error


if sys.platform == "darwin":

    def _carry_darwin(old: Path, descriptor: int) -> None:
        library = ctypes.CDLL(None, use_errno=True)
        source = os.open(old, os.O_RDONLY | os.O_CLOEXEC)
        try:
            if library.fcopyfile(source, descriptor, None, _COPYFILE_ACL_AND_XATTR) < 0:
                raise NotCarried(os.strerror(ctypes.get_errno()))
        finally:
            os.close(source)
