"""Keeping a room's journal small and alive: snapshots when its log has grown, a new database when it failed.

It records nothing itself. The invariants: a snapshot is trusted only after a fresh document made from it
says the same as the live one; a failed journal is tried again until it works, and until then nothing is
relayed or acknowledged.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from typing import TYPE_CHECKING

from runt.daemon.room_loading import MARKS
from runt.daemon.scratch_documents import scratch
from runt.errors import DamagedUpdate, StoreError
from runt.notebook.crdt import CrdtDocument
from runt.notebook.notebook_document import NotebookDocument
from runt.notebook.runtime_document import RuntimeDocument
from runt.protocol.events import DocName

if TYPE_CHECKING:
    from runt.daemon.room import Room

log = logging.getLogger(__name__)

COMPACT_INTERVAL_S = 10.0
RESCUE_INTERVAL_S = 2.0  # a full disk: soon enough after somebody made room, not a load while nobody did

_KINDS: dict[DocName, Callable[[], CrdtDocument]] = {"n": NotebookDocument, "r": RuntimeDocument}


class JournalCare:
    """The upkeep of one room's journal. ``rescue_interval_s`` is for tests."""

    def __init__(self, room: Room, *, rescue_interval_s: float = RESCUE_INTERVAL_S) -> None:
        self._room = room
        self._rescue_interval_s = rescue_interval_s
        self._compacted_at = float("-inf")
        self._busy = False

    def committed(self) -> None:
        """The journal grew: compact what is due, at most every COMPACT_INTERVAL_S."""
        room = self._room
        if self._busy or room.closing or room.loop.time() - self._compacted_at < COMPACT_INTERVAL_S:
            return
        due = [doc for doc in _KINDS if room.journal.compaction_due(doc)]
        if due:
            self._busy = True
            self._compacted_at = room.loop.time()
            room.tasks.start(self._compact(due), "compact")

    async def _compact(self, due: list[DocName]) -> None:
        room = self._room
        try:
            for doc in due:
                if doc == "n":
                    room.file.keep_bases()
                room.log.flush()
                seq = room.journal.appended
                snapshot, state = room.document(doc).update_since(), room.document(doc).state()
                if await asyncio.to_thread(_says_the_same, _KINDS[doc], snapshot, state):
                    room.journal.compact(doc, snapshot, seq)
                    if doc == "n":
                        room.journal.compact(MARKS, b"", seq)
                else:
                    log.error("room %s: a snapshot of %s cannot be trusted; the log stays", room.id, doc)
        finally:
            self._busy = False

    def failed(self) -> None:
        """The journal failed: begin to try again."""
        if not self._room.closing:
            self._room.tasks.start(self._rescue(), "rescue the journal")

    async def _rescue(self) -> None:
        room = self._room
        while room.unsafe:
            await asyncio.sleep(self._rescue_interval_s)
            try:
                room.file.keep_bases()
                room.log.flush()
                snapshots: dict[str, bytes] = {doc: room.document(doc).update_since() for doc in _KINDS}
                await room.journal.rescue(snapshots)
            except StoreError as error:
                log.warning("room %s: the journal still fails: %s", room.id, error.message)
            except Exception:  # whatever it is, the room must not stay unsafe because nobody tries any more
                log.exception("room %s: the journal could not be rescued", room.id)


def _says_the_same(make: Callable[[], CrdtDocument], snapshot: bytes, state: bytes) -> bool:
    """Runs in a worker thread."""
    with scratch(make()) as first, scratch(make()) as second:
        try:
            first.apply(snapshot, "compact")
            second.apply(first.update_since(), "compact")
        except DamagedUpdate:
            return False
        same = first.update_since() == second.update_since()
        return first.state() == state == second.state() and same
