"""A peer in a room: sync, acknowledgements, presence and requests of one notebook channel.

It owns no document; the room does. The invariant: a frame that depends on the documents is handed to the
room's barrier, so it leaves in order and only after what it contains is journaled.
"""

from __future__ import annotations

import asyncio
import logging
from collections import deque
from functools import partial
from typing import TYPE_CHECKING, Final

from runt.daemon.connection import Connection
from runt.daemon.refusals import RequestRefused
from runt.errors import DamagedUpdate, RemoteProtocolError
from runt.notebook.crdt import Applied
from runt.protocol.events import (
    DocName,
    PresenceReceived,
    RequestReceived,
    SessionEvent,
    SyncReceived,
)
from runt.protocol.messages import Event, Presence, Request, Role, SessionStatus
from runt.protocol.session import State
from runt.protocol.ysync import EMPTY_UPDATE, SyncKind

if TYPE_CHECKING:
    from runt.daemon.room import Room

log = logging.getLogger(__name__)

STATUS_INTERVAL_S = 0.05  # acknowledgements of a burst are coalesced to 20 a second; the first leaves at once
NEEDS_TIMEOUT_S = 10.0  # a request that names text we do not have is given up
MAX_HELD_REQUESTS = 1024  # per connection; a client that sends more without waiting is refused

_DOCUMENTS: Final[tuple[DocName, ...]] = ("n", "r")


