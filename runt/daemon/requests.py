"""What a peer may ask of its room: the table of methods, who may call them, and that each happens once.

It does no work itself beyond checking parameters. The invariant: a request id is carried out at most once
per room, however often it is sent (a client repeats it after a reconnect), and every request is answered.
"""

from __future__ import annotations

import asyncio
import inspect
import logging
from collections import OrderedDict
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final, TypeVar

import msgspec

from runt.daemon.refusals import RequestRefused, bad_request, role_refused
from runt.errors import FileChanged, KernelNotFound, NoSpace, NotebookFileError, RequestError, StoreError
from runt.protocol.messages import Request, Role

if TYPE_CHECKING:
    from runt.daemon.notebook_channel import NotebookChannel
    from runt.daemon.room import Room

log = logging.getLogger(__name__)

REMEMBERED_REQUESTS = 512  # per room; a repeat comes within seconds of the first, after a reconnect
MAX_ENVIRONMENT_BYTES = 1 << 20

_RANK: Final[dict[Role, int]] = {"view": 0, "edit": 1, "run": 2}


class RunParams(msgspec.Struct, frozen=True):
    """One cell to run. ``execution`` is a random id made by the client; it becomes the Jupyter msg_id."""

    execution: str
    cell: str
    source_hash: str


class ExecuteParams(msgspec.Struct, frozen=True):
    """``allow_stdin``: somebody is there to answer ``input()``; else it fails in the kernel."""

    runs: list[RunParams]
    allow_stdin: bool = True


class KernelStartParams(msgspec.Struct, frozen=True):
    """``env`` replaces the daemon's environment; ``umask`` is a number, ``tz`` the value of TZ."""

    name: str | None = None
    cwd: str | None = None
    env: dict[str, str] | None = None
    umask: int | None = None
    tz: str | None = None


class PathParams(msgspec.Struct, frozen=True):
    path: str


class CellsParams(msgspec.Struct, frozen=True):
    cells: list[str] | None = None


class CancelParams(msgspec.Struct, frozen=True):
    executions: list[str] | None = None


class NumberParams(msgspec.Struct, frozen=True):
    """``n`` counts this connection's content frames of N; None means all that were received."""

    n: int | None = None


class InputParams(msgspec.Struct, frozen=True):
    """The answer to one ``input()``. ``request`` is the id of the kernel's question."""

    request: str
    value: str


class ResultParams(msgspec.Struct, frozen=True):
    execution: str


class NoParams(msgspec.Struct, frozen=True):
    pass


_P = TypeVar("_P", bound=msgspec.Struct)


def parameters(kind: type[_P], params: dict[str, Any]) -> _P:
    """Check the parameters of a request. Raises RequestRefused(bad_request)."""
    try:
        return msgspec.convert(params, kind)
    except msgspec.ValidationError as error:
        raise bad_request(str(error)) from error


Answer = Any | Awaitable[Any]


@dataclass(frozen=True, slots=True)
class Method:
    """One entry of the table: what it needs and what does it."""

    call: Callable[[Room, NotebookChannel, Any, Request], Answer]
    params: type[msgspec.Struct]
    role: Role
    once: bool = True  # remembered by request id; questions about a connection are not
    needs_journal: bool = False  # refused while nothing can be journaled


def _execute(room: Room, channel: NotebookChannel, params: ExecuteParams, request: Request) -> Answer:
    return room.kernel.submit(
        params.runs, by=channel.name, request=request.id, allow_stdin=params.allow_stdin
    )


async def _kernel_start(
    room: Room, channel: NotebookChannel, params: KernelStartParams, request: Request
) -> object:
    env = params.env
    if env is not None and sum(len(name) + len(value) for name, value in env.items()) > MAX_ENVIRONMENT_BYTES:
        raise bad_request("the environment is larger than 1 MiB")
    await room.kernel.start(params)
    return {}


async def _kernel_interrupt(
    room: Room, channel: NotebookChannel, params: NoParams, request: Request
) -> object:
    await room.kernel.interrupt()
    return {}


