"""A small daemon in the test's own process: real sockets, our ServerSession, real documents, no journal and
no kernel.

Invariant: it speaks the protocol as the contract says; what it leaves out (acknowledging, reading, running)
is under the test's control.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import shutil
import tempfile
import time
import uuid
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any

from runt.notebook.crdt import Applied
from runt.notebook.notebook_document import NotebookDocument
from runt.notebook.runtime_document import RuntimeDocument
from runt.notebook.runtime_writer import RuntimeWriter
from runt.peer.client import Client
from runt.peer.daemon_start import DaemonStart
from runt.peer.notebook import Notebook
from runt.protocol.events import HelloReceived, PresenceReceived, RequestReceived, SessionEvent, SyncReceived
from runt.protocol.frames import PROTOCOL_VERSION
from runt.protocol.messages import (
    Epochs,
    Event,
    Failure,
    Hello,
    Presence,
    Refusal,
    Request,
    Response,
    SessionStatus,
    Welcome,
)
from runt.protocol.session import ServerSession
from runt.protocol.ysync import SyncKind
from runt.store.daemon_record import DaemonRecord
from runt.store.places import Places

PATIENCE_S = 20.0


async def until(condition: Callable[[], Any], what: str) -> Any:
    """Let the loop run until the condition holds; fail after PATIENCE_S."""
    end = time.monotonic() + PATIENCE_S
    while not (value := condition()):
        assert time.monotonic() < end, f"waited in vain for {what}"
        await asyncio.sleep(0.002)
    return value


class SmallRoom:
    """One notebook."""

    def __init__(self, path: str | None = None) -> None:
        self.id = str(uuid.uuid4())
        self.path = path
        self.document = NotebookDocument.create(self.id)
        self.runtime = RuntimeDocument.create("test")
        self.writer = RuntimeWriter(self.runtime)
        self.peers: list[SmallConnection] = []
        self.requests: list[Request] = []
        self.answer: Callable[[Request], object] | None = lambda request: {}
        self.hold_acks = False
        self._origin: SmallConnection | None = None
        self.watch()

    def watch(self) -> None:
        """Relay changes of the documents that are the room's now."""
        self._subscriptions = [
            self.document.observe_updates(lambda update, _: self._relay("n", update)),
            self.runtime.observe_updates(lambda update, _: self._relay("r", update)),
        ]

    def epochs(self) -> Epochs:
        return Epochs(n=self.document.epoch, r=self.runtime.epoch)

    def sources(self) -> list[str]:
        return [self.document.cell(key).source for key in self.document.keys()]  # noqa: SIM118

    @contextlib.contextmanager
    def runtime_change(self) -> Any:
        with self.runtime.transaction("daemon"):
            yield self.writer

    def apply(self, peer: SmallConnection, update: bytes) -> Applied:
        self._origin = peer
        try:
            return self.document.apply(update, "peer")
        finally:
            self._origin = None

    def _relay(self, doc: Any, update: bytes) -> None:
        for peer in self.peers:
            if peer is not self._origin and doc in peer.synced:
                peer.send(peer.session.sync(doc, SyncKind.UPDATE, update))


class SmallConnection(asyncio.Protocol):
    """One client."""

    def __init__(self, daemon: SmallDaemon) -> None:
        self.daemon = daemon
        self.session = ServerSession()
        self.room: SmallRoom | None = None
        self.hello: Hello | None = None
        self.peer = uuid.uuid4().hex[:8]
        self.synced: set[str] = set()
        self.content: list[bytes] = []
        self.transport: asyncio.Transport

    def connection_made(self, transport: Any) -> None:
        self.transport = transport
        self.daemon.connections.append(self)
        self.send(self.session.preamble())

    def connection_lost(self, exc: Exception | None) -> None:
        self.session.close()
        self.daemon.connections.remove(self)
        if self.room is not None:
            self.room.peers.remove(self)

    def data_received(self, data: bytes) -> None:
        for event in self.session.receive(data):
            self.received(event)

    def send(self, data: bytes) -> None:
        if not self.transport.is_closing():
            self.transport.write(data)

    def received(self, event: SessionEvent) -> None:
        match event:
            case HelloReceived(hello=hello):
                self.hello = hello
                self.daemon.hellos.append(hello)
                self.welcome(hello)
            case SyncReceived(doc=doc, kind=SyncKind.STEP1, data=state):
                assert self.room is not None
                document = self.room.document if doc == "n" else self.room.runtime
                self.synced.add(doc)
                self.send(self.session.sync(doc, SyncKind.STEP2, document.update_since(state)))
            case SyncReceived(data=update):
                assert self.room is not None
                self.content.append(update)
                self.room.apply(self, update)
                if not self.room.hold_acks:
                    self.acknowledge()
            case RequestReceived(request=request):
                assert self.room is not None
                self.room.requests.append(request)
                if self.room.answer is not None:
                    self.respond(request, self.room.answer(request))
            case PresenceReceived(presence=presence):
                assert self.room is not None
                for other in self.room.peers:
                    shown = Presence(
                        **{name: getattr(presence, name) for name in ("name", "cell", "head")}, peer=self.peer
                    )
                    if other is not self:
                        other.send(other.session.presence(shown))

    def welcome(self, hello: Hello) -> None:
        room = self.daemon.find(hello)
        if room is None:
            self.send(self.session.refuse(Refusal(code="not_found", message="no such notebook")))
            self.transport.close()
            return
        self.room = room
        room.peers.append(self)
        self.send(
            self.session.welcome(Welcome(peer=self.peer, room=room.id, path=room.path, epochs=room.epochs()))
            + self.session.sync("n", SyncKind.STEP1, room.document.state())
        )

    def acknowledge(self) -> None:
        assert self.room is not None
        number = self.session.received_n
        assert self.hello is not None
        role = self.hello.role
        status = SessionStatus(
            epochs=self.room.epochs(), role=role, received_n=number, journaled_n=number, ready=True
        )
        self.send(self.session.status(status))

    def respond(self, request: Request, answer: object) -> None:
        if isinstance(answer, Failure):
            self.send(self.session.response(Response(id=request.id, error=answer)))
        else:
            self.send(self.session.response(Response(id=request.id, ok=answer)))


