"""An open notebook without a daemon: two documents in memory and a kernel that adds one line of output to
what it runs.

It answers requests at once and remembers them, for tests of the app. It is not a simulation of the daemon.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

from msgspec.structs import replace

from runt.errors import RequestError
from runt.notebook.manifests import ContentRef, StreamManifest, encode
from runt.notebook.notebook_document import CellKey, NewCell, NotebookDocument, source_hash
from runt.notebook.observers import Observers, Subscription
from runt.notebook.runtime_document import KernelQuestion, RuntimeDocument, question_text
from runt.notebook.runtime_writer import RuntimeWriter
from runt.peer.events import ConnectionState, ConnectionStatus, PeerEvent, PresenceChanged, StatusChanged


@dataclass(frozen=True)
class Somebody:
    """Another peer."""

    name: str
    color: str = "#c08040"
    cell: str | None = None
    anchor: int | None = None
    head: int | None = None
    mode: str = "edit"


@dataclass
class MemorySession:
    """Satisfies ``runt.tui.session.NotebookSession``."""

    document: NotebookDocument
    runtime: RuntimeDocument
    path: str | None = "/home/ann/analysis.ipynb"
    room: str = "1a2b3c4d-0000-0000-0000-000000000000"
    peer_id: str = "me"
    role: str = "run"
    blobs: dict[str, bytes] = field(default_factory=dict)
    peers: dict[str, Somebody] = field(default_factory=dict)
    requests: list[tuple[Any, ...]] = field(default_factory=list)
    places: list[tuple[Any, ...]] = field(default_factory=list)
    refuse: RequestError | None = None
    spill_error: str = ""
    spilled: bool = False
    closed: bool = False
    output: str | None = None
    """What runs print; None: a line of their own."""
    hold: bool = False
    """Runs are accepted and do not begin by themselves."""

    def __post_init__(self) -> None:
        self._observers: Observers[PeerEvent] = Observers()
        self._status = ConnectionStatus("connected")
        self._count = 0
        self.writer = RuntimeWriter(self.runtime)
        self._edits = self.document.observe(lambda _: self.file(unsaved="1"))

    @property
    def status(self) -> ConnectionStatus:
        return self._status

    def observe(self, callback: Callable[[PeerEvent], None]) -> Subscription:
        return self._observers.add(callback)

    def set_presence(self, cell: CellKey | None, anchor: int | None, head: int | None, mode: str) -> None:
        self.places.append((cell, anchor, head, mode))

    async def execute(self, keys: Sequence[CellKey], *, allow_stdin: bool = False) -> list[str]:
        self._ask("execute", tuple(keys))
        for key in keys:
            if not self.hold:
                self.run(key, self.output)
        return []

    async def answer(self, request: str, value: str) -> bool:
        self._ask("answer", request, value)
        question = self.runtime.kernel.question
        if question is None or question.request != request:
            return False
        self.kernel(question=None)
        return True

    async def start_kernel(self, name: str | None = None) -> None:
        self._ask("start_kernel")
        self.kernel(state="ready", activity="idle", name="python3", language="python")

    async def interrupt(self) -> None:
        self._ask("interrupt")

    async def restart(self) -> None:
        self._ask("restart")

    async def shutdown_kernel(self) -> None:
        self._ask("shutdown_kernel")

    async def save(self) -> None:
        self._ask("save")
        self.file(saved_at=time.time(), unsaved=None)

    async def save_as(self, path: str) -> str:
        self._ask("save_as", path)
        self.path = path
        self.file(path=path, saved_at=time.time(), unsaved=None)
        return path

    async def clear_outputs(self, keys: Sequence[CellKey]) -> None:
        self._ask("clear_outputs", tuple(keys))

    async def cancel(self, executions: Sequence[str] | None = None) -> None:
        self._ask("cancel")

    async def synced(self) -> None:
        self._ask("synced")
        self.connection("connected", 0)

    async def reconnect(self) -> None:
        self._ask("reconnect")
        self.connection("connected", 0)

    def spill(self) -> None:
        self.spilled = True
        if self.spill_error:
            self._status = replace(self._status, detail=self.spill_error)

    async def close(self) -> None:
        self.closed = True

    # -- what happens elsewhere ---------------------------------------------

    def _ask(self, *request: Any) -> None:
        self.requests.append(request)
        if self.refuse is not None:
            raise self.refuse

    def names(self) -> list[str]:
        """The methods asked for, in order."""
        return [request[0] for request in self.requests]

    def kernel(self, **fields: Any) -> None:
        with self.runtime.transaction("daemon"):
            self.writer.set_kernel(**fields)

    def question(self, key: CellKey, prompt: str = "", *, password: bool = False, by: str = "me") -> str:
        """The cell runs and asks; returns the id of the request."""
        self._count += 1
        request, execution = f"question-{self._count}", f"execution-{self._count}"
        with self.runtime.transaction("daemon"):
            view = self.runtime.execution(key)
            if view is None or view.status != "running":
                self.writer.begin(key, execution, source_hash(self.document.cell(key).source), by, 1.0, 1.0)
            asked = KernelQuestion(request, execution, key, prompt, password)
            self.writer.set_kernel(activity="busy", question=question_text(asked))
        return request

    def file(self, **fields: Any) -> None:
        with self.runtime.transaction("daemon"):
            self.writer.set_file(**fields)

    def run(self, key: CellKey, output: str | None = None) -> None:
        """Carry out a cell: count, one line of output, done."""
        self._count += 1
        now = 1_700_000_000.0 + self._count
        text = f"ran {self._count}\n" if output is None else output
        with self.runtime.transaction("daemon"):
            hash_ = source_hash(self.document.cell(key).source)
            self.writer.begin(key, f"execution-{self._count}", hash_, "me", now, now)
            self.writer.set_execution(key, count=self._count, status="ok", ended=now + 0.038)
            self.writer.append_output(
                key, encode(StreamManifest(name="stdout", text=ContentRef(inline=text)))
            )

    def begin(self, key: CellKey, by: str = "me") -> None:
        """A cell starts to run."""
        self._count += 1
        with self.runtime.transaction("daemon"):
            hash_ = source_hash(self.document.cell(key).source)
            self.writer.begin(key, f"execution-{self._count}", hash_, by, 1.0, 1.0)

    def print(self, key: CellKey, text: str) -> None:
        """It prints, each time an output of its own."""
        with self.runtime.transaction("daemon"):
            self.writer.append_output(
                key, encode(StreamManifest(name="stdout", text=ContentRef(inline=text)))
            )

    def finish(self, key: CellKey) -> None:
        """It ends."""
        with self.runtime.transaction("daemon"):
            self.writer.set_execution(key, status="ok", count=self._count, ended=2.0)

    def connection(self, state: ConnectionState, waiting: int = 0, detail: str = "") -> None:
        self._status = ConnectionStatus(state, waiting, detail)
        self._observers.deliver(StatusChanged(self._status))

    def join(self, peer: str, somebody: Somebody | None) -> None:
        if somebody is None:
            self.peers.pop(peer, None)
        else:
            self.peers[peer] = somebody
        self._observers.deliver(PresenceChanged(peer, somebody))  # type: ignore[arg-type]

    def tell(self, event: PeerEvent) -> None:
        self._observers.deliver(event)


def memory_session(cells: Sequence[NewCell | str], **options: Any) -> MemorySession:
    """A session with these cells (text: code cells), a saved file and no kernel."""
    document = NotebookDocument.create("room", metadata={"language_info": {"name": "python"}})
    document.insert_cells(
        0, [NewCell("code", cell) if isinstance(cell, str) else cell for cell in cells], "file"
    )
    runtime = RuntimeDocument.create("host")
    session = MemorySession(document, runtime, **options)
    session.file(saved_at=1.0)
    return session
