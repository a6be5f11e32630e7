"""The spill: local changes that wait too long for an acknowledgement are also kept in a file.

It is not the way they normally travel. The invariant: about a second after it was made, a change that the
daemon has not journaled is on the disk (or ``error`` says why not), and the file goes when everything is
acknowledged. What a dead client left there, the daemon merges.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Callable, Sequence
from typing import Final

from runt.errors import StoreError
from runt.peer.local_updates import LocalUpdate
from runt.peer.replica import Replica
from runt.store.pending import PendingFile
from runt.store.places import Places

PATIENCE_S: Final = 1.0
"""How long a change may be unacknowledged before it is kept in a file."""

MAX_RECORDS: Final = 8
"""Each record costs an fsync: above this many, one diff is written instead."""


class PendingSpill:
    """Of one notebook. ``waited`` is called when changes begin to wait too long, and when none does any
    more.
    """

    def __init__(self, places: Places, replica: Replica, waited: Callable[[], None]) -> None:
        self._places = places
        self._replica = replica
        self._waited = waited
        self._loop = asyncio.get_running_loop()
        self._timer: asyncio.TimerHandle | None = None
        self._writing: asyncio.Future[None] | None = None
        self._file: PendingFile | None = None
        self.room = ""
        self.waiting_long = False
        self.error = ""

    def edited(self) -> None:
        """A local change was made: look again when it has waited long enough."""
        if self._timer is None and self._writing is None:
            self._timer = self._loop.call_later(PATIENCE_S, self._check)

    def acknowledged(self) -> None:
        """The daemon has journaled more."""
        if self._replica.local.waiting:
            return
        self.error = ""
        file, self._file = self._file, None
        if file is not None:
            # If it cannot be removed, the daemon merges what it has already: in a CRDT nothing happens twice.
            with contextlib.suppress(StoreError):
                file.remove()
        if self.waiting_long:
            self.waiting_long = False
            self._waited()

    def connected(self, room: str) -> None:
        """A daemon has the room open, and may have merged and removed our file: do not go on with it."""
        self.room = room
        if self._file is not None and self._replica.local.waiting:
            self._file = None
            for entry in self._replica.local.entries:
                entry.spilled = False

    def spill(self) -> None:
        """Write what is not acknowledged and not in the file. Blocks for an fsync; for leaving. Never
        raises.
        """
        entries = self._unspilled()
        if entries:
            self._finish(entries, self._write(self._records(entries)))

    async def close(self) -> None:
        """Write what has to be written, and end."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        if self._writing is not None:
            await self._writing
        self.spill()

    def _check(self) -> None:
        self._timer = None
        entries = self._unspilled()
        if not entries:
            return
        wait = entries[0].made_at + PATIENCE_S - self._loop.time()
        # A timer's own inaccuracy is not a reason for another round.
        if wait > PATIENCE_S / 10:
            self._timer = self._loop.call_later(wait, self._check)
            return
        self._writing = asyncio.ensure_future(self._write_aside(entries))
        if not self.waiting_long:
            self.waiting_long = True
            self._waited()

    async def _write_aside(self, entries: list[LocalUpdate]) -> None:
        # In a thread: an fsync on a slow disk must not delay the echo of a key.
        error = await asyncio.to_thread(self._write, self._records(entries))
        self._writing = None
        self._finish(entries, error)
        if self._replica.local.waiting == 0:
            self.acknowledged()
        elif self._unspilled() and not error:
            self.edited()

    def _unspilled(self) -> list[LocalUpdate]:
        return [entry for entry in self._replica.local.entries if not entry.spilled]

    def _records(self, entries: list[LocalUpdate]) -> list[bytes]:
        replica = self._replica
        if self._file is None and self.room and replica.epochs.n:
            # ValueError: a name that no file may have. `_write` then says that there is none.
            with contextlib.suppress(ValueError):
                self._file = PendingFile.create(self._places.pending, self.room, replica.epochs.n)
        if len(entries) > MAX_RECORDS and not replica.document.poisoned:
            return [replica.document.update_since(replica.local.acknowledged_state)]
        return [entry.data for entry in entries]

    def _write(self, records: Sequence[bytes]) -> str:
        """Append to the file; returns what went wrong, or nothing."""
        file = self._file
        if file is None:
            return "unacknowledged changes have no room to be kept for" if records else ""
        try:
            for record in records:
                file.append(record)
        except StoreError as error:
            return str(error)
        return ""

    def _finish(self, entries: list[LocalUpdate], error: str) -> None:
        self.error = error
        if not error:
            for entry in entries:
                entry.spilled = True
