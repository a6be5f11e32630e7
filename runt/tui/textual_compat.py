"""Every private hook into Textual 8.2 that the app and its editor need, under public names.

Nothing else of ``tui/`` outside the view may touch an attribute of Textual that starts with an underscore. It
decides nothing:
the two classes here only turn private hooks into methods to override. The invariant: with Textual's minor
pinned in pyproject.toml, ``tests/tui/test_frame_diff.py`` and ``tests/tui/test_crdt_area.py`` pass; a bump of
Textual starts by running those two.

Hooks used: ``App._display``, ``App._batch_count``, ``Widget._bindings``, ``Timer._start``, ``active_app``,
``App._driver``, ``WriterThread._queue``, ``XTermParser._sequence_to_key_events``, ``Screen._compositor`` and
its updates, ``TextArea._set_document``, ``._build_highlight_map``, ``._highlights``, ``._line_cache``,
``._cursor_offset``, ``._recompute_cursor_offset``, ``._refresh_size``, ``._on_key``, ``._on_paste``,
``._theme``, ``Input._value``, ``._position_to_cell``, ``._cell_offset_to_index``.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterable, Mapping, Sequence
from contextvars import Context, copy_context
from importlib import import_module
from typing import Any, TypeVar

from rich.cells import cell_len
from rich.console import Console
from rich.text import Text
from textual import events
from textual._compositor import ChopsUpdate, CompositorUpdate, LayoutUpdate
from textual._context import active_app
from textual._xterm_parser import XTermParser
from textual.app import App
from textual.document._document import Document, EditResult, Location, Selection
from textual.document._document_navigator import DocumentNavigator
from textual.document._edit import Edit
from textual.document._syntax_aware_document import SyntaxAwareDocument
from textual.document._wrapped_document import WrappedDocument
from textual.driver import Driver
from textual.geometry import Offset
from textual.screen import Screen
from textual.timer import Timer
from textual.widget import Widget
from textual.widgets import Input, TextArea
from textual.widgets.text_area import TextAreaTheme

from runt.tui.frame_diff import FrameDiff, Row

__all__ = [
    "Document",
    "Edit",
    "EditResult",
    "Location",
    "OpenInput",
    "OpenTextArea",
    "Selection",
    "SyntaxAwareDocument",
    "TerminalApp",
    "TextAreaTheme",
    "WrappedDocument",
]

Result = TypeVar("Result")

# A frame is dropped while more writes than this wait for the terminal: a frame is up to three writes (begin,
# content, end of a synchronised update), and Textual's queue blocks the event loop at 30 (measured: 3.1 s on
# a 10 kB/s line; 46 ms with this).
MAX_WAITING_WRITES = 3
# How often the terminal is asked whether it has caught up, while a frame is owed (seconds).
OWED_FRAME_INTERVAL_S = 0.02


class _Encoded(CompositorUpdate):
    """A frame that is already a string of escape sequences."""

    def __init__(self, text: str) -> None:
        self._text = text

    def render_segments(self, console: Console) -> str:
        return self._text


# What an Escape is called that arrived in one piece with the next key (^[, which is what it is).
ESCAPE_BEFORE_KEY = "ctrl+left_square_bracket"


class _Parser(XTermParser):
    """Reads ``ESC k`` as Escape and k, as vim does, when both arrive together: over a slow line they often
    do.

    Textual makes it ``alt+k``, or ``^`` and k, and both would become text in the cell that Escape should have
    left.
    """

    def _sequence_to_key_events(self, sequence: str, alt: bool = False) -> Iterable[events.Key]:
        if sequence == "\x1b":
            yield events.Key(ESCAPE_BEFORE_KEY, None)
            return
        if alt and len(sequence) == 1 and sequence.isprintable():
            yield events.Key(ESCAPE_BEFORE_KEY, None)
            alt = False
        yield from super()._sequence_to_key_events(sequence, alt)


class _NullWriter:
    """Stands in for the writer thread when the terminal is gone: a write to it must never block."""

    def write(self, text: str) -> None:
        """Drop ``text``."""

    def flush(self) -> None:
        """Do nothing."""

    def stop(self) -> None:
        """Do nothing."""


def _start_timer(timer: Timer) -> None:
    """Start a timer in the app's context wherever it was made.

    What the daemon sends arrives in the connection's context, which is older than the app; a timer that a
    widget sets there would die without a word, because Textual looks for the app in the context when it
    fires.
    """
    context = None
    if active_app.get(None) is None and isinstance(app := getattr(timer.target, "app", None), TerminalApp):
        context = app.home_context()
    timer._task = asyncio.get_running_loop().create_task(timer._run_timer(), name=timer.name, context=context)


class TerminalApp(App[Result]):
    """An App whose frames go through ``FrameDiff``, are dropped while the terminal is behind, and whose keys
    come to one place.

    Override ``route_key`` and ``route_paste``. ``frames_dropped`` counts for tests and diagnosis.
    """

    frame_diff_enabled = True

    def __init__(self, **options: Any) -> None:
        super().__init__(**options)
        self._frame_diff = FrameDiff()
        self._frame_owed = False
        self._terminal_gone = False
        self._home: Context | None = None
        self.frames_dropped = 0
        Timer._start = _start_timer  # type: ignore[method-assign, assignment]

    def home_context(self) -> Context:
        """Return a copy of the context that the app's own messages are handled in."""
        return self._home.copy() if self._home is not None else copy_context()

    # -- frames ------------------------------------------------------------

    def _display(self, screen: Screen[Any], renderable: Any) -> None:
        diffable = isinstance(renderable, LayoutUpdate | ChopsUpdate)
        driver = self._driver
        if not diffable or self._batch_count or self.is_headless or driver is None or not self._running:
            super()._display(screen, renderable)
            return
        if self._waiting_writes() > MAX_WAITING_WRITES:
            self.frames_dropped += 1
            if not self._frame_owed:
                self._frame_owed = True
                self.set_timer(OWED_FRAME_INTERVAL_S, self._pay_frame)
            return
        if not self.frame_diff_enabled:
            super()._display(screen, renderable)
            return
        text = self._frame_diff.encode(
            _painted(renderable), (self.size.width, self.size.height), self.console
        )
        cursor = self.screen.outer_size.clamp_offset(self.cursor_position)
        if text or cursor != self._previous_cursor_position:
            super()._display(screen, _Encoded(text))  # type: ignore[arg-type]
        else:
            self.post_display_hook()

    def _waiting_writes(self) -> int:
        writer = getattr(self._driver, "_writer_thread", None)
        queue = getattr(writer, "_queue", None)
        return queue.qsize() if queue is not None else 0

    def _pay_frame(self) -> None:
        """Send what was dropped, as one frame, as soon as the terminal has caught up."""
        if self._waiting_writes() > MAX_WAITING_WRITES:
            self.set_timer(OWED_FRAME_INTERVAL_S, self._pay_frame)
            return
        self._frame_owed = False
        self._paint_whole_screen()

    def _paint_whole_screen(self) -> None:
        screen = self.screen
        screen._compositor._dirty_regions.add(screen.size.region)
        screen._compositor_refresh()

    def forget_screen(self) -> None:
        """Paint everything again, trusting nothing that the terminal may show (Ctrl+L, after a suspend)."""
        self._frame_diff.forget()
        self._paint_whole_screen()

    # -- the terminal ------------------------------------------------------

    def abandon_terminal(self) -> None:
        """Never write to the terminal again: it hung up, and a blocked write would hold up the goodbye to the
        daemon."""
        self._terminal_gone = True
        driver = self._driver
        if driver is not None and getattr(driver, "_writer_thread", None) is not None:
            driver._writer_thread = _NullWriter()  # type: ignore[attr-defined]

    # -- keys --------------------------------------------------------------

    def get_driver_class(self) -> type[Driver]:
        """Return the driver, reading keys with our parser."""
        driver_class = super().get_driver_class()
        module = import_module(driver_class.__module__)
        if getattr(module, "XTermParser", None) is XTermParser:
            module.XTermParser = _Parser  # type: ignore[attr-defined]
        return driver_class

    async def on_event(self, event: events.Event) -> None:
        """Give keys and pastes to ``route_key`` and ``route_paste`` before any widget sees them, in the order
        they came."""
        if self._home is None:
            self._home = copy_context()
        if isinstance(event, events.Key) and not event.is_forwarded:
            if await self.route_key(event):
                return
        elif isinstance(event, events.Paste) and not event.is_forwarded and await self.route_paste(event):
            return
        await super().on_event(event)

    async def route_key(self, event: events.Key) -> bool:
        """Return whether the key was dealt with; False hands it to Textual."""
        return False

    async def route_paste(self, event: events.Paste) -> bool:
        """Return whether the paste was dealt with; False hands it to Textual."""
        return False

    async def run_binding_of(self, widget: Widget, key: str) -> bool:
        """Run what ``widget`` itself binds to ``key``. False if it binds nothing to it."""
        for binding in widget._bindings.key_to_bindings.get(key, ()):
            if await self.run_action(binding.action, widget):
                return True
        return False


