"""Supervisors that do not answer for a while, and starts and restarts that go wrong."""

from __future__ import annotations

import os
import signal
from pathlib import Path
from typing import Any

import pytest
import zmq

from runt.daemon import kernel_room
from runt.runtime.kernel import KernelProcess
from runt.runtime.kernel_file import KernelFile
from tests.daemon.daemon_in_loop import DaemonInLoop, kernels_alive, until
from tests.daemon.raw_client import RawClient, RefusedError


async def stopped_over_a_restart(
    here: DaemonInLoop, monkeypatch: pytest.MonkeyPatch, path: Path
) -> tuple[RawClient, KernelFile]:
    """A room whose supervisor was stopped (SIGSTOP) before the daemon that now has it began."""
    monkeypatch.setattr(kernel_room, "RESTORE_PATIENCE_S", 0.2)
    monkeypatch.setattr(kernel_room, "REATTACH_DELAYS_S", (0.05,))
    client = await here.join(path)
    assert await client.run(client.keys()[0]) == ["ok"]
    (file,) = kernels_alive(here.places)
    await here.stop()
    os.kill(file.supervisor_pid, signal.SIGSTOP)
    await here.start()
    again = await here.join(path)
    await again.until(lambda: again.runtime.kernel.error, "the word that it does not answer")
    return again, file


async def test_a_supervisor_that_answers_late_keeps_its_kernel(
    here: DaemonInLoop, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A supervisor that runs but does not answer is waited for; meanwhile R says so and runs wait."""
    path = here.notebook("a.ipynb", "x = 1", "print(x)")
    client, file = await stopped_over_a_restart(here, monkeypatch, path)
    assert client.runtime.kernel.error == kernel_room.NO_ANSWER
    assert client.runtime.kernel.state == "ready"
    key = client.keys()[1]
    await client.execute(key)
    assert file.supervisor_runs
    assert file.kernel_runs
    os.kill(file.supervisor_pid, signal.SIGCONT)
    await client.until(lambda: (view := client.runtime.execution(key)) and view.ended, "the end of the run")
    assert client.printed(key) == "1\n"
    assert client.runtime.kernel.error in (None, "")


async def test_a_restart_gives_a_silent_supervisor_up(
    here: DaemonInLoop, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Who restarts the kernel of a supervisor that does not answer gets a new one; nothing of the old stays."""
    path = here.notebook("a.ipynb", "1")
    client, file = await stopped_over_a_restart(here, monkeypatch, path)
    await client.request("kernel.restart")
    assert await client.run(client.keys()[0]) == ["ok"]
    await until(lambda: not file.supervisor_runs and not file.kernel_runs, "the end of the old ones")


async def test_a_lost_probe_is_repeated_after_a_restart(
    here: DaemonInLoop, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A restarted kernel becomes ready although the first question it was asked got lost."""
    path = here.notebook("a.ipynb", "1")
    client = await here.join(path)
    key = client.keys()[0]
    await client.run(key)
    tasks = next(iter(here.daemon.rooms)).tasks._tasks
    await until(lambda: not any("probe" in task.get_name() for task in tasks), "the end of the first probing")
    lost: list[bool] = []
    probe = KernelProcess.probe

    def lose_the_first(self: KernelProcess) -> bool:
        if not lost:
            lost.append(True)
            return True
        return probe(self)

    monkeypatch.setattr(KernelProcess, "probe", lose_the_first)
    await client.request("kernel.restart")
    assert await client.run(key) == ["ok"]
    assert lost
    await client.until(lambda: client.runtime.kernel.state == "ready", "the state")


async def test_a_start_that_fails_in_any_way_is_told(
    here: DaemonInLoop, monkeypatch: pytest.MonkeyPatch
) -> None:
    """An error that is not ours (here one of ZeroMQ) makes the kernel dead by name, and leaves no process."""
    path = here.notebook("a.ipynb", "1")
    client = await here.join(path)
    attach = KernelProcess.attach

    async def fail(self: KernelProcess, *arguments: Any) -> Any:
        await attach(self, *arguments)
        raise zmq.ZMQError(22)

    monkeypatch.setattr(KernelProcess, "attach", fail)
    with pytest.raises(RefusedError):
        await client.request("kernel.start")
    await client.until(lambda: client.runtime.kernel.state == "dead", "the state")
    assert "Invalid argument" in (client.runtime.kernel.error or "")
    await until(lambda: not kernels_alive(here.places), "the end of its processes")
    monkeypatch.setattr(KernelProcess, "attach", attach)
    await client.request("kernel.restart")
    assert await client.run(client.keys()[0]) == ["ok"]
