"""The end of a room: what is still taken in, what is acknowledged, when it may go. Real daemon, raw clients."""

from __future__ import annotations

import asyncio
import threading
from pathlib import Path
from typing import Any

import pytest

from runt.daemon import room_file
from runt.daemon import rooms as rooms_module
from runt.errors import StoreError
from runt.store.atomic_file import write_file
from tests.daemon.daemon_in_loop import DaemonInLoop, until


async def test_an_edit_after_the_end_of_its_room_is_not_acknowledged(
    here: DaemonInLoop, monkeypatch: pytest.MonkeyPatch
) -> None:
    """While another room still saves, the peers of a closed one are sent away instead of taken in."""
    go_on = threading.Event()

    def write(path: Path, data: bytes, **options: Any) -> str:
        if path.name == "slow.ipynb":
            assert go_on.wait(30)
        return write_file(path, data, **options)

    monkeypatch.setattr(room_file, "write_file", write)
    path, slow = here.notebook("a.ipynb", "x"), here.notebook("slow.ipynb", "y")
    client, other = await here.join(path), await here.join(slow)
    other.type(other.keys()[0], "edit")
    await other.request("synced", n=other.session.sent_n)
    room = next(room for room in here.daemon.rooms if room.file.path == path)
    here.daemon.stop()
    try:
        await until(lambda: room.journal._closed, "the end of the first room")
        sent = client.session.sent_n
        client.type(client.keys()[0], "late ")
        await client.until(
            lambda: client.lost or client.status.journaled_n == sent + 1, "the end of the connection"
        )
        assert client.status.journaled_n == sent
    finally:
        go_on.set()


async def test_a_room_whose_journal_fails_stays(here: DaemonInLoop) -> None:
    """Edits that are only in memory keep the room open, even if its file is up to date."""
    await here.join(here.notebook("a.ipynb", "x"))
    room = next(iter(here.daemon.rooms))
    room.peers.clear()
    await until(lambda: not room.busy, "the end of the opening")
    room.log.update("n", b"\0\0")
    assert room.busy
    room.log.flush()
    await until(lambda: not room.busy, "the commit")
    room._journal_failed(StoreError("the disk is full"))
    assert room.busy
    room.unsafe = ""


async def test_a_room_that_is_opened_while_the_daemon_ends_is_closed_too(
    here: DaemonInLoop, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its journal is closed in order, like those of the rooms that were open before."""
    go_on, loading = threading.Event(), threading.Event()
    load = here.daemon.opener._load

    def slow_load(*arguments: Any) -> Any:
        loading.set()
        assert go_on.wait(30)
        return load(*arguments)

    monkeypatch.setattr(here.daemon.opener, "_load", slow_load)
    rooms = here.daemon.rooms
    opening = asyncio.create_task(rooms.open_path(str(here.notebook("a.ipynb", "x"))))
    await until(loading.is_set, "the loading")
    closing = asyncio.create_task(rooms.close())
    await until(lambda: rooms._stopped, "the end")
    go_on.set()
    room = await opening
    await closing
    assert room.journal._closed
    assert not list(rooms)


async def test_a_room_that_hangs_does_not_hold_up_the_end(
    here: DaemonInLoop, monkeypatch: pytest.MonkeyPatch
) -> None:
    """After the limit it is left to its journal."""
    go_on = threading.Event()

    def write(path: Path, data: bytes, **options: Any) -> str:
        assert go_on.wait(30)
        return write_file(path, data, **options)

    monkeypatch.setattr(room_file, "write_file", write)
    monkeypatch.setattr(rooms_module, "CLOSE_LIMIT_S", 0.05)
    path = here.notebook("a.ipynb", "x")
    client = await here.join(path)
    client.type(client.keys()[0], "kept ")
    await client.request("synced", n=client.session.sent_n)
    await here.stop()
    go_on.set()
    await here.start()
    assert (await here.join(path)).sources() == ["kept x"]


async def test_one_clock_per_unused_room(here: DaemonInLoop) -> None:
    """However often peers come and go, one timer waits to close it, and it begins anew at each leave."""
    path = here.notebook("a.ipynb", "x")
    await here.join(path)
    room = next(iter(here.daemon.rooms))
    room.peers.clear()
    rooms = here.daemon.rooms
    rooms.linger(room)
    first = rooms._lingering[room.id]
    rooms.linger(room)
    assert first.cancelled()
    assert list(rooms._lingering) == [room.id]


async def test_a_notebook_that_cannot_be_formatted_is_said_and_its_room_closes(
    here: DaemonInLoop, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A bug met by one notebook's content leaves its edits in the journal, and the room can be opened again."""

    def fail(*_: Any) -> None:
        raise RecursionError("too deep")

    path = here.notebook("a.ipynb", "x")
    client = await here.join(path)
    with monkeypatch.context() as patch:
        patch.setattr(room_file, "format_notebook", fail)
        client.type(client.keys()[0], "kept ")
        await client.until(lambda: "too deep" in client.runtime.file.error, "the error")
        await here.stop()
    await here.start()
    again = await here.join(path)
    assert again.sources() == ["kept x"]
    await again.request("save")
    await again.until(lambda: not again.runtime.file.error, "the end of the error")
