"""A room's kernel: started, fed with runs, interrupted, restarted, lost and found again.

It decides when what runs; ``runs`` keeps the line, ``kernel_records`` what the kernel said. The invariants:
a run is sent only after the journal has it as running; a run that never reached the supervisor is sent
again after the next attach; R says at every moment what became of the kernel.

It is long because it is one state machine: start, death, loss and adoption share every field.
"""

from __future__ import annotations

import asyncio
import itertools
import logging
import os
import secrets
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import msgspec

from runt.daemon import kernel_questions
from runt.daemon.execution_queue import Run
from runt.daemon.folding_ops import (
    Effect,
    ExecutionDone,
    InputRequested,
    KernelDied,
    KernelReady,
    KernelStarted,
    Notice,
    SetNextInput,
)
from runt.daemon.kernel_choice import choose_kernel, set_next_input, working_directory, write_language
from runt.daemon.kernel_questions import Questions
from runt.daemon.kernel_records import KernelRecords
from runt.daemon.kernel_remains import last_words, remove_kernel, supervisor_runs, was_started
from runt.daemon.refusals import RequestRefused
from runt.daemon.runs import Runs
from runt.errors import KernelDied as KernelDiedError
from runt.errors import KernelNotFound, RuntError, StoreError
from runt.notebook.cell import CellKey
from runt.runtime.supervisor_protocol import Record

if TYPE_CHECKING:
    from runt.daemon.requests import KernelStartParams, RunParams
    from runt.daemon.room import Room
    from runt.daemon.room_loading import Put
    from runt.daemon.settings import Settings
    from runt.runtime.kernel import KernelProcess
    from runt.store.blobs import BlobStore
    from runt.store.places import Places

log = logging.getLogger(__name__)

PROBE_INTERVAL_S = 0.5
SHUTDOWN_TIMEOUT_S = 15.0  # the supervisor needs about three graces in the worst case
REATTACH_DELAYS_S = (0.05, 0.2, 1.0, 5.0)  # the last one again and again, while the supervisor runs
RESTORE_PATIENCE_S = 2.0  # a room opens without its kernel when the supervisor takes longer
NO_ANSWER = "the kernel's supervisor does not answer; restart the kernel to give it up"
PAUSE_BACKLOG_BYTES = 4 << 20  # of the journal: above this the kernel's records wait on disk
ALIVE = frozenset({"starting", "ready", "restarting"})
_UNKNOWN_END = 1 << 62


