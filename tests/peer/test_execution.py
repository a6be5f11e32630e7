"""Executions: results and streams, derived from the runtime document alone."""

from __future__ import annotations

import asyncio
import random
from typing import Any

import pytest

from runt.errors import ConnectionLost, RequestError
from runt.notebook.cell import CellKey
from runt.notebook.manifests import (
    BlobRef,
    ContentRef,
    ErrorManifest,
    ResultManifest,
    StreamManifest,
    encode,
)
from runt.notebook.runtime_document import QueueEntry, RuntimeDocument
from runt.notebook.runtime_writer import RuntimeWriter
from runt.notebook.source_hash import source_hash
from runt.peer.notebook import Notebook
from runt.peer.output_stream import OutputsCleared, OutputShown, OutputStream, StreamText
from runt.protocol.messages import Failure, Request
from runt.store.blobs import BlobStore
from tests.peer.small_daemon import Scene, SmallRoom, until


class Kernel:
    """Runs what the room is asked to run, step by step, as the test says."""

    def __init__(self, room: SmallRoom) -> None:
        self.room = room
        self.runs: list[dict[str, str]] = []
        self.results: dict[str, object] = {}
        room.answer = self._answer

    def _answer(self, request: Request) -> object:
        if request.method == "execute":
            runs = request.params["runs"]
            self.runs += runs
            with self.room.runtime_change() as writer:
                for run in runs:
                    entry = QueueEntry(run["execution"], CellKey(run["cell"]), run["source_hash"])
                    writer.enqueue(entry)
            return {"executions": [run["execution"] for run in runs]}
        if request.method == "result":
            unknown = Failure(code="not_found", message="no such execution")
            return self.results.get(request.params["execution"], unknown)
        return {}

    def begin(self, number: int) -> CellKey:
        run = self.runs[number]
        with self.room.runtime_change() as writer:
            writer.dequeue(run["execution"])
            writer.begin(
                CellKey(run["cell"]),
                run["execution"],
                source_hash=run["source_hash"],
                by="",
                queued=1.0,
                started=2.0,
            )
        return CellKey(run["cell"])

    def finish(self, number: int, status: str, *outputs: Any, count: int = 1) -> None:
        cell = CellKey(self.runs[number]["cell"])
        with self.room.runtime_change() as writer:
            for output in outputs:
                writer.append_output(cell, encode(output))
            writer.set_execution(cell, status=status, count=count)


async def opened(scene: Scene, *sources: str) -> tuple[Notebook, Kernel]:
    room = scene.daemon.add_room(sources=sources or ("1+1",))
    return await scene.open(), Kernel(room)


def stdout(text: str) -> StreamManifest:
    return StreamManifest("stdout", ContentRef(inline=text))


async def test_a_run_names_its_source_and_gives_its_result(scene: Scene) -> None:
    """The request pins the source's hash; the result has status, count, text, outputs and error."""
    notebook, kernel = await opened(scene)
    cell = notebook.cells.get_by_index(0)
    running = asyncio.ensure_future(cell.run(timeout=20))
    await until(lambda: kernel.runs, "the run")
    assert kernel.runs[0]["source_hash"] == source_hash("1+1")
    kernel.begin(0)
    traceback = ContentRef(inline='["line 1","line 2"]')
    kernel.finish(
        0,
        "error",
        stdout("printed\n"),
        ResultManifest({"text/plain": ContentRef(inline="2")}, execution_count=7),
        ErrorManifest("ValueError", "bad", traceback),
        count=7,
    )
    result = await running
    assert (result.status, result.ok, result.execution_count) == ("error", False, 7)
    assert (result.stdout, result.stderr) == ("printed\n", "")
    assert [output.output_type for output in result.outputs] == ["stream", "execute_result", "error"]
    assert result.outputs[1].data == {"text/plain": "2"}
    assert result.error is not None
    assert (result.error.ename, result.error.evalue) == ("ValueError", "bad")
    assert result.error.traceback == ["line 1", "line 2"]
    assert cell.status == "error"


