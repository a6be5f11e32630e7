"""A room's journal on a failing disk: nothing is acknowledged that is not committed, nothing is lost."""

from __future__ import annotations

import asyncio
import contextlib
import errno
import os
import shutil
import sqlite3
import subprocess
import sys
import tempfile
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest

from runt.errors import NoSpace, StoreError
from runt.store import journal_replacement, journal_writer, safe_directory
from runt.store.journal import ExecutionRow, RoomContents, RoomJournal
from runt.store.journal_database import open_room
from runt.store.journal_replacement import wal_path
from runt.store.journal_writer import JournalWriter
from tests.faults.faulty_os import ERRORS, Plan, faults


@pytest.fixture
async def writer() -> AsyncIterator[JournalWriter]:
    journals = JournalWriter()
    journals.start()
    yield journals
    with contextlib.suppress(StoreError):  # a room that is still unsafe says so once more
        await journals.close()


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "room.db"


def fill_disk(writer: JournalWriter, journal: RoomJournal) -> None:
    """SQLite itself says that the disk is full: the database may not grow any more."""
    connection = writer._rooms[journal].database._connection
    (pages,) = connection.execute("PRAGMA page_count").fetchone()
    connection.execute(f"PRAGMA max_page_count = {pages}")


BIG = b"x" * 50_000


async def failed_room(writer: JournalWriter, path: Path) -> tuple[RoomJournal, list[StoreError]]:
    """A room with two committed appends and three that the full disk refused."""
    journal = await writer.open(path)
    failures: list[StoreError] = []
    journal.on_failure = failures.append
    journal.append([("n", b"1")], side={"fold": b"a", "index": b"i"}, meta={"path": "/a"})
    journal.append([("r", b"2")], executions=[ExecutionRow(id="e1", cell="c")])
    await journal.flush(durable=True)
    fill_disk(writer, journal)
    journal.append([("n", BIG)], side={"fold": b"b"})
    with pytest.raises(NoSpace):
        await journal.flush()
    journal.append([("other", b"4")], executions=[ExecutionRow(id="e2", cell="c")])
    journal.append([("n", b"5")], side={"index": None})
    return journal, failures


SNAPSHOTS = {"n": b"1" + BIG + b"5", "r": b"2"}
RESCUED = RoomContents(
    meta={"path": "/a"}, snapshots=SNAPSHOTS, updates=[("other", b"4")], side={"fold": b"b"}
)


async def test_a_full_disk_stops_acknowledging(writer: JournalWriter, path: Path) -> None:
    """What could not be committed is not reported, is counted as backlog, and the failure is told once."""
    journal, failures = await failed_room(writer, path)
    with pytest.raises(NoSpace):
        await journal.flush()
    assert (journal.committed, journal.durable, journal.appended) == (2, 2, 5)
    assert journal.backlog_bytes > len(BIG)
    assert [type(error) for error in failures] == [NoSpace]
    assert journal.failure is failures[0]
    # Small appends would fit again, but must wait for those before them.
    assert await journal.execution("e2") == ExecutionRow(id="e2", cell="c")


async def test_rescue(writer: JournalWriter, path: Path) -> None:
    """A snapshot of everything in a new file ends the trouble: all is acknowledged, durable, and there."""
    journal, _ = await failed_room(writer, path)
    committed: list[int] = []
    journal.on_committed = committed.append
    await journal.rescue(SNAPSHOTS)
    assert (journal.committed, journal.durable, journal.backlog_bytes) == (5, 5, 0)
    assert committed == [5]
    assert journal.failure is None
    journal.append([("n", b"6")])
    await journal.flush(durable=True)
    await journal.close()
    journal = await writer.open(path)
    assert journal.contents == RoomContents(
        meta=RESCUED.meta,
        snapshots=SNAPSHOTS,
        updates=[*RESCUED.updates, ("n", b"6")],
        side=RESCUED.side,
    )
    for id_ in ("e1", "e2"):
        assert await journal.execution(id_) == ExecutionRow(id=id_, cell="c")
    assert {file.name for file in path.parent.iterdir()} <= {"room.db", "room.db-wal"}


