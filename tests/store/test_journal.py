"""Room journals: order, numbers, reopening, compaction, many rooms."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from runt.errors import StoreError
from runt.store.journal import COMPACT_LOG_BYTES, ExecutionRow, RoomContents, RoomJournal
from runt.store.journal_writer import JournalWriter


@pytest.fixture
async def writer() -> AsyncIterator[JournalWriter]:
    journals = JournalWriter()
    journals.start()
    yield journals
    await journals.close()


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "room.db"


async def reopened(writer: JournalWriter, journal: RoomJournal) -> RoomJournal:
    await journal.close()
    return await writer.open(journal.path)


async def test_a_new_room_is_empty(writer: JournalWriter, path: Path) -> None:
    """A room that is opened for the first time has nothing in it and a private file."""
    journal = await writer.open(path)
    assert journal.contents.is_empty
    assert (journal.appended, journal.committed, journal.durable) == (0, 0, 0)
    assert mode_of(path) == 0o600


def mode_of(path: Path) -> int:
    return path.stat().st_mode & 0o777


async def test_everything_comes_back(writer: JournalWriter, path: Path) -> None:
    """After closing and opening, meta, updates in order, side values and executions are as appended."""
    journal = await writer.open(path)
    row = ExecutionRow(id="e1", cell="c", source="1+1", count=3, started=1.25, outputs=["{}"])
    assert journal.append([("n", b"1"), ("r", b"2")], {"fold": b"a"}, [row], {"path": "/a"}) == 1
    assert journal.append([("n", b"3")], {"fold": b"b", "index": b"i"}) == 2
    assert journal.append(side={"index": None}, meta={"path": None, "other": "x"}) == 3
    await journal.flush()
    assert journal.committed == 3
    journal = await reopened(writer, journal)
    assert journal.contents == RoomContents(
        meta={"other": "x"},
        updates=[("n", b"1"), ("r", b"2"), ("n", b"3")],
        side={"fold": b"b"},
    )
    assert await journal.execution("e1") == row
    assert await journal.execution("e2") is None


async def test_numbers_go_on_after_reopening(writer: JournalWriter, path: Path) -> None:
    """A number is never given out twice, also when its append left no update behind."""
    journal = await writer.open(path)
    journal.append([("n", b"x")])
    last = journal.append(side={"k": b"v"})
    journal = await reopened(writer, journal)
    assert journal.appended == journal.committed == journal.durable == last
    last = journal.append([("n", b"y")])
    journal.compact("n", b"snapshot", last)
    journal = await reopened(writer, journal)
    assert journal.append() == last + 1


async def test_reports(writer: JournalWriter, path: Path) -> None:
    """Committed and durable numbers are reported in the loop, rising, to the last; the backlog empties."""
    journal = await writer.open(path)
    committed: list[int] = []
    durable: list[int] = []
    journal.on_committed = committed.append
    journal.on_durable = durable.append
    for number in range(1, 101):
        assert journal.append([("n", b"x" * 10)]) == number
    assert journal.backlog_bytes == 1000
    assert journal.committed == 0
    await journal.flush(durable=True)
    assert committed == sorted(set(committed))
    assert durable == sorted(set(durable))
    assert committed[-1] == durable[-1] == journal.committed == journal.durable == 100
    assert journal.backlog_bytes == 0


async def test_durable_follows_by_itself(writer: JournalWriter, path: Path) -> None:
    """Nobody has to ask: what is committed becomes durable and is reported."""
    journal = await writer.open(path)
    reported = asyncio.Event()
    journal.on_durable = lambda number: reported.set()
    journal.append([("n", b"x")])
    async with asyncio.timeout(30):
        await reported.wait()
    assert journal.durable == 1


async def test_flush_of_nothing_returns(writer: JournalWriter, path: Path) -> None:
    """With nothing appended there is nothing to wait for."""
    journal = await writer.open(path)
    await journal.flush()
    await journal.flush(durable=True)


async def test_compaction(writer: JournalWriter, path: Path) -> None:
    """A snapshot replaces the updates that it contains: not later ones, not another document's."""
    journal = await writer.open(path)
    journal.append([("n", b"1"), ("r", b"1")])
    upto = journal.append([("n", b"2")])
    journal.append([("n", b"3")])
    journal.compact("n", b"12", upto)
    journal = await reopened(writer, journal)
    assert journal.contents.snapshots == {"n": b"12"}
    assert journal.contents.updates == [("r", b"1"), ("n", b"3")]
    with pytest.raises(ValueError, match="never appended"):
        journal.compact("n", b"", journal.appended + 1)


