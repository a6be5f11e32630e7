"""A notebook as a peer has it: live replica, requests, executions, presence, over a connection that mends
itself.

This file composes; the parts are in their own. It draws nothing and writes no file. The invariant: properties
read the local replica at once; methods that change it write there first and never wait for the daemon to have
an effect.
"""

from __future__ import annotations

import asyncio
import os
import uuid
from collections.abc import Callable, Sequence
from typing import Any

from runt.errors import ConnectionLost, RequestError, RuntError
from runt.notebook.cell import CellKey
from runt.notebook.notebook_document import NotebookDocument
from runt.notebook.observers import Observers, Subscription
from runt.notebook.runtime_document import RuntimeChange, RuntimeDocument
from runt.notebook.source_hash import source_hash
from runt.peer.calls import Call, Calls
from runt.peer.cells import Cells
from runt.peer.connection import Connection
from runt.peer.daemon_start import DaemonStart
from runt.peer.events import (
    ConnectionState,
    ConnectionStatus,
    DaemonEvent,
    DocumentReplaced,
    Notice,
    PeerEvent,
    PresenceChanged,
    StatusChanged,
)
from runt.peer.execution import Execution, Executions
from runt.peer.link import Link
from runt.peer.own_process import absolute_path, kernel_surroundings
from runt.peer.pending import PendingSpill
from runt.peer.presence import PresenceBoard
from runt.peer.replica import Replica, Which
from runt.protocol.events import (
    EventReceived,
    PresenceReceived,
    ResponseReceived,
    SessionEvent,
    StatusReceived,
    SyncReceived,
)
from runt.protocol.frames import PROTOCOL_VERSION
from runt.protocol.messages import (
    Event,
    Hello,
    Presence,
    Refusal,
    Request,
    Role,
    SessionStatus,
    Welcome,
)
from runt.store.blobs import BlobStore
from runt.store.places import Places

CLOSE_PATIENCE_S = 2.0
"""How long `Notebook.close` waits for acknowledgements before it leaves what is missing in a file."""


