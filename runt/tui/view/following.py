"""Keeping in view what a cell prints that this person has just run.

Pure: rows and ids, no widgets. It does not know who moves or when to stop: the view does. Invariant: following only
ever scrolls down, and never past the first rows of the output.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import msgspec

from runt.tui.view.row_model import SEPARATOR_ROWS, Shape

if TYPE_CHECKING:
    from runt.notebook.runtime_document import ExecutionView


class Following(msgspec.Struct):
    """A run whose output is kept in view."""

    key: str
    before: str
    """The execution that the cell had when the run was asked for; empty if none."""
    beside: str | None = None
    """A cell that may be edited meanwhile: the one made by 'run and insert'."""

    def begun(self, execution: ExecutionView | None, own_name: str) -> bool:
        """Whether ``execution`` is a run of this person's that was asked for since."""
        return execution is not None and execution.id != self.before and execution.by == own_name


def followed_row(top: int, shape: Shape, first: int, rows: int) -> int:
    """Return the first row to show (rows of the document) when ``rows`` are visible from ``first`` on.

    The cell's bottom is to be visible; of an output that is taller than the screen its beginning, below the last row
    of the source.
    """
    bottom = top + shape.height - SEPARATOR_ROWS
    if first >= bottom:
        return top
    return max(first, min(bottom - rows, top + shape.source - 1))
