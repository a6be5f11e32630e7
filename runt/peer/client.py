"""The client: the door of the Python API.

It holds no notebook state. The invariants: no daemon is started before something needs one, and whatever ends
the process in an orderly way (closing, SIGHUP, SIGTERM) first leaves unacknowledged changes where the daemon
finds them.
"""

from __future__ import annotations

import asyncio
import os
import signal
import threading
import uuid
from types import TracebackType
from typing import Any, Final, Self

from msgspec import UnsetType

from runt.errors import ConnectionLost, DaemonUnavailable, LocalProtocolError, RequestError
from runt.peer.connection import Connection
from runt.peer.daemon_start import DaemonStart
from runt.peer.notebook import Notebook
from runt.peer.own_process import absolute_path, client_info
from runt.protocol.events import Refused, ResponseReceived, SessionEvent, Welcomed
from runt.protocol.frames import PROTOCOL_VERSION
from runt.protocol.messages import Channel, Hello, Request, Role
from runt.store.places import Places

_SIGNALS: Final = (signal.SIGHUP, signal.SIGTERM)

CONTROL_PATIENCE_S: Final = 10.0
"""A question to the daemon as a whole is answered at once; a daemon that takes longer hangs."""

SHUTDOWN_PATIENCE_S: Final = 60.0
"""It first saves what is unsaved and ends kernels."""


class Client:
    """Notebooks of the daemon of ``places``. ``name`` is shown to other peers.

    Use as ``async with Client() as client``; leaving closes every notebook that it opened.
    """

    def __init__(self, name: str | None = None, places: Places | None = None) -> None:
        self.places = places or Places.from_environment()
        self._info = client_info(name)
        self._daemon: DaemonStart = DaemonStart(self.places)
        self._notebooks: list[Notebook] = []
        self._handled: list[int] = []

    async def __aenter__(self) -> Self:
        self._handle_signals()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        await self.close()

    async def close(self) -> None:
        """Close all notebooks."""
        for notebook in list(self._notebooks):
            await notebook.close()
        loop = asyncio.get_running_loop()
        for number in self._handled:
            loop.remove_signal_handler(number)
        self._handled.clear()

    # notebooks

    async def open_notebook(self, path: str | os.PathLike[str], role: Role = "run") -> Notebook:
        """Open the notebook of that file, starting the daemon if none runs; returns when its content is here.

        Raises:
            RequestError: ``not_found``, ``not_a_notebook``, ``is_directory``, ``permission``, …
            DaemonUnavailable: none runs and none could be started.
            StoreError: our directories are unsafe.
        """
        return await self._open(self._hello(path=absolute_path(path), role=role))

    async def create_notebook(
        self, path: str | os.PathLike[str] | None = None, kernel: str | None = None
    ) -> Notebook:
        """Make a notebook, untitled without a path. Raises as `open_notebook`, and ``path_in_use``."""
        metadata = {"kernelspec": {"name": kernel, "display_name": kernel}} if kernel else None
        target = absolute_path(path) if path is not None else None
        return await self._open(self._hello(new=True, path=target, initial_metadata=metadata))

    async def join_notebook(self, id_: str, role: Role = "run") -> Notebook:
        """Join a room by its UUID. Raises as `open_notebook`."""
        return await self._open(self._hello(id=id_, role=role))

    # the daemon

    async def list_notebooks(self) -> list[dict[str, Any]]:
        """The open notebooks: id, path, kernel, running, queued, peers, unsaved."""
        answer = await self.control("list")
        notebooks: list[dict[str, Any]] = answer["notebooks"] if isinstance(answer, dict) else answer
        return notebooks

    async def status(self, *, start: bool = True) -> dict[str, Any]:
        """The daemon: pid, version, uptime, rooms, kernels."""
        answer: dict[str, Any] = await self.control("status", start=start)
        return answer

    async def ping(self, *, start: bool = True) -> float:
        """Ask the daemon for an answer; returns the seconds it took."""
        loop = asyncio.get_running_loop()
        begun = loop.time()
        await self.control("ping", start=start)
        return loop.time() - begun

    async def shutdown(self, kernels: bool = False) -> None:
        """Stop the daemon. Kernels go on and the next daemon finds them, unless ``kernels``."""
        await self.control("shutdown", {"kernels": kernels}, start=False, patience_s=SHUTDOWN_PATIENCE_S)

    async def control(
        self,
        method: str,
        params: dict[str, Any] | None = None,
        *,
        start: bool = True,
        patience_s: float = CONTROL_PATIENCE_S,
    ) -> Any:
        """One request on a connection of its own; ``start`` says whether a daemon may be started for it.

        Raises:
            RequestError: the daemon refused.
            DaemonUnavailable: none runs, or it does not answer within ``patience_s`` seconds.
            ConnectionLost: it went away before it answered.
        """
        connected = await self._daemon.connect(start=start)
        request = Request(id=uuid.uuid4().hex, method=method, params=params or {})
        exchange = _Exchange(request)
        connection = await Connection.open(connected, self._hello(channel="control"), exchange)
        try:
            async with asyncio.timeout(patience_s):
                return await exchange.answer
        except TimeoutError as error:
            raise DaemonUnavailable(
                f"the daemon did not answer within {patience_s:.0f} s", hint="`runt daemon logs` may say why"
            ) from error
        finally:
            connection.close()
            await connection.wait_closed()

    # inside

    async def _open(self, hello: Hello) -> Notebook:
        notebook = Notebook(self.places, self._daemon, hello, closed=self._notebooks.remove)
        await notebook.open()
        self._notebooks.append(notebook)
        return notebook

    def _hello(self, *, channel: Channel = "notebook", **fields: Any) -> Hello:
        try:
            directory: str | None = os.getcwd()  # noqa: PTH109 - a str
        except FileNotFoundError:
            directory = None
        return Hello(
            protocol=PROTOCOL_VERSION, channel=channel, client=self._info, working_dir=directory, **fields
        )

    def _handle_signals(self) -> None:
        """Spill before a signal ends us, unless the program handles that signal itself."""
        if threading.current_thread() is not threading.main_thread():
            return
        loop = asyncio.get_running_loop()
        for number in _SIGNALS:
            if signal.getsignal(number) is signal.SIG_DFL:
                loop.add_signal_handler(number, self._terminate, number)
                self._handled.append(number)

    def _terminate(self, number: int) -> None:
        for notebook in self._notebooks:
            notebook.spill()
        signal.signal(number, signal.SIG_DFL)
        os.kill(os.getpid(), number)


class _Exchange:
    """One request and its answer: the handler of a control connection."""

    def __init__(self, request: Request) -> None:
        self._request = request
        self.answer: asyncio.Future[Any] = asyncio.get_running_loop().create_future()

    def received(self, connection: Connection, event: SessionEvent) -> None:
        match event:
            case Welcomed():
                try:
                    connection.send(connection.session.request(self._request))
                except LocalProtocolError as error:
                    self._fail(error)
            case Refused(refusal=refusal):
                self._fail(RequestError(refusal.code, refusal.message, hint=refusal.hint))
            case ResponseReceived(response=response) if response.id == self._request.id:
                if isinstance(response.error, UnsetType):
                    if not self.answer.done():
                        self.answer.set_result(response.ok)
                else:
                    failure = response.error
                    self._fail(RequestError(failure.code, failure.message, hint=failure.hint))
            case _:
                pass

    def resumed(self, connection: Connection) -> None:
        pass

    def lost(self, connection: Connection, error: ConnectionLost) -> None:
        self._fail(error)

    def _fail(self, error: Exception) -> None:
        if not self.answer.done():
            self.answer.set_exception(error)
