"""Starting the supervisor process, from the daemon's side.

Not the supervisor. The invariant: the new process has its own session, holds none of our descriptors but
its listening socket, and its socket accepts connections before this returns, so nobody has to wait for it.
"""

from __future__ import annotations

import os
import socket
import subprocess
import sys
from pathlib import Path

import zmq

from runt.errors import SocketPathTooLong
from runt.runtime.supervisor_directory import LOG_NAME, create_file
from runt.store.safe_directory import ensure_private_directory

SOCKET_NAME = "s"
MAX_SOCKET_PATH_BYTES = 103 if sys.platform == "darwin" else 107
BACKLOG = 4  # one daemon, and its successor

# -I -S: no user site, no .pth files, no environment: 8 MB instead of 14. -S leaves sys.path without
# site-packages, hence the directories of zmq and runt.
_BOOTSTRAP = (
    "import sys; sys.path[:0] = sys.argv[4:]; from runt.runtime.supervisor import main; main(sys.argv)"
)
# The kernel's environment comes over the socket; these are for the interpreter and its libraries.
_KEPT_VARIABLES = ("LD_LIBRARY_PATH", "DYLD_LIBRARY_PATH", "PATH", "HOME", "TMPDIR", "LANG", "LC_ALL")
# glibc gives each thread a heap of its own and keeps what was freed: 2 MB more after a flood.
_SMALL_MEMORY = {"MALLOC_ARENA_MAX": "1", "MALLOC_TRIM_THRESHOLD_": "131072"}
_KEPT_PREFIX = "RUNT_"  # so that `ps` tells whose it is

_children: set[subprocess.Popen[bytes]] = set()


def spawn_supervisor(directory: Path, sockets: Path) -> subprocess.Popen[bytes]:
    """Start a supervisor for ``directory`` that listens at ``sockets``/s.

    Raises:
        SocketPathTooLong, UnsafeDirectory, OSError.
    """
    reap_supervisors()
    ensure_private_directory(directory)
    ensure_private_directory(sockets)
    path = str(sockets / SOCKET_NAME)
    if len(os.fsencode(path)) > MAX_SOCKET_PATH_BYTES:
        raise SocketPathTooLong(path, MAX_SOCKET_PATH_BYTES)
    listener = socket.socket(socket.AF_UNIX)
    log = create_file(directory / LOG_NAME)
    try:
        listener.bind(path)
        Path(path).chmod(0o600)
        listener.listen(BACKLOG)
        places = {str(Path(zmq.__file__).parents[1]), str(Path(__file__).parents[2])}
        process = subprocess.Popen(
            [
                sys.executable, "-I", "-S", "-c", _BOOTSTRAP,
                str(directory), path, str(listener.fileno()), *sorted(places),
            ],
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
            cwd="/",
            env=_environment(),
            pass_fds=[listener.fileno()],
            start_new_session=True,
        )  # fmt: skip
    finally:
        os.close(log)
        listener.close()
    _children.add(process)
    return process


def _environment() -> dict[str, str]:
    return {
        name: value
        for name, value in os.environ.items()
        if name in _KEPT_VARIABLES or name.startswith(_KEPT_PREFIX)
    } | _SMALL_MEMORY


def reap_supervisors() -> int:
    """Collect the exit status of our supervisors that have ended; return how many are still running."""
    for process in [child for child in _children if child.poll() is not None]:
        _children.discard(process)
    return len(_children)
