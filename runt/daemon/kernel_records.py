"""A kernel's journal records on their way into R: gathered, folded, journaled, acknowledged.

It starts and stops nothing. The invariants: the R updates of a batch, the fold state and with it the
supervisor's offset are one append; an offset is acknowledged to the supervisor only when that append and
the blobs it names are durable. While the disk takes no blobs, records wait and the supervisor's journal
keeps what follows; a record that cannot be folded for any other reason is left out alone, with a word to the
peers.
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
from runt.errors import BlobMissing, NoSpace, StoreError
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
STORE_RETRY_S = 2.0  # while the disk takes no blobs: soon enough after somebody made room

OnEffect = Callable[[Effect], None]
OnFinished = Callable[[FinishExecution], None]
OnFolded = Callable[[bool], None]


class KernelRecords:
    """The fold state of one room and what feeds it. ``acknowledge`` takes an offset (bytes of the
    supervisor). ``on_folded`` is called after records were folded, or have to wait for the disk (True).
    """

    def __init__(
        self,
        room: Room,
        put: Put,
        blobs: BlobStore,
        on_effect: OnEffect,
        on_finished: OnFinished,
        on_folded: OnFolded,
    ) -> None:
        self.state = FoldState()
        self.acknowledge: Callable[[int], object] | None = None
        self._room = room
        self._put = put
        self._blobs = blobs
        self._on_effect = on_effect
        self._on_finished = on_finished
        self._on_folded = on_folded
        self._wire = JupyterWire(b"")
        self._buffer: list[Record] = []
        self._folded_at = float("-inf")
        self._timer: asyncio.TimerHandle | None = None
        self._tick_timer: asyncio.TimerHandle | None = None
        self._acknowledge_timer: asyncio.TimerHandle | None = None
        self._offsets: deque[tuple[int, int]] = deque()  # (journal seq, supervisor offset) not durable yet
        self._durable_offset = 0
        self._blocked = ""  # why the disk takes no blobs, or ""

    @property
    def blocked(self) -> bool:
        """Records wait because the disk takes no blobs."""
        return bool(self._blocked)

    def reset(self) -> None:
        """Begin with another kernel, whose journal begins at 0."""
        self.state = FoldState()
        self._buffer.clear()
        self._blocked = ""
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
        if self._blocked:
            self._on_folded(True)
            return
        wait = self._folded_at + STREAM_INTERVAL_S - self._room.loop.time()
        if wait <= 0 or len(self._buffer) > MAX_BUFFERED_RECORDS or not all(map(_is_stream, records)):
            self.fold_now()
        elif self._timer is None:
            self._timer = self._room.loop.call_later(wait, self.fold_now)

    def fold_now(self) -> None:
        """Fold what was gathered; what the disk does not take is tried again until it does."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        records, self._buffer = self._buffer, []
        if not records:
            return
        before, error = self._blocked, None
        self._buffer[:0], error = self._fold(records)
        self._blocked = str(error) if error is not None else ""
        if self._blocked:
            self._timer = self._room.loop.call_later(STORE_RETRY_S, self.fold_now)
        if bool(before) != bool(self._blocked):
            log.warning("room %s: output waits for the disk: %s", self._room.id, self._blocked or "no more")
            what = f"waits: {error.message}" if error is not None else "is taken again"
            self._room.notice(f"the kernel's output {what}")
        self._on_folded(self.blocked)

    def fold_last(self, records: Sequence[Record]) -> None:
        """Fold the last records of a kernel at once. What the disk does not take is lost: its journal goes."""
        waiting, _ = self._fold(records)
        for record in waiting:
            self._fold_alone(record, last=True)

    def _fold(self, records: Sequence[Record]) -> tuple[list[Record], StoreError | None]:
        """Fold; returns the records that have to wait for the disk, and why."""
        self._folded_at = self._room.loop.time()
        try:
            folded = self._folding(folding.fold, records)
        except Exception:  # noqa: BLE001 - whatever it was: it is met again, and logged, one by one
            pass
        else:
            self._take(folded)
            return [], None
        for number, record in enumerate(records):
            error = self._fold_alone(record)
            if error is not None:
                return list(records[number:]), error
        return [], None

    def _fold_alone(self, record: Record, *, last: bool = False) -> StoreError | None:
        """Fold one record, or as much of it as can be; an error of the disk is returned (unless ``last``)."""
        for attempt in (folding.fold, folding.fold_without_streams, folding.pass_over):
            what = [record] if attempt is folding.fold else record
            try:
                folded = self._folding(attempt, what)
            except Exception as error:  # a bug, or a lost blob: the kernel's other output must not pay for it
                if not last and isinstance(error, StoreError) and _may_pass(error):
                    return error
                log.exception("room %s: a record of the kernel cannot be folded", self._room.id)
                if attempt is folding.fold:
                    self._room.notice(f"some output of the kernel was lost: {error!r}")
            else:
                self._take(folded)
                return None
        self.state.offset = max(self.state.offset, record.end)
        self.journal()
        return None

    def _folding(self, work: Callable[..., folding.Folded], what: object) -> folding.Folded:
        return work(self.state, what, self._put, wire=self._wire, get=self._blobs.get)

    def _take(self, folded: folding.Folded) -> None:
        """Make a step of folding true: in R, in the journal, and outside."""
        state, operations, effects = folded
        with self._room.runtime_changes() as writer:
            for operation in operations:
                try:
                    apply_operations(writer, (operation,))
                except Exception as error:  # R is not what was folded: what can be done is done
                    log.exception("room %s: %s", self._room.id, type(operation).__name__)
                    self._room.notice(f"some output of the kernel was lost: {error!r}")
        self.state = state
        self.journal()
        self._carry_out(operations, effects)
        self._room.log.flush()
        self._await_quiet()

    def _carry_out(self, operations: Sequence[RuntimeOp], effects: Sequence[Effect]) -> None:
        # What the kernel does is shown, not saved: a kernel that starts leaves the file alone.
        if not all(isinstance(operation, KernelActivity) for operation in operations):
            self._room.file.outputs_changed()
        for operation in operations:
            if isinstance(operation, FinishExecution):
                self._on_finished(operation)
                self._room.file.outputs_changed(ended=True)
        for effect in effects:
            try:
                self._on_effect(effect)
            except Exception:  # a bug of one effect must not cost the others, nor the link to the supervisor
                log.exception("room %s: %s", self._room.id, type(effect).__name__)

    def _await_quiet(self) -> None:
        if folding.needs_tick(self.state) and self._tick_timer is None:
            self._tick_timer = self._room.loop.call_later(folding.QUIET_S + 0.05, self._tick)

    def _tick(self) -> None:
        self._tick_timer = None
        if self._blocked:  # what is missing waits here
            self._await_quiet()
            return
        try:
            folded = folding.tick(self.state, time.time(), self._put, get=self._blobs.get)
        except Exception as error:  # noqa: BLE001 - whatever it is, the run must not stay without an end
            log.warning("room %s: a run cannot be ended yet: %r", self._room.id, error)
            if not (isinstance(error, StoreError) and _may_pass(error)):
                self.state = folding.without_streams(self.state)
            self._await_quiet()
        else:
            self._take(folded)

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


def _may_pass(error: StoreError) -> bool:
    """Whether the disk is to blame, so that the same may succeed later. A lost blob stays lost."""
    return isinstance(error, NoSpace) or (
        isinstance(error.__cause__, OSError) and not isinstance(error, BlobMissing)
    )


def _is_stream(record: Record) -> bool:
    """Whether a record is a stream message, by the bytes of its header: cheaper than decoding it."""
    if record.channel != IOPUB:
        return False
    frames = record.frames
    for at in range(min(len(frames) - 2, 3)):
        if frames[at] == DELIMITER:
            return b'"stream"' in frames[at + 2]
    return False
