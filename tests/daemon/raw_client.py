"""A raw client for tests of the daemon: a socket, the protocol's client session, and documents of its own.

Not the peer package: it does exactly what a test says, so that tests can also misbehave. Every wait has a
limit that is far above what is needed and ends with what was seen so far.
"""

from __future__ import annotations

import asyncio
import itertools
import uuid
from collections.abc import Callable
from pathlib import Path
from typing import Any

from msgspec import UNSET

from runt.notebook.cell import CellKey
from runt.notebook.notebook_document import NotebookDocument
from runt.notebook.runtime_document import RuntimeDocument
from runt.notebook.source_hash import source_hash
from runt.protocol.events import (
    EventReceived,
    PresenceReceived,
    Refused,
    ResponseReceived,
    StatusReceived,
    SyncReceived,
    Welcomed,
)
from runt.protocol.frames import PROTOCOL_VERSION
from runt.protocol.messages import (
    ClientInfo,
    Event,
    Failure,
    Hello,
    Presence,
    Request,
    SessionStatus,
    Welcome,
)
from runt.protocol.session import ClientSession
from runt.protocol.ysync import EMPTY_STATE, SyncKind

PATIENCE_S = 30.0
_numbers = itertools.count(1)


class RefusedError(Exception):
    """The daemon refused a Hello or a request."""

    def __init__(self, code: str, message: str, hint: str = "", data: dict[str, Any] | None = None) -> None:
        super().__init__(f"{code}: {message} {hint}")
        self.code = code
        self.message = message
        self.hint = hint
        self.data = data or {}


