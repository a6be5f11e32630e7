"""Damaged room databases: noticed, kept, salvaged, and never a silent empty notebook."""

from __future__ import annotations

import asyncio
import shutil
import sqlite3
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from runt.errors import StoreError
from runt.store.journal import ExecutionRow, RoomContents, RoomDamaged
from runt.store.journal_database import open_room
from runt.store.journal_replacement import wal_path
from runt.store.journal_rows import Append

UPDATES = [("n", b"update %d " % number * 20) for number in range(300)]


def append(seq: int, **fields: object) -> Append:
    values: dict[str, object] = {"updates": (), "side": {}, "executions": (), "meta": {}, "size": 0}
    return Append(seq=seq, **(values | fields))  # type: ignore[arg-type]


def make_room(path: Path, *, clean: bool = True) -> RoomContents:
    """A room with a snapshot, many updates, side values and executions; returns what it holds."""
    database, _ = open_room(path)
    for seq, update in enumerate(UPDATES, 1):
        row = ExecutionRow(id=f"e{seq}", cell="c", source="x" * 50)
        database.commit(
            [append(seq, updates=(update,), executions=(row,), side={f"k{seq % 7}": b"v%d" % seq})]
        )
    database.commit([append(301, updates=(("r", b"state"),), meta={"path": "/a.ipynb"})])
    database.compact("n", b"snapshot" * 1000, 100)
    contents = database.rows().contents()
    if clean:
        database.close(clean=True)
    else:
        # As after a kill: the files as they are, without SQLite's own good-bye.
        copy = path.with_name("copy")
        shutil.copy(path, copy)
        shutil.copy(wal_path(path), wal_path(copy))
        database.close(clean=True)
        copy.rename(path)
        wal_path(copy).rename(wal_path(path))
    return contents


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "room.db"


def open_contents(path: Path) -> RoomContents:
    database, rows = open_room(path)
    database.close(clean=True)
    return rows.contents()


def zero_page(number: int) -> Callable[[Path], None]:
    def damage(path: Path) -> None:
        with open(path, "r+b") as file:
            file.seek(number * 4096)
            file.write(bytes(4096))

    return damage


