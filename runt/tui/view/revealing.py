"""The part of the view that scrolls by itself: to the focused cell, to the caret, to the output of a run.

It paints nothing and takes no input. Invariant: it scrolls as little as possible, and only for what this person does
here: nothing that others do or print moves the screen.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

from runt.notebook.cell import CellKey
from runt.tui.images.modes import ImageMode
from runt.tui.view.following import Following, followed_row
from runt.tui.view.painted_notebook import InView, PaintedNotebook
from runt.tui.view.row_model import SEPARATOR_ROWS

if TYPE_CHECKING:
    from runt.tui.view.source import NotebookSource


class RevealingNotebook(PaintedNotebook):
    """Abstract: the class on top knows the editor and its caret. All rows are document rows (from 0)."""

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
        self._following: Following | None = None

    @property
    def caret_row(self) -> int:
        """The row of the edited cell that the caret is in."""
        raise NotImplementedError

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

    def follow(self, key: str, beside: str | None = None) -> None:
        """This person runs a cell: keep what it prints in view until they move or scroll, or it ends. They may edit
        ``beside`` meanwhile.
        """
        execution = self._source.runtime.execution(CellKey(key))
        self._following = Following(key, execution.id if execution is not None else "", beside)

    def stop_following(self) -> None:
        """The person has moved, or the run was refused."""
        self._following = None

    def focus_moved(self, focused: str | None) -> None:
        """Another cell has the focus bar."""
        following = self._following
        if following is not None and focused not in (following.key, following.beside):
            self._following = None

    def editor_opens(self, key: str) -> None:
        """The person is about to edit a cell."""
        if self._following is not None and key != self._following.beside:
            self._following = None

    def person_scrolled(self) -> None:
        """They look elsewhere."""
        self._following = None

    def runs_shown(self, keys: set[str]) -> None:
        """Scroll as little as possible so that the output of the run that is followed can be read."""
        following = self._following
        if following is None or following.key not in keys or following.key not in self._model:
            return
        execution = self._source.runtime.execution(CellKey(following.key))
        if execution is None or not following.begun(execution, self._loader.own_name):
            return
        self._measure(following.key)
        shape = self._loader.load(following.key).shape
        row = followed_row(self._model.top(following.key), shape, self._first_row, self._viewport_height)
        if shape.outputs and row != self._first_row:
            self._jump(row)
        if self._loader.editing is not None:
            self._reveal_caret()
        if execution.status != "running":
            self._following = None

    @property
    def held_cell(self) -> str | None:
        """The cell being edited; while its neighbour's run is followed, output may push it down."""
        editing, following = self._loader.editing, self._following
        return None if following is not None and editing == following.beside else editing

    def _reveal_caret(self) -> None:
        if self._loader.editing is not None:
            self.reveal_row(self._loader.editing, self.caret_row)

    def focus_in_view(self, first: int, rows: int) -> InView:
        """How much of the focused cell is visible; while editing, it is nothing without the caret's row."""
        key = self._focused_cell
        if key is None or key not in self._model:
            return InView.NOTHING
        top = self._model.top(key)
        bottom = top + self._model.height(key) - SEPARATOR_ROWS
        if first <= top and bottom <= first + rows:
            return InView.WHOLE
        if key == self._loader.editing:
            top += self.caret_row
            bottom = top + 1
        return InView.PART if top < first + rows and first < bottom else InView.NOTHING

    def keep_in_view(self, before: InView) -> None:
        """The size changed: what the person works at stays visible if it was."""
        key, rows = self._focused_cell, self._viewport_height
        if before is InView.NOTHING or key is None or key not in self._model:
            return
        if key == self._loader.editing:
            if before is InView.WHOLE and self._measure(key) - SEPARATOR_ROWS <= rows:
                self.reveal(key)
            self._reveal_caret()
        elif before is InView.WHOLE or self.focus_in_view(self._first_row, rows) is InView.NOTHING:
            self.reveal(key)
