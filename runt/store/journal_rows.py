"""What a room's journal holds, as plain values.

No database here. The invariant: values are complete in themselves; bytes of documents are opaque.
"""

from __future__ import annotations

from dataclasses import dataclass, field

import msgspec

from runt.errors import JournalDamaged

SEQ = "store.seq"
"""Key in ``meta``: the number of the last append, where no row says it."""


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


@dataclass(slots=True)
class Rows:
    """All rows of a database, as far as they can be read."""

    meta: dict[str, str] = field(default_factory=dict)
    snapshots: dict[str, tuple[int, bytes]] = field(default_factory=dict)
    updates: list[tuple[int, str, bytes]] = field(default_factory=list)
    side: dict[str, bytes] = field(default_factory=dict)
    executions: list[ExecutionRow] = field(default_factory=list)
    problems: list[str] = field(default_factory=list)
    """One line per thing that could not be read; empty when all is well."""

    def contents(self) -> RoomContents:
        return RoomContents(
            meta={key: value for key, value in self.meta.items() if not key.startswith("store.")},
            snapshots={doc: data for doc, (_, data) in self.snapshots.items()},
            updates=[(doc, data) for _, doc, data in self.updates],
            side=dict(self.side),
        )

    def last_seq(self) -> int:
        return max(
            int(kept) if (kept := self.meta.get(SEQ, "")).isdecimal() else 0,
            max((upto for upto, _ in self.snapshots.values()), default=0),
            max((seq for seq, _, _ in self.updates), default=0),
        )


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
