"""Blobs: content by hash, damage, hostile names."""

from __future__ import annotations

import hashlib
import os
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from runt.errors import BlobMissing, StoreError
from runt.store import blobs as blobs_module
from runt.store.blobs import VERIFY_BYTES, BlobStore


@pytest.fixture
def store(tmp_path: Path) -> BlobStore:
    return BlobStore(tmp_path / "blobs")


def files(store: BlobStore) -> list[Path]:
    return sorted(path for path in store.root.rglob("*") if path.is_file())


@pytest.mark.parametrize("size", [0, 1, 100_000, VERIFY_BYTES, VERIFY_BYTES + 1])
def test_round_trip(store: BlobStore, size: int) -> None:
    """What was put is got, under its SHA-256, in private files."""
    data = os.urandom(size)
    hash_, stored = store.put(data, "image/png")
    assert (hash_, stored) == (hashlib.sha256(data).hexdigest(), size)
    assert store.get(hash_) == data
    assert BlobStore(store.root).get(hash_) == data
    assert store.exists(hash_)
    assert store.path(hash_).stat().st_mode & 0o777 == 0o600
    meta = store.meta(hash_)
    assert meta is not None
    assert (meta.media_type, meta.size) == ("image/png", size)


def test_ranges(store: BlobStore) -> None:
    """A range is cut at the blob's ends."""
    hash_, _ = store.put(b"0123456789", "text/plain")
    assert store.read_range(hash_, 2, 5) == b"234"
    assert store.read_range(hash_, 8, 100) == b"89"
    assert store.read_range(hash_, -3, 2) == b"01"
    assert store.read_range(hash_, 5, 2) == b""
    with pytest.raises(BlobMissing):
        store.read_range("0" * 64, 0, 1)


def test_same_content_is_kept_once_and_refreshed(store: BlobStore) -> None:
    """A second put writes nothing new, but makes the blob young again, so that it is not collected."""
    hash_, _ = store.put(b"plot", "image/png")
    os.utime(store.path(hash_), (1, 1))
    before = files(store)
    assert store.put(b"plot", "image/png") == (hash_, 4)
    assert files(store) == before
    assert store.path(hash_).stat().st_mtime > 1


@pytest.mark.parametrize(
    "damage",
    [
        lambda path: path.unlink(),
        lambda path: path.write_bytes(b""),
        lambda path: path.write_bytes(b"plo"),
        lambda path: path.write_bytes(b"plop"),
        lambda path: path.write_bytes(b"plot and more"),
        lambda path: (path.unlink(), path.mkdir()),
        lambda path: (path.unlink(), os.mkfifo(path)),
        lambda path: (path.rename(path.with_name("x")), path.symlink_to(path.with_name("x"))),
    ],
    ids=["lost", "empty", "short", "changed", "long", "directory", "pipe", "link"],
)
def test_damage_is_a_missing_blob(store: BlobStore, damage) -> None:  # type: ignore[no-untyped-def]
    """A lost or damaged blob is `BlobMissing`, never wrong bytes and never another error."""
    hash_, _ = store.put(b"plot", "image/png")
    damage(store.path(hash_))
    with pytest.raises(BlobMissing) as caught:
        store.get(hash_)
    assert caught.value.hash == hash_


def test_put_heals_a_damaged_blob(store: BlobStore) -> None:
    """Putting the content again repairs what was damaged, even when the size is the same."""
    hash_, _ = store.put(b"plot", "image/png")
    store.path(hash_).write_bytes(b"plop")
    store.put(b"plot", "image/png")
    assert store.get(hash_) == b"plot"


def test_large_blob_cut_short(store: BlobStore) -> None:
    """Of a large blob the size is checked; without the note of its size, the hash."""
    data = os.urandom(VERIFY_BYTES + 10)
    hash_, _ = store.put(data, "image/png")
    os.truncate(store.path(hash_), VERIFY_BYTES + 5)
    with pytest.raises(BlobMissing):
        store.get(hash_)
    meta = store.path(hash_).with_name(store.path(hash_).name + ".meta")
    meta.write_bytes(b"{torn")
    with pytest.raises(BlobMissing):
        store.get(hash_)
    store.put(data, "image/png")
    assert store.get(hash_) == data


@given(name=st.text(max_size=80) | st.from_regex(r"[0-9A-Fa-f/.]{60,70}"))
def test_only_hashes_are_names(name: str) -> None:
    """What is not 64 lower-case hex digits names no file at all."""
    store = BlobStore("/nonexistent")
    if len(name) == 64 and all(c in "0123456789abcdef" for c in name):
        return
    assert not store.exists(name)
    for call in (store.get, store.path, store.meta, lambda n: store.read_range(n, 0, 1)):
        with pytest.raises(BlobMissing):
            call(name)


def test_reading_makes_nothing(store: BlobStore) -> None:
    """A store that is only read leaves no directory behind."""
    with pytest.raises(BlobMissing):
        store.get("0" * 64)
    assert not store.exists("0" * 64)
    assert store.sync() == 0
    assert not store.root.exists()


def test_size_limit(store: BlobStore, monkeypatch: pytest.MonkeyPatch) -> None:
    """A blob above the limit is refused, with the limit, before anything is written."""
    monkeypatch.setattr(blobs_module, "MAX_BLOB_BYTES", 10)
    with pytest.raises(StoreError, match="too large"):
        store.put(b"x" * 11, "text/plain")
    assert not store.root.exists()


def test_sync_counts_what_was_new(store: BlobStore) -> None:
    """`sync` makes durable what was written since the last one."""
    for index in range(3):
        store.put(b"%d" % index, "text/plain")
    store.put(b"0", "text/plain")
    assert store.sync() == 3
    assert store.sync() == 0
