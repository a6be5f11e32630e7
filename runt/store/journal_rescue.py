"""What a room's database has to hold after a failure: the old rows, and on top what could not be committed.

Pure but for reading the old database. The invariant: nothing that was appended is missing from the result.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Mapping, Sequence
from typing import TypeVar

from runt.store.journal_database import RoomDatabase
from runt.store.journal_rows import SEQ, Append, Rows

_T = TypeVar("_T")


def readable_rows(database: RoomDatabase) -> Rows:
    try:
        return database.rows()
    except sqlite3.Error as error:
        return Rows(problems=[str(error)])


def merged(
    base: Rows, held: Sequence[Append], snapshots: Mapping[str, bytes], side: Mapping[str, bytes], seq: int
) -> Rows:
    """`base` with the held appends, `side` and `snapshots` on top. `base` stays as it is."""
    rows = Rows(
        meta=dict(base.meta),
        snapshots=dict(base.snapshots),
        updates=[row for row in base.updates if row[1] not in snapshots],
        side=dict(base.side),
    )
    executions = {row.id: row for row in base.executions}
    for item in held:
        rows.updates += [(item.seq, doc, data) for doc, data in item.updates if doc not in snapshots]
        _overlay(rows.side, item.side)
        _overlay(rows.meta, item.meta)
        executions.update({row.id: row for row in item.executions})
    rows.side.update(side)
    rows.executions = list(executions.values())
    rows.snapshots.update({doc: (seq, data) for doc, data in snapshots.items()})
    rows.meta[SEQ] = str(seq)
    return rows


def _overlay(target: dict[str, _T], changes: Mapping[str, _T | None]) -> None:
    for key, value in changes.items():
        if value is None:
            target.pop(key, None)
        else:
            target[key] = value
