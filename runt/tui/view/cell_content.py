"""One cell as rows of styled text: source or rendered Markdown, then its outputs.

It knows nothing of the gutter, of focus or of where the cell is. Parts are made when asked for: measuring
needs the wrap, painting needs the colours. Invariant: ``shape`` always agrees with ``line``: row ``r`` exists
for every ``r < shape.height - 1``.
"""

from __future__ import annotations

from collections.abc import Sequence

from rich.segment import Segment
from textual.expand_tabs import get_tab_widths
from textual.strip import Strip

from runt.terminal.sanitise import display_text
from runt.tui import highlighting
from runt.tui.outputs.block import Block, Line, text_line
from runt.tui.outputs.looks import Looks
from runt.tui.view.gutter import CellState
from runt.tui.view.row_model import Part, Shape
from runt.tui.view.wrapping import SourceRow, wrap_source

MAX_HIGHLIGHTED_LINES = 4000
"""Longer cells are painted plain: a parse of that many lines takes about 40 ms."""

EMPTY_MARKDOWN = "empty text cell"


class CellContent:
    """What one cell shows, for one width and one theme."""

    def __init__(self, cell_type: str, source: str, language: str | None, width: int, looks: Looks) -> None:
        self.type = cell_type
        self.source = source
        self.width = width
        self.state = CellState()
        self.source_hash: str | None = None
        self.blocks: list[Block] = []
        self.entries: dict[int, object] = {}
        """The output entries that ``blocks`` were made from, by their index in the document."""
        self._looks = looks
        self._language = language
        self._lines = source.split("\n")
        self._rows: list[SourceRow] | None = None
        self._painted: list[Line] | None = None
        self._shape: Shape | None = None
        self.strips: dict[int, Strip] = {}
        """Painted rows of the cell, kept by the view."""
        self.editor_rows: int | None = None
        """Rows of the live editor that covers the source, or None."""

    # Source

    @property
    def rendered(self) -> bool:
        """The source is shown as formatted text."""
        return self.type == "markdown" and self.editor_rows is None

    @property
    def source_rows(self) -> list[SourceRow]:
        """Rows of the wrapped source (not of rendered Markdown)."""
        if self._rows is None:
            self._rows = wrap_source(self._lines, self.width)
        return self._rows

    def _source_height(self) -> int:
        if self.editor_rows is not None:
            return max(1, self.editor_rows)
        if self.rendered:
            return len(self._paint())
        return len(self.source_rows)

    def _paint(self) -> list[Line]:
        if self._painted is None:
            self._painted = self._paint_markdown() if self.rendered else self._paint_source()
        return self._painted

    def _paint_markdown(self) -> list[Line]:
        if not self.source.strip():
            return [text_line(EMPTY_MARKDOWN, self._looks.dim)]
        from runt.tui.outputs.markdown import markdown_lines

        return markdown_lines(self.source, self.width, self._looks) or [
            text_line(EMPTY_MARKDOWN, self._looks.dim)
        ]

    def _paint_source(self) -> list[Line]:
        names: Sequence[Sequence[str]] = ()
        if self.type == "code" and self._language is not None and len(self._lines) <= MAX_HIGHLIGHTED_LINES:
            names = highlighting.highlight(self._lines, self._language)
        elif self.type == "markdown":
            names = highlighting.highlight(self._lines, "markdown")
        return [self._source_line(row, names[row.line] if names else ()) for row in self.source_rows]

    def _source_line(self, row: SourceRow, names: Sequence[str]) -> Line:
        line = self._lines[row.line]
        if row.start == row.stop:
            return ()
        looks = self._looks
        tabs = _tab_cells(line) if "\t" in line else None
        segments: list[Segment] = []
        at = row.start
        while at < row.stop:
            name = names[at] if names else ""
            end = at + 1
            while end < row.stop and (names[end] if names else "") == name:
                end += 1
            text = line[at:end]
            if tabs is not None and "\t" in text:
                text = "".join(
                    " " * tabs[at + index] if char == "\t" else char for index, char in enumerate(text)
                )
            segments.append(Segment(display_text(text), looks.code.get(name, looks.text)))
            at = end
        return tuple(segments)

    def location(self, row: int, cell: int) -> tuple[int, int] | None:
        """Line and column (code points) of the source at a row and a cell of the body; None when it is not
        source.
        """
        if self.rendered or not 0 <= row < len(self.source_rows):
            return None
        from rich.cells import cell_len

        place = self.source_rows[row]
        text = self._lines[place.line][place.start : place.stop]
        column, used = 0, 0
        for char in text:
            used += highlighting.TAB_CELLS if char == "\t" else cell_len(char)
            if used > cell:
                break
            column += 1
        return place.line, place.start + column

    # The whole cell

    def set_outputs(self, entries: dict[int, object], blocks: list[Block]) -> None:
        """Replace the outputs."""
        self.entries = entries
        self.blocks = blocks
        self._shape = None

    def set_editor_rows(self, rows: int | None) -> None:
        """The height of the live editor, or None when it has gone."""
        if (rows is None) != (self.editor_rows is None):
            self._painted = None
        self.editor_rows = rows
        self._shape = None

    @property
    def shape(self) -> Shape:
        """Rows of the parts."""
        if self._shape is None:
            self._shape = Shape(self._source_height(), tuple(block.rows for block in self.blocks))
        return self._shape

    def line(self, row: int) -> Line:
        """The body at ``row``; empty under the live editor and between the parts."""
        part, index, within = self.shape.part(row)
        if part is Part.SOURCE:
            return () if self.editor_rows is not None else self._paint()[within]
        if part is Part.OUTPUT:
            block = self.blocks[index]
            within -= block.gap
            return block.lines[within] if within >= 0 else ()
        return ()


def _tab_cells(line: str) -> dict[int, int]:
    """Offset of each tab in a line (code points) → its width in cells."""
    cells: dict[int, int] = {}
    at = 0
    for section, width in get_tab_widths(line, highlighting.TAB_CELLS):
        at += len(section)
        if width:
            cells[at] = width
            at += 1
    return cells
