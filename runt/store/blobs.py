"""Content-addressed blobs: the bytes of outputs, each in a file named by its SHA-256.

It does not know who refers to a blob. The invariant: a file under its final name was written whole; whether
its bytes survived is checked again when they are read. All our processes read; only
the daemon writes.

Layout: ``<2 hex>/<62 hex>`` and ``<62 hex>.meta`` (JSON, advisory) below the root; ``tmp/``.
"""

from __future__ import annotations

import contextlib
import errno
import hashlib
import os
import re
import secrets
import stat
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import msgspec

from runt.errors import BlobMissing, StoreError
from runt.store.disk_errors import from_os_error
from runt.store.safe_directory import ensure_private_directory, sync_directory

MAX_BLOB_BYTES = 100_000_000
"""Larger outputs are cut with a visible marker before they get here."""

VERIFY_BYTES = 1 << 20
"""Up to here the hash is checked at each read (1 ms); above, the size."""

_NAME = re.compile(r"[0-9a-f]{64}")
_READ = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC


class BlobMeta(msgspec.Struct, frozen=True):
    media_type: str
    size: int
    """Bytes."""
    created_at: float
    """Unix seconds."""


class BlobStore:
    """Makes no directory until the first `put`. Safe to use from several threads."""

    def __init__(self, root: str | os.PathLike[str]) -> None:
        self.root = Path(root)
        self._lock = threading.Lock()
        self._unsynced: set[str] = set()
        self._directories: set[str] = set()

    def put(self, data: bytes, media_type: str) -> tuple[str, int]:
        """Keep `data`; returns ``(hash, size in bytes)``. Durable only after `sync`. Blocks.

        A blob that exists (and is whole) is not written again; its time is refreshed, which protects it from
        being collected. Raises `StoreError` (`NoSpace`, or larger than `MAX_BLOB_BYTES`).
        """
        size = len(data)
        if size > MAX_BLOB_BYTES:
            raise StoreError(f"a blob of {size} bytes is too large (the limit is {MAX_BLOB_BYTES})")
        digest = hashlib.sha256(data).hexdigest()
        path = self.path(digest)
        try:
            if self._holds(path, data):
                os.utime(path)
            else:
                self._write(digest, data)
                self._write_meta(path, BlobMeta(media_type, size, time.time()))
        except OSError as error:
            raise from_os_error(error, path, "write") from error
        return digest, size

    def get(self, hash: str) -> bytes:
        """The bytes. Raises `BlobMissing` when they are lost or damaged, or `hash` is not a blob's name."""
        path = self.path(hash)
        try:
            with self._opened(path, hash) as descriptor:
                data = _read_all(descriptor, os.fstat(descriptor).st_size)
        except OSError as error:
            raise BlobMissing(hash) from error
        meta = self.meta(hash) if len(data) > VERIFY_BYTES else None
        if meta is not None:
            whole = len(data) == meta.size
        else:
            whole = hashlib.sha256(data).hexdigest() == hash
        if not whole:
            raise BlobMissing(hash)
        return data

    def read_range(self, hash: str, start: int, stop: int) -> bytes:
        """Bytes `start` to `stop` (cut at the blob's end). Raises `BlobMissing`. The hash is not checked."""
        path = self.path(hash)
        try:
            with self._opened(path, hash) as descriptor:
                return os.pread(descriptor, max(0, stop - max(0, start)), max(0, start))
        except OSError as error:
            raise BlobMissing(hash) from error

    def exists(self, hash: str) -> bool:
        """Whether a file of that name is there; False for what is not a blob's name."""
        return _NAME.fullmatch(hash) is not None and self.path(hash).is_file()

    def path(self, hash: str) -> Path:
        """Where that blob is or would be. Raises `BlobMissing` for anything but 64 lower-case hex digits."""
        if _NAME.fullmatch(hash) is None:
            raise BlobMissing(hash)
        return self.root / hash[:2] / hash[2:]

    def meta(self, hash: str) -> BlobMeta | None:
        """What was noted at the first `put`; None when that is lost. Never needed to read the blob."""
        try:
            return msgspec.json.decode(_meta_path(self.path(hash)).read_bytes(), type=BlobMeta)
        except (OSError, msgspec.DecodeError):
            return None

    def sync(self) -> int:
        """Make durable what was put since the last call; returns how many blobs. Blocks: use a thread.

        Raises `StoreError`; what is not durable then is tried again, in fresh files, at the next call.
        """
        with self._lock:
            batch, self._unsynced = self._unsynced, set()
        done: set[str] = set()
        path: Path = self.root
        try:
            for digest in batch:
                path = self.path(digest)
                try:
                    self._sync_file(path)
                except FileNotFoundError:
                    pass  # collected meanwhile: nothing to keep
                except OSError:
                    # A failed fsync is never retried on the same file: its pages may be gone.
                    self._write(digest, self.get(digest), durable=True)
                done.add(digest)
            for shard in {digest[:2] for digest in batch}:
                path = self.root / shard
                with contextlib.suppress(FileNotFoundError):
                    sync_directory(path)
            if batch:
                sync_directory(self.root)
        except OSError as error:
            with self._lock:
                self._unsynced |= batch
            raise from_os_error(error, path, "sync") from error
        except BaseException:
            with self._lock:
                self._unsynced |= batch - done
            raise
        return len(batch)

    def _write(self, digest: str, data: bytes, *, durable: bool = False) -> None:
        path = self.path(digest)
        temporary = self.root / "tmp" / secrets.token_hex(8)
        self._ensure(temporary.parent)
        self._ensure(path.parent)
        flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
        descriptor = os.open(temporary, flags, 0o600)
        try:
            try:
                view = memoryview(data)
                while view:
                    view = view[os.write(descriptor, view) :]
                if durable:
                    os.fsync(descriptor)
            finally:
                os.close(descriptor)
            with self._lock:
                os.rename(temporary, path)
                if not durable:
                    self._unsynced.add(digest)
        except BaseException:
            with contextlib.suppress(OSError):
                os.unlink(temporary)
            raise

    def _write_meta(self, path: Path, meta: BlobMeta) -> None:
        # Advisory: written in place, and a disk that is full just now does not make the blob less whole.
        flags = os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_NOFOLLOW | os.O_CLOEXEC
        with contextlib.suppress(OSError):
            descriptor = os.open(_meta_path(path), flags, 0o600)
            try:
                os.write(descriptor, msgspec.json.encode(meta))
            finally:
                os.close(descriptor)

    def _ensure(self, directory: Path) -> None:
        name = str(directory)
        if name not in self._directories or not directory.is_dir():
            ensure_private_directory(self.root)
            ensure_private_directory(directory)
            self._directories.add(name)

    def _holds(self, path: Path, data: bytes) -> bool:
        """Whether the file is there with exactly these bytes; a damaged one is to be written again."""
        try:
            descriptor = os.open(path, _READ)
        except FileNotFoundError:
            return False
        except OSError as error:
            if error.errno == errno.ELOOP:
                return False
            raise
        try:
            if os.fstat(descriptor).st_size != len(data):
                return False
            return _read_all(descriptor, len(data)) == data
        finally:
            os.close(descriptor)

    @contextlib.contextmanager
    def _opened(self, path: Path, hash: str) -> Iterator[int]:
        descriptor = os.open(path, _READ)
        try:
            if not stat.S_ISREG(os.fstat(descriptor).st_mode):
                raise BlobMissing(hash)
            yield descriptor
        finally:
            os.close(descriptor)

    def _sync_file(self, path: Path) -> None:
        descriptor = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)


def _meta_path(path: Path) -> Path:
    return path.with_name(path.name + ".meta")


def _read_all(descriptor: int, size: int) -> bytes:
    pieces = []
    left = size + 1  # one more: a file that grew is noticed
    while left > 0 and (piece := os.read(descriptor, min(left, 1 << 24))):
        pieces.append(piece)
        left -= len(piece)
    return b"".join(pieces)
