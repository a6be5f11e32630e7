"""The pager: the outputs of one cell as one long text, with search. It follows what is still being printed.

It changes nothing and keeps no text of its own. The invariant: only the lines on the screen are parsed and
painted, so that 200 000 lines scroll like twenty.
"""

from __future__ import annotations

import asyncio
from itertools import pairwise
from typing import TYPE_CHECKING

from rich.segment import Segment
from rich.style import Style
from textual import events
from textual.app import ComposeResult
from textual.strip import Strip
from textual.widget import Widget

from runt.notebook.notebook_document import CellKey
from runt.notebook.runtime_document import RuntimeChange
from runt.peer.events import DocumentReplaced, PeerEvent
from runt.terminal.sanitise import display_text
from runt.terminal.sgr import PLAIN, parse_ansi
from runt.tui.bar_line import BarLine, Piece, fitted, total_width
from runt.tui.key_screen import KeyScreen
from runt.tui.keymap import token, types_text
from runt.tui.outputs.block import Line
from runt.tui.outputs.looks import Looks
from runt.tui.outputs.sgr_styles import styled
from runt.tui.outputs.text_lines import grouped
from runt.tui.pager.text import OutputReader, PagedText

if TYPE_CHECKING:
    from runt.tui.session import NotebookSession

READ_INTERVAL_S = 1 / 20
"""A stream that grows is read at most this often."""

MARGIN_CELLS = 1
WHEEL_ROWS = 3
SIDE_STEP_CELLS = 16
CONTEXT_ROWS = 5
"""Rows above a line that was searched for."""

ESCAPES_PER_CELL = 8
"""Characters of a line that are parsed for each cell that is shown: colours take most of them."""

_HINTS = (("/", "search"), ("n", "next"), ("q", "back"))
_FOUND = Style(reverse=True)


class PagerBody(Widget):
    """Paints lines of a text; ``first`` is the first one (from 0), ``left`` the first cell of each."""

    DEFAULT_CSS = "PagerBody { width: 1fr; height: 1fr; background: $background; color: $foreground; }"
    ALLOW_SELECT = False
    can_focus = False

    def __init__(self, looks: Looks) -> None:
        super().__init__()
        self._looks = looks
        self.text = PagedText()
        self.first = 0
        self.left = 0
        self.follow = False
        """Stay at the end when there is more."""
        self.words = ""
        self.lines_painted = 0
        """Lines parsed since the start: tests count them."""

    @property
    def last_first(self) -> int:
        """The first line when the end is on the screen."""
        return max(0, len(self.text) - self.size.height)

    @property
    def at_end(self) -> bool:
        """Whether the last line is on the screen."""
        return self.first >= self.last_first

    def scroll_lines(self, first: int) -> None:
        """Show the text from ``first`` on, or its end, and stay at the end from now on if that is there."""
        self.first = max(0, min(first, self.last_first))
        self.follow = self.at_end
        self.refresh()

    def show(self, text: PagedText) -> None:
        """Show another text from the same line on, or its end."""
        self.text = text
        self.settle()

    def settle(self) -> None:
        """The text or the number of rows is another."""
        self.first = self.last_first if self.follow else min(self.first, self.last_first)
        self.refresh()

    def on_resize(self) -> None:
        """Other rows are visible."""
        self.settle()

    def render_line(self, y: int) -> Strip:
        """Paint a row."""
        width, base = self.size.width, self._looks.base
        number = self.first + y
        if number >= len(self.text):
            return Strip.blank(width, base)
        self.lines_painted += 1
        part, index = self.text.place(number)
        style = self._looks.dim if part.note else self._looks.stderr if part.stderr else self._looks.text
        end = self.left + width - 2 * MARGIN_CELLS
        source = part.lines[index].removesuffix("\r")
        spans = parse_ansi(source[: (end + 1) * ESCAPES_PER_CELL], part.looks.get(index, PLAIN))[0][0]
        line = Strip(_marked(styled(spans, style), self.words))
        cut = line.cell_length > end
        body = line.crop(self.left, end).adjust_cell_length(end - self.left)
        segments = [Segment(" ", style), *body, Segment("›" if cut else " ", self._looks.dim)]
        return Strip(Segment.apply_style(segments, base)).adjust_cell_length(width, base)


