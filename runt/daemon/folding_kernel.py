"""Folding of what the supervisor says about the kernel's process, and of its send records.

Not messages. The invariant: when the kernel has ended, no execution that reached it is left unfinished.
"""

from __future__ import annotations

import signal

from runt.daemon.folding_ops import EndStatus, KernelDied, KernelStarted, Notice, SentRecorded
from runt.daemon.folding_outputs import OutputFolding
from runt.daemon.folding_state import ExecutionState, FoldState
from runt.notebook.manifests import Get, Put
from runt.runtime.supervisor_protocol import Record

DIED = "KernelDied"
TRUNCATED_MARK = "\n… runt: {} messages of output were lost here, the disk or the journal was full …\n"


class LifecycleFolding:
    """Folds SENT and LIFECYCLE records into ``output``."""

    def __init__(self, state: FoldState, put: Put, get: Get) -> None:
        self.state = state
        self.output = OutputFolding(state, put, get)

    def sent(self, record: Record) -> None:
        """The supervisor has taken a send: to a dead kernel, it ends the execution at once."""
        send_id = record.frames[0].decode("utf-8", "replace") if record.frames else ""
        self.output.effects.append(SentRecorded(send_id))
        execution = self.state.executions.get(send_id)
        if execution is None or execution.done:
            return
        execution = self.output.own(execution)
        execution.sent = True
        execution.last = record.time
        if not self.state.alive:
            self._end(execution, "the kernel is not running", record.time)

    def record(self, record: Record) -> None:
        """Fold one LIFECYCLE record; one of an unknown kind changes nothing."""
        text = record.frames[0].decode("utf-8", "replace") if record.frames else ""
        kind, _, detail = text.partition(" ")
        if kind == "started":
            self._forget_kernel()
            self.state.alive = True
            self.output.effects.append(KernelStarted(int(detail) if detail.isdigit() else 0))
        elif kind == "stopping":
            self.state.stopping = detail
        elif kind == "exited":
            self._ended(f"exit status {detail}", record.time)
        elif kind == "killed":
            self._ended(f"signal {detail}{_signal_name(detail)}", record.time)
        elif kind in ("failed", "lost"):
            self._ended(detail, record.time)
        elif kind == "truncated":
            self._truncated(detail, record.time)

    def _forget_kernel(self) -> None:
        self.state.alive = self.state.heard = self.state.ready = False
        self.state.stopping = ""
        self.state.info = None
        self.state.activity = ""

    def _ended(self, reason: str, time: float) -> None:
        expected = self.state.stopping
        self._forget_kernel()
        for execution in self.state.running:
            # What waits for the restarted kernel has not been sent yet.
            if expected != "restart" or execution.sent:
                self._end(self.output.own(execution), reason, time, expected)
        for id_ in list(self.state.live):  # late output of ended executions: nothing more will come
            execution = self.state.executions[id_]
            if execution.done:
                self.output.finish_stream(execution)
        self.output.effects.append(KernelDied(reason, expected))

    def _end(self, execution: ExecutionState, reason: str, time: float, expected: str = "") -> None:
        status: EndStatus = "cancelled" if expected else "error"
        if not expected and execution.reply is None:
            output = {
                "output_type": "error",
                "ename": DIED,
                "evalue": f"kernel died ({reason})",
                "traceback": [],
            }
            self.output.append(execution, output)
        execution.reply = execution.reply or status
        self.output.complete(execution, time)

    def _truncated(self, detail: str, time: float) -> None:
        count = detail.partition(" ")[0]
        self.output.effects.append(Notice(f"{count} messages of output were lost: disk or journal full"))
        for execution in self.state.running:
            if execution.sent:
                execution = self.output.own(execution)
                self.output.stream(execution, "stderr", TRUNCATED_MARK.format(count))
                execution.idle = True  # it may be among what was lost: the reply decides
                self.output.settle(execution, time)


def _signal_name(number: str) -> str:
    try:
        return f", {signal.Signals(int(number)).name}"
    except ValueError:
        return ""
