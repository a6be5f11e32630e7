"""A TextArea document whose only line break is LF, so that it always equals the CRDT text that it mirrors.

Textual's own ``Document`` uses ``str.splitlines``, which breaks at ten characters (form feed, U+2028, …) and
would silently rewrite them. It is not the text itself: that is the CRDT's. The invariant: ``document.text``
is the text given, character for character, after any sequence of ``replace_range``. Offsets are code points;
columns are code points of a row.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from runt.tui.textual_compat import Document, EditResult, Location, SyntaxAwareDocument

if TYPE_CHECKING:
    from tree_sitter import Node


class LfDocument(Document):
    """Lines split at LF only."""

    def __init__(self, text: str) -> None:
        # Not super().__init__: it is what splits at the wrong characters.
        self._newline = "\n"
        self._lines = text.split("\n")

    def replace_range(self, start: Location, end: Location, text: str) -> EditResult:
        """Replace the text between two locations; returns the end of the new text and what was there
        before."""
        (top_row, top_column), (bottom_row, bottom_column) = sorted((start, end))
        replaced = self.get_text_range((top_row, top_column), (bottom_row, bottom_column))
        new = text.split("\n")
        tail = self._lines[bottom_row][bottom_column:]
        new[0] = self._lines[top_row][:top_column] + new[0]
        end_column = len(new[-1])
        new[-1] += tail
        self._lines[top_row : bottom_row + 1] = new
        return EditResult((top_row + len(new) - 1, end_column), replaced)

    def location(self, offset: int) -> Location:
        """Return (row, column) of an offset in code points; past the end is the end."""
        for row, line in enumerate(self._lines):
            if offset <= len(line):
                return row, max(0, offset)
            offset -= len(line) + 1
        return self.end

    def offset(self, location: Location) -> int:
        """Return the offset in code points of (row, column)."""
        row, column = location
        return sum(len(line) + 1 for line in self._lines[:row]) + column


class SyntaxLfDocument(SyntaxAwareDocument, LfDocument):
    """An LfDocument with an incremental tree-sitter tree."""

    @property
    def root(self) -> Node:
        """The root of the present syntax tree."""
        return self._syntax_tree.root_node
