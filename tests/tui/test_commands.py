"""The table of commands is consistent, and keys find their commands."""

from __future__ import annotations

import pytest

from runt.tui.actions.handlers import HANDLERS
from runt.tui.app import NotebookApp
from runt.tui.commands import BY_ID, COMMANDS, GROUPS, Command, in_mode, shown_key
from runt.tui.help_panel import help_lines
from runt.tui.keymap import Keymap, Pending, token
from runt.tui.palette import find_commands
from runt.tui.situation import Mode, Situation

# Keys that a terminal without the kitty protocol (tmux) cannot tell from others.
NEEDS_KITTY = {"shift+enter", "ctrl+enter", "alt+enter", "shift+space", "ctrl+shift+up", "ctrl+shift+down"}
NEEDS_KITTY |= {"ctrl+shift+z", "ctrl+shift+minus"}
OPEN = Situation(cells=3, position=2, kernel_state="ready", clipboard=1, activity="idle")


def test_ids_are_unique_and_groups_known() -> None:
    """Each command has an id of its own and a group that help shows."""
    assert len(BY_ID) == len(COMMANDS)
    assert {command.group for command in COMMANDS} == set(GROUPS)


def test_every_command_has_exactly_one_handler() -> None:
    """What the table names can be done, and nothing else can."""
    own = {id_ for id_ in BY_ID if id_.startswith("app.")}
    assert all(hasattr(NotebookApp, f"action_{id_.replace('.', '_')}") for id_ in own)
    assert set(HANDLERS) == set(BY_ID) - own


@pytest.mark.parametrize("mode", Mode)
def test_no_key_means_two_things_in_a_mode(mode: Mode) -> None:
    """Within a mode a key belongs to one command, and no sequence begins with a key that is a command."""
    keys = [key for command in in_mode(mode) for key in command.keys_in(mode)]
    assert len(keys) == len(set(keys))
    assert not {key for key in keys if any(other.startswith(f"{key} ") for other in keys)}


@pytest.mark.parametrize(
    "command", [command for command in COMMANDS if command.keys], ids=lambda command: command.id
)
def test_every_key_command_works_inside_tmux(command: Command) -> None:
    """Each command with keys has one that every terminal can send."""
    for mode in command.modes:
        assert set(command.keys_in(mode)) - NEEDS_KITTY, mode


def test_while_editing_no_command_takes_a_key_that_types() -> None:
    """In edit mode every printable key is text."""
    for command in in_mode(Mode.EDIT):
        for key in command.keys_in(Mode.EDIT):
            assert len(key) > 1
            assert key not in ("space", "shift+space", "backspace", "tab")


def test_a_sequence_waits_for_its_second_key() -> None:
    """d is pending, dd deletes; another key drops the d and counts by itself; Escape only drops it."""
    keys = Keymap()
    pending = keys.feed(Mode.COMMAND, "d")
    assert isinstance(pending, Pending)
    assert [command.id for command in pending.options] == ["cell.delete"]
    assert keys.feed(Mode.COMMAND, "d") is BY_ID["cell.delete"]
    keys.feed(Mode.COMMAND, "d")
    assert keys.feed(Mode.COMMAND, "j") is BY_ID["focus.next"]
    assert keys.pending is None
    keys.feed(Mode.COMMAND, "i")
    assert keys.feed(Mode.COMMAND, "escape") is None
    assert keys.pending is None
    assert isinstance(keys.feed(Mode.COMMAND, "i"), Pending)


def test_keys_are_the_same_with_and_without_the_kitty_protocol() -> None:
    """A shifted letter is its character however the terminal names it; with Alt held nothing is typed."""
    assert token("G", "G") == "G"
    assert token("shift+g", "G") == "G"
    assert token("full_stop", ".") == "."
    assert token("space", " ") == "space"
    assert token("ctrl+j", "\n") == "ctrl+j"
    assert token("alt+k", "k") == "alt+k"


@pytest.mark.parametrize(
    ("key", "shown"),
    [
        ("ctrl+j", "^J"),
        ("d d", "dd"),
        ("shift+enter", "Shift+Enter"),
        ("f9", "F9"),
        ("G", "G"),
        ("escape", "Esc"),
    ],
)
def test_keys_are_shown_as_people_write_them(key: str, shown: str) -> None:
    """Textual's names never reach the screen."""
    assert shown_key(key) == shown


def test_the_palette_finds_by_any_words_in_any_order() -> None:
    """Every word must occur, in whatever order; the best title comes first."""
    assert find_commands("below run", OPEN)[0].id in ("run.insert", "run.below")
    assert find_commands("restart", OPEN)[0].id == "kernel.restart"
    assert find_commands("no such thing", OPEN) == []


def test_the_palette_has_every_command_of_the_mode_with_the_unavailable_last() -> None:
    """All are listed; what cannot be done now stands at the end."""
    found = find_commands("", OPEN)
    assert {command.id for command in found} == {command.id for command in in_mode(Mode.COMMAND)} - {
        "app.palette"
    }
    available = [command.available(OPEN) for command in found]
    assert available == sorted(available, reverse=True)


@pytest.mark.parametrize("mode", Mode)
def test_help_shows_every_key_command_of_the_mode(mode: Mode) -> None:
    """The panel is the table: no command with a key is missing."""
    text = "\n".join("".join(part for part, _ in row) for row in help_lines(mode))
    for command in in_mode(mode):
        if command.keys_in(mode):
            assert command.title in text
