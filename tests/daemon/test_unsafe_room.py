"""A room whose journal failed: how it becomes safe again, and what can be asked of it meanwhile."""

from __future__ import annotations

from typing import Any

import pytest

from runt.daemon.room import Room
from runt.errors import StoreError
from runt.store.journal_writer import JournalWriter
from tests.daemon.daemon_in_loop import DaemonInLoop, until
from tests.daemon.raw_client import RefusedError


def fail_the_journal(here: DaemonInLoop, room: Room) -> None:
    """As a failed fdatasync or checkpoint does: everything was committed before."""
    writer = here.daemon.journals
    writer._fail(writer._rooms[room.journal], StoreError("cannot sync it: I/O error"))


def quick_rescues(room: Room) -> None:
    room.care._rescue_interval_s = 0.02


async def test_a_room_is_safe_after_a_rescue_that_had_nothing_to_commit(here: DaemonInLoop) -> None:
    """A failure of a sync while nothing waited is over with the first rescue."""
    client = await here.join(here.notebook("a.ipynb", "1"))
    room = next(iter(here.daemon.rooms))
    quick_rescues(room)
    await until(lambda: room.log.settled and room.journal.committed == room.journal.appended, "quiet")
    fail_the_journal(here, room)
    await until(lambda: room.unsafe, "the failure")
    await until(lambda: not room.unsafe, "the rescue")
    client.type(client.keys()[0], "x")
    await client.request("durable")


async def test_a_rescue_that_meets_a_bug_is_tried_again(
    here: DaemonInLoop, monkeypatch: pytest.MonkeyPatch
) -> None:
    """An error that is none of the disk's does not end the attempts."""
    await here.join(here.notebook("a.ipynb", "1"))
    room = next(iter(here.daemon.rooms))
    quick_rescues(room)
    rescue, attempts = JournalWriter._rescue, 0

    def broken_once(self: JournalWriter, *arguments: Any) -> None:
        nonlocal attempts
        attempts += 1
        if attempts == 1:
            raise AttributeError("a bug")
        rescue(self, *arguments)

    monkeypatch.setattr(JournalWriter, "_rescue", broken_once)
    fail_the_journal(here, room)
    await until(lambda: attempts == 2 and not room.unsafe, "the second attempt")


async def test_what_needs_no_journal_is_done_while_it_fails(
    here: DaemonInLoop, monkeypatch: pytest.MonkeyPatch
) -> None:
    """With an unsafe journal a kernel can be interrupted and shut down, and waiting runs cancelled; a new run
    is refused.
    """
    path = here.notebook("a.ipynb", "while True: pass", "2")
    client = await here.join(path)
    first, second = client.keys()
    _, waiting = await client.execute(first, second)
    await client.until(lambda: client.runtime.execution(first), "the first run")
    room = next(iter(here.daemon.rooms))
    room.care._rescue_interval_s = 3600
    fail_the_journal(here, room)
    await until(lambda: room.unsafe, "the failure")
    assert await client.request("cancel", executions=[waiting]) == {"executions": [waiting]}
    await client.request("kernel.interrupt")
    await client.request("kernel.shutdown")
    with pytest.raises(RefusedError, match="unsafe"):
        await client.execute(second)
    assert room.unsafe
