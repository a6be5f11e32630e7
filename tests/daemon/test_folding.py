"""Folding, message by message, with hand-made traffic."""

from __future__ import annotations

from runt.daemon.folding import cleared, forgotten, needs_tick
from runt.daemon.folding_ops import (
    AppendOutput,
    ExecutionDone,
    InputRequested,
    KernelDied,
    KernelReady,
    KernelStarted,
    LateOutput,
    Notice,
    Reply,
    SentRecorded,
    SetNextInput,
)
from runt.daemon.folding_state import encode_state
from runt.runtime.supervisor_protocol import IOPUB, Record
from tests.daemon.folding_model import FoldedRoom, Traffic, folded


def test_streams_of_one_name_join() -> None:
    """Consecutive messages of one stream are one output."""
    room = folded(Traffic().busy("e1").print("e1", "a").print("e1", "b\n").end("e1"))
    assert room.texts("a") == ["stdout: ab\n"]


def test_a_short_stream_is_one_append() -> None:
    """A stream that opens and ends within a batch is written once, as its manifest."""
    room = folded(Traffic().busy("e1").print("e1", "a").end("e1"))
    assert [type(op) for op in room.ops if getattr(op, "index", None) == 0] == [AppendOutput]


def test_stdout_and_stderr_keep_their_order() -> None:
    """A change of stream starts a new output."""
    traffic = Traffic().busy("e1").print("e1", "a").print("e1", "b", "stderr").print("e1", "c").end("e1")
    assert folded(traffic).texts("a") == ["stdout: a", "stderr: b", "stdout: c"]


def test_a_running_stream_is_live() -> None:
    """While the execution runs, its stream is a live one with the text so far."""
    room = folded(Traffic().busy("e1").print("e1", "abc"))
    assert room.outputs("a") == [{"output_type": "stream", "name": "stdout", "text": "abc", "live": True}]


def test_progress_in_place() -> None:
    """A carriage return rewrites the line, also over batches."""
    room = folded(Traffic().busy("e1").print("e1", "10%"))
    traffic = Traffic()
    traffic.records = [Record(10_000, IOPUB, 0.0, [])]  # offsets behind those of the first batch
    traffic.print("e1", "\r20%").print("e1", "\r100%\n")
    for at, record in enumerate(traffic.records):
        record.end = 10_000 + at
    room.fold(traffic.records[1:])
    assert room.texts("a") == ["stdout: 100%\n"]


def test_clear_output_now() -> None:
    """clear_output(wait=False) removes what is there, a live stream included."""
    traffic = Traffic().busy("e1").show("e1", "x").print("e1", "y").iopub("clear_output", "e1", wait=False)
    assert folded(traffic).texts("a") == []
    assert folded(traffic.print("e1", "z")).texts("a") == ["stdout: z"]


def test_clear_output_waits() -> None:
    """clear_output(wait=True) removes it when the next output comes, and not before."""
    traffic = Traffic().busy("e1").show("e1", "x").iopub("clear_output", "e1", wait=True)
    assert folded(traffic).texts("a") == ["x"]
    assert folded(traffic.print("e1", "z")).texts("a") == ["stdout: z"]
    assert folded(
        Traffic().busy("e1").show("e1", "x").iopub("clear_output", "e1", wait=True).end("e1")
    ).texts("a") == ["x"]


def test_update_display_data_reaches_other_cells() -> None:
    """An update replaces every output of its display id, wherever it is, and keeps a result a result."""
    traffic = Traffic().busy("e1").show("e1", "old", "d").end("e1").busy("e2").show("e2", "old", "d")
    traffic.iopub("execute_result", "e2", data={"text/plain": "r"}, metadata={}, execution_count=7,
                  transient={"display_id": "d"})  # fmt: skip
    traffic.iopub(
        "update_display_data", "e2", data={"text/plain": "new"}, metadata={}, transient={"display_id": "d"}
    )
    room = folded(traffic.end("e2"), e1="a", e2="b")
    assert (room.texts("a"), room.texts("b")) == (["new"], ["new", "new"])
    assert room.outputs("b")[1]["execution_count"] == 7


