"""The part of a stream's tail above the cursor: an appendable text that gives its last lines back.

It knows no cursor and no motion. The invariant: ``pens[i]`` is the look that ``pieces[i]`` begins with,
``end`` the one after the last piece, and appending costs what is appended, however long the text is.
"""

from __future__ import annotations

from runt.terminal.sgr import Sgr
from runt.terminal.stream_row import Row, pen_after


class StreamText:
    """Text in pieces, with the look at the beginning of each, so that no line needs the text before it."""

    __slots__ = ("_pens", "_pieces", "end", "length", "start")

    def __init__(self, text: str, start: Sgr) -> None:
        self.start = start
        self.end = pen_after(text, start)
        self.length = len(text)
        """Code points."""
        self._pieces = [text] if text else []
        self._pens = [start] if text else []

    def __str__(self) -> str:
        return "".join(self._pieces)

    def since(self, offset: int) -> str:
        """What follows the first ``offset`` code points. Costs what it returns."""
        left = self.length - offset
        if left <= 0:
            return ""
        index = len(self._pieces)
        while left > 0:
            index -= 1
            left -= len(self._pieces[index])
        first = self._pieces[index][-left:] if left else self._pieces[index]
        return "".join([first, *self._pieces[index + 1 :]])

    def append(self, text: str, end: Sgr) -> None:
        """Add ``text``, after which the look is ``end``."""
        self._pieces.append(text)
        self._pens.append(self.end)
        self.length += len(text)
        self.end = end

    def clear(self) -> None:
        self._pieces.clear()
        self._pens.clear()
        self.length = 0
        self.end = self.start

    def take_lines(self, count: int, *, ended: bool) -> list[Row]:
        """Remove and return the last ``count`` (≥ 1) lines, or as many as there are (at least one).

        ``ended``: the text ends with the newline of its last line, so that no empty line follows it.
        """
        newlines_needed = count if ended else count - 1
        newlines = 0
        taken: list[str] = []
        pen = self.start
        while self._pieces:
            if newlines > newlines_needed or (
                newlines == newlines_needed and taken and self._pieces[-1][-1] == "\n"
            ):
                break
            if newlines == newlines_needed and not ended and not taken and self._pieces[-1][-1] == "\n":
                break  # the last line is empty
            piece = self._pieces.pop()
            pen = self._pens.pop()
            taken.append(piece)
            newlines += piece.count("\n")
        if not taken:
            return [Row("", self.end)]
        taken.reverse()
        text = "".join(taken)
        self.length -= len(text)
        cut = _start_of_last_lines(text, newlines_needed + 1) if newlines > newlines_needed else 0
        self.end = pen
        if cut:
            rest = text[:cut]
            pen = pen_after(rest, pen)
            self.append(rest, pen)
        rows: list[Row] = []
        for line in (text[cut:-1] if ended else text[cut:]).split("\n"):
            row = Row(line, pen)
            rows.append(row)
            pen = row.end()
        return rows

    def drop(self, code_points: int) -> int:
        """Remove code points at the beginning; returns how many more were asked for than there are."""
        left = code_points
        index = 0
        while index < len(self._pieces) and left >= len(self._pieces[index]):
            left -= len(self._pieces[index])
            index += 1
        self.length -= code_points - left
        if index == len(self._pieces):
            self._pieces.clear()
            self._pens.clear()
            self.start = self.end
            return left
        if left:
            self._pens[index] = pen_after(self._pieces[index][:left], self._pens[index])
            self._pieces[index] = self._pieces[index][left:]
            self.length -= left
        del self._pieces[:index]
        del self._pens[:index]
        self.start = self._pens[0]
        return 0


def _start_of_last_lines(text: str, newlines: int) -> int:
    """The offset after the ``newlines``-th newline from the end."""
    at = len(text)
    for _ in range(newlines):
        at = text.rindex("\n", 0, at)
    return at + 1
