"""What folding asks for: operations on the runtime document, and effects outside of it.

Values only. The invariant: applied in order, in one transaction with the new fold state, the operations turn
the outputs that the old state described into those that the new one describes. ``keep`` and ``drop`` are
code points, indexes count a cell's outputs, times are unix seconds.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal, TypeAlias

from runt.notebook.manifests import BlobRef

Activity = Literal["idle", "busy", ""]
EndStatus = Literal["ok", "error", "cancelled"]


@dataclass(frozen=True, slots=True)
class KernelActivity:
    """The kernel works for us, or not."""

    activity: Activity


@dataclass(frozen=True, slots=True)
class SetCount:
    """The execution count, as soon as the kernel tells it."""

    cell: str
    count: int


@dataclass(frozen=True, slots=True)
class AppendOutput:
    """Add an output at the end, which is ``index``. ``entry``: a manifest as JSON, or the hash of one."""

    cell: str
    index: int
    entry: str


@dataclass(frozen=True, slots=True)
class ReplaceOutput:
    """Put ``entry`` in the place of an output (``update_display_data``)."""

    cell: str
    index: int
    entry: str


@dataclass(frozen=True, slots=True)
class ClearOutputs:
    """Remove all outputs of the cell."""

    cell: str


@dataclass(frozen=True, slots=True)
class OpenStream:
    """Add an empty live stream at the end, which is ``index``."""

    cell: str
    index: int
    name: str


@dataclass(frozen=True, slots=True)
class EditTail:
    """Keep the first ``keep`` code points of a live stream's tail; put ``new`` in the place of the rest."""

    cell: str
    index: int
    keep: int
    new: str


@dataclass(frozen=True, slots=True)
class SealStream:
    """Add a sealed piece and drop the first ``drop`` code points of the tail.

    ``drop`` may be less than the piece is long: what flooded in since the last batch never was in the tail.
    """

    cell: str
    index: int
    piece: BlobRef
    drop: int


@dataclass(frozen=True, slots=True)
class FinishStream:
    """Put a manifest (or its hash) in the place of a live stream."""

    cell: str
    index: int
    entry: str


@dataclass(frozen=True, slots=True)
class FinishExecution:
    """The execution has ended."""

    cell: str
    execution: str
    status: EndStatus
    ended: float


RuntimeOp: TypeAlias = (
    KernelActivity
    | SetCount
    | AppendOutput
    | ReplaceOutput
    | ClearOutputs
    | OpenStream
    | EditTail
    | SealStream
    | FinishStream
    | FinishExecution
)


@dataclass(frozen=True, slots=True)
class ExecutionDone:
    """An execution has ended; the queue may go on."""

    execution: str
    status: EndStatus


@dataclass(frozen=True, slots=True)
class KernelStarted:
    """A kernel process runs; it cannot be used before KernelReady."""

    pid: int


@dataclass(frozen=True, slots=True)
class KernelReady:
    """The kernel answers and its output reaches us. ``info``: the language part of its kernel_info_reply."""

    info: Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class KernelDied:
    """The kernel has ended. ``expected``: "" or what was asked for, "restart" or "shutdown"."""

    reason: str
    expected: str = ""


@dataclass(frozen=True, slots=True)
class SentRecorded:
    """The supervisor has journaled a send: it must not be repeated."""

    send_id: str


@dataclass(frozen=True, slots=True)
class InputRequested:
    """The kernel waits for ``input()``. ``header`` (JSON bytes) goes back with the answer."""

    execution: str
    cell: str
    prompt: str
    password: bool
    request: str
    header: bytes


@dataclass(frozen=True, slots=True)
class SetNextInput:
    """The execution asks for a cell's text. ``offset`` (journal bytes) identifies it: apply once."""

    execution: str
    cell: str
    text: str
    replace: bool
    offset: int


@dataclass(frozen=True, slots=True)
class Reply:
    """The answer to a request that is not an execution. ``msg_id`` is the request's."""

    msg_id: str
    channel: int
    msg_type: str
    content: Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class LateOutput:
    """Output of an execution that is no longer its cell's current one (or that is unknown here)."""

    execution: str
    entry: str


@dataclass(frozen=True, slots=True)
class Notice:
    """Something that a person should be told, and that the log keeps."""

    text: str


Effect: TypeAlias = (
    ExecutionDone
    | KernelStarted
    | KernelReady
    | KernelDied
    | SentRecorded
    | InputRequested
    | SetNextInput
    | Reply
    | LateOutput
    | Notice
)
