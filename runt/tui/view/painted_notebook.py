"""The painting half of the view: follows the documents, keeps the clock, paints rows from cached strips.

It takes no input and mounts nothing. Changes of the documents are collected and shown at most thirty times a
second; a change of what is not seen costs a set entry and a new measurement later. The files around it:
`cell_loading` reads, `cell_content` makes rows, `cell_strips` composes them, `anchored_rows` keeps them in
place.

Invariant: a change costs the rows it changes, whatever the size of the notebook.
"""

from __future__ import annotations

import enum
import time
from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING, ClassVar

from rich.segment import Segment
from textual import events
from textual.geometry import Region
from textual.strip import Strip
from textual.timer import Timer

from runt.tui.images.modes import ImageMode
from runt.tui.outputs.looks import PLAIN_LOOKS, Looks
from runt.tui.outputs.rendering import OutputContext
from runt.tui.view.anchored_rows import AnchoredRows, Held
from runt.tui.view.cell_loading import CellLoader
from runt.tui.view.cell_strips import GUTTER_CELLS, PeerMark, body_width, cell_strip
from runt.tui.view.changes import ChangeCollector
from runt.tui.view.row_model import Part
from runt.tui.view.theming import COMPONENT_CLASSES, DEFAULT_CSS, resolve_looks

if TYPE_CHECKING:
    from runt.tui.view.source import NotebookSource

FLUSH_INTERVAL_S = 1 / 30
"""Changes of the documents are shown at most this often; the first after a quiet time at once."""

CLOCK_INTERVAL_S = 1.0
"""How often a running cell's elapsed time moves."""

PLACEHOLDER = "Nothing here yet. Press Enter and write the first cell."


class InView(enum.Enum):
    """How much of the focused cell is visible."""

    NOTHING = enum.auto()
    PART = enum.auto()
    """Some rows; while editing: the caret's."""
    WHOLE = enum.auto()


