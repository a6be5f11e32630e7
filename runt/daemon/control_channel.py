"""The control channel: questions about the daemon as a whole, and orders to it.

It sees no document. The invariant: it answers any protocol version, so that an old ``runt`` can stop a new
daemon and the other way round; method names and fields are only ever added.
"""

from __future__ import annotations

import asyncio
import inspect
import logging
from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING, Any, Final

import msgspec

from runt.daemon.connection import Connection
from runt.daemon.owned_tasks import OwnedTasks
from runt.daemon.refusals import RequestRefused, bad_request
from runt.daemon.requests import NoParams, parameters
from runt.errors import RemoteProtocolError, RequestError
from runt.protocol.events import RequestReceived, SessionEvent
from runt.protocol.messages import Request

if TYPE_CHECKING:
    from runt.daemon.lifecycle import Daemon

log = logging.getLogger(__name__)


class ShutdownParams(msgspec.Struct, frozen=True):
    """``kernels``: end them too. ``reason`` is passed on to peers: "requested" or "restart"."""

    kernels: bool = False
    reason: str = "requested"


class RoomParams(msgspec.Struct, frozen=True):
    """A notebook, by exactly one of both."""

    path: str | None = None
    id: str | None = None


def _ping(daemon: Daemon, params: NoParams) -> Any:
    return {}


def _status(daemon: Daemon, params: NoParams) -> Any:
    return daemon.status()


def _list(daemon: Daemon, params: NoParams) -> Any:
    return daemon.notebooks()


def _shutdown(daemon: Daemon, params: ShutdownParams) -> Any:
    daemon.stop(
        params.reason if params.reason in ("requested", "restart") else "requested", kernels=params.kernels
    )
    return {}


async def _kernel_stop(daemon: Daemon, params: RoomParams) -> Any:
    if (params.path is None) == (params.id is None):
        raise bad_request("give exactly one of path and id")
    await daemon.stop_kernel(params.path, params.id)
    return {}


_METHODS: Final[dict[str, tuple[Callable[[Daemon, Any], Any], type[msgspec.Struct]]]] = {
    "ping": (_ping, NoParams),
    "status": (_status, NoParams),
    "list": (_list, NoParams),
    "shutdown": (_shutdown, ShutdownParams),
    "kernel.stop": (_kernel_stop, RoomParams),
}


class ControlChannel:
    """One control connection."""

    def __init__(self, daemon: Daemon, connection: Connection) -> None:
        self._daemon = daemon
        self._connection = connection
        self._tasks = OwnedTasks(f"control {connection.number}")

    def receive(self, event: SessionEvent) -> None:
        if not isinstance(event, RequestReceived):
            raise RemoteProtocolError(f"unexpected {type(event).__name__}")
        request = event.request
        try:
            if request.method not in _METHODS:
                raise RequestRefused(
                    "unknown_method", f"no method {request.method!r}", hint="restart the daemon"
                )
            call, kind = _METHODS[request.method]
            answer = call(self._daemon, parameters(kind, request.params))
        except RequestError as error:
            self._connection.fail(request.id, error)
            return
        if inspect.isawaitable(answer):
            self._tasks.start(self._await(request, answer), request.method)
        else:
            self._connection.respond(request.id, answer)

    async def _await(self, request: Request, answer: Awaitable[Any]) -> None:
        try:
            self._connection.respond(request.id, await answer)
        except asyncio.CancelledError:
            raise
        except RequestError as error:
            self._connection.fail(request.id, error)
        except Exception as error:
            log.exception("control request %s failed", request.method)
            self._connection.fail(
                request.id, RequestRefused("io_error", f"{request.method} failed: {error!r}")
            )

    def burst_ended(self) -> None:
        pass

    def slowed(self) -> None:
        pass

    def resumed(self) -> None:
        pass

    def closed(self) -> None:
        pass  # what was asked for goes on; its answer goes nowhere