class KernelRoom:
    """The kernel side of one room."""

    def __init__(self, room: Room, places: Places, blobs: BlobStore, put: Put, settings: Settings) -> None:
        self.runs = Runs(room)
        self._room = room
        self._places = places
        self._settings = settings
        self._records = KernelRecords(room, put, blobs, self._effect, self.runs.keep, self._folded)
        self._kernel: KernelProcess | None = None
        self._pid = 0
        self._directory = ""  # name of the directory of the kernel that we have, start or give up
        self._lock = asyncio.Lock()  # one start, restart or shutdown at a time
        self._starting: asyncio.Task[None] | None = None
        self._probing: asyncio.Task[None] | None = None
        self._last: KernelStartParams | None = None  # the environment lives here and nowhere else
        self._language: dict[str, Any] | None = None  # to be written into N at the first run
        self._questions = Questions(room)
        self._replay_end: int | None = None  # offset up to which records are from before the attach
        self._ending = False  # a loss of the supervisor is expected

    # -- what others see --------------------------------------------------------------------------

    @property
    def alive(self) -> bool:
        """A kernel runs or is being started, or runs wait for one."""
        return (
            self._room.runtime.kernel.state in ALIVE
            or self.runs.running is not None
            or bool(self.runs.waiting)
        )

    def owns(self, directory: str) -> bool:
        """Whether the kernel directory of that name is ours: in use, or being made."""
        return directory == self._directory

    @property
    def has_supervisor(self) -> bool:
        return self._kernel is not None and self._kernel.attached

    def describe(self) -> dict[str, Any]:
        view = self._room.runtime.kernel
        running = self.runs.running
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
            "queued": len(self.runs.waiting),
        }

    def durable(self, seq: int) -> None:
        """The journal is on disk up to ``seq``."""
        self._records.durable(seq)

    # -- runs -------------------------------------------------------------------------------------

    def submit(self, runs: Sequence[RunParams], *, by: str, request: str, allow_stdin: bool) -> Any:
        """Put runs in line; start a kernel if there is none. Returns the answer, or an awaitable of it.

        ``allow_stdin``: somebody is there to answer ``input()``.

        Raises:
            RequestRefused: source_changed, not_found (a cell), kernel_dead, busy. Nothing was put in line.
        """
        new, text = self.runs.capture(runs, by, request, allow_stdin=allow_stdin)
        state = self._room.runtime.kernel.state
        if state == "dead" and new:
            error = self._room.runtime.kernel.error
            raise RequestRefused("kernel_dead", error or "the kernel is dead", hint="restart the kernel")
        stands = self.runs.put_in_line(new)
        self.runs.skip(text)
        answer = {"executions": [stands.get(run.execution, run.execution) for run in runs]}
        if new and state not in ALIVE:
            return self._start_for_runs(answer)
        self._dispatch()
        return answer

    async def _start_for_runs(self, answer: object) -> object:
        """Wait for the start that the runs need, so that a kernel that cannot be found is refused by name."""
        if self._starting is None or self._starting.done():
            self._starting = self._room.tasks.start(self._start_default(), "start kernel", awaited=True)
        await asyncio.shield(self._starting)
        return answer

    async def _start_default(self) -> None:
        async with self._lock:
            if self._room.runtime.kernel.state not in ALIVE:
                await self._start(self._last)

    def _dispatch(self) -> None:
        """Send the next run, if the kernel is ready and nothing runs."""
        kernel = self._kernel
        if kernel is None or not self._records.state.ready or self._replay_end is not None:
            return
        if self._room.runtime.kernel.state == "restarting":  # ready is still the old one
            return
        run = self.runs.start_next()
        if run is None:
            return
        if self._language is not None:
            write_language(self._room.notebook, self._language)
            self._language = None
        self._records.begin(run.execution, run.cell)
        self._room.file.outputs_changed()
        # Not flushed here: what the same records also change belongs in the same append.
        self._room.log.after_commit(lambda: self._send(kernel, run))

    def _send(self, kernel: KernelProcess, run: Run) -> None:
        # Not attached: it is sent again after the next attach, since no SENT record will be there.
        kernel.execute(run.execution, run.source, allow_stdin=run.allow_stdin)

    def clear_outputs(self, cells: Sequence[str] | None) -> None:
        """Remove the outputs of cells (of all for None); an execution that runs goes on."""
        runtime = self._room.runtime
        named = runtime.execution_keys() if cells is None else [CellKey(cell) for cell in cells]
        keys = [key for key in named if runtime.execution(key) is not None]
        if not keys:
            return
        self._records.clear(keys)
        running = self.runs.running
        with self._room.runtime_changes() as writer:
            for key in keys:
                if running is None or running.cell != key:
                    writer.set_execution(key, count=None)
        self._room.file.outputs_changed(ended=True)

    def answer_input(self, request: str, value: str) -> bool:
        """Answer a question of the kernel; False if somebody else did, or it is over."""
        kernel = self._kernel
        return kernel is not None and self._questions.answer(
            request, lambda header: kernel.input_reply(header, value)
        )

    # -- start, interrupt, restart, shutdown ------------------------------------------------------

    async def start(self, params: KernelStartParams) -> None:
        """Start a kernel, or join the one that runs; another name replaces it.

        Raises:
            KernelNotFound, RuntError, OSError and what libraries raise: R says so, too.
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
        except Exception as error:  # whatever it was (ZeroMQ and msgspec have their own): R must not stay
            if self._kernel is not None:  # at "starting", and no supervisor without an owner
                self._ending = True
                self._kernel.close()
                directory = self._kernel.directory
                self._forget_kernel(directory)
                await self._remove(directory)
            self._start_failed(error)
            raise

    async def _start_unguarded(self, params: KernelStartParams | None) -> None:
        self._set_kernel(state="starting", activity="", error=None)
        asked = params.name if params is not None else None
        spec = await asyncio.to_thread(choose_kernel, self._room.notebook.metadata, asked)
        from runt.runtime.kernel import KernelProcess  # zmq: not needed to listen

        directory = self._places.supervisors / f"{self._room.id}.{secrets.token_hex(3)}"
        self._records.reset()
        self._replay_end = None
        self._set_kernel(name=spec.name, language=spec.language, supervisor=directory.name, env_source="")
        self._directory = directory.name
        # In the journal before it exists, so that no supervisor is ever forgotten.
        self._room.log.side("kernel", directory.name.encode())
        self._records.journal()
        self._room.log.flush()
        await self._room.journal.flush()
        kernel = KernelProcess(self._places.kernel_sockets)
        await kernel.start(
            directory,
            spec,
            working_directory(params.cwd if params is not None else None, self._room.file.path),
            dict(params.env) if params is not None and params.env is not None else dict(os.environ),
            umask=params.umask if params is not None else None,
            tz=params.tz if params is not None else None,
        )
        self._language = {
            "kernelspec": {"display_name": spec.display_name, "language": spec.language, "name": spec.name}
        }
        self._use(kernel)
        await kernel.attach(directory, 0, self._received, self._lost)
        self._probe_on(kernel)

    def _use(self, kernel: KernelProcess) -> None:
        self._ending = False
        self._kernel = kernel
        self._records.acknowledge = kernel.acknowledge

    def _start_failed(self, error: Exception) -> None:
        text = error.message if isinstance(error, RuntError) else str(error) or repr(error)
        log.warning("room %s: no kernel: %s", self._room.id, text)
        if isinstance(error, KernelDiedError) and error.hint:
            log.warning("room %s: the supervisor's log ends: %s", self._room.id, error.hint)
        self._kernel = None
        missing = isinstance(error, KernelNotFound)
        self._set_kernel(
            state="none" if missing else "dead", activity="", error=str(error) if missing else text
        )
        self.runs.cancel(None, text)

    def _probe_on(self, kernel: KernelProcess) -> None:
        if self._probing is None or self._probing.done():
            self._probing = self._room.tasks.start(self._probe(kernel), "probe kernel")

    async def _probe(self, kernel: KernelProcess) -> None:
        """Ask until it answers on both channels; a kernel that dies first says so by itself."""
        while self._kernel is kernel and not self._records.state.ready and self.alive:
            await asyncio.sleep(PROBE_INTERVAL_S)
            if not self._records.state.ready:
                kernel.probe()

    async def interrupt(self) -> None:
        """Interrupt what runs; without a kernel the line is emptied. Raises RequestRefused(no_kernel)."""
        if self._kernel is not None and self._kernel.interrupt():
            return
        if not self.runs.cancel(None, "interrupted"):
            raise RequestRefused("no_kernel", "no kernel runs")

    async def restart(self) -> None:
        """End the kernel and start it again; the document keeps its outputs. Raises as `start`."""
        async with self._lock:
            self.runs.cancel(None, "the kernel was restarted")
            kernel = self._kernel
            if kernel is None or not kernel.restart():
                await self._start(self._last)
                return
            self._set_kernel(state="restarting", activity="", error=None)

    async def shutdown(self) -> None:
        """End the kernel and its supervisor; does nothing when there is none."""
        async with self._lock:
            await self._shut_down()

    async def _shut_down(self) -> None:
        self.runs.cancel(None, "the kernel was shut down")
        if self._kernel is None and self._room.runtime.kernel.state == "none":
            return
        await self._end_supervisor()
        self._set_kernel(state="stopped", activity="", error=None)
        log.info("room %s: kernel stopped", self._room.id)

    async def _end_supervisor(self) -> None:
        """End the supervisor that we have, with whatever kernel it still has; its directory goes, too."""
        kernel, self._ending = self._kernel, True
        if kernel is None:
            return
        kernel.shutdown()
        try:
            async with asyncio.timeout(SHUTDOWN_TIMEOUT_S):
                await kernel.wait_closed()
        except TimeoutError:
            log.error("room %s: the supervisor does not end", self._room.id)  # noqa: TRY400 - no traceback
        self._records.fold_now()
        kernel.close()
        self._forget_kernel(kernel.directory)
        await self._remove(kernel.directory)

    def _forget_kernel(self, directory: Path) -> None:
        """The kernel is gone for good: take what its journal still has, end its runs, remove what it left."""
        self._records.fold_last(last_words(directory, self._records.state.offset))
        running = self.runs.running
        if running is not None:
            self._execution_done(running.execution, "error")
        self._kernel = None
        self._pid = 0
        self._records.acknowledge = None
        self._records.forget()
        self._room.log.side("kernel", None)
        self._questions.over()

    async def _remove(self, directory: Path) -> None:
        """After `_forget_kernel`: end and remove what is left, once the journal does not name it any more."""
        self._room.log.flush()
        try:
            await self._room.journal.flush()
        except StoreError as error:
            log.warning("room %s: the kernel's directory stays: %s", self._room.id, error.message)
            return
        await asyncio.to_thread(remove_kernel, directory, self._places.kernel_sockets)
        if self.owns(directory.name):
            self._directory = ""

    def _set_kernel(self, **fields: str | None) -> None:
        with self._room.runtime_changes() as writer:
            writer.set_kernel(**fields)

    # -- what the kernel says ---------------------------------------------------------------------

    def _received(self, records: Sequence[Record]) -> None:
        if self._kernel is None:
            return
        self._records.use(self._kernel.wire)
        self._records.receive(records)
        if self._room.journal.backlog_bytes > PAUSE_BACKLOG_BYTES:
            self._kernel.pause()
            self._room.log.after_commit(self._resume)

    def _resume(self) -> None:
        if self._kernel is not None and not self._records.blocked:
            self._kernel.resume()

    def _folded(self, blocked: bool) -> None:
        if self._kernel is None:
            return
        if blocked:
            self._kernel.pause()  # the rest waits in the supervisor's journal
        elif self._room.journal.backlog_bytes <= PAUSE_BACKLOG_BYTES:
            self._kernel.resume()
        if self._replay_end is not None and self._records.state.offset >= self._replay_end:
            self._replayed()

    def _effect(self, effect: Effect) -> None:
        match effect:
            case ExecutionDone(execution=execution, status=status):
                self._execution_done(execution, status)
            case KernelStarted(pid=pid):
                self._pid = pid
                if self._kernel is not None:
                    self._probe_on(self._kernel)  # from here on, since only now nothing says ready any more
            case KernelReady(info=info):
                self._ready(info)
            case KernelDied(reason=reason, expected=expected):
                self._died(reason, expected)
            case InputRequested():
                self._questions.ask(effect)
            case SetNextInput():
                set_next_input(self._room.notebook, effect)
            case Notice(text=text):
                log.warning("room %s: kernel: %s", self._room.id, text)
                self._room.notice(text)
            case _:
                pass  # sends are in the fold state; replies and late output are for later versions

    def _execution_done(self, execution: str, status: str) -> None:
        self._questions.ended(execution)
        stop_on_error = self._settings.current.stop_on_error
        self.runs.done(execution, failed=status != "ok", stop_on_error=stop_on_error)
        self._dispatch()

    def _ready(self, info: Mapping[str, Any]) -> None:
        language = info.get("language_info")
        fields: dict[str, str | None] = {"state": "ready", "error": None}
        if isinstance(language, dict):
            self._language = {**(self._language or {}), "language_info": language}
            if isinstance(language.get("name"), str):
                fields["language"] = language["name"]
        self._set_kernel(activity=self._records.state.activity or "idle", **fields)
        self._dispatch()

    def _died(self, reason: str, expected: str) -> None:
        self._pid = 0
        if expected == "restart":
            self._set_kernel(state="restarting", activity="")
        elif not expected and not self._ending:
            log.warning("room %s: the kernel died: %s", self._room.id, reason)
            self._set_kernel(state="dead", activity="", error=f"the kernel died ({reason})")
            self.runs.cancel(None, "the kernel died")

    # -- the supervisor's loss, and finding it again ----------------------------------------------

    def _lost(self, reason: str) -> None:
        """The supervisor's socket closed: it ended, or another daemon attached."""
        self._records.fold_now()
        if not self._ending and self._kernel is not None and not self._room.closing:
            log.warning("room %s: lost the supervisor: %s", self._room.id, reason)
            self._room.tasks.start(self._attach_again(self._kernel), "attach again")

    async def _attach_again(self, kernel: KernelProcess) -> None:
        """Try for as long as the supervisor runs: it may be stopped or swapped out, and its kernel works.

        To give up a supervisor that runs is for a person: restart and shutdown do.
        """
        delays = itertools.chain(REATTACH_DELAYS_S, itertools.repeat(REATTACH_DELAYS_S[-1]))
        for delay in delays:
            await asyncio.sleep(delay)
            async with self._lock:  # a restart or shutdown comes between two attempts, not into one
                if self._kernel is not kernel or self._ending:
                    return
                if await self._attached(kernel, kernel.directory):
                    return
                if not await asyncio.to_thread(supervisor_runs, kernel.directory):
                    self._forget_kernel(kernel.directory)
                    await self._remove(kernel.directory)
                    return
                if self._room.runtime.kernel.error != NO_ANSWER:
                    self._set_kernel(error=NO_ANSWER)

    async def _attached(self, kernel: KernelProcess, directory: Path) -> bool:
        try:
            async with asyncio.timeout(RESTORE_PATIENCE_S):
                await self._attach(kernel, directory)
        except (RuntError, OSError, msgspec.MsgspecError) as error:
            log.warning("room %s: no supervisor in %s: %s", self._room.id, directory.name, error)
            return False
        if self._room.runtime.kernel.error == NO_ANSWER:
            self._set_kernel(error=None)
        return True

    async def _attach(self, kernel: KernelProcess, directory: Path) -> None:
        """Attach and replay. Raises RuntError, OSError, msgspec.DecodeError."""
        self._replay_end = _UNKNOWN_END  # nothing is sent before the replay's end is known and reached
        offset = self._records.state.offset
        hello = await kernel.attach(directory, offset, self._received, self._lost)
        self._replay_end = hello.end
        if hello.kernel_pid:
            self._pid = hello.kernel_pid
        if self._records.state.offset >= hello.end:
            self._replayed()

    def _replayed(self) -> None:
        """Everything from before is folded: send what was running and never reached the supervisor."""
        self._replay_end = None
        kernel, running = self._kernel, self.runs.running
        if kernel is None:
            return
        for execution in self._records.state.running:
            if running is not None and execution.id == running.execution and not execution.sent:
                log.info("room %s: a run is sent again", self._room.id)
                self._send(kernel, running)
        if not self._records.state.ready:
            self._probe_on(kernel)
        elif self._room.runtime.kernel.state == "restarting":  # the order never reached the supervisor
            self._set_kernel(state="ready")
        self._dispatch()

    # -- opening and closing of the room ----------------------------------------------------------

    async def restore(self, side: Mapping[str, bytes]) -> None:
        """Find the kernel of a room that was open before, and go on where the journal ends."""
        running = await self.runs.restore()
        self._questions.restore(side.get(kernel_questions.SIDE))
        if "fold" in side:
            self._records.restore(side["fold"])
        if running is not None and running.execution not in self._records.state.executions:
            self._records.begin(running.execution, running.cell)
        name = self._directory = side.get("kernel", b"").decode()
        directory = self._places.supervisors / (name or f"{self._room.id}.none")
        if running is None and not await asyncio.to_thread(was_started, directory):
            if name or self.alive:
                await self._start_again(directory)
            return
        from runt.runtime.kernel import KernelProcess

        kernel = KernelProcess(self._places.kernel_sockets)
        self._use(kernel)
        if not await self._attached(kernel, directory):
            if await asyncio.to_thread(supervisor_runs, directory):
                self._set_kernel(error=NO_ANSWER)
                self._room.tasks.start(self._attach_again(kernel), "attach again")
                return
            self._replay_end = None
            self._forget_kernel(directory)
            await self._remove(directory)
            return
        log.info("room %s: attached to its kernel, pid %d", self._room.id, self._pid)

    async def _start_again(self, directory: Path) -> None:
        """The daemon went while it was starting a kernel that never was: start it for those who wait."""
        self._records.forget()
        self._room.log.side("kernel", None)
        self._set_kernel(state="none", activity="", error=None)
        await self._remove(directory)
        if self.runs.waiting:
            self._starting = self._room.tasks.start(self._start_default(), "start kernel", awaited=True)

    async def detach(self) -> None:
        """Let go of the supervisor; the kernel goes on. One whose kernel is dead has no further use."""
        if self._kernel is not None and self._room.runtime.kernel.state not in ALIVE:
            await self._end_supervisor()
        self._ending = True
        self._records.close()
        if self._kernel is not None:
            self._kernel.close()
            self._kernel = None
