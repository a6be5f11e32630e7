"""SGR values as rich styles. The sixteen colours stay the terminal's (or the theme's) own."""

from __future__ import annotations

from collections.abc import Iterable
from functools import lru_cache

from rich.color import Color
from rich.segment import Segment
from rich.style import Style

from runt.terminal.sgr import PLAIN, Sgr, Span
from runt.tui.outputs.block import Line


def _color(value: int | tuple[int, int, int] | None) -> Color | None:
    if value is None:
        return None
    if isinstance(value, int):
        return Color.from_ansi(value)
    return Color.from_rgb(*value)


@lru_cache(maxsize=4096)
def sgr_style(sgr: Sgr, base: Style) -> Style:
    """What a span looks like on text of style ``base``."""
    if sgr == PLAIN:
        return base
    return base + Style(
        color=_color(sgr.fg),
        bgcolor=_color(sgr.bg),
        bold=sgr.bold or None,
        dim=sgr.dim or None,
        italic=sgr.italic or None,
        underline=sgr.underline or None,
        reverse=sgr.reverse or None,
        strike=sgr.strike or None,
    )


def styled(spans: Iterable[Span], base: Style) -> Line:
    """One parsed line as segments."""
    return tuple(Segment(span.text, sgr_style(span.sgr, base)) for span in spans)
