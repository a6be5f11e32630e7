"""One row of a cell as a strip: focus bar, label, body, note.

It decides where things stand in a row, not what they say. Invariant: every strip is exactly ``width`` cells,
so that Textual never has to measure or pad.
"""

from __future__ import annotations

from collections.abc import Sequence

import msgspec
from rich.cells import cell_len
from rich.segment import Segment
from rich.style import Style
from textual.strip import Strip

from runt.terminal.sanitise import display_text
from runt.tui.outputs.block import Block, Line
from runt.tui.outputs.looks import Looks
from runt.tui.view.gutter import MAX_LABEL_CELLS, CellState
from runt.tui.view.row_model import Part

GUTTER_CELLS = 6
"""Bar, a column for another person's initial, the label, a space."""

MIN_WIDTH_FOR_NOTES = 70
"""Below this the right-edge notes go away."""

BODY_MARGIN_CELLS = 1
"""Free cells at the right edge."""

_LABEL_AT = 2
_DIM = Style(dim=True)


class PeerMark(msgspec.Struct, frozen=True):
    """Another person is in this cell. ``initial`` is one cell wide."""

    initial: str
    style: Style


def body_width(width: int) -> int:
    """Cells for source and output in a view of ``width`` cells."""
    return max(4, width - GUTTER_CELLS - BODY_MARGIN_CELLS)


def initial_of(name: str) -> str:
    """The first character of a name that is one cell wide and safe to show."""
    return next((char for char in display_text(name.strip()) if cell_len(char) == 1), "?")


def cell_strip(
    row: int,
    body: Line,
    state: CellState,
    *,
    focused: bool,
    rows: int,
    part: Part,
    block: Block | None,
    marks: Sequence[PeerMark],
    width: int,
    looks: Looks,
) -> Strip:
    """The strip of ``row`` (from 0) of a cell that has ``rows`` with its separator."""
    segments: list[Segment] = []
    if part is Part.SEPARATOR:
        return Strip([Segment(" " * width, looks.base)], width)
    label = state.label[:MAX_LABEL_CELLS] if row == 0 else ""
    label_at = _LABEL_AT if len(label) < GUTTER_CELLS - _LABEL_AT else 1
    # Initials of the others stand where the bar would; in the focused cell beside it, below the label if
    # there is room.
    mark = marks[row] if row < len(marks) and not focused else None
    segments.append(
        Segment(mark.initial, mark.style) if mark else Segment("▌" if focused else " ", looks.bar)
    )
    at = row - 1 if state.label and rows > 2 else row
    beside = marks[at] if focused and 0 <= at < len(marks) and not (label and label_at == 1) else None
    if label and label_at == 1:
        segments.append(Segment(label[0], _tone(state, looks)))
        label = label[1:]
    else:
        segments.append(Segment(beside.initial, beside.style) if beside else Segment(" ", looks.text))
    if label:
        segments.append(Segment(label, _tone(state, looks)))
    free = GUTTER_CELLS - 2 - len(label)
    if block is not None and block.edge and body:
        segments.append(Segment(" " * (free - 2), looks.text))
        segments.append(Segment(block.edge + " ", looks.stderr))
    else:
        segments.append(Segment(" " * free, looks.text))
    if block is not None and state.dimmed and not block.fixed:
        body = tuple(Segment(text, style + _DIM if style is not None else _DIM) for text, style, _ in body)
    segments.extend(body)
    used = GUTTER_CELLS + sum(cell_len(segment.text) for segment in body)
    note = state.note if row == 0 and width >= MIN_WIDTH_FOR_NOTES else ""
    room = width - used - BODY_MARGIN_CELLS
    if note and room >= cell_len(note) + 2:
        segments.append(Segment(" " * (room - cell_len(note)), looks.text))
        segments.append(Segment(note, looks.dim))
        segments.append(Segment(" " * BODY_MARGIN_CELLS, looks.text))
        used = width
    if used < width:
        segments.append(Segment(" " * (width - used), looks.text))
    strip = Strip(Segment.apply_style((s for s in segments if s.text), looks.base), max(used, width))
    return strip if used <= width else strip.crop(0, width)


def _tone(state: CellState, looks: Looks) -> Style:
    match state.tone:
        case "error":
            return looks.error
        case "running":
            return looks.running
        case "waiting":
            return looks.waiting
        case _:
            return looks.dim
