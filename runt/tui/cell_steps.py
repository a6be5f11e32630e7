"""Commands on cells as steps of the history: what was done, and its inverse.

They change the notebook document and nothing else. The invariant: an inverse is applied only to cells whose
value is still what the step wrote, and ``undo`` says False when there was none such.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from runt.notebook.notebook_document import CellKey, CellType, NotebookDocument
from runt.tui.undo import Step

# Origin of what commands write. Any origin but the peer's own "remote" is sent to the daemon.
LOCAL = "local"


def _plural(count: int) -> str:
    return "a cell" if count == 1 else f"{count} cells"


@dataclass(slots=True, eq=False)
class Inserted:
    """Cells were inserted (new, pasted, split off)."""

    document: NotebookDocument
    keys: Sequence[CellKey]
    sources: Sequence[str]
    verb: str = "inserted"

    @property
    def title(self) -> str:
        return f"{self.verb} {_plural(len(self.keys))}"

    @property
    def cell(self) -> CellKey | None:
        return self.keys[0]

    def undo(self) -> bool:
        # A cell that somebody has written in meanwhile is not ours to take away.
        ours = [
            key
            for key, source in zip(self.keys, self.sources, strict=True)
            if not (cell := self.document.cell(key)).deleted and cell.source == source
        ]
        return _set_deleted(self.document, ours, True)

    def redo(self) -> bool:
        return _set_deleted(self.document, self.keys, False)


@dataclass(slots=True, eq=False)
class Deleted:
    """Cells were deleted."""

    document: NotebookDocument
    keys: Sequence[CellKey]
    verb: str = "deleted"

    @property
    def title(self) -> str:
        return f"{self.verb} {_plural(len(self.keys))}"

    @property
    def cell(self) -> CellKey | None:
        return self.keys[0]

    def undo(self) -> bool:
        return _set_deleted(self.document, self.keys, False)

    def redo(self) -> bool:
        return _set_deleted(self.document, self.keys, True)


def _set_deleted(document: NotebookDocument, keys: Sequence[CellKey], deleted: bool) -> bool:
    keys = [key for key in keys if document.cell(key).deleted is not deleted]
    with document.transaction(LOCAL):
        for key in keys:
            if deleted:
                document.delete_cell(key, LOCAL)
            else:
                document.restore_cell(key, LOCAL)
    return bool(keys)


@dataclass(slots=True, eq=False)
class Moved:
    """A cell was moved. ``before`` and ``after`` are the cells it followed (None: it was first)."""

    document: NotebookDocument
    cell: CellKey
    before: CellKey | None
    after: CellKey | None
    title: str = "moved a cell"

    def undo(self) -> bool:
        return self._move(self.after, self.before)

    def redo(self) -> bool:
        return self._move(self.before, self.after)

    def _move(self, expected: CellKey | None, target: CellKey | None) -> bool:
        if self.cell not in self.document or previous(self.document, self.cell) != expected:
            return False
        if target is None:
            self.document.move_cell(self.cell, 0, LOCAL)
            return True
        if target not in self.document:
            return False
        here, there = self.document.index(self.cell), self.document.index(target)
        self.document.move_cell(self.cell, there if here <= there else there + 1, LOCAL)
        return True


@dataclass(slots=True, eq=False)
class Retyped:
    """A cell became code, Markdown or raw text."""

    document: NotebookDocument
    cell: CellKey
    before: CellType
    after: CellType

    @property
    def title(self) -> str:
        return f"made it {self.after}"

    def undo(self) -> bool:
        return self._set(self.after, self.before)

    def redo(self) -> bool:
        return self._set(self.before, self.after)

    def _set(self, expected: CellType, target: CellType) -> bool:
        cell = self.document.cell(self.cell)
        if cell.deleted or cell.type != expected:
            return False
        self.document.set_cell_type(self.cell, target, LOCAL)
        return True


@dataclass(slots=True, eq=False)
class Rewritten:
    """The text of a cell was replaced by a command (split, merge). Written back by minimal edits."""

    document: NotebookDocument
    cell: CellKey
    before: str
    after: str
    title: str = "rewrote a cell"

    def undo(self) -> bool:
        return self._write(self.after, self.before)

    def redo(self) -> bool:
        return self._write(self.before, self.after)

    def _write(self, expected: str, target: str) -> bool:
        cell = self.document.cell(self.cell)
        if cell.deleted or cell.source != expected:
            return False
        cell.set_source(target, LOCAL)
        return True


@dataclass(slots=True, eq=False)
class Several:
    """Steps that belong together: all of them, or none."""

    title: str
    cell: CellKey | None
    steps: Sequence[Step]

    def undo(self) -> bool:
        return _all_or_none([(step.undo, step.redo) for step in reversed(self.steps)])

    def redo(self) -> bool:
        return _all_or_none([(step.redo, step.undo) for step in self.steps])


def _all_or_none(moves: Sequence[tuple[Callable[[], bool], Callable[[], bool]]]) -> bool:
    made: list[Callable[[], bool]] = []
    for move, back in moves:
        if not move():
            for undo_it in reversed(made):
                undo_it()
            return False
        made.append(back)
    return True


def previous(document: NotebookDocument, key: CellKey) -> CellKey | None:
    """Return the live cell before ``key``; None when it is the first. KeyError when it is not live."""
    index = document.index(key)
    return document.keys()[index - 1] if index else None