def _marked(line: Line, words: str) -> Line:
    """The line with each occurrence of ``words`` reversed."""
    if not words:
        return line
    text = "".join(segment.text for segment in line)
    if words == words.lower():
        text = text.lower()
    if words not in text or len(text) != sum(len(segment.text) for segment in line):
        return line
    found: list[tuple[int, int]] = []
    at = text.find(words)
    while at != -1:
        found.append((at, at + len(words)))
        at = text.find(words, at + len(words))
    marked: list[Segment] = []
    start = 0
    for content, style, _ in line:
        stop = start + len(content)
        cuts = {start, stop, *(cut for pair in found for cut in pair if start < cut < stop)}
        edges = sorted(cuts)
        for begin, end in pairwise(edges):
            inside = any(left <= begin < right for left, right in found)
            shown = (style or Style()) + _FOUND if inside else style
            marked.append(Segment(content[begin - start : end - start], shown))
        start = stop
    return tuple(marked)


class Pager(KeyScreen):
    """Shows the text of a cell's outputs until it is closed. ``number`` is the cell's, from 1."""

    DEFAULT_CSS = "Pager { background: $background; layout: vertical; }"

    def __init__(self, session: NotebookSession, key: CellKey, *, number: int, looks: Looks) -> None:
        super().__init__()
        self._session = session
        self._key = key
        self._number = number
        self._reader = OutputReader(session.blobs)
        self._body = PagerBody(looks)
        self._bar = BarLine()
        self._loaded = False
        self._due = False
        self._reading = False
        self._typed: str | None = None
        """What was typed after ``/``; None when nothing is being searched for."""
        self._match: int | None = None
        self._said = ""

    def compose(self) -> ComposeResult:
        """The text and a line."""
        yield self._body
        yield self._bar

    def on_mount(self) -> None:
        """Read, and keep reading."""
        self._runtime = self._session.runtime
        self._runtime_subscription = self._runtime.observe(self._note)
        self._session_subscription = self._session.observe(self._note_event)
        self.run_worker(self._read(), group="read")
        self._show_line()

    def on_unmount(self) -> None:
        """Stop following."""
        self._runtime_subscription.close()
        self._session_subscription.close()

    def on_resize(self) -> None:
        """The position is another."""
        self.call_after_refresh(self._show_line)

    # -- reading -----------------------------------------------------------

    def _note(self, change: RuntimeChange) -> None:
        if self._key in change.executions and not self._due:
            self._due = True
            self.set_timer(READ_INTERVAL_S, self._read_soon)

    def _note_event(self, event: PeerEvent) -> None:
        if isinstance(event, DocumentReplaced) and self._session.runtime is not self._runtime:
            self._runtime_subscription.close()
            self._runtime = self._session.runtime
            self._runtime_subscription = self._runtime.observe(self._note)
            self.call_later(self._read_soon)

    def _read_soon(self) -> None:
        self.run_worker(self._read(), group="read")

    async def _read(self) -> None:
        """Take the outputs as they are now, and make lines of them without holding up the keys."""
        if self._reading:
            return  # the one that reads looks again
        self._reading = True
        try:
            self._due = True
            while self._due:
                self._due = False
                entries = self._session.runtime.outputs(self._key)
                text = await asyncio.to_thread(self._reader.read, entries)
                if not self._loaded:
                    self._loaded, self._body.follow = True, text.live
                self._body.show(text)
                self._show_line()
        finally:
            self._reading = False

    # -- keys --------------------------------------------------------------

    async def take_key(self, event: events.Key) -> bool:
        """Move, search, go back. Ctrl+Q leaves the notebook, as everywhere."""
        if event.key == "ctrl+q":
            return False
        if self._typed is not None:
            self._type(event)
        else:
            self._press(token(event.key, event.character))
        return True

    def _press(self, key: str) -> None:
        body, page = self._body, max(1, self._body.size.height - 1)
        self._said = ""
        match key:
            case "q" | "escape" | "o":
                self.dismiss(None)
            case "j" | "down" | "enter":
                self._show_from(body.first + 1)
            case "k" | "up":
                self._show_from(body.first - 1)
            case "space" | "pagedown" | "f":
                self._show_from(body.first + page)
            case "shift+space" | "pageup" | "b":
                self._show_from(body.first - page)
            case "g" | "home":
                self._show_from(0)
            case "G" | "end":
                self._show_from(body.last_first)
            case "right" | "l":
                self._scroll_side(SIDE_STEP_CELLS)
            case "left" | "h":
                self._scroll_side(-SIDE_STEP_CELLS)
            case "/":
                self._typed = ""
                self._show_line()
            case "n":
                self._search(1)
            case "N":
                self._search(-1)

    async def take_paste(self, event: events.Paste) -> bool:
        """Paste into the search."""
        if self._typed is not None:
            self._typed += (event.text.splitlines() or [""])[0]
            self._show_line()
        return True

    def on_mouse_scroll_down(self) -> None:
        """Scroll."""
        self._show_from(self._body.first + WHEEL_ROWS)

    def on_mouse_scroll_up(self) -> None:
        """Scroll."""
        self._show_from(self._body.first - WHEEL_ROWS)

    def _show_from(self, first: int) -> None:
        self._body.scroll_lines(first)
        self._show_line()

    def _scroll_side(self, cells: int) -> None:
        self._body.left = max(0, self._body.left + cells)
        self._show_from(self._body.first)

    # -- search ------------------------------------------------------------

    def _type(self, event: events.Key) -> None:
        """A key while the words to search for are typed."""
        typed = self._typed or ""
        match token(event.key, event.character):
            case "enter" | "ctrl+j":
                self._typed = None
                if typed:
                    self._body.words, self._match = typed, None
                if self._body.words:
                    self._search(1)
            case "escape" | "ctrl+c":
                self._typed = None
            case "backspace":
                self._typed = typed[:-1] if typed else None
            case "ctrl+u":
                self._typed = ""
            case _ if event.character is not None and types_text(event.key, event.character):
                self._typed = typed + event.character
        self._show_line()

    def _search(self, step: int) -> None:
        if not self._body.words:
            self._said = "/ searches"
            self._show_line()
        else:
            self.run_worker(self._find(step), exclusive=True, group="find")

    async def _find(self, step: int) -> None:
        body, words, text = self._body, self._body.words, self._body.text
        start = body.first if self._match is None else self._match + step
        if not len(text):
            return
        found = await asyncio.to_thread(text.find, words, start % len(text), step)
        if words != body.words:
            return
        if found is None:
            self._said = f"nothing found: {display_text(words)}"
        else:
            wrapped = self._match is not None and (found - self._match) * step <= 0
            self._said = "search went round the end" if wrapped else ""
            self._match = found
            if not body.first <= found < body.first + body.size.height:
                body.scroll_lines(found - CONTEXT_ROWS)
        self._show_from(body.first)

    # -- the line ----------------------------------------------------------

    def _show_line(self) -> None:
        width = self.size.width or 80
        if self._typed is not None:
            self._bar.set_pieces(
                [Piece(" /", "key"), Piece(display_text(self._typed), "strong"), Piece("▏", "key")]
            )
            return
        hints: list[Piece] = []
        for key, what in _HINTS:
            hints += [Piece(f"   {key}" if hints else key, "key"), Piece(f" {what}", "dim")]
        words = [Piece(f" output of cell {self._number}   ", "dim"), *self._position()]
        left = fitted(words, max(10, width - total_width(hints) - 3))
        gap = max(1, width - total_width(left) - total_width(hints) - 1)
        self._bar.set_pieces([*left, Piece(" " * gap), *hints, Piece(" ")])

    def _position(self) -> list[Piece]:
        body = self._body
        total = len(body.text)
        if not total:
            return [Piece("no text in this output" if self._loaded else "reading …")]
        last = min(total, body.first + body.size.height)
        pieces = [Piece(f"line {grouped(last)} of {grouped(total)}")]
        if body.text.live:
            pieces.append(Piece(" · follows" if body.follow else " · growing, G follows", "good"))
        if self._match is not None and not self._said:
            pieces.append(Piece(f" · found on line {grouped(self._match + 1)}", "dim"))
        if self._said:
            pieces.append(Piece(f" · {self._said}", "warning"))
        return pieces
