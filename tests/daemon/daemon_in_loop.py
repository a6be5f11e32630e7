"""A whole daemon in the test's own event loop, with its own places; and the check that it leaves nothing
behind.

Everything is real: socket, journals, files, supervisors and kernels. Only the process boundary is missing
(``test_daemon_process.py`` has that).
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import shutil
import tempfile
from pathlib import Path
from typing import Any

import nbformat

from runt.daemon.lifecycle import Daemon
from runt.errors import StoreError
from runt.runtime.kernel_file import KernelFile, read_kernel_file
from runt.store.places import Places
from tests.daemon.raw_client import RawClient


class DaemonInLoop:
    """``async with DaemonInLoop() as here``: a running daemon. ``restart`` makes another one in the same
    places.
    """

    def __init__(self) -> None:
        self.root = Path(tempfile.mkdtemp(prefix="rt", dir="/tmp"))
        self.places = Places.under(self.root)
        self.work = self.root / "w"
        self.work.mkdir()
        self._clients: list[RawClient] = []
        self._task: asyncio.Task[None] | None = None

    async def __aenter__(self) -> DaemonInLoop:
        self.places.prepare()
        await self.start()
        return self

    async def __aexit__(self, *_: object) -> None:
        try:
            for client in self._clients:
                client.close()
            if self._task is not None:
                await self.stop(kernels=True)
            await until(lambda: not kernels_alive(self.places), "the end of all kernels")
        finally:
            shutil.rmtree(self.root, ignore_errors=True)

    async def start(self) -> None:
        self.daemon = Daemon(self.places)
        ready = asyncio.Event()
        self._task = asyncio.create_task(self.daemon.run(ready.set))
        waiting = asyncio.create_task(ready.wait())
        await asyncio.wait({self._task, waiting}, return_when=asyncio.FIRST_COMPLETED)
        if not ready.is_set():
            waiting.cancel()
            await self._task

    async def stop(self, *, kernels: bool = False) -> None:
        assert self._task is not None
        self.daemon.stop(kernels=kernels)
        await self._task
        self._task = None

    async def restart(self) -> None:
        """An orderly end, then a new daemon; kernels stay."""
        await self.stop()
        await self.start()

    def notebook(self, name: str = "a.ipynb", *cells: str, metadata: dict[str, Any] | None = None) -> Path:
        """Write a notebook of code cells (``#md …`` makes a Markdown cell) and return its path."""
        made = [
            nbformat.v4.new_markdown_cell(source[4:])
            if source.startswith("#md ")
            else nbformat.v4.new_code_cell(source)
            for source in cells
        ]
        notebook = nbformat.v4.new_notebook(cells=made, metadata=metadata or {})
        path = self.work / name
        nbformat.write(notebook, path)
        return path

    def file(self, path: Path) -> Any:
        return json.loads(path.read_text())

    async def join(self, path: Path | str | None = None, **fields: Any) -> RawClient:
        client = await RawClient.join(self.places.socket, path, **fields)
        self._clients.append(client)
        return client

    async def connect(self, **fields: Any) -> RawClient:
        client = await RawClient.connect(self.places.socket, **fields)
        self._clients.append(client)
        return client

    async def control(self, method: str, **params: Any) -> Any:
        client = await self.connect(channel="control")
        try:
            return await client.request(method, **params)
        finally:
            client.close()

    def log_text(self) -> str:
        return self.places.log.read_text() if self.places.log.exists() else ""


async def until(condition: Any, what: str) -> Any:
    """Wait for something that no client is told about."""
    try:
        async with asyncio.timeout(30):
            while not (value := condition()):  # noqa: ASYNC110 - a condition of the world, no event
                await asyncio.sleep(0.01)
            return value
    except TimeoutError:
        raise AssertionError(f"waited in vain for {what}") from None


def alive(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    return b" Z " not in Path(f"/proc/{pid}/stat").read_bytes()


def kernels_alive(places: Places) -> list[KernelFile]:
    """The recorded kernels of which a process still runs; a directory may vanish meanwhile."""
    found = []
    for directory in places.supervisors.iterdir():
        with contextlib.suppress(FileNotFoundError, StoreError):
            file = read_kernel_file(directory)
            if file.supervisor_runs or file.kernel_runs:
                found.append(file)
    return found
