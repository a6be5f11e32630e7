"""Which room a path leads to, and that no acknowledged edit is left in a room that no path leads to."""

from __future__ import annotations

import asyncio
import os
from pathlib import Path
from typing import Any

import pytest

from runt.daemon import room_file
from runt.errors import NoSpace
from runt.store.atomic_file import write_file
from tests.daemon.daemon_in_loop import DaemonInLoop, until
from tests.daemon.daemon_process import DaemonProcess
from tests.daemon.raw_client import RefusedError


@pytest.mark.parametrize("new", [True, False])
async def test_edits_of_a_new_notebook_survive_a_kill_before_the_first_save(new: bool) -> None:
    """Whoever opens its path again, with new or without, gets the same room with the text."""
    async with DaemonProcess() as daemon:
        path = daemon.work / "new.ipynb"
        client = await daemon.join(path, new=True)
        client.document.insert_cell(0, "code", "precious", origin="me")
        await client.request("durable")
        assert not path.exists()
        await daemon.kill_and_start()
        again = await daemon.join(path, new=new)
        assert again.sources() == ["precious"]
        assert again.welcome is not None
        assert client.welcome is not None
        assert again.welcome.room == client.welcome.room


async def test_unsaved_edits_of_a_removed_file_are_found_by_its_path(here: DaemonInLoop) -> None:
    """Without autosave the journal has the only copy of them."""
    here.places.settings_json.parent.mkdir(exist_ok=True)
    here.places.settings_json.write_text('{"autosave": {"enabled": false}}')
    await here.restart()
    path = here.notebook("a.ipynb", "x")
    client = await here.join(path)
    client.type(client.keys()[0], "only here ")
    await client.request("synced", n=client.session.sent_n)
    before = path.read_bytes()
    await here.restart()
    assert path.read_bytes() == before, "the end of the daemon is no reason to write either"
    await here.stop()
    path.unlink()
    await here.start()
    assert (await here.join(path)).sources() == ["only here x"]


async def test_a_new_notebook_does_not_inherit_what_a_removed_file_had(here: DaemonInLoop) -> None:
    """All of it was in the file, and somebody removed the file: that is an answer."""
    path = here.notebook("a.ipynb", "x")
    client = await here.join(path)
    client.type(client.keys()[0], "saved ")
    await client.request("save")
    await here.stop()
    path.unlink()
    await here.start()
    with pytest.raises(RefusedError) as caught:
        await here.connect(path=str(path))
    assert caught.value.code == "not_found"
    again = await here.join(path, new=True)
    assert again.sources() == []


async def test_a_failed_save_as_leaves_the_file_its_one_room(
    here: DaemonInLoop, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The old path still leads to the room, and the path that was not written to none."""

    def write(path: Path, data: bytes, **options: Any) -> str:
        if path.name == "other.ipynb":
            raise NoSpace("the disk is full")
        return write_file(path, data, **options)

    monkeypatch.setattr(room_file, "write_file", write)
    path = here.notebook("a.ipynb", "x")
    client = await here.join(path)
    with pytest.raises(RefusedError):
        await client.request("save_as", path=str(here.work / "other.ipynb"))
    assert here.daemon.index.all() == {next(iter(here.daemon.rooms)).id: str(path)}
    other = await here.join(path)
    assert other.welcome is not None
    assert client.welcome is not None
    assert other.welcome.room == client.welcome.room


async def test_who_opens_a_path_that_is_being_written_waits_for_its_room(here: DaemonInLoop) -> None:
    """Save-as and an open of the target at the same time end in one room."""
    client = await here.join(here.notebook("a.ipynb", "x"))
    target = here.work / "b.ipynb"
    room = next(iter(here.daemon.rooms))
    async with here.daemon.rooms.claim(room, str(target)):
        joining = asyncio.create_task(here.daemon.rooms.open_path(str(target), create=True))
        await until(lambda: here.daemon.rooms._claimed[target]._waiters, "the waiting open")
        room.file.path = target
    assert await joining is room
    room.file.path = here.work / "a.ipynb"
    client.close()


async def test_a_file_that_was_saved_is_known_by_its_other_names(here: DaemonInLoop) -> None:
    """A hard link that was made after the save (which replaced the file) leads to the same room."""
    path = here.notebook("a.ipynb", "x")
    client = await here.join(path)
    client.type(client.keys()[0], "y")
    await client.request("save")
    link = here.work / "link.ipynb"
    os.link(path, link)
    other = await here.join(link)
    assert other.welcome is not None
    assert client.welcome is not None
    assert other.welcome.room == client.welcome.room


async def test_a_new_notebook_is_made_under_the_users_umask() -> None:
    """The daemon's own files are private, but whether others may read a notebook is the user's choice."""
    old = os.umask(0o027)
    try:
        async with DaemonProcess() as daemon:
            path = daemon.work / "new.ipynb"
            client = await daemon.join(path, new=True)
            await client.request("save")
            assert path.stat().st_mode & 0o777 == 0o640
    finally:
        os.umask(old)
