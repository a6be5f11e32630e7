"""The styles that outputs and cells are painted with, resolved: one value per theme.

It holds no rules: the view fills it from its component classes when the theme changes. Styles have a colour and attributes but no background,
so that they lie on any. The default value uses the terminal's own colours and serves tests and plain output.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from rich.style import Style

_DIM = Style(color="bright_black")


@dataclass(frozen=True, slots=True)
class Looks:
    """What each role looks like."""

    base: Style = Style()
    """Under everything: colour and background of the view."""
    text: Style = Style()
    dim: Style = _DIM
    strong: Style = Style(bold=True)
    error: Style = Style(color="red", bold=True)
    warning: Style = Style(color="yellow")
    stderr: Style = Style(color="yellow")
    accent: Style = Style(color="blue")
    link: Style = Style(color="blue", underline=True)
    heading: Style = Style(bold=True)
    rule: Style = _DIM
    bar: Style = Style(color="blue")
    waiting: Style = Style(color="blue")
    running: Style = Style(color="green")
    code: Mapping[str, Style] = field(default_factory=dict)
    """Highlight name (`runt.tui.highlighting.NAMES`) → style."""
    background: tuple[int, int, int] = (0, 0, 0)
    """What transparent pixels lie on, as RGB."""
    ansi: bool = False
    """The theme uses the terminal's own sixteen colours."""
