"""What changed in the documents since the view last looked, collected until it looks again.

It does not touch documents or screen. Observers call `note_notebook` and `note_runtime` inside transactions,
so these only add to sets. Invariant: nothing is lost between two calls of `take`.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

import msgspec

if TYPE_CHECKING:
    from runt.notebook.notebook_document import NotebookChange
    from runt.notebook.runtime_document import RuntimeChange


class Changes(msgspec.Struct):
    """Cell keys by what of them changed."""

    structure: bool = False
    queue: bool = False
    kernel: bool = False
    """The kernel, or metadata that says the language."""
    cells: set[str] = msgspec.field(default_factory=set)
    """Source, type or metadata."""
    runs: set[str] = msgspec.field(default_factory=set)
    """Execution or outputs."""

    def __bool__(self) -> bool:
        return bool(self.structure or self.queue or self.kernel or self.cells or self.runs)


class ChangeCollector:
    """Collects; tells ``wake`` after each change."""

    def __init__(self, wake: Callable[[], None]) -> None:
        self._wake = wake
        self._changes = Changes()

    def note_notebook(self, change: NotebookChange) -> None:
        """Observer of the notebook document."""
        if change.structure:
            self._changes.structure = True
        if change.meta:
            self._changes.kernel = True
        self._changes.cells.update(change.sources)
        self._changes.cells.update(change.cells)
        self._wake()

    def note_runtime(self, change: RuntimeChange) -> None:
        """Observer of the runtime document."""
        if change.queue:
            self._changes.queue = True
        if change.kernel:
            self._changes.kernel = True
        self._changes.runs.update(change.executions)
        for key, _ in change.tails:
            self._changes.runs.add(key)
        self._wake()

    def take(self) -> Changes:
        """Everything since the last call."""
        changes, self._changes = self._changes, Changes()
        return changes
