"""Requests that wait for their answer, over one connection after another.

It sends nothing by itself. The invariant: a call keeps its id until it is answered, so the daemon carries it
out once however often it is sent; and every call ends, with an answer or an error.
"""

from __future__ import annotations

import asyncio
import uuid
from collections.abc import Callable
from typing import Any, Final

import msgspec
from msgspec import UNSET, UnsetType

from runt.errors import LocalProtocolError, RequestError, RuntError
from runt.protocol.messages import Request, Response

MAX_UNANSWERED: Final = 1024
"""Calls above which a new one is refused: somebody calls in a loop without waiting."""


class Call(msgspec.Struct):
    """One call. ``make`` builds the request anew for each connection: frame numbers and epochs change with
    it.
    """

    id: str
    make: Callable[[str], Request]
    answer: asyncio.Future[Any]


class Calls:
    """The unanswered calls of one notebook, in the order they were made."""

    def __init__(self) -> None:
        self._calls: dict[str, Call] = {}

    def begin(self, make: Callable[[str], Request]) -> Call:
        """Note a call. Raises `RequestError` (``busy``) above MAX_UNANSWERED."""
        if len(self._calls) >= MAX_UNANSWERED:
            raise RequestError(
                "busy", f"{MAX_UNANSWERED} requests are unanswered", hint="wait for their answers"
            )
        call = Call(uuid.uuid4().hex, make, asyncio.get_running_loop().create_future())
        self._calls[call.id] = call
        return call

    def end(self, call: Call) -> None:
        """Forget a call, answered or not."""
        self._calls.pop(call.id, None)

    def unanswered(self) -> list[Call]:
        """What has to be sent again on a new connection."""
        return list(self._calls.values())

    def answered(self, response: Response) -> None:
        """Give an answer to whoever waits for it; an answer that nobody waits for is dropped."""
        call = self._calls.pop(response.id, None)
        if call is None or call.answer.done():
            return
        if isinstance(response.error, UnsetType):
            call.answer.set_result(None if response.ok is UNSET else response.ok)
        else:
            failure = response.error
            call.answer.set_exception(RequestError(failure.code, failure.message, hint=failure.hint))

    def fail(self, error: RuntError | LocalProtocolError) -> None:
        """End all calls with an error: nobody will answer them."""
        calls, self._calls = self._calls, {}
        for call in calls.values():
            if not call.answer.done():
                call.answer.set_exception(error)