def test_updates_of_cleared_displays_are_ignored() -> None:
    """An update does not hit an output that took the place of a cleared one."""
    traffic = (
        Traffic().busy("e1").show("e1", "old", "d").iopub("clear_output", "e1", wait=False).show("e1", "kept")
    )
    traffic.iopub(
        "update_display_data", "e1", data={"text/plain": "new"}, metadata={}, transient={"display_id": "d"}
    )
    assert folded(traffic).texts("a") == ["kept"]


def test_error_and_status() -> None:
    """An error is an output, and the reply's status is the execution's."""
    traffic = Traffic().busy("e1").iopub("error", "e1", ename="E", evalue="v", traceback=["t"])
    room = folded(traffic.reply("e1", "error", ename="E", evalue="v", traceback=["t"]).idle("e1"))
    assert room.texts("a") == ["E: v"]
    execution = room.document.execution("a")  # type: ignore[arg-type]
    assert execution is not None
    assert execution.status == "error"
    assert room.of(ExecutionDone) == [ExecutionDone("e1", "error")]


def test_an_error_only_in_the_reply_is_shown() -> None:
    """A kernel that publishes no error still gets one output for it."""
    traffic = Traffic().busy("e1").reply("e1", "error", ename="E", evalue="v", traceback=[]).idle("e1")
    assert folded(traffic).texts("a") == ["E: v"]


def test_count_comes_with_execute_input() -> None:
    """The execution count is known as soon as the kernel echoes the input."""
    room = folded(Traffic().busy("e1").iopub("execute_input", "e1", code="1", execution_count=5))
    execution = room.document.execution("a")  # type: ignore[arg-type]
    assert execution is not None
    assert execution.count == 5


def test_complete_needs_reply_and_idle() -> None:
    """Neither the reply nor idle alone ends an execution; in either order both do."""
    assert folded(Traffic().busy("e1").reply("e1")).of(ExecutionDone) == []
    assert folded(Traffic().busy("e1").idle("e1")).of(ExecutionDone) == []
    assert folded(Traffic().busy("e1").idle("e1").reply("e1")).of(ExecutionDone) == [
        ExecutionDone("e1", "ok")
    ]
    assert folded(Traffic().busy("e1").end("e1")).of(ExecutionDone) == [ExecutionDone("e1", "ok")]


def test_a_quiet_second_stands_for_idle() -> None:
    """After the reply, a second without output completes the execution; before, nothing does."""
    room = folded(Traffic().busy("e1").reply("e1"))
    last = room.state.executions["e1"].last
    assert needs_tick(room.state)
    room.tick(last + 0.9)
    assert room.of(ExecutionDone) == []
    room.tick(last + 1.1)
    assert room.of(ExecutionDone) == [ExecutionDone("e1", "ok")]
    assert not needs_tick(room.state)


def test_late_output_goes_to_its_own_execution() -> None:
    """What a thread prints after its cell has ended is added to that cell, not to the running one."""
    traffic = Traffic().busy("e1").end("e1").busy("e2").print("e1", "late").print("e2", "mine").end("e2")
    room = folded(traffic, e1="a", e2="b")
    assert (room.texts("a"), room.texts("b")) == (["stdout: late"], ["stdout: mine"])


def test_output_of_a_replaced_execution_is_an_effect() -> None:
    """When the cell has been run again, the former run's late output leaves the new outputs alone."""
    room = FoldedRoom((traffic := Traffic()).wire)
    room.begin("e1", "a")
    room.fold(traffic.busy("e1").print("e1", "x").end("e1").records)
    room.begin("e2", "a")
    room.fold(traffic.busy("e2").print("e1", "late").print("e2", "new").end("e2").records)
    assert room.texts("a") == ["stdout: new"]
    assert [effect.execution for effect in room.of(LateOutput)] == ["e1"]


