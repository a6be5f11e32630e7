"""A dialog for a decision that cannot be put off (leaving with edits that could not be kept). Nothing else
may block typing."""

from __future__ import annotations

from collections.abc import Sequence

import msgspec
from textual import events
from textual.app import ComposeResult
from textual.containers import Vertical
from textual.content import Content
from textual.screen import ModalScreen
from textual.widgets import Static


class Choice(msgspec.Struct, frozen=True):
    """One way to go on: the key that takes it, and what it does."""

    key: str
    title: str


class Decision(ModalScreen[str]):
    """Asks; closes with the key of the choice. Escape takes the last one, which must be the harmless one.
    Texts are display-safe."""

    DEFAULT_CSS = """
    Decision {
        align: center middle; background: $background 60%;
        & > Vertical {
            width: auto; max-width: 72; height: auto; background: $surface; border: round $foreground 25%;
            padding: 1 2;
        }
        & Static { width: auto; max-width: 66; height: auto; }
    }
    """

    def __init__(self, question: str, explanation: str, choices: Sequence[Choice]) -> None:
        super().__init__()
        self._question = question
        self._explanation = explanation
        self._choices = choices

    def compose(self) -> ComposeResult:
        """The question, what it means, the keys."""
        with Vertical():
            yield Static(Content.styled(self._question, "bold"))
            yield Static(Content(f"\n{self._explanation}\n"))
            keys: list[Content] = []
            for choice in self._choices:
                keys.append(Content.assemble((f"[{choice.key}]", "$text-primary"), f" {choice.title}   "))
            yield Static(Content.assemble(*keys))

    def on_key(self, event: events.Key) -> None:
        """Take the choice whose key it is."""
        event.stop()
        key = self._choices[-1].key if event.key == "escape" else event.key
        if any(choice.key == key for choice in self._choices):
            self.dismiss(key)
