"""Soft wrap of source, with the same breaks as the editor makes.

Not for outputs (those are cut at the cell, as a terminal does). Invariant: for the same text and width the
rows are those of Textual's `WrappedDocument`, so that a cell does not jump when its editor opens.
"""

from __future__ import annotations

import msgspec
from textual._wrap import compute_wrap_offsets
from textual.expand_tabs import get_tab_widths

from runt.tui.highlighting import TAB_CELLS

CARET_CELLS = 1
"""The editor keeps one cell free at the right for the caret."""


class SourceRow(msgspec.Struct, frozen=True):
    """One row on the screen: code points ``start`` to ``stop`` of source line ``line`` (from 0)."""

    line: int
    start: int
    stop: int


def wrap_line(text: str, width: int) -> list[int]:
    """Code points at which a line breaks. ``width``: cells, without the caret's; 0 or less: no wrap."""
    if width <= 0 or (len(text) <= width and text.isascii() and "\t" not in text):
        return []
    return compute_wrap_offsets(
        text, width, TAB_CELLS, precomputed_tab_sections=get_tab_widths(text, TAB_CELLS)
    )


def wrap_source(lines: list[str], width: int) -> list[SourceRow]:
    """Rows of a source at ``width`` cells (the width of the editor: its caret cell is taken off here)."""
    rows: list[SourceRow] = []
    limit = width - CARET_CELLS
    for number, line in enumerate(lines):
        start = 0
        for offset in wrap_line(line, limit):
            rows.append(SourceRow(number, start, offset))
            start = offset
        rows.append(SourceRow(number, start, len(line)))
    return rows
