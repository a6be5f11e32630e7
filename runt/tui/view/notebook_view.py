"""The notebook on the screen: focus, the live editor, the mouse. What the app talks to.

It decides no command and changes no document. Cells are painted by `painted_notebook`, kept in place by `anchored_rows`
and brought into view by `revealing`; the editor is the one real child, placed over the source of its cell.

Invariant: opening and closing the editor moves no row.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING

from rich.color import Color, ColorParseError
from rich.style import Style
from textual import events
from textual.geometry import Region, Size
from textual.widget import Widget
from textual.widgets import TextArea

from runt.tui.images.modes import ImageMode
from runt.tui.view.cell_loading import Asked, CellLoader
from runt.tui.view.cell_strips import GUTTER_CELLS, PeerMark, body_width, initial_of
from runt.tui.view.messages import CellActivated, CellFocused
from runt.tui.view.revealing import RevealingNotebook
from runt.tui.view.row_model import SEPARATOR_ROWS, Part

if TYPE_CHECKING:
    from collections.abc import Sequence

    from textual._text_area_theme import TextAreaTheme

    from runt.tui.outputs.looks import Looks
    from runt.tui.view.source import NotebookSource


class NotebookView(RevealingNotebook, can_focus=True):
    """Shows a notebook.

    Posts `CellFocused` and `CellActivated`. All rows are document rows (from 0) unless said otherwise.
    """

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
        """See `PaintedNotebook`."""
        super().__init__(source, images=images, send_graphics=send_graphics, cell_pixels=cell_pixels, id=id)
        self._editor: Widget | None = None
        self._field: Widget | None = None

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
    def looks(self) -> Looks:
        """What outputs are painted with now."""
        return self._looks

    @property
    def editor_theme(self) -> TextAreaTheme:
        """The editor's theme: the colours that cells are painted with."""
        from runt.tui.highlighting import text_area_theme

        return text_area_theme(self._looks.code)

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
            self.focus_moved(key)
            for changed in (old, key):
                if changed is not None and changed in self._model:
                    self._repaint_cell(changed, width=GUTTER_CELLS)
            self.post_message(CellFocused(key))
        if visible and key is not None:
            self.reveal(key)

    def place_editor(self, key: str, editor: Widget) -> None:
        """Mount ``editor`` over the source of ``key``. The view keeps painting the cell's other rows."""
        if self._editor is not None:
            self.remove_editor()
        self.editor_opens(key)
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
        rows = self.editor_height()
        if rows == self._loader.editor_rows:
            return
        anchor = self._anchor()
        self._loader.editor_rows = rows
        self._loader.load(key).set_editor_rows(rows)
        self._remeasure(key)
        self._relayout(anchor)

    def place_field(self, key: str, prompt: str, field: Widget, *, password: bool = False) -> None:
        """Show what the kernel asks below the outputs of a cell, and mount ``field`` at the prompt's end."""
        self.remove_field()
        self._field = field
        self._loader.asked = Asked(key, prompt, password)
        self._show_asked(key)
        self.mount(field)

    def remove_field(self) -> None:
        """Take the question and its field away."""
        asked, field = self._loader.asked, self._field
        if asked is None or field is None:
            return
        self._field = self._loader.asked = None
        if field.is_attached:
            field.remove()
        self._show_asked(asked.key)

    def _show_asked(self, key: str) -> None:
        if key not in self._model:
            return
        anchor = self._anchor()
        content = self._loader.get(key)
        if content is not None:
            self._loader.read_runs(key, content)
        self._remeasure(key)
        self._relayout(anchor)

    def reveal_field(self) -> None:
        """Scroll as little as possible so that the field is visible."""
        if self._loader.asked is not None and (key := self._loader.asked.key) in self._model:
            self.reveal_row(key, self._measure(key) - SEPARATOR_ROWS - 1)

    def set_peer_marks(self, marks: Mapping[str, Sequence[tuple[str, str]]]) -> None:
        """Where the others are: cell → (initial, colour) of each."""
        new = {
            key: [PeerMark(initial_of(name), self._mark_style(colour)) for name, colour in people]
            for key, people in marks.items()
        }
        changed = {key for key in self._marks.keys() | new.keys() if self._marks.get(key) != new.get(key)}
        self._marks = new
        for key in changed:
            if key in self._model:
                self._repaint_cell(key)

    def _mark_style(self, colour: str) -> Style:
        try:
            return Style(color=Color.parse(colour), bold=True)
        except ColorParseError:
            # It came from someone else's client.
            return self._looks.accent

    def set_source(self, source: NotebookSource) -> None:
        """Show other documents (they were replaced). Focus and scroll stay where cells are the same."""
        self._unsubscribe()
        anchor = self._anchor()
        self._source = source
        self._drawing = self._make_context()
        loader = CellLoader(source, self._drawing)
        loader.own_name, loader.editing = self._loader.own_name, self._loader.editing
        loader.editor_rows, loader.asked = self._loader.editor_rows, self._loader.asked
        self._loader = loader
        self._doubt_all()
        self._subscribe()
        self._follow_structure()
        self.cells_changed(0)
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

    # Geometry and life

    def on_mount(self) -> None:
        """Look at the documents, and keep looking."""
        self.app.theme_changed_signal.subscribe(self, self._theme_changed)
        self._model.set_keys(self._source.document.keys())
        self._subscribe()
        if self._focused_cell is None and len(self._model):
            self.focus_cell(self._model.keys[0], visible=False)

    @property
    def _editor_width(self) -> int:
        return body_width(self._width)

    @property
    def caret_row(self) -> int:
        """The row of the edited cell that the caret is in, for the width that is on now."""
        editing, editor = self._loader.editing, self._editor
        if editing is None or not isinstance(editor, TextArea):
            return 0
        line, column = editor.cursor_location
        rows = self._loader.load(editing).source_rows
        return max((at for at, row in enumerate(rows) if (row.line, row.start) <= (line, column)), default=0)

    def place(self, child: Widget, size: Size) -> Region | None:
        """Where a child is, in document rows (see `PlacedLayout`)."""
        if child is self._extent:
            return Region(0, max(0, self._model.total - 1), 1, 1)
        key = self._loader.editing
        if child is self._editor and key is not None and key in self._model:
            return Region(GUTTER_CELLS, self._model.top(key), self._editor_width, self._loader.editor_rows)
        asked = self._loader.asked
        if child is self._field and asked is not None and asked.key in self._model:
            self._loader.load(asked.key)
            column = self._loader.field_column
            row = self._model.top(asked.key) + self._model.height(asked.key) - SEPARATOR_ROWS - 1
            return Region(GUTTER_CELLS + column, row, max(1, self._editor_width - column), 1)
        return None

    def fit_editor(self) -> None:
        """Give the editor the width of the body, and the rows that its text takes there."""
        key = self._loader.editing
        if self._editor is not None:
            self._editor.styles.width = self._editor_width
            if key is not None and key in self._model:
                self._loader.editor_rows = self.editor_height()
                self._loader.load(key).set_editor_rows(self._loader.editor_rows)

    def cells_changed(self, focused_at: int) -> None:
        """A cell that is gone loses its editor; the focus goes to what took its place."""
        if self._loader.editing is not None and self._loader.editing not in self._model:
            self.remove_editor()
        if self._focused_cell is None and len(self._model):
            self.focus_cell(self._model.keys[min(focused_at, len(self._model) - 1)], visible=False)

    def editor_height(self) -> int:
        """Rows of the live editor, or of the source until the editor knows its width."""
        editor = self._editor
        if isinstance(editor, TextArea):
            if editor.wrap_width == body_width(self._width) - 1:
                return max(1, editor.wrapped_document.height)
        elif editor is not None and editor.virtual_size.height:
            return editor.virtual_size.height
        key = self._loader.editing
        return 1 if key is None else len(self._loader.load(key).source_rows)

    # Mouse

    def on_click(self, event: events.Click) -> None:
        """Focus the cell; open it when its source was clicked."""
        place = self._model.locate(self._first_row + event.y)
        # A click that the editor or the field let through: its coordinates are theirs.
        above = event.widget.ancestors_with_self if event.widget is not None else ()
        if any(child is not None and child in above for child in (self._editor, self._field)):
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
