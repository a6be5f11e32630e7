"""The barrier of a room: what depends on a change leaves only after the journal has that change.

It is not the journal and sends nothing itself: it gathers the changes of one burst (one turn of the event
loop) into one append and keeps the actions that wait for it. The invariant: actions run in the order they
were given, each after everything recorded before it is committed. While the journal fails, nothing runs.
"""

from __future__ import annotations

import asyncio
import logging
from collections import deque
from collections.abc import Callable, Sequence
from typing import Protocol

from runt.store.journal import ExecutionRow

Action = Callable[[], None]

log = logging.getLogger(__name__)


class Appender(Protocol):
    """What the barrier needs of a room's journal."""

    def append(
        self,
        updates: Sequence[tuple[str, bytes]] = (),
        side: dict[str, bytes | None] = ...,
        executions: Sequence[ExecutionRow] = (),
    ) -> int: ...


class RoomLog:
    """Records changes, appends them once per burst, and releases what waited for the commit."""

    def __init__(self, journal: Appender, loop: asyncio.AbstractEventLoop) -> None:
        self._journal = journal
        self._loop = loop
        self._updates: list[tuple[str, bytes]] = []
        self._side: dict[str, bytes | None] = {}
        self._executions: list[ExecutionRow] = []
        self._scheduled = False
        self._burst = 0  # number of appends made so far
        self._seqs: deque[tuple[int, int]] = deque()  # (journal seq, burst) not yet committed
        self._done = 0  # last committed burst
        self._waiting: deque[tuple[int, Action]] = deque()
        self._releasing = False
        self._closed = False

    @property
    def settled(self) -> bool:
        """Nothing is recorded or waiting that is not committed."""
        return not self._dirty and self._done == self._burst and not self._waiting

    @property
    def _dirty(self) -> bool:
        return bool(self._updates or self._side or self._executions)

    def update(self, document: str, update: bytes) -> None:
        """Record one change of a document (``"n"`` or ``"r"``)."""
        self._updates.append((document, update))
        self._schedule()

    def side(self, name: str, value: bytes | None) -> None:
        """Record a side value of the room; it is committed with this burst's changes."""
        self._side[name] = value
        self._schedule()

    def execution(self, row: ExecutionRow) -> None:
        """Record the new state of an execution."""
        self._executions.append(row)
        self._schedule()

    def after_commit(self, action: Action) -> None:
        """Run ``action`` once everything recorded so far is committed; now, if it is.

        After `close` it never runs: what it would speak of is not recorded.
        """
        if self._closed:
            return
        needed = self._burst + 1 if self._dirty else self._burst
        if needed <= self._done and not self._waiting and not self._releasing:
            action()
        else:
            self._waiting.append((needed, action))

    def flush(self) -> None:
        """Hand this burst to the journal now. Never blocks."""
        if not self._dirty or self._closed:
            return
        updates, side, executions = self._updates, self._side, self._executions
        self._updates, self._side, self._executions = [], {}, []
        self._burst += 1
        self._seqs.append((self._journal.append(updates, side, executions), self._burst))

    def close(self) -> None:
        """Hand over what there is. What is recorded or asked for later is dropped."""
        self.flush()
        self._closed = True

    def committed(self, seq: int) -> None:
        """The journal has everything up to ``seq``: release what waited for it."""
        while self._seqs and self._seqs[0][0] <= seq:
            self._done = self._seqs.popleft()[1]
        self.release()

    def release(self) -> None:
        """Run the actions whose changes are committed."""
        if self._releasing:
            return
        self._releasing = True
        try:
            while self._waiting and self._waiting[0][0] <= self._done:
                _run(self._waiting.popleft()[1])
        finally:
            self._releasing = False

    def _schedule(self) -> None:
        if not self._scheduled:
            self._scheduled = True
            self._loop.call_soon(self._flush_burst)

    def _flush_burst(self) -> None:
        self._scheduled = False
        self.flush()


def _run(action: Action) -> None:
    try:
        action()
    except Exception:
        # One peer's frame or a bug of ours: those that wait behind it are owed their turn all the same.
        log.exception("an action that waited for the journal failed")
