"""One ordered history of what this person did: typing, step by step, and commands on cells, each with an
inverse.

It is not the CRDT's history and touches nobody else's edits: typing is undone by an ``UndoManager`` over one
cell's text that follows one origin; a command brings its own inverse, which applies only where the value is
still what it wrote.
(Measured: one UndoManager over the map of cells crashed in 5 of 5 runs; per text there was no failure.)

The invariant: of one text session, steps are undone in the reverse order of their making, and redone in the
order of it.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from itertools import count
from typing import Protocol

import msgspec
from pycrdt import UndoManager

from runt.notebook.notebook_document import CellKey, NotebookDocument

# A session's manager is replaced after this many steps: it keeps what was deleted alive in the document.
MAX_SESSION_STEPS = 500
# Entries of the history; the oldest are dropped. A step is a word or a line, so this is hours of work.
MAX_ENTRIES = 2000
# Any two steps lie further apart on the manager's clock than this, and edits of one step do not (milliseconds
# of a clock that we drive).
_CAPTURE_MS = 500

_origins = count(1)


class Outcome(msgspec.Struct, frozen=True):
    """What an undo or redo did: ``text`` for the status line, ``cell`` to go to, ``done`` False when it was
    skipped."""

    done: bool
    text: str
    cell: CellKey | None = None


class Step(Protocol):
    """One entry of the history."""

    @property
    def title(self) -> str:
        """What was done, in words that follow "undid: "."""

    @property
    def cell(self) -> CellKey | None:
        """The cell that it was about."""

    def undo(self) -> bool:
        """Apply the inverse; False when it no longer applies (nothing was changed then)."""

    def redo(self) -> bool:
        """Do it again; False when it no longer applies."""


class TextSession:
    """One stay of the editor in one cell's text: the origin of its edits, and the manager that undoes
    them."""

    def __init__(self, document: NotebookDocument, cell: CellKey) -> None:
        self.cell = cell
        self._document = document
        # Kept: pycrdt follows the wrapper object.
        self._text = document.cell(cell).text
        self.origin = f"editor-{next(_origins)}"
        # What the changes of undo and redo are named, for observers.
        self.undo_origin = f"{self.origin}-undo"
        self.steps = 0
        self._clock_ms = 0
        self._manager = UndoManager(
            scopes=[self._text], capture_timeout_millis=_CAPTURE_MS, timestamp=self._now_ms
        )
        self._manager.include_origin(self.origin)

    def _now_ms(self) -> int:
        return self._clock_ms

    def start_step(self) -> None:
        """Make the next edit begin a step of its own."""
        self._clock_ms += 10 * _CAPTURE_MS
        self.steps += 1

    def undo(self) -> int:
        """Undo one step. Returns how many steps were used up: one, more if some had no effect left, 0 if
        nothing happened."""
        before = len(self._manager.undo_stack)
        with self._document.attributed(self.undo_origin):
            self._manager.undo()
        return before - len(self._manager.undo_stack)

    def redo(self) -> int:
        """Redo one step. Returns how many were used up."""
        before = len(self._manager.redo_stack)
        with self._document.attributed(self.undo_origin):
            self._manager.redo()
        return before - len(self._manager.redo_stack)

    def close(self) -> None:
        """Let go of the deleted text that the manager keeps."""
        self._manager.clear()


@dataclass(slots=True, eq=False)
class _Typing:
    """A step of typing."""

    session: TextSession
    # What joins with the next edit: see ``History.typed``.
    kind: str
    ends_at: int
    title: str = "typing"
    used: int = msgspec.field(default=0)

    @property
    def cell(self) -> CellKey | None:
        return self.session.cell

    def undo(self) -> bool:
        self.used = self.session.undo()
        return self.used > 0

    def redo(self) -> bool:
        self.used = self.session.redo()
        return self.used > 0


class History:
    """The steps done and the steps undone."""

    def __init__(self, *, on_change: Callable[[], None] = lambda: None) -> None:
        self._done: list[Step] = []
        self._undone: list[Step] = []
        self._sealed = True
        self._on_change = on_change

    @property
    def undoable(self) -> str:
        """Title of what ``undo`` would undo; empty if there is nothing."""
        return self._done[-1].title if self._done else ""

    @property
    def redoable(self) -> str:
        """Title of what ``redo`` would do again; empty if there is nothing."""
        return self._undone[-1].title if self._undone else ""

    # -- recording ---------------------------------------------------------

    def typing(self, session: TextSession, at: int, removed: int, inserted: str) -> None:
        """Announce an edit of ``session`` just before it is made (offsets in code points).

        A run of typed characters, or of deleted ones, is one step up to the end of a word; anything longer
        than a character is its own.
        """
        kind, ends_at = _kind(at, removed, inserted)
        last = self._done[-1] if self._done else None
        if (
            not self._sealed
            and isinstance(last, _Typing)
            and last.session is session
            and last.kind == kind
            and kind in ("insert", "space", "delete")
            and _continues(last, at, removed)
        ):
            last.ends_at = ends_at
        elif (
            not self._sealed
            and isinstance(last, _Typing)
            and last.session is session
            and last.kind == "insert"
            and kind == "space"
            and last.ends_at == at
        ):
            # The blank after a word belongs to the word; the next letter begins a new step.
            last.kind, last.ends_at = "space", ends_at
        else:
            session.start_step()
            self._push(_Typing(session, kind, ends_at))
        self._sealed = False

    def record(self, step: Step) -> None:
        """Add a command that was carried out."""
        self._push(step)

    def clear(self) -> None:
        """Forget everything (the document was replaced)."""
        self._done.clear()
        self._undone.clear()
        self._sealed = True
        self._on_change()

    def seal(self) -> None:
        """Make the next edit a step of its own (the caret was moved, the editor left)."""
        self._sealed = True

    def _push(self, step: Step) -> None:
        self._done.append(step)
        if len(self._done) > MAX_ENTRIES:
            self._done.pop(0)
        self._undone.clear()
        self._sealed = True
        self._on_change()

    # -- undoing -----------------------------------------------------------

    def undo(self, cell: CellKey | None = None) -> Outcome:
        """Undo the newest step; with ``cell``, the newest step of typing in that cell."""
        return self._turn(self._done, self._undone, "undid", "undo", cell, lambda step: step.undo())

    def redo(self, cell: CellKey | None = None) -> Outcome:
        """Redo the step undone last; with ``cell``, the one of typing in that cell."""
        return self._turn(self._undone, self._done, "did again", "redo", cell, lambda step: step.redo())

    def _turn(
        self,
        source: list[Step],
        target: list[Step],
        verb: str,
        command: str,
        cell: CellKey | None,
        apply: Callable[[Step], bool],
    ) -> Outcome:
        self._sealed = True
        index = _newest(source, cell)
        if index is None:
            where = " in this cell" if cell is not None else ""
            return Outcome(False, f"nothing to {command}{where}", cell)
        step = source.pop(index)
        if not apply(step):
            self._on_change()
            return Outcome(False, f"not {command}ne: {step.title}, changed since", step.cell)
        if isinstance(step, _Typing):
            # Steps that had no effect left (a peer deleted their text) were used up with this one.
            for _ in range(step.used - 1):
                if (older := _newest_of(source, step.session)) is not None:
                    source.pop(older)
        target.append(step)
        self._on_change()
        return Outcome(True, f"{verb}: {step.title}", step.cell)


def _kind(at: int, removed: int, inserted: str) -> tuple[str, int]:
    if removed and not inserted:
        return ("delete" if removed == 1 else "cut"), at
    if not removed and len(inserted) == 1 and inserted != "\n":
        return ("space" if inserted.isspace() else "insert"), at + 1
    return "block", at + len(inserted)


def _continues(last: _Typing, at: int, removed: int) -> bool:
    if last.kind == "delete":
        # Backspace goes left, Delete stays.
        return at in (last.ends_at, last.ends_at - removed)
    return last.ends_at == at


def _newest(steps: list[Step], cell: CellKey | None) -> int | None:
    for index in range(len(steps) - 1, -1, -1):
        step = steps[index]
        if cell is None or (isinstance(step, _Typing) and step.session.cell == cell):
            return index
    return None


def _newest_of(steps: list[Step], session: TextSession) -> int | None:
    for index in range(len(steps) - 1, -1, -1):
        step = steps[index]
        if isinstance(step, _Typing) and step.session is session:
            return index
    return None
