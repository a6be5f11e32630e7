"""A block: one output as finished lines for one width.

It knows nothing of where it is shown. Invariant: no line is wider than the width it was made for, and every
text in it has been made safe to show (`runt.terminal.sanitise`).
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import msgspec
from rich.cells import cell_len, chop_cells
from rich.segment import Segment
from rich.style import Style

Line = tuple[Segment, ...]
"""One row of cells, left to right."""


class Block(msgspec.Struct, frozen=True):
    """The rows of one output."""

    lines: tuple[Line, ...]
    gap: bool = False
    """A blank row above it: for what is not plain text."""
    fixed: bool = False
    """The styles carry meaning (a picture): nothing may dim or tint them."""
    toggle: int | None = None
    """The row (from 0, without the gap) that folds or unfolds the rest when activated."""
    hidden: int = 0
    """Lines that are not shown; above 0 there is more to see in a pager."""
    edge: str = ""
    """One cell to show in the gutter beside every row."""
    pending: str = ""
    """Digest of a picture that is still being decoded; the rows hold its place."""

    @property
    def rows(self) -> int:
        """Rows on the screen, with the gap."""
        return len(self.lines) + self.gap


def text_line(text: str, style: Style) -> Line:
    """A line of one style."""
    return (Segment(text, style),)


def fold(line: Sequence[Segment], width: int) -> list[Line]:
    """Cut a line at ``width`` cells, as a terminal does: no word wrap, a wide character is never split."""
    if sum(len(segment.text) for segment in line) <= width and all(
        segment.text.isascii() for segment in line
    ):
        return [tuple(line)]
    text = "".join(segment.text for segment in line)
    if cell_len(text) <= width:
        return [tuple(line)]
    pieces = chop_cells(text, max(2, width))
    folded: list[Line] = []
    queue = list(line)
    for piece in pieces:
        need = len(piece)
        row: list[Segment] = []
        while need > 0 and queue:
            segment = queue.pop(0)
            if len(segment.text) > need:
                queue.insert(0, Segment(segment.text[need:], segment.style))
                segment = Segment(segment.text[:need], segment.style)
            row.append(segment)
            need -= len(segment.text)
        folded.append(tuple(row))
    return folded


def crop(text: str, width: int) -> str:
    """``text`` in at most ``width`` cells, ending in ``…`` when something was cut off."""
    if cell_len(text) <= width:
        return text
    if width <= 1:
        return "…"[:width]
    return chop_cells(text, width - 1)[0] + "…"


def plain(lines: Iterable[Line]) -> list[str]:
    """The text of some lines, without trailing spaces."""
    return ["".join(segment.text for segment in line).rstrip() for line in lines]
