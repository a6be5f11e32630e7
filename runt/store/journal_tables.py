"""The tables of a room's database: their schema, their checksums, and reading all that can be read.

It opens and commits nothing. The invariant: a row that is handed out matched its checksum.
"""

from __future__ import annotations

import sqlite3
from typing import Any
from zlib import crc32

import msgspec

from runt.store.disk_errors import primary_code
from runt.store.journal_rows import SEQ, ExecutionRow, Rows

SCHEMA_VERSION = 1
"""``PRAGMA user_version``. A higher one was written by a newer runt and is refused."""

DAMAGE_CODES = frozenset({sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB})
CLEAN = "store.clean"
DAMAGED = "damaged"
"""Key in ``meta`` that a replacement after damage carries: where the damaged file was kept."""

SCHEMA = """
CREATE TABLE meta (key TEXT PRIMARY KEY, value TEXT NOT NULL) WITHOUT ROWID;
CREATE TABLE snapshots (doc TEXT PRIMARY KEY, upto INTEGER NOT NULL, bytes BLOB NOT NULL,
                        crc INTEGER NOT NULL);
CREATE TABLE updates (row INTEGER PRIMARY KEY, seq INTEGER NOT NULL, doc TEXT NOT NULL, bytes BLOB NOT NULL,
                      crc INTEGER NOT NULL);
CREATE TABLE side (key TEXT PRIMARY KEY, value BLOB NOT NULL, crc INTEGER NOT NULL);
CREATE TABLE executions (id TEXT PRIMARY KEY, cell TEXT NOT NULL, queued REAL, body BLOB NOT NULL,
                         crc INTEGER NOT NULL);
CREATE INDEX executions_by_cell ON executions (cell, queued);
"""
INSERT_UPDATE = "INSERT INTO updates (seq, doc, bytes, crc) VALUES (?, ?, ?, ?)"
PUT_SNAPSHOT = "INSERT OR REPLACE INTO snapshots (doc, upto, bytes, crc) VALUES (?, ?, ?, ?)"
PUT_SIDE = "INSERT OR REPLACE INTO side (key, value, crc) VALUES (?, ?, ?)"
PUT_META = "INSERT OR REPLACE INTO meta (key, value) VALUES (?, ?)"
PUT_EXECUTION = "INSERT OR REPLACE INTO executions (id, cell, queued, body, crc) VALUES (?, ?, ?, ?, ?)"

_encode = msgspec.json.Encoder().encode
decode_execution = msgspec.json.Decoder(ExecutionRow).decode


def checksum(name: str, data: bytes) -> int:
    """Covers the key too: a row that belongs to another key is damage as well."""
    return crc32(data, crc32(name.encode()))


def read_rows(connection: sqlite3.Connection, *, executions: bool) -> Rows:
    """Every row that is readable and matches its checksum; problem lines for the rest."""
    rows = Rows()
    lost: dict[str, int] = {}

    def whole(table: str, name: Any, data: Any, crc: Any) -> bool:
        if isinstance(name, str) and isinstance(data, bytes) and checksum(name, data) == crc:
            return True
        lost[table] = lost.get(table, 0) + 1
        return False

    def table(name: str, order: str, columns: str) -> list[tuple[Any, ...]]:
        return _read_table(
            connection, f"SELECT {order}, {columns} FROM {name} ORDER BY {order}", rows.problems
        )

    for _, key, value in table("meta", "key", "key, value"):
        if isinstance(key, str) and isinstance(value, str):
            rows.meta[key] = value
    for _, doc, upto, data, crc in table("snapshots", "rowid", "doc, upto, bytes, crc"):
        if whole("snapshots", doc, data, crc) and isinstance(upto, int):
            rows.snapshots[doc] = (upto, data)
    for _, seq, doc, data, crc in table("updates", "row", "seq, doc, bytes, crc"):
        if whole("updates", doc, data, crc) and isinstance(seq, int):
            rows.updates.append((seq, doc, data))
    for _, key, value, crc in table("side", "rowid", "key, value, crc"):
        if whole("side", key, value, crc):
            rows.side[key] = value
    if executions:
        for _, id, body, crc in table("executions", "rowid", "id, body, crc"):
            if whole("executions", id, body, crc):
                rows.executions.append(decode_execution(body))
    rows.problems += [f"{count} rows of {name} do not match their checksum" for name, count in lost.items()]
    return rows


def _read_table(connection: sqlite3.Connection, query: str, problems: list[str]) -> list[tuple[Any, ...]]:
    """All rows, in order; around a damaged place, those before it and those behind it."""
    found: dict[Any, tuple[Any, ...]] = {}
    for direction in ("ASC", "DESC"):
        try:
            for row in connection.execute(f"{query} {direction}"):
                found[row[0]] = row
            break
        except sqlite3.DatabaseError as error:
            # SQLITE_ERROR: the table is missing, as after a damaged schema page. 0: text that is not UTF-8.
            if primary_code(error) not in DAMAGE_CODES | {sqlite3.SQLITE_ERROR, 0}:
                raise
            problems.append(str(error))
    return [found[key] for key in sorted(found)]


def execution_values(row: ExecutionRow) -> tuple[object, ...]:
    body = _encode(row)
    return (row.id, row.cell, row.queued, body, checksum(row.id, body))


def fill(connection: sqlite3.Connection, rows: Rows) -> None:
    meta = rows.meta | {CLEAN: "1", SEQ: str(rows.last_seq())}
    connection.executemany(PUT_META, meta.items())
    connection.executemany(
        PUT_SNAPSHOT,
        ((doc, upto, data, checksum(doc, data)) for doc, (upto, data) in rows.snapshots.items()),
    )
    connection.executemany(
        INSERT_UPDATE, ((seq, doc, data, checksum(doc, data)) for seq, doc, data in rows.updates)
    )
    connection.executemany(PUT_SIDE, ((key, data, checksum(key, data)) for key, data in rows.side.items()))
    connection.executemany(PUT_EXECUTION, map(execution_values, rows.executions))