class NotebookChannel:
    """One peer of a room. Created after the Welcome was sent."""

    def __init__(self, room: Room, connection: Connection, peer: str, name: str, role: Role) -> None:
        self.room = room
        self.peer = peer
        self.name = name
        self.role = role
        self._connection = connection
        self._loop = asyncio.get_running_loop()
        self._synced: set[DocName] = set()  # documents whose updates are relayed to this peer
        self._lagging: dict[
            DocName, bytes
        ] = {}  # documents whose updates are dropped, and the state the peer has
        self._healing = False
        # acknowledgement
        self._received_n = 0
        self._journaled_n = 0
        self._durable_n = 0
        self._undurable: deque[tuple[int, int]] = deque()  # (journal seq, number of this connection's frames)
        self._ready = False
        self._first_content = False
        self._status_due = False
        self._status_sent_at = float("-inf")
        self._status_timer: asyncio.TimerHandle | None = None
        # requests that wait for the initial sync or for the text that they need
        self._held: list[tuple[Request, float]] = []
        self._held_timer: asyncio.TimerHandle | None = None

    @property
    def connection(self) -> Connection:
        return self._connection

    def start(self) -> None:
        """Ask the client for what it has. Call right after the Welcome."""
        state = self.room.notebook.state()
        self.room.log.after_commit(lambda: self._send_sync("n", SyncKind.STEP1, state))

    # -- Channel ----------------------------------------------------------------------------------

    def receive(self, event: SessionEvent) -> None:
        match event:
            case SyncReceived(doc=doc, kind=SyncKind.STEP1, data=state):
                self._answer_state(doc, state)
            case SyncReceived(doc="n"):
                self._content(event)
            case RequestReceived(request=request):
                self._request(request)
            case PresenceReceived(presence=presence):
                self.room.show_presence(self, presence)
            case _:
                raise RemoteProtocolError(f"unexpected {type(event).__name__}")

    def burst_ended(self) -> None:
        number = self._received_n
        if number > self._journaled_n or (self._first_content and not self._ready):
            self.room.log.after_commit(lambda: self._journaled(number))
        self.room.log.flush()

    def slowed(self) -> None:
        for doc in _DOCUMENTS:
            if doc in self._synced and doc not in self._lagging:
                self._mark_lagging(doc)

    def resumed(self) -> None:
        for doc, state in list(self._lagging.items()):
            del self._lagging[doc]
            update = self.room.document(doc).update_since(state)
            self.room.log.after_commit(partial(self._send_sync, doc, SyncKind.UPDATE, update))

    def closed(self) -> None:
        for timer in (self._status_timer, self._held_timer):
            if timer is not None:
                timer.cancel()
        self._held.clear()
        self._synced.clear()
        self.room.leave(self)

    # -- sync -------------------------------------------------------------------------------------

    def relay(self, doc: DocName, frame: bytes) -> None:
        """Pass on a committed change that another made."""
        if doc in self._synced and doc not in self._lagging:
            self._connection.send(frame)

    def document_replaced(self, doc: DocName) -> None:
        """The room rebuilt a document: this peer must connect again to get it."""
        self._synced.discard(doc)
        self._connection.close("document rebuilt")

    def _answer_state(self, doc: DocName, state: bytes) -> None:
        if doc == "s":
            raise RemoteProtocolError("the settings are not on a notebook channel")
        try:
            update = self.room.document(doc).update_since(state or None)
        except ValueError as error:
            raise RemoteProtocolError(f"malformed state vector: {error}") from error
        self._lagging.pop(doc, None)
        self._synced.add(doc)
        self.room.log.after_commit(lambda: self._send_sync(doc, SyncKind.STEP2, update))
        if self._connection.slow:
            self._mark_lagging(doc)

    def _content(self, event: SyncReceived) -> None:
        self._received_n = event.number
        self._first_content = True
        if event.data == EMPTY_UPDATE:
            return
        if self.role == "view":
            self.notice("this connection may only look: the edit was not taken")
            return
        try:
            applied = self.room.apply(event.data, self.peer)
        except DamagedUpdate:
            self.room.check_poisoned()
            raise
        if applied is Applied.CHANGED:
            self._healing = False
        elif event.kind is SyncKind.UPDATE and not self._healing:
            # Either a duplicate or an update whose predecessor never came: one question heals the second
            # case.
            self._healing = True
            self.start()

    def _mark_lagging(self, doc: DocName) -> None:
        """Stop relaying once everything up to now was sent: the peer's state is then exactly today's."""
        state = self.room.document(doc).state()

        def begin() -> None:
            if self._connection.slow and doc in self._synced:
                self._lagging.setdefault(doc, state)

        self.room.log.after_commit(begin)

    def _send_sync(self, doc: DocName, kind: SyncKind, data: bytes) -> None:
        session = self._connection.session
        if session.state is State.OPEN:
            self._connection.send(session.sync(doc, kind, data))

    # -- acknowledgement --------------------------------------------------------------------------

    @property
    def journaled_n(self) -> int:
        return self._journaled_n

    @property
    def received_n(self) -> int:
        return self._received_n

    def _journaled(self, number: int) -> None:
        self._journaled_n = number
        self._undurable.append((self.room.journal.committed, number))
        if self._first_content and not self._ready:
            self._ready = True
            self._release_held()
        self._status_changed()

    def durable(self, seq: int) -> None:
        """The journal is on disk up to ``seq``."""
        moved = False
        while self._undurable and self._undurable[0][0] <= seq:
            self._durable_n = self._undurable.popleft()[1]
            moved = True
        if moved:
            self._status_changed()

    def _status_changed(self) -> None:
        if self._status_timer is not None:
            return
        wait = self._status_sent_at + STATUS_INTERVAL_S - self._loop.time()
        if wait <= 0:
            self._send_status()
        else:
            self._status_timer = self._loop.call_later(wait, self._send_status)

    def _send_status(self) -> None:
        self._status_timer = None
        session = self._connection.session
        if session.state is not State.OPEN:
            return
        self._status_sent_at = self._loop.time()
        self._connection.send(
            session.status(
                SessionStatus(
                    epochs=self.room.epochs(),
                    role=self.role,
                    received_n=self._received_n,
                    journaled_n=self._journaled_n,
                    durable_n=self._durable_n,
                    ready=self._ready,
                )
            )
        )

    # -- requests ---------------------------------------------------------------------------------

    def _request(self, request: Request) -> None:
        if self._ready and not self._held and self._has_what_it_needs(request):
            self.room.requests.handle(self, request)
            return
        if len(self._held) >= MAX_HELD_REQUESTS:
            self._connection.fail(
                request.id, RequestRefused("busy", "too many requests wait on this connection")
            )
            return
        self._held.append((request, self._loop.time() + NEEDS_TIMEOUT_S))
        self._schedule_held()
        if len(self._held) == 1:
            self.room.waiting_for_text.add(self)

    def text_arrived(self) -> None:
        """The notebook document changed: a held request may have what it needs."""
        self._release_held()

    def _has_what_it_needs(self, request: Request) -> bool:
        return (
            request.needs is None or self._wrong_epoch(request) or self.room.notebook.contains(request.needs)
        )

    def _wrong_epoch(self, request: Request) -> bool:
        return request.epoch is not None and request.epoch != self.room.notebook.epoch

    def _release_held(self) -> None:
        while self._ready and self._held and self._has_what_it_needs(self._held[0][0]):
            request, _ = self._held.pop(0)
            self.room.requests.handle(self, request)
        if not self._held:
            self.room.waiting_for_text.discard(self)

    def _schedule_held(self) -> None:
        if self._held_timer is None and self._held:
            self._held_timer = self._loop.call_at(self._held[0][1], self._expire_held)

    def _expire_held(self) -> None:
        self._held_timer = None
        now = self._loop.time()
        while self._held and self._held[0][1] <= now:
            request, _ = self._held.pop(0)
            self._connection.fail(
                request.id,
                RequestRefused("needs_unmet", "the text that this request speaks of did not arrive"),
            )
        self._release_held()
        self._schedule_held()

    # -- events -----------------------------------------------------------------------------------

    def event(self, event: Event) -> None:
        """Send something that is not kept and depends on no document."""
        session = self._connection.session
        if session.state is State.OPEN:
            self._connection.send(session.event(event))

    def notice(self, text: str) -> None:
        """Tell the person something in one line."""
        self.event(Event(name="notice", data={"text": text}))

    def presence(self, presence: Presence) -> None:
        session = self._connection.session
        if session.state is State.OPEN:
            self._connection.send(session.presence(presence))