async def test_appends_during_a_rescue(writer: JournalWriter, path: Path) -> None:
    """What is appended while the rescue runs is committed behind it."""
    journal, _ = await failed_room(writer, path)
    rescue = asyncio.ensure_future(journal.rescue(SNAPSHOTS))
    await asyncio.sleep(0)
    journal.append([("n", b"6")])
    await rescue
    await journal.flush()
    await journal.close()
    journal = await writer.open(path)
    assert journal.contents.updates == [("other", b"4"), ("n", b"6")]


async def test_closing_an_unsafe_room_says_so(writer: JournalWriter, path: Path) -> None:
    """Rows that were never committed are not lost silently at closing; what was committed stays."""
    journal, _ = await failed_room(writer, path)
    with pytest.raises(NoSpace):
        await journal.close()
    journal = await writer.open(path)
    assert journal.contents.updates == [("n", b"1"), ("r", b"2")]


async def test_a_bug_in_one_room_leaves_the_others(writer: JournalWriter, path: Path) -> None:
    """Something that cannot be stored makes its room unsafe; the thread goes on for the others."""
    journal, other = await writer.open(path), await writer.open(path.with_name("other.db"))
    journal.append([("n", b"1")])
    await journal.flush()
    journal.append([("n", "not bytes")])  # type: ignore[list-item]
    with pytest.raises(StoreError, match="TypeError"):
        await journal.flush()
    other.append([("n", b"2")])
    await other.flush(durable=True)
    assert (journal.committed, other.committed) == (1, 1)


