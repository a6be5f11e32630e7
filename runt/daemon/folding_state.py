"""What folding remembers between two batches of journal records.

It holds no text that the runtime document holds: tails and sealed pieces are in R and are read from there
again, so that the encoded state stays small however much was printed. The invariant: the encoded state, R
and the offset of one commit belong together, and folding from there on gives what folding without the break
would have given.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, Protocol

import msgspec

from runt.daemon.folding_ops import Activity, EndStatus
from runt.notebook.manifests import BlobRef
from runt.terminal.stream_reducer import StreamReducer

# Executions that have ended and may still get late output from a thread. Bounded: the state is written
# with every commit.
MAX_ENDED_EXECUTIONS = 64
MAX_DISPLAY_IDS = 1024  # the oldest go first


class ExecutionState(msgspec.Struct, omit_defaults=True):
    """One execution. ``cell`` is "" once another execution took its cell; ``last``: unix seconds."""

    id: str
    cell: str
    outputs: int = 0
    clear_waits: bool = False
    reply: EndStatus | None = None
    idle: bool = False
    sent: bool = False
    errored: bool = False  # an error output was published
    failure: dict[str, Any] | None = None  # the reply's error, until it is known whether one is published
    done: bool = False
    last: float = 0.0
    size: int = 0  # code points of stream text, against the limit


class DisplayPlace(msgspec.Struct, frozen=True, array_like=True):
    """Where an output with a display id is. ``count``: set when it is an execute_result."""

    execution: str
    index: int
    count: int | None = None


class LiveText:
    """The open stream of an execution: its reducer holds the tail, ``sealed`` the pieces before it."""

    __slots__ = ("index", "name", "reducer", "sealed")

    def __init__(self, name: str, index: int, reducer: StreamReducer, sealed: Sequence[BlobRef] = ()) -> None:
        self.name = name
        self.index = index
        self.reducer = reducer
        self.sealed = list(sealed)

    def copy(self) -> LiveText:
        """Return one that can be changed without changing this."""
        reducer = StreamReducer(self.reducer.tail, self.reducer.state())
        return LiveText(self.name, self.index, reducer, self.sealed)


class StreamView(Protocol):
    """What R knows of a live stream (``runtime_document.LiveStream``)."""

    @property
    def sealed(self) -> Sequence[BlobRef]:
        """The sealed pieces."""

    @property
    def tail(self) -> str:
        """The text after them."""


class FoldState:
    """``offset``: bytes of the journal that are folded. ``current``: cell → execution."""

    __slots__ = (
        "activity", "alive", "current", "displays", "executions", "heard", "info", "live", "offset",
        "ready", "stopping",
    )  # fmt: skip

    def __init__(self) -> None:
        self.offset = 0
        self.alive = False  # a kernel process runs
        self.heard = False  # something came on iopub since it started
        self.ready = False
        self.stopping = ""  # "restart" or "shutdown", from the supervisor's record on
        self.activity: Activity = ""
        self.info: dict[str, Any] | None = None  # kernel_info, while iopub is still silent
        self.executions: dict[str, ExecutionState] = {}
        self.current: dict[str, str] = {}
        self.displays: dict[str, tuple[DisplayPlace, ...]] = {}
        self.live: dict[str, LiveText] = {}

    def copy(self) -> FoldState:
        """Return one whose containers can be changed; their values are shared and must be replaced."""
        made = FoldState()
        for name in self.__slots__:
            value = getattr(self, name)
            setattr(made, name, dict(value) if isinstance(value, dict) else value)
        return made

    @property
    def running(self) -> list[ExecutionState]:
        """The executions that have begun and not ended, in that order."""
        return [one for one in self.executions.values() if not one.done]


class _StoredStream(msgspec.Struct):
    name: str
    index: int
    reducer: dict[str, Any]


class _Stored(msgspec.Struct, omit_defaults=True):
    offset: int
    alive: bool = False
    heard: bool = False
    ready: bool = False
    stopping: str = ""
    activity: Activity = ""
    info: dict[str, Any] | None = None
    executions: list[ExecutionState] = []
    displays: dict[str, tuple[DisplayPlace, ...]] = {}
    live: dict[str, _StoredStream] = {}


def encode_state(state: FoldState) -> bytes:
    """Return the state as JSON."""
    stored = _Stored(
        state.offset,
        state.alive,
        state.heard,
        state.ready,
        state.stopping,
        state.activity,
        state.info,
        list(state.executions.values()),
        state.displays,
        {
            execution: _StoredStream(live.name, live.index, live.reducer.state())
            for execution, live in state.live.items()
        },
    )
    return msgspec.json.encode(stored)


def decode_state(data: bytes, stream_of: Callable[[str, int], StreamView | None]) -> FoldState:
    """Return the state that was encoded; ``stream_of(cell, output index)`` gives R's live stream.

    Raises:
        msgspec.DecodeError: it is not an encoded state.
    """
    stored = msgspec.json.decode(data, type=_Stored)
    state = FoldState()
    for name in _Stored.__struct_fields__:
        if name not in ("executions", "live"):
            setattr(state, name, getattr(stored, name))
    for execution in stored.executions:
        state.executions[execution.id] = execution
        if execution.cell:
            state.current[execution.cell] = execution.id
    for id_, stream in stored.live.items():
        if id_ not in state.executions:
            continue
        view = stream_of(state.executions[id_].cell, stream.index)
        tail = view.tail if view is not None else ""
        sealed = view.sealed if view is not None else ()
        state.live[id_] = LiveText(stream.name, stream.index, StreamReducer(tail, stream.reducer), sealed)
    return state
