"""``daemon.json``: how to reach the daemon that runs.

A hint, not a lock: the daemon may have died since. The invariant: what is read was written whole, by us.
"""

from __future__ import annotations

import contextlib
from pathlib import Path

import msgspec

from runt.errors import StoreError
from runt.store.safe_directory import read_private_file, write_private_file


class DaemonRecord(msgspec.Struct, frozen=True):
    endpoint: str
    """Path of the Unix socket."""

    pid: int
    boot_id: str
    """Of the machine (`machine.boot_id`): a pid of another boot says nothing."""

    version: str
    protocol: int
    started_at: float
    """Unix seconds."""

    blob_port: int | None = None
    """TCP port on 127.0.0.1, or None when there is no HTTP."""

    @classmethod
    def read(cls, path: Path) -> DaemonRecord | None:
        """None when there is no record, or one that cannot be believed (damaged, another owner)."""
        try:
            return msgspec.json.decode(read_private_file(path), type=cls)
        except (FileNotFoundError, NotADirectoryError, StoreError, msgspec.DecodeError):
            return None

    def write(self, path: Path) -> None:
        """Replace the file at `path`. Raises `StoreError`."""
        # Not durable on purpose: after a power cut no daemon runs, and an fsync would delay the start.
        write_private_file(
            path, msgspec.json.format(msgspec.json.encode(self), indent=2) + b"\n", durable=False
        )

    @classmethod
    def remove(cls, path: Path, *, pid: int | None = None) -> None:
        """Remove the record; with `pid` only that process's (a successor may have written its own)."""
        if pid is not None:
            record = cls.read(path)
            if record is not None and record.pid != pid:
                return
        with contextlib.suppress(FileNotFoundError, NotADirectoryError):
            path.unlink()
