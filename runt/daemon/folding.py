"""Folding: journal records of a kernel in, operations on the runtime document out.

Pure, but for ``put``, which stores content by its hash, and ``get``, which reads it back. Nothing is sent,
awaited or decided about the queue here. The invariant: ``fold`` changes neither the state nor the records
that it is given, and any way to cut the records into batches gives the same outputs and the same state.

A message belongs to the execution that its parent header names. An execution is complete when its reply has
arrived and its output up to ``idle`` is folded; a kernel that never says idle is believed after a quiet
second (``tick``): ``idle`` travels on a channel that may drop messages, the reply on one that may not.
"""

from __future__ import annotations

from collections.abc import Sequence
from copy import copy

from runt.daemon.folding_kernel import LifecycleFolding
from runt.daemon.folding_messages import MessageFolding
from runt.daemon.folding_ops import ClearOutputs, Effect, Notice, RuntimeOp
from runt.daemon.folding_outputs import OutputFolding
from runt.daemon.folding_state import ExecutionState, FoldState
from runt.errors import RemoteProtocolError
from runt.notebook.manifests import Get, Put
from runt.runtime.supervisor_protocol import LIFECYCLE, SENT, STDIN, Record
from runt.runtime.wire import JupyterWire

QUIET_S = 1.0  # without output after the reply: complete without idle

Folded = tuple[FoldState, list[RuntimeOp], list[Effect]]


def fold(state: FoldState, records: Sequence[Record], put: Put, *, wire: JupyterWire, get: Get) -> Folded:
    """Fold records that follow ``state.offset``; return (new state, operations, effects).

    Records at or before ``state.offset`` are skipped. A message that is not validly signed or not JSON is
    skipped with a Notice: there is nobody to ask again.
    """
    lifecycle = LifecycleFolding(state.copy(), put, get)
    messages = MessageFolding(lifecycle.output)
    for record in records:
        if record.end <= lifecycle.state.offset:
            continue
        lifecycle.state.offset = record.end
        if record.channel == SENT:
            lifecycle.sent(record)
        elif record.channel == LIFECYCLE:
            lifecycle.record(record)
        elif record.channel <= STDIN:
            try:
                message = wire.decode(record.frames)
            except RemoteProtocolError as error:
                lifecycle.output.effects.append(Notice(f"skipped a message: {error.message}"))
                continue
            messages.message(message, record)
    return lifecycle.output.result()


def fold_without_streams(
    state: FoldState, record: Record, put: Put, *, wire: JupyterWire, get: Get
) -> Folded:
    """Fold a record that `fold` failed on: what is live stays as it is in R, and more text begins anew."""
    return fold(without_streams(state), [record], put, wire=wire, get=get)


def pass_over(state: FoldState, record: Record, put: Put, *, wire: JupyterWire, get: Get) -> Folded:
    """Leave out a record that cannot be folded; where it was to end an execution, an error ends it."""
    output = OutputFolding(without_streams(state), put, get)
    output.state.offset = max(state.offset, record.end)
    try:
        message = wire.decode(record.frames)
    except RemoteProtocolError:
        return output.result()
    execution = output.state.executions.get(message.parent_id)
    if execution is not None and not execution.done:
        execution = output.own(execution)
        if message.msg_type == "execute_reply":
            execution.reply, execution.failure, execution.idle = "error", None, True
        elif message.msg_type == "status" and message.content.get("execution_state") == "idle":
            execution.failure, execution.idle = None, True
        output.settle(execution, record.time)
    return output.result()


def without_streams(state: FoldState) -> FoldState:
    """Forget what is live: it stays as it is in R."""
    made = state.copy()
    made.live.clear()
    return made


def tick(state: FoldState, now: float, put: Put, *, get: Get) -> Folded:
    """Complete executions that were answered and have been quiet for QUIET_S. ``now``: unix seconds."""
    lifecycle = LifecycleFolding(state.copy(), put, get)
    for execution in state.running:
        if execution.reply is not None and now - execution.last >= QUIET_S:
            lifecycle.output.complete(lifecycle.output.own(execution), now)
    return lifecycle.output.result()


def needs_tick(state: FoldState) -> bool:
    """Whether an execution was answered and waits for its last output: call ``tick`` in a while."""
    return any(execution.reply is not None for execution in state.running)


def begin(state: FoldState, execution: str, cell: str) -> FoldState:
    """Note that an execution starts, in the transaction that gives the cell its fresh, empty outputs.

    Call it before the request is sent. A live stream of the cell's former execution is forgotten with it.
    """
    made = _detached(state, cell)
    made.executions[execution] = ExecutionState(execution, cell)
    made.current[cell] = execution
    return made


def cleared(state: FoldState, cell: str) -> tuple[FoldState, list[RuntimeOp]]:
    """Clear a cell's outputs at a user's request; the execution goes on."""
    made = state.copy()
    id_ = made.current.get(cell)
    if id_ is not None:
        execution = copy(made.executions[id_])
        execution.outputs = 0
        execution.clear_waits = False
        made.executions[id_] = execution
        _forget_places(made, id_)
    return made, [ClearOutputs(cell)]


def forgotten(state: FoldState, cell: str) -> FoldState:
    """Note that the cell's execution is gone from the document; what it still prints is LateOutput."""
    return _detached(state, cell)


def _detached(state: FoldState, cell: str) -> FoldState:
    made = state.copy()
    id_ = made.current.pop(cell, None)
    if id_ is not None:
        execution = copy(made.executions[id_])
        execution.cell = ""
        made.executions[id_] = execution
        _forget_places(made, id_)
    return made


def _forget_places(state: FoldState, execution: str) -> None:
    state.live.pop(execution, None)
    for display_id, places in list(state.displays.items()):
        kept = tuple(place for place in places if place.execution != execution)
        if len(kept) != len(places):
            if kept:
                state.displays[display_id] = kept
            else:
                del state.displays[display_id]
