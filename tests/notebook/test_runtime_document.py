"""The runtime document: what is written, what is read, what observers are told, what it costs."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pycrdt import Array, Map

from runt.notebook import manifests, text
from runt.notebook.cell import CellKey
from runt.notebook.manifests import BlobRef, ContentRef, ErrorManifest, StreamManifest
from runt.notebook.runtime_document import (
    ExecutionView,
    FileView,
    KernelView,
    LiveStream,
    ManifestHash,
    QueueEntry,
    RuntimeChange,
    RuntimeDocument,
)
from runt.notebook.runtime_writer import RuntimeWriter

CELL = CellKey("c1")
HASH = "ab" * 32
MANIFEST = manifests.encode(StreamManifest(name="stdout", text=ContentRef(inline="hi\n")))


class Room:
    """A document with its writer, a replica that follows, and what both report."""

    def __init__(self) -> None:
        self.document = RuntimeDocument.create("machine")
        self.writer = RuntimeWriter(self.document)
        self.replica = RuntimeDocument()
        self.replica.apply(self.document.update_since())
        self.sizes: list[int] = []
        self.changes: list[RuntimeChange] = []
        self.document.observe_updates(self._relay)
        self.replica.observe(self.changes.append)

    def _relay(self, update: bytes, origin: object) -> None:
        self.sizes.append(len(update))
        self.replica.apply(update)

    @contextmanager
    def step(self) -> Iterator[RuntimeWriter]:
        self.sizes.clear()
        self.changes.clear()
        with self.document.transaction("daemon"):
            yield self.writer

    def change(self) -> RuntimeChange:
        [change] = self.changes
        return change

    def tail(self, index: int = 0) -> str:
        entry = self.replica.output(CELL, index)
        assert isinstance(entry, LiveStream)
        return entry.tail


@pytest.fixture
def room() -> Room:
    return Room()


@pytest.fixture
def streaming(room: Room) -> Room:
    """A room whose cell runs and has an open stream at index 0."""
    with room.step() as writer:
        writer.begin(CELL, "e1", HASH, "ann", 1.0, 2.0)
        writer.open_stream(CELL, "stdout")
    return room


class TestReading:
    def test_a_new_document(self, room: Room) -> None:
        """A new document knows its owner and epoch, and has nothing else."""
        assert (room.replica.schema, room.replica.owner) == ("1", "machine")
        assert room.replica.epoch == room.document.epoch != RuntimeDocument.create("machine").epoch
        assert room.replica.kernel == KernelView()
        assert room.replica.file == FileView()
        assert room.replica.queue == []
        assert room.replica.execution(CELL) is None
        assert room.replica.outputs(CELL) == []
        assert room.replica.output_count(CELL) == 0
        assert room.replica.execution_keys() == []

    def test_an_unsynced_replica(self) -> None:
        """A replica that has seen nothing claims nothing."""
        document = RuntimeDocument()
        assert (document.schema, document.epoch, document.owner) == ("", "", "")
        assert document.kernel.state == "none"

    def test_foreign_values_never_raise(self) -> None:
        """Whatever is in the document, reading gives values of the promised types."""
        document = RuntimeDocument()
        current = document.doc.get("current", type=Map)
        with document.transaction("foreign"):
            current["text"] = "not a map"
            current["bare"] = Map({})
            current["odd"] = Map(
                {
                    "count": 3,
                    "started": "soon",
                    "outputs": Array(["{", 5, Map({}), Map({"tail": 1, "sealed": Array([1, "{}"])}), HASH]),
                }
            )
            document.doc.get("queue", type=Array).extend(["{", 4, "[]", "{}"])
            document.doc.get("kernel", type=Map)["state"] = 5
            document.doc.get("file", type=Map)["saved_seq_n"] = "many"
        assert document.execution(CellKey("text")) is None
        assert document.execution(CellKey("bare")) == ExecutionView(
            "", "loaded", None, "", "", None, None, None
        )
        odd = document.execution(CellKey("odd"))
        assert odd is not None
        assert (odd.count, odd.started) == (None, None)
        outputs = document.outputs(CellKey("odd"))
        assert [type(entry) for entry in outputs] == [
            ErrorManifest,
            ErrorManifest,
            LiveStream,
            LiveStream,
            ManifestHash,
        ]
        assert document.queue == [QueueEntry("", CellKey(""), "")]
        assert document.kernel.state == "none"
        assert document.file.saved_seq_n is None


class TestKernelAndFile:
    def test_kernel_fields(self, room: Room) -> None:
        """Kernel fields are set and removed one by one."""
        with room.step() as writer:
            writer.set_kernel(state="ready", activity="idle", name="python3", language="python", error="x")
        with room.step() as writer:
            writer.set_kernel(activity="busy", error=None)
        assert room.replica.kernel == KernelView("ready", "busy", "python3", "python")
        assert room.change() == RuntimeChange("remote", True, False, False, frozenset(), {}, frozenset())

    def test_file_numbers_keep_their_type(self, room: Room) -> None:
        """Journal numbers come back as integers, times exactly."""
        view = FileView("/x.ipynb", 2**60, 3, 1790000000.123456, "d" * 64, "", "disk full")
        with room.step() as writer:
            writer.set_file(**{name: getattr(view, name) for name in FileView.__struct_fields__})
        assert room.replica.file == view
        assert room.change().file

    def test_the_same_values_are_no_update(self, room: Room) -> None:
        """Setting what is there already sends nothing."""
        with room.step() as writer:
            writer.set_kernel(state="ready")
        with room.step() as writer:
            writer.set_kernel(state="ready", error=None)
        assert room.sizes == []

    def test_unknown_names_are_refused(self, room: Room) -> None:
        """A misspelt field raises TypeError before anything is written."""
        for call in (room.writer.set_kernel, room.writer.set_file):
            with pytest.raises(TypeError, match="sate"), room.step():
                call(state="x", sate="y") if call == room.writer.set_kernel else call(path="x", sate="y")
        assert room.replica.kernel == KernelView()
        assert room.replica.file == FileView()


class TestQueue:
    def test_order_and_removal(self, room: Room) -> None:
        """Runs leave the queue by their execution id; the others keep their order."""
        entries = [QueueEntry(f"e{n}", CellKey(f"c{n}"), HASH, "ann", "r1") for n in range(3)]
        with room.step() as writer:
            for entry in entries:
                writer.enqueue(entry)
        assert room.replica.queue == entries
        with room.step() as writer:
            assert writer.dequeue("e1")
            assert not writer.dequeue("e1")
        assert room.replica.queue == [entries[0], entries[2]]
        assert room.change() == RuntimeChange("remote", False, True, False, frozenset(), {}, frozenset())
        with room.step() as writer:
            writer.clear_queue()
            writer.clear_queue()
        assert room.replica.queue == []

    def test_many_changes_at_once(self, room: Room) -> None:
        """Entries are removed, replaced in their places and added at the end in one step."""
        entries = [QueueEntry(f"e{n}", CellKey(f"c{n}"), HASH, "ann", "r1") for n in range(12)]
        other = QueueEntry("f6", CellKey("c6"), HASH, "ann", "r2")
        with room.step() as writer:
            writer.edit_queue(added=entries[:11])
        with room.step() as writer:
            gone = ["e0", "e1", "e5", "e7", "e10", "unknown"]
            writer.edit_queue(removed=gone, replaced={"e6": other}, added=entries[11:])
        assert room.replica.queue == [*entries[2:5], other, *entries[8:10], entries[11]]


class TestExecutions:
    def test_a_run(self, room: Room) -> None:
        """A run begins without outputs, takes its count and its end, and shows them exactly."""
        with room.step() as writer:
            writer.begin(CELL, "e1", HASH, "ann", 1.25, 2.5)
        assert room.replica.execution(CELL) == ExecutionView(
            "e1", "running", None, HASH, "ann", 1.25, 2.5, None
        )
        with room.step() as writer:
            writer.set_execution(CELL, status="ok", count=7, ended=1790000000.000001)
        assert room.replica.execution(CELL) == ExecutionView(
            "e1", "ok", 7, HASH, "ann", 1.25, 2.5, 1790000000.000001
        )
        assert room.replica.execution_keys() == [CELL]

    def test_the_next_run_replaces_it(self, room: Room) -> None:
        """A new run shows none of the outputs and fields of the one before."""
        with room.step() as writer:
            writer.load(CELL, "file:1", 3, [MANIFEST, HASH])
        assert room.replica.output_count(CELL) == 2
        with room.step() as writer:
            writer.begin(CELL, "e2", HASH, "bob", None, 5.0)
        assert room.replica.execution(CELL) == ExecutionView(
            "e2", "running", None, HASH, "bob", None, 5.0, None
        )
        assert room.replica.outputs(CELL) == []
        assert room.change().executions == {CELL}

    def test_loaded_outputs(self, room: Room) -> None:
        """What the file holds is a loaded execution with its count and outputs."""
        with room.step() as writer:
            writer.load(CELL, "file:1", None, [MANIFEST, HASH])
        view = room.replica.execution(CELL)
        assert view is not None
        assert (view.status, view.count) == ("loaded", None)
        assert room.replica.outputs(CELL) == [
            StreamManifest(name="stdout", text=ContentRef(inline="hi\n")),
            HASH,
        ]
        assert isinstance(room.replica.output(CELL, 1), ManifestHash)

    def test_forgetting(self, room: Room) -> None:
        """A forgotten execution is gone; forgetting again is nothing."""
        with room.step() as writer:
            writer.load(CELL, "file:1", None, [])
        with room.step() as writer:
            writer.forget(CELL)
        assert room.replica.execution(CELL) is None
        assert room.change().executions == {CELL}
        with room.step() as writer:
            writer.forget(CELL)
        assert room.sizes == []

    def test_without_an_execution(self, room: Room) -> None:
        """Writing to an execution that is not there raises KeyError; clearing it is nothing."""
        for call in (
            lambda: room.writer.append_output(CELL, HASH),
            lambda: room.writer.open_stream(CELL, "stdout"),
            lambda: room.writer.edit_tail(CELL, 0, 0, "x"),
            lambda: room.writer.set_execution(CELL, status="ok"),
        ):
            with pytest.raises(KeyError), room.step():
                call()
        room.writer.clear_outputs(CELL)

    def test_rerunning_does_not_grow_the_document(self, room: Room) -> None:
        """A thousand runs of a cell with outputs leave under 40 bytes each."""
        for number in range(1000):
            with room.step() as writer:
                writer.begin(CELL, f"{number:032x}", HASH, "ann", 1.0, 2.0)
                writer.append_output(CELL, HASH)
            with room.step() as writer:
                writer.append_output(CELL, MANIFEST)
                writer.set_execution(CELL, status="ok", count=number)
        assert len(room.document.update_since()) < 40_000


class TestOutputs:
    def test_append_replace_clear(self, room: Room) -> None:
        """Outputs are appended with their index, replaced in place and cleared."""
        with room.step() as writer:
            writer.begin(CELL, "e1", HASH, "ann", 1.0, 2.0)
            assert writer.append_output(CELL, HASH) == 0
            assert writer.append_output(CELL, MANIFEST) == 1
        with room.step() as writer:
            writer.replace_output(CELL, 0, "cd" * 32)
        assert room.replica.output(CELL, 0) == "cd" * 32
        assert room.replica.output_count(CELL) == 2
        assert room.change().executions == {CELL}
        with pytest.raises(IndexError):
            room.writer.replace_output(CELL, 2, HASH)
        with pytest.raises(IndexError):
            room.replica.output(CELL, 2)
        with room.step() as writer:
            writer.clear_outputs(CELL)
        assert room.replica.outputs(CELL) == []


class TestLiveStreams:
    def test_life_of_a_stream(self, streaming: Room) -> None:
        """A stream grows, is sealed from its front, and becomes a manifest in the same place."""
        room = streaming
        with room.step() as writer:
            writer.edit_tail(CELL, 0, 0, "é" * 10 + "rest")
            writer.append_output(CELL, HASH)
        with room.step() as writer:
            writer.seal(CELL, 0, BlobRef(HASH, 20), 10)
        assert room.replica.output(CELL, 0) == LiveStream("stdout", (BlobRef(HASH, 20),), "rest")
        assert room.change().executions == {CELL}
        assert room.change().tails_only == frozenset()
        with room.step() as writer:
            writer.finish_stream(CELL, 0, MANIFEST)
        assert isinstance(room.replica.output(CELL, 0), StreamManifest)
        assert room.replica.output(CELL, 1) == HASH
        with pytest.raises(KeyError, match="not a live stream"):
            room.writer.edit_tail(CELL, 0, 0, "x")
        with pytest.raises(KeyError, match="not a live stream"):
            room.writer.finish_stream(CELL, 1, MANIFEST)

    @pytest.mark.parametrize("reference", [f'{{"blob":"{HASH}","size":5}}', f'["{HASH}",5]'])
    def test_references_as_json(self, streaming: Room, reference: str) -> None:
        """A blob reference may be given as JSON text, as an object or a pair."""
        with streaming.step() as writer:
            writer.seal(CELL, 0, reference, 0)
        assert streaming.replica.output(CELL, 0) == LiveStream("stdout", (BlobRef(HASH, 5),), "")

    @given(
        st.lists(st.tuples(st.integers(0, 60), st.text(alphabet="ab\n😀é\u0301█", max_size=30)), max_size=12)
    )
    def test_any_edits(self, edits: list[tuple[int, str]]) -> None:
        """Whatever is kept and written, the tail is what the reducer meant, on every replica."""
        room = Room()
        with room.step() as writer:
            writer.begin(CELL, "e1", HASH, "ann", 1.0, 2.0)
            writer.open_stream(CELL, "stdout")
        tail = ""
        for keep, new in edits:
            keep = min(keep, len(tail))
            before, tail = tail, tail[:keep] + new
            with room.step() as writer:
                writer.edit_tail(CELL, 0, keep, new)
            assert room.tail() == tail
            for change in room.changes:
                replayed = before
                for edit in text.delta_edits(before, change.tails[CELL, 0]):
                    replayed = replayed[: edit.at] + edit.inserted + replayed[edit.at + edit.removed :]
                assert replayed == tail

    @pytest.mark.parametrize("keep", [-1, 4])
    def test_keeping_more_than_there_is(self, streaming: Room, keep: int) -> None:
        """Keeping code points that are not there is refused and changes nothing."""
        with streaming.step() as writer:
            writer.edit_tail(CELL, 0, 0, "éé😀")
        with pytest.raises(IndexError), streaming.step() as writer:
            writer.edit_tail(CELL, 0, keep, "x")
        assert streaming.tail() == "éé😀"

    def test_sealing_more_than_there_is(self, streaming: Room) -> None:
        """A seal that drops more than the tail holds is refused and seals nothing."""
        with pytest.raises(IndexError), streaming.step() as writer:
            writer.seal(CELL, 0, BlobRef(HASH, 1), 1)
        assert streaming.replica.output(CELL, 0) == LiveStream("stdout", (), "")

    def test_an_append_is_small(self, streaming: Room) -> None:
        """A line of 100 characters is an update of under 200 bytes, even at the end of 60 kB."""
        with streaming.step() as writer:
            writer.edit_tail(CELL, 0, 0, "x" * 60_000)
        with streaming.step() as writer:
            writer.edit_tail(CELL, 0, 60_000, "y" * 99 + "\n")
        assert sum(streaming.sizes) < 200

    def test_a_progress_bar_writes_what_differs(self, streaming: Room) -> None:
        """A rewritten progress line sends its differing middle only, and its versions leave little behind."""

        def bar(step: int) -> str:
            return f"{step:4d}%|{'█' * (step // 50):20s}| {step}/1000 [00:{step % 60:02d}<?, {step}it/s]"

        with streaming.step() as writer:
            writer.edit_tail(CELL, 0, 0, "a line before\n" + bar(0))
        biggest = 0
        for step in range(1, 1000):
            with streaming.step() as writer:
                writer.edit_tail(CELL, 0, 14, bar(step))
            biggest = max(biggest, *streaming.sizes)
        assert streaming.tail() == "a line before\n" + bar(999)
        assert biggest < 60 + len(bar(999).encode())
        assert len(streaming.document.update_since()) < 10_000

    def test_the_same_tail_is_no_update(self, streaming: Room) -> None:
        """Writing what is there already sends nothing."""
        with streaming.step() as writer:
            writer.edit_tail(CELL, 0, 0, "abc")
        with streaming.step() as writer:
            writer.edit_tail(CELL, 0, 1, "bc")
        assert streaming.sizes == []

    def test_surrogates(self, streaming: Room) -> None:
        """A lone surrogate in output is replaced and keeps its place in the count of code points."""
        with streaming.step() as writer:
            writer.edit_tail(CELL, 0, 0, "a\ud800b")
            writer.edit_tail(CELL, 0, 3, "c")
        assert streaming.tail() == "a\ufffdbc"


class TestChanges:
    def test_a_tail(self, streaming: Room) -> None:
        """Growth of a tail is one change with its byte delta, marked as nothing but tails."""
        with streaming.step() as writer:
            writer.edit_tail(CELL, 0, 0, "é")
        with streaming.step() as writer:
            writer.edit_tail(CELL, 0, 1, "x")
        delta = [{"retain": 2}, {"insert": "x"}]
        assert streaming.change() == RuntimeChange(
            "remote", False, False, False, frozenset({CELL}), {(CELL, 0): delta}, frozenset({CELL})
        )

    def test_a_new_stream_has_no_delta(self, room: Room) -> None:
        """A run, its stream and the stream's first text in one transaction are one change without deltas."""
        with room.step() as writer:
            writer.begin(CELL, "e1", HASH, "ann", 1.0, 2.0)
            index = writer.open_stream(CELL, "stdout")
            writer.edit_tail(CELL, index, 0, "text")
        assert room.change() == RuntimeChange(
            "remote", False, False, False, frozenset({CELL}), {}, frozenset()
        )
        assert room.tail() == "text"

    def test_a_tail_with_something_else(self, streaming: Room) -> None:
        """A tail that changes with its execution is not marked as nothing but tails."""
        with streaming.step() as writer:
            writer.edit_tail(CELL, 0, 0, "x")
            writer.set_execution(CELL, status="ok")
        assert streaming.change().tails_only == frozenset()
        assert set(streaming.change().tails) == {(CELL, 0)}

    def test_the_index_is_that_of_the_output(self, streaming: Room) -> None:
        """A tail is named by its place among the outputs, also after earlier ones were replaced."""
        with streaming.step() as writer:
            writer.finish_stream(CELL, 0, MANIFEST)
            writer.append_output(CELL, HASH)
            assert writer.open_stream(CELL, "stderr") == 2
        with streaming.step() as writer:
            writer.replace_output(CELL, 0, HASH)
        with streaming.step() as writer:
            writer.edit_tail(CELL, 2, 0, "x")
        assert set(streaming.change().tails) == {(CELL, 2)}

    def test_everything_at_once(self, streaming: Room) -> None:
        """One transaction over kernel, queue, file and two cells is one change."""
        other = CellKey("c2")
        with streaming.step() as writer:
            writer.set_kernel(activity="busy")
            writer.set_file(path="/x")
            writer.enqueue(QueueEntry("e", other, HASH))
            writer.load(other, "file:2", 1, [])
            writer.edit_tail(CELL, 0, 0, "x")
        change = streaming.change()
        assert (change.kernel, change.queue, change.file) == (True, True, True)
        assert change.executions == {CELL, other}
        assert change.tails_only == {CELL}

    def test_a_late_replica_sees_the_same(self, streaming: Room) -> None:
        """A client that joins late reads what the others read."""
        with streaming.step() as writer:
            writer.edit_tail(CELL, 0, 0, "abc")
            writer.append_output(CELL, MANIFEST)
        late = RuntimeDocument()
        late.apply(streaming.document.update_since())
        assert late.outputs(CELL) == streaming.replica.outputs(CELL)
        assert late.execution(CELL) == streaming.replica.execution(CELL)


def test_outputs_are_read_one_by_one(room: Room, monkeypatch: pytest.MonkeyPatch) -> None:
    """Reading one output of many decodes that one only."""
    with room.step() as writer:
        writer.load(CELL, "file:1", 1, [MANIFEST] * 50)
    decoded: list[str] = []
    original = manifests.decode

    def counting(value: str) -> Any:
        decoded.append(value)
        return original(value)

    monkeypatch.setattr(manifests, "decode", counting)
    room.replica.output(CELL, 10)
    assert len(decoded) == 1