async def test_a_failed_fsync_is_not_retried(
    writer: JournalWriter, path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """After a failed fdatasync nothing is reported durable, and that file is not asked again."""
    journal = await writer.open(path)
    failed = asyncio.Event()
    journal.on_failure = lambda error: failed.set()
    calls: list[int] = []

    def broken(descriptor: int) -> None:
        calls.append(descriptor)
        raise OSError(errno.EIO, os.strerror(errno.EIO))

    with monkeypatch.context() as patch:
        patch.setattr(journal_writer, "sync_data", broken)
        journal.append([("n", b"1")])
        with pytest.raises(StoreError, match="cannot sync it"):
            await journal.flush(durable=True)
        journal.append([("n", b"2")])
        with pytest.raises(StoreError):
            await journal.flush(durable=True)
    await failed.wait()
    assert journal.durable == 0
    assert len(calls) == 1
    await journal.rescue({"n": b"12"})
    assert journal.durable == 2


async def test_a_compaction_that_fails_costs_nothing(writer: JournalWriter, path: Path) -> None:
    """A snapshot for which there is no space is not an accident: the log stays, and stays due."""
    journal = await writer.open(path)
    failures: list[StoreError] = []
    journal.on_failure = failures.append
    journal.append([("n", b"1" * 2_000_000)])
    await journal.flush()
    fill_disk(writer, journal)
    journal.compact("n", b"s" * 10_000_000, 1)
    assert await journal.execution("") is None  # behind the compaction in the queue
    assert failures == []
    assert journal.compaction_due("n")
    await journal.close()
    journal = await writer.open(path)
    assert journal.contents.updates == [("n", b"1" * 2_000_000)]


@pytest.mark.parametrize("code", ERRORS)
@pytest.mark.parametrize("killed", [False, True], ids=["goes on", "is killed"])
async def test_every_call_of_a_rescue(tmp_path: Path, code: int, killed: bool) -> None:
    """Whichever call of a rescue fails, a second attempt has everything; a kill instead loses no commit."""
    number = 0
    while True:
        number += 1
        plan = Plan(number, code)
        path = tmp_path / str(number) / "room.db"
        path.parent.mkdir()
        writer = JournalWriter()
        writer.start()
        journal, _ = await failed_room(writer, path)
        with faults(plan, journal_replacement, safe_directory):
            done = await succeeds(journal.rescue(SNAPSHOTS))
        assert done or plan.fired
        if killed:
            copy = tmp_path / f"{number}k"
            shutil.copytree(path.parent, copy)
            found = contents_of(copy / "room.db")
            if done:
                assert found == RESCUED
            else:
                assert found in (RESCUED, committed_only())
        elif not done:
            assert journal.failure is not None
            assert journal.committed == 2
            await journal.rescue(SNAPSHOTS)
        with contextlib.suppress(StoreError):
            await writer.close()
        if not killed:
            assert contents_of(path) == RESCUED
        if plan.fired is None:
            break
    assert number > 6


def committed_only() -> RoomContents:
    return RoomContents(
        meta={"path": "/a"}, updates=[("n", b"1"), ("r", b"2")], side={"fold": b"a", "index": b"i"}
    )


async def succeeds(attempt: object) -> bool:
    try:
        await attempt  # type: ignore[misc]
    except StoreError:
        return False
    return True


def contents_of(path: Path) -> RoomContents:
    database, rows = open_room(path)
    database.close(clean=True)
    return rows.contents()


class FaultyConnection:
    """A connection whose Nth statement fails as the disk would make it fail."""

    def __init__(self, real: sqlite3.Connection, number: int) -> None:
        self._real = real
        self.left = number

    def execute(self, *arguments: object) -> sqlite3.Cursor:
        self.left -= 1
        if self.left == 0:
            error = sqlite3.OperationalError("disk I/O error")
            error.sqlite_errorcode = sqlite3.SQLITE_IOERR
            raise error
        return self._real.execute(*arguments)  # type: ignore[arg-type]

    def __getattr__(self, name: str) -> object:
        return getattr(self._real, name)


async def test_every_statement(tmp_path: Path) -> None:
    """Whichever statement fails, what was reported is there, and after a rescue everything is."""
    number = 0
    while True:
        number += 1
        path = tmp_path / f"{number}.db"
        writer = JournalWriter()
        writer.start()
        journal = await writer.open(path)
        database = writer._rooms[journal].database
        connection = FaultyConnection(database._connection, number)
        database._connection = connection  # type: ignore[assignment]
        appended = []
        for index in range(4):
            appended.append(b"%d" % index)
            journal.append([("n", appended[-1])], side={"k": appended[-1]})
            with contextlib.suppress(StoreError):
                await journal.flush()
            if index == 1 and journal.failure is None:
                journal.compact("n", b"".join(appended), journal.appended)
        reported = journal.committed
        copy = tmp_path / f"{number}k" / path.name
        copy.parent.mkdir()
        for file in (path, wal_path(path)):
            if file.exists():
                shutil.copy(file, copy.parent)
        found = text_of(contents_of(copy))
        assert found == b"".join(appended)[: len(found)]
        assert len(found) >= reported
        if journal.failure is not None:
            await journal.rescue({"n": b"".join(appended)})
        assert journal.committed == 4
        with contextlib.suppress(StoreError):  # the good-bye itself failed: all the same nothing is lost
            await writer.close()
        assert text_of(contents_of(path)) == b"0123"
        if connection.left > 0:
            break
    assert number > 15


def text_of(contents: RoomContents) -> bytes:
    return contents.snapshots.get("n", b"") + b"".join(data for _, data in contents.updates)


@pytest.fixture
def small_disk() -> Iterator[Path]:
    """A real disk of 512 KiB."""
    directory = Path(tempfile.mkdtemp(prefix="rt", dir="/tmp"))
    command = ["mount", "-t", "tmpfs", "-o", "size=512k", "tmpfs", str(directory)]
    allowed = sys.platform == "linux" and os.geteuid() == 0
    if not allowed or subprocess.run(command, capture_output=True, check=False).returncode:
        directory.rmdir()
        pytest.skip("needs the right to mount")
    yield directory
    subprocess.run(["umount", str(directory)], check=True)
    directory.rmdir()


async def test_a_real_full_disk(writer: JournalWriter, small_disk: Path) -> None:
    """On a disk that is really full: stop, keep all, fail to rescue, and go on when there is space again."""
    path = small_disk / "room.db"
    ballast = small_disk / "ballast"
    await asyncio.to_thread(ballast.write_bytes, bytes(250_000))
    journal = await writer.open(path)
    appended: list[bytes] = []
    while journal.failure is None:
        appended.append(b"%06d" % len(appended) * 500)
        journal.append([("n", appended[-1])])
        with contextlib.suppress(StoreError):
            await journal.flush(durable=True)
    assert isinstance(journal.failure, NoSpace)
    assert journal.committed == len(appended) - 1
    everything = b"".join(appended)
    with pytest.raises(NoSpace):
        await journal.rescue({"n": everything + bytes(200_000)})
    assert journal.failure is not None
    await asyncio.to_thread(ballast.unlink)
    await journal.rescue({"n": everything})
    assert journal.committed == journal.durable == len(appended)
    await journal.close()
    journal = await writer.open(path)
    assert journal.contents.snapshots == {"n": everything}
    await journal.close()
