"""Live stream text as whole lines: what is still being rewritten is held back.

It does no I/O. Invariant: the text given out, joined, is the final text of the stream, unless the kernel went back into
lines that were already given out; those stay as they were printed.
"""

from __future__ import annotations


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

    def rest(self) -> str:
        """The last line, if it had no end; empties the buffer."""
        held, self._held = self._held, ""
        return held
