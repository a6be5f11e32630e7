"""Real supervisors and kernels in a private directory, and proof that none of them is left behind."""

from __future__ import annotations

import asyncio
import contextlib
import os
import shutil
import signal
import tempfile
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from runt.runtime.kernel import KernelProcess
from runt.runtime.kernel_file import read_kernel_file
from runt.runtime.kernelspecs import Kernelspec, find_kernelspec
from runt.runtime.supervisor_directory import start_time
from runt.runtime.supervisor_protocol import LIFECYCLE, STDIN, Record
from runt.runtime.supervisor_spawn import reap_supervisors
from runt.runtime.wire import WireMessage

PATIENCE_S = 40.0


class Listening:
    """A kernel and all records that have arrived from it, decoded when they are messages."""

    def __init__(self, kernel: KernelProcess) -> None:
        self.kernel = kernel
        self.records: list[Record] = []
        self.messages: list[WireMessage] = []
        self.lost: list[str] = []
        self._changed = asyncio.Event()

    def on_records(self, records: Sequence[Record]) -> None:
        self.records += records
        self.messages += [self.kernel.wire.decode(r.frames) for r in records if r.channel <= STDIN]
        self._changed.set()

    def on_lost(self, reason: str) -> None:
        self.lost.append(reason)
        self._changed.set()

    async def until(self, condition: Callable[[], Any], what: str) -> Any:
        """Wait for records until the condition holds; return its value."""
        async with asyncio.timeout(PATIENCE_S):
            while not (value := condition()):
                self._changed.clear()
                await self._changed.wait()
        assert value, what
        return value

    @property
    def life(self) -> list[str]:
        return [r.frames[0].decode() for r in self.records if r.channel == LIFECYCLE]

    def of(self, parent: str, kind: str) -> list[WireMessage]:
        return [m for m in self.messages if m.parent_id == parent and m.msg_type == kind]

    def text(self, parent: str) -> str:
        return "".join(m.content["text"] for m in self.of(parent, "stream"))

    async def idle(self, parent: str) -> None:
        def done() -> bool:
            states = [m.content["execution_state"] for m in self.of(parent, "status")]
            return "idle" in states and bool(self.of(parent, "execute_reply"))

        await self.until(done, f"{parent} to end")

    async def run(self, execution: str, code: str) -> str:
        """Execute and return what was printed."""
        self.kernel.execute(execution, code)
        await self.idle(execution)
        return self.text(execution)


class KernelHouse:
    """Directories on a short path; ``close`` ends what still runs."""

    def __init__(self) -> None:
        self.root = Path(tempfile.mkdtemp(prefix="rt", dir="/tmp"))
        self.sockets = self.root / "k"
        self.kernels = self.root / "kernels"
        self.opened: list[KernelProcess] = []

    def environment(self, **more: str) -> dict[str, str]:
        return {k: v for k, v in os.environ.items() if k != "PYTHONDONTWRITEBYTECODE"} | more

    async def start(
        self, name: str = "a", spec: Kernelspec | None = None, *, cwd: str = "/tmp", **options: Any
    ) -> Listening:
        kernel = KernelProcess(self.sockets)
        env = options.pop("env", None) or self.environment()
        await kernel.start(self.kernels / name, spec or find_kernelspec(), cwd, env, **options)
        return await self.attach(name, 0, kernel)

    async def attach(
        self, name: str = "a", offset: int = 0, kernel: KernelProcess | None = None
    ) -> Listening:
        kernel = kernel or KernelProcess(self.sockets)
        self.opened.append(kernel)
        listening = Listening(kernel)
        await kernel.attach(self.kernels / name, offset, listening.on_records, listening.on_lost)
        return listening

    def pids(self) -> list[tuple[int, int]]:
        """(pid, start time) of every supervisor and kernel that was recorded."""
        found = []
        for directory in self.kernels.glob("*"):
            with contextlib.suppress(OSError, ValueError):
                file = read_kernel_file(directory)
                found.append((file.supervisor_pid, file.supervisor_started))
                found.append((file.kernel_pid, file.kernel_started))
        return found

    async def close(self) -> None:
        for kernel in self.opened:
            kernel.close()
            await kernel.wait_closed()
        for pid, started in self.pids():
            if pid and start_time(pid) == started:
                with contextlib.suppress(ProcessLookupError):
                    os.kill(pid, signal.SIGKILL)
        reap_supervisors()
        shutil.rmtree(self.root, ignore_errors=True)