async def test_compaction_becomes_due(writer: JournalWriter, path: Path) -> None:
    """Due when the log exceeds 1 MiB or twice the snapshot, whichever is more; also after reopening."""
    journal = await writer.open(path)
    piece = b"x" * (COMPACT_LOG_BYTES // 2)
    for due in (False, False, True):
        journal.append([("n", piece)])
        assert journal.compaction_due("n") is due
    assert not journal.compaction_due("r")
    journal = await reopened(writer, journal)
    assert journal.compaction_due("n")
    journal.compact("n", b"s" * COMPACT_LOG_BYTES, journal.appended)
    await journal.flush(durable=True)
    await journal.execution("")  # a question behind the compaction in the queue
    assert not journal.compaction_due("n")
    for due in (False, False, False, False, True):
        journal.append([("n", piece)])
        assert journal.compaction_due("n") is due


async def test_contents_are_released(writer: JournalWriter, path: Path) -> None:
    """What was loaded can be forgotten without forgetting when to compact."""
    journal = await writer.open(path)
    journal.append([("n", b"x" * (COMPACT_LOG_BYTES + 1))])
    journal = await reopened(writer, journal)
    journal.release()
    assert journal.contents.is_empty
    assert journal.compaction_due("n")


async def test_one_opener(writer: JournalWriter, path: Path) -> None:
    """A room is opened once at a time, by this daemon or another."""
    journal = await writer.open(path)
    with pytest.raises(StoreError, match="already open"):
        await writer.open(path)
    other = JournalWriter()
    other.start()
    with pytest.raises(StoreError, match="locked"):
        await other.open(path)
    await journal.close()
    journal = await other.open(path)
    await other.close()


async def test_closed_journal_refuses(writer: JournalWriter, path: Path) -> None:
    """Closing commits what waits, can be repeated, and makes later appends errors."""
    journal = await writer.open(path)
    journal.append([("n", b"x")])
    await journal.close()
    await journal.close()
    assert journal.durable == journal.committed == 1
    with pytest.raises(StoreError, match="closed"):
        journal.append([("n", b"y")])


async def test_closing_the_writer_closes_the_rooms(path: Path) -> None:
    """What waits in any room is committed before the threads end."""
    writer = JournalWriter()
    writer.start()
    rooms = [await writer.open(path.with_name(f"{number}.db")) for number in range(5)]
    for room in rooms:
        for _ in range(100):
            room.append([("n", b"x")])
    await writer.close()
    assert [room.durable for room in rooms] == [100] * 5
    again = JournalWriter()
    again.start()
    assert len((await again.open(rooms[3].path)).contents.updates) == 100
    await again.close()


async def test_rooms_do_not_wait_for_each_other(writer: JournalWriter, path: Path) -> None:
    """Rooms that append in turns keep their own numbers and contents."""
    rooms = [await writer.open(path.with_name(f"{number}.db")) for number in range(3)]
    for number in range(300):
        rooms[number % 3].append([("n", b"%d" % number)])
    for index, room in enumerate(rooms):
        await room.flush()
        room = await reopened(writer, room)
        assert room.contents.updates == [("n", b"%d" % number) for number in range(index, 300, 3)]


async def test_a_clean_close_leaves_one_file(writer: JournalWriter, path: Path) -> None:
    """After closing there is the database alone: no log, no index, no temporary file."""
    journal = await writer.open(path)
    journal.append([("n", b"x")])
    await journal.close()
    assert list(path.parent.iterdir()) == [path]


actions = st.one_of(
    st.tuples(st.just("append"), st.sampled_from("nr"), st.binary(max_size=20)),
    st.tuples(st.just("side"), st.sampled_from("ab"), st.none() | st.binary(max_size=20)),
    st.tuples(st.just("compact"), st.sampled_from("nr"), st.integers(0, 3)),
    st.tuples(st.just("flush"), st.booleans(), st.none()),
    st.tuples(st.just("reopen"), st.none(), st.none()),
)


@given(script=st.lists(actions, max_size=30))
@settings(max_examples=40, deadline=None)
def test_journal_against_lists(tmp_path_factory: pytest.TempPathFactory, script: list[tuple]) -> None:  # type: ignore[type-arg]
    """Whatever is appended, compacted and reopened, snapshot + updates of a document are all its bytes."""
    asyncio.run(_play(tmp_path_factory.mktemp("j") / "room.db", script))


async def _play(path: Path, script: list[tuple]) -> None:  # type: ignore[type-arg]
    writer = JournalWriter()
    writer.start()
    journal = await writer.open(path)
    appended: dict[str, list[tuple[int, bytes]]] = {"n": [], "r": []}
    side: dict[str, bytes] = {}
    for kind, name, value in script:
        if kind == "append":
            appended[name].append((journal.append([(name, value)]), value))
        elif kind == "side":
            journal.append(side={name: value})
            side = {key: old for key, old in side.items() if key != name}
            if value is not None:
                side[name] = value
        elif kind == "compact":
            upto = max(0, journal.appended - value)
            journal.compact(name, b"".join(data for seq, data in appended[name] if seq <= upto), upto)
            # Only a newer snapshot may follow, as in a room.
            appended[name] = [(seq if seq > upto else 0, data) for seq, data in appended[name]]
            if value:
                await journal.flush()
        elif kind == "flush":
            await journal.flush(durable=name)
        else:
            await journal.close()
            journal = await writer.open(path)
            contents = journal.contents
            for doc, items in appended.items():
                logged = b"".join(data for name_, data in contents.updates if name_ == doc)
                assert contents.snapshots.get(doc, b"") + logged == b"".join(data for _, data in items)
            assert contents.side == side
    await writer.close()