def test_forgotten_and_cleared_cells() -> None:
    """A deleted cell's output goes nowhere; a cleared cell starts again at index 0."""
    traffic = Traffic().busy("e1").print("e1", "x")
    room = folded(traffic)
    room.state, ops = cleared(room.state, "a")
    assert len(ops) == 1
    with room.document.transaction("daemon"):
        room.writer.clear_outputs("a")  # type: ignore[arg-type]
    room.fold(traffic.print("e1", "y").records)
    assert room.texts("a") == ["stdout: y"]
    room.state = forgotten(room.state, "a")
    room.fold(traffic.print("e1", "z").end("e1").records)
    assert room.texts("a") == ["stdout: y"]
    assert room.of(ExecutionDone) == [ExecutionDone("e1", "ok")]


def test_messages_without_a_parent_belong_to_what_runs() -> None:
    """Output with an empty or null parent goes to the running execution; a status does not end it."""
    traffic = (
        Traffic()
        .busy("e1")
        .print(None, "x")
        .raw(IOPUB, Traffic().wire.encode("stream", {"name": "stdout", "text": "y"}, parent=b"null"))
    )
    traffic.iopub("status", None, execution_state="idle").reply("e1")
    room = folded(traffic)
    assert room.texts("a") == ["stdout: xy"]
    assert room.of(ExecutionDone) == []


def test_malformed_messages_are_skipped() -> None:
    """A wrong signature, missing frames and what is not JSON change nothing but leave a notice each."""
    traffic = Traffic().busy("e1")
    good = traffic.wire.encode("stream", {"name": "stdout", "text": "x"}, parent={"msg_id": "e1"})
    traffic.raw(IOPUB, [*good[:5], good[5].replace(b"x", b"y")])
    traffic.raw(IOPUB, good[:4]).raw(IOPUB, [])
    parts = [b"{", b"{}", b"{}", b"{}"]
    traffic.raw(IOPUB, [good[0], traffic.wire._sign(parts), *parts])
    traffic.iopub("stream", "e1", name="stdout", text=["not", "text"]).iopub("display_data", "e1", data=3)
    room = folded(traffic.print("e1", "ok").end("e1"))
    assert len(room.of(Notice)) == 4
    assert room.texts("a")[-1] == "stdout: ok"


def test_ready_needs_both_channels() -> None:
    """KernelReady comes when the shell has answered and something was heard on iopub, in either order."""
    info = {"language_info": {"name": "python"}}
    reply = Traffic().life("started 1").shell("kernel_info_reply", "p", **info)
    assert folded(reply).of(KernelReady) == []
    assert folded(reply.iopub("status", "p", execution_state="busy")).of(KernelReady) == [KernelReady(info)]
    assert len(folded(Traffic().started()).of(KernelReady)) == 1
    assert len(folded(Traffic().started().life("killed 9").life("restarted").started()).of(KernelReady)) == 2


def test_a_dying_kernel_ends_its_execution() -> None:
    """The execution is an error that says why, at once."""
    room = folded(Traffic().started().busy("e1").print("e1", "x").life("killed 9"))
    assert room.texts("a") == ["stdout: x", "KernelDied: kernel died (signal 9, SIGKILL)"]
    assert room.of(ExecutionDone) == [ExecutionDone("e1", "error")]
    assert room.of(KernelDied) == [KernelDied("signal 9, SIGKILL")]
    assert room.of(KernelStarted)[-1] == KernelStarted(42)


