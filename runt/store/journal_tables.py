"""The tables of a room's database: their schema, their checksums, and reading all that can be read.

It opens and commits nothing. The invariant: a row that is handed out matched its checksum.
"""

from __future__ import annotations

import sqlite3
from typing import Any
from zlib import crc32

import msgspec

from runt.store.disk_errors import is_damage, primary_code
from runt.store.journal_rows import SEQ, ExecutionRow, Rows

SCHEMA_VERSION = 1
"""``PRAGMA user_version``. A higher one was written by a newer runt and is refused."""

CLOSED = "store.closed"
"""Key in ``meta``, always there: `row_counts` as of a clean close, or `IN_USE`."""

IN_USE = "in use"
DAMAGED = "damaged"
"""Key in ``meta`` that a replacement after damage carries: where the damaged file was kept."""

SCHEMA = [
    "CREATE TABLE meta (key TEXT PRIMARY KEY, value TEXT NOT NULL, crc INTEGER NOT NULL)",
    "CREATE TABLE snapshots (doc TEXT PRIMARY KEY, upto INTEGER NOT NULL, bytes BLOB NOT NULL,"
    " crc INTEGER NOT NULL)",
    "CREATE TABLE updates (row INTEGER PRIMARY KEY, seq INTEGER NOT NULL, doc TEXT NOT NULL,"
    " bytes BLOB NOT NULL, crc INTEGER NOT NULL)",
    "CREATE TABLE side (key TEXT PRIMARY KEY, value BLOB NOT NULL, crc INTEGER NOT NULL)",
    "CREATE TABLE executions (id TEXT PRIMARY KEY, cell TEXT NOT NULL, queued REAL, body BLOB NOT NULL,"
    " crc INTEGER NOT NULL)",
    "CREATE INDEX executions_by_cell ON executions (cell, queued)",
]
_INSERT_UPDATE = "INSERT INTO updates (row, seq, doc, bytes, crc) VALUES (?, ?, ?, ?, ?)"
_PUT_SNAPSHOT = "INSERT OR REPLACE INTO snapshots (doc, upto, bytes, crc) VALUES (?, ?, ?, ?)"
PUT_SIDE = "INSERT OR REPLACE INTO side (key, value, crc) VALUES (?, ?, ?)"
_PUT_META = "INSERT OR REPLACE INTO meta (key, value, crc) VALUES (?, ?, ?)"
PUT_EXECUTION = "INSERT OR REPLACE INTO executions (id, cell, queued, body, crc) VALUES (?, ?, ?, ?, ?)"

_encode = msgspec.json.Encoder().encode
decode_execution = msgspec.json.Decoder(ExecutionRow).decode


def checksum(name: str, data: bytes, *numbers: int) -> int:
    """Covers the row's key and numbers too: the right bytes in the wrong place are damage as well."""
    return crc32(data, crc32(f"{name} {numbers}".encode()))


def schema_is_ours(connection: sqlite3.Connection) -> bool:
    """A changed byte in the schema can turn a key into an ordinary column, and SQLite would not mind."""
    query = "SELECT sql FROM sqlite_schema WHERE sql IS NOT NULL ORDER BY rowid"
    return [sql for (sql,) in connection.execute(query)] == SCHEMA


