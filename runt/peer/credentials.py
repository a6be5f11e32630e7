"""Who is at the other end of a Unix socket.

Not authentication of a program, only of its user. The invariant: an answer that cannot be had counts as no.
"""

from __future__ import annotations

import os
import socket
import struct
import sys
from typing import Final

# struct ucred { pid_t pid; uid_t uid; gid_t gid; } (Linux, socket(7)).
_UCRED: Final = struct.Struct("=iII")
# struct xucred { u_int version; uid_t uid; … } (macOS, sys/ucred.h). Python has no names for SOL_LOCAL and
# LOCAL_PEERCRED.
_XUCRED_START: Final = struct.Struct("=II")
_XUCRED_BYTES: Final = 76
_SOL_LOCAL: Final = 0
_LOCAL_PEERCRED: Final = 1


def is_our_own(connected: socket.socket) -> bool:
    """Whether the process at the other end runs as our effective user."""
    try:
        return _peer_uid(connected) == os.geteuid()
    except (OSError, struct.error):
        return False


def _peer_uid(connected: socket.socket) -> int:
    if sys.platform == "darwin":
        return int(
            _XUCRED_START.unpack_from(connected.getsockopt(_SOL_LOCAL, _LOCAL_PEERCRED, _XUCRED_BYTES))[1]
        )
    return int(_UCRED.unpack(connected.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, _UCRED.size))[1])
