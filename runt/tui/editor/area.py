"""The editor of one cell: a TextArea that mirrors the cell's CRDT text both ways.

It owns no history (``undo.History`` does) and no place on the screen (the notebook view does). Local changes
are caught in ``edit`` and written to the CRDT in the same call; changes by others, and undo, arrive through
the document's observer and are applied without moving caret or scroll. The invariant, after every event:
``self.document.text == str(cell.text)``.

Offsets between here and the CRDT are code points (``runt.notebook.text`` knows the bytes).
"""

from __future__ import annotations

import asyncio
import re
from collections.abc import Callable, Mapping, Sequence
from typing import Protocol

from pycrdt import Text as CrdtText
from rich.text import Text
from textual import events
from textual.geometry import Offset

from runt.notebook.notebook_document import CellKey, NotebookChange, NotebookDocument
from runt.notebook.text import Edit as TextEdit
from runt.notebook.text import clean, delta_edits, minimal_edits, shift, splice
from runt.tui.editor import indentation
from runt.tui.editor.carets import Caret, Carets
from runt.tui.editor.highlights import Highlights
from runt.tui.editor.lf_document import LfDocument, SyntaxLfDocument
from runt.tui.highlighting import grammar, language_of
from runt.tui.textual_compat import (
    Document,
    Edit,
    EditResult,
    Location,
    OpenTextArea,
    Selection,
    TextAreaTheme,
)
from runt.tui.undo import MAX_SESSION_STEPS, History, TextSession

# Control characters in a line would be obeyed by the terminal: show their pictures, which are as wide as the
# code point is long.
_PICTURES = {code: 0x2400 + code for code in range(32) if code != 9}
_PICTURES |= {127: 0x2421, 0x2028: 0xFFFD, 0x2029: 0xFFFD, 0x061C: 0xFFFD}
_PICTURES |= {
    code: 0xFFFD
    for start, stop in ((0x80, 0xA0), (0x200E, 0x2010), (0x202A, 0x202F), (0x2066, 0x206A))
    for code in range(start, stop)
}
# What a paste may not carry into a cell: control characters but tab and line feed.
_NOT_PASTED = re.compile("[\x00-\x08\x0b-\x1f\x7f-\x9f]")

INDENT_COLUMNS = 4


class EditorHost(Protocol):
    """What the editor needs from whoever placed it."""

    def editor_resized(self) -> None:
        """The number of rows that the editor needs has changed."""

    def reveal_row(self, key: str, row: int) -> None:
        """Bring a row of the cell's source (rows from 0, wrapped) into view."""

    @property
    def editor_theme(self) -> TextAreaTheme:
        """The colours that cells which are not being edited are painted in."""


