"""What a room's journal holds, as plain values.

No database here. The invariant: values are complete in themselves; bytes of documents are opaque.
"""

from __future__ import annotations

from dataclasses import dataclass, field

import msgspec

from runt.errors import JournalDamaged


class ExecutionRow(msgspec.Struct, frozen=True, kw_only=True):
    """One execution, found by its id; also the pinned source of one that waits. Times are unix seconds."""

    id: str
    cell: str
    status: str = "queued"
    source: str = ""
    source_hash: str = ""
    by: str = ""
    request: str = ""
    count: int | None = None
    queued: float | None = None
    started: float | None = None
    ended: float | None = None
    outputs: list[str] = []
    """Entries as in the runtime document: manifests as JSON text, or hashes of stored manifests."""


@dataclass(slots=True)
class RoomContents:
    """Everything in a room's journal but its executions."""

    meta: dict[str, str] = field(default_factory=dict)
    snapshots: dict[str, bytes] = field(default_factory=dict)
    """Document name → its last snapshot."""
    updates: list[tuple[str, bytes]] = field(default_factory=list)
    """``(document, update)`` since the snapshots, in the order they were appended."""
    side: dict[str, bytes] = field(default_factory=dict)

    @property
    def is_empty(self) -> bool:
        return not (self.meta or self.snapshots or self.updates or self.side)


@dataclass(frozen=True, slots=True)
class Append:
    """One `RoomJournal.append`."""

    seq: int
    updates: tuple[tuple[str, bytes], ...]
    side: dict[str, bytes | None]
    executions: tuple[ExecutionRow, ...]
    meta: dict[str, str | None]
    size: int
    """Bytes of updates and side values, for the backlog."""


class RoomDamaged(JournalDamaged):
    """A room's database failed its check. `salvaged` is what could be read: it is in a new database."""

    def __init__(self, path: str, reason: str, *, kept_as: str, salvaged: RoomContents) -> None:
        super().__init__(path, reason, kept_as=kept_as)
        self.salvaged = salvaged
