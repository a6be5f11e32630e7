"""The side panel with the keys of the present mode, grouped by what one wants to do. The notebook stays
visible beside it where there is room for both; else the panel lies over it.

It takes no keys itself: the app pages it. The invariant: what does not fit is said to be there, in the last row.
"""

from __future__ import annotations

from typing import ClassVar

from rich.segment import Segment
from rich.style import Style
from textual.strip import Strip
from textual.widget import Widget

from runt.terminal.widths import cell_width, truncate
from runt.tui.commands import GROUPS, Command, in_mode, shown_keys_apart
from runt.tui.situation import Mode

FIRST_KEY_CELLS = 6
"""A key that works in every terminal, and a blank: ``Space``, ``PgDn``, ``^J``."""

KEYS_CELLS = 19
"""Both keys, with their blanks: the second may be ``Ctrl+Shift+↑``."""

PANEL_CELLS = 49
WHEEL_ROWS = 3

HelpRow = list[tuple[str, str]]
"""Pieces of text with their roles."""


class HelpPanel(Widget):
    """Paints the table of commands for one mode. Scrolls when it is longer than the screen."""

    DEFAULT_CSS = f"""
    HelpPanel {{
        dock: right; width: {PANEL_CELLS}; height: 100%;
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
        self._first = 0
        self.mode = Mode.COMMAND

    def show(self, mode: Mode) -> None:
        """Show the keys of ``mode``."""
        if mode is not self.mode:
            self.mode = mode
            self._first = 0
            self.refresh()

    def page(self, pages: int) -> bool:
        """Scroll by pages, down if positive. False when everything is on the screen already."""
        _, overflows = self._rows()
        if overflows:
            self._scroll(pages * max(1, self.content_size.height - 2))
        return overflows

    def _rows(self) -> tuple[list[HelpRow], bool]:
        """All rows for the present size, and whether they are more than fit."""
        width, height = self.content_size
        rows = help_lines(self.mode, width, blanks=True)
        if len(rows) > height:
            rows = help_lines(self.mode, width)
        return rows, len(rows) > height

    def render_line(self, y: int) -> Strip:
        """Paint a row."""
        base = self.visual_style.rich_style
        width, height = self.content_size
        rows, overflows = self._rows()
        last = len(rows) - height + 1
        self._first = max(0, min(self._first, last)) if overflows else 0
        if overflows and y == height - 1:
            row = [(whole_words(self._more(self._first < last), width), "dim")]
        elif self._first + y < len(rows):
            row = rows[self._first + y]
        else:
            return Strip.blank(width, base)
        segments = [Segment(text, base + self._style(role)) for text, role in row]
        return Strip(segments).adjust_cell_length(width, base)

    def _more(self, below: bool) -> str:
        where = "" if self.mode is Mode.EDIT else ": PgDn" if below else ": PgUp"
        return f"… more{where} · ^P lists every command"

    def _style(self, role: str) -> Style:
        found = self.get_component_rich_style(f"help--{role}")
        return found.without_color + Style(color=found.color)

    def _scroll(self, rows: int) -> None:
        last = len(self._rows()[0]) - self.content_size.height + 1
        self._first = max(0, min(self._first + rows, last))
        self.refresh()

    def on_mouse_scroll_down(self) -> None:
        """Scroll."""
        self._scroll(WHEEL_ROWS)

    def on_mouse_scroll_up(self) -> None:
        """Scroll."""
        self._scroll(-WHEEL_ROWS)


def help_lines(mode: Mode, width: int = PANEL_CELLS, *, blanks: bool = False) -> list[HelpRow]:
    """Return the panel's rows for ``width`` cells; ``blanks``: a blank row before each group."""
    heading, closes = ("While editing", "F1 closes") if mode is Mode.EDIT else ("Command mode", "Esc closes")
    gap = max(1, width - len(heading) - len(closes))
    rows: list[HelpRow] = [[(heading, "group"), (" " * gap + closes, "dim")]]
    commands = in_mode(mode)
    for group in GROUPS:
        keyed = [command for command in commands if command.group == group and command.keys_in(mode)]
        if keyed:
            rows += [[], [(group, "group")]] if blanks else [[(group, "group")]]
            rows += [_command_row(command, mode, width) for command in keyed]
    return rows


def _command_row(command: Command, mode: Mode, width: int) -> HelpRow:
    first, second = shown_keys_apart(command, mode)
    keys = first + " " * max(1, FIRST_KEY_CELLS - cell_width(first)) + second
    return [
        (keys + " " * max(1, KEYS_CELLS - cell_width(keys)), "key"),
        (whole_words(command.title, width - KEYS_CELLS), "title"),
    ]


def whole_words(text: str, cells: int) -> str:
    """Return the longest beginning of ``text`` in whole words that fits into ``cells``, with an ellipsis if cut."""
    cut = truncate(text, cells, mark="…")
    words, blank, _ = cut.rpartition(" ")
    return cut if cut == text or not blank else f"{words} …"
