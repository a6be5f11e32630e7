"""Files of the user: old or new, never another's version, and as accessible as before."""

from __future__ import annotations

import hashlib
import os
import shutil
import stat
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from runt.errors import FileChanged, StoreError
from runt.store import atomic_file, in_place, rename
from runt.store.atomic_file import ANY, read_file, remove_strays, write_file

root = os.geteuid() == 0
NOBODY = 65534


def sha(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()


@pytest.fixture
def path(tmp_path: Path) -> Path:
    directory = tmp_path / "d"
    directory.mkdir()
    return directory / "a.ipynb"


@pytest.fixture
def copies(tmp_path: Path) -> Path:
    return tmp_path / "copies"


@pytest.fixture(params=["exchange", "no exchange"])
def any_system(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """The same behaviour where the system cannot exchange names."""
    if request.param == "no exchange":
        monkeypatch.setattr(rename, "_system_call", lambda: None)


@pytest.mark.usefixtures("any_system")
class TestVersions:
    """Which version may be replaced."""

    def test_new_file(self, path: Path) -> None:
        """A file that must not exist is made, and its hash returned."""
        assert write_file(path, b"new", expected_sha256=None) == sha(b"new")
        assert read_file(path) == (b"new", sha(b"new"))
        assert list(path.parent.iterdir()) == [path]

    def test_new_file_is_taken(self, path: Path) -> None:
        """A file that must not exist, but does, is left alone."""
        path.write_bytes(b"theirs")
        with pytest.raises(FileChanged) as caught:
            write_file(path, b"new", expected_sha256=None)
        assert caught.value.path == str(path)
        assert path.read_bytes() == b"theirs"

    def test_expected_version(self, path: Path) -> None:
        """The expected version is replaced; nothing else is left in the directory."""
        path.write_bytes(b"old")
        write_file(path, b"new", expected_sha256=sha(b"old"))
        assert path.read_bytes() == b"new"
        assert list(path.parent.iterdir()) == [path]

    def test_unexpected_version(self, path: Path) -> None:
        """Another version than the expected one stays, to the byte."""
        path.write_bytes(b"theirs")
        with pytest.raises(FileChanged):
            write_file(path, b"new", expected_sha256=sha(b"old"))
        assert path.read_bytes() == b"theirs"
        assert list(path.parent.iterdir()) == [path]

    def test_expected_version_is_gone(self, path: Path) -> None:
        """A file that was removed meanwhile is not made again."""
        with pytest.raises(FileChanged):
            write_file(path, b"new", expected_sha256=sha(b"old"))
        assert not path.exists()

    @pytest.mark.parametrize("old", [b"old", None])
    def test_any_version(self, path: Path, old: bytes | None) -> None:
        """With ANY whatever is there is replaced."""
        if old is not None:
            path.write_bytes(old)
        write_file(path, b"new", expected_sha256=ANY)
        assert path.read_bytes() == b"new"

    @pytest.mark.parametrize("expected", [None, sha(b"old"), ANY])
    def test_same_content_is_not_written(self, path: Path, expected: str | None) -> None:
        """A file that holds the new content already is not touched: also after a save of unknown outcome."""
        path.write_bytes(b"new")
        os.utime(path, (1, 1))
        before = path.stat()
        assert write_file(path, b"new", expected_sha256=expected) == sha(b"new")
        assert (path.stat().st_ino, path.stat().st_mtime) == (before.st_ino, 1)

    def test_version_that_comes_at_the_last_moment(self, path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        """A version written after our check, right before the rename, survives; ours is not left behind."""
        path.write_bytes(b"old")
        carry_over = atomic_file.carry_over

        def late(*arguments: object) -> None:
            carry_over(*arguments)  # type: ignore[arg-type]
            path.write_bytes(b"theirs")

        monkeypatch.setattr(atomic_file, "carry_over", late)
        with pytest.raises(FileChanged):
            write_file(path, b"new", expected_sha256=sha(b"old"))
        assert path.read_bytes() == b"theirs"
        assert list(path.parent.iterdir()) == [path]

    def test_file_that_appears_at_the_last_moment(self, path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        """A file that another process makes while ours is being written is not overwritten."""
        write_all = atomic_file._write_all

        def late(descriptor: int, data: bytes) -> None:
            write_all(descriptor, data)
            path.write_bytes(b"theirs")

        monkeypatch.setattr(atomic_file, "_write_all", late)
        with pytest.raises(FileChanged):
            write_file(path, b"new", expected_sha256=None)
        assert path.read_bytes() == b"theirs"
        assert list(path.parent.iterdir()) == [path]


@pytest.mark.skipif(sys.platform != "linux", reason="needs renameat2")
def test_third_version_during_an_exchange(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """When a foreign version came out and yet another replaced ours meanwhile, the latest stays."""
    path.write_bytes(b"theirs")
    latest = path.parent / "latest"
    latest.write_bytes(b"latest")
    real, calls = rename.exchange, []

    def exchange(one: Path, other: Path) -> bool:
        done = real(one, other)
        calls.append(1)
        if len(calls) == 1:
            latest.rename(path)
        return done

    monkeypatch.setattr(rename, "exchange", exchange)
    monkeypatch.setattr(atomic_file, "_hash_of", lambda p: sha(b"old") if p == path else sha(p.read_bytes()))
    with pytest.raises(FileChanged):
        write_file(path, b"new", expected_sha256=sha(b"old"))
    assert path.read_bytes() == b"latest"
    assert list(path.parent.iterdir()) == [path]


class TestAttributes:
    """What stays of the old file."""

    @pytest.mark.parametrize("mode", [0o600, 0o644, 0o755, 0o440, 0o4711])
    def test_mode(self, path: Path, mode: int) -> None:
        """The permissions stay."""
        path.write_bytes(b"old")
        path.chmod(mode)
        write_file(path, b"new", expected_sha256=ANY)
        assert path.read_bytes() == b"new"
        assert stat.S_IMODE(path.stat().st_mode) == mode

    @pytest.mark.skipif(not root, reason="only root can give files away")
    def test_owner(self, path: Path) -> None:
        """Owner and group stay."""
        path.write_bytes(b"old")
        os.chown(path, NOBODY, NOBODY)
        write_file(path, b"new", expected_sha256=ANY)
        assert (path.stat().st_uid, path.stat().st_gid) == (NOBODY, NOBODY)

    @pytest.mark.skipif(not hasattr(os, "setxattr"), reason="no extended attributes in Python here")
    def test_extended_attributes(self, path: Path) -> None:
        """Extended attributes stay."""
        path.write_bytes(b"old")
        try:
            os.setxattr(path, "user.origin", b"here")
        except OSError:
            pytest.skip("this file system has no extended attributes")
        write_file(path, b"new", expected_sha256=ANY)
        assert os.getxattr(path, "user.origin") == b"here"

    @pytest.mark.parametrize(("umask", "mode"), [(0o022, 0o644), (0o077, 0o600)])
    def test_new_file_obeys_the_umask(self, path: Path, umask: int, mode: int) -> None:
        """A new file gets what the umask leaves, or exactly the mode that is asked for."""
        old = os.umask(umask)
        try:
            write_file(path, b"new", expected_sha256=None)
            write_file(path.with_name("b"), b"new", expected_sha256=None, mode=0o640)
        finally:
            os.umask(old)
        assert stat.S_IMODE(path.stat().st_mode) == mode
        assert stat.S_IMODE(path.with_name("b").stat().st_mode) == 0o640

    def test_symbolic_links_stay(self, path: Path) -> None:
        """A link stays a link: what it points to is written, where that is."""
        target = path.parent / "real.ipynb"
        target.write_bytes(b"old")
        path.symlink_to("real.ipynb")
        write_file(path, b"new", expected_sha256=sha(b"old"))
        assert path.is_symlink()
        assert target.read_bytes() == b"new"

    def test_dangling_link(self, path: Path) -> None:
        """A link to a file that is not there yet makes that file."""
        path.symlink_to("real.ipynb")
        write_file(path, b"new", expected_sha256=None)
        assert path.is_symlink()
        assert (path.parent / "real.ipynb").read_bytes() == b"new"

    def test_long_name(self, path: Path) -> None:
        """A name of the greatest length needs no longer temporary one."""
        long = path.with_name("n" * 255)
        write_file(long, b"new", expected_sha256=None)
        write_file(long, b"newer", expected_sha256=sha(b"new"))
        assert long.read_bytes() == b"newer"


class TestInPlace:
    """Files that cannot be replaced."""

    @pytest.fixture
    def open_directory(self) -> Iterator[Path]:
        """A directory that everybody may read: pytest's own are closed."""
        directory = Path(tempfile.mkdtemp(prefix="rt", dir="/tmp"))
        directory.chmod(0o755)
        yield directory
        shutil.rmtree(directory)

    @pytest.fixture
    def linked(self, path: Path) -> Path:
        path.write_bytes(b"old content")
        other = path.parent / "other name.ipynb"
        other.hardlink_to(path)
        return other

    @pytest.mark.parametrize("new", [b"new", b"", b"a much longer new content"])
    def test_hard_links_stay_one_file(self, path: Path, linked: Path, copies: Path, new: bytes) -> None:
        """All names of a file see the new content; no copy stays behind."""
        write_file(path, new, expected_sha256=sha(b"old content"), copies=copies)
        assert linked.read_bytes() == path.read_bytes() == new
        assert path.samefile(linked)
        assert list(copies.iterdir()) == []

    def test_copy_exists_while_it_is_written(
        self, path: Path, linked: Path, copies: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """Before the first byte is overwritten, the old version and where it belongs are in the copies."""
        seen: dict[str, bytes] = {}
        overwrite = in_place._overwrite

        def spy(descriptor: int, data: bytes) -> None:
            seen.update({file.name: file.read_bytes() for file in copies.iterdir()})
            overwrite(descriptor, data)

        monkeypatch.setattr(in_place, "_overwrite", spy)
        write_file(path, b"new", expected_sha256=ANY, copies=copies)
        assert sorted(seen.values()) == sorted([b"old content", os.fsencode(path) + b"\n"])

    def test_unexpected_version_is_not_overwritten(self, path: Path, linked: Path, copies: Path) -> None:
        """The check holds for files written in place too."""
        with pytest.raises(FileChanged):
            write_file(path, b"new", expected_sha256=sha(b"another"), copies=copies)
        assert linked.read_bytes() == b"old content"

    @pytest.mark.skipif(not root, reason="needs another user")
    def test_directory_of_another_user(self, open_directory: Path) -> None:
        """Where we may write the file but not its directory, it is written in place."""
        path, copies = open_directory / "a.ipynb", open_directory / "copies"
        path.write_bytes(b"old")
        path.chmod(0o666)
        copies.mkdir(mode=0o700)
        os.chown(copies, NOBODY, NOBODY)
        inode = path.stat().st_ino
        code = (
            "import os, sys\nfrom pathlib import Path\nfrom runt.store.atomic_file import ANY, write_file\n"
            f"os.setgid({NOBODY}); os.setuid({NOBODY})\n"
            "write_file(sys.argv[1], b'new', expected_sha256=ANY, copies=Path(sys.argv[2]))\n"
        )
        subprocess.run([sys.executable, "-c", code, str(path), str(copies)], check=True, timeout=60)
        assert path.read_bytes() == b"new"
        assert path.stat().st_ino == inode

    @pytest.mark.skipif(not root or sys.platform != "linux", reason="needs a mount")
    def test_bind_mounted_file(self, path: Path, copies: Path, tmp_path: Path) -> None:
        """A file that is a mount point (as in a container) is written in place."""
        source = tmp_path / "source"
        source.write_bytes(b"old")
        path.write_bytes(b"")
        mounted = subprocess.run(["mount", "--bind", source, path], capture_output=True, check=False)
        if mounted.returncode:
            pytest.skip("mounting is not allowed here")
        try:
            write_file(path, b"new", expected_sha256=sha(b"old"), copies=copies)
            assert source.read_bytes() == b"new"
        finally:
            subprocess.run(["umount", path], check=True)


@pytest.mark.parametrize("make", [lambda p: p.mkdir(), lambda p: os.mkfifo(p)], ids=["directory", "pipe"])
def test_only_regular_files(path: Path, make: Callable[[Path], None]) -> None:
    """Directories and pipes are neither read nor replaced, and nothing waits for a pipe's other end."""
    make(path)
    with pytest.raises((StoreError, IsADirectoryError)):
        read_file(path)
    with pytest.raises(StoreError, match="not a regular file"):
        write_file(path, b"new", expected_sha256=ANY)


def test_missing_directory(tmp_path: Path) -> None:
    """A file in a directory that is gone cannot be written, and the error says which."""
    with pytest.raises(StoreError, match="gone"):
        write_file(tmp_path / "gone" / "a.ipynb", b"new", expected_sha256=None)


def test_strays_of_a_killed_process(path: Path) -> None:
    """Old temporary files are removed, young ones (somebody may be writing) and other files are not."""
    old, young, other = (path.parent / name for name in (".runt-0.tmp", ".runt-1.tmp", "notes.tmp"))
    for file in (old, young, other):
        file.write_bytes(b"")
    os.utime(old, (1, 1))
    os.utime(other, (1, 1))
    assert remove_strays(path.parent) == 1
    assert sorted(path.parent.iterdir()) == sorted([young, other])


def test_readers_never_see_a_mixture(path: Path) -> None:
    """While versions are replaced as fast as possible, each read gives one of them, whole."""
    versions = [bytes([65 + i]) * 50_000 for i in range(4)]
    write_file(path, versions[0], expected_sha256=None)
    code = (
        "import sys\nfrom runt.store.atomic_file import ANY, write_file\n"
        "for i in range(120):\n"
        "    write_file(sys.argv[1], bytes([65 + i % 4]) * 50000, expected_sha256=ANY)\n"
    )
    writer = subprocess.Popen([sys.executable, "-c", code, str(path)])
    try:
        while writer.poll() is None:
            assert read_file(path)[0] in versions
    finally:
        writer.kill()
        writer.wait()
    assert writer.returncode == 0


@pytest.fixture(autouse=True)
def _no_strays(path: Path) -> Iterator[None]:
    """No test leaves a temporary file beside the notebook, but the one about them."""
    yield
    left = [file.name for file in path.parent.glob(".runt-*")]
    assert left in ([], [".runt-1.tmp"])
