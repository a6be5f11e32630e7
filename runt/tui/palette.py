"""The command palette: every command of the table with its key and present state, found by any words, run by
Enter.

It runs nothing itself: it closes with the id of the command. The invariant: a command that is not available
now is shown dimmed, last, and cannot be chosen.
"""

from __future__ import annotations

from collections.abc import Sequence

from textual import events
from textual.app import ComposeResult
from textual.containers import Vertical
from textual.content import Content
from textual.screen import ModalScreen
from textual.widgets import Input, OptionList
from textual.widgets.option_list import Option

from runt.terminal.widths import cell_width, truncate
from runt.tui.commands import GROUPS, Command, in_mode, shown_keys, shown_keys_apart
from runt.tui.situation import Situation

PALETTE_CELLS = 72
FRAME_CELLS = 6
"""Border and padding: what a row cannot use. The scroll bar lies over the last cell of the keys."""

TITLE_CELLS = 28
"""Width that the longest titles take; what is beside them goes first on a narrow screen."""

KEYS_CELLS = 20
FIRST_KEY_CELLS = 6
STATE_CELLS = 14
NO_MATCH = "no command matches"


class Palette(ModalScreen[str | None]):
    """Closes with a command's id, or None."""

    DEFAULT_CSS = f"""
    Palette {{
        align-horizontal: center; background: $background 60%;
        & > Vertical {{
            width: {PALETTE_CELLS}; max-width: 100%; height: auto; max-height: 80%; margin-top: 2;
            background: $surface; border: round $foreground 25%; padding: 0 1;
        }}
        & Input {{ border: none; height: 1; padding: 0; margin: 0 1; background: $surface; &:focus {{ border:
        none; background-tint: $surface 0%; }} }} & OptionList {{
            border: none; height: auto; max-height: 100%; margin-top: 1; padding: 0; background: $surface;
            scrollbar-size-vertical: 1;
            scrollbar-background: $surface; scrollbar-background-hover: $surface; scrollbar-background-active:
            $surface; scrollbar-color: $foreground 15%; scrollbar-color-hover: $foreground 30%;
            scrollbar-color-active: $foreground 40%; &:focus {{ border: none; background-tint: $surface 0%; }}
            & > .option-list--option-highlighted {{ background: $primary 30%; color: $foreground; text-style:
            none; }} & > .option-list--option-disabled {{ color: $foreground 40%; }}
        }}
    }}
    """

    def __init__(self, now: Situation) -> None:
        super().__init__()
        self._now = now
        self._filled_for = 0
        """Columns of the screen that the rows were made for."""

    def compose(self) -> ComposeResult:
        """A line to type in, and the list."""
        with Vertical():
            field = Input(placeholder="find a command by any words")
            field.cursor_blink = False
            yield field
            options = OptionList(markup=False)
            options.can_focus = False
            yield options

    def on_mount(self) -> None:
        """Show everything."""
        self._fill("")
        self.query_one(Input).focus()

    def on_resize(self) -> None:
        """Another width has room for other columns."""
        if self._filled_for != self.app.size.width:
            highlighted = self.query_one(OptionList).highlighted
            self._fill(self.query_one(Input).value)
            self.query_one(OptionList).highlighted = highlighted

    def on_input_changed(self, event: Input.Changed) -> None:
        """Find again."""
        self._fill(event.value)

    def _fill(self, words: str) -> None:
        options = self.query_one(OptionList)
        self._filled_for = self.app.size.width
        found = find_commands(words, self._now)
        cells = min(PALETTE_CELLS, self.app.size.width) - FRAME_CELLS
        options.set_options(
            Option(
                row_content(command, self._now, cells),
                id=command.id,
                disabled=not command.available(self._now),
            )
            for command in found
        )
        if not found:
            options.set_options([Option(NO_MATCH, disabled=True)])
        options.highlighted = next(
            (at for at, command in enumerate(found) if command.available(self._now)), None
        )

    def on_input_submitted(self) -> None:
        """Run what is highlighted."""
        option = self.query_one(OptionList).highlighted_option
        self.dismiss(option.id if option is not None and not option.disabled else None)

    def on_option_list_option_selected(self, event: OptionList.OptionSelected) -> None:
        """Run what was clicked."""
        self.dismiss(event.option_id)

    def on_key(self, event: events.Key) -> None:
        """Arrows move in the list while the line keeps the focus."""
        options = self.query_one(OptionList)
        match event.key:
            case "escape" | "ctrl+p":
                self.dismiss(None)
            case "down":
                options.action_cursor_down()
            case "up":
                options.action_cursor_up()
            case "pagedown":
                options.action_page_down()  # type: ignore[no-untyped-call]
            case "pageup":
                options.action_page_up()  # type: ignore[no-untyped-call]
            case _:
                return
        event.stop()
        event.prevent_default()


def find_commands(words: str, now: Situation) -> list[Command]:
    """Return the commands of the mode in which every word occurs (title, group, id or state), the available
    ones first."""
    wanted = words.lower().split()

    def matches(command: Command) -> bool:
        text = f"{command.title} {command.group} {command.id} {command.state(now)}".lower()
        return all(word in text for word in wanted)

    found = [command for command in in_mode(now.mode) if command.id != "app.palette" and matches(command)]
    return sorted(
        found,
        key=lambda command: (not command.available(now), _rank(command, wanted), GROUPS.index(command.group)),
    )


def _rank(command: Command, wanted: Sequence[str]) -> int:
    """Titles that begin with the first word come first."""
    if not wanted:
        return 0
    title = command.title.lower()
    return 0 if title.startswith(wanted[0]) else 1 if wanted[0] in title else 2


def row_content(command: Command, now: Situation, cells: int) -> Content:
    """Return one row of ``cells``: title, state, keys. Where that is too wide the state goes, then all keys but the
    one that works in every terminal."""
    keys_cells, state_cells = KEYS_CELLS, STATE_CELLS
    if cells < TITLE_CELLS + STATE_CELLS + KEYS_CELLS:
        state_cells = 0
    keys = shown_keys(command, now.mode)
    if cells < TITLE_CELLS + KEYS_CELLS:
        keys_cells = FIRST_KEY_CELLS
        keys, _ = shown_keys_apart(command, now.mode)
    title_cells = max(0, cells - state_cells - keys_cells)
    return Content.assemble(
        _column(command.title, title_cells),
        (_column(command.state(now), state_cells), "$foreground 50%"),
        (truncate(keys, keys_cells - 1), "$text-primary"),
    )


def _column(text: str, cells: int) -> str:
    """Return text as a column of ``cells``, the last of them blank."""
    cut = truncate(text, cells - 1, mark="…")
    return cut + " " * (cells - cell_width(cut))
