"""Kernels that an earlier daemon left behind: finding them, and clearing up after a lost supervisor.

It attaches to nothing (``KernelProcess.attach``) and interprets nothing. The invariant: a process is only
ended when pid, start time and boot say that it is the one that was recorded.
"""

from __future__ import annotations

import os
import shutil
import signal
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import msgspec

from runt.errors import StoreError
from runt.runtime.kernel_file import KernelFile, read_kernel_file, socket_directory
from runt.runtime.supervisor_directory import JOURNAL_NAME
from runt.runtime.supervisor_protocol import LIFECYCLE, Record, decode_record
from runt.store.record_log import RecordLog

if TYPE_CHECKING:
    from runt.store.places import Places

READ_BYTES = 1 << 20
LOST = b"lost supervisor died"


@dataclass(frozen=True, slots=True)
class FoundSupervisor:
    """One directory under ``places.supervisors``. ``file`` is None when it never got as far as a kernel.

    ``alive``: attach to it. Otherwise fold :func:`last_records`, then :func:`end_kernel`, :func:`remove`.
    """

    directory: Path
    file: KernelFile | None
    alive: bool


def find_supervisors(places: Places) -> list[FoundSupervisor]:
    """Return the supervisors of this host, living and lost, by directory name. Reads a few small files."""
    found = []
    try:
        directories = sorted(entry for entry in places.supervisors.iterdir() if entry.is_dir())
    except FileNotFoundError:
        return []
    for directory in directories:
        try:
            file = read_kernel_file(directory)
        except (OSError, StoreError, msgspec.DecodeError):
            found.append(FoundSupervisor(directory, None, alive=False))
        else:
            found.append(FoundSupervisor(directory, file, file.supervisor_runs))
    return found


def last_records(directory: Path, offset: int) -> Iterator[Record]:
    """Yield what a lost supervisor journaled after ``offset`` (bytes), then a record that says it is lost.

    Raises:
        StoreError: the journal is damaged or cannot be read.
    """
    end = offset
    if (directory / JOURNAL_NAME).is_dir():
        with RecordLog(directory / JOURNAL_NAME, read_only=True) as log:
            at = max(offset, log.start)
            while at < log.end:
                batch = log.read(at, READ_BYTES)
                yield from (decode_record(offset_after, payload) for offset_after, payload in batch)
                at = batch[-1][0]
            end = max(offset, log.end)
    yield Record(end + 1, LIFECYCLE, 0.0, [LOST])


def end_kernel(file: KernelFile) -> bool:
    """Kill the process group of a kernel whose supervisor is lost; False if it no longer runs."""
    if not file.kernel_runs:
        return False
    try:
        os.killpg(file.kernel_pid, signal.SIGKILL)
    except (ProcessLookupError, PermissionError):
        return False
    return True


def remove(directory: Path, sockets: Path) -> None:
    """Remove journal, logs and sockets of a kernel that has ended and is folded to the end."""
    shutil.rmtree(socket_directory(directory, sockets), ignore_errors=True)
    shutil.rmtree(directory, ignore_errors=True)
