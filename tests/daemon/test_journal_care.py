"""A journal that grows and one that fails. Real daemon; the faults are injected where the store writes."""

from __future__ import annotations

import asyncio
import threading

import pytest

from runt.daemon import journal_care
from runt.errors import NoSpace
from runt.store import journal
from runt.store.journal_database import RoomDatabase
from tests.daemon.daemon_in_loop import DaemonInLoop, until
from tests.daemon.raw_client import RefusedError


async def test_a_full_disk_stops_acknowledgement_and_nothing_is_lost(monkeypatch: pytest.MonkeyPatch) -> None:
    """While nothing can be journaled, edits are neither relayed nor acknowledged; afterwards all of them
    are.
    """
    async with DaemonInLoop() as here:
        path = here.notebook("a.ipynb", "x")
        one, two = await here.join(path), await here.join(path)
        key = one.keys()[0]
        room = next(iter(here.daemon.rooms))
        room.care = journal_care.JournalCare(room, rescue_interval_s=0.05)
        commit = RoomDatabase.commit
        full = True

        def commit_or_fail(self: RoomDatabase, batch: object) -> None:
            if full:
                raise NoSpace("the disk is full")
            commit(self, batch)  # type: ignore[arg-type]

        monkeypatch.setattr(RoomDatabase, "commit", commit_or_fail)
        monkeypatch.setattr("runt.store.journal_database.build_replacement", _refuse_while(lambda: full))
        one.type(key, "unsafe ")
        await one.until(lambda: any("journaled" in str(event.data) for event in one.events), "the notice")
        with pytest.raises(RefusedError) as caught:
            await one.request("clear_outputs")
        assert caught.value.code == "unsafe"
        await one.request("save")  # the file is the safest place that is left
        assert "unsafe x" in path.read_text()
        assert two.sources() == ["x"]
        assert one.status.journaled_n < one.session.sent_n
        full = False
        await one.until(lambda: one.status.journaled_n == one.session.sent_n, "the acknowledgement")
        await two.until(lambda: two.sources() == ["unsafe x"], "the edit")
        await here.restart()
        assert (await here.join(path)).sources() == ["unsafe x"]


def _refuse_while(full: object) -> object:
    from runt.store import journal_database

    build = journal_database.build_replacement

    def build_or_fail(*arguments: object) -> object:
        if full():  # type: ignore[operator]
            raise OSError(28, "No space left on device")
        return build(*arguments)  # type: ignore[arg-type]

    return build_or_fail


async def test_a_long_log_becomes_a_snapshot(monkeypatch: pytest.MonkeyPatch) -> None:
    """The log is dropped behind a snapshot, and the next daemon reads the same text."""
    monkeypatch.setattr(journal, "COMPACT_LOG_BYTES", 2000)
    monkeypatch.setattr(journal, "COMPACT_FACTOR", 0)
    monkeypatch.setattr(journal_care, "COMPACT_INTERVAL_S", 0.0)
    async with DaemonInLoop() as here:
        path = here.notebook("a.ipynb", "")
        client = await here.join(path)
        key = client.keys()[0]
        room = next(iter(here.daemon.rooms))
        for number in range(300):
            client.type(key, f"{number} ", len(client.sources()[0]))
        await client.request("synced", n=client.session.sent_n)
        await until(lambda: not room.journal.compaction_due("n"), "the compaction")
        text = client.sources()
        await here.restart()
        again = await here.join(path)
        assert again.sources() == text


async def test_a_caller_that_gave_up_does_not_end_the_writer(here: DaemonInLoop) -> None:
    """A cancelled wait for the journal (a rescue, while its room closes) leaves the other rooms theirs."""
    client = await here.join(here.notebook("a.ipynb", "x"))
    room = next(iter(here.daemon.rooms))
    writer = here.daemon.journals
    working, go_on = threading.Event(), threading.Event()

    def work() -> None:
        working.set()
        assert go_on.wait(30)

    waiting = asyncio.create_task(writer._call(writer._rooms[room.journal], work))
    await until(working.is_set, "the writer's work")
    waiting.cancel()
    await asyncio.wait([waiting])
    go_on.set()
    client.type(client.keys()[0], "y")
    await client.until(lambda: client.status.journaled_n == client.session.sent_n, "the acknowledgement")
