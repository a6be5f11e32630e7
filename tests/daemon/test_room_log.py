"""The barrier of a room, with a journal that commits when the test says so."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

from hypothesis import given
from hypothesis import strategies as st

from runt.daemon.room_log import RoomLog
from runt.store.journal import ExecutionRow


class HandJournal:
    """Numbers appends and remembers them; nothing is committed by itself."""

    def __init__(self) -> None:
        self.appends: list[tuple[list[tuple[str, bytes]], dict[str, bytes | None]]] = []

    def append(
        self,
        updates: Sequence[tuple[str, bytes]] = (),
        side: dict[str, bytes | None] | None = None,
        executions: Sequence[ExecutionRow] = (),
    ) -> int:
        self.appends.append((list(updates), dict(side or {})))
        return len(self.appends)


async def test_without_changes_nothing_waits() -> None:
    """An action that depends on nothing new runs at once."""
    done: list[str] = []
    log = RoomLog(HandJournal(), asyncio.get_running_loop())
    log.after_commit(lambda: done.append("now"))
    assert done == ["now"]


async def test_an_action_waits_for_the_changes_before_it() -> None:
    """Not for those after it, and not less than all before it."""
    done: list[str] = []
    log = RoomLog(HandJournal(), asyncio.get_running_loop())
    log.update("n", b"1")
    log.after_commit(lambda: done.append("first"))
    log.flush()
    log.update("n", b"2")
    log.after_commit(lambda: done.append("second"))
    log.flush()
    assert done == []
    log.committed(1)
    assert done == ["first"]
    log.committed(2)
    assert done == ["first", "second"]
    assert log.settled


async def test_a_burst_is_one_append() -> None:
    """Everything that one turn of the loop records goes to the journal together, by itself."""
    journal = HandJournal()
    log = RoomLog(journal, asyncio.get_running_loop())
    log.update("n", b"1")
    log.update("r", b"2")
    log.side("fold", b"old")
    log.side("fold", b"new")
    await asyncio.sleep(0)
    assert journal.appends == [([("n", b"1"), ("r", b"2")], {"fold": b"new"})]


async def test_an_action_that_records_and_waits_again_keeps_the_order() -> None:
    """What an action asks for comes after what was asked for before it."""
    done: list[str] = []
    log = RoomLog(HandJournal(), asyncio.get_running_loop())

    def first() -> None:
        done.append("first")
        log.update("r", b"more")
        log.after_commit(lambda: done.append("third"))
        log.flush()

    log.update("n", b"1")
    log.after_commit(first)
    log.after_commit(lambda: done.append("second"))
    log.flush()
    log.committed(1)
    assert done == ["first", "second"]
    log.committed(2)
    assert done == ["first", "second", "third"]


steps = st.lists(st.sampled_from(["update", "action", "flush", "commit"]), max_size=60)


@given(steps)
def test_actions_run_in_order_and_never_before_their_changes(script: list[str]) -> None:
    """Whatever the interleaving of recording, appending and committing."""
    loop = asyncio.new_event_loop()
    try:
        journal = HandJournal()
        log = RoomLog(journal, loop)
        recorded = committed = asked = 0
        committed_updates = [0]
        ran: list[tuple[int, int]] = []
        for step in script:
            match step:
                case "update":
                    recorded += 1
                    log.update("n", b"")
                case "action":
                    needs, number = recorded, asked
                    asked += 1

                    def act(needs: int = needs, number: int = number) -> None:
                        assert committed_updates[0] >= needs
                        ran.append((number, needs))

                    log.after_commit(act)
                case "flush":
                    log.flush()
                case "commit" if committed < len(journal.appends):
                    committed += 1
                    committed_updates[0] = sum(len(updates) for updates, _ in journal.appends[:committed])
                    log.committed(committed)
        log.flush()
        committed_updates[0] = recorded
        log.committed(len(journal.appends))
        assert [number for number, _ in ran] == list(range(asked))
    finally:
        loop.close()


async def test_one_failing_action_does_not_hold_up_the_next() -> None:
    """What waits behind it runs at the same commit."""
    done: list[str] = []
    log = RoomLog(HandJournal(), asyncio.get_running_loop())

    def fail() -> None:
        raise RuntimeError("a peer's trouble")

    log.update("n", b"1")
    log.after_commit(fail)
    log.after_commit(lambda: done.append("second"))
    log.flush()
    log.committed(1)
    assert done == ["second"]


async def test_a_closed_log_promises_nothing() -> None:
    """What was recorded before the close is released by its commit; what is asked for later never runs."""
    done: list[str] = []
    log = RoomLog(HandJournal(), asyncio.get_running_loop())
    log.update("n", b"1")
    log.after_commit(lambda: done.append("before"))
    log.close()
    log.update("n", b"2")
    log.after_commit(lambda: done.append("after"))
    log.flush()
    log.committed(1)
    assert done == ["before"]
