"""The open notebook as it lies on the desk: session, view, editor, history, clipboard. What actions work
with.

It routes no keys and paints nothing; the app composes and routes, ``actions`` decide what a command does. The
invariant: the editor is open exactly when ``mode`` is EDIT, over a live cell.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence

from runt.notebook.notebook_document import Cell, CellKey, NewCell, NotebookChange, NotebookDocument
from runt.terminal.sanitise import display_text
from runt.tui.answering import Answering
from runt.tui.editor.area import CrdtArea
from runt.tui.errands import Errands
from runt.tui.question import Question
from runt.tui.session import NotebookSession
from runt.tui.situation import Mode
from runt.tui.undo import History, Outcome
from runt.tui.view.notebook_view import NotebookView


class Desk:
    """An open notebook and what this person does with it.

    ``say`` shows one line in the status line; ``changed`` is called whenever what the lines show may have
    changed; ``ask`` asks for one line of text (None: the person thought better of it).
    """

    def __init__(
        self,
        session: NotebookSession,
        view: NotebookView,
        errands: Errands,
        *,
        say: Callable[[str], None],
        changed: Callable[[], None],
        focus: Callable[[], None],
        ask: Callable[[Question], Awaitable[str | None]],
    ) -> None:
        self.session = session
        self.view = view
        self.errands = errands
        self.history = History(on_change=changed)
        self.clipboard: list[NewCell] = []
        self.editor: CrdtArea | None = None
        self._say = say
        self._changed = changed
        self._focus_view = focus
        self.ask = ask
        self._subscription = session.document.observe(self._on_change)
        self.answering = Answering(self)

    # -- where we are ------------------------------------------------------

    @property
    def document(self) -> NotebookDocument:
        """The notebook. Another object after a ``DocumentReplaced``."""
        return self.session.document

    @property
    def mode(self) -> Mode:
        """What keys mean."""
        return Mode.COMMAND if self.editor is None else Mode.EDIT

    @property
    def focused(self) -> CellKey | None:
        """The live cell with the focus bar."""
        key = self.view.focused
        return CellKey(key) if key is not None and key in self.document else None

    @property
    def cell(self) -> Cell | None:
        """The focused cell."""
        key = self.focused
        return None if key is None else self.document.cell(key)

    @property
    def index(self) -> int:
        """Index of the focused cell among the live ones; 0 when none is focused."""
        key = self.focused
        return 0 if key is None else self.document.index(key)

    @property
    def can_edit(self) -> bool:
        """Whether this peer may write."""
        return self.session.role != "view"

    def say(self, text: str) -> None:
        """Show one line, made safe to display."""
        self._say(display_text(text))

    def changed(self) -> None:
        """What the lines show may have changed."""
        self._changed()

    # -- focus -------------------------------------------------------------

    def focus(self, key: CellKey | None) -> None:
        """Put the focus bar on a cell and bring it into view."""
        self.view.flush()
        self.view.focus_cell(key)
        self._changed()

    def focus_index(self, index: int) -> None:
        """Focus the cell at an index, clamped to what there is."""
        keys = self.document.keys()
        if keys:
            self.focus(keys[max(0, min(index, len(keys) - 1))])

    # -- editing -----------------------------------------------------------

    async def edit(self, key: CellKey, location: tuple[int, int] | None = None) -> None:
        """Open the editor over a cell, the caret at ``location`` (row, column in code points) or where it was
        left: the start."""
        if self.editor is not None:
            if self.editor.key == key:
                return
            self.stop_editing()
        if not self.can_edit:
            self.say("opened for reading only")
            return
        cell = self.document.cell(key)
        self.view.flush()
        self.view.focus_cell(key, visible=False)
        editor = CrdtArea(
            self.document,
            key,
            self.history,
            host=self.view,
            language=self._language(cell),
            on_caret=self._caret_moved,
        )
        self.editor = editor
        if location is not None:
            editor.move_cursor(location)
        self.view.place_editor(key, editor)
        await editor.ready.wait()
        editor.focus(scroll_visible=False)
        editor.scroll_cursor_visible()
        self._changed()

    def stop_editing(self) -> None:
        """Close the editor; the cell stays focused."""
        editor, self.editor = self.editor, None
        if editor is None:
            return
        editor.close()
        self.view.remove_editor()
        self._focus_view()
        self._changed()

    def _language(self, cell: Cell) -> str | None:
        if cell.type == "raw":
            return None
        if cell.type == "markdown":
            return "markdown"
        language = self.session.runtime.kernel.language
        if not language:
            info = self.document.metadata.get("language_info")
            language = str(info.get("name", "")) if isinstance(info, dict) else ""
        return language or "python"

    def _caret_moved(self, anchor: int, head: int) -> None:
        if self.editor is not None and self.editor.ready.is_set():
            self.view.stop_following()
        self._changed()

    # -- the document ------------------------------------------------------

    def insert(self, index: int, cells: Sequence[NewCell], origin: str) -> list[CellKey]:
        """Insert cells before the live cell ``index``."""
        return self.document.insert_cells(index, cells, origin)

    def tell(self, outcome: Outcome) -> None:
        """Say what an undo or redo did, and go there."""
        self.say(outcome.text)
        if outcome.done and outcome.cell is not None and outcome.cell in self.document:
            self.focus(outcome.cell)
        self._changed()

    def _on_change(self, change: NotebookChange) -> None:
        editor = self.editor
        if editor is not None and change.structure and editor.key not in self.document:
            self.stop_editing()
            self.say("somebody deleted the cell you were editing")
        self._changed()

    def replaced(self) -> None:
        """Take over documents that the session has replaced (another epoch)."""
        key, place = None, (0, 0)
        if self.editor is not None:
            key, place = self.editor.key, self.editor.cursor_location
            self.stop_editing()
        self._subscription.close()
        self._subscription = self.document.observe(self._on_change)
        # Steps hold the old document; their inverses would write into nothing.
        self.history.clear()
        self.view.set_source(self.session)
        self.answering.replaced()
        if key is not None and key in self.document:
            self.errands.start(self.edit(key, place), "edit again")
        self._changed()

    def close(self) -> None:
        """Stop following the notebook."""
        self.stop_editing()
        self.answering.close()
        self._subscription.close()
