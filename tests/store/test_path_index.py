"""One file, one room."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from runt.errors import StoreError
from runt.store.path_index import PathIndex


@pytest.fixture
def index(tmp_path: Path) -> PathIndex:
    return PathIndex(tmp_path / "index.db")


@pytest.fixture
def notebook(tmp_path: Path) -> Path:
    path = tmp_path / "a.ipynb"
    path.write_bytes(b"{}")
    return path


def test_survives_reopening(index: PathIndex, notebook: Path) -> None:
    """What was assigned is there after a restart, and the database is ours alone."""
    index.assign(notebook, "room-1")
    index.close()
    again = PathIndex(index.path)
    assert again.room_for(notebook) == "room-1"
    assert again.path_of("room-1") == str(notebook)
    assert again.all() == {"room-1": str(notebook)}
    assert index.path.stat().st_mode & 0o777 == 0o600
    again.close()


def test_one_path_one_room(index: PathIndex, notebook: Path, tmp_path: Path) -> None:
    """A room that moves leaves its old path; a path that gets a new room leaves the old room."""
    index.assign(notebook, "room-1")
    index.assign(tmp_path / "b.ipynb", "room-1")
    assert index.path_of("room-1") == str(tmp_path / "b.ipynb")
    assert index.all() == {"room-1": str(tmp_path / "b.ipynb")}
    index.assign(tmp_path / "b.ipynb", "room-2")
    assert index.path_of("room-1") is None
    index.forget("room-2")
    assert index.room_for(tmp_path / "b.ipynb") is None
    index.close()


def test_other_names_of_one_file(index: PathIndex, notebook: Path, tmp_path: Path) -> None:
    """A symbolic link, a way through a linked directory and a hard link all lead to the same room."""
    index.assign(notebook, "room-1")
    (tmp_path / "link.ipynb").symlink_to(notebook)
    (tmp_path / "directory").symlink_to(tmp_path)
    (tmp_path / "hard.ipynb").hardlink_to(notebook)
    for name in ("link.ipynb", "directory/a.ipynb", "hard.ipynb", "x/../a.ipynb"):
        assert index.room_for(tmp_path / name) == "room-1"
    index.close()


def test_a_reused_inode_is_another_file(index: PathIndex, notebook: Path, tmp_path: Path) -> None:
    """A new file that happens to get the inode of a removed one does not get its room."""
    other = tmp_path / "b.ipynb"
    index.assign(notebook, "room-1")
    notebook.rename(other)  # the same inode under another name, and the old name is gone
    assert index.room_for(other) is None
    index.close()


def test_names_that_are_not_text(index: PathIndex, tmp_path: Path) -> None:
    """A path of arbitrary bytes comes back as it was."""
    path = tmp_path / os.fsdecode(b"caf\xe9.ipynb")
    index.assign(path, "room-1")
    assert index.room_for(path) == "room-1"
    assert index.path_of("room-1") == str(path)
    index.close()


@pytest.mark.parametrize("damage", [b"not a database at all" * 100, b"SQLite format 3\0" + bytes(8000)])
def test_damaged_index(tmp_path: Path, damage: bytes) -> None:
    """A damaged index is kept under another name and an empty one made, which says so."""
    path = tmp_path / "index.db"
    path.write_bytes(damage)
    index = PathIndex(path)
    assert index.kept_as is not None
    assert index.kept_as.read_bytes() == damage
    index.assign(tmp_path / "a", "room")
    index.close()
    again = PathIndex(path)
    assert again.kept_as is None
    assert again.all() == {"room": str(tmp_path / "a")}
    again.close()


def test_closed_index_refuses(index: PathIndex, tmp_path: Path) -> None:
    """Using a closed index is the store's error, not SQLite's."""
    index.close()
    index.close()
    with pytest.raises(StoreError, match="closed"):
        index.room_for(tmp_path / "a")
