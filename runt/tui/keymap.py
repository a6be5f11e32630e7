"""From keys to commands: which command a key, or a sequence of two, means in a mode.

Pure: no widgets, no clock. Nothing it is fed ever becomes text; that is decided by the mode, before. The
invariant: after each ``feed`` either a command was found, or a sequence is pending, or the key means nothing.
"""

from __future__ import annotations

from collections.abc import Iterable

import msgspec

from runt.tui.commands import COMMANDS, Command
from runt.tui.situation import Mode
from runt.tui.textual_compat import ESCAPE_BEFORE_KEY


class Pending(msgspec.Struct, frozen=True):
    """The beginning of one or more sequences was typed."""

    typed: str
    options: tuple[Command, ...]


class Keymap:
    """The keys of a table of commands."""

    def __init__(self, commands: Iterable[Command] = COMMANDS) -> None:
        self._keys: dict[Mode, dict[str, Command]] = {mode: {} for mode in Mode}
        for command in commands:
            for mode in command.modes:
                for key in command.keys_in(mode):
                    self._keys[mode][key] = command
        self._pending: Pending | None = None

    @property
    def pending(self) -> Pending | None:
        """The sequence that waits for its next key."""
        return self._pending

    def reset(self) -> None:
        """Forget a pending sequence."""
        self._pending = None

    def feed(self, mode: Mode, key: str) -> Command | Pending | None:
        """Take one key. A key that does not continue the pending sequence drops it and counts by itself;
        Escape only drops it."""
        pending, self._pending = self._pending, None
        keys = self._keys[mode]
        if pending is not None:
            if (command := keys.get(f"{pending.typed} {key}")) is not None:
                return command
            if key == "escape":
                return None
        if (command := keys.get(key)) is not None:
            return command
        if options := tuple(keys[sequence] for sequence in keys if sequence.startswith(f"{key} ")):
            self._pending = Pending(key, options)
        return self._pending


def token(key: str, character: str | None) -> str:
    """Return the name of a key in the table: the character that it types, if it types one, else Textual's
    name.

    Terminals with the kitty protocol and those without name shifted letters differently; the character is the
    same.
    """
    if key == ESCAPE_BEFORE_KEY:
        return "escape"
    if types_text(key, character) and not (character or "").isspace():
        return character or key
    return key


def types_text(key: str, character: str | None) -> bool:
    """Whether a key types its character: with Alt, Ctrl or Super held it does not, whatever the terminal
    reports."""
    modifiers = key.split("+")[:-1] if len(key) > 1 else []
    return character is not None and character.isprintable() and set(modifiers) <= {"shift"}
