"""The side panel with the keys of the present mode, grouped by what one wants to do. The notebook stays
visible beside it."""

from __future__ import annotations

from typing import ClassVar

from rich.segment import Segment
from rich.style import Style
from textual.strip import Strip
from textual.widget import Widget

from runt.terminal.widths import cell_width, truncate
from runt.tui.commands import GROUPS, in_mode, shown_keys
from runt.tui.situation import Mode

KEYS_CELLS = 17
PANEL_CELLS = 49


class HelpPanel(Widget):
    """Paints the table of commands for one mode; scrolls with the wheel when it is longer than the screen."""

    DEFAULT_CSS = f"""
    HelpPanel {{
        dock: right; width: {PANEL_CELLS}; max-width: 60%; height: 100%;
        background: $surface; color: $foreground;
        border-left: solid $foreground 15%;
        padding: 0 1;
        & > .help--group {{ color: $foreground; text-style: bold; }}
        & > .help--key {{ color: $text-primary; }}
        & > .help--title {{ color: $foreground 80%; }}
        & > .help--dim {{ color: $foreground 50%; }}
    }}
    """
    COMPONENT_CLASSES: ClassVar[set[str]] = {"help--group", "help--key", "help--title", "help--dim"}
    can_focus = False

    def __init__(self) -> None:
        super().__init__(id="help")
        self._lines = help_lines(Mode.COMMAND)
        self._first = 0
        self.mode = Mode.COMMAND

    def show(self, mode: Mode) -> None:
        """Show the keys of ``mode``."""
        if mode is not self.mode:
            self.mode = mode
            self._lines = help_lines(mode)
            self._first = 0
            self.refresh()

    def render_line(self, y: int) -> Strip:
        """Paint a row."""
        base = self.visual_style.rich_style
        width = self.content_size.width
        at = self._first + y
        if at >= len(self._lines):
            return Strip.blank(width, base)
        segments = [Segment(text, base + self._style(role)) for text, role in self._lines[at]]
        return Strip(segments).adjust_cell_length(width, base)

    def _style(self, role: str) -> Style:
        found = self.get_component_rich_style(f"help--{role}")
        return found.without_color + Style(color=found.color)

    def _scroll(self, rows: int) -> None:
        last = max(0, len(self._lines) - self.content_size.height)
        self._first = max(0, min(self._first + rows, last))
        self.refresh()

    def on_mouse_scroll_down(self) -> None:
        """Scroll."""
        self._scroll(3)

    def on_mouse_scroll_up(self) -> None:
        """Scroll."""
        self._scroll(-3)


def help_lines(mode: Mode) -> list[list[tuple[str, str]]]:
    """Return the panel's rows as (text, role) pairs."""
    heading = "While editing a cell" if mode is Mode.EDIT else "Command mode"
    rows: list[list[tuple[str, str]]] = [[(heading, "group")], [("F1 closes · ^P finds any command", "dim")]]
    commands = in_mode(mode)
    for group in GROUPS:
        keyed = [command for command in commands if command.group == group and command.keys_in(mode)]
        if not keyed:
            continue
        rows += [[], [(group, "group")]]
        for command in keyed:
            keys = shown_keys(command, mode)
            if cell_width(keys) > KEYS_CELLS - 1:
                keys = truncate(keys, KEYS_CELLS - 1)
                keys = keys.rsplit("  ", 1)[0] if "  " in keys else keys
            rows.append([(keys.ljust(KEYS_CELLS), "key"), (command.title, "title")])
    return rows
