"""The kernel's process and its ZeroMQ sockets, as the supervisor owns them.

No policy: when to stop or restart is the supervisor's business. The invariant: the kernel leads its own
session and process group, holds no descriptor of ours, and its exit status is collected once.
"""

from __future__ import annotations

import os
import signal

import zmq

from runt.runtime.supervisor_directory import KERNEL_LOG_NAME, create_file
from runt.runtime.supervisor_protocol import CONTROL, IOPUB, SHELL, STDIN, StartOrder
from runt.store.safe_directory import write_private_file

RECONNECT_MS = 5  # ZeroMQ's 100 ms would be most of a kernel's start
OOM_SCORE = b"300"  # under memory pressure the kernel goes first, and we tell what happened
MAX_KERNEL_LOG_BYTES = 4 << 20
_RESET_SIGNALS = (signal.SIGINT, signal.SIGHUP, signal.SIGTERM, signal.SIGPIPE, signal.SIGCHLD)


class KernelChild:
    """``pid`` is 0 unless the kernel's process runs."""

    def __init__(self, order: StartOrder, directory: str) -> None:
        self.order = order
        self.pid = 0
        self._group = 0
        self._log = create_file(os.path.join(directory, KERNEL_LOG_NAME))
        write_private_file(order.connection_file, order.connection_text, durable=False)

    def spawn(self) -> str:
        """Start the process; return why it could not be started, or ""."""
        os.ftruncate(self._log, 0)
        report, child_report = os.pipe()
        pid = os.fork()
        if pid == 0:
            self._become_kernel(child_report)
        os.close(child_report)
        with open(report, "rb") as pipe:
            failure = pipe.read().decode(errors="replace")  # ends when the exec succeeds
        if failure:
            os.waitpid(pid, 0)
            return failure
        self.pid = self._group = pid
        return ""

    def _become_kernel(self, report: int) -> None:
        what = "cannot start a process"
        try:
            os.setsid()
            for number in _RESET_SIGNALS:
                signal.signal(number, signal.SIG_DFL)
            signal.pthread_sigmask(signal.SIG_SETMASK, [])
            os.dup2(self._log, 1)
            os.dup2(self._log, 2)
            if self.order.umask >= 0:
                os.umask(self.order.umask)
            _raise_oom_score()
            what = f"cannot change to {self.order.cwd}"
            os.chdir(self.order.cwd)
            what = f"cannot execute {self.order.argv[0] if self.order.argv else 'nothing'}"
            os.execvpe(self.order.argv[0], self.order.argv, self.order.env)
        except BaseException as error:  # noqa: BLE001 - a forked child must not return into the supervisor
            reason = error.strerror if isinstance(error, OSError) else repr(error)
            os.write(report, f"{what}: {reason}".encode(errors="replace"))
        finally:
            os._exit(127)

    def collect(self) -> str:
        """Return ``exited <status>`` or ``killed <signal>`` once, when the process has ended; else ""."""
        if not self.pid:
            return ""
        pid, status = os.waitpid(self.pid, os.WNOHANG)
        if pid == 0:
            return ""
        self.pid = 0
        code = os.waitstatus_to_exitcode(status)
        return f"killed {-code}" if code < 0 else f"exited {code}"

    def signal(self, number: int) -> None:
        """Signal the kernel's process group, if the kernel runs."""
        if self.pid:
            self._signal_group(number)

    def end_group(self) -> None:
        """Kill what the kernel started and left behind. Only right after the kernel was collected."""
        if self._group:
            self._signal_group(signal.SIGKILL)
            self._group = 0

    def _signal_group(self, number: int) -> None:
        try:
            os.killpg(self._group, number)
        except (ProcessLookupError, PermissionError):
            pass  # all gone; macOS says EPERM for a group of zombies

    def trim_log(self) -> None:
        """Empty the raw stderr file when a chatty kernel has filled it."""
        if os.fstat(self._log).st_size > MAX_KERNEL_LOG_BYTES:
            os.ftruncate(self._log, 0)


def _raise_oom_score() -> None:
    try:
        descriptor = os.open("/proc/self/oom_score_adj", os.O_WRONLY)
        try:
            os.write(descriptor, OOM_SCORE)
        finally:
            os.close(descriptor)
    except OSError:
        pass  # not Linux, or not allowed: only a preference


class KernelSockets:
    """The four channels. Made anew for each kernel process, so that no old request reaches a new kernel."""

    def __init__(
        self, context: zmq.Context[zmq.Socket[bytes]], endpoints: list[str], identity: bytes
    ) -> None:
        self.sockets: dict[int, zmq.Socket[bytes]] = {}
        for channel, endpoint in zip((IOPUB, SHELL, CONTROL, STDIN), endpoints, strict=True):
            made = context.socket(zmq.SUB if channel == IOPUB else zmq.DEALER)
            made.linger = 0
            made.rcvhwm = 0  # the default of 1000 drops output while we are stalled
            made.sndhwm = 0
            made.reconnect_ivl = RECONNECT_MS
            if channel == IOPUB:
                made.setsockopt(zmq.SUBSCRIBE, b"")
            else:
                # One identity for shell and stdin: the kernel asks for input where the request came from.
                made.setsockopt(zmq.IDENTITY, identity)
            made.connect(endpoint)
            self.sockets[channel] = made

    def close(self) -> None:
        """Close all; what was not sent is discarded."""
        for one in self.sockets.values():
            one.close(0)
        self.sockets = {}
