"""A peer's session with one room: everything that happens between a notebook's API and its connection.

It composes replica, calls, executions, presence and spill over one link, and routes events to them; it has no
API for scripts (`Notebook` is that). The invariants: requests leave after the edits that they speak of, and
what an observer does wrong costs no connection.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any, Final

from runt.errors import ConnectionLost, LocalProtocolError, RuntError
from runt.notebook.observers import Observers, Subscription
from runt.notebook.runtime_document import RuntimeChange
from runt.peer.calls import Call, Calls
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
from runt.peer.execution import Executions
from runt.peer.link import Link
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
from runt.protocol.messages import Event, Hello, Presence, Refusal, Request, Role, SessionStatus, Welcome
from runt.store.blobs import BlobStore
from runt.store.places import Places

CLOSE_PATIENCE_S: Final = 2.0
"""How long `RoomSession.close` waits for acknowledgements before it leaves what is missing in a file."""


class RoomSession:
    """One notebook's connection and what depends on it. Call `open` once."""

    def __init__(self, places: Places, daemon: DaemonStart, hello: Hello) -> None:
        loop = asyncio.get_running_loop()
        self.observers: Observers[PeerEvent] = Observers()
        self.blobs = BlobStore(places.blobs)
        self.replica = Replica(loop.time, self._document_replaced, self._edited)
        self.presence = PresenceBoard(self._send_presence, self._presence_changed, hello.client.name)
        self.executions = Executions(self.blobs, self._ask_result)
        self.spill = PendingSpill(places, self.replica, self._status_changed)
        self.link = Link(daemon, self)
        self.first_hello = hello
        self.welcome: Welcome | None = None
        self._calls = Calls()
        self._loop = loop
        self._state: ConnectionState = "connecting"
        self._detail = ""
        self._first_sync: asyncio.Future[None] = loop.create_future()
        self._reported = SessionStatus()
        self._by_path = False
        self._telling = False
        self._resumed = asyncio.Event()
        self._runtime_subscription: Subscription = self.replica.runtime.observe(self._runtime_changed)

    @property
    def status(self) -> ConnectionStatus:
        """How the connection is, and how many local changes are not acknowledged."""
        return ConnectionStatus(self._state, self.replica.local.waiting, self.spill.error or self._detail)

    @property
    def role(self) -> Role:
        """What the daemon lets us do; until it has said so, what we asked for."""
        return self._reported.role if self._reported.ready else self.first_hello.role

    async def open(self) -> None:
        """Connect and wait for the initial sync. Raises as `Link.open`."""
        try:
            await self.link.open()
            await self._first_sync
        except BaseException:
            await self._close_parts()
            raise

    async def close(self) -> None:
        """Leave. What is not acknowledged within CLOSE_PATIENCE_S is kept in the pending file."""
        if self.replica.local.waiting and self._state == "connected":
            try:
                async with asyncio.timeout(CLOSE_PATIENCE_S):
                    await self.settled("synced")
            except (TimeoutError, RuntError):
                pass  # the spill has it
        await self._close_parts()

    async def writable(self) -> None:
        """Wait while the connection is congested."""
        while self.link.connection is not None and self.link.connection.congested:
            self._resumed.clear()
            await self._resumed.wait()

    # requests

    async def call(self, make: Callable[[str], Request]) -> Any:
        """Send what ``make`` builds for an id, again on each new connection, and return the answer.

        Raises:
            RequestError: refused.
            ConnectionLost: stopped, failed or closed.
            LocalProtocolError: the request cannot be sent.
        """
        if self._state in ("stopped", "failed"):
            raise ConnectionLost(self._detail or "the daemon is not reachable")
        call = self._calls.begin(make)
        try:
            if self.replica.synced:
                self._send_call(call)
            return await call.answer
        finally:
            self._calls.end(call)

    async def pinned(self, method: str, params: dict[str, Any]) -> Any:
        """Call about the text that we have when it is sent."""

        def make(id_: str) -> Request:
            epoch, needs = self.replica.epochs.n, self.replica.document.state()
            return Request(id=id_, method=method, params=params, epoch=epoch, needs=needs)

        return await self.call(make)

    async def settled(self, method: str) -> None:
        """Ask about the frames sent so far, in the numbers of whichever connection answers."""
        asked: tuple[Connection | None, int] = (None, 0)

        def make(id_: str) -> Request:
            nonlocal asked
            connection = self.link.connection
            asked = connection, connection.session.sent_n if connection is not None else 0
            return Request(id=id_, method=method, params={"n": asked[1]})

        await self.call(make)
        connection, number = asked
        if connection is not None and connection is self.link.connection:
            self._acknowledged(number)

    # LinkUser

    def hello(self) -> Hello:
        first, welcome = self.first_hello, self.welcome
        if welcome is None:
            return first
        path = self._path(welcome)
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
        if (
            self.welcome is None
            or self._by_path
            or not self._path(self.welcome)
            or refusal.code != "not_found"
        ):
            return False
        self._by_path = True
        return True

    def _path(self, welcome: Welcome) -> str | None:
        # A save-as since the Welcome gave the room another file.
        return self.replica.runtime.file.path or welcome.path

    def welcomed(self, connection: Connection, welcome: Welcome) -> None:
        self.welcome = welcome
        self._by_path = False
        self._reported = SessionStatus()
        self.spill.connected(welcome.room)
        self.replica.connected(connection, welcome.epochs)

    def received(self, connection: Connection, event: SessionEvent) -> None:
        match event:
            case SyncReceived():
                before = self.replica.synced
                self.replica.received(event)
                if not before and self.replica.synced:
                    self._initial_sync_done()
            case StatusReceived(status=status):
                self._reported = status
                self._acknowledged(status.journaled_n)
            case ResponseReceived(response=response):
                self._calls.answered(response)
            case PresenceReceived(presence=presence):
                if presence.peer != (self.welcome.peer if self.welcome else ""):
                    self.presence.received(presence)
            case EventReceived(event=Event(name="notice", data=data)):
                self._tell(Notice(str(data.get("text", ""))))
            case EventReceived(event=other):
                self._tell(DaemonEvent(other.name, other.data))

    def resumed(self, connection: Connection) -> None:
        self.replica.flush()
        self._resumed.set()

    def disconnected(self) -> None:
        self._resumed.set()
        self.replica.disconnected()
        self.presence.disconnected()

    def state_changed(self, state: ConnectionState, detail: str) -> None:
        self._state, self._detail = state, detail
        if state in ("stopped", "failed"):
            error = ConnectionLost(detail or "the daemon is not reachable")
            self._calls.fail(error)
            self.executions.fail(error)
            if not self._first_sync.done():
                self._first_sync.set_exception(error)
        self._status_changed()

    # inside

    def _initial_sync_done(self) -> None:
        self.presence.connected()
        for call in self._calls.unanswered():
            self._send_call(call)
        self.state_changed("connected", "")
        if not self._first_sync.done():
            self._first_sync.set_result(None)

    def _send_call(self, call: Call) -> None:
        connection = self.link.connection
        if connection is None or not connection.alive:
            return
        self.replica.flush(force=True)  # what a request speaks of travels before it
        try:
            connection.send(connection.session.request(call.make(call.id)))
        except LocalProtocolError as error:
            if not call.answer.done():
                call.answer.set_exception(error)

    def _acknowledged(self, number: int) -> None:
        self.replica.acknowledged(number)
        self.spill.acknowledged()

    async def _ask_result(self, execution: str) -> Any:
        return await self.call(lambda id_: Request(id=id_, method="result", params={"execution": execution}))

    def _send_presence(self, presence: Presence) -> None:
        connection = self.link.connection
        if connection is not None and connection.alive and not connection.congested:
            connection.send(connection.session.presence(presence))

    def _presence_changed(self, peer: str, presence: Presence | None) -> None:
        self._tell(PresenceChanged(peer, presence))

    def _tell(self, event: PeerEvent) -> None:
        """Tell the observers. One that fails is reported: the connection must not pay for it."""
        try:
            self.observers.deliver(event)
        except Exception as error:  # noqa: BLE001 - somebody else's code
            message = "an observer of a notebook failed"
            self._loop.call_exception_handler({"message": message, "exception": error})

    def _edited(self) -> None:
        self.spill.edited()
        if self._state != "connected" and not self._telling:
            # Who is away wants to see how much waits; once per turn of the loop is enough.
            self._telling = True
            self._loop.call_soon(self._status_changed)

    def _document_replaced(self, which: Which) -> None:
        if which == "r":
            self._runtime_subscription.close()
            self._runtime_subscription = self.replica.runtime.observe(self._runtime_changed)
            self.executions.replaced(self.replica.runtime)
        self._tell(DocumentReplaced(which))

    def _runtime_changed(self, change: RuntimeChange) -> None:
        self.executions.changed(change, self.replica.runtime)

    def _status_changed(self) -> None:
        self._telling = False
        self._tell(StatusChanged(self.status))

    async def _close_parts(self) -> None:
        self.presence.close()
        await self.spill.close()
        error = ConnectionLost("the notebook was closed")
        self._calls.fail(error)
        await self.executions.close(error)
        await self.link.close()
