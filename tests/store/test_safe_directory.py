"""Private directories and files: what is accepted, what is refused, and what the refusal says."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

import pytest

from runt.errors import UnsafeDirectory
from runt.store.safe_directory import (
    ensure_private_directory,
    open_private_directory,
    read_private_file,
    write_private_file,
)

NOBODY = 65534
needs_root = pytest.mark.skipif(os.geteuid() != 0, reason="only root can give a directory away")


def loose(path: Path) -> None:
    path.mkdir()
    path.chmod(0o755)


def group_readable(path: Path) -> None:
    path.mkdir()
    path.chmod(0o740)


def linked(path: Path) -> None:
    (path.parent / "real").mkdir(mode=0o700)
    path.symlink_to(path.parent / "real")


def dangling(path: Path) -> None:
    path.symlink_to(path.parent / "nothing")


def given_away(path: Path) -> None:
    path.mkdir(mode=0o700)
    os.chown(path, NOBODY, NOBODY)


def regular_file(path: Path) -> None:
    path.write_bytes(b"")


def pipe(path: Path) -> None:
    os.mkfifo(path)


@pytest.fixture
def sticky(tmp_path: Path) -> Path:
    """A directory like /tmp."""
    directory = tmp_path / "sticky"
    directory.mkdir()
    directory.chmod(0o1777)
    return directory


@pytest.mark.parametrize(
    ("prepare", "reason"),
    [
        (loose, "others have access (mode 0755)"),
        (group_readable, "others have access (mode 0740)"),
        (linked, "is a symbolic link"),
        (dangling, "is a symbolic link"),
        (regular_file, "is not a directory"),
        (pipe, "is not a directory"),
        pytest.param(given_away, f"belongs to user {NOBODY}", marks=needs_root),
    ],
)
def test_refused(sticky: Path, prepare: Callable[[Path], None], reason: str) -> None:
    """What somebody else could have prepared is refused, saying what, where and what to do."""
    path = sticky / "runt-0"
    prepare(path)
    with pytest.raises(UnsafeDirectory) as caught:
        ensure_private_directory(path)
    assert reason in caught.value.message
    assert str(path) in caught.value.message
    assert caught.value.path == str(path)
    assert caught.value.hint


def test_fresh_with_parents(sticky: Path) -> None:
    """A missing directory is made with its parents, every level for us alone whatever the umask."""
    path = sticky / "a" / "b" / "c"
    old = os.umask(0)
    try:
        ensure_private_directory(path)
    finally:
        os.umask(old)
    for level in (path, path.parent, path.parent.parent):
        assert level.stat().st_mode & 0o777 == 0o700
    ensure_private_directory(path)


def test_parent_writable_by_all(sticky: Path) -> None:
    """A private directory in a place where anybody may rename it away is refused."""
    path = sticky / "runt-0"
    ensure_private_directory(path)
    sticky.chmod(0o777)
    with pytest.raises(UnsafeDirectory, match="writable by everybody"):
        ensure_private_directory(path)


def test_descriptor_is_of_the_checked_directory(sticky: Path) -> None:
    """The descriptor refers to the directory itself, even when the name is moved away afterwards."""
    path = sticky / "runt-0"
    descriptor = open_private_directory(path)
    try:
        inode = path.stat().st_ino
        path.rename(sticky / "elsewhere")
        assert os.fstat(descriptor).st_ino == inode
    finally:
        os.close(descriptor)


def test_private_file_round_trip(tmp_path: Path) -> None:
    """A private file is replaced whole, is readable by us only, and leaves nothing beside it."""
    path = tmp_path / "d" / "kernel.json"
    ensure_private_directory(path.parent)
    for data in (b"one", b"", b"x" * 100_000):
        write_private_file(path, data)
        assert read_private_file(path) == data
        assert path.stat().st_mode & 0o777 == 0o600
        assert list(path.parent.iterdir()) == [path]


def test_private_file_does_not_follow_links(tmp_path: Path) -> None:
    """A link in the place of the file is replaced when written, and refused when read."""
    victim = tmp_path / "victim"
    victim.write_bytes(b"precious")
    path = tmp_path / "file"
    path.symlink_to(victim)
    with pytest.raises(UnsafeDirectory, match="symbolic link"):
        read_private_file(path)
    write_private_file(path, b"new")
    assert victim.read_bytes() == b"precious"
    assert read_private_file(path) == b"new"


def test_unbelievable_files(tmp_path: Path) -> None:
    """Files that others may write, and things that are not files, are not read."""
    path = tmp_path / "file"
    path.write_bytes(b"")
    path.chmod(0o622)
    with pytest.raises(UnsafeDirectory, match="another user"):
        read_private_file(path)
    os.mkfifo(tmp_path / "pipe")
    with pytest.raises(UnsafeDirectory, match="not a regular file"):
        read_private_file(tmp_path / "pipe")
    with pytest.raises(FileNotFoundError):
        read_private_file(tmp_path / "nothing")