def test_a_restart_cancels_what_ran_and_spares_what_waits() -> None:
    """After a restart that was asked for, the running execution is cancelled; an unsent one goes on."""
    room = folded(Traffic().started().busy("e1").life("stopping restart").life("exited 0"), e1="a", e2="b")
    assert room.texts("a") == []
    assert room.of(ExecutionDone) == [ExecutionDone("e1", "cancelled")]
    assert room.of(KernelDied) == [KernelDied("exit status 0", "restart")]
    traffic = (
        Traffic().started().busy("e1").life("stopping restart").life("exited 0").life("restarted").started()
    )
    room = folded(traffic.busy("e2").print("e2", "hi").end("e2"), e1="a", e2="b")
    assert room.texts("b") == ["stdout: hi"]


def test_a_send_to_a_dead_kernel_fails_at_once() -> None:
    """An execution that reaches the supervisor after the kernel has died is an error, not a hang."""
    room = folded(Traffic().started().life("exited 1").sent("e1"))
    assert room.of(ExecutionDone) == [ExecutionDone("e1", "error")]
    assert room.of(SentRecorded) == [SentRecorded("e1")]


def test_truncation_is_visible_and_lets_the_cell_end() -> None:
    """Lost output leaves a mark, and idle is no longer waited for."""
    room = folded(Traffic().started().busy("e1").print("e1", "x").life("truncated 7 900").reply("e1"))
    assert "7 messages" in room.texts("a")[1]
    assert room.of(ExecutionDone) == [ExecutionDone("e1", "ok")]


def test_input_request_and_other_effects() -> None:
    """input(), set_next_input and replies to other requests become effects."""
    traffic = Traffic().started().busy("e1").stdin("input_request", "e1", prompt="name? ", password=True)
    payload = [{"source": "set_next_input", "text": "new", "replace": False}]
    traffic.reply("e1", payload=payload).idle("e1").shell("complete_reply", "q", matches=["a"])
    room = folded(traffic)
    (asked,) = room.of(InputRequested)
    assert (asked.execution, asked.cell, asked.prompt, asked.password) == ("e1", "a", "name? ", True)
    assert asked.request.encode() in asked.header
    (following,) = room.of(SetNextInput)
    assert (following.text, following.replace, following.cell) == ("new", False, "a")
    assert [reply.content["matches"] for reply in room.of(Reply) if reply.msg_id == "q"] == [["a"]]


def test_folding_changes_nothing_that_it_was_given() -> None:
    """The old state stays what it was, so that a failed commit can be folded again."""
    room = folded(
        traffic := Traffic().started().busy("e1").print("e1", "x").show("e1", "y", "d").print("e1", "z")
    )
    before, kept = encode_state(room.state), room.state
    traffic.print("e1", "\rmore").iopub("clear_output", "e1", wait=False).end("e1")
    room.fold(traffic.records)
    assert encode_state(kept) == before
    assert kept.live["e1"].reducer.tail == "z"
    assert encode_state(room.state) != before


def test_records_are_folded_once() -> None:
    """Records at or before the state's offset are skipped."""
    room = folded(traffic := Traffic().busy("e1").print("e1", "x"))
    room.fold(traffic.records)
    assert room.texts("a") == ["stdout: x"]


def test_lone_surrogates_do_not_reach_the_document() -> None:
    """Half a surrogate pair, which some kernels send, becomes U+FFFD."""
    traffic = Traffic().busy("e1")
    parts = traffic.wire.encode("stream", {"name": "stdout", "text": "Q"}, parent={"msg_id": "e1"})[2:]
    parts[3] = parts[3].replace(b"Q", b"a\\ud800b")
    room = folded(traffic.raw(IOPUB, [b"<IDS|MSG>", traffic.wire._sign(parts), *parts]).end("e1"))
    assert room.texts("a") == ["stdout: a\ufffdb"]


def test_half_an_escape_at_the_end_of_a_stream_is_text() -> None:
    """What looked like the beginning of an escape sequence is kept when the stream ends with it."""
    assert folded(Traffic().busy("e1").print("e1", "a\x1b[3").end("e1")).texts("a") == ["stdout: a\x1b[3"]
