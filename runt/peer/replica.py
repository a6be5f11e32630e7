"""A live replica: the two documents of a room, kept equal to the daemon's over one connection after another.

It opens no connection and waits for nothing; bytes to send go through ``send``. The invariants: a local
change is sent or logged in the moment it is made; a document is never merged with one of another epoch, and
local changes survive the change of an epoch as ordinary edits of the new one.

Sync order on each connection: see `runt.protocol.session`.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Literal

from runt.errors import DamagedUpdate, LocalProtocolError, RuntError
from runt.notebook.crdt import REMOTE, Applied, CrdtDocument, Origin
from runt.notebook.notebook_document import NotebookDocument
from runt.notebook.observers import Subscription
from runt.notebook.runtime_document import RuntimeDocument
from runt.peer.connection import Connection
from runt.peer.local_updates import LocalUpdate, LocalUpdates
from runt.peer.rebase import rebase
from runt.protocol.events import SyncReceived
from runt.protocol.messages import Epochs
from runt.protocol.ysync import EMPTY_STATE, SyncKind

REBASE = "rebase"
"""Origin of the edits that carry unacknowledged changes into a new epoch."""

Which = Literal["n", "r"]


class Replica:
    """N and R. ``replaced`` is called when one of them became another object, ``edited`` after each local
    change.
    """

    def __init__(
        self, clock: Callable[[], float], replaced: Callable[[Which], None], edited: Callable[[], None]
    ) -> None:
        self._clock = clock
        self._replaced = replaced
        self._edited = edited
        self.document = NotebookDocument()
        self.runtime = RuntimeDocument()
        self.local = LocalUpdates(self.document)
        self._subscription: Subscription = self.document.observe_updates(self._changed)
        self._connection: Connection | None = None
        self._epochs = Epochs()
        self._next_document: NotebookDocument | None = None
        self._next_runtime: RuntimeDocument | None = None
        self._received: set[Which] = set()
        self._answered = False
        self._healing: set[Which] = set()

    @property
    def synced(self) -> bool:
        """Whether this connection's initial sync is done in both directions."""
        return self._answered and self._received == {"n", "r"}

    @property
    def epochs(self) -> Epochs:
        """The epochs of the two documents."""
        return self._epochs

    # a connection

    def connected(self, connection: Connection, epochs: Epochs) -> None:
        """Begin the sync on a connection whose Welcome named these epochs."""
        self._connection = connection
        self._received.clear()
        self._answered = False
        self._healing.clear()
        known = self._epochs
        new_n = known.n not in ("", epochs.n) or self.document.poisoned
        new_r = known.r not in ("", epochs.r) or self.runtime.poisoned
        self._next_document = NotebookDocument() if new_n else None
        self._next_runtime = RuntimeDocument() if new_r else None
        # Adopted now where nothing has to be replaced; else when the new document has arrived.
        self._epochs = Epochs(n=known.n if new_n else epochs.n, r=known.r if new_r else epochs.r)
        self._offered = epochs
        session = connection.session
        n_state = EMPTY_STATE if new_n else self.document.state()
        r_state = EMPTY_STATE if new_r else self.runtime.state()
        connection.send(
            session.sync("n", SyncKind.STEP1, n_state) + session.sync("r", SyncKind.STEP1, r_state)
        )

    def disconnected(self) -> None:
        """The connection is gone: what it did not acknowledge is unsent again."""
        self._connection = None
        self._next_document = self._next_runtime = None
        self.local.disconnected()

    def received(self, event: SyncReceived) -> None:
        """Take a sync message of N or R. Raises `RemoteProtocolError` (`DamagedUpdate`)."""
        if event.doc == "n":
            self._received_n(event)
        elif event.doc == "r":
            self._received_r(event)

    def acknowledged(self, journaled_n: int) -> None:
        """The daemon has journaled this connection's content frames up to that number."""
        self.local.acknowledged(journaled_n)

    def flush(self, *, force: bool = False) -> None:
        """Send what is logged and unsent, unless the connection is congested (``force`` sends anyway)."""
        connection = self._connection
        if connection is None or not connection.alive or not self._answered:
            return
        for entry in self.local.unsent():
            if connection.congested and not force:
                return
            self._send(connection, entry)

    # N

    def _received_n(self, event: SyncReceived) -> None:
        document = self._next_document or self.document
        if event.kind is SyncKind.STEP1:
            self._answer(document, event.data)
            return
        applied = _apply(document, event.data)
        if event.kind is SyncKind.STEP2:
            self._healing.discard("n")
            self._received.add("n")
            if self._next_document is not None:
                self._adopt(self._next_document)
        elif applied is Applied.NOTHING_NEW:
            self._heal("n", document.state())

    def _answer(self, document: NotebookDocument, state: bytes) -> None:
        connection = self._connection
        if connection is None:
            return
        session = connection.session
        connection.send(session.sync("n", SyncKind.STEP2, document.update_since(state)))
        self._answered = True
        if document is self.document:
            self.local.carried(session.sent_n)

    def _adopt(self, document: NotebookDocument) -> None:
        """Replace N by the document of another epoch (or a sound copy) and bring our own changes into it."""
        old, local = self.document, self.local
        self._subscription.close()
        self.document, self._next_document = document, None
        self.local = LocalUpdates(document)
        self.local.remote(document.update_since())
        self._subscription = document.observe_updates(self._changed)
        same_epoch = self._epochs.n == self._offered.n
        self._epochs = Epochs(n=self._offered.n, r=self._epochs.r)
        if same_epoch:
            for entry in local.entries:
                document.apply(entry.data, REBASE)
        elif local.waiting and not old.poisoned:
            base = local.acknowledged_document()
            rebase(base, old, document, REBASE)
            base.close()
        self._replaced("n")
        old.close()

    def _changed(self, update: bytes, origin: Origin) -> None:
        """Every committed change of N, own or remote."""
        if origin == REMOTE:
            self.local.remote(update)
            return
        entry = self.local.local(update, self._clock())
        connection = self._connection
        if connection is not None and connection.alive and self._answered and not connection.congested:
            self._send(connection, entry)
        self._edited()

    def _send(self, connection: Connection, entry: LocalUpdate) -> None:
        session = connection.session
        try:
            frame = session.sync("n", SyncKind.UPDATE, entry.data)
        except LocalProtocolError:
            # Larger than any frame: it stays in the log, and in the spill. Whoever pasted it sees it waiting.
            return
        connection.send(frame)
        entry.number = session.sent_n

    # R

    def _received_r(self, event: SyncReceived) -> None:
        if event.kind is SyncKind.STEP1:
            return  # we hold nothing of R that the daemon lacks
        runtime = self._next_runtime or self.runtime
        try:
            applied = _apply(runtime, event.data)
        except DamagedUpdate:
            runtime.poisoned = True  # discarded at the next connection, whatever the damage was
            raise
        if event.kind is SyncKind.STEP2:
            self._healing.discard("r")
            self._received.add("r")
            if self._next_runtime is not None:
                old, self.runtime, self._next_runtime = self.runtime, self._next_runtime, None
                self._epochs = Epochs(n=self._epochs.n, r=self._offered.r)
                self._replaced("r")
                old.close()
        elif applied is Applied.NOTHING_NEW:
            self._heal("r", runtime.state())

    def _heal(self, which: Which, state: bytes) -> None:
        """An update changed nothing: a duplicate, or it waits for one that never came. One question heals the
        second.
        """
        if which not in self._healing and self._connection is not None and self._connection.alive:
            self._healing.add(which)
            self._connection.send(self._connection.session.sync(which, SyncKind.STEP1, state))


def _apply(document: CrdtDocument, update: bytes) -> Applied:
    """Apply a remote update. An observer that fails is reported and costs neither the sync nor the
    connection.
    """
    try:
        return document.apply(update)
    except RuntError:
        raise
    except Exception as error:  # noqa: BLE001 - somebody's observer, after the update was applied
        message = "an observer of a document failed"
        asyncio.get_running_loop().call_exception_handler({"message": message, "exception": error})
        return Applied.CHANGED
