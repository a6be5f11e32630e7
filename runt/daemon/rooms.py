"""All open rooms: found by id or path, loaded once, closed when nobody needs them.

It loads nothing itself (``room_opening`` does). The invariant: at any time one room per id and one id per
real path, and a room that is being loaded or closed is waited for, never opened twice.
"""

from __future__ import annotations

import asyncio
import logging
import os
import uuid
from collections.abc import AsyncIterator, Callable, Coroutine
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

from runt.daemon.memory import give_memory_back
from runt.daemon.notebook_paths import locate
from runt.daemon.owned_tasks import OwnedTasks
from runt.daemon.refusals import RequestRefused, bad_request
from runt.daemon.room import Room
from runt.errors import StoreError
from runt.store.path_index import PathIndex
from runt.store.places import Places

log = logging.getLogger(__name__)

LINGER_S = 30.0
CLOSE_LIMIT_S = 30.0  # for all rooms together at the end: a file system that hangs must not hold the daemon
LINGER_VARIABLE = "RUNT_ROOM_LINGER_S"  # for tests: how long an unused room stays

OpenRoom = Callable[[str, Path | None, dict[str, Any] | None], Coroutine[Any, Any, Room]]
"""Load the room of an id; with a path its file; with metadata a new notebook."""


class Rooms:
    """The rooms of one daemon."""

    def __init__(self, places: Places, index: PathIndex, open_room: OpenRoom) -> None:
        self._places = places
        self._index = index
        self._open_room = open_room
        self._rooms: dict[str, Room] = {}
        self._opening: dict[str, asyncio.Task[Room]] = {}
        self._closing: dict[str, asyncio.Task[None]] = {}
        self._claimed: dict[Path, asyncio.Event] = {}  # where a save-as writes; set when it is done
        self._lingering: dict[str, asyncio.TimerHandle] = {}  # one for each room that nobody uses
        self._tasks = OwnedTasks("rooms")
        self._linger_s = float(os.environ.get(LINGER_VARIABLE, LINGER_S))
        self._stopped = False

    def __iter__(self) -> Any:
        return iter(list(self._rooms.values()))

    def get(self, id_: str) -> Room | None:
        return self._rooms.get(id_)

    # -- opening ----------------------------------------------------------------------------------

    async def open_path(
        self, path: str, *, create: bool = False, metadata: dict[str, Any] | None = None
    ) -> Room:
        """The room of a file. Raises RequestRefused, NotebookFileError, StoreError."""
        found = await asyncio.to_thread(locate, path)
        while (claimed := self._claimed.get(found.path)) is not None:
            await claimed.wait()
            found = await asyncio.to_thread(locate, path)
        room_id = self._room_at(found.path) or self._index.room_for(found.path)
        if room_id is not None and (room_id in self._rooms or room_id in self._opening):
            return await self._open(room_id, found.path, None)
        if not found.exists:
            if room_id is not None and (room := await self._only_copy(room_id, found.path, create)):
                return room
            if not create:
                raise RequestRefused("not_found", f"{found.path}: no such file", hint="check the path")
            room_id = None  # a new notebook does not inherit what a deleted file of that name had
        if room_id is None:
            room_id = str(uuid.uuid4())
        self._index.assign(found.path, room_id)
        return await self._open(room_id, found.path, metadata if not found.exists else None)

    def _room_at(self, path: Path) -> str | None:
        """The open room whose file that is, whatever the index says."""
        return next((room.id for room in self._rooms.values() if room.file.path == path), None)

    async def _only_copy(self, id_: str, path: Path, create: bool) -> Room | None:
        """The room of a path without a file, if it holds what no file has: a daemon was killed before the
        first save, or the file was removed under unsaved edits. Raises StoreError.

        An empty notebook that was never saved counts only for who wants a new one.
        """
        if not await asyncio.to_thread((self._places.rooms / f"{id_}.db").exists):
            return None
        try:
            room = await self._open(id_, path, None)
        except RequestRefused as error:
            if error.code != "not_found":
                raise
            return None
        if room.peers or room.kernel.alive or room.file.unsaved or (create and room.file.mode_new):
            return room
        if self._rooms.get(id_) is room:
            self._start_closing(room, save=False)
        if (closing := self._closing.get(id_)) is not None:
            await asyncio.shield(closing)
        return None

    async def open_id(self, id_: str) -> Room:
        """The room of an id that this host has seen before. Raises RequestRefused(not_found)."""
        try:
            room_id = str(uuid.UUID(id_))
        except ValueError as error:
            raise bad_request(f"not a room id: {id_!r}") from error
        path = self._index.path_of(room_id)
        journal = self._places.rooms / f"{room_id}.db"
        if room_id not in self._rooms and path is None and not journal.exists():
            raise RequestRefused("not_found", f"no notebook with the id {room_id}")
        return await self._open(room_id, Path(path) if path else None, None)

    async def create(self, metadata: dict[str, Any] | None) -> Room:
        """A new untitled notebook."""
        return await self._open(str(uuid.uuid4()), None, metadata or {})

    async def _open(self, id_: str, path: Path | None, metadata: dict[str, Any] | None) -> Room:
        while (closing := self._closing.get(id_)) is not None:
            await asyncio.shield(closing)
        if self._stopped:
            raise RequestRefused("stopping", "the daemon is stopping")
        room = self._rooms.get(id_)
        if room is not None:
            return room
        task = self._opening.get(id_)
        if task is None:
            task = self._tasks.start(self._load(id_, path, metadata), f"open {id_[:8]}", awaited=True)
            self._opening[id_] = task
        return await asyncio.shield(task)

    async def _load(self, id_: str, path: Path | None, metadata: dict[str, Any] | None) -> Room:
        try:
            room = await self._open_room(id_, path, metadata)
            self._rooms[id_] = room
        finally:
            del self._opening[id_]
        self.linger(room)
        return room

    @asynccontextmanager
    async def claim(self, room: Room, path: str) -> AsyncIterator[Path]:
        """Keep another path for that room while it writes there, for save-as: the path is the room's only
        once it is `written`. Raises RequestRefused(path_in_use) if something is there.
        """
        found = await asyncio.to_thread(locate, path)
        old = room.file.path
        if found.path == old:
            yield found.path
            return
        other = self._room_at(found.path) or self._index.room_for(found.path)
        if found.exists or (other is not None and other in self._rooms):
            raise RequestRefused("path_in_use", f"{found.path} exists already", hint="choose another name")
        if not await asyncio.to_thread(found.path.parent.is_dir):
            raise RequestRefused("not_found", f"{found.path.parent}: no such directory")
        if found.path in self._claimed:
            raise RequestRefused("path_in_use", f"{found.path} is being written", hint="choose another name")
        free = self._claimed[found.path] = asyncio.Event()
        try:
            yield found.path
        finally:
            del self._claimed[found.path]
            free.set()

    def written(self, room: Room, path: Path) -> None:
        """A room wrote its file: the path is its own, and the file's inode (by which its other names are
        known) is another one now.
        """
        try:
            self._index.assign(path, room.id)
        except StoreError as error:
            log.warning("room %s: the index of paths: %s", room.id, error)

    # -- closing ----------------------------------------------------------------------------------

    def linger(self, room: Room) -> None:
        """Close the room later, if nobody needs it then."""
        if room.peers:
            return
        if (timer := self._lingering.pop(room.id, None)) is not None:
            timer.cancel()
        self._lingering[room.id] = room.loop.call_later(self._linger_s, self._close_unused, room)

    def _close_unused(self, room: Room) -> None:
        self._lingering.pop(room.id, None)
        if self._stopped or room.closing or self._rooms.get(room.id) is not room or room.peers:
            return
        if room.busy:
            self.linger(room)
        else:
            self._start_closing(room)

    def _start_closing(self, room: Room, *, save: bool = True) -> asyncio.Task[None]:
        del self._rooms[room.id]
        if (timer := self._lingering.pop(room.id, None)) is not None:
            timer.cancel()
        task = self._tasks.start(self._close(room, save=save), f"close {room.id[:8]}")
        self._closing[room.id] = task
        return task

    async def _close(self, room: Room, *, save: bool) -> None:
        try:
            await room.close(save=save)
            log.info("room %s closed", room.id)
        finally:
            self._closing.pop(room.id, None)
        if not self._stopped:
            await asyncio.to_thread(give_memory_back)

    def discard(self, room: Room) -> None:
        """A room whose document broke: its peers connect again and get it from the journal."""
        if self._rooms.get(room.id) is not room:
            return
        for channel in list(room.peers.values()):
            channel.connection.close("the notebook is loaded again")
        self._start_closing(room, save=False)

    async def close(self) -> None:
        """Close every room, also those that are still being opened; at most CLOSE_LIMIT_S are waited."""
        self._stopped = True
        try:
            async with asyncio.timeout(CLOSE_LIMIT_S):
                while self._rooms or self._opening or self._closing:
                    for room in list(self._rooms.values()):
                        self._start_closing(room)
                    waiting = [*self._closing.values(), *self._opening.values()]
                    await asyncio.wait(waiting, return_when=asyncio.FIRST_COMPLETED)
        except TimeoutError:
            left = [*self._rooms, *self._opening, *self._closing]
            log.error("rooms that do not close are left to their journals: %s", ", ".join(left))  # noqa: TRY400
        for timer in self._lingering.values():
            timer.cancel()
        await self._tasks.close()
