"""What a kernel that is gone leaves behind: the end of its journal, processes, files.

It changes no document. The invariant: a process is ended only when pid, start time and boot say that it is
the one that the supervisor recorded (``runtime.adoption``).
"""

from __future__ import annotations

import contextlib
import logging
import os
import signal
import time
from pathlib import Path

import msgspec

from runt.errors import RuntError, StoreError
from runt.runtime.supervisor_protocol import LIFECYCLE, Record

log = logging.getLogger(__name__)


def last_words(directory: Path, offset: int) -> list[Record]:
    """What the journal has after ``offset`` (bytes), then a record that ends whatever still ran. Blocks."""
    from runt.runtime.adoption import LOST, last_records

    try:
        return list(last_records(directory, offset))
    except (RuntError, OSError) as error:
        log.warning("the journal in %s cannot be read: %s", directory.name, error)
        return [Record(offset + 1, LIFECYCLE, time.time(), [LOST])]


def remove_kernel(directory: Path, sockets: Path) -> None:
    """End whatever processes still belong to a kernel that was given up, and remove its files. Blocks."""
    from runt.runtime.adoption import end_kernel, remove
    from runt.runtime.kernel_file import read_kernel_file

    try:
        file = read_kernel_file(directory)
    except (OSError, StoreError, msgspec.MsgspecError):
        pass  # it never got as far as a kernel, or is removed already
    else:
        if file.supervisor_runs:
            with contextlib.suppress(ProcessLookupError):
                os.kill(file.supervisor_pid, signal.SIGKILL)
        if end_kernel(file):
            log.warning("ended kernel %d, which had lost its supervisor", file.kernel_pid)
    remove(directory, sockets)
