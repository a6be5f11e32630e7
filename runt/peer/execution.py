"""Executions: what became of a run, derived from the runtime document only.

There is no second delivery path: no event or response carries output. The invariant: an execution resolves
once, with the outputs that it had when it ended, also if the cell has been run again since.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable
from typing import Any, Final, Literal

import msgspec

from runt.errors import RequestError, RuntError
from runt.notebook.cell import CellKey
from runt.notebook.manifests import decode
from runt.notebook.runtime_document import ManifestHash, OutputEntry, RuntimeChange, RuntimeDocument
from runt.peer.output import Output
from runt.peer.output_stream import OutputStream, StreamEvent
from runt.store.blobs import BlobStore

Status = Literal["waiting", "running", "ok", "error", "cancelled"]
FINAL: Final = frozenset({"ok", "error", "cancelled"})

GRACE_S: Final = 0.25
"""An execution that is neither queued nor current for this long was replaced: the daemon is asked what became
of it.
Leaving the queue and becoming current may be two updates."""

Ask = Callable[[str], Awaitable[Any]]


class Result(msgspec.Struct, frozen=True):
    """What a run came to. Reading text of stored outputs raises `BlobMissing` if it is lost."""

    id: str
    cell: CellKey
    status: Status
    execution_count: int | None
    outputs: tuple[Output, ...]

    @property
    def ok(self) -> bool:
        """Whether it ended without an error."""
        return self.status == "ok"

    @property
    def stdout(self) -> str:
        """All text that was written to standard output."""
        return self._text("stdout")

    @property
    def stderr(self) -> str:
        """All text that was written to standard error."""
        return self._text("stderr")

    @property
    def error(self) -> Output | None:
        """The error output, if there is one."""
        return next((output for output in self.outputs if output.output_type == "error"), None)

    def _text(self, name: str) -> str:
        return "".join(
            output.text for output in self.outputs if output.output_type == "stream" and output.name == name
        )


class Execution:
    """One run of one cell. Made by `Notebook.execute`."""

    def __init__(self, id_: str, cell: CellKey, blobs: BlobStore) -> None:
        self.id = id_
        self.cell = cell
        self.status: Status = "waiting"
        self._blobs = blobs
        self._entries: list[OutputEntry] = []
        self._done: asyncio.Future[Result] = asyncio.get_running_loop().create_future()
        self._moved = asyncio.Event()
        # Not everybody asks for the result; an error that nobody reads must not be reported as lost.
        self._done.add_done_callback(lambda done: done.cancelled() or done.exception())

    @property
    def done(self) -> bool:
        """Whether it has ended (or cannot be followed any more)."""
        return self._done.done()

    async def result(self, timeout: float | None = None) -> Result:  # noqa: ASYNC109 - the public API's word
        """Wait until it has ended; ``timeout`` in seconds.

        Raises:
            TimeoutError: it has not ended in time; it goes on.
            RequestError: ``not_found``: it was replaced and the daemon does not keep it.
            ConnectionLost: the daemon was stopped or cannot be reached.
        """
        async with asyncio.timeout(timeout):
            return await asyncio.shield(self._done)

    async def stream(self) -> AsyncIterator[StreamEvent]:
        """Yield what the run prints and shows, as it arrives, until it has ended. Raises as `result`."""
        reader = OutputStream(self._blobs)
        while not self._done.done():
            self._moved.clear()
            for event in reader.read(self._entries):
                yield event
            if not self._done.done():
                await self._moved.wait()
        self._done.result()
        for event in reader.read(self._entries):
            yield event

    def _show(self, runtime: RuntimeDocument) -> bool:
        """Take what the document says now; False when our execution is not the cell's current one."""
        view = runtime.execution(self.cell)
        if view is None or view.id != self.id:
            return False
        self._entries = runtime.outputs(self.cell)
        if view.status in FINAL:
            self._finish(view.status, view.count)
        elif view.status == "running":
            self.status = "running"
        self._moved.set()
        return True

    def _finish(self, status: Any, count: int | None) -> None:
        self.status = status
        if not self._done.done():
            outputs = tuple(Output(entry, self._blobs) for entry in self._entries)
            self._done.set_result(Result(self.id, self.cell, status, count, outputs))
        self._moved.set()

    def _fail(self, error: RuntError) -> None:
        if not self._done.done():
            self._done.set_exception(error)
        self._moved.set()