async def _kernel_restart(room: Room, channel: NotebookChannel, params: NoParams, request: Request) -> object:
    await room.kernel.restart()
    return {}


async def _kernel_shutdown(
    room: Room, channel: NotebookChannel, params: NoParams, request: Request
) -> object:
    await room.kernel.shutdown()
    return {}


async def _save(room: Room, channel: NotebookChannel, params: NoParams, request: Request) -> object:
    await room.file.save(explicit=True)
    return {"path": str(room.file.path) if room.file.path else None}


async def _save_as(room: Room, channel: NotebookChannel, params: PathParams, request: Request) -> object:
    return {"path": str(await room.save_as(params.path))}


def _clear_outputs(room: Room, channel: NotebookChannel, params: CellsParams, request: Request) -> Answer:
    room.kernel.clear_outputs(params.cells)
    return {}


def _cancel(room: Room, channel: NotebookChannel, params: CancelParams, request: Request) -> Answer:
    return {"executions": room.kernel.runs.cancel(params.executions, "cancelled")}


def _synced(room: Room, channel: NotebookChannel, params: NumberParams, request: Request) -> Answer:
    if (params.n or 0) > channel.received_n:
        raise bad_request(f"frame {params.n} was not received")
    return {}  # the barrier delays this answer until everything before it is journaled


async def _durable(room: Room, channel: NotebookChannel, params: NumberParams, request: Request) -> object:
    if (params.n or 0) > channel.received_n:
        raise bad_request(f"frame {params.n} was not received")
    room.log.flush()
    await room.journal.flush(durable=True)
    return {}


def _input_reply(room: Room, channel: NotebookChannel, params: InputParams, request: Request) -> Answer:
    return {"accepted": room.kernel.answer_input(params.request, params.value)}


async def _result(room: Room, channel: NotebookChannel, params: ResultParams, request: Request) -> object:
    return await room.kernel.runs.result(params.execution)


METHODS: Final[dict[str, Method]] = {
    "execute": Method(_execute, ExecuteParams, "run", needs_journal=True),
    "kernel.start": Method(_kernel_start, KernelStartParams, "run", needs_journal=True),
    "kernel.interrupt": Method(_kernel_interrupt, NoParams, "run"),
    "kernel.restart": Method(_kernel_restart, NoParams, "run", needs_journal=True),
    "kernel.shutdown": Method(_kernel_shutdown, NoParams, "run"),
    "save": Method(_save, NoParams, "edit"),
    "save_as": Method(_save_as, PathParams, "edit"),
    "clear_outputs": Method(_clear_outputs, CellsParams, "edit", needs_journal=True),
    "cancel": Method(_cancel, CancelParams, "run"),
    "synced": Method(_synced, NumberParams, "view", once=False),
    "durable": Method(_durable, NumberParams, "view", once=False),
    "result": Method(_result, ResultParams, "view", once=False),
    "input_reply": Method(_input_reply, InputParams, "run"),
}


@dataclass(slots=True)
class _Outcome:
    """What became of a request id; ``waiting`` are the channels that want to know."""

    waiting: list[NotebookChannel] = field(default_factory=list)
    waits_for_journal: bool = True
    done: bool = False
    ok: Any = None
    error: RequestError | None = None


