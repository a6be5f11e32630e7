"""The files beside a supervisor's journal, and who a process is.

Used by both sides; standard library only. The invariant: ``kernel.json`` and the connection file are 0600,
complete whenever they can be seen (``write_private_file``), and a process is recognised by pid, start
time and boot, never by pid alone.
"""

from __future__ import annotations

import os

JOURNAL_NAME = "journal"
LOG_NAME = "supervisor.log"
KERNEL_LOG_NAME = "kernel.log"  # what the kernel writes to its raw stdout and stderr
KERNEL_JSON_NAME = "kernel.json"
CONNECTION_NAME = "connection.json"

_PRIVATE = 0o600
_START_TIME_FIELD = 19  # of /proc/<pid>/stat after the command's closing parenthesis: clock ticks since boot
_STATE_FIELD = 0


def create_file(path: str | os.PathLike[str]) -> int:
    """Open a private file for appending, emptied; never through a symbolic link. Returns the descriptor."""
    flags = os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_APPEND | os.O_NOFOLLOW | os.O_CLOEXEC
    return os.open(path, flags, _PRIVATE)


def boot_id() -> str:
    """Return an id of this boot of the machine, "" where none is known."""
    try:
        with open("/proc/sys/kernel/random/boot_id") as file:
            return file.read().strip()
    except OSError:
        return ""


def start_time(pid: int) -> int:
    """Return when a process started (clock ticks since boot); 0 if it is gone, a zombie, or unknown here."""
    try:
        with open(f"/proc/{pid}/stat", "rb") as file:
            stat = file.read()
    except OSError:
        return 0
    fields = stat[stat.rfind(b")") + 2 :].split()
    return 0 if fields[_STATE_FIELD] in (b"Z", b"X") else int(fields[_START_TIME_FIELD])


def is_running(pid: int, started: int, boot: str) -> bool:
    """Say whether the process that had ``pid`` at ``started`` in ``boot`` still runs."""
    if pid <= 0 or boot != boot_id():
        return False
    if started:
        return start_time(pid) == started
    try:  # no /proc (macOS): the pid alone
        os.kill(pid, 0)
    except OSError:
        return False
    return True


def kernel_json(kernel_pid: int, description: bytes) -> bytes:
    """Return the text of ``kernel.json`` for this process and its kernel. ``description`` is JSON text."""
    return b"".join(
        (
            b'{"version": 1, "boot_id": "%s", ' % boot_id().encode(),
            b'"supervisor_pid": %d, "supervisor_started": %d, ' % (os.getpid(), start_time(os.getpid())),
            b'"kernel_pid": %d, "kernel_started": %d, ' % (kernel_pid, start_time(kernel_pid)),
            b'"description": ' + (description or b"{}") + b"}\n",
        )
    )
