"""Each file operation of the store fails once, in turn, with a full and with a broken disk."""

from __future__ import annotations

import contextlib
import errno
import hashlib
import itertools
import os
from collections.abc import Callable
from pathlib import Path

import pytest

from runt.errors import BlobMissing, NoSpace, StoreError
from runt.store import (
    atomic_file,
    blobs,
    file_attributes,
    in_place,
    pending,
    record_log,
    safe_directory,
)
from runt.store.atomic_file import write_file
from runt.store.blobs import BlobStore
from runt.store.pending import PendingFile
from runt.store.record_log import RecordLog
from runt.store.settings_file import Settings, read_settings, write_settings
from tests.faults.faulty_os import Plan, every_fault, faults

FILE_MODULES = (atomic_file, file_attributes, in_place, safe_directory)
OLD, NEW = b"old " * 2000, b"new content " * 3000


@pytest.fixture
def fresh(tmp_path: Path) -> Callable[[], Path]:
    """A new directory for each run."""
    numbers = itertools.count()

    def make() -> Path:
        path = tmp_path / str(next(numbers))
        path.mkdir(mode=0o700)
        return path

    return make


def attempt(plan: Plan, action: Callable[[], object]) -> bool:
    """Whether the action succeeded. It must when nothing failed; its error must be the store's, and fit."""
    if plan.fired is None:
        return _outcome(plan, action)
    action()  # the one fault is behind us
    return True


def _outcome(plan: Plan, action: Callable[[], object]) -> bool:
    expected = NoSpace if plan.code == errno.ENOSPC else StoreError
    with contextlib.suppress(expected):
        action()
        return True
    assert plan.fired is not None, "failed without a fault"
    return False


def test_replacing_a_file(fresh: Callable[[], Path]) -> None:
    """A notebook's file is the old one or the new one, whole, and nothing lies beside it."""

    def scenario(plan: Plan) -> None:
        path = fresh() / "a.ipynb"
        path.write_bytes(OLD)
        path.chmod(0o640)
        with faults(plan, *FILE_MODULES):
            done = attempt(
                plan, lambda: write_file(path, NEW, expected_sha256=hashlib.sha256(OLD).hexdigest())
            )
        assert path.read_bytes() in ((NEW,) if done else (OLD, NEW))
        assert path.stat().st_mode & 0o777 == 0o640
        assert list(path.parent.iterdir()) == [path]
        # Whatever happened, saving again succeeds.
        current = hashlib.sha256(path.read_bytes()).hexdigest()
        write_file(path, NEW, expected_sha256=current)
        assert path.read_bytes() == NEW

    assert every_fault(scenario) > 10


def test_making_a_file(fresh: Callable[[], Path]) -> None:
    """A new file is there whole, or not at all."""

    def scenario(plan: Plan) -> None:
        path = fresh() / "a.ipynb"
        with faults(plan, *FILE_MODULES):
            done = attempt(plan, lambda: write_file(path, NEW, expected_sha256=None))
        if path.exists():
            assert path.read_bytes() == NEW
        else:
            assert not done
        assert set(path.parent.iterdir()) <= {path}
        write_file(path, NEW, expected_sha256=None)
        assert path.read_bytes() == NEW

    assert every_fault(scenario) > 8


@pytest.mark.parametrize("new", [NEW, b"short"], ids=["longer", "shorter"])
def test_writing_in_place(fresh: Callable[[], Path], new: bytes) -> None:
    """A hard-linked file is old or new under all its names; no copy stays when it is."""

    def scenario(plan: Plan) -> None:
        directory = fresh()
        path, copies = directory / "a.ipynb", directory / "copies"
        path.write_bytes(OLD)
        (directory / "b.ipynb").hardlink_to(path)
        with faults(plan, *FILE_MODULES):
            done = attempt(
                plan,
                lambda: write_file(path, new, expected_sha256=hashlib.sha256(OLD).hexdigest(), copies=copies),
            )
        assert path.read_bytes() in ((new,) if done else (OLD, new))
        assert path.samefile(directory / "b.ipynb")
        kept = [file for file in copies.iterdir() if file.suffix != ".path"] if copies.exists() else []
        assert kept == []

    assert every_fault(scenario) > 15


def test_private_files(fresh: Callable[[], Path]) -> None:
    """`kernel.json`, `daemon.json`: old or new, nothing beside."""

    def scenario(plan: Plan) -> None:
        path = fresh() / "kernel.json"
        safe_directory.write_private_file(path, OLD)
        with faults(plan, safe_directory):
            done = attempt(plan, lambda: safe_directory.write_private_file(path, NEW))
        assert safe_directory.read_private_file(path) in ((NEW,) if done else (OLD, NEW))
        assert list(path.parent.iterdir()) == [path]

    assert every_fault(scenario) > 6


