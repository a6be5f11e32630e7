"""The runs of a room: from a request, through the line, to an execution that is kept.

It talks to no kernel. The invariants: what is put in line is pinned to the text that the requester saw; the
line in R, the line here and the execution rows of the journal change in one burst; an execution id stands
for one run for ever.
"""

from __future__ import annotations

import time
from collections import OrderedDict
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from runt.daemon.execution_queue import ExecutionQueue, QueueFull, Run
from runt.daemon.folding_ops import FinishExecution
from runt.daemon.refusals import RequestRefused
from runt.daemon.runtime_operations import output_entries
from runt.notebook.cell import CellKey
from runt.notebook.runtime_document import QueueEntry
from runt.notebook.source_hash import source_hash
from runt.protocol.messages import Event
from runt.store.journal import ExecutionRow

if TYPE_CHECKING:
    from runt.daemon.requests import RunParams
    from runt.daemon.room import Room

REMEMBERED_EXECUTIONS = 4096  # ids that were accepted: a repeated request must not run twice

ENTRIES_PER_TRANSACTION = 256
"""Of the line in R. Adding to an array costs a step for each entry added in the same transaction."""


class Runs:
    """The line of one room and the executions that came out of it."""

    def __init__(self, room: Room) -> None:
        self._room = room
        self._queue = ExecutionQueue()
        self._known: OrderedDict[str, None] = OrderedDict()

    @property
    def running(self) -> Run | None:
        return self._queue.running

    @property
    def waiting(self) -> tuple[Run, ...]:
        return self._queue.waiting

    # -- into the line ----------------------------------------------------------------------------

    def capture(
        self, runs: Sequence[RunParams], by: str, request: str, *, allow_stdin: bool = True
    ) -> tuple[list[Run], list[Run]]:
        """Pin runs to the text in the document; returns those that are new, and those of cells without code.

        Raises:
            RequestRefused: not_found, source_changed (``data`` names the cell).
        """
        now = time.time()
        new, text = [], []
        for run in runs:
            try:
                cell = self._room.notebook.cell(CellKey(run.cell))
            except KeyError:
                raise RequestRefused("not_found", f"no cell {run.cell}", data={"cell": run.cell}) from None
            if self._seen(run):
                continue
            if cell.type != "code":
                text.append(Run(run.execution, run.cell, run.source_hash, "", by, request, now))
                continue
            source = cell.source
            if source_hash(source) != run.source_hash:
                raise RequestRefused(
                    "source_changed",
                    "the cell was changed by somebody else",
                    hint="look and run it again",
                    data={"cell": run.cell},
                )
            new.append(Run(run.execution, run.cell, run.source_hash, source, by, request, now, allow_stdin))
        return new, text

    def _seen(self, run: RunParams) -> bool:
        current = self._room.runtime.execution(CellKey(run.cell))
        return (
            run.execution in self._known
            or self._queue.find(run.execution) is not None
            or (current is not None and current.id == run.execution)
        )

    def put_in_line(self, runs: Sequence[Run]) -> dict[str, str]:
        """Add captured runs; returns the execution id that stands for each. Raises RequestRefused(busy)."""
        try:
            self._queue.check_room(runs)
        except QueueFull as error:
            raise RequestRefused("busy", "too many runs wait") from error
        before = {run.cell: self._queue.waiting_of(run.cell) for run in runs}
        stands = {}
        for run in runs:
            submitted = self._queue.submit(run)
            self._remember(run.execution)
            stands[run.execution] = submitted.execution
            if submitted.added:
                self._room.log.execution(row_of(run, "queued"))
            if submitted.replaced is not None:
                self._room.log.execution(row_of(submitted.replaced, "cancelled", ended=time.time()))
        added, replaced = [], {}
        for cell, former in before.items():
            waiting = self._queue.waiting_of(cell)
            if waiting is None or waiting is former:
                continue
            if former is None:
                added.append(_entry(waiting))
            else:
                replaced[former.execution] = _entry(waiting)
        if replaced:
            with self._room.runtime_changes() as writer:
                writer.edit_queue(replaced=replaced)
        for start in range(0, len(added), ENTRIES_PER_TRANSACTION):
            with self._room.runtime_changes() as writer:
                writer.edit_queue(added=added[start : start + ENTRIES_PER_TRANSACTION])
        return stands

    def skip(self, runs: Sequence[Run]) -> None:
        """Text needs no kernel: whoever asks for the result learns that all went well."""
        for run in runs:
            self._remember(run.execution)
            self._room.log.execution(row_of(run, "ok", ended=time.time()))

    def _remember(self, execution: str) -> None:
        self._known[execution] = None
        if len(self._known) > REMEMBERED_EXECUTIONS:
            self._known.popitem(last=False)

    # -- out of the line --------------------------------------------------------------------------

    def start_next(self) -> Run | None:
        """Make the first waiting run the current execution of its cell; None if one runs or none waits."""
        run = self._queue.start()
        if run is None:
            return None
        started = time.time()
        with self._room.runtime_changes() as writer:
            writer.dequeue(run.execution)
            writer.begin(CellKey(run.cell), run.execution, run.source_hash, run.by, run.queued, started)
        self._room.log.execution(row_of(run, "running", started=started))
        return run

    def cancel(self, executions: Sequence[str] | None, reason: str) -> list[str]:
        """Take waiting runs (all for None) out of the line; returns their ids."""
        return self._cancelled(self._queue.cancel(executions), reason)

    def done(self, execution: str, *, failed: bool, stop_on_error: bool) -> None:
        """The running run has ended; a failure takes the rest of its request with it."""
        cancelled = self._queue.finish(execution, failed=failed, stop_on_error=stop_on_error)
        self._cancelled(cancelled, "an earlier cell failed")

    def _cancelled(self, runs: Sequence[Run], reason: str) -> list[str]:
        if not runs:
            return []
        ids = [run.execution for run in runs]
        now = time.time()
        with self._room.runtime_changes() as writer:
            if len(self._queue) > (self._queue.running is not None):
                writer.edit_queue(removed=ids)
            else:
                writer.clear_queue()
        for run in runs:
            self._room.log.execution(row_of(run, "cancelled", ended=now))
        event = Event(name="cancelled", data={"executions": ids, "reason": reason})
        self._room.log.after_commit(lambda: self._room.event(event))
        return ids

    def keep(self, operation: FinishExecution) -> None:
        """Keep an ended execution with its outputs: it is found by id when its cell has run again."""
        key = CellKey(operation.cell)
        view = self._room.runtime.execution(key)
        if view is None or view.id != operation.execution:
            return
        run = self._queue.find(operation.execution)
        self._room.log.execution(
            ExecutionRow(
                id=view.id,
                cell=operation.cell,
                status=operation.status,
                source=run.source if run is not None else "",
                source_hash=view.source_hash,
                by=view.by,
                request=run.request if run is not None else "",
                count=view.count,
                queued=view.queued,
                started=view.started,
                ended=operation.ended,
                outputs=output_entries(self._room.runtime, key),
            )
        )

    async def result(self, execution: str) -> dict[str, Any]:
        """What became of an execution. Raises RequestRefused(not_found), StoreError."""
        self._room.log.flush()
        await self._room.journal.flush()
        row = await self._room.journal.execution(execution)
        if row is None:
            raise RequestRefused("not_found", f"no execution {execution}")
        status = "waiting" if row.status == "queued" else row.status
        return {"status": status, "count": row.count, "outputs": row.outputs, "cell": row.cell}

    # -- after a restart of the daemon ------------------------------------------------------------

    async def restore(self) -> Run | None:
        """Find line and running run in R and in the journal; returns the running one."""
        for execution in reversed(await self._room.journal.recent_executions(REMEMBERED_EXECUTIONS)):
            self._remember(execution)
        for run in await self._running_in_document():
            if self._queue.running is None:
                self._queue.resume(run)
                self._remember(run.execution)
        for entry in self._room.runtime.queue:
            row = await self._room.journal.execution(entry.execution)
            if row is not None:
                self._queue.submit(_run(row))
                self._remember(entry.execution)
            else:
                with self._room.runtime_changes() as writer:
                    writer.dequeue(entry.execution)
        return self._queue.running

    async def _running_in_document(self) -> list[Run]:
        found = []
        for key in self._room.runtime.execution_keys():
            view = self._room.runtime.execution(key)
            if view is None or view.status != "running":
                continue
            row = await self._room.journal.execution(view.id)
            fallback = Run(view.id, key, view.source_hash, "", view.by, "", 0.0)
            found.append(_run(row) if row is not None else fallback)
        return found


def row_of(
    run: Run, status: str, *, started: float | None = None, ended: float | None = None
) -> ExecutionRow:
    """The journal's row of a run. Times are unix seconds."""
    return ExecutionRow(
        id=run.execution,
        cell=run.cell,
        status=status,
        source=run.source,
        source_hash=run.source_hash,
        by=run.by,
        request=run.request,
        queued=run.queued,
        started=started,
        ended=ended,
    )


def _entry(run: Run) -> QueueEntry:
    return QueueEntry(run.execution, CellKey(run.cell), run.source_hash, run.by, run.request)


def _run(row: ExecutionRow) -> Run:
    return Run(row.id, row.cell, row.source_hash, row.source, row.by, row.request, row.queued or 0.0)