def read_rows(connection: sqlite3.Connection, *, executions: bool) -> Rows:
    """Every row that is readable and matches its checksum; problem lines for the rest."""
    rows = Rows()
    lost: dict[str, int] = {}
    seen: set[tuple[object, ...]] = set()

    def whole(table: str, name: Any, data: Any, crc: Any, *numbers: Any) -> bool:
        if isinstance(name, str) and isinstance(data, bytes) and checksum(name, data, *numbers) == crc:
            if (key := (table, name, *numbers)) in seen:
                rows.problems.append(f"a row of {table} is there twice")
            seen.add(key)
            return True
        lost[table] = lost.get(table, 0) + 1
        return False

    def table(name: str, columns: str) -> list[tuple[Any, ...]]:
        return _read_table(connection, f"SELECT rowid, {columns} FROM {name} ORDER BY rowid", rows.problems)

    for _, key, value, crc in table("meta", "key, value, crc"):
        if whole("meta", key, value.encode() if isinstance(value, str) else None, crc):
            rows.meta[key] = value
    for _, doc, upto, data, crc in table("snapshots", "doc, upto, bytes, crc"):
        if whole("snapshots", doc, data, crc, upto):
            rows.snapshots[doc] = (upto, data)
    for row, seq, doc, data, crc in table("updates", "seq, doc, bytes, crc"):
        if whole("updates", doc, data, crc, row, seq):
            rows.updates.append((seq, doc, data))
    for _, key, value, crc in table("side", "key, value, crc"):
        if whole("side", key, value, crc):
            rows.side[key] = value
    if executions:
        for _, id, body, crc in table("executions", "id, body, crc"):
            if whole("executions", id, body, crc):
                rows.executions.append(decode_execution(body))
    rows.problems += [f"{count} rows of {name} do not match their checksum" for name, count in lost.items()]
    return rows


def _read_table(connection: sqlite3.Connection, query: str, problems: list[str]) -> list[tuple[Any, ...]]:
    """All rows, in order; around a damaged place, those before it and those behind it."""
    found: dict[Any, tuple[Any, ...]] = {}
    for direction in ("ASC", "DESC"):
        try:
            rows = 0
            for row in connection.execute(f"{query} {direction}"):
                found[row[0]] = row
                rows += 1
            if rows > len(found):
                problems.append("a row is there twice")  # and hides another one
            break
        except (sqlite3.Error, UnicodeDecodeError) as error:
            # SQLITE_ERROR: the table is missing, as after a damaged schema page.
            if not is_damage(error) and primary_code(error) != sqlite3.SQLITE_ERROR:
                raise
            problems.append(str(error))
    return [found[key] for key in sorted(found)]


def insert_update(connection: sqlite3.Connection, row: int, seq: int, doc: str, data: bytes) -> None:
    connection.execute(_INSERT_UPDATE, (row, seq, doc, data, checksum(doc, data, row, seq)))


def put_snapshot(connection: sqlite3.Connection, doc: str, upto: int, data: bytes) -> None:
    connection.execute(_PUT_SNAPSHOT, (doc, upto, data, checksum(doc, data, upto)))


def row_counts(connection: sqlite3.Connection) -> str:
    """How many rows each table has. One changed byte can make rows vanish without any other sign."""
    tables = ("meta", "snapshots", "updates", "side", "executions")
    counts = ", ".join(f"(SELECT count(*) FROM {table})" for table in tables)
    return " ".join(map(str, connection.execute(f"SELECT {counts}").fetchone()))


def put_meta(connection: sqlite3.Connection, key: str, value: str) -> None:
    connection.execute(_PUT_META, (key, value, checksum(key, value.encode())))


def execution_values(row: ExecutionRow) -> tuple[object, ...]:
    body = _encode(row)
    return (row.id, row.cell, row.queued, body, checksum(row.id, body))


def fill(connection: sqlite3.Connection, rows: Rows) -> None:
    for key, value in (rows.meta | {CLOSED: IN_USE, SEQ: str(rows.last_seq())}).items():
        put_meta(connection, key, value)
    for doc, (upto, data) in rows.snapshots.items():
        put_snapshot(connection, doc, upto, data)
    for row, (seq, doc, data) in enumerate(rows.updates, 1):
        insert_update(connection, row, seq, doc, data)
    connection.executemany(PUT_SIDE, ((key, data, checksum(key, data)) for key, data in rows.side.items()))
    connection.executemany(PUT_EXECUTION, map(execution_values, rows.executions))
    put_meta(connection, CLOSED, row_counts(connection))
