"""One line of a stream while it is edited by column: what ``\\r`` and cursor motion write over.

It knows no other line and no cursor. The invariant: ``Row.text`` parsed with the look ``Row.start`` gives
back its segments, and the look after its last character is the same before and after an edit unless
``loosen`` was called, so that the lines below keep their colours.
"""

from __future__ import annotations

import re
from typing import NamedTuple

from runt.terminal.escapes import ESCAPE_SOURCE, SGR, SGR_SOURCE
from runt.terminal.sgr import PLAIN, TAB_STOP_CELLS, Sgr, apply_parameters, transition
from runt.terminal.widths import SINGLE_CELLS, character_width, is_single_cells

_TOKEN = re.compile(rf"([{SINGLE_CELLS}]+)|{SGR_SOURCE}|(\t)|({ESCAPE_SOURCE})|.", re.DOTALL)


class Segment(NamedTuple):
    """Text in one look. ``uniform``: each code point is a cell; else it is one character with its marks."""

    text: str
    cells: int
    sgr: Sgr
    uniform: bool


def pen_after(text: str, pen: Sgr) -> Sgr:
    """The look after ``text`` that begins in the look ``pen``."""
    if "\x1b[" in text:
        for match in SGR.finditer(text):
            pen = apply_parameters(pen, match[1])
    return pen


def parse(text: str, pen: Sgr, column: int = 0) -> tuple[list[Segment], Sgr]:
    """Segments of ``text`` that begins at ``column`` (cells) in the look ``pen``, and the look after it.

    What has no width belongs to the character before it; at the very beginning it is a segment of its own.
    """
    if is_single_cells(text):
        return ([Segment(text, len(text), pen, True)] if text else []), pen
    segments: list[Segment] = []
    for match in _TOKEN.finditer(text):
        single, parameters, tab, _ = match.groups()
        if single is not None:
            segments.append(Segment(single, len(single), pen, True))
            column += len(single)
        elif parameters is not None:
            pen = apply_parameters(pen, parameters)
        elif tab:
            cells = TAB_STOP_CELLS - column % TAB_STOP_CELLS
            segments.append(Segment("\t", cells, pen, False))
            column += cells
        else:
            piece = match[0]
            cells = character_width(piece) if len(piece) == 1 and piece != "\x1b" else 0
            if cells:
                segments.append(Segment(piece, cells, pen, False))
                column += cells
            else:
                _attach(segments, piece, pen)
    return segments, pen


def _attach(segments: list[Segment], mark: str, pen: Sgr) -> None:
    """Give something of no width to the last character of ``segments``."""
    if not segments:
        segments.append(Segment(mark, 0, pen, False))
        return
    last = segments.pop()
    if last.uniform and last.cells > 1:
        segments.append(Segment(last.text[:-1], last.cells - 1, last.sgr, True))
        last = Segment(last.text[-1], 1, last.sgr, True)
    segments.append(Segment(last.text + mark, last.cells, last.sgr, False))


def _before(segments: list[Segment], column: int) -> tuple[list[Segment], int]:
    """What stands left of ``column``, and its width; a character cut in two leaves spaces."""
    kept: list[Segment] = []
    at = 0
    if column == 0:
        return kept, 0
    for segment in segments:
        if at >= column:
            break
        if at + segment.cells > column:
            room = column - at
            text = segment.text[:room] if segment.uniform else " " * room
            segment = Segment(text, room, segment.sgr, True)
        kept.append(segment)
        at += segment.cells
    return kept, at


def _from(segments: list[Segment], column: int) -> list[Segment]:
    """What stands at ``column`` and right of it; a character cut in two leaves spaces."""
    at = 0
    for index, segment in enumerate(segments):
        stop = at + segment.cells
        if at >= column and segment.cells:
            return segments[index:]
        if stop > column:
            room = stop - column
            text = segment.text[-room:] if segment.uniform else " " * room
            return [Segment(text, room, segment.sgr, True), *segments[index + 1 :]]
        at = stop
    return []


def common_prefix(one: str, other: str) -> int:
    """Code points that two texts begin with alike. By bisection over slices: C speed on long lines."""
    low, high = 0, min(len(one), len(other))
    while low < high:
        middle = (low + high + 1) // 2
        if one[low:middle] == other[low:middle]:
            low = middle
        else:
            high = middle - 1
    return low


class Row:
    """One line, without its newline. Columns are cells from its beginning."""

    __slots__ = ("_before", "_end", "_segments", "_text", "start")

    def __init__(self, text: str, start: Sgr) -> None:
        self.start = start
        self._text: str | None = text
        self._before = text
        self._segments: list[Segment] | None = None
        self._end: Sgr | None = None

    @property
    def text(self) -> str:
        if self._text is None:
            self._text = self._serialised()
        return self._text

    @property
    def changed(self) -> bool:
        """Whether it was edited since `take_change` (or since it was made)."""
        return self._text is not self._before

    def take_change(self) -> int:
        """Code points at the beginning that no edit has changed since the last call (or its making)."""
        same = common_prefix(self._before, self.text)
        self._before = self.text
        return same

    @property
    def segments(self) -> list[Segment]:
        if self._segments is None:
            assert self._text is not None
            self._segments, self._end = parse(self._text, self.start)
        return self._segments

    @property
    def width(self) -> int:
        """Cells."""
        return sum([segment.cells for segment in self.segments])

    def loosen(self) -> None:
        """Let the look after the last character be whatever the characters say: nothing stands below."""
        segments = self.segments
        self._end = segments[-1].sgr if segments else self.start

    def end(self) -> Sgr:
        """The look after the last character."""
        if self._end is None:
            assert self._text is not None
            self._end = pen_after(self._text, self.start)
        return self._end

    def _serialised(self) -> str:
        pen = self.start
        pieces: list[str] = []
        for segment in self.segments:
            if segment.sgr is not pen and segment.sgr != pen:
                pieces.append(transition(pen, segment.sgr))
                pen = segment.sgr
            pieces.append(segment.text)
        if self._end is not None:
            pieces.append(transition(pen, self._end))
        return "".join(pieces)

    def _replace(self, segments: list[Segment]) -> None:
        self.end()  # to be kept
        self._segments = segments
        self._text = None

    def write(self, column: int, written: list[Segment], cells: int) -> None:
        """Put ``written`` over what stands from ``column`` on; a gap before it becomes spaces."""
        old = self.segments
        left, width = _before(old, column)
        if width < column:
            left.append(Segment(" " * (column - width), column - width, PLAIN, True))
        self._replace([*left, *written, *_from(old, column + cells)])

    def mark(self, column: int, mark: str) -> None:
        """Add something of no width to the character before ``column``; at column 0 there is none."""
        left, width = _before(self.segments, column)
        if left and width == column:
            right = _from(self.segments, column)
            _attach(left, mark, left[-1].sgr)
            self._replace([*left, *right])

    def erase_from(self, column: int) -> None:
        if column == 0 or column < self.width:
            self._replace(_before(self.segments, column)[0])

    def erase_to(self, column: int) -> None:
        """Blank the cells up to and including ``column``."""
        cells = min(column + 1, self.width)
        if cells:
            self.write(0, [Segment(" " * cells, cells, PLAIN, True)], cells)