async def test_a_result_survives_a_later_run_of_its_cell(scene: Scene) -> None:
    """Runs that end and are replaced in one moment resolve with the outputs that they had."""
    notebook, kernel = await opened(scene)
    cell = notebook.cells.get_by_index(0)
    first = await cell.execute()
    second = await cell.execute()
    kernel.begin(0)
    kernel.finish(0, "ok", stdout("first"))
    kernel.begin(1)
    kernel.finish(1, "ok", stdout("second"))
    assert (await first.result(20)).stdout == "first"
    assert (await second.result(20)).stdout == "second"


async def test_a_run_that_was_replaced_unseen_is_asked_for(scene: Scene) -> None:
    """What never appears in the document is asked of the daemon: its answer, or a clear not_found."""
    notebook, kernel = await opened(scene)
    cell = notebook.cells.get_by_index(0)
    kept, forgotten = await cell.execute(), await cell.execute()
    kernel.results[kept.id] = {
        "status": "ok",
        "count": 3,
        "outputs": [encode(stdout("kept"))],
        "cell": cell.id,
    }
    with kernel.room.runtime_change() as writer:
        writer.clear_queue()
    result = await kept.result(20)
    assert (result.stdout, result.execution_count) == ("kept", 3)
    with pytest.raises(RequestError) as caught:
        await forgotten.result(20)
    assert caught.value.code == "not_found"


async def test_a_source_that_changed_is_refused(scene: Scene) -> None:
    """The daemon's refusal reaches the caller with its code; nothing is followed."""
    notebook, kernel = await opened(scene)
    kernel.room.answer = lambda request: Failure(code="source_changed", message="changed")
    with pytest.raises(RequestError) as caught:
        await notebook.cells.get_by_index(0).run()
    assert caught.value.code == "source_changed"


async def test_waiting_for_a_result_can_time_out(scene: Scene) -> None:
    """A timeout leaves the execution alone: it can be waited for again."""
    notebook, kernel = await opened(scene)
    execution = await notebook.cells.get_by_index(0).execute()
    with pytest.raises(TimeoutError):
        await execution.result(0)
    kernel.begin(0)
    kernel.finish(0, "ok")
    assert (await execution.result(20)).ok


async def test_a_stopped_daemon_ends_the_wait(scene: Scene) -> None:
    """When the daemon is stopped on purpose nobody waits for ever."""
    notebook, _ = await opened(scene)
    execution = await notebook.cells.get_by_index(0).execute()
    await scene.daemon.stop()
    with pytest.raises(ConnectionLost):
        await execution.result(20)


async def test_a_result_arrives_over_a_reconnect(scene: Scene) -> None:
    """An execution that ended while the connection was away resolves when it is back."""
    notebook, kernel = await opened(scene)
    execution = await notebook.cells.get_by_index(0).execute()
    await scene.daemon.kill()
    kernel.begin(0)
    kernel.finish(0, "ok", stdout("done"))
    assert (await execution.result(20)).stdout == "done"


async def test_a_result_arrives_in_a_runtime_of_another_epoch(scene: Scene) -> None:
    """An execution that is current in the rebuilt runtime document resolves from there."""
    notebook, kernel = await opened(scene)
    execution = await notebook.cells.get_by_index(0).execute()
    await scene.daemon.kill()
    room = kernel.room
    room.runtime = RuntimeDocument.create("test")
    room.writer = RuntimeWriter(room.runtime)
    room.watch()
    kernel.begin(0)
    kernel.finish(0, "ok", stdout("done"))
    assert (await execution.result(20)).stdout == "done"