class Notebook:
    """Made by `Client.open_notebook` and its relatives. One event loop, one thread."""

    def __init__(
        self, places: Places, daemon: DaemonStart, hello: Hello, *, closed: Callable[[Notebook], None]
    ) -> None:
        loop = asyncio.get_running_loop()
        self._hello = hello
        self._closed = closed
        self._observers: Observers[PeerEvent] = Observers()
        self._replica = Replica(loop.time, self._document_replaced, self._edited)
        self._calls = Calls()
        self._spill = PendingSpill(places, self._replica, self._status_changed)
        self._presence = PresenceBoard(self._send_presence, self._presence_changed, hello.client.name)
        self._link = Link(daemon, self)
        self._state: ConnectionState = "connecting"
        self._detail = ""
        self._first_sync: asyncio.Future[None] = loop.create_future()
        self._welcome: Welcome | None = None
        self._session = SessionStatus()
        self._by_path = False
        self._telling = False
        self._resumed = asyncio.Event()
        self.blobs = BlobStore(places.blobs)
        self._executions = Executions(self.blobs, self._ask_result)
        self._runtime_subscription = self.runtime.observe(self._runtime_changed)
        self.cells = Cells(self)

    async def open(self) -> None:
        """Connect and wait for the initial sync; for `Client`. Raises as `Client.open_notebook`."""
        try:
            await self._link.open()
            await self._first_sync
        except BaseException:
            await self._close_parts()
            raise

    # what it is

    @property
    def document(self) -> NotebookDocument:
        """The cells. Local transactions on it are sent at once. Replaced as `DocumentReplaced` says."""
        return self._replica.document

    @property
    def runtime(self) -> RuntimeDocument:
        """Kernel, queue, executions and outputs. Read-only."""
        return self._replica.runtime

    @property
    def room(self) -> str:
        """The room's UUID."""
        return self._welcome.room if self._welcome is not None else ""

    @property
    def path(self) -> str | None:
        """The file's canonical path, None while untitled."""
        return self.runtime.file.path or (self._welcome.path if self._welcome is not None else None)

    @property
    def peer_id(self) -> str:
        """Our id among the peers of the room, for as long as this connection lasts."""
        return self._welcome.peer if self._welcome is not None else ""

    @property
    def role(self) -> Role:
        """What we may do here."""
        return self._session.role if self._session.ready else self._hello.role

    @property
    def status(self) -> ConnectionStatus:
        """How the connection is, and how many local changes are not acknowledged."""
        detail = self._spill.error or self._detail
        return ConnectionStatus(self._state, self._replica.local.waiting, detail)

    @property
    def peers(self) -> dict[str, Presence]:
        """The other peers that show where they are, by peer id."""
        return dict(self._presence.others)

    def observe(self, callback: Callable[[PeerEvent], None]) -> Subscription:
        """Call back with what happens to the connection, the peers and the document objects."""
        return self._observers.add(callback)

    def set_presence(
        self,
        cell: str | None = None,
        anchor: int | None = None,
        head: int | None = None,
        mode: str = "",
        color: str = "",
    ) -> None:
        """Show the others where we are; a ``head`` (code points in the cell's source) means an editor is
        attached.
        """
        name = self._hello.client.name
        self._presence.set(Presence(name=name, color=color, cell=cell, anchor=anchor, head=head, mode=mode))

    # requests

    async def request(self, method: str, /, **params: Any) -> Any:
        """Ask the daemon; returns its answer (JSON). A lost connection only delays it: the same id is sent
        again.

        Raises:
            RequestError: the daemon refused; ``code`` says why.
            ConnectionLost: the daemon was stopped, cannot be reached, or the notebook was closed.
        """
        return await self._call(lambda id_: Request(id=id_, method=method, params=params))

    async def execute(self, keys: Sequence[CellKey]) -> list[Execution]:
        """Run cells in this order, with the sources that they have here now.

        Raises:
            RequestError: ``source_changed``, ``no_kernel``, …: nothing of it runs.
            KeyError: no such cell.
        """
        runs = [
            {
                "execution": str(uuid.uuid4()),
                "cell": key,
                "source_hash": source_hash(self.document.cell(key).source),
            }
            for key in keys
        ]
        answer = await self._call(lambda id_: self._pinned(id_, "execute", {"runs": runs}))
        ids = answer["executions"]
        return [self._executions.begin(id_, key, self.runtime) for id_, key in zip(ids, keys, strict=True)]

    async def start_kernel(self, name: str | None = None) -> None:
        """Start the kernel with this process's directory (or the notebook's), environment, umask and time
        zone.
        """
        await self.request("kernel.start", name=name, **kernel_surroundings(self.path))

    async def interrupt(self) -> None:
        """Interrupt what the kernel does."""
        await self.request("kernel.interrupt")

    async def restart(self) -> None:
        """Restart the kernel. The document and its outputs stay."""
        await self.request("kernel.restart")

    async def shutdown_kernel(self) -> None:
        """End the kernel."""
        await self.request("kernel.shutdown")

    async def run_all(self) -> list[Execution]:
        """Run every code cell, in order."""
        document = self.document
        keys = document.keys()
        return await self.execute([key for key in keys if document.cell(key).type == "code"])

    async def save(self) -> None:
        """Write the file."""
        await self._call(lambda id_: self._pinned(id_, "save", {}))

    async def save_as(self, path: str | os.PathLike[str]) -> str:
        """Write to another file and go on with that one; returns its canonical path."""
        target = absolute_path(path)
        answer = await self._call(lambda id_: self._pinned(id_, "save_as", {"path": target}))
        return str(answer["path"])

    async def clear_outputs(self, keys: Sequence[CellKey] | None = None) -> None:
        """Remove the outputs of these cells, or of all."""
        await self.request("clear_outputs", cells=None if keys is None else list(keys))

    async def cancel(self, executions: Sequence[str] | None = None) -> None:
        """Take waiting executions out of the queue: these ids, or all."""
        await self.request("cancel", executions=None if executions is None else list(executions))

    async def synced(self) -> None:
        """Wait until all that was written here so far is in the daemon's journal. Raises as `request`."""
        await self._settled("synced")

    async def durable(self) -> None:
        """As `synced`, and on the disk. Raises as `request`."""
        await self._settled("durable")

    # connection

    async def writable(self) -> None:
        """Wait while the connection is congested: for loops that write faster than the daemon reads.

        Raises:
            RequestError: ``role``: this notebook was opened to be looked at.
        """
        if self.role == "view":
            raise RequestError("role", "this notebook was opened for viewing only", hint="open it to edit")
        while self._link.connection is not None and self._link.connection.congested:
            self._resumed.clear()
            await self._resumed.wait()

    async def reconnect(self) -> None:
        """Try again after ``stopped`` or ``failed``, starting a daemon if none runs. Raises as opening
        does.
        """
        await self._link.reopen()

    def spill(self) -> None:
        """Write unacknowledged changes into the pending file at once, for a signal handler. Blocks, never
        raises.
        """
        self._spill.spill()

    async def close(self) -> None:
        """Leave. Changes that are not acknowledged within 2 s are kept in a file that the daemon merges."""
        if self._replica.local.waiting and self._state == "connected":
            try:
                async with asyncio.timeout(CLOSE_PATIENCE_S):
                    await self.synced()
            except (TimeoutError, RuntError):
                pass  # the spill has it
        await self._close_parts()
        self._closed(self)

    async def _close_parts(self) -> None:
        self._presence.close()
        await self._spill.close()
        error = ConnectionLost("the notebook was closed")
        self._calls.fail(error)
        await self._executions.close(error)
        await self._link.close()

    # LinkUser

    def hello(self) -> Hello:
        first, welcome = self._hello, self._welcome
        if welcome is None:
            return first
        path = welcome.path
        again: dict[str, Any] = {"path": path} if self._by_path and path else {"id": welcome.room}
        return Hello(
            protocol=PROTOCOL_VERSION,
            channel="notebook",
            client=first.client,
            working_dir=first.working_dir,
            role=first.role,
            **again,
        )

    def fall_back(self, refusal: Refusal) -> bool:
        if self._welcome is None or self._by_path or not self._welcome.path or refusal.code != "not_found":
            return False
        self._by_path = True
        return True

    def welcomed(self, connection: Connection, welcome: Welcome) -> None:
        self._welcome = welcome
        self._by_path = False
        self._session = SessionStatus()
        self._spill.connected(welcome.room)
        self._replica.connected(connection, welcome.epochs)

    def received(self, connection: Connection, event: SessionEvent) -> None:
        match event:
            case SyncReceived():
                before = self._replica.synced
                self._replica.received(event)
                if not before and self._replica.synced:
                    self._initial_sync_done()
            case StatusReceived(status=status):
                self._session = status
                self._acknowledged(status.journaled_n)
            case ResponseReceived(response=response):
                self._calls.answered(response)
            case PresenceReceived(presence=presence):
                if presence.peer != self.peer_id:
                    self._presence.received(presence)
            case EventReceived(event=Event(name="notice", data=data)):
                self._tell(Notice(str(data.get("text", ""))))
            case EventReceived(event=other):
                self._tell(DaemonEvent(other.name, other.data))

    def resumed(self, connection: Connection) -> None:
        self._replica.flush()
        self._resumed.set()

    def disconnected(self) -> None:
        self._resumed.set()
        self._replica.disconnected()
        self._presence.disconnected()

    def state_changed(self, state: ConnectionState, detail: str) -> None:
        self._state, self._detail = state, detail
        if state in ("stopped", "failed"):
            error = ConnectionLost(detail or "the daemon is not reachable")
            self._calls.fail(error)
            self._executions.fail(error)
            if not self._first_sync.done():
                self._first_sync.set_exception(error)
        self._status_changed()

    # inside

    def _initial_sync_done(self) -> None:
        self._presence.connected()
        for call in self._calls.unanswered():
            self._send_call(call)
        self.state_changed("connected", "")
        if not self._first_sync.done():
            self._first_sync.set_result(None)

    async def _call(self, make: Callable[[str], Request]) -> Any:
        if self._state in ("stopped", "failed"):
            raise ConnectionLost(self._detail or "the daemon is not reachable")
        call = self._calls.begin(make)
        try:
            if self._replica.synced:
                self._send_call(call)
            return await call.answer
        finally:
            self._calls.end(call)

    def _send_call(self, call: Call) -> None:
        connection = self._link.connection
        if connection is None or not connection.alive:
            return
        self._replica.flush(force=True)  # what a request speaks of travels before it
        connection.send(connection.session.request(call.make(call.id)))

    def _pinned(self, id_: str, method: str, params: dict[str, Any]) -> Request:
        """A request about the text that we have now."""
        return Request(
            id=id_, method=method, params=params, epoch=self._replica.epochs.n, needs=self.document.state()
        )

    async def _settled(self, method: str) -> None:
        """Ask about the frames sent so far, in the numbers of whichever connection answers."""
        asked: tuple[Connection | None, int] = (None, 0)

        def make(id_: str) -> Request:
            nonlocal asked
            connection = self._link.connection
            asked = connection, connection.session.sent_n if connection is not None else 0
            return Request(id=id_, method=method, params={"n": asked[1]})

        await self._call(make)
        connection, number = asked
        if connection is not None and connection is self._link.connection:
            self._acknowledged(number)

    def _acknowledged(self, number: int) -> None:
        self._replica.acknowledged(number)
        self._spill.acknowledged()

    async def _ask_result(self, execution: str) -> Any:
        return await self.request("result", execution=execution)

    def _send_presence(self, presence: Presence) -> None:
        connection = self._link.connection
        if connection is not None and connection.alive and not connection.congested:
            connection.send(connection.session.presence(presence))

    def _presence_changed(self, peer: str, presence: Presence | None) -> None:
        self._tell(PresenceChanged(peer, presence))

    def _tell(self, event: PeerEvent) -> None:
        """Tell the observers. One that fails is reported: the connection must not pay for it."""
        try:
            self._observers.deliver(event)
        except Exception as error:  # noqa: BLE001 - somebody else's code
            message = "an observer of a notebook failed"
            asyncio.get_running_loop().call_exception_handler({"message": message, "exception": error})

    def _edited(self) -> None:
        self._spill.edited()
        if self._state != "connected" and not self._telling:
            # Who is away wants to see how much waits; once per turn of the loop is enough.
            self._telling = True
            asyncio.get_running_loop().call_soon(self._status_changed)

    def _document_replaced(self, which: Which) -> None:
        if which == "r":
            self._runtime_subscription.close()
            self._runtime_subscription = self.runtime.observe(self._runtime_changed)
            self._executions.replaced(self.runtime)
        self._tell(DocumentReplaced(which))

    def _runtime_changed(self, change: RuntimeChange) -> None:
        self._executions.changed(change, self.runtime)

    def _status_changed(self) -> None:
        self._telling = False
        self._tell(StatusChanged(self.status))
