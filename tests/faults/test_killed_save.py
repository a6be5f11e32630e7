"""kill -9 of the daemon in the instant in which a save takes effect: what it wrote is its own version."""

from __future__ import annotations

import hashlib
import time
from collections.abc import AsyncIterator
from pathlib import Path

import nbformat
import pytest_asyncio

from runt.protocol.messages import Request
from runt.store.atomic_file import clear_interrupted
from tests.daemon.daemon_process import DaemonProcess
from tests.daemon.raw_client import PATIENCE_S, RawClient

ROUNDS = 4


@pytest_asyncio.fixture
async def daemon() -> AsyncIterator[DaemonProcess]:
    async with DaemonProcess() as process:
        yield process


def wait_replaced(path: Path, inode: int) -> None:
    """Return within microseconds of the file's replacement; a poll with a pause would miss the instant."""
    end = time.monotonic() + PATIENCE_S
    while path.stat().st_ino == inode:
        assert time.monotonic() < end, "the file was not saved"


def ask_to_save(client: RawClient, number: int) -> None:
    client.transport.write(client.session.request(Request(id=f"save {number}", method="save", params={})))


async def test_a_save_whose_daemon_died_over_it_is_not_merged_as_a_strangers(daemon: DaemonProcess) -> None:
    """Killed right after the rename, again and again: no text and no cell is there twice."""
    path = daemon.notebook("a.ipynb", "text")
    expected = ["text"]
    for number in range(ROUNDS):
        client = await daemon.join(path)
        assert client.sources() == expected
        client.type(client.keys()[0], f" {number}", len(expected[0]))
        client.document.insert_cell(1, "code", f"cell {number}", origin="me")
        expected = client.sources()
        inode = path.stat().st_ino
        ask_to_save(client, number)
        wait_replaced(path, inode)
        await daemon.kill_and_start()
    client = await daemon.join(path)
    assert client.sources() == expected


async def test_a_strangers_version_is_merged_once(daemon: DaemonProcess) -> None:
    """A file that another program changed while text was unsaved, a kill when both are written: once each."""
    path = daemon.notebook("a.ipynb", "text")
    for number in range(ROUNDS):
        client = await daemon.join(path)
        before = client.sources()
        assert before[0].count("ours") == number
        client.type(client.keys()[0], "ours ", 0)
        await client.request("synced", n=client.session.sent_n)
        await daemon.kill()
        theirs = nbformat.read(path, as_version=4)
        theirs.cells[0].source += f"\ntheirs {number}"
        theirs.cells.append(nbformat.v4.new_code_cell(f"their cell {number}"))
        nbformat.write(theirs, path)
        inode = path.stat().st_ino
        await daemon.start()
        client = await daemon.join(path)
        ask_to_save(client, number)
        wait_replaced(path, inode)
        await daemon.kill_and_start()
    client = await daemon.join(path)
    first, *others = client.sources()
    assert first.count("ours ") == ROUNDS
    assert first.splitlines()[1:] == [f"theirs {number}" for number in range(ROUNDS)]
    assert others == [f"their cell {number}" for number in range(ROUNDS)]


async def test_two_strangers_versions_before_the_first_save(daemon: DaemonProcess) -> None:
    """Merged at opening with text unsaved, a kill, the file changes again: each change is in once."""
    path = daemon.notebook("a.ipynb", "text")
    client = await daemon.join(path)
    client.type(client.keys()[0], "ours ", 0)
    await client.request("synced", n=client.session.sent_n)
    for number in range(2):
        await daemon.kill()
        theirs = nbformat.read(path, as_version=4)
        theirs.cells.append(nbformat.v4.new_code_cell(f"their cell {number}"))
        nbformat.write(theirs, path)
        await daemon.start()
        client = await daemon.join(path)
        assert client.sources() == ["ours text", *(f"their cell {one}" for one in range(number + 1))]


async def test_nothing_is_left_beside_a_file_whose_save_was_killed(daemon: DaemonProcess) -> None:
    """Killed as soon as the temporary file is there: the next daemon removes it, and nobody else's."""
    path = daemon.notebook("a.ipynb", "text")
    others = path.parent / ".runt-0123456789abcdef-0.tmp"
    others.write_bytes(b"of another daemon, which is at work")
    client = await daemon.join(path)
    client.type(client.keys()[0], "new ", 0)
    await client.request("synced", n=client.session.sent_n)
    ask_to_save(client, 0)
    end = time.monotonic() + PATIENCE_S
    while len(list(path.parent.iterdir())) == 2 and "new" not in path.read_text():
        assert time.monotonic() < end
    await daemon.kill_and_start()
    client = await daemon.join(path)
    assert client.sources() == ["new text"]
    assert sorted(path.parent.iterdir()) == [others, path]


def test_a_version_that_nobody_expected_gets_its_name_back(tmp_path: Path) -> None:
    """Killed between the exchange and the look at what came out: a stranger's version is the file again."""
    path = tmp_path / "a.ipynb"
    ours, theirs = b"ours", b"theirs"
    digest, old = hashlib.sha256(ours).hexdigest(), hashlib.sha256(b"old").hexdigest()
    stray = tmp_path / f".runt-{digest[:16]}-00.tmp"
    for content, expected in ((b"old", ours), (ours, ours), (ours[:2], ours), (theirs, theirs)):
        path.write_bytes(ours)
        stray.write_bytes(content)
        clear_interrupted(path, digest, old)
        assert path.read_bytes() == expected
        assert not stray.exists()
    path.unlink()
    stray.write_bytes(ours[:2])
    clear_interrupted(path, digest, old)
    assert list(tmp_path.iterdir()) == []
