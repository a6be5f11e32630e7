"""What the journal knows of the last save, and journals that lead nowhere. Real daemon, raw clients."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
import pytest_asyncio

from runt.daemon.room import Room
from runt.errors import NoSpace
from runt.store.journal import Append
from runt.store.journal_database import RoomDatabase, open_room
from tests.daemon.daemon_in_loop import DaemonInLoop, until
from tests.daemon.raw_client import RawClient

GARBAGE = b"\x01\x02garbage"


@pytest_asyncio.fixture
async def manual(here: DaemonInLoop) -> AsyncIterator[DaemonInLoop]:
    """A daemon that saves only when it is asked to."""
    here.places.settings_json.parent.mkdir(exist_ok=True)
    here.places.settings_json.write_text('{"autosave": {"enabled": false}}')
    await here.restart()
    yield here


def only_room(here: DaemonInLoop) -> Room:
    (room,) = here.daemon.rooms
    assert isinstance(room, Room)
    return room


def edit_file(path: Path, cell: int, source: str) -> None:
    content = json.loads(path.read_text())
    content["cells"][cell]["source"] = source.splitlines(keepends=True)
    path.write_text(json.dumps(content, indent=1))


async def synced(client: RawClient) -> None:
    await client.request("synced", n=client.session.sent_n)


async def test_a_save_does_not_journal_the_notebook_again(
    manual: DaemonInLoop, monkeypatch: pytest.MonkeyPatch
) -> None:
    """One typed character and its save cost the journal some hundred bytes, whatever the notebook's size."""
    sizes: list[int] = []
    commit = RoomDatabase.commit

    def counting(self: RoomDatabase, batch: Any) -> None:
        sizes.extend(item.size for item in batch)
        commit(self, batch)

    monkeypatch.setattr(RoomDatabase, "commit", counting)
    path = manual.notebook("a.ipynb", *("x" * 1000 for _ in range(100)))
    client = await manual.join(path)
    await client.request("durable")
    assert sum(sizes) < 300_000, "the first opening journals it once"
    sizes.clear()
    for _ in range(3):
        client.type(client.keys()[0], "y")
        await client.request("save")
    await client.request("durable")
    assert sum(sizes) < 10_000
    await until(lambda: client.status.journaled_n == client.session.sent_n, "the acknowledgement")


@pytest.mark.parametrize("kept", ["", "before the save", "after the save", "after the edit"])
async def test_unsaved_edits_and_those_of_a_file_are_merged_after_a_restart(
    manual: DaemonInLoop, kept: str
) -> None:
    """The state that was saved is found in the journal, also if the journal has forgotten single updates."""
    path = manual.notebook("a.ipynb", "line1\nline2\nline3\n")
    client = await manual.join(path)
    key = client.keys()[0]

    async def forget(when: str) -> None:
        if kept == when:
            await synced(client)
            await only_room(manual).care._compact(["n"])
            await client.request("durable")

    client.type(key, "saved\n")
    await forget("before the save")
    await client.request("save")
    await forget("after the save")
    client.type(key, "unsaved", len(client.sources()[0]))
    await synced(client)
    await forget("after the edit")
    await manual.stop()
    assert "unsaved" not in path.read_text()
    edit_file(path, 0, "saved\nline1 disk\nline2\nline3\n")
    await manual.start()
    assert (await manual.join(path)).sources() == ["saved\nline1 disk\nline2\nline3\nunsaved"]
    await manual.stop()
    edit_file(path, 0, "saved\nline1 disk\nline2 too\nline3\n")
    await manual.start()
    again = await manual.join(path)
    assert again.sources() == ["saved\nline1 disk\nline2 too\nline3\nunsaved"]


