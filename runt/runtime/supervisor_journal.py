"""A supervisor's journal: every message of the kernel, on disk before anyone is served.

It adds to ``store.record_log`` what happens when the disk is full or the journal too long. The invariant:
replies, send ids and lifecycle records are never dropped while memory lasts; dropped kernel output is
always followed by a ``truncated <messages> <bytes>`` lifecycle record.
"""

from __future__ import annotations

import time
from collections.abc import Sequence

from runt.errors import StoreError
from runt.runtime import supervisor_protocol as protocol
from runt.store.record_log import RecordLog

# Unacknowledged output on disk. A daemon acknowledges as it folds; only one that is gone for long, or
# a kernel that floods for hours, reaches it.
MAX_JOURNAL_BYTES = 2 << 30
# Held in memory while the disk refuses: enough for minutes of ordinary output.
MAX_HELD_BYTES = 16 << 20
RETRY_S = 1.0


class SupervisorJournal:
    """``put`` collects, ``flush`` writes; ``end`` and ``start`` are offsets in bytes."""

    def __init__(
        self, directory: str, *, max_bytes: int = MAX_JOURNAL_BYTES, max_held: int = MAX_HELD_BYTES
    ) -> None:
        self._log = RecordLog(directory)
        self._max_bytes = max_bytes
        self._max_held = max_held
        self._held: list[bytes] = []
        self._held_bytes = 0
        self._dropped = 0
        self._dropped_bytes = 0
        self._retry_at = 0.0
        self.failing = False

    @property
    def start(self) -> int:
        """Offset (bytes) of the oldest record still there."""
        return self._log.start

    @property
    def end(self) -> int:
        """Offset (bytes) after the newest written record."""
        return self._log.end

    def put(self, channel: int, frames: Sequence[bytes]) -> None:
        """Take a record for the next flush, or count it as dropped."""
        payload = protocol.encode_record(channel, time.time(), frames)
        if channel == protocol.IOPUB and self._is_full(len(payload)):
            self._dropped += 1
            self._dropped_bytes += len(payload)
            return
        if self._dropped:
            self._mark_truncation()
        self._held.append(payload)
        self._held_bytes += len(payload)

    def lifecycle(self, text: str) -> None:
        """Take a LIFECYCLE record."""
        self.put(protocol.LIFECYCLE, [text.encode()])

    def flush(self) -> None:
        """Write what was taken. A failure is remembered, and tried again after RETRY_S."""
        if not self._held or (self.failing and time.monotonic() < self._retry_at):
            return
        try:
            self._log.append(self._held)
        except (OSError, StoreError):
            # Nothing to tell and nobody to ask: the kernel's output waits in memory, bounded.
            self.failing = True
            self._retry_at = time.monotonic() + RETRY_S
            return
        self.failing = False
        self._held = []
        self._held_bytes = 0

    def read(self, offset: int, max_bytes: int) -> list[tuple[int, bytes]]:
        """Return (end offset, payload) of records after ``offset``: at least one if there is one."""
        return self._log.read(offset, max_bytes)

    def acknowledge(self, offset: int) -> None:
        """Drop whole segments before ``offset``."""
        self._log.drop_before(min(offset, self._log.end))

    def _is_full(self, size: int) -> bool:
        if self.failing and self._held_bytes + size > self._max_held:
            return True
        return self._log.end - self._log.start + self._held_bytes + size > self._max_bytes

    def _mark_truncation(self) -> None:
        text = f"truncated {self._dropped} {self._dropped_bytes}"
        self._dropped = self._dropped_bytes = 0
        self._held.append(protocol.encode_record(protocol.LIFECYCLE, time.time(), [text.encode()]))
