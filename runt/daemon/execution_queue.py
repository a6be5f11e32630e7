"""The order in which a room's cells run: first in, first out, one at a time.

It knows no document, no kernel and no clock: callers give it runs and carry out what it answers. The
invariant: a cell waits at most once, and an execution id is in the queue at most once.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Collection, Sequence
from dataclasses import dataclass

MAX_WAITING_RUNS = (
    20_000  # four times the largest notebook we plan for; a loop of a client must not eat the memory
)


@dataclass(frozen=True, slots=True)
class Run:
    """One wish to run one cell, with the source text it is pinned to."""

    execution: str
    cell: str
    source_hash: str
    source: str
    by: str
    request: str
    queued: float  # unix seconds
    allow_stdin: bool = True  # not journaled: after a restart of the daemon a run may ask

    def __repr__(self) -> str:  # never the source: this ends up in logs
        return f"Run({self.execution}, cell {self.cell}, request {self.request})"


@dataclass(frozen=True, slots=True)
class Submitted:
    """What became of a submitted run.

    ``execution`` is the id that stands for it (an older one if that is already waiting); ``replaced`` is
    the waiting run whose place it took; ``added`` says whether the run itself is now in the queue.
    """

    execution: str
    added: bool
    replaced: Run | None = None


class QueueFull(Exception):
    """More than MAX_WAITING_RUNS runs are waiting. Nothing was added."""


class ExecutionQueue:
    """At most one running run and a first-in-first-out line of waiting ones."""

    def __init__(self) -> None:
        self.running: Run | None = None
        self._waiting: OrderedDict[str, Run] = OrderedDict()  # the line, by cell
        self._executions: dict[str, Run] = {}  # those that wait, by execution

    @property
    def waiting(self) -> tuple[Run, ...]:
        return tuple(self._waiting.values())

    def __len__(self) -> int:
        return len(self._waiting) + (self.running is not None)

    def find(self, execution: str) -> Run | None:
        """The run of that id, waiting or running."""
        if self.running is not None and self.running.execution == execution:
            return self.running
        return self._executions.get(execution)

    def waiting_of(self, cell: str) -> Run | None:
        """The run of that cell that waits."""
        return self._waiting.get(cell)

    def check_room(self, runs: Sequence[Run]) -> None:
        """Raises QueueFull if not all of these could be put in line."""
        cells = {run.cell for run in runs}
        if len(self._waiting) + len(cells - self._waiting.keys()) > MAX_WAITING_RUNS:
            raise QueueFull

    def submit(self, run: Run) -> Submitted:
        """Put a run in line.

        A waiting run of the same cell and hash *is* this one; with another hash it is replaced in its
        place. A cell that is running is put in line again.

        Raises:
            QueueFull: too many runs wait.
        """
        if self.find(run.execution) is not None:
            return Submitted(run.execution, added=False)
        other = self._waiting.get(run.cell)
        if other is not None and other.source_hash == run.source_hash:
            return Submitted(other.execution, added=False)
        if other is not None:
            del self._executions[other.execution]
        elif len(self._waiting) >= MAX_WAITING_RUNS:
            raise QueueFull
        self._waiting[run.cell] = run  # in the place of the other
        self._executions[run.execution] = run
        return Submitted(run.execution, added=True, replaced=other)

    def start(self) -> Run | None:
        """Take the first waiting run and make it the running one; None if one is running or none waits."""
        if self.running is not None or not self._waiting:
            return None
        _, self.running = self._waiting.popitem(last=False)
        del self._executions[self.running.execution]
        return self.running

    def resume(self, run: Run) -> None:
        """Make ``run`` the running one after a restart of the daemon."""
        if self.running is not None:
            raise ValueError(f"{self.running.execution} is running")
        self.running = run

    def finish(self, execution: str, *, failed: bool, stop_on_error: bool = True) -> list[Run]:
        """The running run ended. Returns the runs that are cancelled by its failure: the rest of its
        request.
        """
        if self.running is None or self.running.execution != execution:
            return []
        ended, self.running = self.running, None
        if not (failed and stop_on_error):
            return []
        return self._take([run for run in self._waiting.values() if run.request == ended.request])

    def cancel(self, executions: Collection[str] | None = None) -> list[Run]:
        """Take waiting runs out of the line (all of them for None). The running one is not touched."""
        if executions is None:
            return self._take(list(self._waiting.values()))
        wanted = set(executions)
        return self._take([run for run in self._waiting.values() if run.execution in wanted])

    def _take(self, runs: list[Run]) -> list[Run]:
        for run in runs:
            del self._waiting[run.cell]
            del self._executions[run.execution]
        return runs
