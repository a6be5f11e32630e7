"""Folding in any batches, with daemon restarts in between, gives what folding in one batch gives."""

from __future__ import annotations

from itertools import pairwise

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from runt.daemon import folding_outputs, folding_streams
from runt.daemon.folding_ops import AppendOutput, EditTail, SealStream
from runt.daemon.folding_state import MAX_ENDED_EXECUTIONS, encode_state
from tests.daemon.folding_model import FoldedRoom, Traffic

CELLS = {"e1": "a", "e2": "b", "e3": "c"}
CHUNKS = st.sampled_from(
    [
        "a",
        "line\n",
        "\r",
        "\r50%",
        "\x1b[A",
        "\x1b[2K",
        "é🎉\n",
        "tab\t ",
        "\x1b[31mred\x1b[0m",
        "\x1b[",
        "\b",
        "x" * 40,
    ]
)
EXECUTIONS = st.sampled_from(list(CELLS))
STEPS = st.one_of(
    st.tuples(st.just("print"), EXECUTIONS, CHUNKS, st.sampled_from(["stdout", "stdout", "stderr"])),
    st.tuples(st.just("show"), EXECUTIONS, st.sampled_from(["x", "y"]), st.sampled_from([None, "d1", "d2"])),
    st.tuples(st.just("update"), EXECUTIONS, st.sampled_from(["d1", "d2"])),
    st.tuples(st.just("clear"), EXECUTIONS, st.booleans()),
    st.tuples(st.just("error"), EXECUTIONS),
    st.tuples(st.just("end"), EXECUTIONS),
    st.tuples(st.just("die")),
)


def traffic_of(steps: list[tuple]) -> Traffic:
    traffic = Traffic()
    for name, *rest in steps:
        if name == "print":
            traffic.print(*rest)
        elif name == "show":
            traffic.show(*rest)
        elif name == "update":
            transient = {"display_id": rest[1]}
            traffic.iopub(
                "update_display_data", rest[0], data={"text/plain": "u"}, metadata={}, transient=transient
            )
        elif name == "clear":
            traffic.iopub("clear_output", rest[0], wait=rest[1])
        elif name == "error":
            traffic.iopub("error", rest[0], ename="E", evalue="v", traceback=[])
        elif name == "end":
            traffic.end(rest[0])
        else:
            traffic.life("killed 9").life("started 8")
    return traffic


def fold_in(traffic: Traffic, cuts: list[int], *, restarts: bool = False) -> FoldedRoom:
    room = FoldedRoom(traffic.wire)
    for execution, cell in CELLS.items():
        room.begin(execution, cell)
    borders = [0, *sorted(cut % (len(traffic.records) + 1) for cut in cuts), len(traffic.records)]
    for start, stop in pairwise(borders):
        room.fold(traffic.records[start:stop])
        if restarts:
            room.restart_daemon()
    return room


@pytest.fixture(autouse=True, scope="module")
def small_limits():
    """Seal after few code points, so that short texts have pieces."""
    patch = pytest.MonkeyPatch()
    patch.setattr(folding_streams, "SEAL_CODE_POINTS", 60)
    patch.setattr(folding_streams, "KEPT_CODE_POINTS", 12)
    patch.setattr(folding_streams, "MAX_PIECE_CODE_POINTS", 90)
    patch.setattr(folding_outputs, "MAX_EXECUTION_CODE_POINTS", 600)
    yield
    patch.undo()


@settings(deadline=None, max_examples=150)
@given(st.lists(STEPS, max_size=40), st.lists(st.integers(0, 10_000), max_size=8), st.booleans())
def test_batches_do_not_matter(steps: list[tuple], cuts: list[int], restarts: bool) -> None:
    """Any batches, with or without restarts between them, give the same outputs, state and effects."""
    traffic = traffic_of(steps)
    whole = fold_in(traffic, [])
    cut = fold_in(traffic, cuts, restarts=restarts)
    for cell in CELLS.values():
        assert cut.outputs(cell) == whole.outputs(cell)
        assert cut.document.execution(cell) == whole.document.execution(cell)
    assert encode_state(cut.state) == encode_state(whole.state)
    assert cut.effects == whole.effects


@settings(deadline=None, max_examples=100)
@given(
    st.lists(st.text("ab\né", min_size=1, max_size=100), max_size=20),
    st.lists(st.integers(0, 50), max_size=6),
)
def test_sealed_streams_lose_nothing(chunks: list[str], cuts: list[int]) -> None:
    """Sealed pieces and tail are the printed text, live and finished, and the document's tail stays short."""
    traffic = Traffic()
    for chunk in chunks:
        traffic.print("e1", chunk)
    text = "".join(chunks)[:600]
    room = fold_in(traffic, cuts)
    if not text:
        return
    assert room.outputs("a")[0]["text"][: len(text)] == text
    live = room.state.live["e1"]
    assert len(live.reducer) < 60 or "\n" not in live.reducer.tail[:-12]
    room.fold(traffic.end("e1").records)
    assert room.outputs("a")[0]["text"][: len(text)] == text
    assert "live" not in room.outputs("a")[0]


def test_a_flood_goes_past_the_document() -> None:
    """A batch that is sealed at once never writes what it sealed into the document."""
    traffic = Traffic().print("e1", "short\n")
    first = len(traffic.records)
    traffic.print("e1", "a line\n" * 60)
    room = fold_in(traffic, [first])
    written = sum(len(op.new) for op in room.ops if isinstance(op, EditTail))
    assert any(isinstance(op, SealStream) for op in room.ops)
    assert written < 60
    assert room.outputs("a")[0]["text"] == "short\n" + "a line\n" * 60


def test_too_much_is_cut_visibly() -> None:
    """Beyond the limit of an execution, text is dropped and a mark says so, once."""
    traffic = Traffic()
    for _ in range(20):
        traffic.print("e1", "0123456789" * 5)
    (output,) = fold_in(traffic.end("e1"), [3, 7]).outputs("a")
    assert output["text"] == "0123456789" * 60 + folding_outputs.CUT_MARK


def test_long_manifests_are_stored() -> None:
    """An entry whose manifest is long is the hash of the stored manifest."""
    traffic = Traffic().iopub(
        "display_data", "e1", data={f"text/x-{n}": "y" * 200 for n in range(60)}, metadata={}
    )
    room = fold_in(traffic, [])
    (op,) = [op for op in room.ops if isinstance(op, AppendOutput)]
    assert len(op.entry) == 64
    assert len(room.outputs("a")[0]["data"]) == 60


def test_the_state_stays_small() -> None:
    """The encoded state does not grow with the text or with the number of cells that have run."""
    traffic = Traffic()
    room = FoldedRoom(traffic.wire)
    for number in range(400):
        room.begin(f"x{number}", f"cell{number}")
        traffic.busy(f"x{number}").print(f"x{number}", "text\n" * 20).end(f"x{number}")
        room.fold(traffic.records)
    assert len(encode_state(room.state)) < 10_000
    assert len(room.state.executions) <= MAX_ENDED_EXECUTIONS
