"""Answers what the kernel asks: shows the field under the asking cell, takes its keys, sends the answer.

What is asked is in the runtime document, so every terminal shows it, also one that comes later, and the
first answer wins. The invariant: while the field has the keys, none of them is a command, not even those
typed before the kernel asks its next question or after somebody else answered this one.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import msgspec
from textual import events

from runt.errors import RuntError
from runt.notebook.notebook_document import CellKey, NotebookChange
from runt.notebook.runtime_document import KernelQuestion, RuntimeChange
from runt.tui.answer_field import AnswerField
from runt.tui.keymap import token

if TYPE_CHECKING:
    from runt.tui.desk import Desk

HOLD_S = 0.3
"""Keys after an answer wait this long for the kernel's next question, then they are dropped: somebody who
answers three questions in a row types ahead. Seconds; a kernel on this machine asks again within 20 ms."""

MAX_HELD_KEYS = 1000


class Asking(msgspec.Struct, frozen=True):
    """What the status line says about a question; ``active``: the keys are the field's; ``here``: Enter gives
    them to it."""

    words: str
    active: bool = False
    here: bool = False


class Answering:
    """The question of one notebook's kernel, on this screen. Call `look` when the view is on the screen."""

    def __init__(self, desk: Desk) -> None:
        self._desk = desk
        self._shown: KernelQuestion | None = None
        self._field: AnswerField | None = None
        self._back: CellKey | None = None
        """Where the focus bar was when the question took it."""
        self._answered = ""
        """The request that was answered here last."""
        self._held: list[events.Key] | None = None
        self._looked = False
        self._follow()

    # -- what is asked -----------------------------------------------------

    def _follow(self) -> None:
        session = self._desk.session
        self._subscriptions = [
            session.runtime.observe(self._note_runtime),
            session.document.observe(self._note_notebook),
        ]

    def replaced(self) -> None:
        """Follow the session's new documents."""
        self.close()
        self._follow()
        self._wake()

    def close(self) -> None:
        """Stop following."""
        for subscription in self._subscriptions:
            subscription.close()

    def _note_runtime(self, change: RuntimeChange) -> None:
        if change.kernel:
            self._wake()

    def _note_notebook(self, change: NotebookChange) -> None:
        if change.structure and self._desk.session.runtime.kernel.question is not None:
            self._wake()

    def _wake(self) -> None:
        # An observer runs in the connection's context, where no widget can be made.
        if self._desk.view.is_attached:
            self._desk.view.call_later(self.look)

    async def look(self) -> None:
        """Show what is asked now; take away what is over."""
        desk, kernel = self._desk, self._desk.session.runtime.kernel
        question = kernel.question
        if question is not None and question.cell not in desk.document:
            question = None
        first, self._looked = not self._looked, True
        if question != self._shown:
            self._take_away()
            if question is not None:
                await self._show(question, opening=first)
            desk.changed()
        if self._held is not None and question is None and kernel.activity != "busy":
            self._release()

    async def _show(self, question: KernelQuestion, *, opening: bool) -> None:
        desk = self._desk
        self._shown = question
        # A notice would hide what is asked for.
        desk.say("")
        hint = "Enter answers" if self._may_answer else "waiting for an answer"
        self._field = AnswerField(password=question.password, hint=hint)
        desk.view.place_field(question.cell, question.prompt, self._field, password=question.password)
        if self._held is not None or (not opening and self._may_interrupt_for(question)):
            self._take_keys(question)

    def _may_interrupt_for(self, question: KernelQuestion) -> bool:
        """Whether the question may take the keys: this person runs the cell and is typing nothing else."""
        desk = self._desk
        execution = desk.session.runtime.execution(question.cell)
        return (
            self._may_answer
            and desk.editor is None
            and len(desk.view.app.screen_stack) == 1
            and execution is not None
            and execution.by == desk.view.own_name
        )

    def _take_keys(self, question: KernelQuestion) -> None:
        desk = self._desk
        if desk.focused != question.cell:
            self._back = self._back or desk.focused
            desk.focus(question.cell)
        self.enter()
        held, self._held = self._held, None
        for event in held or ():
            desk.view.call_later(self.press, event)

    def _take_away(self) -> None:
        desk, field, question = self._desk, self._field, self._shown
        if field is None or question is None:
            return
        if self.active and self._held is None:
            if field.value:
                desk.say("the question is over · what you typed was not sent")
            self._focus_notebook()
            self._hold()
        self._field = self._shown = None
        desk.view.remove_field()

    # -- the keys ----------------------------------------------------------

    @property
    def active(self) -> bool:
        """Whether keys are the answer's."""
        if self._held is not None:
            return True
        field = self._field
        return field is not None and field.is_attached and field.screen.focused is field

    @property
    def _may_answer(self) -> bool:
        return self._desk.session.role == "run"

    def enter(self) -> bool:
        """Give the keys to the field under the focused cell. False: there is none to answer in."""
        field, question, desk = self._field, self._shown, self._desk
        if field is None or question is None or desk.focused != question.cell or not self._may_answer:
            return False
        if question.request == self._answered:
            return False
        desk.stop_editing()
        desk.view.reveal_field()
        field.screen.set_focus(field, scroll_visible=False)
        desk.changed()
        return True

    async def press(self, event: events.Key) -> None:
        """Take one key while `active`."""
        if self._held is not None:
            if len(self._held) < MAX_HELD_KEYS:
                self._held.append(event)
            return
        if self._field is None:
            return
        match token(event.key, event.character):
            case "escape":
                self._back = None
                self._focus_notebook()
            case "enter" | "ctrl+j":
                self._answer(self._field)
            case _:
                await self._field.press(event)

    def paste(self, text: str) -> None:
        """Paste into the field."""
        if self._field is not None and self._held is None:
            self._field.paste(text)

    def _answer(self, field: AnswerField) -> None:
        question = self._shown
        if question is not None:
            self._answered = question.request
            self._hold()
            self._focus_notebook()
            self._desk.errands.start(self._send(question, field.value), "answer")

    async def _send(self, question: KernelQuestion, value: str) -> None:
        try:
            if not await self._desk.session.answer(question.request, value):
                self._desk.say("not taken: the question was answered before, or is over")
        except RuntError:
            self._answered = ""
            self._release()
            raise

    def _focus_notebook(self) -> None:
        """Give the keys back at once: those that follow are commands, or text of the open editor."""
        target = self._desk.editor or self._desk.view
        target.screen.set_focus(target, scroll_visible=False)
        self._desk.changed()

    def _hold(self) -> None:
        held: list[events.Key] = []
        self._held = held

        def over() -> None:
            if self._held is held:
                self._release()

        self._desk.view.set_timer(HOLD_S, over)

    def _release(self) -> None:
        """No other question came: what was typed meanwhile was meant for one, and the focus bar goes back."""
        self._held = None
        back, self._back = self._back, None
        if back is not None and back in self._desk.document and self._desk.editor is None:
            self._desk.focus(back)
        self._desk.changed()

    # -- the status line ---------------------------------------------------

    @property
    def asking(self) -> Asking | None:
        """What to say now; None when nothing is asked, or it was answered here."""
        question, desk = self._shown, self._desk
        if question is None or question.request == self._answered or question.cell not in desk.document:
            return None
        if self.active:
            return Asking("waiting for input", active=True)
        if desk.focused == question.cell and desk.editor is None and self._may_answer:
            return Asking("waiting for input · Enter answers · ii interrupts", here=True)
        number = desk.document.index(question.cell) + 1
        where = " · . goes there" if desk.editor is None else ""
        return Asking(f"cell {number} waits for input{where}")