async def test_a_stream_gives_text_as_it_comes(scene: Scene) -> None:
    """`stream` yields text while the run goes on, takes back what was rewritten, then other outputs."""
    notebook, kernel = await opened(scene)
    cell = notebook.cells.get_by_index(0)
    seen: list[object] = []

    async def follow() -> None:
        async for event in cell.stream():
            seen.append(event)

    following = asyncio.ensure_future(follow())
    await until(lambda: kernel.runs, "the run")
    key = kernel.begin(0)
    writer = kernel.room.writer
    with kernel.room.runtime_change():
        index = writer.open_stream(key, "stdout")
        writer.edit_tail(key, index, 0, "10 %")
    await until(lambda: seen, "the first text")
    with kernel.room.runtime_change():
        writer.edit_tail(key, index, 0, "20 %\n")
    await until(lambda: len(seen) == 2, "the second text")
    with kernel.room.runtime_change():
        writer.finish_stream(key, index, encode(stdout("20 %\nend\n")))
    kernel.finish(0, "ok", ResultManifest({"text/plain": ContentRef(inline="2")}))
    await following
    assert seen[:3] == [
        StreamText(0, "stdout", "10 %"),
        StreamText(0, "stdout", "20 %\n", erased=4),
        StreamText(0, "stdout", "end\n"),
    ]
    assert isinstance(seen[3], OutputShown)
    assert seen[3].output.data == {"text/plain": "2"}


@pytest.mark.parametrize("seed", range(20))
def test_replaying_the_events_gives_the_text(tmp_path: Any, seed: int) -> None:
    """However a stream grows, is rewritten, sealed and finished: the events add up to its text."""
    rng = random.Random(seed)
    blobs = BlobStore(tmp_path / "blobs")
    runtime = RuntimeDocument.create("test")
    writer = RuntimeWriter(runtime)
    key = CellKey("c")
    with runtime.transaction("daemon"):
        writer.begin(key, "e", source_hash="", by="", queued=0.0, started=0.0)
        writer.open_stream(key, "stdout")
    reader = OutputStream(blobs)
    sealed, tail, replayed = "", "", ""

    def replay() -> None:
        nonlocal replayed
        for event in reader.read(runtime.outputs(key)):
            assert isinstance(event, StreamText)
            replayed = replayed[: len(replayed) - event.erased] + event.text

    for step in range(60):
        with runtime.transaction("daemon"):
            if rng.random() < 0.2 and tail:
                drop = rng.randint(1, len(tail))
                data = tail[:drop].encode()
                writer.seal(key, 0, BlobRef(*blobs.put(data, "text/plain")), drop)
                sealed, tail = sealed + tail[:drop], tail[drop:]
            else:
                keep = rng.randint(0, len(tail)) if rng.random() < 0.3 else len(tail)
                new = f"é{step}\n" * rng.randint(0, 3)
                writer.edit_tail(key, 0, keep, new)
                tail = tail[:keep] + new
        if rng.random() < 0.6:
            replay()
            assert replayed == sealed + tail
    with runtime.transaction("daemon"):
        whole = BlobRef(*blobs.put((sealed + tail + "end").encode(), "text/plain"))
        writer.finish_stream(
            key, 0, encode(StreamManifest("stdout", ContentRef(blob=whole.hash, size=whole.size)))
        )
    replay()
    assert replayed == sealed + tail + "end"


def test_cleared_outputs_are_said(tmp_path: Any) -> None:
    """When outputs are cleared and others come, the events say so."""
    runtime = RuntimeDocument.create("test")
    writer = RuntimeWriter(runtime)
    key = CellKey("c")
    reader = OutputStream(BlobStore(tmp_path / "blobs"))
    with runtime.transaction("daemon"):
        writer.begin(key, "e", source_hash="", by="", queued=0.0, started=0.0)
        writer.append_output(key, encode(stdout("a")))
        writer.append_output(key, encode(stdout("b")))
    assert [event.text for event in reader.read(runtime.outputs(key))] == ["a", "b"]  # type: ignore[union-attr]
    with runtime.transaction("daemon"):
        writer.clear_outputs(key)
        writer.append_output(key, encode(stdout("c")))
    assert list(reader.read(runtime.outputs(key))) == [OutputsCleared(), StreamText(0, "stdout", "c")]
