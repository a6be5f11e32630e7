"""What a kernel that is gone leaves behind: the end of its journal, processes, files.

It changes no document. The invariant: a process is ended only when pid, start time and boot say that it is
the one that the supervisor recorded (``runtime.adoption``).
"""

from __future__ import annotations

import contextlib
import logging
import os
import signal
import socket
import time
from pathlib import Path

import msgspec

from runt.errors import RuntError, StoreError
from runt.runtime.supervisor_protocol import LIFECYCLE, Record

log = logging.getLogger(__name__)

DISMISS_TIMEOUT_S = 1.0


def last_words(directory: Path, offset: int) -> list[Record]:
    """What the journal has after ``offset`` (bytes), then a record that ends whatever still ran. Blocks."""
    from runt.runtime.adoption import LOST, last_records

    try:
        return list(last_records(directory, offset))
    except (RuntError, OSError) as error:
        log.warning("the journal in %s cannot be read: %s", directory.name, error)
        return [Record(offset + 1, LIFECYCLE, time.time(), [LOST])]


def supervisor_runs(directory: Path) -> bool:
    """Whether the supervisor that was recorded there is alive, or that cannot be seen. Reads one small file."""
    from runt.runtime.kernel_file import read_kernel_file

    try:
        return read_kernel_file(directory).supervisor_runs
    except (FileNotFoundError, msgspec.MsgspecError):
        return False
    except (OSError, StoreError) as error:
        log.warning("whether the supervisor of %s runs cannot be seen: %s", directory.name, error)
        return True


def was_started(directory: Path) -> bool:
    """Whether a supervisor ever got as far as a kernel there."""
    from runt.runtime.supervisor_directory import KERNEL_JSON_NAME

    return (directory / KERNEL_JSON_NAME).exists()


def remove_kernel(directory: Path, sockets: Path) -> None:
    """End whatever processes still belong to a kernel that was given up, and remove its files. Blocks."""
    from runt.runtime.adoption import end_kernel, remove
    from runt.runtime.kernel_file import read_kernel_file

    try:
        file = read_kernel_file(directory)
    except (OSError, StoreError, msgspec.MsgspecError):
        _dismiss(directory, sockets)  # it never got as far as a kernel, or is removed already
    else:
        if file.supervisor_runs:
            with contextlib.suppress(ProcessLookupError):
                os.kill(file.supervisor_pid, signal.SIGKILL)
        if end_kernel(file):
            log.warning("ended kernel %d, which had lost its supervisor", file.kernel_pid)
    remove(directory, sockets)


def _dismiss(directory: Path, sockets: Path) -> None:
    """Tell a supervisor that waits for its kernel that none will come. Without a word it goes later."""
    from runt.runtime.kernel_file import socket_directory
    from runt.runtime.supervisor_protocol import SHUTDOWN, encode_grace
    from runt.runtime.supervisor_spawn import SOCKET_NAME

    with socket.socket(socket.AF_UNIX) as link, contextlib.suppress(OSError):
        link.settimeout(DISMISS_TIMEOUT_S)
        link.connect(os.fspath(socket_directory(directory, sockets) / SOCKET_NAME))
        link.sendall(encode_grace(SHUTDOWN, 0))