def cut_in_half(path: Path) -> None:
    with open(path, "r+b") as file:
        file.truncate(path.stat().st_size // 8192 * 4096)


def drop_tables(path: Path) -> None:
    with sqlite3.connect(path) as connection:
        connection.execute("DROP TABLE updates")
    connection.close()


DAMAGES = {
    "first page": zero_page(0),
    "second page": zero_page(1),
    "a page of updates": lambda path: zero_page(path.read_bytes().index(b"update 200 ") // 4096)(path),
    "cut in half": cut_in_half,
    "empty": lambda path: path.write_bytes(b""),
    "overwritten": lambda path: path.write_bytes(b"something else " * 1000),
    "a table is gone": drop_tables,
}


@pytest.mark.parametrize("damage", DAMAGES.values(), ids=DAMAGES.keys())
def test_damage_is_noticed_kept_and_survived(path: Path, damage: Callable[[Path], None]) -> None:
    """A damaged database is kept under another name; what could be read is there at the next opening."""
    whole = make_room(path)
    damage(path)
    damaged = path.read_bytes()
    with pytest.raises(RoomDamaged) as caught:
        open_room(path)
    assert caught.value.path == str(path)
    kept = Path(caught.value.kept_as)
    assert kept.name == "room.db.corrupt"
    assert kept.stat().st_size == len(damaged)
    salvaged = caught.value.salvaged
    assert set(salvaged.updates) <= set(whole.updates)
    assert salvaged.side.items() <= whole.side.items()
    again = open_contents(path)
    assert again == salvaged
    assert again.meta["damaged"] == "room.db.corrupt"
    assert not again.is_empty


def test_most_of_a_damaged_room_comes_back(path: Path) -> None:
    """One damaged leaf costs the rows on it: those before and behind are recovered, in order."""
    whole = make_room(path)
    data = path.read_bytes()
    at = data.index(b"update 200 ") // 4096
    zero_page(at)(path)
    with pytest.raises(RoomDamaged) as caught:
        open_room(path)
    salvaged = caught.value.salvaged
    assert salvaged.snapshots == whole.snapshots
    assert salvaged.side == whole.side
    assert salvaged.updates == [update for update in whole.updates if update in salvaged.updates]
    assert salvaged.updates[0] == whole.updates[0]
    assert salvaged.updates[-1] == whole.updates[-1]
    assert len(whole.updates) - len(salvaged.updates) < 60


def test_executions_are_salvaged_too(path: Path) -> None:
    """The replacement has the executions that could be read."""
    make_room(path)
    data = path.read_bytes()
    zero_page(data.index(b"update 200 ") // 4096)(path)
    with pytest.raises(RoomDamaged):
        open_room(path)
    database, _ = open_room(path)
    assert database.execution("e7") == ExecutionRow(id="e7", cell="c", source="x" * 50)
    database.close(clean=True)


def test_a_changed_byte_in_a_row(path: Path) -> None:
    """A row whose bytes changed is left out and said, though SQLite sees nothing wrong."""
    whole = make_room(path)
    data = bytearray(path.read_bytes())
    data[data.index(b"update 150 ") + 3] ^= 1
    path.write_bytes(data)
    with pytest.raises(RoomDamaged, match="1 rows of updates do not match") as caught:
        open_room(path)
    assert len(caught.value.salvaged.updates) == len(whole.updates) - 1


def test_second_damage_keeps_the_first(path: Path) -> None:
    """Each damaged file is kept: names are not used twice."""
    for name in ("room.db.corrupt", "room.db.corrupt-2", "room.db.corrupt-3"):
        open_contents(path) if not path.exists() else None
        zero_page(1)(path)
        with pytest.raises(RoomDamaged) as caught:
            open_room(path)
        assert Path(caught.value.kept_as).name == name
    assert len(list(path.parent.glob("*.corrupt*"))) == 3


def test_killed_is_not_damaged(path: Path) -> None:
    """The files that a killed daemon leaves open without loss and without complaint."""
    whole = make_room(path, clean=False)
    assert wal_path(path).exists()
    assert open_contents(path) == whole


def test_rows_that_are_not_loaded_are_checked_after_a_kill(path: Path) -> None:
    """After a kill the whole database is checked, also the executions, which are not read at opening."""
    make_room(path)
    database, _ = open_room(path)
    database.checkpoint()
    database._connection.close()  # no good-bye: it is not marked as clean
    zero_page(path.read_bytes().index(b'{"id":"e100"') // 4096)(path)
    with pytest.raises(RoomDamaged):
        open_room(path)


def test_newer_schema_is_refused(path: Path) -> None:
    """A database of a newer runt is left alone, with the advice to update."""
    make_room(path)
    with sqlite3.connect(path) as connection:
        connection.execute("PRAGMA user_version = 99")
    connection.close()
    before = path.read_bytes()
    with pytest.raises(StoreError) as caught:
        open_room(path)
    assert not isinstance(caught.value, RoomDamaged)
    assert caught.value.hint == "update runt"
    assert path.read_bytes() == before


def test_log_without_its_database(path: Path) -> None:
    """A stray log is never applied to a new database."""
    make_room(path, clean=False)
    path.unlink()
    assert open_contents(path).is_empty
    assert [file.name for file in path.parent.glob("*.corrupt*")] == ["room.db.corrupt-wal"]


@dataclass(frozen=True)
class _Template:
    """A room's file and what is in it. Its repr is short: hypothesis prints it."""

    data: bytes = field(repr=False)
    contents: RoomContents = field(repr=False)


@pytest.fixture(scope="module")
def template(tmp_path_factory: pytest.TempPathFactory) -> _Template:
    path = tmp_path_factory.mktemp("template") / "room.db"
    contents = make_room(path)
    return _Template(path.read_bytes(), contents)


@given(data=st.data())
@settings(max_examples=300, deadline=None)
def test_any_flipped_bytes(
    tmp_path_factory: pytest.TempPathFactory,
    template: _Template,
    data: st.DataObject,
) -> None:
    """Whatever bytes change, opening gives exactly what was there, or an error; then nothing invented."""
    whole = template.contents
    content = bytearray(template.data)
    for _ in range(data.draw(st.integers(1, 3))):
        at = data.draw(st.integers(0, len(content) - 1) | st.integers(0, 200) | st.integers(4096, 4300))
        content[at] ^= data.draw(st.integers(1, 255))
    path = tmp_path_factory.mktemp("flip") / "room.db"
    path.write_bytes(content)
    outcome = outcome_of(path)
    if isinstance(outcome, RoomDamaged):
        salvaged = outcome.salvaged
        assert set(salvaged.updates) <= set(whole.updates)
        assert salvaged.snapshots.items() <= whole.snapshots.items()
        assert salvaged.side.items() <= whole.side.items()
        same = open_contents(path) == salvaged
    elif isinstance(outcome, StoreError):
        same = path.read_bytes() == bytes(content)
    else:
        same = outcome == whole
    assert same, f"{outcome!r:.300}"
    shutil.rmtree(path.parent)


def outcome_of(path: Path) -> RoomContents | StoreError:
    try:
        return open_contents(path)
    except StoreError as error:
        return error


async def test_the_writer_reports_damage(path: Path) -> None:
    """`JournalWriter.open` raises what was salvaged; opening again goes on with it."""
    from runt.store.journal_writer import JournalWriter

    make_room(path)
    await asyncio.to_thread(zero_page(1), path)
    writer = JournalWriter()
    writer.start()
    try:
        with pytest.raises(RoomDamaged) as caught:
            await writer.open(path)
        journal = await writer.open(path)
        assert journal.contents == caught.value.salvaged
        journal.append([("n", b"more")])
        await journal.flush(durable=True)
    finally:
        await writer.close()
