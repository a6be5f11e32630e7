"""Output of a kernel while the disk is full, or when folding fails: what is kept, and that runs still end."""

from __future__ import annotations

from typing import Any

import pytest

from runt.daemon import folding_messages, kernel_records
from runt.daemon.folding_ops import ExecutionDone, SetNextInput
from runt.errors import BlobMissing, NoSpace
from runt.store.blobs import BlobStore
from runt.store.journal import RoomJournal
from tests.daemon.daemon_in_loop import DaemonInLoop

LONG = 30_000  # code points: more than an inline manifest holds


@pytest.fixture
def full_disk(monkeypatch: pytest.MonkeyPatch) -> dict[str, bool]:
    """Set ``["full"]`` and no blob can be put."""
    state = {"full": False}
    put = BlobStore.put

    def put_or_fail(self: BlobStore, data: bytes, media_type: str) -> tuple[str, int]:
        if state["full"]:
            raise NoSpace("the disk is full")
        return put(self, data, media_type)

    monkeypatch.setattr(BlobStore, "put", put_or_fail)
    monkeypatch.setattr(kernel_records, "STORE_RETRY_S", 0.05)
    return state


def notices(client: Any) -> str:
    return " ".join(str(event.data) for event in client.events)


async def test_output_waits_for_a_full_disk(here: DaemonInLoop, full_disk: dict[str, bool]) -> None:
    """While no blob can be written the output waits in the supervisor's journal; afterwards it is whole."""
    path = here.notebook("a.ipynb", "1", f"print('z' * {LONG})", 'print("next")')
    client = await here.join(path)
    first, long, after = client.keys()
    await client.run(first)
    full_disk["full"] = True
    ids = await client.execute(long, after)
    await client.until(lambda: "waits" in notices(client), "the notice")
    full_disk["full"] = False
    await client.until(lambda: (view := client.runtime.execution(after)) and view.ended, "the end")
    views = [client.runtime.execution(key) for key in (long, after)]
    assert [view.id for view in views if view] == ids
    assert [view.status for view in views if view] == ["ok", "ok"]
    assert client.printed(long, here.daemon.blobs) == "z" * LONG + "\n"
    assert client.printed(after) == "next\n"
    assert "is taken again" in notices(client)


async def test_output_waits_over_a_restart_of_the_daemon(
    here: DaemonInLoop, full_disk: dict[str, bool]
) -> None:
    """Output that waited for the disk when the daemon stopped is folded by the next one."""
    path = here.notebook("a.ipynb", f"print('z' * {LONG})")
    client = await here.join(path)
    await client.request("kernel.start")
    full_disk["full"] = True
    await client.execute(client.keys()[0])
    await client.until(lambda: "waits" in notices(client), "the notice")
    await here.restart()
    full_disk["full"] = False
    again = await here.join(path)
    key = again.keys()[0]
    await again.until(lambda: (view := again.runtime.execution(key)) and view.ended, "the end")
    assert again.printed(key, here.daemon.blobs) == "z" * LONG + "\n"


@pytest.mark.parametrize("error", [OverflowError("x"), RecursionError(), AttributeError("x")])
async def test_only_the_record_that_cannot_be_folded_is_left_out(
    here: DaemonInLoop, monkeypatch: pytest.MonkeyPatch, error: Exception
) -> None:
    """A bug met by one message costs that message, not its batch, the link to the supervisor or the kernel."""
    output = folding_messages.MessageFolding._output

    def broken(self: Any, execution: Any, kind: str, content: Any) -> None:
        if "unlucky" in str(content):
            raise error
        output(self, execution, kind, content)

    monkeypatch.setattr(folding_messages.MessageFolding, "_output", broken)
    path = here.notebook("a.ipynb", "print('a'); display('unlucky'); print('b')", "2 + 3")
    client = await here.join(path)
    assert await client.run(*client.keys()) == ["ok", "ok"]
    assert client.printed(client.keys()[0]) == "a\nb\n"
    assert "5" in str(client.runtime.outputs(client.keys()[1]))
    assert "lost the supervisor" not in here.log_text()


async def test_a_run_whose_reply_cannot_be_folded_ends_with_an_error(
    here: DaemonInLoop, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The record that ends a run ends it, even if nothing else of it can be used."""
    payloads = folding_messages.MessageFolding._payloads
    broken_ones: list[str] = []

    def broken(self: Any, execution: Any, content: Any, record: Any) -> None:
        if not broken_ones or broken_ones == [execution.id]:
            broken_ones[:] = [execution.id]
            raise AttributeError("a bug")
        payloads(self, execution, content, record)

    monkeypatch.setattr(folding_messages.MessageFolding, "_payloads", broken)
    path = here.notebook("a.ipynb", "1", "2")
    client = await here.join(path)
    assert await client.run(client.keys()[0]) == ["error"]
    assert await client.run(client.keys()[1]) == ["ok"]


async def test_a_lost_blob_costs_one_output_and_no_run(
    here: DaemonInLoop, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A sealed piece that is gone leaves the stream as it stands; its run ends, and others go on."""

    def missing(self: BlobStore, hash_: str) -> bytes:
        raise BlobMissing(hash_)

    monkeypatch.setattr(BlobStore, "get", missing)
    path = here.notebook("a.ipynb", "print('some text\\n' * 20000)", "2")
    client = await here.join(path)
    assert await client.run(client.keys()[0]) == ["ok"]
    assert await client.run(client.keys()[1]) == ["ok"]


async def test_what_records_change_in_the_text_is_in_the_append_that_moves_past_them(
    here: DaemonInLoop, monkeypatch: pytest.MonkeyPatch
) -> None:
    """`set_next_input` reaches the journal with the offset behind it, though another run begins before."""
    path = here.notebook("a.ipynb", "while True: pass", "2")
    client = await here.join(path)
    first, second = client.keys()
    running, _ = await client.execute(first, second)
    await client.until(lambda: client.runtime.execution(first), "the first run")
    room = next(iter(here.daemon.rooms))
    appends: list[bool] = []  # of those with a fold state: whether it has the new text
    append = RoomJournal.append

    def watched(self: RoomJournal, updates: Any = (), side: Any = (), *others: Any, **named: Any) -> int:
        if "fold" in side:
            appends.append(any(doc == "n" for doc, _ in updates))
        return append(self, updates, side, *others, **named)

    monkeypatch.setattr(RoomJournal, "append", watched)
    records = room.kernel._records
    effects = [ExecutionDone(running, "ok"), SetNextInput(running, first, "# new", True, 0)]
    records._take((records.state, [], effects))
    assert room.kernel.runs.running is not None
    assert room.kernel.runs.running.cell == second
    assert appends == [True]
    await client.until(lambda: client.sources()[0] == "# new", "the text")