class SmallDaemon:
    """Listens where ``places`` says. `kill` is sudden; `stop` says goodbye."""

    def __init__(self, places: Places) -> None:
        self.places = places
        self.rooms: list[SmallRoom] = []
        self.connections: list[SmallConnection] = []
        self.hellos: list[Hello] = []
        self.starts = 0
        self._server: asyncio.Server | None = None

    def add_room(self, path: str | None = "/notebooks/a.ipynb", sources: tuple[str, ...] = ()) -> SmallRoom:
        room = SmallRoom(path)
        for index, source in enumerate(sources):
            room.document.insert_cell(index, "code", source, origin="load")
        self.rooms.append(room)
        return room

    def find(self, hello: Hello) -> SmallRoom | None:
        for room in self.rooms:
            if hello.id == room.id or (hello.id is None and hello.path == room.path):
                return room
        return self.add_room(hello.path) if hello.new else None

    async def start(self) -> None:
        self.places.prepare()
        loop = asyncio.get_running_loop()
        self._server = await loop.create_unix_server(lambda: SmallConnection(self), str(self.places.socket))
        self.starts += 1
        DaemonRecord(
            endpoint=str(self.places.socket),
            pid=os.getpid(),
            boot_id="",
            version="test",
            protocol=PROTOCOL_VERSION,
            started_at=0.0,
        ).write(self.places.daemon_json)

    async def kill(self) -> None:
        """Gone without a word, as after kill -9."""
        await self._end([connection.transport.abort for connection in self.connections])

    async def stop(self, reason: str = "requested") -> None:
        """Say goodbye to everybody and end."""
        for connection in self.connections:
            connection.send(connection.session.event(Event(name="stopping", data={"reason": reason})))
        await self._end([connection.transport.close for connection in self.connections])

    async def _end(self, closings: list[Callable[[], None]]) -> None:
        server, self._server = self._server, None
        if server is not None:
            server.close()
        self.places.socket.unlink(missing_ok=True)
        ending = list(self.connections)
        for close in closings:
            close()
        await until(lambda: not any(one in self.connections for one in ending), "connections to end")


class InProcessStart(DaemonStart):
    """Starts the small daemon again where the real one would be spawned."""

    def __init__(self, daemon: SmallDaemon) -> None:
        super().__init__(daemon.places)
        self._small = daemon

    async def _start(self) -> None:
        await self._small.start()


class Scene:
    """A running small daemon and clients of it."""

    def __init__(self, root: Path) -> None:
        self.places = Places.under(root)
        self.daemon = SmallDaemon(self.places)
        self._clients: list[Client] = []

    def client(self, name: str = "someone") -> Client:
        client = Client(name, self.places)
        client._daemon = InProcessStart(self.daemon)
        self._clients.append(client)
        return client

    async def open(self, path: str = "/notebooks/a.ipynb", name: str = "someone") -> Notebook:
        return await self.client(name).open_notebook(path)

    async def close(self) -> None:
        for client in self._clients:
            await client.close()
        await self.daemon.kill()


@contextlib.asynccontextmanager
async def small_scene() -> AsyncIterator[Scene]:
    """A scene on a short path, removed afterwards."""
    root = Path(tempfile.mkdtemp(prefix="rt", dir="/tmp"))
    scene = Scene(root)
    await scene.daemon.start()
    try:
        yield scene
    finally:
        await scene.close()
        shutil.rmtree(root)
