"""Live stream text as whole lines, and the line that is still being rewritten.

It knows no executions. Invariant: the text that a ``LineBuffer`` gives out, joined, is the final text of the stream,
unless the kernel went back into lines that were already given out; those stay as they were printed.
"""

from __future__ import annotations

import shutil
import sys

from runt.terminal.sanitise import display_text
from runt.terminal.widths import truncate

ERASE = "\r\x1b[K"


class LineBuffer:
    """Holds the line that a progress bar may still redraw."""

    def __init__(self) -> None:
        self._held = ""

    def feed(self, text: str, erased: int = 0) -> str:
        """Take back ``erased`` code points, add ``text``, and return the whole lines that are new."""
        self._held = self._held[: max(0, len(self._held) - erased)] + text
        cut = self._held.rfind("\n") + 1
        ready, self._held = self._held[:cut], self._held[cut:]
        return ready

    @property
    def held(self) -> str:
        """The last line, which has no end yet."""
        return self._held

    def rest(self) -> str:
        """The last line, if it had no end; empties the buffer."""
        held, self._held = self._held, ""
        return held


class ProgressLine:
    """The last line of a terminal (stderr): the line in progress, else which cell runs. Nothing in a pipe."""

    def __init__(self, cells: int) -> None:
        self.cell = 0
        self._cells = cells
        self._shown = False
        self._on = sys.stderr.isatty() and sys.stdout.isatty()

    def show(self, held: str) -> None:
        """Show a line that has no end yet; without one, the number of the running cell."""
        if not self._on:
            return
        text = display_text(held) or f"cell {self.cell} of {self._cells} …"
        width = shutil.get_terminal_size().columns - 1
        sys.stderr.write(ERASE + truncate(text, width, mark="…"))
        sys.stderr.flush()
        self._shown = True

    def clear(self) -> None:
        """Make room for lines that stay."""
        if self._shown:
            sys.stderr.write(ERASE)
            sys.stderr.flush()
            self._shown = False
