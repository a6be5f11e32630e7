"""Component classes of the view, and how they become `Looks`.

All colours are variables of the theme, so that any theme works; with the terminal's own sixteen colours
(``:ansi``) what cannot be mixed is dimmed instead. Resolved once per theme change.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from rich.style import Style

from runt.tui.highlighting import NAMES
from runt.tui.outputs.looks import Looks

if TYPE_CHECKING:
    from textual.widget import Widget

_ROLES = (
    "text",
    "dim",
    "strong",
    "error",
    "warning",
    "stderr",
    "accent",
    "link",
    "heading",
    "rule",
    "bar",
    "waiting",
    "running",
)

COMPONENT_CLASSES = {f"notebook--{role}" for role in _ROLES} | {f"notebook--code-{name}" for name in NAMES}

DEFAULT_CSS = """
PaintedNotebook {
    overflow-y: scroll;
    overflow-x: hidden;
    scrollbar-size-vertical: 1;
    scrollbar-background: $background;
    scrollbar-background-hover: $background;
    scrollbar-background-active: $background;
    scrollbar-color: $foreground 15%;
    scrollbar-color-hover: $foreground 30%;
    scrollbar-color-active: $foreground 40%;
    background: $background;
    color: $foreground;

    & > TextArea { border: none; padding: 0; scrollbar-size: 0 0; }
    & > .notebook--text { color: $foreground; }
    & > .notebook--dim { color: $foreground 50%; }
    & > .notebook--strong { color: $foreground; text-style: bold; }
    & > .notebook--error { color: $text-error; text-style: bold; }
    & > .notebook--warning { color: $text-warning; }
    & > .notebook--stderr { color: $text-warning 80%; }
    & > .notebook--accent { color: $text-primary; }
    & > .notebook--link { color: $text-primary; text-style: underline; }
    & > .notebook--heading { color: $foreground; text-style: bold; }
    & > .notebook--rule { color: $foreground 30%; }
    & > .notebook--bar { color: $primary; }
    & > .notebook--waiting { color: $text-primary; }
    & > .notebook--running { color: $text-success; text-style: bold; }

    & > .notebook--code-type { color: $text-accent; }
    & > .notebook--code-string { color: $text-success; }
    & > .notebook--code-code { color: $text-success; }
    & > .notebook--code-embedded { color: $foreground; }
    & > .notebook--code-property { color: $text-primary; }
    & > .notebook--code-parameter { color: $foreground 80%; }
    & > .notebook--code-function { color: $foreground; }
    & > .notebook--code-definition { color: $foreground; text-style: bold; }
    & > .notebook--code-builtin { color: $text-secondary; }
    & > .notebook--code-operator { color: $foreground 70%; }
    & > .notebook--code-punctuation { color: $foreground 70%; }
    & > .notebook--code-constant { color: $text-warning; }
    & > .notebook--code-number { color: $text-warning; }
    & > .notebook--code-escape { color: $text-warning; }
    & > .notebook--code-keyword { color: $text-primary; }
    & > .notebook--code-decorator { color: $text-secondary; }
    & > .notebook--code-comment { color: $foreground 50%; text-style: italic; }
    & > .notebook--code-heading { color: $foreground; text-style: bold; }
    & > .notebook--code-marker { color: $foreground 50%; }
    & > .notebook--code-link { color: $text-primary; text-style: underline; }

    &:ansi {
        scrollbar-color: ansi_bright_black;
        scrollbar-background: ansi_default;
        & > .notebook--dim { color: ansi_bright_black; }
        & > .notebook--rule { color: ansi_bright_black; }
        & > .notebook--stderr { color: ansi_yellow; }
        & > .notebook--code-parameter { color: ansi_default; }
        & > .notebook--code-operator { color: ansi_default; }
        & > .notebook--code-punctuation { color: ansi_default; }
        & > .notebook--code-comment { color: ansi_bright_black; text-style: italic; }
        & > .notebook--code-marker { color: ansi_bright_black; }
        & > .notebook--code-keyword { color: ansi_blue; }
        & > .notebook--code-string { color: ansi_green; }
        & > .notebook--code-code { color: ansi_green; }
        & > .notebook--code-builtin { color: ansi_cyan; }
        & > .notebook--code-decorator { color: ansi_cyan; }
        & > .notebook--code-constant { color: ansi_magenta; }
        & > .notebook--code-number { color: ansi_magenta; }
        & > .notebook--code-escape { color: ansi_magenta; }
        & > .notebook--code-type { color: ansi_yellow; }
    }
}
"""


def resolve_looks(widget: Widget) -> Looks:
    """The looks for the theme that is on now."""

    def style(name: str) -> Style:
        found = widget.get_component_rich_style(f"notebook--{name}")
        # Without a background: it lies on whatever the row has.
        return found.without_color + Style(color=found.color)

    _, background = widget.background_colors
    red, green, blue = background.rgb
    return Looks(
        base=widget.visual_style.rich_style,
        **{role: style(role) for role in _ROLES},
        code={name: style(f"code-{name}") for name in NAMES},
        background=(red, green, blue),
        ansi=widget.app.native_ansi_color,
    )
