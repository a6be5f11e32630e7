"""Other people's carets in the cell being edited: where they are, and how a line of text shows them.

It does not talk to anyone: the app puts in what presence says. The invariant: offsets (code points) move with
every edit, own or remote, exactly as our own caret does, so that a caret stays between the characters it was
put between.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable

import msgspec
from msgspec.structs import replace
from rich.style import Style
from rich.text import Text

from runt.notebook.text import Edit, shift
from runt.tui.textual_compat import Location


class Caret(msgspec.Struct, frozen=True):
    """One peer's selection: ``anchor`` to ``head`` in code points; ``name`` (display-safe) is shown while not
    empty."""

    anchor: int
    head: int
    color: str
    name: str = ""


class Carets:
    """The carets in one text, by peer."""

    def __init__(self) -> None:
        self._carets: dict[str, Caret] = {}

    def __bool__(self) -> bool:
        return bool(self._carets)

    def replace(self, carets: dict[str, Caret]) -> bool:
        """Take over what presence says; returns whether anything changed."""
        if carets == self._carets:
            return False
        self._carets = dict(carets)
        return True

    def shift(self, edits: Iterable[Edit]) -> None:
        """Move all carets with edits of the text."""
        edits = tuple(edits)
        for peer, caret in self._carets.items():
            anchor, head = caret.anchor, caret.head
            for edit in edits:
                anchor, head = shift(anchor, edit), shift(head, edit)
            self._carets[peer] = replace(caret, anchor=anchor, head=head)

    def draw(self, line: Text, row: int, locate: Callable[[int], Location], room: int) -> None:
        """Stylise ``line`` (row ``row`` of the text, with no end mark yet). ``room``: cells free after the
        line's end."""
        length = len(line)
        for caret in self._carets.values():
            top, bottom = sorted((locate(caret.anchor), locate(caret.head)))
            if top != bottom and top[0] <= row <= bottom[0]:
                start = top[1] if row == top[0] else 0
                stop = bottom[1] if row == bottom[0] else length
                line.stylize(Style(bgcolor=caret.color, dim=True), start, stop)
            at_row, column = locate(caret.head)
            if at_row != row:
                continue
            if column >= len(line):
                line.append(" ")
                room -= 1
            line.stylize(Style(bgcolor=caret.color, color="black"), column, column + 1)
            # The name stands only after the end of a line: over text it would hide what is being read.
            if caret.name and column >= length and room > len(caret.name):
                line.append(caret.name, Style(color=caret.color, italic=True))
