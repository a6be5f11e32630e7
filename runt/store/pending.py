"""Edits that the daemon has not acknowledged, kept by the client until it can.

Opaque bytes, any order. The invariant: what `append` returned for is on the disk, and is handed out by `read`
until the daemon calls `remove`; a damaged record is skipped, and the file that had one is kept instead of
removed.

Layout: ``pending/<room>/<epoch>-<uuid>``; records ``u32 length | u32 crc32 | update``.
"""

from __future__ import annotations

import os
import re
import struct
import uuid
from collections.abc import Sequence
from pathlib import Path
from zlib import crc32

from runt.store.disk_errors import from_os_error
from runt.store.safe_directory import ensure_private_directory, read_private_file, sync_directory

_HEADER = struct.Struct(">II")
_LENGTH = struct.Struct(">I")
_NAME = re.compile(r"[0-9A-Za-z_]([0-9A-Za-z_.-]{0,127})")
_FILE = re.compile(r"(?P<epoch>[0-9A-Za-z_][0-9A-Za-z_.-]{0,127})-(?P<unique>[0-9a-f]{32})")


class PendingFile:
    """One client's file of one room and epoch. Made by `create` (a client) or `list` (the daemon)."""

    def __init__(self, path: Path, room: str, epoch: str) -> None:
        self.path = path
        self.room = room
        self.epoch = epoch
        self.damaged = False
        """Set by `read`: a record was not whole."""

    @classmethod
    def create(cls, pending: Path, room: str, epoch: str) -> PendingFile:
        """A new name below `pending`; the file appears with the first `append`. Raises `ValueError`."""
        for name in (room, epoch):
            if _NAME.fullmatch(name) is None:
                raise ValueError(f"not usable in a file name: {name!r}")
        return cls(pending / room / f"{epoch}-{uuid.uuid4().hex}", room, epoch)

    @classmethod
    def list(cls, directory: Path) -> Sequence[PendingFile]:
        """The files of the room whose directory (``pending/<room>``) this is, oldest first."""
        found = []
        try:
            for path in directory.iterdir():
                match = _FILE.fullmatch(path.name)
                if match is not None:
                    found.append((path.stat().st_mtime_ns, cls(path, directory.name, match["epoch"])))
        except FileNotFoundError:
            return []
        except OSError as error:
            raise from_os_error(error, directory, "list") from error
        return [file for _, file in sorted(found, key=lambda pair: pair[0])]

    def append(self, update: bytes) -> None:
        """Add `update`, durably. Raises `StoreError` (`NoSpace`); what was there before stays readable."""
        length = _LENGTH.pack(len(update))
        record = _HEADER.pack(len(update), crc32(update, crc32(length))) + update
        try:
            ensure_private_directory(self.path.parent)
            flags = os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_NOFOLLOW | os.O_CLOEXEC
            descriptor = os.open(self.path, flags, 0o600)
            try:
                before = os.fstat(descriptor).st_size
                try:
                    view = memoryview(record)
                    while view:
                        view = view[os.write(descriptor, view) :]
                    os.fsync(descriptor)
                except OSError:
                    os.ftruncate(descriptor, before)
                    raise
            finally:
                os.close(descriptor)
            if before == 0:
                sync_directory(self.path.parent)
                sync_directory(self.path.parent.parent)
        except OSError as error:
            raise from_os_error(error, self.path, "write") from error

    def read(self) -> Sequence[bytes]:
        """Every whole record, in order; `damaged` says whether there was another. Raises `StoreError`."""
        try:
            data = read_private_file(self.path)
        except FileNotFoundError:
            return []
        updates, at = [], 0
        self.damaged = False
        while at < len(data):
            if at + _HEADER.size > len(data):
                self.damaged = True
                break
            length, checksum = _HEADER.unpack_from(data, at)
            update = data[at + _HEADER.size : at + _HEADER.size + length]
            if len(update) < length:
                self.damaged = True
                break
            if crc32(update, crc32(_LENGTH.pack(length))) == checksum:
                updates.append(update)
            else:
                self.damaged = True
            at += _HEADER.size + length
        return updates

    def remove(self) -> None:
        """The daemon has it all. A file with damaged records is renamed ``*.corrupt`` instead."""
        try:
            if self.damaged:
                os.rename(self.path, self.path.with_name(self.path.name + ".corrupt"))
            else:
                os.unlink(self.path)
        except FileNotFoundError:
            return
        except OSError as error:
            raise from_os_error(error, self.path, "remove") from error
