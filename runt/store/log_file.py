"""The daemon's log: a file of limited size, readable by nobody else.

It formats nothing and filters nothing. The invariant: the files (the current one and the kept ones) together
never exceed (`KEPT_FILES` + 1) × `MAX_BYTES` by more than one line, and their mode is 0600 in a 0700
directory.
"""

from __future__ import annotations

import contextlib
import logging
import os
import sys
from pathlib import Path

from runt.store.disk_errors import from_os_error
from runt.store.safe_directory import ensure_private_directory

MAX_BYTES = 1_000_000
"""Some ten thousand lines: days of an ordinary daemon."""

KEPT_FILES = 2
"""Older files: ``daemon.log.1``, ``daemon.log.2``."""


def open_log(path: Path, *, max_bytes: int = MAX_BYTES, kept_files: int = KEPT_FILES) -> int:
    """A descriptor that appends to the log; the caller closes it. A full log is rotated first.

    For the standard output and error of a process that is being started. Raises `StoreError`.
    """
    ensure_private_directory(path.parent)
    try:
        with contextlib.suppress(FileNotFoundError):
            if os.stat(path).st_size >= max_bytes:
                _rotate(path, kept_files)
        return _open(path)
    except OSError as error:
        raise from_os_error(error, path, "open") from error


def read_end(path: Path, max_bytes: int = 4096) -> str:
    """The last lines of the log, at most `max_bytes` of UTF-8; "" when there is none. For messages."""
    try:
        with open(path, "rb") as file:
            file.seek(max(0, os.fstat(file.fileno()).st_size - max_bytes))
            data = file.read(max_bytes)
    except OSError:
        return ""
    if len(data) == max_bytes and b"\n" in data:
        data = data.split(b"\n", 1)[1]
    return data.decode("utf-8", "replace")


def log_handler(path: Path, *, take_stdio: bool = False) -> LogHandler:
    """A `LogHandler` with time, level, logger and message on each line. Raises `StoreError`."""
    handler = LogHandler(path, take_stdio=take_stdio)
    handler.setFormatter(logging.Formatter("%(asctime)s %(levelname)s %(name)s: %(message)s"))
    return handler


class LogHandler(logging.Handler):
    """Writes each record as one line (or more, with a traceback). Never raises into the code that logs.

    With `take_stdio` the process's standard output and error go to the same file, across rotations.
    """

    def __init__(
        self,
        path: Path,
        *,
        max_bytes: int = MAX_BYTES,
        kept_files: int = KEPT_FILES,
        take_stdio: bool = False,
    ) -> None:
        super().__init__()
        self.path = path
        self._max_bytes = max_bytes
        self._kept_files = kept_files
        self._take_stdio = take_stdio
        self._descriptor = open_log(path, max_bytes=max_bytes, kept_files=kept_files)
        self._redirect()

    def emit(self, record: logging.LogRecord) -> None:
        try:
            line = self.format(record).encode("utf-8", "backslashreplace") + b"\n"
            if os.fstat(self._descriptor).st_size + len(line) > self._max_bytes:
                self._reopen()
            os.write(self._descriptor, line)
        except OSError:
            # A full disk must not stop the daemon, and there is no other place to say it: the line is lost.
            return
        except (ValueError, TypeError):  # a wrong format string: logging's own way to report it
            self.handleError(record)

    def close(self) -> None:
        if self._descriptor >= 0:
            os.close(self._descriptor)
            self._descriptor = -1
        super().close()

    def _reopen(self) -> None:
        _rotate(self.path, self._kept_files)
        old, self._descriptor = self._descriptor, _open(self.path)
        os.close(old)
        self._redirect()

    def _redirect(self) -> None:
        if self._take_stdio:
            sys.stdout.flush()
            sys.stderr.flush()
            os.dup2(self._descriptor, 1)
            os.dup2(self._descriptor, 2)


def _open(path: Path) -> int:
    return os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600)


def _rotate(path: Path, kept_files: int) -> None:
    for number in range(kept_files, 0, -1):
        newer = path if number == 1 else path.with_name(f"{path.name}.{number - 1}")
        with contextlib.suppress(FileNotFoundError):
            os.replace(newer, path.with_name(f"{path.name}.{number}"))
