"""One batch of folding: the outputs of executions, and what is emitted for them.

It knows executions, streams and displays, not messages. The invariant: an output's index here is its index in
the document; at most one live stream per execution, and it is the last output.
"""

from __future__ import annotations

from collections.abc import Mapping
from copy import copy
from typing import Any

from runt.daemon.folding_ops import (
    AppendOutput,
    ClearOutputs,
    Effect,
    ExecutionDone,
    FinishExecution,
    KernelActivity,
    LateOutput,
    ReplaceOutput,
    RuntimeOp,
)
from runt.daemon.folding_state import (
    MAX_DISPLAY_IDS,
    MAX_ENDED_EXECUTIONS,
    DisplayPlace,
    ExecutionState,
    FoldState,
)
from runt.daemon.folding_streams import StreamEdit, new_live
from runt.daemon.output_entries import display, display_id_of, entry_of, error, result
from runt.notebook.manifests import Get, Put

MAX_EXECUTION_CODE_POINTS = 100_000_000  # of stream text; then it is cut, visibly
CUT_MARK = "\n… runt: output cut here, this execution printed more than 100 million characters …\n"


class OutputFolding:
    """Collects operations and effects; ``state`` is this batch's own."""

    def __init__(self, state: FoldState, put: Put, get: Get) -> None:
        self.state = state
        self.put = put
        self.get = get
        self.ops: list[RuntimeOp] = []
        self.effects: list[Effect] = []
        self._activity = state.activity
        self._owned: set[str] = set()
        self._edits: dict[str, StreamEdit] = {}

    def result(self) -> tuple[FoldState, list[RuntimeOp], list[Effect]]:
        """Flush and return everything."""
        for edit in self._edits.values():
            edit.flush(self.ops)
        self._edits.clear()
        if self.state.activity != self._activity:
            self.ops.append(KernelActivity(self.state.activity))
        return self.state, self.ops, self.effects

    def own(self, execution: ExecutionState) -> ExecutionState:
        """Return the execution as one that this batch may change."""
        if execution.id not in self._owned:
            self._owned.add(execution.id)
            execution = copy(execution)
            self.state.executions[execution.id] = execution
        return self.state.executions[execution.id]

    def of_parent(self, parent_id: str) -> ExecutionState | None:
        """Return the execution of a message; one without a parent belongs to the oldest running one."""
        if parent_id:
            found = self.state.executions.get(parent_id)
        else:
            found = next(iter(self.state.running), None)
        return self.own(found) if found is not None else None

    # streams

    def stream(self, execution: ExecutionState, name: str, text: str) -> None:
        """Fold a chunk of stdout or stderr."""
        self._clear_if_waiting(execution)
        if execution.size >= MAX_EXECUTION_CODE_POINTS:
            return
        execution.size += len(text)
        if execution.size >= MAX_EXECUTION_CODE_POINTS:
            text = text[: len(text) - (execution.size - MAX_EXECUTION_CODE_POINTS)] + CUT_MARK
        if not execution.cell:
            output = {"output_type": "stream", "name": name, "text": text}
            self.effects.append(LateOutput(execution.id, entry_of(output, self.put)))
            return
        edit = self._edit(execution)
        if edit is None or edit.live.name != name:
            self.finish_stream(execution)
            live = new_live(name, execution.outputs)
            execution.outputs += 1
            self.state.live[execution.id] = live
            edit = self._edits[execution.id] = StreamEdit(execution.cell, live, fresh=True)
        edit.feed(text, self.put)

    def _edit(self, execution: ExecutionState) -> StreamEdit | None:
        edit = self._edits.get(execution.id)
        if edit is None and (live := self.state.live.get(execution.id)) is not None:
            live = self.state.live[execution.id] = live.copy()
            edit = self._edits[execution.id] = StreamEdit(execution.cell, live, fresh=False)
        return edit

    def finish_stream(self, execution: ExecutionState) -> None:
        """Turn the live stream, if there is one, into its manifest."""
        edit = self._edit(execution)
        if edit is not None:
            edit.finish(self.ops, self.put, self.get)
            self._forget_stream(execution)

    def _forget_stream(self, execution: ExecutionState) -> None:
        self._edits.pop(execution.id, None)
        self.state.live.pop(execution.id, None)

    # other outputs

    def append(
        self,
        execution: ExecutionState,
        output: Mapping[str, Any],
        display_id: str = "",
        count: int | None = None,
    ) -> None:
        """Add a display, a result or an error."""
        self._clear_if_waiting(execution)
        entry = entry_of(output, self.put)
        if not execution.cell:
            self.effects.append(LateOutput(execution.id, entry))
            return
        self.finish_stream(execution)
        self.ops.append(AppendOutput(execution.cell, execution.outputs, entry))
        if display_id:
            place = DisplayPlace(execution.id, execution.outputs, count)
            displays = self.state.displays
            displays[display_id] = (*displays.pop(display_id, ()), place)
            while len(displays) > MAX_DISPLAY_IDS:
                del displays[next(iter(displays))]
        execution.outputs += 1

    def update_display(self, content: Mapping[str, Any]) -> None:
        """Replace every output with that display id, in whichever cell."""
        display_id = display_id_of(content)
        for place in self.state.displays.get(display_id, ()):
            execution = self.state.executions.get(place.execution)
            if execution is not None and execution.cell:
                output = display(content) if place.count is None else result(content, place.count)
                self.ops.append(ReplaceOutput(execution.cell, place.index, entry_of(output, self.put)))

    def clear(self, execution: ExecutionState, *, wait: bool) -> None:
        """Clear now, or before the next output."""
        execution.clear_waits = wait
        if wait:
            return
        self._forget_stream(execution)
        if execution.outputs and execution.cell:
            self.ops.append(ClearOutputs(execution.cell))
        execution.outputs = 0
        for display_id, places in list(self.state.displays.items()):
            kept = tuple(place for place in places if place.execution != execution.id)
            if kept:
                self.state.displays[display_id] = kept
            else:
                del self.state.displays[display_id]

    def _clear_if_waiting(self, execution: ExecutionState) -> None:
        if execution.clear_waits:
            self.clear(execution, wait=False)

    # the end

    def settle(self, execution: ExecutionState, time: float) -> None:
        """Complete the execution if its reply and all its output are there. ``time``: unix seconds."""
        if not execution.done and execution.reply is not None and execution.idle:
            self.complete(execution, time)

    def complete(self, execution: ExecutionState, time: float) -> None:
        """End the execution. A reply must be set."""
        status = execution.reply or "error"
        if execution.failure is not None and not execution.errored:
            self.append(execution, error(execution.failure))  # a kernel that tells errors only in its reply
        execution.failure = None
        self.finish_stream(execution)
        execution.done = True
        if execution.cell:
            self.ops.append(FinishExecution(execution.cell, execution.id, status, time))
        self.effects.append(ExecutionDone(execution.id, status))
        if not self.state.running:
            self.state.activity = "idle" if self.state.ready else ""
        self._forget_oldest_ended()

    def _forget_oldest_ended(self) -> None:
        ended = [one for one in self.state.executions.values() if one.done]
        for execution in ended[: max(0, len(ended) - MAX_ENDED_EXECUTIONS)]:
            self.finish_stream(execution)
            del self.state.executions[execution.id]
            if self.state.current.get(execution.cell) == execution.id:
                del self.state.current[execution.cell]
