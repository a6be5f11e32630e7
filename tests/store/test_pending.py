"""Pending edits: appended durably, read back whole, removed by the daemon."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from runt.store.pending import PendingFile

updates_lists = st.lists(st.binary(max_size=50), min_size=1, max_size=6)


def test_written_by_a_client_read_by_the_daemon(tmp_path: Path) -> None:
    """What a client appended is found by room, with its epoch, in order; `remove` ends it."""
    file = PendingFile.create(tmp_path, "room", "epoch-1")
    assert not file.path.exists()
    file.append(b"one")
    file.append(b"")
    file.append(b"two")
    (found,) = PendingFile.list(tmp_path / "room")
    assert (found.room, found.epoch) == ("room", "epoch-1")
    assert list(found.read()) == [b"one", b"", b"two"]
    assert not found.damaged
    found.remove()
    found.remove()
    assert list(PendingFile.list(tmp_path / "room")) == []
    assert list(found.read()) == []


def test_oldest_first(tmp_path: Path) -> None:
    """Files are listed in the order they were last written."""
    files = [PendingFile.create(tmp_path, "room", f"e{i}") for i in range(3)]
    for age, file in zip((2, 3, 1), files, strict=True):
        file.append(b"x")
        os.utime(file.path, (1_000_000 - age, 1_000_000 - age))
    assert [file.epoch for file in PendingFile.list(tmp_path / "room")] == ["e1", "e0", "e2"]


@given(updates=updates_lists, data=st.data())
@settings(deadline=None, max_examples=60)
def test_cut_at_any_byte(
    tmp_path_factory: pytest.TempPathFactory, updates: list[bytes], data: st.DataObject
) -> None:
    """A torn file gives the whole records before the tear, and is kept when the daemon removes it."""
    file = PendingFile.create(tmp_path_factory.mktemp("p"), "room", "e")
    for update in updates:
        file.append(update)
    size = data.draw(st.integers(0, file.path.stat().st_size))
    os.truncate(file.path, size)
    ends = [sum(8 + len(update) for update in updates[: i + 1]) for i in range(len(updates))]
    assert list(file.read()) == [u for u, end in zip(updates, ends, strict=True) if end <= size]
    assert file.damaged == (size not in (0, *ends))
    file.remove()
    kept = [path.name for path in file.path.parent.iterdir()]
    assert kept == ([file.path.name + ".corrupt"] if file.damaged else [])


def test_a_damaged_record_costs_only_itself(tmp_path: Path) -> None:
    """Records behind a damaged one are still read."""
    file = PendingFile.create(tmp_path, "room", "e")
    for update in (b"one", b"two", b"three"):
        file.append(update)
    data = bytearray(file.path.read_bytes())
    data[8 + 3 + 8] ^= 0xFF
    file.path.write_bytes(data)
    assert list(file.read()) == [b"one", b"three"]
    assert file.damaged


@pytest.mark.parametrize("name", ["", "..", "a/b", ".hidden", "a\0b", "x" * 200])
def test_names_cannot_lead_elsewhere(tmp_path: Path, name: str) -> None:
    """A room or epoch that is not a plain name is refused."""
    with pytest.raises(ValueError, match="file name"):
        PendingFile.create(tmp_path, name, "e")
    with pytest.raises(ValueError, match="file name"):
        PendingFile.create(tmp_path, "room", name)
