"""A room's kernel: the queue of runs, the supervisor's records, and what R says of both.

It decides when what runs; folding decides what records mean. The invariants: a run is sent only after the
journal has it as running; the R updates of a batch of records, the fold state and with it the supervisor's
offset are one append; an offset is acknowledged to the supervisor only when that append is durable.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
import secrets
import shutil
import signal
import time
from collections import OrderedDict, deque
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import msgspec

from runt.daemon import folding
from runt.daemon.execution_queue import ExecutionQueue, QueueFull, Run
from runt.daemon.folding_ops import (
    Effect,
    ExecutionDone,
    FinishExecution,
    InputRequested,
    KernelDied,
    KernelReady,
    KernelStarted,
    Notice,
    RuntimeOp,
    SetNextInput,
)
from runt.daemon.folding_state import FoldState, decode_state, encode_state
from runt.daemon.kernel_choice import choose_kernel
from runt.daemon.refusals import RequestRefused
from runt.daemon.runtime_operations import apply_operations, output_entries
from runt.errors import ConnectionLost, KernelNotFound, RuntError, StoreError
from runt.errors import KernelDied as KernelDiedError
from runt.notebook.cell import CellKey
from runt.notebook.runtime_document import LiveStream, QueueEntry
from runt.notebook.source_hash import source_hash
from runt.protocol.messages import Event
from runt.runtime.supervisor_protocol import IOPUB, LIFECYCLE, Record
from runt.runtime.wire import DELIMITER
from runt.store.journal import ExecutionRow

if TYPE_CHECKING:
    from runt.daemon.notebook_channel import NotebookChannel
    from runt.daemon.requests import KernelStartParams, RunParams
    from runt.daemon.room import Room
    from runt.daemon.room_loading import Put
    from runt.daemon.settings import Settings
    from runt.runtime.kernel import KernelProcess
    from runt.store.blobs import BlobStore
    from runt.store.places import Places

log = logging.getLogger(__name__)

STREAM_INTERVAL_S = 1 / 30  # a burst of stream output reaches the document at most so often
MAX_BUFFERED_RECORDS = 4096  # of a burst; then it is folded at once
PROBE_INTERVAL_S = 0.5
ACKNOWLEDGE_INTERVAL_S = 1.0
SHUTDOWN_TIMEOUT_S = 15.0  # the supervisor needs about three graces in the worst case
REATTACH_DELAYS_S = (0.05, 0.2, 1.0)
REMEMBERED_EXECUTIONS = 4096  # ids that were answered: a repeated request must not run twice
PAUSE_BACKLOG_BYTES = 4 << 20  # of the journal: above this the kernel's records wait on disk
ALIVE = frozenset({"starting", "ready", "restarting"})


class KernelRoom:
    """The kernel side of one room."""

    def __init__(self, room: Room, places: Places, blobs: BlobStore, put: Put, settings: Settings) -> None:
        self._room = room
        self._places = places
        self._blobs = blobs
        self._put = put
        self._settings = settings
        self._queue = ExecutionQueue()
        self._fold = FoldState()
        self._kernel: KernelProcess | None = None
        self._pid = 0
        self._lock = asyncio.Lock()  # one start, restart or shutdown at a time
        self._starting: asyncio.Task[None] | None = None
        self._last: KernelStartParams | None = None
        self._info: dict[str, Any] | None = None  # language_info to be written at the first run
        self._known: OrderedDict[str, None] = OrderedDict()
        self._inputs: dict[str, InputRequested] = {}
        self._buffer: list[Record] = []
        self._folded_at = float("-inf")
        self._timer: asyncio.TimerHandle | None = None
        self._tick_timer: asyncio.TimerHandle | None = None
        self._replay_end: int | None = None
        self._ending = False  # a loss of the supervisor is expected
        self._offsets: deque[tuple[int, int]] = deque()  # (journal seq, supervisor offset)
        self._acknowledge_timer: asyncio.TimerHandle | None = None
        self._durable_offset = 0

    # -- what others see --------------------------------------------------------------------------

    @property
    def alive(self) -> bool:
        """A kernel runs or is being started, or runs wait for one."""
        return self._room.runtime.kernel.state in ALIVE or len(self._queue) > 0

    @property
    def has_supervisor(self) -> bool:
        return self._kernel is not None and self._kernel.attached

    def describe(self) -> dict[str, Any]:
        view = self._room.runtime.kernel
        running = self._queue.running
        return {
            "room": self._room.id,
            "path": str(self._room.file.path) if self._room.file.path else None,
            "state": view.state,
            "activity": view.activity,
            "name": view.name,
            "language": view.language,
            "pid": self._pid or None,
            "error": view.error,
            "running": running.cell if running is not None else None,
            "queued": len(self._queue.waiting),
        }

    def joined(self, channel: NotebookChannel) -> None:
        """Show a newcomer the questions that are open."""
        for request in self._inputs.values():
            channel.event(_input_event(request))

    # -- runs -------------------------------------------------------------------------------------

    def submit(self, runs: Sequence[RunParams], *, by: str, request: str) -> Any:
        """Put runs in line; start a kernel if there is none. Returns the answer, or an awaitable of it.

        Raises:
            RequestRefused: source_changed, not_found (a cell), kernel_dead, busy. Nothing was put in line.
        """
        accepted, skipped = self._capture(runs, by, request)
        state = self._room.runtime.kernel.state
        new = [run for run in accepted if not self._is_known(run)]
        if state == "dead" and new:
            error = self._room.runtime.kernel.error
            raise RequestRefused("kernel_dead", f"the kernel is dead ({error})", hint="restart the kernel")
        try:
            ids = {run.execution: self._put_in_line(run) for run in new}
        except QueueFull as error:
            raise RequestRefused("busy", "too many runs wait") from error
        for run in skipped:
            self._skip(run)
        answer = {"executions": [ids.get(run.execution, run.execution) for run in runs]}
        if new and state not in ALIVE:
            return self._start_for_runs(answer)
        self._dispatch()
        return answer

    def _capture(self, runs: Sequence[RunParams], by: str, request: str) -> tuple[list[Run], list[Run]]:
        """Pin each run to the text in the document; returns those of code cells, and the others."""
        now = time.time()
        captured, others = [], []
        for run in runs:
            try:
                cell = self._room.notebook.cell(CellKey(run.cell))
            except KeyError:
                raise RequestRefused("not_found", f"no cell {run.cell}", data={"cell": run.cell}) from None
            source = cell.source
            if cell.type != "code":
                others.append(Run(run.execution, run.cell, run.source_hash, "", by, request, now))
                continue
            if source_hash(source) != run.source_hash and not self._seen(run.execution, run.cell):
                raise RequestRefused(
                    "source_changed", "the cell was changed by somebody else", hint="look and run it again",
                    data={"cell": run.cell},
                )  # fmt: skip
            captured.append(Run(run.execution, run.cell, run.source_hash, source, by, request, now))
        return captured, others

    def _skip(self, run: Run) -> None:
        """Text needs no kernel: whoever asks for the result learns that all went well."""
        self._room.log.execution(_row(run, "ok", ended=time.time()))

    def _seen(self, execution: str, cell: str) -> bool:
        current = self._room.runtime.execution(CellKey(cell))
        return (
            execution in self._known
            or self._queue.find(execution) is not None
            or (current is not None and current.id == execution)
        )

    def _is_known(self, run: Run) -> bool:
        return self._seen(run.execution, run.cell)

    def _put_in_line(self, run: Run) -> str:
        submitted = self._queue.submit(run)
        self._remember(run.execution)
        if not submitted.added:
            return submitted.execution
        self._room.log.execution(_row(run, "queued"))
        with self._room.runtime_changes() as writer:
            if submitted.replaced is None:
                writer.enqueue(_entry(run))
            else:
                self._room.log.execution(_row(submitted.replaced, "cancelled", ended=time.time()))
                writer.clear_queue()
                for waiting in self._queue.waiting:
                    writer.enqueue(_entry(waiting))
        return run.execution

    def _remember(self, execution: str) -> None:
        self._known[execution] = None
        if len(self._known) > REMEMBERED_EXECUTIONS:
            self._known.popitem(last=False)

    async def _start_for_runs(self, answer: object) -> object:
        """Wait for the start that the runs need, so that a kernel that cannot be found is refused by name."""
        await self._begin_start()
        return answer

    def _begin_start(self) -> asyncio.Task[None]:
        if self._starting is None or self._starting.done():
            self._starting = self._room.tasks.start(self._start_default(), "start kernel", awaited=True)
        return self._starting

    async def _start_default(self) -> None:
        async with self._lock:
            if self._room.runtime.kernel.state not in ALIVE:
                await self._start(self._last)

    def _dispatch(self) -> None:
        """Send the next run, if the kernel is ready and nothing runs."""
        kernel = self._kernel
        if kernel is None or not self._fold.ready or self._replay_end is not None:
            return
        run = self._queue.start()
        if run is None:
            return
        self._write_language()
        started = time.time()
        self._fold = folding.begin(self._fold, run.execution, run.cell)
        with self._room.runtime_changes() as writer:
            writer.dequeue(run.execution)
            writer.begin(CellKey(run.cell), run.execution, run.source_hash, run.by, run.queued, started)
        self._room.log.execution(_row(run, "running", started=started))
        self._journal_fold()
        self._room.file.outputs_changed()
        self._room.log.after_commit(lambda: self._send(kernel, run))
        self._room.log.flush()

    def _send(self, kernel: KernelProcess, run: Run) -> None:
        # Not attached: it is sent again after the next attach, since no SENT record will be there.
        kernel.execute(run.execution, run.source)

    def cancel(self, executions: Sequence[str] | None) -> list[str]:
        """Take waiting runs out of the line; returns their ids."""
        return self._cancelled(self._queue.cancel(executions), "cancelled")

    def _cancelled(self, runs: Sequence[Run], reason: str) -> list[str]:
        if not runs:
            return []
        ids = [run.execution for run in runs]
        now = time.time()
        with self._room.runtime_changes() as writer:
            if self._queue.waiting:
                for execution in ids:
                    writer.dequeue(execution)
            else:
                writer.clear_queue()
        for run in runs:
            self._room.log.execution(_row(run, "cancelled", ended=now))
        event = Event(name="cancelled", data={"executions": ids, "reason": reason})
        self._room.log.after_commit(lambda: self._room.event(event))
        return ids

    async def execution(self, id_: str) -> dict[str, Any]:
        """What became of an execution. Raises RequestRefused(not_found)."""
        self._room.log.flush()
        await self._room.journal.flush()
        row = await self._room.journal.execution(id_)
        if row is None:
            raise RequestRefused("not_found", f"no execution {id_}")
        status = "waiting" if row.status == "queued" else row.status
        return {"status": status, "count": row.count, "outputs": row.outputs, "cell": row.cell}

    def clear_outputs(self, cells: Sequence[str] | None) -> None:
        """Remove the outputs of cells (of all for None); an execution that runs goes on."""
        keys = [CellKey(cell) for cell in cells] if cells is not None else self._room.runtime.execution_keys()
        operations: list[RuntimeOp] = []
        plain = []
        for key in keys:
            if self._room.runtime.execution(key) is None:
                continue
            if key in self._fold.current:
                self._fold, cleared = folding.cleared(self._fold, key)
                operations += cleared
            plain.append(key)
        if not plain:
            return
        running = self._queue.running
        with self._room.runtime_changes() as writer:
            apply_operations(writer, operations)
            for key in plain:
                writer.clear_outputs(key)
                if running is None or running.cell != key:
                    writer.set_execution(key, count=None)
        self._journal_fold()
        self._room.file.outputs_changed(ended=True)

    def answer_input(self, request: str, value: str) -> bool:
        """Answer a question of the kernel; False if somebody else did, or it is over."""
        asked = self._inputs.pop(request, None)
        if asked is None or self._kernel is None:
            return False
        kernel = self._kernel

        def answer() -> None:
            kernel.input_reply(asked.header, value)

        self._room.log.after_commit(answer)
        self._room.event(Event(name="input_done", data={"request": request}))
        return True

    # -- start, interrupt, restart, shutdown ------------------------------------------------------

    async def start(self, params: KernelStartParams) -> None:
        """Start a kernel, or join the one that runs. Another name replaces it. Raises KernelNotFound,
        RuntError.
        """
        self._last = params
        async with self._lock:
            view = self._room.runtime.kernel
            if view.state in ALIVE:
                if not params.name or params.name == view.name:
                    return
                await self._shut_down()
            await self._start(params)

    async def _start(self, params: KernelStartParams | None) -> None:
        try:
            await self._end_supervisor()
            await self._start_unguarded(params)
        except (RuntError, OSError) as error:
            self._start_failed(error)
            raise

    async def _start_unguarded(self, params: KernelStartParams | None) -> None:
        self._set_kernel(state="starting", activity="", error=None)
        asked = params.name if params is not None else None
        spec = await asyncio.to_thread(choose_kernel, self._room.notebook.metadata, asked)
        from runt.runtime.kernel import KernelProcess  # zmq: not needed to listen

        directory = self._places.supervisors / f"{self._room.id}.{secrets.token_hex(3)}"
        self._fold = FoldState()
        self._offsets.clear()
        self._durable_offset = 0
        self._set_kernel(name=spec.name, language=spec.language, supervisor=directory.name, env_source="")
        self._room.log.side("kernel", directory.name.encode())
        self._journal_fold()
        self._room.log.flush()
        await self._room.journal.flush()
        kernel = KernelProcess(self._places.kernel_sockets)
        await kernel.start(
            directory,
            spec,
            self._working_directory(params),
            self._environment(params),
            umask=params.umask if params is not None else None,
            tz=params.tz if params is not None else None,
        )
        self._ending = False
        self._kernel = kernel
        await kernel.attach(directory, 0, self._records, self._lost)
        self._info = {"kernelspec": {
            "display_name": spec.display_name, "language": spec.language, "name": spec.name,
        }}  # fmt: skip
        self._room.tasks.start(self._probe(kernel), "probe kernel")

    def _start_failed(self, error: Exception) -> None:
        text = error.message if isinstance(error, RuntError) else str(error)
        log.warning("room %s: no kernel: %s", self._room.id, text)
        state = "none" if isinstance(error, KernelNotFound) else "dead"
        if isinstance(error, KernelDiedError) and error.hint:
            log.warning("room %s: the supervisor's log ends: %s", self._room.id, error.hint)
        self._kernel = None
        self._set_kernel(state=state, activity="", error=str(error) if state == "none" else text)
        self._cancelled(self._queue.cancel(), text)

    def _working_directory(self, params: KernelStartParams | None) -> str:
        path = self._room.file.path
        for candidate in (
            params.cwd if params else None,
            str(path.parent) if path else None,
            str(Path.home()),
        ):
            if candidate and Path(candidate).is_absolute() and Path(candidate).is_dir():
                return candidate
        return "/"

    @staticmethod
    def _environment(params: KernelStartParams | None) -> dict[str, str]:
        return dict(params.env) if params is not None and params.env is not None else dict(os.environ)

    async def _probe(self, kernel: KernelProcess) -> None:
        """Ask until it answers on both channels; a kernel that dies first says so by itself."""
        while self._kernel is kernel and not self._fold.ready and self._room.runtime.kernel.state in ALIVE:
            await asyncio.sleep(PROBE_INTERVAL_S)
            if not self._fold.ready:
                kernel.probe()

    async def interrupt(self) -> None:
        """Interrupt what runs. Raises RequestRefused(no_kernel)."""
        if self._kernel is None or not self._kernel.interrupt():
            if self._cancelled(self._queue.cancel(), "interrupted"):
                return
            raise RequestRefused("no_kernel", "no kernel runs")

    async def restart(self) -> None:
        """End the kernel and start it again; the document keeps its outputs. Raises KernelNotFound,
        RuntError.
        """
        async with self._lock:
            self._cancelled(self._queue.cancel(), "the kernel was restarted")
            kernel = self._kernel
            if kernel is None or not kernel.attached:
                await self._start(self._last)
                return
            self._set_kernel(state="restarting", activity="", error=None)
            kernel.restart()
            self._room.tasks.start(self._probe(kernel), "probe kernel")

    async def shutdown(self) -> None:
        """End the kernel and its supervisor; does nothing when there is none."""
        async with self._lock:
            await self._shut_down()

    async def _shut_down(self) -> None:
        self._cancelled(self._queue.cancel(), "the kernel was shut down")
        if self._kernel is None:
            if self._room.runtime.kernel.state != "none":
                self._set_kernel(state="stopped", activity="", error=None)
            return
        await self._end_supervisor()
        self._set_kernel(state="stopped", activity="", error=None)
        log.info("room %s: kernel stopped", self._room.id)

    async def _end_supervisor(self) -> None:
        """End the supervisor that we have, with whatever kernel it still has; its directory goes too."""
        kernel, self._ending = self._kernel, True
        if kernel is None:
            return
        kernel.shutdown()
        try:
            async with asyncio.timeout(SHUTDOWN_TIMEOUT_S):
                await kernel.wait_closed()
        except TimeoutError:
            log.error("room %s: the supervisor does not end", self._room.id)  # noqa: TRY400 - no traceback to show
            self._kill_remains(kernel.directory)
        self._fold_now()
        if self._queue.running is not None:
            self._supervisor_is_gone("the kernel was shut down", expected=True)
        kernel.close()
        self._kernel = None
        self._pid = 0
        self._room.log.side("kernel", None)
        self._room.log.side("fold", None)
        self._fold = FoldState()
        directory = kernel.directory
        self._room.log.after_commit(lambda: self._remove(directory))

    def _remove(self, directory: Path) -> None:
        if not self._room.closing:
            self._room.tasks.start(
                asyncio.to_thread(shutil.rmtree, directory, True), "remove kernel directory"
            )
        else:
            shutil.rmtree(directory, ignore_errors=True)

    def _set_kernel(self, **fields: str | None) -> None:
        with self._room.runtime_changes() as writer:
            writer.set_kernel(**fields)

    # -- records ----------------------------------------------------------------------------------

    def _records(self, records: Sequence[Record]) -> None:
        """Take journal records. A burst of stream output is folded at most 30 times a second, all else at
        once.
        """
        self._buffer += records
        if self._room.journal.backlog_bytes > PAUSE_BACKLOG_BYTES and self._kernel is not None:
            self._kernel.pause()
            self._room.log.after_commit(self._resume)
        wait = self._folded_at + STREAM_INTERVAL_S - self._room.loop.time()
        if wait <= 0 or len(self._buffer) > MAX_BUFFERED_RECORDS or not all(map(_is_stream, records)):
            self._fold_now()
        elif self._timer is None:
            self._timer = self._room.loop.call_later(wait, self._fold_now)

    def _resume(self) -> None:
        if self._kernel is not None:
            self._kernel.resume()

    def _fold_now(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        records, self._buffer = self._buffer, []
        if not records or self._kernel is None:
            return
        self._folded_at = self._room.loop.time()
        wire = self._kernel.wire
        self._take(
            lambda: folding.fold(self._fold, records, self._put, wire=wire, get=self._blobs.get),
            records[-1].end,
        )
        if self._replay_end is not None and self._fold.offset >= self._replay_end:
            self._replayed()

    def _take(self, work: Callable[[], folding.Folded], offset: int | None = None) -> None:
        """Fold and carry out what folding asks for, in one append. A batch that cannot be folded is
        skipped.
        """
        try:
            state, operations, effects = work()
            with self._room.runtime_changes() as writer:
                apply_operations(writer, operations)
        except (KeyError, IndexError, ValueError, TypeError, RuntError) as error:
            # A bug or lost blob must not make the daemon replay the same records for ever.
            log.exception("room %s: records of the kernel were skipped", self._room.id)
            self._room.notice(f"some output of the kernel was lost: {error!r}")
            if offset is not None:
                self._fold.offset = max(self._fold.offset, offset)
            return
        self._fold = state
        self._journal_fold()
        if operations:
            self._room.file.outputs_changed()
        for operation in operations:
            if isinstance(operation, FinishExecution):
                self._execution_finished(operation)
        for effect in effects:
            self._effect(effect)
        self._room.log.flush()
        if folding.needs_tick(self._fold) and self._tick_timer is None:
            self._tick_timer = self._room.loop.call_later(folding.QUIET_S + 0.05, self._tick)

    def _tick(self) -> None:
        self._tick_timer = None
        self._take(lambda: folding.tick(self._fold, time.time(), self._put, get=self._blobs.get))

    def _journal_fold(self) -> None:
        self._room.log.side("fold", encode_state(self._fold))
        offset = self._fold.offset
        self._room.log.after_commit(lambda: self._offsets.append((self._room.journal.committed, offset)))

    def durable(self, seq: int) -> None:
        """The journal is on disk up to ``seq``: what was folded until then may be dropped by the
        supervisor.
        """
        while self._offsets and self._offsets[0][0] <= seq:
            self._durable_offset = self._offsets.popleft()[1]
            if self._acknowledge_timer is None:
                self._acknowledge_timer = self._room.loop.call_later(
                    ACKNOWLEDGE_INTERVAL_S, self._acknowledge_soon
                )

    def _acknowledge_soon(self) -> None:
        self._acknowledge_timer = None
        if self._kernel is not None and not self._room.closing:
            self._room.tasks.start(self._acknowledge(self._kernel, self._durable_offset), "acknowledge")

    async def _acknowledge(self, kernel: KernelProcess, offset: int) -> None:
        try:
            await asyncio.to_thread(self._blobs.sync)
        except StoreError as error:
            log.warning("room %s: blobs are not durable: %s", self._room.id, error)
            return
        kernel.acknowledge(offset)

    # -- effects ----------------------------------------------------------------------------------

    def _effect(self, effect: Effect) -> None:
        match effect:
            case ExecutionDone(execution=execution, status=status):
                self._execution_done(execution, status)
            case KernelStarted(pid=pid):
                self._pid = pid
            case KernelReady(info=info):
                self._ready(info)
            case KernelDied(reason=reason, expected=expected):
                self._died(reason, expected)
            case InputRequested():
                self._inputs[effect.request] = effect
                self._room.log.after_commit(lambda: self._room.event(_input_event(effect)))
            case SetNextInput():
                self._set_next_input(effect)
            case Notice(text=text):
                log.warning("room %s: kernel: %s", self._room.id, text)
                self._room.notice(text)
            case _:
                pass  # sends are in the fold state; replies and late output belong to later versions

    def _execution_finished(self, operation: FinishExecution) -> None:
        """Keep the execution with its outputs, so that it is found by id after its cell has run again."""
        key = CellKey(operation.cell)
        view = self._room.runtime.execution(key)
        if view is None or view.id != operation.execution:
            return
        run = self._queue.find(operation.execution)
        self._room.log.execution(
            ExecutionRow(
                id=view.id, cell=operation.cell, status=operation.status, source=run.source if run else "",
                source_hash=view.source_hash, by=view.by, request=run.request if run else "", count=view.count,
                queued=view.queued, started=view.started, ended=operation.ended,
                outputs=output_entries(self._room.runtime, key),
            )
        )  # fmt: skip
        self._room.file.outputs_changed(ended=True)

    def _execution_done(self, execution: str, status: str) -> None:
        for request, asked in list(self._inputs.items()):
            if asked.execution == execution:
                del self._inputs[request]
                self._room.event(Event(name="input_done", data={"request": request}))
        cancelled = self._queue.finish(
            execution, failed=status != "ok", stop_on_error=self._settings.current.stop_on_error
        )
        self._cancelled(cancelled, "an earlier cell failed")
        self._dispatch()

    def _ready(self, info: Any) -> None:
        language = info.get("language_info") if isinstance(info, dict) else None
        self._info = {**(self._info or {}), "language_info": language}
        fields: dict[str, str | None] = {
            "state": "ready",
            "error": None,
            "activity": self._fold.activity or "idle",
        }
        if isinstance(language, dict) and isinstance(language.get("name"), str):
            fields["language"] = language["name"]
        self._set_kernel(**fields)
        self._dispatch()

    def _died(self, reason: str, expected: str) -> None:
        self._pid = 0
        if expected == "restart":
            self._set_kernel(state="restarting", activity="")
            return
        if expected == "shutdown":
            return  # said when the supervisor has gone, too
        log.warning("room %s: the kernel died: %s", self._room.id, reason)
        self._set_kernel(state="dead", activity="", error=f"the kernel died ({reason})")
        self._cancelled(self._queue.cancel(), "the kernel died")

    def _write_language(self) -> None:
        """At the first run: the kernel's language_info, and the kernelspec if the notebook names none (as
        nbclient).
        """
        info, self._info = self._info, None
        if info is None:
            return
        notebook = self._room.notebook
        metadata = notebook.metadata
        with notebook.transaction("daemon"):
            if "kernelspec" not in metadata and "kernelspec" in info:
                notebook.set_metadata("kernelspec", info["kernelspec"], "daemon")
            language = info.get("language_info")
            if isinstance(language, dict) and metadata.get("language_info") != language:
                notebook.set_metadata("language_info", language, "daemon")

    def _set_next_input(self, effect: SetNextInput) -> None:
        notebook = self._room.notebook
        key = CellKey(effect.cell)
        if effect.replace and key in notebook:
            notebook.cell(key).set_source(effect.text, "daemon")
            return
        index = notebook.keys().index(key) + 1 if key in notebook else len(notebook)
        notebook.insert_cell(index, "code", effect.text, origin="daemon")

    # -- the supervisor's loss, and finding it again ----------------------------------------------

    def _lost(self, reason: str) -> None:
        """The supervisor's socket closed: it ended, or another daemon attached."""
        self._fold_now()
        if self._ending or self._kernel is None or self._room.closing:
            return
        log.warning("room %s: lost the supervisor: %s", self._room.id, reason)
        self._room.tasks.start(self._attach_again(self._kernel), "attach again")

    async def _attach_again(self, kernel: KernelProcess) -> None:
        for delay in REATTACH_DELAYS_S:
            await asyncio.sleep(delay)
            if self._kernel is not kernel or self._ending:
                return
            try:
                await self._attach(kernel, kernel.directory)
            except (ConnectionLost, OSError, msgspec.MsgspecError):
                continue
            return
        if self._kernel is kernel:
            self._supervisor_is_gone("the supervisor died")
            self._kill_remains(kernel.directory)

    async def _attach(self, kernel: KernelProcess, directory: Path) -> None:
        """Attach and replay. Raises ConnectionLost, OSError, msgspec.DecodeError."""
        self._replay_end = 1 << 62  # nothing is dispatched before the replay's end is known and reached
        hello = await kernel.attach(directory, self._fold.offset, self._records, self._lost)
        self._replay_end = hello.end
        if hello.kernel_pid:
            self._pid = hello.kernel_pid
        if self._fold.offset >= hello.end:
            self._replayed()

    def _replayed(self) -> None:
        """Everything from before is folded: send what was running and never reached the supervisor."""
        self._replay_end = None
        kernel = self._kernel
        if kernel is None:
            return
        running = self._queue.running
        for execution in self._fold.running:
            if running is not None and execution.id == running.execution and not execution.sent:
                log.info("room %s: a run is sent again", self._room.id)
                self._send(kernel, running)
        if not self._fold.ready:
            self._room.tasks.start(self._probe(kernel), "probe kernel")
        self._dispatch()

    def _supervisor_is_gone(self, reason: str, *, expected: bool = False) -> None:
        """End what was running: nobody will tell us more about it."""
        kernel, self._kernel = self._kernel, None
        end = self._fold.offset
        words = (
            [b"stopping shutdown", b"failed " + reason.encode()]
            if expected
            else [b"failed " + reason.encode()]
        )
        records = [Record(end + at + 1, LIFECYCLE, time.time(), [word]) for at, word in enumerate(words)]
        from runt.runtime.wire import JupyterWire

        wire = kernel.wire if kernel is not None else JupyterWire(b"")
        self._take(lambda: folding.fold(self._fold, records, self._put, wire=wire, get=self._blobs.get))
        running = self._queue.running
        if running is not None:
            self._execution_done(running.execution, "error")
        self._kernel = kernel if expected else None

    def _kill_remains(self, directory: Path) -> None:
        """End the process group of a kernel whose supervisor is gone."""
        from runt.runtime.kernel_file import read_kernel_file
        from runt.runtime.supervisor_directory import is_running

        try:
            file = read_kernel_file(directory)
        except (OSError, msgspec.MsgspecError):
            return
        for pid, started in (
            (file.supervisor_pid, file.supervisor_started),
            (file.kernel_pid, file.kernel_started),
        ):
            if is_running(pid, started, file.boot_id):
                log.warning("room %s: ending process group %d", self._room.id, pid)
                with contextlib.suppress(ProcessLookupError):
                    os.killpg(pid, signal.SIGKILL)

    # -- opening and closing of the room ----------------------------------------------------------

    async def restore(self, side: dict[str, bytes]) -> None:
        """Find the kernel of a room that was open before, and go on where the journal ends."""
        view = self._room.runtime.kernel
        name = side.get("kernel", b"").decode()
        if not name:
            if view.state in ALIVE or self._room.runtime.queue or self._running_in_document():
                await self._restore_queue()
                self._supervisor_is_gone("the daemon stopped before the kernel was started")
                self._cancelled(self._queue.cancel(), "the daemon stopped")
                self._set_kernel(state="none", activity="", error=None)
            return
        from runt.runtime.kernel import KernelProcess

        directory = self._places.supervisors / name
        if "fold" in side:
            self._fold = decode_state(side["fold"], self._live_stream)
        await self._restore_queue()
        kernel = KernelProcess(self._places.kernel_sockets)
        self._kernel = kernel
        try:
            await self._attach(kernel, directory)
        except (ConnectionLost, OSError, msgspec.MsgspecError) as error:
            log.warning("room %s: no supervisor in %s: %s", self._room.id, name, error)
            self._replay_end = None
            self._kernel = None
            self._supervisor_is_gone("the supervisor died")
            self._kill_remains(directory)
            self._room.log.side("kernel", None)
            self._room.log.side("fold", None)
            self._fold = FoldState()
            self._remove(directory)
            return
        log.info("room %s: attached to its kernel, pid %d", self._room.id, self._pid)

    def _live_stream(self, cell: str, index: int) -> LiveStream | None:
        try:
            output = self._room.runtime.output(CellKey(cell), index)
        except IndexError:
            return None
        return output if isinstance(output, LiveStream) else None

    def _running_in_document(self) -> list[CellKey]:
        runtime = self._room.runtime
        return [
            key
            for key in runtime.execution_keys()
            if (view := runtime.execution(key)) is not None and view.status == "running"
        ]

    async def _restore_queue(self) -> None:
        runtime = self._room.runtime
        for key in self._running_in_document():
            view = runtime.execution(key)
            if view is None:
                continue
            row = await self._room.journal.execution(view.id)
            run = _run(row) if row is not None else Run(view.id, key, view.source_hash, "", view.by, "", 0.0)
            if self._queue.running is None:
                self._queue.resume(run)
                self._remember(run.execution)
            if view.id not in self._fold.executions:
                self._fold = folding.begin(self._fold, view.id, key)
        for entry in runtime.queue:
            row = await self._room.journal.execution(entry.execution)
            if row is None:
                with self._room.runtime_changes() as writer:
                    writer.dequeue(entry.execution)
                continue
            self._queue.submit(_run(row))
            self._remember(entry.execution)

    async def detach(self) -> None:
        """Let go of the supervisor; the kernel goes on. One whose kernel is dead is ended, it has no
        further use.
        """
        if self._kernel is not None and self._room.runtime.kernel.state not in ALIVE:
            await self._end_supervisor()
        for timer in (self._timer, self._tick_timer, self._acknowledge_timer):
            if timer is not None:
                timer.cancel()
        self._ending = True
        self._fold_now()
        if self._kernel is not None:
            self._kernel.close()
            self._kernel = None


def _is_stream(record: Record) -> bool:
    """Whether a record is a stream message, as far as its header's bytes show: cheaper than decoding it."""
    if record.channel != IOPUB:
        return False
    frames = record.frames
    for at in range(min(len(frames) - 2, 3)):
        if frames[at] == DELIMITER:
            return b'"stream"' in frames[at + 2]
    return False


def _input_event(request: InputRequested) -> Event:
    return Event(
        name="input_request",
        data={
            "request": request.request,
            "execution": request.execution,
            "cell": request.cell,
            "prompt": request.prompt,
            "password": request.password,
        },
    )


def _entry(run: Run) -> QueueEntry:
    return QueueEntry(run.execution, CellKey(run.cell), run.source_hash, run.by, run.request)


def _row(run: Run, status: str, *, started: float | None = None, ended: float | None = None) -> ExecutionRow:
    return ExecutionRow(
        id=run.execution, cell=run.cell, status=status, source=run.source, source_hash=run.source_hash,
        by=run.by, request=run.request, queued=run.queued, started=started, ended=ended,
    )  # fmt: skip


def _run(row: ExecutionRow) -> Run:
    return Run(row.id, row.cell, row.source_hash, row.source, row.by, row.request, row.queued or 0.0)