class PaintedNotebook(AnchoredRows):
    """Shows the documents. Abstract: the class on top handles focus, the editor and input."""

    DEFAULT_CSS = DEFAULT_CSS
    COMPONENT_CLASSES: ClassVar[set[str]] = COMPONENT_CLASSES

    def __init__(
        self,
        source: NotebookSource,
        *,
        images: ImageMode = ImageMode.HALF,
        send_graphics: Callable[[bytes], None] | None = None,
        cell_pixels: tuple[int, int] = (10, 20),
        id: str | None = None,
    ) -> None:
        """
        Args:
            images: How pictures are drawn; found out before the app starts.
            send_graphics: Takes bytes that go to the terminal as they are (kitty graphics).
            cell_pixels: Width and height of a character cell in pixels.
        """
        super().__init__(id=id)
        from runt.tui.images.pictures import PictureStore

        self._source = source
        self._pictures = PictureStore(images, cell_pixels, send_graphics, self._picture_ready)
        self._drawing = OutputContext(width=80, blobs=source.blobs, pictures=self._pictures)
        self._loader = CellLoader(source, self._drawing)
        self._changes = ChangeCollector(self._wake)
        self._subscriptions: list[object] = []
        self._marks: dict[str, list[PeerMark]] = {}
        self._focused_cell: str | None = None
        self._laid_out_width = 0
        self._laid_out_height = 0
        self._themed = False
        self._looks_now = PLAIN_LOOKS
        self._held: Held | None = None
        """What must not move in the layout that is due after a change of size or theme."""
        self._was_in_view = InView.NOTHING
        self._flush_pending = False
        self._last_flush = 0.0
        self._language = ""
        self._clock_timer: Timer | None = None
        self.placeholder = PLACEHOLDER
        self.lines_painted = 0
        """Strips made since the start: tests count them."""

    # What the class on top says

    def cells_changed(self, focused_at: int) -> None:
        """Cells came, went or moved. ``focused_at``: where the focused cell was before."""

    def editor_height(self) -> int:
        """Rows of the live editor."""
        raise NotImplementedError

    def fit_editor(self) -> None:
        """The width of the body changed."""

    def focus_in_view(self, first: int, rows: int) -> InView:
        """How much of what the person works at is visible when ``rows`` are shown from ``first`` on."""
        return InView.NOTHING

    def keep_in_view(self, before: InView) -> None:
        """The size changed: as much of it must be visible as before."""

    def runs_shown(self, keys: set[str]) -> None:
        """Executions or outputs of these cells have changed and are laid out."""

    # What tests ask

    @property
    def quiet(self) -> bool:
        """Every change is shown, every cell measured, no picture is being decoded: nothing will move by
        itself but the clock.
        """
        return not (
            self._flush_pending
            or self._model.pending
            or self._measured
            or self._pictures.busy
            or not self._themed
        )

    @property
    def cells_read(self) -> int:
        """How many cells have been read since the start: tests count them."""
        return self._loader.touched

    @property
    def clock_is_running(self) -> bool:
        """A visible cell runs and its elapsed time is kept up to date."""
        return self._clock_timer is not None

    # Life

    def on_unmount(self) -> None:
        """Stop looking."""
        self._unsubscribe()
        self._pictures.close()

    def on_resize(self, event: events.Resize) -> None:
        """Another width changes every height, and another height what is visible."""
        if self._viewport_height and self.between_sizes:
            self._hold()
        self._adapt()

    def _theme_changed(self, _theme: object) -> None:
        self._themed = False
        self.call_after_refresh(self._adapt)

    def _subscribe(self) -> None:
        self._subscriptions = [
            self._source.document.observe(self._changes.note_notebook),
            self._source.runtime.observe(self._changes.note_runtime),
        ]
        self._language = self._loader.language

    def _unsubscribe(self) -> None:
        for subscription in self._subscriptions:
            subscription.close()  # type: ignore[attr-defined]
        self._subscriptions = []

    def _make_context(self) -> OutputContext:
        return OutputContext(
            width=body_width(self._width),
            blobs=self._source.blobs,
            pictures=self._pictures,
            looks=self._looks_now,
        )

    def _take_over(self) -> None:
        """Take over the width and the theme for what is painted from now on; `_adapt` lays out."""
        width = self._width
        if self._themed and width == self._laid_out_width:
            return
        self._hold()
        if not self._themed:
            self._looks_now = resolve_looks(self)
            self._themed = True
        if width != self._laid_out_width:
            self._doubt_all()
            self._laid_out_width = width
        self._drawing = self._make_context()
        self._loader.context = self._drawing
        self._loader.clear()
        self.fit_editor()

    @property
    def between_sizes(self) -> bool:
        """The size has changed and is not laid out yet."""
        return self._laid_out_height > 0 and (self._laid_out_width, self._laid_out_height) != (
            self._width,
            self._viewport_height,
        )

    def _hold(self) -> None:
        """Remember what is seen before it is laid out otherwise."""
        if self._held is not None:
            return
        rows = self._laid_out_height
        first = self._first_row if self._clamped_from is None else self._clamped_from
        self._held = self._anchor_for_size(rows)
        self._was_in_view = self.focus_in_view(first, rows)

    def _adapt(self) -> None:
        """Lay out for the size and the theme that are on now."""
        if not self._viewport_height:
            return
        self._take_over()
        self._laid_out_height = self._viewport_height
        self._clamped_from = None
        if self._held is None:
            self._settle()
        else:
            held, self._held = self._held, None
            self._relayout(held)
            self.keep_in_view(self._was_in_view)
            self._resting = held

    # Geometry

    @property
    def _looks(self) -> Looks:
        if not self._themed:
            self._take_over()
        return self._looks_now

    @property
    def ready(self) -> bool:
        """Width and theme are known."""
        return self._laid_out_width > 0

    def settled(self) -> None:
        """Other cells are visible: one of them may run."""
        self._keep_clock()

    def exact_rows(self, key: str) -> int:
        """The height of a cell."""
        return self._loader.load(key).shape.height

    def exact_rows_of_unseen(self, key: str) -> int:
        """The height of a cell of which nothing is kept."""
        known = self._loader.get(key) is not None
        rows = self._loader.load(key).shape.height
        if not known:
            self._loader.forget(key)
        return rows

    def _remeasure(self, key: str) -> int:
        self._forget_strips(key)
        return self._model.measure(key, self._loader.load(key).shape.height)

    # Changes of the documents

    def _wake(self) -> None:
        if self._flush_pending or not self.is_attached:
            return
        self._flush_pending = True
        wait = self._last_flush + FLUSH_INTERVAL_S - time.monotonic()
        if wait <= 0:
            self.call_later(self._flush)
        else:
            self.set_timer(wait, self._flush)

    def flush(self) -> None:
        """Show at once what has changed in the documents."""
        self._flush()

    def _follow_structure(self) -> bool:
        if not self._model.set_keys(self._source.document.keys()):
            return False
        if self._focused_cell is not None and self._focused_cell not in self._model:
            self._focused_cell = None
        return True

    def _flush(self) -> None:
        self._flush_pending = False
        self._last_flush = time.monotonic()
        changes = self._changes.take()
        if not changes or not self.is_mounted:
            return
        anchor = self._anchor()
        moved = False
        focused = self._focused_cell
        focused_at = self._model.index(focused) if focused is not None and focused in self._model else 0
        if changes.structure:
            moved = self._follow_structure()
            self.cells_changed(focused_at)
        if changes.kernel:
            self._follow_language()
        if changes.queue:
            self._loader.queue_changed()
        visible = set(self._visible_keys())
        for key in changes.cells | changes.runs:
            if key not in self._model:
                continue
            if key in visible or key == self._loader.editing:
                moved |= self._show_change(key, source=key in changes.cells, runs=key in changes.runs)
            else:
                self._loader.forget(key)
                self._doubt(key)
        if changes.queue:
            self._show_states(visible - changes.runs)
        if moved:
            self._relayout(anchor)
        if changes.runs:
            self.runs_shown(changes.runs)
        self._keep_measuring()
        self._keep_clock()

    def _follow_language(self) -> None:
        language = self._loader.language
        if language != self._language:
            self._language = language
            self._loader.clear()
            self.refresh()

    def _show_change(self, key: str, *, source: bool, runs: bool) -> bool:
        """Read a visible cell again; repaint the rows that differ. True if its height changed."""
        content = self._loader.load(key)
        old_shape, old_state = content.shape, content.state
        old_lines = {} if source else {row: content.line(row) for row in self._rows_on_screen(key)}
        if source:
            if key == self._loader.editing:
                self._loader.editor_rows = self.editor_height()
            self._loader.read_source(key)
            content = self._loader.load(key)
        if runs:
            self._loader.read_runs(key, content)
        if content.shape != old_shape:
            return bool(self._remeasure(key)) or self._repaint_cell(key)
        self._model.measure(key, content.shape.height)
        if content.state.dimmed != old_state.dimmed or (source and key != self._loader.editing):
            return self._repaint_cell(key)
        rows = [row for row, line in old_lines.items() if content.line(row) != line]
        if content.state != old_state:
            rows.append(0)
        for row in rows:
            self._repaint_row(key, row)
        return False

    def _rows_on_screen(self, key: str) -> range:
        top, height = self._model.top(key), self._model.height(key)
        first = max(0, self._first_row - top)
        return range(first, max(first, min(height - 1, self._first_row + self._viewport_height - top)))

    def _show_states(self, keys: Iterable[str]) -> None:
        for key in keys:
            if self._loader.read_state(key):
                self._repaint_cell(key)

    def _picture_ready(self, digest: str) -> None:
        """A picture that was asked for can be painted now."""
        for key in self._loader.pictures_ready(digest):
            self._repaint_cell(key)

    # Time

    def _keep_clock(self) -> None:
        """Run the clock only while a visible cell runs."""
        running = any(
            content.state.since is not None
            for key in self._visible_keys()
            if (content := self._loader.get(key)) is not None
        )
        if running and self._clock_timer is None:
            self._clock_timer = self.set_interval(CLOCK_INTERVAL_S, self._tick)
        elif not running and self._clock_timer is not None:
            self._clock_timer.stop()
            self._clock_timer = None

    def _tick(self) -> None:
        for key in self._visible_keys():
            content = self._loader.get(key)
            if content is not None and content.state.since is not None and self._loader.read_state(key):
                self._repaint_row(key, 0)
        self._keep_clock()

    # Painting

    def _forget_strips(self, key: str) -> None:
        content = self._loader.get(key)
        if content is not None:
            content.strips.clear()

    def _repaint_cell(self, key: str, *, width: int | None = None) -> bool:
        """Paint all rows of a cell again (or their first ``width`` cells). False, for `_show_change`: nothing
        moved.
        """
        self._forget_strips(key)
        if self.is_mounted:
            rows = self._rows_on_screen(key)
            if rows:
                y = self._model.top(key) + rows.start - self._first_row
                self.refresh(Region(0, y, self._width if width is None else width, len(rows)))
        return False

    def _repaint_row(self, key: str, row: int) -> None:
        content = self._loader.get(key)
        if content is not None:
            content.strips.pop(row, None)
        y = self._model.top(key) + row - self._first_row
        if 0 <= y < self._viewport_height:
            # The editor covers everything right of the gutter; what is under it need not be composed again.
            covered = key == self._loader.editing and row < self._loader.editor_rows
            self.refresh(Region(0, y, GUTTER_CELLS if covered else self._width, 1))

    def render_line(self, y: int) -> Strip:
        """Row ``y`` of the viewport."""
        return self._paint_row(self._first_row + y)

    def _paint_row(self, row: int) -> Strip:
        self._take_over()
        place = self._model.locate(row)
        width = self._width
        if place is None:
            if row == 0 and not len(self._model):
                text = " " * GUTTER_CELLS + self.placeholder
                strip = Strip([Segment(text, self._looks.base + self._looks.dim)])
                return strip.adjust_cell_length(width, self._looks.base)
            return Strip.blank(width, self._looks.base)
        content = self._loader.load(place.key)
        known = content.strips.get(place.row)
        if known is not None:
            return known
        self.lines_painted += 1
        part, index, _ = content.shape.part(place.row)
        strip = cell_strip(
            place.row,
            content.line(place.row),
            content.state,
            focused=place.key == self._focused_cell,
            rows=content.shape.height,
            part=part,
            block=content.blocks[index] if part is Part.OUTPUT else None,
            marks=self._marks.get(place.key, ()),
            width=width,
            looks=self._looks,
        )
        content.strips[place.row] = strip
        return strip
