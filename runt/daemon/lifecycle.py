"""The daemon's life: the lock, the socket, the record that clients find it by, signals, and an orderly end.

It handles no notebook. The invariants: while it runs it holds the lock and ``daemon.json`` names its
socket; after an orderly end neither socket nor record remain, everything acknowledged is in the journals,
and kernels that were not asked to end still run.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
import secrets
import time
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import runt
from runt.daemon.connection import Channel, Connection
from runt.daemon.control_channel import ControlChannel
from runt.daemon.listener import Listener
from runt.daemon.owned_tasks import OwnedTasks
from runt.daemon.refusals import RequestRefused, bad_request
from runt.errors import NotebookFileError, StoreError
from runt.protocol.frames import PROTOCOL_VERSION
from runt.protocol.messages import DaemonInfo, Event, Hello, Welcome
from runt.store.blobs import BlobStore
from runt.store.daemon_record import DaemonRecord
from runt.store.journal_writer import JournalWriter
from runt.store.machine import boot_id, machine_id
from runt.store.path_index import PathIndex
from runt.store.places import Places

if TYPE_CHECKING:
    from runt.daemon.room import Room
    from runt.daemon.room_opening import RoomOpener
    from runt.daemon.rooms import Rooms
    from runt.daemon.settings import Settings

log = logging.getLogger(__name__)

FAREWELL_S = 0.5  # so long may the last frames take to reach clients at the end
MAX_CONNECTIONS = 1000  # a loop of a client must not use up the descriptors that files and kernels need


class Daemon:
    """One daemon. ``run`` returns when it was asked to stop."""

    index: PathIndex
    settings: Settings
    opener: RoomOpener
    rooms: Rooms

    def __init__(self, places: Places, *, umask: int = 0o077) -> None:
        """``umask`` is for notebooks: the one of whoever started the daemon, not the daemon's own."""
        self.places = places
        self.umask = umask
        self.started_at = time.time()
        self.info = DaemonInfo(pid=os.getpid(), boot_id=secrets.token_hex(16), version=runt.__version__)
        self._record = DaemonRecord(
            endpoint=str(places.socket),
            pid=self.info.pid,
            boot_id=boot_id(),
            version=self.info.version,
            protocol=PROTOCOL_VERSION,
            started_at=self.started_at,
        )
        self.tasks = OwnedTasks("daemon")
        self.blobs = BlobStore(places.blobs)
        self.journals = JournalWriter()
        self._listener = Listener(places.socket, self._new_connection)
        self._connections: set[Connection] = set()
        self._accepted = 0
        self._stop = asyncio.Event()
        self._nobody_left = asyncio.Event()
        self._furnished = False
        self._stopping = False
        self._stop_reason = "requested"
        self._stop_kernels = False

    async def run(self, ready: Callable[[], None]) -> None:
        """Serve until stopped. ``ready`` is called once the socket listens.

        Raises:
            StoreError, OSError: it could not start; nothing is left behind.
        """
        loop = asyncio.get_running_loop()
        self.journals.start(loop)
        try:
            self.index = PathIndex(self.places.path_index)
            await self._listener.open()
            self._record.write(self.places.daemon_json)
            log.info("daemon %s ready, pid %d", self.info.version, self.info.pid)
            ready()
            self._furnish()
            self.tasks.start(self.opener.adopt_all(), "adoption")
            await self._stop.wait()
        finally:
            await self._end()

    def _furnish(self) -> None:
        """Make what notebooks need. After the socket listens: a client that was told so connects
        meanwhile.
        """
        from runt.daemon.room_opening import RoomOpener
        from runt.daemon.rooms import Rooms
        from runt.daemon.settings import Settings

        self.settings = Settings(self.places.settings_json)
        owner = machine_id(self.places.data)
        self.opener = RoomOpener(self.places, self.journals, self.blobs, self.settings, owner, self)
        self.rooms = Rooms(self.places, self.index, self.opener.open)
        self.opener.rooms = self.rooms
        self._furnished = True

    def stop(self, reason: str = "requested", *, kernels: bool = False) -> None:
        """Begin the end; returns at once. Later calls only add ``kernels``."""
        self._stop_kernels = self._stop_kernels or kernels
        if not self._stop.is_set():
            self._stop_reason = reason
            # One turn later: the answer to the request that asked for it leaves first.
            asyncio.get_running_loop().call_soon(self._stop.set)

    async def _end(self) -> None:
        log.info("stopping (%s), kernels %s", self._stop_reason, "too" if self._stop_kernels else "stay")
        self._stopping = True
        self._listener.close()
        self._say_farewell()
        if self._furnished:
            if self._stop_kernels:
                await self.opener.stop_all_kernels()
            await self.rooms.close()
        await self.tasks.close()
        for connection in list(self._connections):
            connection.close()
        if self._connections:
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(FAREWELL_S):
                    await self._nobody_left.wait()
        for connection in list(self._connections):
            connection.abort()
            await connection.wait_closed()
        try:
            await self.journals.close()
        except StoreError as error:
            log.error("a journal could not be closed: %s", error)  # noqa: TRY400 - one line
        if self._furnished:
            await self.settings.close()
            self.index.close()
        DaemonRecord.remove(self.places.daemon_json, pid=self.info.pid)
        log.info("stopped")

    def _say_farewell(self) -> None:
        event = Event(name="stopping", data={"reason": self._stop_reason})
        for connection in list(self._connections):
            connection.event(event)

    def renew_record(self) -> None:
        """Write the record again if somebody removed or changed it: clients find us by it."""
        if DaemonRecord.read(self.places.daemon_json) != self._record:
            log.warning("%s was changed: written again", self.places.daemon_json)
            try:
                self._record.write(self.places.daemon_json)
            except StoreError as error:
                log.error("%s", error)  # noqa: TRY400 - tried again soon

    # -- connections ------------------------------------------------------------------------------

    def _new_connection(self) -> Connection:
        self._accepted += 1
        return Connection(self, self._accepted)

    def connected(self, connection: Connection) -> None:
        self._connections.add(connection)
        self._nobody_left.clear()
        if len(self._connections) > MAX_CONNECTIONS:
            log.warning("connection %d refused: too many", connection.number)
            connection.abort()

    def disconnected(self, connection: Connection) -> None:
        self._connections.discard(connection)
        if not self._connections:
            self._nobody_left.set()

    async def open_channel(self, connection: Connection, hello: Hello) -> Channel:
        """Accept a Hello, or raise RequestRefused."""
        if self._stopping:
            raise RequestRefused("stopping", "the daemon is stopping")
        peer = secrets.token_hex(4)
        match hello.channel:
            case "control":
                channel: Channel = ControlChannel(self, connection)
                connection.send(connection.session.welcome(Welcome(peer=peer, daemon=self.info)))
                return channel
            case "settings":
                from runt.daemon.settings import SettingsChannel

                connection.send(connection.session.welcome(Welcome(peer=peer, daemon=self.info)))
                return SettingsChannel(self.settings, connection, peer)
            case "notebook":
                return await self._join(connection, hello, peer)
            case _:
                raise bad_request(f"there is no {hello.channel} channel in this version")

    async def _join(self, connection: Connection, hello: Hello, peer: str) -> Channel:
        from runt.daemon.notebook_channel import NotebookChannel

        room = await self._room_for(hello)
        await self.opener.merge_pending(room)
        if not connection.open:
            self.rooms.linger(room)
            raise RequestRefused("stopping", "the client went away")
        if room.closing:
            return await self._join(connection, hello, peer)
        path = str(room.file.path) if room.file.path is not None else None
        channel = NotebookChannel(room, connection, peer, hello.client.name, hello.role)
        welcome = Welcome(peer=peer, room=room.id, path=path, epochs=room.epochs(), daemon=self.info)
        connection.send(connection.session.welcome(welcome))
        room.join(channel)
        channel.start()
        return channel

    async def _room_for(self, hello: Hello) -> Room:
        """The room that a Hello names. Raises RequestRefused."""
        try:
            if hello.id is not None:
                try:
                    return await self.rooms.open_id(hello.id)
                except RequestRefused as error:
                    if hello.path is None or error.code not in ("not_found", "bad_request"):
                        raise
            if hello.path is not None:
                return await self.rooms.open_path(
                    hello.path, create=hello.new, metadata=hello.initial_metadata or {}
                )
            if hello.new:
                return await self.rooms.create(hello.initial_metadata)
        except NotebookFileError as error:
            raise RequestRefused("not_a_notebook", error.message, hint=error.hint) from error
        except PermissionError as error:
            raise RequestRefused("permission", f"{error.filename}: permission denied") from error
        except StoreError as error:
            raise RequestRefused("io_error", error.message, hint=error.hint) from error
        raise bad_request("a notebook channel needs a path, an id or new")

    # -- what the control channel asks ------------------------------------------------------------

    def status(self) -> dict[str, Any]:
        return {
            "pid": self.info.pid,
            "version": self.info.version,
            "protocol": PROTOCOL_VERSION,
            "started_at": self.started_at,
            "uptime": time.time() - self.started_at,
            "boot_id": self.info.boot_id,
            "connections": len(self._connections),
            "rooms": [
                {
                    "id": room.id,
                    "path": str(room.file.path) if room.file.path else None,
                    "peers": len(room.peers),
                    "unsafe": room.unsafe,
                }
                for room in self.rooms
            ],
            "kernels": [room.kernel.describe() for room in self.rooms if room.kernel.alive],
        }

    def notebooks(self) -> list[dict[str, Any]]:
        return [room.describe() for room in self.rooms]

    async def stop_kernel(self, path: str | None, id_: str | None) -> None:
        """End the kernel of an open notebook. Raises RequestRefused."""
        for room in self.rooms:
            if room.id == id_ or (path is not None and room.file.path is not None and room.file.is_at(path)):
                await room.kernel.shutdown()
                return
        raise RequestRefused("not_found", f"{path or id_} is not open")
