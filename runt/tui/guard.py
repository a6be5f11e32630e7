"""The last guard between the screen and the terminal: no text segment may carry a control character.

It is not the sanitiser: text is made safe where it enters (``terminal/sanitise.py``), because a replacement
here is made after the layout was computed, so the line may be cut one cell short. The invariant: after
``Guard.apply`` no segment that is not a control segment of ours matches ``BAD``.
"""

from __future__ import annotations

from collections.abc import Callable

from rich.segment import Segment
from textual.color import Color
from textual.filter import LineFilter

from runt.terminal.sanitise import BAD

_PICTURES_AT = 0x2400
_DELETE_PICTURE = "\u2421"
_REPLACEMENT = "\ufffd"


def visible(character: str) -> str:
    """Return the one-cell picture of a control or direction character."""
    code = ord(character)
    if code < 0x20:
        return chr(_PICTURES_AT + code)
    return _DELETE_PICTURE if code == 0x7F else _REPLACEMENT


class Guard(LineFilter):
    """A line filter that makes control characters visible.

    ``alarm`` is called with the text that should never have come this far; tests pass one that raises.
    """

    def __init__(self, alarm: Callable[[str], None] | None = None) -> None:
        super().__init__()
        self._alarm = alarm

    def apply(self, segments: list[Segment], background: Color) -> list[Segment]:
        """Return ``segments`` with nothing in them that a terminal would obey."""
        search = BAD.search
        if not any(search(segment.text) for segment in segments if not segment.control):
            return segments
        return [segment if segment.control else self._clean(segment) for segment in segments]

    def _clean(self, segment: Segment) -> Segment:
        if not BAD.search(segment.text):
            return segment
        if self._alarm is not None:
            self._alarm(segment.text)
        return Segment(BAD.sub(lambda match: visible(match.group()), segment.text), segment.style)
