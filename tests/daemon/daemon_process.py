"""A daemon as a process of its own, started the way a client starts it; for tests that kill it."""

from __future__ import annotations

import asyncio
import json
import os
import shutil
import signal
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

import nbformat

from runt.store.places import Places
from tests.daemon.daemon_in_loop import kernels_alive, until
from tests.daemon.raw_client import RawClient

START_PATIENCE_S = 30.0


class DaemonProcess:
    """``async with DaemonProcess() as process``. What it started is gone at the end, or the test fails."""

    def __init__(self) -> None:
        self.root = Path(tempfile.mkdtemp(prefix="rt", dir="/tmp"))
        self.places = Places.under(self.root)
        self.work = self.root / "w"
        self.work.mkdir()
        self.environment = {**os.environ, **self.places.environment(), "HOME": str(self.root)}
        self._started: list[subprocess.Popen[bytes]] = []
        self._clients: list[RawClient] = []

    async def __aenter__(self) -> DaemonProcess:
        self.places.prepare()
        assert await self.start() == "ready"
        return self

    async def __aexit__(self, *_: object) -> None:
        try:
            for client in self._clients:
                client.close()
            running = [process for process in self._started if process.poll() is None]
            if not running and any(self.places.supervisors.iterdir()):
                await self.start()
                running = [process for process in self._started if process.poll() is None]
            if running:
                await self.control("shutdown", kernels=True)
            for process in running:
                await asyncio.to_thread(process.wait, START_PATIENCE_S)
            await until(lambda: not kernels_alive(self.places), "the end of all kernels")
        finally:
            for process in self._started:
                if process.poll() is None:
                    process.kill()
                    process.wait()
            shutil.rmtree(self.root, ignore_errors=True)

    def spawn(self) -> tuple[subprocess.Popen[bytes], int]:
        """Start a daemon; returns it and the reading end of its ready pipe."""
        reading, writing = os.pipe()
        process = subprocess.Popen(
            [sys.executable, "-m", "runt.daemon", "--ready-fd", str(writing)],
            env=self.environment,
            cwd="/",
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            pass_fds=[writing],
            start_new_session=True,
        )
        os.close(writing)
        self._started.append(process)
        return process, reading

    async def start(self) -> str:
        """Start a daemon and return the line it says."""
        _, reading = self.spawn()
        return await asyncio.to_thread(read_line, reading)

    @property
    def process(self) -> subprocess.Popen[bytes]:
        """The daemon that was started last."""
        return self._started[-1]

    async def kill(self) -> None:
        """``kill -9``, without a word to anybody."""
        self.process.send_signal(signal.SIGKILL)
        await asyncio.to_thread(self.process.wait, START_PATIENCE_S)

    async def kill_and_start(self) -> None:
        await self.kill()
        assert await self.start() == "ready"

    def notebook(self, name: str, *cells: str) -> Path:
        path = self.work / name
        nbformat.write(
            nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell(cell) for cell in cells]), path
        )
        return path

    async def join(self, path: Path, **fields: Any) -> RawClient:
        client = await RawClient.join(self.places.socket, path, **fields)
        self._clients.append(client)
        return client

    async def control(self, method: str, **params: Any) -> Any:
        client = await RawClient.connect(self.places.socket, channel="control")
        try:
            return await client.request(method, **params)
        finally:
            client.close()

    def record(self) -> Any:
        return json.loads(self.places.daemon_json.read_text())


def read_line(descriptor: int) -> str:
    """What a ready pipe says until its end."""
    with os.fdopen(descriptor, "rb") as pipe:
        return pipe.read().decode().strip()
