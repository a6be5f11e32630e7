"""Folding of stdout and stderr: chunks into live streams, live streams into sealed pieces and manifests.

Only text; which execution a chunk belongs to is decided before. The invariant: sealed pieces plus tail are
always the whole text, whatever the batches were; no piece is bigger than MAX_PIECE_CODE_POINTS.
"""

from __future__ import annotations

from runt.daemon.folding_ops import (
    AppendOutput,
    EditTail,
    FinishStream,
    OpenStream,
    RuntimeOp,
    SealStream,
)
from runt.daemon.folding_state import LiveText
from runt.daemon.output_entries import entry_of
from runt.notebook.manifests import Get, Put
from runt.terminal.stream_reducer import StreamReducer

SEAL_CODE_POINTS = 64 << 10  # a longer tail is sealed: clients hold the tail in memory, and sync it
KEPT_CODE_POINTS = 8 << 10  # of the tail stay, so that a progress bar can still go up some lines
MAX_PIECE_CODE_POINTS = 1 << 20
TEXT = "text/plain"


class StreamEdit:
    """What one batch does to one live stream, merged: nothing is emitted before ``flush``."""

    __slots__ = ("_before", "_keep", "_length", "_parts", "_seals", "cell", "fresh", "live")

    def __init__(self, cell: str, live: LiveText, *, fresh: bool) -> None:
        self.cell = cell
        self.live = live
        self.fresh = fresh  # not in the document yet
        self._before = self._keep = 0 if fresh else len(live.reducer)  # code points of R's tail; kept of it
        self._parts: list[str] = []
        self._length = 0
        self._seals: list[RuntimeOp] = []

    def feed(self, chunk: str, put: Put) -> None:
        """Fold a chunk, and seal if the tail has become long."""
        reducer = self.live.reducer
        keep, new = reducer.feed(chunk)
        if keep < self._keep:
            self._keep, self._parts, self._length = keep, [], 0
        elif keep < self._keep + self._length:
            self._parts = ["".join(self._parts)[: keep - self._keep]]
            self._length = keep - self._keep
        self._parts.append(new)
        self._length += len(new)
        if len(reducer) >= SEAL_CODE_POINTS:
            self._seal(put)

    def _seal(self, put: Put) -> None:
        tail = self.live.reducer.tail
        cut = tail.rfind("\n", 0, len(tail) - KEPT_CODE_POINTS) + 1
        if cut == 0:  # one huge line: a piece may end anywhere, but not before it is big
            if len(tail) < MAX_PIECE_CODE_POINTS:
                return
            cut = len(tail) - KEPT_CODE_POINTS
        for start in range(0, cut, MAX_PIECE_CODE_POINTS):
            piece = tail[start : min(cut, start + MAX_PIECE_CODE_POINTS)]
            reference = put(piece.encode("utf-8", "replace"), TEXT)
            # Only what R's tail has of this piece can be dropped from it.
            dropped = min(len(piece), self._keep)
            if dropped < len(piece):
                # The piece reaches beyond what R keeps: all of R's tail goes.
                dropped, self._before = self._before, 0
                self._take_from_new(len(piece) - self._keep)
                self._keep = 0
            else:
                self._keep -= dropped
                self._before -= dropped
            self._seals.append(SealStream(self.cell, self.live.index, reference, dropped))
            self.live.sealed.append(reference)
        self.live.reducer.drop(cut)

    def _take_from_new(self, code_points: int) -> None:
        self._parts = ["".join(self._parts)[code_points:]]
        self._length = len(self._parts[0])

    def flush(self, ops: list[RuntimeOp]) -> None:
        """Emit what is pending."""
        index = self.live.index
        if self.fresh:
            ops.append(OpenStream(self.cell, index, self.live.name))
            self.fresh = False
        ops += self._seals
        if self._keep != self._before or self._length:
            ops.append(EditTail(self.cell, index, self._keep, "".join(self._parts)))
        self._before = self._keep = len(self.live.reducer)
        self._parts, self._length, self._seals = [], 0, []

    def finish(self, ops: list[RuntimeOp], put: Put, get: Get) -> None:
        """Emit the manifest in the place of the stream; pending edits need not be."""
        self.live.reducer.finish()  # an escape that was never completed is text
        entry = finished_entry(self.live, put, get)
        index = self.live.index
        ops.append(
            AppendOutput(self.cell, index, entry) if self.fresh else FinishStream(self.cell, index, entry)
        )


def new_live(name: str, index: int) -> LiveText:
    """Return an empty stream."""
    return LiveText(name, index, StreamReducer())


def finished_entry(live: LiveText, put: Put, get: Get) -> str:
    """Return the entry for the whole text. Sealed pieces are read back: they are one blob from now on."""
    text = live.reducer.tail
    if live.sealed:
        text = "".join(get(piece.hash).decode("utf-8", "replace") for piece in live.sealed) + text
    return entry_of({"output_type": "stream", "name": live.name, "text": text}, put)