class Requests:
    """The requests of one room."""

    def __init__(self, room: Room) -> None:
        self._room = room
        self._outcomes: OrderedDict[str, _Outcome] = OrderedDict()

    def handle(self, channel: NotebookChannel, request: Request) -> None:
        """Carry out a request, or answer it again if it was carried out before."""
        known = self._outcomes.get(request.id)
        if known is not None:
            if known.done:
                self._answer(channel, request.id, known)
            elif channel not in known.waiting:
                known.waiting.append(channel)
            return
        method = METHODS.get(request.method)
        promises = method is None or method.needs_journal or not method.once  # `synced` is such a promise
        outcome = _Outcome([channel], promises)
        if method is None or method.once:
            self._remember(request.id, outcome)
        try:
            answer = self._call(method, channel, request)
        except Exception as error:  # noqa: BLE001 - every request is answered; unknown errors are logged there
            self._finish(request, outcome, error=error)
            return
        if inspect.isawaitable(answer):
            self._room.tasks.start(self._await(request, outcome, answer), request.method)
        else:
            self._finish(request, outcome, ok=answer)

    def _call(self, method: Method | None, channel: NotebookChannel, request: Request) -> Answer:
        if method is None:
            raise RequestRefused("unknown_method", f"no method {request.method!r}", hint="restart runt")
        if _RANK[channel.role] < _RANK[method.role]:
            raise role_refused(channel.role, method.role)
        if request.epoch is not None and request.epoch != self._room.notebook.epoch:
            raise RequestRefused("needs_unmet", "the request speaks of another incarnation of the notebook")
        if self._room.unsafe and method.needs_journal:
            raise RequestRefused(
                "unsafe", f"nothing can be journaled: {self._room.unsafe}", hint="free some disk space"
            )
        params = parameters(method.params, request.params)
        return method.call(self._room, channel, params, request)

    async def _await(self, request: Request, outcome: _Outcome, answer: Awaitable[Any]) -> None:
        try:
            ok = await answer
        except asyncio.CancelledError:
            self._finish(request, outcome, error=RequestRefused("stopping", "the daemon is stopping"))
            raise
        except Exception as error:  # noqa: BLE001 - every request is answered; unknown errors are logged there
            self._finish(request, outcome, error=error)
        else:
            self._finish(request, outcome, ok=ok)

    def _finish(
        self, request: Request, outcome: _Outcome, *, ok: object = None, error: Exception | None = None
    ) -> None:
        outcome.ok = ok
        if error is not None:
            outcome.error = self._refusal(request, error)
        outcome.done = True
        for channel in outcome.waiting:
            self._answer(channel, request.id, outcome)
        outcome.waiting.clear()

    def _answer(self, channel: NotebookChannel, id_: str, outcome: _Outcome) -> None:
        error = outcome.error
        if error is not None and error.code == "unsafe":
            channel.connection.fail(id_, error)  # the barrier is closed: this answer must not wait for it
        elif error is not None:
            self._release(outcome, lambda: channel.connection.fail(id_, error))
        else:
            self._release(outcome, lambda: channel.connection.respond(id_, outcome.ok))

    def _release(self, outcome: _Outcome, action: Callable[[], None]) -> None:
        """Answer after the commit; while there is none, what does not depend on the journal at once."""
        if self._room.unsafe and not outcome.waits_for_journal:
            action()
        else:
            self._room.log.after_commit(action)

    def _remember(self, id_: str, outcome: _Outcome) -> None:
        self._outcomes[id_] = outcome
        if len(self._outcomes) > REMEMBERED_REQUESTS:
            oldest = next((name for name, kept in self._outcomes.items() if kept.done), None)
            if oldest is not None:
                del self._outcomes[oldest]

    def _refusal(self, request: Request, error: Exception) -> RequestError:
        match error:
            case RequestError():
                return error
            case KernelNotFound():
                return RequestRefused("kernel_not_found", error.message, hint=error.hint)
            case NotebookFileError():
                return RequestRefused("not_a_notebook", error.message, hint=error.hint)
            case NoSpace():
                return RequestRefused("no_space", error.message, hint=error.hint)
            case FileChanged():
                return RequestRefused("file_changed", error.message, hint=error.hint)
            case PermissionError():
                return RequestRefused("permission", f"permission denied: {error.filename}")
            case StoreError():
                return RequestRefused("io_error", error.message, hint=error.hint)
            case OSError():
                return RequestRefused("io_error", str(error))
        log.error("request %s failed", request.method, exc_info=error)
        return RequestRefused("io_error", f"{request.method} failed: {error!r}", hint="see the daemon's log")