class CrdtArea(OpenTextArea):
    """A cell's editor. ``language`` is a name of ``tui.highlighting`` or None for plain text."""

    DEFAULT_CSS = """
    CrdtArea {
        border: none; padding: 0; margin: 0;
        height: 100%; width: 100%;
        background: $background; color: $foreground;
        scrollbar-size: 0 0; overflow: hidden hidden;
        &:focus { border: none; background: $background; background-tint: $background 0%; }
        & .text-area--cursor { background: $foreground; color: $background; }
        & .text-area--cursor-line { background: transparent; }
        & .text-area--matching-bracket { background: $foreground 20%; }
        & .text-area--selection { background: $primary 35%; }
    }
    """

    def __init__(
        self,
        document: NotebookDocument,
        key: CellKey,
        history: History,
        *,
        host: EditorHost,
        language: str | None = None,
        on_caret: Callable[[int, int], None] = lambda anchor, head: None,
        read_only: bool = False,
    ) -> None:
        self.notebook = document
        self.key = key
        self._text: CrdtText = document.cell(key).text
        self._steps = history
        self._session = TextSession(document, key)
        self._host = host
        self._on_caret = on_caret
        self._own_origins = {self._session.origin}
        self._undo_origins = {self._session.undo_origin}
        self._rows = 1
        self.carets = Carets()
        self.ready = asyncio.Event()
        self.language_name = language_of(language) if language else None
        super().__init__(
            str(self._text),
            soft_wrap=True,
            tab_behavior="indent",
            show_line_numbers=False,
            highlight_cursor_line=False,
            read_only=read_only,
            language=None,
        )
        self.cursor_blink = False
        self.indent_width = INDENT_COLUMNS
        self._rows = self.row_count
        self._subscription = document.observe(self._on_change)

    def on_resize(self) -> None:
        """Another width wraps the text otherwise."""
        # TextArea wraps again in its own handler of this event, which runs after this one.
        self.call_later(self._check_rows)

    def on_mount(self) -> None:
        """Take on the app's colours."""
        self.retheme()
        self.ready.set()

    def retheme(self) -> None:
        """Paint in the colours that the view paints code in now."""
        theme = self._host.editor_theme
        self.register_theme(theme)
        self.theme = theme.name
        self.forget_lines()

    def close(self) -> None:
        """Stop following the document. Its undo steps stay in the history."""
        self._steps.seal()
        self._subscription.close()

    # -- document ----------------------------------------------------------

    def make_document(self, text: str, language: str | None) -> Document:
        """LF lines; with a syntax tree where there is a grammar."""
        name = self.language_name
        return LfDocument(text) if name is None else SyntaxLfDocument(text, grammar(name))

    def make_highlights(self) -> Mapping[int, Sequence[tuple[int, int | None, str]]]:
        """Highlights found when a row is painted, not for the whole text at each key (94 ms at 3000
        lines)."""
        document, name = self.document, self.language_name
        return (
            Highlights(document, name) if isinstance(document, SyntaxLfDocument) and name is not None else {}
        )

    @property
    def lines(self) -> LfDocument:
        """The document, with its conversions between locations and offsets."""
        assert isinstance(self.document, LfDocument)
        return self.document

    @property
    def row_count(self) -> int:
        """Rows that the whole text takes at the present width."""
        return max(1, self.wrapped_document.height)

    # -- local edits -------------------------------------------------------

    def edit(self, edit: Edit) -> EditResult:
        """Apply a local edit here and in the CRDT."""
        edit.text = clean(edit.text.replace("\r\n", "\n").replace("\r", "\n"))
        start, stop = self.lines.offset(edit.top), self.lines.offset(edit.bottom)
        result = super().edit(edit)
        self.history.clear()  # TextArea's own: the CRDT's is the only one
        if start != stop or edit.text:
            self._write(start, stop, edit.text)
            self.carets.shift([TextEdit(start, stop - start, edit.text)])
        self._check_rows()
        return result

    def _write(self, start: int, stop: int, text: str) -> None:
        if self._session.steps >= MAX_SESSION_STEPS:
            self._session = TextSession(self.notebook, self.key)
            self._own_origins.add(self._session.origin)
            self._undo_origins.add(self._session.undo_origin)
        self._steps.typing(self._session, start, stop - start, text)
        with self.notebook.transaction(self._session.origin):
            splice(self._text, start, stop, text)

    def undo(self) -> None:
        """Undo this person's last step of typing in this cell."""
        self._steps.undo(self.key)

    def redo(self) -> None:
        """Redo it."""
        self._steps.redo(self.key)

    # -- edits by others, and undo ------------------------------------------

    def _on_change(self, change: NotebookChange) -> None:
        if change.origin in self._own_origins or self.key not in change.sources:
            return
        edits: list[TextEdit] = []
        try:
            edits = delta_edits(self.document.text, change.sources[self.key])
        except ValueError:
            pass  # read whole, below
        self.apply_edits(edits)
        # A delta that did not fit must not leave the editor showing another text than the document holds.
        if self.document.text != (text := str(self._text)):
            self.apply_edits([*reversed(minimal_edits(self.document.text, text))])
        if change.origin in self._undo_origins and edits:
            # What this person took back is where they look now.
            self.move_cursor(self.lines.location(edits[-1].at + len(edits[-1].inserted)))
            self.scroll_cursor_visible()

    def apply_edits(self, edits: Sequence[TextEdit]) -> None:
        """Apply edits that the CRDT already has; offsets count in the text as left by the edit before."""
        lines = self.lines
        anchor, head = (lines.offset(place) for place in self.selection)
        for edit in edits:
            start, stop = lines.location(edit.at), lines.location(edit.at + edit.removed)
            self.replace_range_quietly(start, stop, edit.inserted)
            anchor, head = shift(anchor, edit), shift(head, edit)
        self.carets.shift(edits)
        self.settle(Selection(lines.location(anchor), lines.location(head)))
        self._check_rows()

    # -- size and scroll ---------------------------------------------------

    def _check_rows(self) -> None:
        if self.row_count != self._rows:
            self._rows = self.row_count
            self._host.editor_resized()

    def scroll_cursor_visible(self, center: bool = False, animate: bool = False) -> Offset:
        """Ask the host to show the cursor: the editor itself is as tall as its text and never scrolls."""
        if self.is_mounted:
            self._host.reveal_row(self.key, self.cursor_offset.y)
        return Offset(0, 0)

    def watch_selection(self) -> None:
        """Tell where the caret is."""
        if self.is_mounted:
            self._on_caret(*(self.lines.offset(place) for place in self.selection))

    # -- carets ------------------------------------------------------------

    def show_carets(self, carets: dict[str, Caret]) -> None:
        """Draw these peers' carets."""
        if self.carets.replace(carets):
            self.forget_lines()

    def get_line(self, line_index: int) -> Text:
        """Return a line as it may be painted: control characters visible, peers' carets drawn."""
        line = Text(self.document.get_line(line_index).translate(_PICTURES), end="", no_wrap=True)
        if self.carets:
            used = line.cell_len % max(1, self.wrap_width)
            self.carets.draw(line, line_index, self.lines.location, self.wrap_width - used)
        return line

    # -- keys --------------------------------------------------------------

    async def press(self, event: events.Key) -> bool:
        """Do what a key does in the text: type, indent, or what TextArea binds to it. False: the key means
        nothing here."""
        if self.read_only and event.is_printable:
            return True
        match event.key:
            case "enter":
                self._break_line()
            case "tab":
                self._indent()
            case "shift+tab":
                self._change_lines(indentation.dedented(self._selected_lines(), INDENT_COLUMNS))
            case "ctrl+slash" | "ctrl+underscore":
                self.toggle_comment()
            case "ctrl+home" | "ctrl+end" | "ctrl+shift+home" | "ctrl+shift+end":
                self._steps.seal()
                end = event.key.endswith("end")
                self.move_cursor(self.document.end if end else (0, 0), select="shift" in event.key)
            case "backspace" if self._in_indentation():
                row, column = self.cursor_location
                self.delete((row, column - INDENT_COLUMNS), (row, column), maintain_selection_offset=False)
            case _:
                if not event.is_printable:
                    self._steps.seal()
                return await self.type_key(event)
        return True

    async def paste(self, text: str) -> None:
        """Insert pasted text; nothing in it is obeyed, nothing runs."""
        await self.type_paste(
            events.Paste(_NOT_PASTED.sub("", text.replace("\r\n", "\n").replace("\r", "\n")))
        )

    def _break_line(self) -> None:
        top, bottom = sorted(self.selection)
        before = self.lines.get_line(top[0])[: top[1]]
        indent = indentation.indent_after(before, INDENT_COLUMNS, self.language_name)
        result = self.replace("\n" + indent, top, bottom, maintain_selection_offset=False)
        self.move_cursor(result.end_location)

    def _indent(self) -> None:
        start, end = self.selection
        if start[0] != end[0]:
            self._change_lines(indentation.indented(self._selected_lines(), INDENT_COLUMNS))
            return
        top, bottom = sorted(self.selection)
        spaces = " " * (INDENT_COLUMNS - top[1] % INDENT_COLUMNS)
        result = self.replace(spaces, top, bottom, maintain_selection_offset=False)
        self.move_cursor(result.end_location)

    def toggle_comment(self) -> None:
        """Comment the selected lines, or take the comment signs away."""
        if (lines := indentation.commented(self._selected_lines(), self.language_name)) is not None:
            self._change_lines(lines)

    def _in_indentation(self) -> bool:
        row, column = self.cursor_location
        before = self.lines.get_line(row)[:column]
        empty = self.selection.start == self.selection.end
        return empty and column > 0 and column % INDENT_COLUMNS == 0 and before == " " * column

    def _selected_rows(self) -> tuple[int, int]:
        top, bottom = sorted(self.selection)
        last = bottom[0] - 1 if bottom[1] == 0 and bottom[0] > top[0] else bottom[0]
        return top[0], last

    def _selected_lines(self) -> list[str]:
        first, last = self._selected_rows()
        return [self.lines.get_line(row) for row in range(first, last + 1)]

    def _change_lines(self, new: list[str]) -> None:
        """Replace the selected lines and keep the selection on the same characters as far as they remain."""
        first, last = self._selected_rows()
        old = self._selected_lines()
        if new == old:
            return
        (start_row, start_column), (end_row, end_column) = self.selection
        self.replace("\n".join(new), (first, 0), (last, len(old[-1])), maintain_selection_offset=False)

        def moved(row: int, column: int) -> Location:
            if not first <= row <= last:
                return row, column
            return row, max(0, column + len(new[row - first]) - len(old[row - first]))

        self.selection = Selection(moved(start_row, start_column), moved(end_row, end_column))