class RawClient(asyncio.Protocol):
    """One connection. Use `connect` (any channel) or `join` (a notebook, synced)."""

    def __init__(self) -> None:
        self.session = ClientSession()
        self.document = NotebookDocument()
        self.runtime = RuntimeDocument()
        self.welcome: Welcome | None = None
        self.status = SessionStatus()
        self.events: list[Event] = []
        self.presences: list[Presence] = []
        self.responses: dict[str, Any] = {}
        self.order: list[str] = []  # what arrived, one word each
        self.refusal: RefusedError | None = None
        self.lost = False
        self.applying = False
        self.send_edits = True
        self.transport: asyncio.Transport
        self._changed = asyncio.Event()
        self._subscription = self.document.observe_updates(self._edited)

    # -- connecting -------------------------------------------------------------------------------

    @classmethod
    async def connect(cls, socket: Path, hello: Hello | None = None, **fields: Any) -> RawClient:
        """Connect and shake hands; ``fields`` are those of a Hello. Raises RefusedError."""
        loop = asyncio.get_running_loop()
        _, client = await loop.create_unix_connection(cls, str(socket))
        fields.setdefault("channel", "notebook")
        fields.setdefault("client", ClientInfo(name=f"raw{next(_numbers)}", pid=1))
        client.transport.write(client.session.hello(hello or Hello(protocol=PROTOCOL_VERSION, **fields)))
        await client.until(lambda: client.welcome or client.refusal or client.lost, "an answer to the hello")
        if client.refusal is not None:
            raise client.refusal
        assert client.welcome is not None, "the connection was closed without a word"
        return client

    @classmethod
    async def join(cls, socket: Path, path: Path | str | None = None, **fields: Any) -> RawClient:
        """Connect to a notebook and sync both documents."""
        if path is not None:
            fields["path"] = str(path)
        client = await cls.connect(socket, **fields)
        client.sync("n", SyncKind.STEP1, EMPTY_STATE)
        client.sync("r", SyncKind.STEP1, EMPTY_STATE)
        await client.until(
            lambda: client.document.schema and client.runtime.schema and client.status.ready, "the sync"
        )
        return client

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self.transport = transport

    def connection_lost(self, exc: Exception | None) -> None:
        self.lost = True
        self._changed.set()

    def data_received(self, data: bytes) -> None:
        for event in self.session.receive(data):
            self._event(event)
        self._changed.set()

    def _event(self, event: Any) -> None:
        match event:
            case Welcomed(welcome=welcome):
                self.welcome = welcome
            case Refused(refusal=refusal):
                self.refusal = RefusedError(refusal.code, refusal.message, refusal.hint)
            case SyncReceived(doc="n", kind=SyncKind.STEP1, data=state):
                self.sync("n", SyncKind.STEP2, self.document.update_since(state))
            case SyncReceived(doc=doc, data=data):
                self.order.append(f"sync {doc}")
                self.applying = True
                try:
                    (self.document if doc == "n" else self.runtime).apply(data, "remote")
                finally:
                    self.applying = False
            case ResponseReceived(response=response):
                self.order.append("response")
                self.responses[response.id] = response.ok if response.error is UNSET else response.error
            case EventReceived(event=told):
                self.order.append(f"event {told.name}")
                self.events.append(told)
            case PresenceReceived(presence=presence):
                self.presences.append(presence)
            case StatusReceived(status=status):
                self.status = status

    # -- doing ------------------------------------------------------------------------------------

    def sync(self, doc: Any, kind: SyncKind, data: bytes) -> None:
        self.transport.write(self.session.sync(doc, kind, data))

    def _edited(self, update: bytes, origin: object) -> None:
        if not self.applying and self.send_edits and not self.lost:
            self.sync("n", SyncKind.UPDATE, update)

    def keys(self) -> list[CellKey]:
        return self.document.keys()

    def sources(self) -> list[str]:
        return [self.document.cell(key).source for key in self.keys()]

    def type(self, key: CellKey, text: str, at: int = 0) -> None:
        """Insert text into a cell, as an editor does."""
        self.document.cell(key).splice(at, at, text, "me")

    async def request(self, method: str, id_: str | None = None, **fields: Any) -> Any:
        """Ask and wait for the answer; ``epoch`` and ``needs`` go into the request, the rest are
        parameters.
        """
        outer = {name: fields.pop(name) for name in ("epoch", "needs") if name in fields}
        request = Request(id=id_ or uuid.uuid4().hex, method=method, params=fields, **outer)
        self.transport.write(self.session.request(request))
        return await self.answer(request.id)

    async def answer(self, id_: str) -> Any:
        """Wait for the answer of a request. Raises RefusedError."""
        await self.until(lambda: id_ in self.responses or self.lost, f"the answer to {id_}")
        answer = self.responses[id_]
        if isinstance(answer, Failure):
            raise RefusedError(answer.code, answer.message, answer.hint, answer.data)
        return answer

    async def execute(self, *keys: CellKey, ids: list[str] | None = None) -> list[str]:
        """Ask for runs of cells with the sources that this client sees; returns the execution ids."""
        ids = ids or [str(uuid.uuid4()) for _ in keys]
        runs = [
            {"execution": id_, "cell": key, "source_hash": source_hash(self.document.cell(key).source)}
            for id_, key in zip(ids, keys, strict=True)
        ]
        answer = await self.request("execute", runs=runs, needs=self.document.state())
        return list(answer["executions"])

    async def run(self, *keys: CellKey) -> list[str]:
        """Run cells and wait until all of them have ended; returns their statuses."""
        ids = await self.execute(*keys)

        def ended() -> bool:
            views = [self.runtime.execution(key) for key in keys]
            return all(
                view is not None and view.id == id_ and view.ended is not None
                for view, id_ in zip(views, ids, strict=True)
            )

        await self.until(ended, "the end of the runs")
        return [view.status for key in keys if (view := self.runtime.execution(key)) is not None]

    def printed(self, key: CellKey, blobs: Any = None) -> str:
        """The stream text that R shows for a cell (inline parts and live tails)."""
        text = ""
        for output in self.runtime.outputs(key):
            if hasattr(output, "tail"):
                text += output.tail
            elif getattr(output, "text", None) is not None:
                reference = output.text
                text += (
                    reference.inline if reference.inline is not None else blobs.get(reference.blob).decode()
                )
        return text

    async def until(self, condition: Callable[[], Any], what: str) -> None:
        """Wait for a condition on what was received."""
        try:
            async with asyncio.timeout(PATIENCE_S):
                while not condition():
                    self._changed.clear()
                    await self._changed.wait()
        except TimeoutError:
            kernel = self.runtime.kernel
            raise AssertionError(
                f"waited {PATIENCE_S:.0f} s in vain for {what}; status {self.status}, kernel {kernel}, "
                f"events {self.events[-5:]}, lost {self.lost}"
            ) from None

    def close(self) -> None:
        self.transport.close()

    def vanish(self) -> None:
        """Go away without a word."""
        self.transport.abort()
