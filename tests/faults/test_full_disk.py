"""A disk that is really full (a small tmpfs): nothing is lost, nothing doubled, and it goes on when there is room."""

from __future__ import annotations

import contextlib
import os
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

import nbformat
import pytest

from runt.store.pending import PendingFile
from tests.daemon.daemon_in_loop import until
from tests.daemon.daemon_process import DaemonProcess
from tests.daemon.raw_client import RawClient, RefusedError

pytestmark = pytest.mark.skipif(
    os.geteuid() != 0 or shutil.which("mount") is None, reason="mounting a small file system needs root"
)


@contextlib.contextmanager
def small_disk(at: Path, kilobytes: int) -> Iterator[Path]:
    """A file system of that size at a directory; yields the name of a file that fills it."""
    at.mkdir(mode=0o700, parents=True, exist_ok=True)
    options = f"size={kilobytes}k,mode=700"
    mounted = subprocess.run(["mount", "-t", "tmpfs", "-o", options, "tmpfs", at], capture_output=True)
    if mounted.returncode:
        pytest.skip(f"no tmpfs can be mounted here: {mounted.stderr.decode().strip()}")
    try:
        yield at / "filler"
    finally:
        subprocess.run(["umount", "--lazy", at], check=True)


def fill(filler: Path) -> None:
    """Take all the room that is left."""
    with filler.open("wb", buffering=0) as file, contextlib.suppress(OSError):
        while True:
            file.write(b"x" * 4096)


def noticed(client: RawClient, word: str) -> bool:
    return any(word in str(event.data.get("text", "")) for event in client.events)


async def test_a_full_data_directory_loses_and_doubles_nothing() -> None:
    """Edits are not acknowledged, the file stays; after a kill the client's pending edit is there once."""
    async with DaemonProcess() as daemon:
        await daemon.control("shutdown")
        await until(lambda: daemon.process.poll() is not None, "the end of the daemon")
        with small_disk(daemon.places.data, 2048) as filler:
            daemon.places.prepare()
            assert await daemon.start() == "ready"
            path = daemon.notebook("a.ipynb", "text")
            client = await daemon.join(path)
            assert client.welcome is not None
            key, before = client.keys()[0], client.document.state()
            fill(filler)
            while not noticed(client, "journal"):
                client.type(key, "more ", 0)
                await client.until(
                    lambda: client.status.journaled_n == client.session.sent_n or noticed(client, "journal"),
                    "word",
                )
            acknowledged, typed = client.status.journaled_n, client.sources()[0]
            assert acknowledged < client.session.sent_n
            room_log = daemon.places.log
            await until(lambda: "autosave failed" in room_log.read_text(), "an autosave that did not happen")
            # What a client does with edits that wait for a second.
            pending = PendingFile.create(daemon.places.pending, client.welcome.room, client.document.epoch)
            pending.append(client.document.update_since(before))
            await daemon.kill()
            assert nbformat.read(path, as_version=4).cells[0].source.count("more") < typed.count("more")
            filler.unlink()
            await daemon.start()
            again = await daemon.join(path)
            assert again.sources() == [typed]
            await again.request("save")
            assert nbformat.read(path, as_version=4).cells[0].source == typed
            await daemon.control("shutdown", kernels=True)
            await until(lambda: daemon.process.poll() is not None, "the end of the daemon")


async def test_a_full_directory_of_the_notebook_keeps_the_old_file_and_saves_when_there_is_room() -> None:
    """The error is said, the old version is whole, no temporary file stays, and the next save works."""
    async with DaemonProcess() as daemon:
        with small_disk(daemon.work, 256) as filler:
            path = daemon.notebook("a.ipynb", "text")
            old = path.read_bytes()
            client = await daemon.join(path)
            client.type(client.keys()[0], "x" * 5000, 0)
            fill(filler)
            with pytest.raises(RefusedError) as refused:
                await client.request("save")
            assert refused.value.code == "no_space"
            assert path.read_bytes() == old
            assert sorted(daemon.work.iterdir()) == [path, filler]
            filler.unlink()
            await client.request("save")
            assert nbformat.read(path, as_version=4).cells[0].source == "x" * 5000 + "text"
            assert list(daemon.work.iterdir()) == [path]
