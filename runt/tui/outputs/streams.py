"""What a program printed: finished streams and live ones.

The stream was folded before (`runt.terminal.stream_reducer`); here it only gets its colours. Invariant: a
growing live stream costs what its end costs: sealed pieces are read once, for their number of lines.
"""

from __future__ import annotations

from collections import OrderedDict
from typing import TYPE_CHECKING

import msgspec

from runt.errors import BlobMissing
from runt.tui.outputs.block import Block
from runt.tui.outputs.contents import LostContent, read_ends, size_of
from runt.tui.outputs.text_lines import Rows, text_rows

if TYPE_CHECKING:
    from runt.notebook.manifests import StreamManifest
    from runt.notebook.runtime_document import LiveStream
    from runt.tui.outputs.rendering import OutputContext
    from runt.tui.view.source import BlobSource

STDERR_EDGE = "╎"
"""In the gutter beside stderr: told apart without colour, and without moving the text."""

COUNTED_BYTES = 16 * 1024 * 1024
"""Lines of sealed pieces are counted up to here; beyond, sizes are told."""


END_CHARS = 32 * 1024
"""Of the first and the last sealed piece, this much is kept: more than the rows shown can hold at sane line
lengths.
"""

WHOLE_BYTES = 256 * 1024
"""Sealed pieces that are smaller together are shown like any text."""


class Piece(msgspec.Struct, frozen=True):
    """What is kept of a sealed piece."""

    newlines: int
    head: str
    tail: str


class Pieces:
    """Sealed pieces by hash, each read once. Bounded: those not used for longest are forgotten."""

    _KEPT = 512

    def __init__(self) -> None:
        self._pieces: OrderedDict[str, Piece] = OrderedDict()

    def get(self, hash_: str, blobs: BlobSource) -> Piece:
        """Raises what the blob source raises."""
        known = self._pieces.get(hash_)
        if known is None:
            text = blobs.get(hash_).decode("utf-8", "replace")
            known = Piece(text.count("\n"), text[:END_CHARS], text[-END_CHARS:])
            self._pieces[hash_] = known
            if len(self._pieces) > self._KEPT:
                self._pieces.popitem(last=False)
        else:
            self._pieces.move_to_end(hash_)
        return known


def stream_block(manifest: StreamManifest, context: OutputContext) -> Block:
    """A finished stream."""
    base = context.looks.stderr if manifest.name == "stderr" else context.looks.text
    ref = manifest.text
    if ref.inline is not None:
        rows = text_rows(ref.inline, context.width, base, context.looks.dim)
    elif ref.blob is None:
        raise LostContent
    else:
        head, tail, between = read_ends(ref.blob, size_of(ref), context.blobs)
        rows = text_rows(
            head,
            context.width,
            base,
            context.looks.dim,
            tail_text=tail,
            between=between,
            lines_between=None if between else 0,
        )
    return _block(manifest.name, rows)


def live_block(stream: LiveStream, context: OutputContext) -> Block:
    """A stream that still grows."""
    base = context.looks.stderr if stream.name == "stderr" else context.looks.text
    dim, blobs = context.looks.dim, context.blobs
    size = sum(piece.size for piece in stream.sealed)
    if not stream.sealed and not stream.tail:
        return Block(())
    try:
        if size <= WHOLE_BYTES:
            whole = "".join(blobs.get(piece.hash).decode("utf-8", "replace") for piece in stream.sealed)
            return _block(stream.name, text_rows(whole + stream.tail, context.width, base, dim))
        first = context.pieces.get(stream.sealed[0].hash, blobs)
        last = context.pieces.get(stream.sealed[-1].hash, blobs)
        lines: int | None = None
        if size <= COUNTED_BYTES:
            lines = sum(context.pieces.get(piece.hash, blobs).newlines for piece in stream.sealed)
            lines -= first.head.count("\n") + last.tail.count("\n")
        head, tail = first.head, last.tail + stream.tail
    except (BlobMissing, KeyError, OSError):
        # A piece that is lost, or not here yet: the end of the stream is what matters.
        head, tail, lines = "", stream.tail or "\n", None
    rows = text_rows(head, context.width, base, dim, tail_text=tail, between=size, lines_between=lines)
    return _block(stream.name, rows)


def _block(name: str, rows: Rows) -> Block:
    return Block(rows.lines, hidden=rows.hidden, edge=STDERR_EDGE if name == "stderr" else "")
