"""The styles that outputs and cells are painted with, resolved: one value per theme.

It holds no rules: the view fills it from its component classes when the theme changes. Styles have a colour
and attributes but no background, so that they lie on any.
"""

from __future__ import annotations

from collections.abc import Mapping

import msgspec
from rich.style import Style


class Looks(msgspec.Struct, frozen=True):
    """What each role looks like."""

    base: Style
    """Under everything: colour and background of the view."""
    text: Style
    dim: Style
    strong: Style
    error: Style
    warning: Style
    stderr: Style
    accent: Style
    link: Style
    heading: Style
    rule: Style
    bar: Style
    waiting: Style
    running: Style
    code: Mapping[str, Style] = msgspec.field(default_factory=dict)
    """Highlight name (`runt.tui.highlighting.NAMES`) → style."""
    background: tuple[int, int, int] = (0, 0, 0)
    """What transparent pixels lie on, as RGB."""
    ansi: bool = False
    """The theme uses the terminal's own sixteen colours."""


PLAIN_LOOKS = Looks(
    base=Style(),
    text=Style(),
    dim=Style(color="bright_black"),
    strong=Style(bold=True),
    error=Style(color="red", bold=True),
    warning=Style(color="yellow"),
    stderr=Style(color="yellow"),
    accent=Style(color="blue"),
    link=Style(color="blue", underline=True),
    heading=Style(bold=True),
    rule=Style(color="bright_black"),
    bar=Style(color="blue"),
    waiting=Style(color="blue"),
    running=Style(color="green"),
    ansi=True,
)
"""The terminal's own colours: for tests, and before there is a theme."""
