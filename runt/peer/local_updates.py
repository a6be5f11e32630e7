"""The local updates that the daemon has not acknowledged, and the document as it is without them.

It sends nothing and knows of a connection only the numbers of its frames. The invariant: an update leaves the
log only when the number of its frame was acknowledged on the connection that carried it; the acknowledged
parts and the log are together all that the document holds.
"""

from __future__ import annotations

from collections import deque
from typing import Final

import msgspec

from runt.notebook.notebook_document import NotebookDocument

MAX_LOGGED: Final = 4096
"""Entries above which the log is collapsed into one diff (about 0.5 MB of keystrokes)."""

MAX_PARTS: Final = 4096
MAX_GROWTH_BYTES: Final = 1 << 20
"""The acknowledged parts are replaced by one snapshot above this many, or above this growth (and that of
the snapshot).
"""


class LocalUpdate(msgspec.Struct):
    """``changes`` transactions as one update. ``number`` is that of its frame on this connection, 0 if it was
    not sent.

    ``made_at`` is the event loop's time in seconds. ``spilled``: it is also in a file.
    """

    data: bytes
    changes: int
    made_at: float
    number: int = 0
    spilled: bool = False


class LocalUpdates:
    """The log of one document."""

    def __init__(self, document: NotebookDocument) -> None:
        self._document = document
        self._log: deque[LocalUpdate] = deque()
        self._parts: list[bytes] = []
        self._snapshot_bytes = 0
        self._grown_bytes = 0
        self._acknowledged_state = document.state()
        self._waiting = 0

    @property
    def waiting(self) -> int:
        """Local changes that are not acknowledged."""
        return self._waiting

    @property
    def entries(self) -> tuple[LocalUpdate, ...]:
        """What is not acknowledged, oldest first."""
        return tuple(self._log)

    @property
    def acknowledged_state(self) -> bytes:
        """The state vector when the log was last empty: a diff from it holds everything in the log."""
        return self._acknowledged_state

    def remote(self, update: bytes) -> None:
        """Note an update that came from the daemon."""
        self._add_part(update)

    def local(self, update: bytes, now: float) -> LocalUpdate:
        """Note a local change; returns its entry, to be marked as sent."""
        if len(self._log) >= MAX_LOGGED:
            self._collapse()
        entry = LocalUpdate(update, 1, now)
        self._log.append(entry)
        self._waiting += 1
        return entry

    def unsent(self) -> list[LocalUpdate]:
        """The entries that this connection has not carried."""
        return [entry for entry in self._log if not entry.number]

    def carried(self, number: int) -> None:
        """Frame ``number`` held everything that the document holds."""
        for entry in self._log:
            entry.number = number

    def acknowledged(self, number: int) -> None:
        """Frames up to ``number`` of this connection are journaled."""
        log = self._log
        while log and 0 < log[0].number <= number:
            entry = log.popleft()
            self._waiting -= entry.changes
            self._add_part(entry.data)
        if not log:
            self._acknowledged_state = self._document.state()
            if len(self._parts) > MAX_PARTS or self._grown_bytes > MAX_GROWTH_BYTES + self._snapshot_bytes:
                self._parts = [self._document.update_since()]
                self._snapshot_bytes, self._grown_bytes = len(self._parts[0]), 0

    def disconnected(self) -> None:
        """Numbers mean nothing any more: all of it must be carried again."""
        for entry in self._log:
            entry.number = 0

    def acknowledged_document(self) -> NotebookDocument:
        """Build the document without what is in the log. Slow (it replays): for an epoch mismatch only."""
        base = NotebookDocument()
        for part in self._parts:
            base.apply(part)
        return base

    def _add_part(self, update: bytes) -> None:
        self._parts.append(update)
        self._grown_bytes += len(update)

    def _collapse(self) -> None:
        """Replace the log by one diff. It may hold others' changes too, which are known everywhere
        already.
        """
        # Frames that are under way may still be acknowledged: the highest number counts for all of them.
        number = 0 if any(not entry.number for entry in self._log) else self._log[-1].number
        diff = self._document.update_since(self._acknowledged_state)
        entry = LocalUpdate(diff, self._waiting, self._log[0].made_at, number)
        self._log.clear()
        self._log.append(entry)
