"""What the kernel asks people (``input()``, ``getpass``), and who answers.

It sends nothing to the kernel itself. The invariant: R and the journal say what is asked from the moment it
is asked until it is answered once or its execution ends, so that whoever comes later, or comes back after a
restart of the daemon, sees it too. A kernel waits for one answer at a time: a new question is the end of the
one before.
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from typing import TYPE_CHECKING, Final

import msgspec

from runt.daemon.folding_ops import InputRequested
from runt.notebook.cell import CellKey
from runt.notebook.runtime_document import KernelQuestion, question_text

if TYPE_CHECKING:
    from runt.daemon.room import Room

log = logging.getLogger(__name__)

SIDE: Final = "question"
MAX_PROMPT_CHARACTERS: Final = 4000  # it goes to every peer; the end is what is being asked


class Questions:
    """The open question of one kernel, if it asks one."""

    def __init__(self, room: Room) -> None:
        self._room = room
        self._open: InputRequested | None = None

    def ask(self, question: InputRequested) -> None:
        """Show a question to everybody."""
        self._show(question)

    def answer(self, request: str, send: Callable[[bytes], object]) -> bool:
        """Answer a question with ``send`` (given its header); False if somebody did, or it is over."""
        question = self._open
        if question is None or question.request != request:
            return False
        self._show(None)

        def send_answer() -> None:
            send(question.header)

        self._room.log.after_commit(send_answer)
        return True

    def ended(self, execution: str) -> None:
        """An execution has ended: nobody waits for its answer."""
        if self._open is not None and self._open.execution == execution:
            self._show(None)

    def over(self) -> None:
        """The kernel is gone."""
        if self._open is not None or self._room.runtime.kernel.question is not None:
            self._show(None)

    def restore(self, side: bytes | None) -> None:
        """Take over what was open when the daemon ended."""
        try:
            self._open = msgspec.json.decode(side, type=InputRequested) if side is not None else None
        except msgspec.MsgspecError as error:
            log.warning("room %s: a question was lost: %s", self._room.id, error)
        if self._open is None:
            self.over()

    def _show(self, question: InputRequested | None) -> None:
        self._open = question
        self._room.log.side(SIDE, None if question is None else msgspec.json.encode(question))
        with self._room.runtime_changes() as writer:
            writer.set_kernel(question=None if question is None else question_text(_shown(question)))


def _shown(question: InputRequested) -> KernelQuestion:
    return KernelQuestion(
        request=question.request,
        execution=question.execution,
        cell=CellKey(question.cell),
        prompt=question.prompt[-MAX_PROMPT_CHARACTERS:],
        password=question.password,
    )