def _painted(update: LayoutUpdate | ChopsUpdate) -> dict[int, Row]:
    """Return what an update paints: screen row → {column: (end column, strip)}, in cells."""
    rows: dict[int, Row] = {}
    if isinstance(update, LayoutUpdate):
        left, top = update.region.offset
        for y, strips in enumerate(update.strips, top):
            x, row = left, rows.setdefault(y, {})
            for strip in strips:
                row[x] = (x + strip.cell_length, strip)
                x += strip.cell_length
        return rows
    for y, start, stop in update.spans:
        row = rows.setdefault(y, {})
        for end, (x, chop) in zip(update.chop_ends[y], update.chops[y].items(), strict=False):
            if chop is not None and x < end and x <= stop and end > start:
                row[x] = (end, chop)
    return rows


class OpenTextArea(TextArea):
    """A TextArea with its seams opened: the document it makes, where highlights come from, edits from
    outside.

    Subclasses override ``make_document`` and ``make_highlights``.
    """

    def make_document(self, text: str, language: str | None) -> Document:
        """Return the document that holds ``text``."""
        return Document(text)

    def make_highlights(self) -> Mapping[int, Sequence[tuple[int, int | None, str]]]:
        """Return the highlights of the present text: row → (start, end, name), columns in UTF-8 bytes of the
        row."""
        return {}

    # -- document ----------------------------------------------------------

    def _set_document(self, text: str, language: str | None) -> None:
        document = self.make_document(text, language)
        self.document = document
        self.wrapped_document = WrappedDocument(document, tab_width=self.indent_width)
        self.navigator = DocumentNavigator(self.wrapped_document)
        self._build_highlight_map()
        self.move_cursor((0, 0))
        self._rewrap_and_refresh_virtual_size()

    def _build_highlight_map(self) -> None:
        self._line_cache.clear()
        self._highlights = self.make_highlights()  # type: ignore[assignment]

    def forget_lines(self) -> None:
        """Paint all lines again (a decoration changed that the line cache does not know of)."""
        self._line_cache.clear()
        self.refresh()

    def replace_range_quietly(self, start: Location, end: Location, text: str) -> None:
        """Replace a range as somebody else's edit: no undo step, no message, nothing scrolls. ``settle`` must
        follow."""
        result = self.document.replace_range(start, end, text)
        self.wrapped_document.wrap_range(start, end, result.end_location)

    def settle(self, selection: Selection) -> None:
        """Take ``selection`` and paint, after quiet replacements. Neither scrolls to the cursor nor posts
        ``SelectionChanged``."""
        self._build_highlight_map()
        # Assigning would run the watcher, which scrolls to the cursor.
        self.set_reactive(TextArea.selection, selection)
        self._matching_bracket_location = None
        self._recompute_cursor_offset()  # type: ignore[no-untyped-call]
        self._refresh_size()
        self.refresh()
        self.post_message(self.Changed(self))

    # -- cursor ------------------------------------------------------------

    @property
    def cursor_offset(self) -> Offset:
        """The cursor in the wrapped document: (cells, rows) from its top left corner."""
        self._recompute_cursor_offset()  # type: ignore[no-untyped-call]
        x, y = self._cursor_offset
        return Offset(x, y)

    # -- keys --------------------------------------------------------------

    async def type_key(self, event: events.Key) -> bool:
        """Insert what the key types, if it types something. Returns whether it did."""
        await self._on_key(event)
        return event._stop_propagation

    async def type_paste(self, event: events.Paste) -> None:
        """Insert pasted text at the cursor."""
        await self._on_paste(event)


class OpenInput(Input):
    """An Input that paints something else than it holds: subclasses override ``shown``."""

    def shown(self, value: str) -> str:
        """Return what stands for ``value`` on the screen, as many code points as it has."""
        return value

    @property
    def _value(self) -> Text:
        text = "•" * len(self.value) if self.password else self.shown(self.value)
        return Text(text, no_wrap=True, overflow="ignore", end="")

    def _position_to_cell(self, position: int) -> int:
        return cell_len(self._value.plain[:position])

    def _cell_offset_to_index(self, offset: int) -> int:
        offset += self.scroll_offset.x
        plain = self._value.plain
        return next((at for at in range(len(plain)) if cell_len(plain[: at + 1]) > offset), len(plain))

    async def run_key(self, key: str) -> bool:
        """Do what the field itself binds to ``key``. False if it binds nothing to it."""
        for binding in self._bindings.key_to_bindings.get(key, ()):
            if await self.app.run_action(binding.action, self):
                return True
        return False
