"""A question with one line of text as its answer (a file name), asked at the bottom of the screen.

It decides nothing and checks nothing. The invariant: the notebook above stays visible, and Escape answers
nothing.
"""

from __future__ import annotations

import msgspec
from textual import events
from textual.app import ComposeResult
from textual.containers import Horizontal
from textual.content import Content
from textual.screen import ModalScreen
from textual.widgets import Input, Static


class Question(msgspec.Struct, frozen=True):
    """What is asked, and the answer to start from. Both are display-safe."""

    label: str
    suggestion: str = ""


class QuestionLine(ModalScreen[str | None]):
    """Closes with what was typed, or None."""

    DEFAULT_CSS = """
    QuestionLine {
        align: left bottom; background: $background 0%;
        & > Horizontal { height: 1; background: $surface; }
        & Static { width: auto; height: 1; padding: 0 1; color: $text-primary; }
        & #keys { color: $foreground 60%; }
        & Input {
            width: 1fr; height: 1; border: none; padding: 0; background: $surface;
            &:focus { border: none; background-tint: $surface 0%; }
        }
    }
    """

    def __init__(self, question: Question) -> None:
        super().__init__()
        self._question = question

    def compose(self) -> ComposeResult:
        """Label, line, keys."""
        with Horizontal():
            yield Static(Content(self._question.label))
            field = Input(self._question.suggestion, select_on_focus=False)
            field.cursor_blink = False
            yield field
            yield Static(Content("Enter saves · Esc nothing"), id="keys")

    def on_mount(self) -> None:
        """Type at the end."""
        field = self.query_one(Input)
        field.focus()
        field.cursor_position = len(field.value)

    def on_input_submitted(self, event: Input.Submitted) -> None:
        """Answer."""
        self.dismiss(event.value.strip() or None)

    def on_key(self, event: events.Key) -> None:
        """Escape answers nothing."""
        if event.key == "escape":
            event.stop()
            self.dismiss(None)
