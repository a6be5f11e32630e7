"""The spill: what a client leaves behind when the daemon is away and it has to go."""

from __future__ import annotations

import asyncio
import os
import signal
import sys
from collections.abc import Sequence

import pytest

from runt.errors import NoSpace
from runt.notebook.notebook_document import NotebookDocument
from runt.peer.local_updates import LocalUpdate
from runt.store.pending import PendingFile
from tests.peer.small_daemon import Scene, SmallRoom, until


def left(scene: Scene, room: SmallRoom) -> Sequence[PendingFile]:
    """The pending files of a room."""
    return PendingFile.list(scene.places.pending / room.id)


def merged(room: SmallRoom, files: Sequence[PendingFile]) -> list[str]:
    """The sources of a fresh replica of the room after the pending updates were applied to it."""
    replica = NotebookDocument()
    replica.apply(room.document.update_since())
    for file in files:
        for update in file.read():
            replica.apply(update)
    return [replica.cell(key).source for key in replica.keys()]  # noqa: SIM118


async def test_a_change_that_waits_is_kept_in_a_file_and_released(
    scene: Scene, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A change without acknowledgement goes to a file named by room and epoch; the acknowledgement removes
    it.
    """
    monkeypatch.setattr("runt.peer.pending.PATIENCE_S", 0.01)
    room = scene.daemon.add_room(sources=("a",))
    notebook = await scene.open()
    await notebook.synced()
    room.hold_acks = True
    await notebook.cells.create("waits")
    await until(lambda: left(scene, room), "the file")
    [file] = left(scene, room)
    await until(file.read, "its record")
    assert file.epoch == room.document.epoch
    assert "waits" in merged(room, [file])
    await until(lambda: len(room.sources()) == 2, "the change")
    scene.daemon.connections[0].acknowledge()
    await until(lambda: not notebook.status.waiting, "the acknowledgement")
    await until(lambda: not left(scene, room), "the file to go")


async def test_what_is_acknowledged_in_time_leaves_no_file(scene: Scene) -> None:
    """An ordinary session makes no pending file, closing included."""
    room = scene.daemon.add_room()
    notebook = await scene.open()
    await notebook.cells.create("x")
    await notebook.close()
    assert not left(scene, room)
    assert room.sources() == ["x"]


async def test_closing_without_a_daemon_leaves_the_changes(scene: Scene) -> None:
    """Many changes made after the daemon was stopped are in the file after `close`, as one diff."""
    room = scene.daemon.add_room(sources=("a",))
    notebook = await scene.open()
    await notebook.synced()
    await scene.daemon.stop()
    await until(lambda: notebook.status.state == "stopped", "the stop")
    for number in range(30):
        await notebook.cells.create(f"cell {number}")
    await notebook.close()
    files = left(scene, room)
    assert merged(room, files) == ["a", *(f"cell {number}" for number in range(30))]
    assert [len(file.read()) for file in files] == [1]


async def test_a_file_that_cannot_be_written_is_said(scene: Scene, monkeypatch: pytest.MonkeyPatch) -> None:
    """A full disk is in the status; the change stays in the log and goes out later."""
    room = scene.daemon.add_room()
    notebook = await scene.open()
    await notebook.synced()
    room.hold_acks = True

    def full(self: PendingFile, update: bytes) -> None:
        raise NoSpace("no space left")

    monkeypatch.setattr(PendingFile, "append", full)
    await notebook.cells.create("x")
    notebook.spill()
    assert "no space" in notebook.status.detail
    assert [entry.spilled for entry in notebook._session.replica.local.entries] == [False]
    await until(lambda: room.sources() == ["x"], "the change")
    scene.daemon.connections[0].acknowledge()
    await until(lambda: not notebook.status.waiting, "the acknowledgement")
    assert not notebook.status.detail


def test_an_entry_begins_unsent_and_unspilled() -> None:
    """A local update is neither carried nor kept until somebody says so."""
    entry = LocalUpdate(b"", 1, 0.0)
    assert (entry.number, entry.spilled) == (0, False)


SCRIPT = """
import asyncio, sys
from pathlib import Path
from runt.peer.client import Client
from runt.store.places import Places

async def main():
    async with Client("child", Places.under(Path(sys.argv[1]))) as client:
        notebook = await client.open_notebook("/notebooks/a.ipynb")
        print("opened", flush=True)
        while notebook.status.state != "stopped":
            await asyncio.sleep(0.01)
        await notebook.cells.get_by_index(0).append(" and édited")
        await notebook.cells.create("new")
        print("edited", flush=True)
        await asyncio.sleep(600)

asyncio.run(main())
"""


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGTERM, signal.SIGHUP])
async def test_a_client_that_is_killed_while_the_daemon_is_away_leaves_its_edits(
    scene: Scene, number: int
) -> None:
    """After kill -9 (once a second has passed), SIGTERM or SIGHUP (at once) a fresh replica gets the
    edits.
    """
    room = scene.daemon.add_room(sources=("text",))
    environment = {name: value for name, value in os.environ.items() if not name.startswith("RUNT_")}
    child = await asyncio.create_subprocess_exec(
        sys.executable,
        "-c",
        SCRIPT,
        str(scene.places.data.parent),
        stdout=asyncio.subprocess.PIPE,
        env=environment,
    )
    try:
        assert child.stdout is not None
        assert await child.stdout.readline() == b"opened\n"
        await scene.daemon.stop()
        assert await child.stdout.readline() == b"edited\n"
        if number == signal.SIGKILL:
            await until(
                lambda: merged(room, left(scene, room)) == ["text and édited", "new"],
                "the file",
            )
        child.send_signal(number)
        assert await child.wait() == -number
    finally:
        if child.returncode is None:
            child.kill()
            await child.wait()
    assert merged(room, left(scene, room)) == ["text and édited", "new"]
