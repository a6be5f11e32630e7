"""What the kernel asks people (``input()``, ``getpass``), and who answers.

It sends nothing to the kernel itself. The invariant: a question is open from the moment it is asked until
it is answered once or its execution ends, and every peer is told both.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

from runt.daemon.folding_ops import InputRequested
from runt.protocol.messages import Event

if TYPE_CHECKING:
    from runt.daemon.notebook_channel import NotebookChannel
    from runt.daemon.room import Room


class Questions:
    """The open questions of one kernel, by the id of its request."""

    def __init__(self, room: Room) -> None:
        self._room = room
        self._open: dict[str, InputRequested] = {}

    def ask(self, question: InputRequested) -> None:
        """Show a question to everybody."""
        self._open[question.request] = question
        self._room.log.after_commit(lambda: self._room.event(_event(question)))

    def show(self, channel: NotebookChannel) -> None:
        """Show a newcomer what is open."""
        for question in self._open.values():
            channel.event(_event(question))

    def answer(self, request: str, send: Callable[[bytes], object]) -> bool:
        """Answer a question with ``send`` (given its header); False if somebody did, or it is over."""
        question = self._open.get(request)
        if question is None:
            return False
        self._close(request)

        def send_answer() -> None:
            send(question.header)

        self._room.log.after_commit(send_answer)
        return True

    def ended(self, execution: str) -> None:
        """An execution has ended: nobody waits for its answers."""
        for request in [one.request for one in self._open.values() if one.execution == execution]:
            self._close(request)

    def _close(self, request: str) -> None:
        del self._open[request]
        self._room.event(Event(name="input_done", data={"request": request}))


def _event(question: InputRequested) -> Event:
    return Event(
        name="input_request",
        data={
            "request": question.request,
            "execution": question.execution,
            "cell": question.cell,
            "prompt": question.prompt,
            "password": question.password,
        },
    )
