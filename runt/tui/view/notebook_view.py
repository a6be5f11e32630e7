"""The notebook on the screen: one container that paints every cell itself and holds one real child, the
editor.

It is not the editor, decides no command and changes no document. What may move on the screen is in
`anchored_rows`; here changes of the documents are collected, shown at most thirty times a second, and painted
from cached strips. Longer than other files because it is the one place where documents, editor, clock and
screen meet.

Invariant: a change costs the rows it changes, whatever the size of the notebook.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, ClassVar

from rich.segment import Segment
from rich.style import Style
from textual import events
from textual.geometry import Region, Size
from textual.strip import Strip
from textual.timer import Timer
from textual.widget import Widget
from textual.widgets import TextArea

from runt.tui.images.modes import ImageMode
from runt.tui.outputs.looks import PLAIN_LOOKS, Looks
from runt.tui.outputs.rendering import OutputContext
from runt.tui.view.anchored_rows import AnchoredRows, Held
from runt.tui.view.cell_loading import CellLoader
from runt.tui.view.cell_strips import GUTTER_CELLS, PeerMark, body_width, cell_strip, initial_of
from runt.tui.view.changes import ChangeCollector
from runt.tui.view.messages import CellActivated, CellFocused
from runt.tui.view.row_model import Part
from runt.tui.view.theming import COMPONENT_CLASSES, DEFAULT_CSS, resolve_looks

if TYPE_CHECKING:
    from collections.abc import Sequence

    from textual._text_area_theme import TextAreaTheme

    from runt.tui.view.source import NotebookSource

FLUSH_INTERVAL_S = 1 / 30
"""Changes of the documents are shown at most this often; the first after a quiet time at once."""

CLOCK_INTERVAL_S = 1.0
"""How often a running cell's elapsed time moves."""

PLACEHOLDER = "Nothing here yet. Press b to make the first cell."


