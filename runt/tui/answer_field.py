"""The one line in which a person answers the kernel: a real field over the end of the prompt's last row.

It sends nothing and knows no kernel. The invariant: what is shown takes the place of what was typed character
by character, so that the cursor is where it seems to be; a password is shown as dots.
"""

from __future__ import annotations

import re

from textual import events

from runt.terminal.sanitise import BAD
from runt.tui.guard import visible
from runt.tui.keymap import types_text
from runt.tui.textual_compat import OpenInput

_HIDDEN = re.compile(f"\t|\n|{BAD.pattern}")


class AnswerField(OpenInput):
    """A field for one answer."""

    DEFAULT_CSS = """
    AnswerField {
        border: none; height: 1; padding: 0; background: $surface; color: $foreground;
        &:focus { border: none; background-tint: $surface 0%; }
        & > .input--placeholder { color: $foreground 50%; }
    }
    """

    def __init__(self, *, password: bool, hint: str) -> None:
        """``hint`` is shown while the field is empty and has no focus."""
        super().__init__(placeholder=hint, password=password, select_on_focus=False)
        self.cursor_blink = False
        self._hint = hint

    def shown(self, value: str) -> str:
        """Return the value as it may be painted, code point for code point."""
        return _HIDDEN.sub(lambda match: visible(match[0]), value)

    def on_focus(self) -> None:
        """The cursor stands where the hint stood."""
        self.placeholder = ""

    def on_blur(self) -> None:
        """Say again what to do."""
        self.placeholder = self._hint

    async def press(self, event: events.Key) -> None:
        """Type, or do what the key does in a line of text. Other keys mean nothing here."""
        if types_text(event.key, event.character) and event.character is not None:
            self.replace(event.character, *self.selection)
        else:
            await self.run_key(event.key)

    def paste(self, text: str) -> None:
        """Insert the first line of a pasted text: an answer has no more."""
        self.replace((text.splitlines() or [""])[0], *self.selection)
