"""kill -9 of the daemon while it starts a kernel: whoever waits gets one, and none is left over."""

from __future__ import annotations

import time
import uuid
from collections.abc import AsyncIterator, Callable
from pathlib import Path

import psutil
import pytest
import pytest_asyncio

from runt.notebook.cell import CellKey
from runt.notebook.source_hash import source_hash
from runt.protocol.messages import Request
from tests.daemon.daemon_in_loop import until
from tests.daemon.daemon_process import DaemonProcess
from tests.daemon.raw_client import PATIENCE_S, RawClient


@pytest_asyncio.fixture
async def daemon() -> AsyncIterator[DaemonProcess]:
    async with DaemonProcess() as process:
        yield process


def ask_to_run(client: RawClient, key: CellKey) -> None:
    """Send the request and wait for nothing."""
    run = {
        "execution": str(uuid.uuid4()),
        "cell": key,
        "source_hash": source_hash(client.document.cell(key).source),
    }
    request = Request(id=uuid.uuid4().hex, method="execute", params={"runs": [run]})
    client.transport.write(client.session.request(request))


def kernel_files(daemon: DaemonProcess, name: str) -> list[Path]:
    return list(daemon.places.supervisors.glob(name))


def spin(condition: Callable[[], object]) -> None:
    """Wait without a pause: the instants that are looked for here are short."""
    end = time.monotonic() + PATIENCE_S
    while not condition():
        assert time.monotonic() < end


def supervisors(daemon: DaemonProcess) -> list[psutil.Process]:
    """The supervisors of this house that run."""
    mark = str(daemon.places.supervisors)
    found = []
    for process in psutil.process_iter(["cmdline", "status"]):
        if process.info["status"] != psutil.STATUS_ZOMBIE and "runt.runtime.supervisor" in str(
            process.info["cmdline"]
        ):
            found += [process] if mark in str(process.info["cmdline"]) else []
    return found


@pytest.mark.parametrize("moment", ["*", "*/supervisor.log", "*/connection.json", "*/kernel.json"])
async def test_a_run_whose_daemon_died_while_it_started_the_kernel_is_done(
    daemon: DaemonProcess, moment: str
) -> None:
    """Killed as soon as that file is there: the run is done once, without another request."""
    effect = daemon.work / "effect.txt"
    path = daemon.notebook("a.ipynb", f"with open({str(effect)!r}, 'a') as f: f.write('x')")
    client = await daemon.join(path)
    ask_to_run(client, client.keys()[0])
    spin(lambda: kernel_files(daemon, moment))
    await daemon.kill_and_start()
    again = await daemon.join(path)
    key = again.keys()[0]
    await again.until(lambda: (view := again.runtime.execution(key)) and view.status == "ok", "the run")
    assert effect.read_text() == "x"
    await until(lambda: len(supervisors(daemon)) == 1, "the end of the supervisor that was left over")
    assert len(kernel_files(daemon, "*")) == 1


async def test_a_kernel_that_no_journal_knows_is_ended() -> None:
    """The journal of a room is lost, its kernel is not: the next daemon ends it and removes what it left."""
    async with DaemonProcess() as daemon:
        path = daemon.notebook("a.ipynb", "1")
        client = await daemon.join(path)
        assert await client.run(client.keys()[0]) == ["ok"]
        await daemon.kill()
        for file in daemon.places.rooms.iterdir():
            file.unlink()
        await daemon.start()
        await until(lambda: not list(daemon.places.supervisors.iterdir()), "the kernel's directory to go")
        again = await daemon.join(path)
        assert again.sources() == ["1"]
        assert again.runtime.kernel.state == "none"