class NotebookView(AnchoredRows, can_focus=True):
    """Shows a notebook.

    Posts `CellFocused` and `CellActivated`. All rows are document rows (from 0) unless said otherwise.
    """

    DEFAULT_CSS = DEFAULT_CSS
    COMPONENT_CLASSES: ClassVar[set[str]] = COMPONENT_CLASSES
    ALLOW_SELECT = False

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
        self._editor: Widget | None = None
        self._focused_cell: str | None = None
        self._laid_out_width = 0
        self._themed = False
        self._looks_now = PLAIN_LOOKS
        self._held: Held | None = None
        """What must not move in the layout that is due after a change of width or theme."""
        self._flush_pending = False
        self._last_flush = 0.0
        self._clock_timer: Timer | None = None
        self.placeholder = PLACEHOLDER
        self.lines_painted = 0
        """Strips made since the start: tests count them."""

    # What the app uses

    @property
    def focused(self) -> str | None:
        """The cell with the focus bar."""
        return self._focused_cell

    @property
    def editing(self) -> str | None:
        """The cell whose editor is open."""
        return self._loader.editing

    @property
    def editor_theme(self) -> TextAreaTheme:
        """The editor's theme: the colours that cells are painted with."""
        from runt.tui.highlighting import text_area_theme

        return text_area_theme(self._looks.code)

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

    def top_of(self, key: str) -> int:
        """First row of a cell in the document. KeyError when it is not shown."""
        return self._model.top(key)

    @property
    def own_name(self) -> str:
        """Whose runs are shown without a name."""
        return self._loader.own_name

    @own_name.setter
    def own_name(self, name: str) -> None:
        self._loader.own_name = name
        self._show_states(self._visible_keys())

    def focus_cell(self, key: str | None, *, visible: bool = True) -> None:
        """Move the focus bar to ``key`` and, unless told otherwise, make the cell visible. Unknown keys are
        ignored.
        """
        if key is not None and key not in self._model:
            anchor = self._anchor()
            if self._follow_structure():
                self._relayout(anchor)
            if key not in self._model:
                return
        old, self._focused_cell = self._focused_cell, key
        if old != key:
            for changed in (old, key):
                if changed is not None and changed in self._model:
                    self._repaint_cell(changed, width=GUTTER_CELLS)
            self.post_message(CellFocused(key))
        if visible and key is not None:
            self.reveal(key)

    def reveal(self, key: str) -> None:
        """Scroll as little as possible so that the cell (or its first screenful) is visible."""
        if key not in self._model or not self._viewport_height:
            return
        height = self._measure(key) - 1
        top = self._model.top(key)
        first, rows = self._first_row, self._viewport_height
        if top < first or height >= rows:
            if not (height >= rows and top <= first and first + rows <= top + height):
                self._jump(top)
        elif top + height > first + rows:
            self._jump(top + height - rows)

    def reveal_row(self, key: str, row: int) -> None:
        """Scroll as little as possible so that ``row`` of the cell (rows from 0) is visible: the caret's row
        while editing.
        """
        if key not in self._model:
            return
        self._measure(key)
        at = self._model.top(key) + row
        first, rows = self._first_row, self._viewport_height
        if at < first:
            self._jump(at)
        elif at >= first + rows:
            self._jump(at - rows + 1)

    def place_editor(self, key: str, editor: Widget) -> None:
        """Mount ``editor`` over the source of ``key``. The view keeps painting the cell's other rows."""
        if self._editor is not None:
            self.remove_editor()
        anchor = self._anchor()
        content = self._loader.load(key)
        self._loader.editing = key
        self._loader.editor_rows = len(content.source_rows)
        content.set_editor_rows(self._loader.editor_rows)
        self._editor = editor
        editor.styles.width = self._editor_width
        self._remeasure(key)
        self.mount(editor)
        self._relayout(anchor)

    def remove_editor(self) -> None:
        """Take the editor away; the cell is painted again."""
        key, editor = self._loader.editing, self._editor
        if key is None or editor is None:
            return
        anchor = self._anchor()
        self._loader.editing = None
        self._editor = None
        if editor.is_attached:
            editor.remove()
        if key in self._model:
            self._loader.read_source(key)
            self._remeasure(key)
        self._relayout(anchor)

    def editor_resized(self) -> None:
        """The editor's text changed: take its height over. Costs nothing when the height is the same."""
        key = self._loader.editing
        if key is None or key not in self._model:
            return
        rows = self._editor_height()
        if rows == self._loader.editor_rows:
            return
        anchor = self._anchor()
        self._loader.editor_rows = rows
        self._loader.load(key).set_editor_rows(rows)
        self._remeasure(key)
        self._relayout(anchor)

    def set_peer_marks(self, marks: Mapping[str, Sequence[tuple[str, str]]]) -> None:
        """Where the others are: cell → (initial, colour) of each."""
        new = {
            key: [PeerMark(initial_of(name), Style(color=colour, bold=True)) for name, colour in people]
            for key, people in marks.items()
        }
        changed = {key for key in self._marks.keys() | new.keys() if self._marks.get(key) != new.get(key)}
        self._marks = new
        for key in changed:
            if key in self._model:
                self._repaint_cell(key)

    def set_source(self, source: NotebookSource) -> None:
        """Show other documents (they were replaced). Focus and scroll stay where cells are the same."""
        self._unsubscribe()
        anchor = self._anchor()
        self._source = source
        self._drawing = self._make_context()
        loader = CellLoader(source, self._drawing)
        loader.own_name, loader.editing = self._loader.own_name, self._loader.editing
        loader.editor_rows = self._loader.editor_rows
        self._loader = loader
        self._doubt_all()
        self._subscribe()
        self._follow_structure()
        self._relayout(anchor)

    def toggle_fold(self, key: str, output: int) -> bool:
        """Fold or unfold one output (a traceback, a long value). False when it has nothing folded."""
        if not self._loader.toggle(key, output):
            return False
        anchor = self._anchor()
        self._remeasure(key)
        self._relayout(anchor)
        return True

    def transcript(self) -> list[str]:
        """The visible rows as text, painted by the view (the editor's rows are empty)."""
        return [self._paint_row(self._first_row + y).text.rstrip() for y in range(self._viewport_height)]

    # Life

    def on_mount(self) -> None:
        """Look at the documents, and keep looking."""
        self.app.theme_changed_signal.subscribe(self, self._theme_changed)
        self._model.set_keys(self._source.document.keys())
        self._subscribe()
        if self._focused_cell is None and len(self._model):
            self.focus_cell(self._model.keys[0], visible=False)

    def on_unmount(self) -> None:
        """Stop looking."""
        self._unsubscribe()
        self._pictures.close()

    def on_resize(self, event: events.Resize) -> None:
        """Another width changes every height."""
        self._adapt()

    def _theme_changed(self, _theme: object) -> None:
        self._themed = False
        self.call_after_refresh(self._adapt)

    def _subscribe(self) -> None:
        self._subscriptions = [
            self._source.document.observe(self._changes.note_notebook),
            self._source.runtime.observe(self._changes.note_runtime),
        ]

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
        if self._held is None:
            self._held = self._anchor()
        if not self._themed:
            self._looks_now = resolve_looks(self)
            self._themed = True
        if width != self._laid_out_width:
            self._doubt_all()
            self._laid_out_width = width
        self._drawing = self._make_context()
        self._loader.context = self._drawing
        self._loader.clear()
        if self._editor is not None:
            self._editor.styles.width = self._editor_width

    def _adapt(self) -> None:
        """Lay out for the width and the theme that are on now."""
        if not self._viewport_height:
            return
        self._take_over()
        if self._held is None:
            self._settle()
        else:
            held, self._held = self._held, None
            self._relayout(held)

    # Geometry

    @property
    def _looks(self) -> Looks:
        if not self._themed:
            self._take_over()
        return self._looks_now

    @property
    def _editor_width(self) -> int:
        return body_width(self._width)

    @property
    def held_cell(self) -> str | None:
        """The cell being edited."""
        return self._loader.editing

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

    def place(self, child: Widget, size: Size) -> Region | None:
        """Where a child is, in document rows (see `PlacedLayout`)."""
        if child is self._extent:
            return Region(0, max(0, self._model.total - 1), 1, 1)
        key = self._loader.editing
        if child is self._editor and key is not None and key in self._model:
            return Region(GUTTER_CELLS, self._model.top(key), self._editor_width, self._loader.editor_rows)
        return None

    def _editor_height(self) -> int:
        editor = self._editor
        if isinstance(editor, TextArea):
            if editor.wrap_width == body_width(self._width) - 1:
                return max(1, editor.wrapped_document.height)
        elif editor is not None and editor.virtual_size.height:
            return editor.virtual_size.height
        key = self._loader.editing
        return 1 if key is None else len(self._loader.load(key).source_rows)

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
        if changes.structure and self._follow_structure():
            moved = True
            if self._loader.editing is not None and self._loader.editing not in self._model:
                self.remove_editor()
            if self._focused_cell is None and len(self._model):
                near = self._model.keys[min(focused_at, len(self._model) - 1)]
                self.focus_cell(near, visible=False)
        if changes.kernel:
            changes.cells.update(self._visible_keys() if self._language_changed() else ())
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
                self._forget_strips(key)
                self._doubt(key)
        if changes.queue:
            self._show_states(visible - changes.runs)
        if moved:
            self._relayout(anchor)
        self._keep_measuring()
        self._keep_clock()

    def _language_changed(self) -> bool:
        language = self._loader.language
        changed = language != getattr(self, "_language", language)
        self._language = language
        return changed

    def _show_change(self, key: str, *, source: bool, runs: bool) -> bool:
        """Read a visible cell again; repaint the rows that differ. True if its height changed."""
        content = self._loader.load(key)
        old_shape, old_state = content.shape, content.state
        old_lines = {} if source else {row: content.line(row) for row in self._rows_on_screen(key)}
        if source:
            if key == self._loader.editing:
                self._loader.editor_rows = self._editor_height()
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

    def _show_states(self, keys: Sequence[str] | set[str]) -> None:
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

    # Mouse

    def on_click(self, event: events.Click) -> None:
        """Focus the cell; open it when its source was clicked."""
        place = self._model.locate(self._first_row + event.y)
        # A click that the editor let through: its coordinates are the editor's.
        if (
            self._editor is not None
            and event.widget is not None
            and self._editor in event.widget.ancestors_with_self
        ):
            return
        if place is None:
            return
        event.stop()
        self.focus_cell(place.key, visible=False)
        content = self._loader.load(place.key)
        part, index, within = content.shape.part(place.row)
        if part is Part.OUTPUT:
            block = content.blocks[index]
            if block.toggle is not None and within - block.gap == block.toggle:
                self.toggle_fold(place.key, index)
                return
        location = None
        if part is Part.SOURCE and event.x >= GUTTER_CELLS:
            location = content.location(within, event.x - GUTTER_CELLS)
        if location is not None or event.chain >= 2:
            self.post_message(CellActivated(place.key, location))