class Executions:
    """The runs that one notebook waits for. ``ask`` is the request for the result of a replaced execution."""

    def __init__(self, blobs: BlobStore, ask: Ask) -> None:
        self._blobs = blobs
        self._ask = ask
        self._by_cell: dict[CellKey, list[Execution]] = {}
        self._tasks: set[asyncio.Task[None]] = set()
        self._timers: dict[str, asyncio.TimerHandle] = {}

    def begin(self, id_: str, cell: CellKey, runtime: RuntimeDocument) -> Execution:
        """Follow an execution that the daemon has accepted."""
        for known in self._by_cell.get(cell, ()):
            if known.id == id_:
                return known
        execution = Execution(id_, cell, self._blobs)
        self._by_cell.setdefault(cell, []).append(execution)
        self._look([cell], runtime)
        return execution

    def changed(self, change: RuntimeChange, runtime: RuntimeDocument) -> None:
        """The document changed."""
        if not self._by_cell:
            return
        self._look(list(self._by_cell) if change.queue else change.executions, runtime)

    def replaced(self, runtime: RuntimeDocument) -> None:
        """The document is another object."""
        self._look(list(self._by_cell), runtime)

    def fail(self, error: RuntError) -> None:
        """Nothing will be heard of them any more."""
        for executions in self._by_cell.values():
            for execution in executions:
                execution._fail(error)
        self._by_cell.clear()
        self._stop_timers()

    async def close(self, error: RuntError) -> None:
        """Stop following."""
        self.fail(error)
        tasks = list(self._tasks)
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    def _look(self, cells: Iterable[CellKey], runtime: RuntimeDocument) -> None:
        queued: set[str] | None = None
        for cell in cells:
            executions = self._by_cell.get(cell)
            if executions is None:
                continue
            for execution in list(executions):
                if execution._show(runtime):
                    self._found(execution)
                    if execution.done:
                        self._forget(execution)
                    continue
                if queued is None:
                    queued = {entry.execution for entry in runtime.queue}
                if execution.id in queued:
                    self._found(execution)
                elif execution.id not in self._timers:
                    loop = asyncio.get_running_loop()
                    self._timers[execution.id] = loop.call_later(GRACE_S, self._missing, execution)

    def _found(self, execution: Execution) -> None:
        timer = self._timers.pop(execution.id, None)
        if timer is not None:
            timer.cancel()

    def _missing(self, execution: Execution) -> None:
        self._timers.pop(execution.id, None)
        task = asyncio.create_task(self._inquire(execution), name=f"result of {execution.id}")
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _inquire(self, execution: Execution) -> None:
        """Ask the daemon about an execution that is nowhere in the document."""
        try:
            answer = await self._ask(execution.id)
            status = answer["status"]
            if status not in FINAL:
                return  # the document will tell
            execution._entries = [_entry(output) for output in answer.get("outputs", [])]
            execution._finish(status, answer.get("count"))
        except RequestError as error:
            if error.code == "unknown_method":
                error = RequestError(
                    "not_found",
                    f"execution {execution.id} was replaced by a later run of its cell and is not kept",
                )
            execution._fail(error)
        except RuntError as error:
            execution._fail(error)
        except (KeyError, TypeError, ValueError) as error:
            execution._fail(RequestError("not_found", f"the daemon's answer was not understood: {error!r}"))
        self._forget(execution)

    def _forget(self, execution: Execution) -> None:
        executions = self._by_cell.get(execution.cell, [])
        if execution in executions:
            executions.remove(execution)
        if not executions:
            self._by_cell.pop(execution.cell, None)

    def _stop_timers(self) -> None:
        for timer in self._timers.values():
            timer.cancel()
        self._timers.clear()


def _entry(output: str) -> OutputEntry:
    """An entry of ``outputs`` in an answer: manifest as JSON text, or the hash of a stored one."""
    return decode(output) if output.startswith("{") else ManifestHash(output)
