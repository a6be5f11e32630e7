"""A room: one open notebook with its two documents, its journal and the peers that are in it.

It reads no file and talks to no kernel itself (``file`` and ``kernel`` do). The invariant, always: apply,
then journal commit, then relay and acknowledge, in this order and in sequence.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, Final

from runt.daemon.journal_care import JournalCare
from runt.daemon.owned_tasks import OwnedTasks
from runt.daemon.presence import PresenceTable
from runt.daemon.requests import Requests
from runt.daemon.room_log import RoomLog
from runt.daemon.scratch_documents import release
from runt.errors import StoreError
from runt.notebook.crdt import Applied, CrdtDocument, Origin
from runt.notebook.notebook_document import NotebookDocument
from runt.notebook.runtime_document import RuntimeDocument
from runt.notebook.runtime_writer import RuntimeWriter
from runt.protocol import frames, ysync
from runt.protocol.events import DocName
from runt.protocol.frames import FrameType
from runt.protocol.messages import Epochs, Event, Presence
from runt.store.journal import RoomJournal

if TYPE_CHECKING:
    from pathlib import Path

    from runt.daemon.kernel_room import KernelRoom
    from runt.daemon.notebook_channel import NotebookChannel
    from runt.daemon.room_file import RoomFile

log = logging.getLogger(__name__)

DAEMON: Final = "daemon"  # origin of our own transactions
MAX_BACKLOG_BYTES = (
    4 << 20
)  # a journal further behind than this: the room's clients are not read until it caught up
PRESENCE_CHECK_S = 15.0

_FRAME_TYPE: Final[dict[DocName, FrameType]] = {"n": FrameType.SYNC_N, "r": FrameType.SYNC_R}


class Room:
    """One open notebook. ``rooms`` makes it complete (``file``, ``kernel``) before anybody joins."""

    file: RoomFile
    kernel: KernelRoom

    def __init__(
        self,
        id_: str,
        notebook: NotebookDocument,
        runtime: RuntimeDocument,
        journal: RoomJournal,
        *,
        on_left: Callable[[Room], None],
        on_poisoned: Callable[[Room], None],
    ) -> None:
        self.id = id_
        self.notebook = notebook
        self.runtime = runtime
        self.writer = RuntimeWriter(runtime)
        self.journal = journal
        self.loop = asyncio.get_running_loop()
        self.log = RoomLog(journal, self.loop)
        self.tasks = OwnedTasks(f"room {id_[:8]}")
        self.requests = Requests(self)
        self.peers: dict[str, NotebookChannel] = {}
        self.waiting_for_text: set[NotebookChannel] = set()
        self.unsafe = ""  # why nothing can be journaled, or ""
        self.closing = False
        self.opening_notice = ""  # what the first peers should be told about how the room was loaded
        self.care = JournalCare(self)
        self._presence = PresenceTable()
        self._presence_timer: asyncio.TimerHandle | None = None
        self._stopped_reading = False
        self._on_left = on_left
        self._on_poisoned = on_poisoned
        journal.on_committed = self._committed
        journal.on_durable = self._durable
        journal.on_failure = self._journal_failed
        self._subscriptions = [
            notebook.observe_updates(self._notebook_changed),
            runtime.observe_updates(self._runtime_changed),
        ]

    # -- documents --------------------------------------------------------------------------------

    def document(self, doc: DocName) -> CrdtDocument:
        return self.notebook if doc == "n" else self.runtime

    def epochs(self) -> Epochs:
        return Epochs(n=self.notebook.epoch, r=self.runtime.epoch)

    def apply(self, update: bytes, origin: str) -> Applied:
        """Take a peer's change of the notebook. Raises DamagedUpdate (then see `check_poisoned`)."""
        return self.notebook.apply(update, origin)

    def check_poisoned(self) -> None:
        """After damage: if the document cannot be used any more, the room is loaded again from its
        journal.
        """
        if self.notebook.poisoned and not self.closing:
            log.error("room %s: the document broke and is rebuilt from the journal", self.id)
            self._on_poisoned(self)

    @contextmanager
    def runtime_changes(self) -> Iterator[RuntimeWriter]:
        """One transaction on R, so one update."""
        with self.runtime.transaction(DAEMON):
            yield self.writer

    def _notebook_changed(self, update: bytes, origin: Origin) -> None:
        self._changed("n", update, origin)
        self.file.notebook_changed()
        for channel in list(self.waiting_for_text):
            channel.text_arrived()

    def _runtime_changed(self, update: bytes, origin: Origin) -> None:
        self._changed("r", update, origin)

    def _changed(self, doc: DocName, update: bytes, origin: Origin) -> None:
        self.log.update(doc, update)
        self.log.after_commit(lambda: self._relay(doc, update, origin))
        if self.journal.backlog_bytes > MAX_BACKLOG_BYTES:
            self._stop_reading()

    def _relay(self, doc: DocName, update: bytes, origin: Origin) -> None:
        receivers = [channel for peer, channel in self.peers.items() if peer != origin]
        if not receivers:
            return
        large = len(update) + 16 > frames.UPDATE_CAP
        kind = ysync.SyncKind.STEP2 if large else ysync.SyncKind.UPDATE
        frame = frames.encode(_FRAME_TYPE[doc], ysync.encode(kind, update))
        for channel in receivers:
            channel.relay(doc, frame)

    # -- the journal ------------------------------------------------------------------------------

    def _committed(self, seq: int) -> None:
        if self.unsafe:
            self.unsafe = ""
            log.info("room %s: the journal works again", self.id)
            self.notice("changes are saved in the journal again")
        self.log.committed(seq)
        self.care.committed()
        if self._stopped_reading and self.journal.backlog_bytes <= MAX_BACKLOG_BYTES // 2:
            self._stopped_reading = False
            for channel in self.peers.values():
                channel.connection.resume_reading()

    def _durable(self, seq: int) -> None:
        for channel in self.peers.values():
            channel.durable(seq)
        self.kernel.durable(seq)

    def _journal_failed(self, error: StoreError) -> None:
        """Nothing is relayed or acknowledged now: the barrier opens only with the next commit."""
        if not self.unsafe:
            log.error("room %s: journal failed: %s", self.id, error)
            self.notice(f"edits cannot be journaled: {error.message}")
            self.unsafe = error.message
            self.care.failed()

    def _stop_reading(self) -> None:
        if not self._stopped_reading:
            self._stopped_reading = True
            for channel in self.peers.values():
                channel.connection.pause_reading()

    # -- peers ------------------------------------------------------------------------------------

    def join(self, channel: NotebookChannel) -> None:
        """Add a peer and show it who else is here."""
        self.peers[channel.peer] = channel
        if self.opening_notice:
            channel.notice(self.opening_notice)
        for presence in self._presence.others(channel.peer):
            channel.presence(presence)
        if self._stopped_reading:
            channel.connection.pause_reading()

    def leave(self, channel: NotebookChannel) -> None:
        """Take a peer out; the others are told."""
        if self.peers.pop(channel.peer, None) is None:
            return
        self.waiting_for_text.discard(channel)
        left = self._presence.leave(channel.peer)
        if left is not None:
            self._send_presence(left)
        self._on_left(self)

    def show_presence(self, channel: NotebookChannel, said: Presence) -> None:
        """Tell the others where a peer is. Presence is not journaled, so it does not wait."""
        stamped = self._presence.update(channel.peer, channel.name, said, self.loop.time())
        self._send_presence(stamped)
        if self._presence_timer is None:
            self._presence_timer = self.loop.call_later(PRESENCE_CHECK_S, self._expire_presence)

    def _send_presence(self, presence: Presence) -> None:
        for peer, channel in self.peers.items():
            if peer != presence.peer and not channel.connection.slow:
                channel.presence(presence)

    def _expire_presence(self) -> None:
        self._presence_timer = None
        for left in self._presence.expire(self.loop.time()):
            self._send_presence(left)
        if len(self._presence):
            self._presence_timer = self.loop.call_later(PRESENCE_CHECK_S, self._expire_presence)

    def notice(self, text: str) -> None:
        """Tell every peer something in one line."""
        self.event(Event(name="notice", data={"text": text}))

    def event(self, event: Event) -> None:
        for channel in list(self.peers.values()):
            channel.event(event)

    # -- the end ----------------------------------------------------------------------------------

    def describe(self) -> dict[str, Any]:
        """One line of the list of notebooks."""
        kernel = self.kernel.describe()
        return {
            "id": self.id,
            "path": kernel["path"],
            "kernel": {name: kernel[name] for name in ("state", "activity", "name", "pid")},
            "running": kernel["running"],
            "queued": kernel["queued"],
            "peers": [{"id": channel.peer, "name": channel.name} for channel in self.peers.values()],
            "unsaved": self.file.unsaved,
        }

    async def save_as(self, path: str) -> Path:
        """Write to another path and be that path's room from then on."""
        return await self.file.save_as(path)

    @property
    def busy(self) -> bool:
        """Something here still needs the room: a peer, a kernel, a queue, a change that is not saved
        or not in the journal.
        """
        return (
            bool(self.peers)
            or self.kernel.alive
            or self.file.unsaved
            or len(self.tasks) > 0
            or bool(self.unsafe)
            or not self.log.settled
        )

    async def close(self, *, save: bool = True) -> None:
        """Save, flush and forget. A running kernel is left to its supervisor."""
        self.closing = True
        if self._presence_timer is not None:
            self._presence_timer.cancel()
        await self.file.close(save=save)
        await self.kernel.detach()
        await self.tasks.close()
        # From here on nothing is recorded any more, so nothing may be taken in and acknowledged either. What
        # was taken in is committed by the close of the journal, and its acknowledgements still leave.
        self._stopped_reading = False
        for channel in self.peers.values():
            channel.connection.pause_reading()
        self.log.close()
        for subscription in self._subscriptions:
            subscription.close()
        try:
            await self.journal.close()
        finally:
            for channel in list(self.peers.values()):
                channel.connection.close("the notebook was closed")
            # The writer's thread may keep its last job, and with it the journal, for long.
            self.journal.on_committed = self.journal.on_durable = self.journal.on_failure = None
            release(self.notebook)
            release(self.runtime)