def test_settings(fresh: Callable[[], Path]) -> None:
    """The settings are the old ones or the new ones."""
    old, new = Settings(theme="dark"), Settings(theme="light")

    def scenario(plan: Plan) -> None:
        path = fresh() / "settings.json"
        write_settings(path, old)
        with faults(plan, *FILE_MODULES):
            done = attempt(plan, lambda: write_settings(path, new))
        assert read_settings(path) in (((new, []),) if done else ((old, []), (new, [])))

    assert every_fault(scenario) > 8


def test_record_log(fresh: Callable[[], Path]) -> None:
    """An append is there wholly or not at all, also for who reads later; the log goes on after the fault."""
    batches = [[b"%d-%d" % (batch, index) * 9 for index in range(3)] for batch in range(6)]

    def scenario(plan: Plan) -> None:
        directory = fresh() / "journal"
        expected: list[bytes] = []
        with faults(plan, record_log, safe_directory):
            log = None
            while log is None:
                if attempt(plan, lambda: logs.append(RecordLog(directory, segment_bytes=150))):
                    log = logs.pop()
            for batch in batches:
                if attempt(plan, lambda batch=batch: log.append(batch)):
                    expected += batch
        assert contents(log) == expected
        log.close()
        with RecordLog(directory, segment_bytes=150) as again:
            assert contents(again) == expected
            again.append([b"more"])
            assert contents(again) == [*expected, b"more"]

    logs: list[RecordLog] = []
    assert every_fault(scenario) > 20


def contents(log: RecordLog) -> list[bytes]:
    found: list[bytes] = []
    at = log.start
    while at < log.end:
        records = log.read(at, 1000)
        found += [payload for _, payload in records]
        at = records[-1][0]
    return found


@pytest.mark.parametrize("written", [0, 1, 8, 9, 20])
def test_record_log_short_write(
    fresh: Callable[[], Path], monkeypatch: pytest.MonkeyPatch, written: int
) -> None:
    """A disk that takes only part of an append and then is full leaves no trace of it."""
    with RecordLog(fresh() / "journal") as log:
        log.append([b"before"])

        class Short:
            def __getattr__(self, name: str) -> object:
                return getattr(os, name)

            def writev(self, descriptor: int, pieces: list[bytes]) -> int:
                return os.write(descriptor, b"".join(pieces)[:written])

            def write(self, descriptor: int, data: bytes) -> int:
                raise OSError(28, "No space left on device")

        with monkeypatch.context() as patch:
            patch.setattr(record_log, "os", Short())
            with pytest.raises(NoSpace):
                log.append([b"payload", b"another"])
        assert contents(log) == [b"before"]
        log.append([b"after"])
        assert contents(log) == [b"before", b"after"]


def test_blobs(fresh: Callable[[], Path]) -> None:
    """A blob is there whole or missing; after the fault everything can be put and made durable."""
    data = [b"%d" % number * 5000 for number in range(3)]

    def scenario(plan: Plan) -> None:
        store = BlobStore(fresh() / "blobs")
        with faults(plan, blobs, safe_directory):
            put = [attempt(plan, lambda piece=piece: store.put(piece, "text/plain")) for piece in data]
            synced = attempt(plan, store.sync)
        for piece, done in zip(data, put, strict=True):
            try:
                assert store.get(hashlib.sha256(piece).hexdigest()) == piece
            except BlobMissing:
                assert not done
        assert list(store.root.glob("tmp/*")) == []
        for piece in data:
            store.put(piece, "text/plain")
        assert store.sync() >= (0 if synced else 1)
        for piece in data:
            assert BlobStore(store.root).get(hashlib.sha256(piece).hexdigest()) == piece

    assert every_fault(scenario) > 20


def test_failed_fsync_of_a_blob_is_not_retried(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """After a failed fsync the blob is written to a new file: the old one's pages may be gone."""
    store = BlobStore(tmp_path / "blobs")
    hash_, _ = store.put(b"plot", "image/png")
    inode = store.path(hash_).stat().st_ino
    with faults(Plan(2, 5), blobs):  # 1: open, 2: fsync
        assert store.sync() == 1
    assert store.path(hash_).stat().st_ino != inode
    assert store.get(hash_) == b"plot"


def test_pending_edits(fresh: Callable[[], Path]) -> None:
    """What was appended before a fault stays readable; what failed is not half there."""

    def scenario(plan: Plan) -> None:
        file = PendingFile.create(fresh(), "room", "epoch")
        expected: list[bytes] = []
        failed: list[bytes] = []
        with faults(plan, pending, safe_directory):
            for number in range(4):
                update = b"%d" % number * 100
                (expected if attempt(plan, lambda u=update: file.append(u)) else failed).append(update)
        found = list(file.read())
        assert not file.damaged
        assert [update for update in found if update not in failed] == expected

    assert every_fault(scenario) > 15
