"""A one-row widget that paints pieces of text, each in a role's colour: the base of the title and the status
line.

It is given pieces, or a subclass says what it shows at a width (`pieces_for`). The invariants: it is laid out for
the width that it has when it is painted, and it repaints only when the pieces differ from those on the screen, so
that idle sends nothing.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import ClassVar, Literal

import msgspec
from rich.segment import Segment
from rich.style import Style
from textual.strip import Strip
from textual.widget import Widget

from runt.terminal.widths import cell_width, truncate

Role = Literal["text", "dim", "strong", "warning", "error", "key", "good"]


class Piece(msgspec.Struct, frozen=True):
    """Some text in a role's colour, or in ``color`` if that is given (``#rrggbb``). The text must be
    display-safe."""

    text: str
    role: Role = "text"
    color: str = ""

    @property
    def width(self) -> int:
        """Cells."""
        return cell_width(self.text)


def total_width(pieces: Sequence[Piece]) -> int:
    """Cells of all pieces."""
    return sum(piece.width for piece in pieces)


def fitted(pieces: Sequence[Piece], cells: int) -> list[Piece]:
    """Return the pieces cut to ``cells``, with an ellipsis where text was cut."""
    result: list[Piece] = []
    for piece in pieces:
        if piece.width <= cells:
            result.append(piece)
            cells -= piece.width
            continue
        if cells > 0:
            result.append(Piece(truncate(piece.text, cells, mark="…"), piece.role, piece.color))
        break
    return result


class BarLine(Widget):
    """One row of pieces."""

    DEFAULT_CSS = """
    BarLine {
        height: 1; width: 100%;
        background: $background; color: $foreground;
        & > .bar--text { color: $foreground 80%; }
        & > .bar--dim { color: $foreground 50%; }
        & > .bar--strong { color: $foreground; text-style: bold; }
        & > .bar--warning { color: $text-warning; }
        & > .bar--error { color: $text-error; text-style: bold; }
        & > .bar--key { color: $text-primary; }
        & > .bar--good { color: $text-success; }
        &:ansi {
            & > .bar--text { color: ansi_default; }
            & > .bar--dim { color: ansi_bright_black; }
        }
    }
    """
    COMPONENT_CLASSES: ClassVar[set[str]] = {
        f"bar--{role}" for role in ("text", "dim", "strong", "warning", "error", "key", "good")
    }
    can_focus = False

    def __init__(self, *, id: str | None = None) -> None:
        super().__init__(id=id)
        self._given: list[Piece] = []
        self._painted: list[Piece] = []

    def pieces_for(self, width: int) -> list[Piece]:
        """Return what to show, from the left edge, in ``width`` cells."""
        return self._given

    def set_pieces(self, pieces: Sequence[Piece]) -> None:
        """Show these pieces, whatever the width."""
        self._given = list(pieces)
        self.changed()

    @property
    def plain(self) -> str:
        """What the line says."""
        return "".join(piece.text for piece in self.pieces_for(self.size.width))

    def changed(self) -> None:
        """What the line says may have changed: repaint if it has."""
        if self.pieces_for(self.size.width) != self._painted:
            self.refresh()

    def on_resize(self) -> None:
        """Another width leaves room for other words."""
        self.refresh()

    def render_line(self, y: int) -> Strip:
        """Paint the row."""
        self._painted = self.pieces_for(self.size.width)
        base = self.visual_style.rich_style
        segments = [Segment(piece.text, base + self._style(piece)) for piece in self._painted if piece.text]
        return Strip(segments).adjust_cell_length(self.size.width, base)

    def _style(self, piece: Piece) -> Style:
        if piece.color:
            return Style(color=piece.color)
        found = self.get_component_rich_style(f"bar--{piece.role}")
        return found.without_color + Style(color=found.color)


class RuleLine(Widget):
    """A thin line across the screen."""

    DEFAULT_CSS = """
    RuleLine { height: 1; width: 100%; background: $background; color: $foreground 20%; &:ansi { color:
    ansi_bright_black; } }
    """
    can_focus = False

    def render_line(self, y: int) -> Strip:
        """Paint the rule."""
        return Strip([Segment("─" * self.size.width, self.visual_style.rich_style)])
