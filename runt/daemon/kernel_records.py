"""A kernel's journal records on their way into R: gathered, folded, journaled, acknowledged.

It starts and stops nothing. The invariants: the R updates of a batch, the fold state and with it the
supervisor's offset are one append; an offset is acknowledged to the supervisor only when that append and
the blobs it names are durable; a batch that cannot be folded is skipped with a word to the peers, never
tried for ever.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections import deque
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

from runt.daemon import folding
from runt.daemon.folding_ops import Effect, FinishExecution, KernelActivity, RuntimeOp
from runt.daemon.folding_state import FoldState, decode_state, encode_state
from runt.daemon.runtime_operations import apply_operations
from runt.errors import RuntError, StoreError
from runt.notebook.cell import CellKey
from runt.notebook.runtime_document import LiveStream
from runt.runtime.supervisor_protocol import IOPUB, Record
from runt.runtime.wire import DELIMITER, JupyterWire

if TYPE_CHECKING:
    from runt.daemon.room import Room
    from runt.daemon.room_loading import Put
    from runt.store.blobs import BlobStore

log = logging.getLogger(__name__)

STREAM_INTERVAL_S = 1 / 30  # a burst of stream output reaches the document at most so often
MAX_BUFFERED_RECORDS = 4096  # of a burst; then it is folded at once
ACKNOWLEDGE_INTERVAL_S = 1.0

OnEffect = Callable[[Effect], None]
OnFinished = Callable[[FinishExecution], None]


class KernelRecords:
    """The fold state of one room and what feeds it. ``acknowledge`` takes an offset (bytes of the
    supervisor).
    """

    def __init__(
        self, room: Room, put: Put, blobs: BlobStore, on_effect: OnEffect, on_finished: OnFinished
    ) -> None:
        self.state = FoldState()
        self.acknowledge: Callable[[int], object] | None = None
        self._room = room
        self._put = put
        self._blobs = blobs
        self._on_effect = on_effect
        self._on_finished = on_finished
        self._wire = JupyterWire(b"")
        self._buffer: list[Record] = []
        self._folded_at = float("-inf")
        self._timer: asyncio.TimerHandle | None = None
        self._tick_timer: asyncio.TimerHandle | None = None
        self._acknowledge_timer: asyncio.TimerHandle | None = None
        self._offsets: deque[tuple[int, int]] = deque()  # (journal seq, supervisor offset) not durable yet
        self._durable_offset = 0

    def reset(self) -> None:
        """Begin with another kernel, whose journal begins at 0."""
        self.state = FoldState()
        self._buffer.clear()
        self._offsets.clear()
        self._durable_offset = 0

    def restore(self, side: bytes) -> None:
        """Go on from a state in the journal. Raises msgspec.DecodeError."""
        self.state = decode_state(side, self._live_stream)

    def use(self, wire: JupyterWire) -> None:
        """Decode what comes from now on with this kernel's key."""
        self._wire = wire

    def _live_stream(self, cell: str, index: int) -> LiveStream | None:
        try:
            output = self._room.runtime.output(CellKey(cell), index)
        except IndexError:
            return None
        return output if isinstance(output, LiveStream) else None

    # -- from the supervisor ----------------------------------------------------------------------

    def receive(self, records: Sequence[Record]) -> None:
        """Take records. A burst of stream output is folded at most 30 times a second, all else at once."""
        self._buffer += records
        wait = self._folded_at + STREAM_INTERVAL_S - self._room.loop.time()
        if wait <= 0 or len(self._buffer) > MAX_BUFFERED_RECORDS or not all(map(_is_stream, records)):
            self.fold_now()
        elif self._timer is None:
            self._timer = self._room.loop.call_later(wait, self.fold_now)

    def fold_now(self) -> None:
        """Fold what was gathered."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        records, self._buffer = self._buffer, []
        if records:
            self.fold(records)

    def fold(self, records: Sequence[Record]) -> None:
        """Fold records at once."""
        self._folded_at = self._room.loop.time()
        self._take(
            lambda: folding.fold(self.state, records, self._put, wire=self._wire, get=self._blobs.get),
            records[-1].end,
        )

    def _take(self, work: Callable[[], folding.Folded], offset: int = 0) -> None:
        try:
            state, operations, effects = work()
            with self._room.runtime_changes() as writer:
                apply_operations(writer, operations)
        except (KeyError, IndexError, ValueError, TypeError, RuntError) as error:
            log.exception("room %s: records of the kernel were skipped", self._room.id)
            self._room.notice(f"some output of the kernel was lost: {error!r}")
            self.state.offset = max(self.state.offset, offset)
            self.journal()
            return
        self.state = state
        self.journal()
        self._carry_out(operations, effects)
        self._room.log.flush()
        if folding.needs_tick(self.state) and self._tick_timer is None:
            self._tick_timer = self._room.loop.call_later(folding.QUIET_S + 0.05, self._tick)

    def _carry_out(self, operations: Sequence[RuntimeOp], effects: Sequence[Effect]) -> None:
        # What the kernel does is shown, not saved: a kernel that starts leaves the file alone.
        if not all(isinstance(operation, KernelActivity) for operation in operations):
            self._room.file.outputs_changed()
        for operation in operations:
            if isinstance(operation, FinishExecution):
                self._on_finished(operation)
                self._room.file.outputs_changed(ended=True)
        for effect in effects:
            self._on_effect(effect)

    def _tick(self) -> None:
        self._tick_timer = None
        self._take(lambda: folding.tick(self.state, time.time(), self._put, get=self._blobs.get))

    # -- changes from the other side --------------------------------------------------------------

    def begin(self, execution: str, cell: str) -> None:
        """An execution starts, in this burst."""
        self.state = folding.begin(self.state, execution, cell)
        self.journal()

    def clear(self, cells: Sequence[CellKey]) -> None:
        """Clear the outputs of cells, in R and in what is remembered of them."""
        operations: list[RuntimeOp] = []
        for cell in cells:
            if cell in self.state.current:
                self.state, cleared = folding.cleared(self.state, cell)
                operations += cleared
        with self._room.runtime_changes() as writer:
            apply_operations(writer, operations)
            for cell in cells:
                writer.clear_outputs(cell)
        self.journal()

    # -- journal and acknowledgement --------------------------------------------------------------

    def journal(self) -> None:
        """Put the state into this burst's append."""
        self._room.log.side("fold", encode_state(self.state))
        offset = self.state.offset
        self._room.log.after_commit(lambda: self._offsets.append((self._room.journal.committed, offset)))

    def forget(self) -> None:
        """The kernel is gone for good: nothing of it is needed after a restart of the daemon."""
        self.reset()
        self._room.log.side("fold", None)

    def durable(self, seq: int) -> None:
        """The journal is on disk up to ``seq``: what was folded until then may be dropped by the
        supervisor.
        """
        while self._offsets and self._offsets[0][0] <= seq:
            self._durable_offset = self._offsets.popleft()[1]
            if self._acknowledge_timer is None:
                self._acknowledge_timer = self._room.loop.call_later(
                    ACKNOWLEDGE_INTERVAL_S, self._acknowledge_soon
                )

    def _acknowledge_soon(self) -> None:
        self._acknowledge_timer = None
        if self.acknowledge is not None and not self._room.closing:
            work = self._acknowledge(self.acknowledge, self._durable_offset)
            self._room.tasks.start(work, "acknowledge")

    async def _acknowledge(self, acknowledge: Callable[[int], object], offset: int) -> None:
        try:
            await asyncio.to_thread(self._blobs.sync)
        except StoreError as error:
            log.warning("room %s: blobs are not durable: %s", self._room.id, error)
            return
        if acknowledge is self.acknowledge:
            acknowledge(offset)

    def close(self) -> None:
        """Fold what is there and stop the clocks."""
        self.fold_now()
        for timer in (self._timer, self._tick_timer, self._acknowledge_timer):
            if timer is not None:
                timer.cancel()


def _is_stream(record: Record) -> bool:
    """Whether a record is a stream message, by the bytes of its header: cheaper than decoding it."""
    if record.channel != IOPUB:
        return False
    frames = record.frames
    for at in range(min(len(frames) - 2, 3)):
        if frames[at] == DELIMITER:
            return b'"stream"' in frames[at + 2]
    return False