async def test_a_rescued_journal_still_knows_what_was_saved(
    manual: DaemonInLoop, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The new database has no single updates: what was saved is in it as it is."""
    path = manual.notebook("a.ipynb", "line1\nline2\n")
    client = await manual.join(path)
    client.type(client.keys()[0], "saved\n")
    await client.request("save")
    client.type(client.keys()[0], "unsaved", len(client.sources()[0]))
    await synced(client)
    room = only_room(manual)
    room.care._rescue_interval_s = 0.01

    def fail_once(self: RoomDatabase, batch: object) -> None:
        monkeypatch.undo()
        raise NoSpace("the disk is full")

    monkeypatch.setattr(RoomDatabase, "commit", fail_once)
    client.type(client.keys()[0], "!", len(client.sources()[0]))
    await until(lambda: room.unsafe, "the failure")
    await until(lambda: not room.unsafe, "the rescue")
    await manual.stop()
    edit_file(path, 0, "saved\nline1 disk\nline2\n")
    await manual.start()
    assert (await manual.join(path)).sources() == ["saved\nline1 disk\nline2\nunsaved!"]


async def damage(here: DaemonInLoop, client: RawClient, *more: bytes) -> Path:
    """Stop, and end the journal of the client's room with an update that cannot be applied."""
    assert client.welcome is not None
    room = client.welcome.room
    await here.stop()
    path = here.places.rooms / f"{room}.db"
    database, rows = open_room(path)
    seq = rows.last_seq() + 1
    database.commit([Append(seq, tuple(("n", update) for update in (GARBAGE, *more)), {}, (), {}, 0)])
    database.close(clean=True)
    await here.start()
    return path


async def test_a_journal_that_cannot_be_applied_is_used_as_far_as_it_goes(here: DaemonInLoop) -> None:
    """An untitled notebook keeps what was before the damage, its peers are told, the old journal is kept."""
    client = await here.join(new=True)
    client.document.insert_cell(0, "code", "precious", origin="me")
    await synced(client)
    path = await damage(here, client)
    again = await here.join(id=path.stem)
    assert again.sources() == ["precious"]
    assert again.document.epoch == client.document.epoch
    assert any("damaged" in str(event.data) for event in again.events)
    assert path.with_name(path.name + ".corrupt").exists()
    again.type(again.keys()[0], "still ")
    await synced(again)
    await here.restart()
    assert (await here.join(id=path.stem)).sources() == ["still precious"]


async def test_unsaved_edits_before_the_damage_are_kept_and_the_file_is_not_put_back(
    manual: DaemonInLoop,
) -> None:
    """What the journal knows of the last save holds in the new one too."""
    path = manual.notebook("a.ipynb", "one\ntwo\n")
    client = await manual.join(path)
    client.type(client.keys()[0], "saved\n")
    await client.request("save")
    client.type(client.keys()[0], "unsaved", len(client.sources()[0]))
    await synced(client)
    await damage(manual, client)
    assert (await manual.join(path)).sources() == ["saved\none\ntwo\nunsaved"]
    await manual.stop()
    edit_file(path, 0, "saved\none disk\ntwo\n")
    await manual.start()
    assert (await manual.join(path)).sources() == ["saved\none disk\ntwo\nunsaved"]


async def test_a_file_that_knows_more_than_the_damaged_journal_is_not_overwritten(
    manual: DaemonInLoop,
) -> None:
    """Then the notebook is made of the file, under a new history."""
    path = manual.notebook("a.ipynb", "one")
    client = await manual.join(path)
    client.type(client.keys()[0], "saved ")
    await client.request("save")
    assert client.welcome is not None
    await manual.stop()
    database = manual.places.rooms / f"{client.welcome.room}.db"
    _garble_first_edit(database)
    await manual.start()
    again = await manual.join(path)
    assert again.sources() == ["saved one"]
    assert again.document.epoch != client.document.epoch
    assert any("damaged" in str(event.data) for event in again.events)
    await again.request("save")
    assert "saved one" in path.read_text()


def _garble_first_edit(path: Path) -> None:
    """Replace the room's second update of N, with a checksum that matches."""
    import sqlite3

    from runt.store.journal_tables import checksum

    with sqlite3.connect(path) as connection:
        query = "SELECT row, seq FROM updates WHERE doc = 'n' ORDER BY row"
        row, seq = connection.execute(query).fetchall()[1]
        connection.execute(
            "UPDATE updates SET bytes = ?, crc = ? WHERE row = ?",
            (GARBAGE, checksum("n", GARBAGE, row, seq), row),
        )
    connection.close()
