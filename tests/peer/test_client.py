"""The client against the real daemon: open, edit, run, save, lose it, stop it."""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import shutil
import signal
import tempfile
from collections.abc import AsyncIterator
from pathlib import Path

import psutil
import pytest
import pytest_asyncio

import runt
from runt.errors import DaemonUnavailable, RequestError
from runt.peer.client import Client
from runt.store.daemon_record import DaemonRecord
from runt.store.places import Places
from tests.peer.small_daemon import until


class Home:
    """A real daemon's places and the notebooks beside them."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.places = Places.under(root)

    @property
    def daemon_pid(self) -> int:
        record = DaemonRecord.read(self.places.daemon_json)
        assert record is not None
        return record.pid

    def notebook(self, name: str, *sources: str) -> Path:
        """Write a notebook of code cells."""
        cells = [
            {
                "cell_type": "code",
                "id": f"c{index}",
                "metadata": {},
                "execution_count": None,
                "outputs": [],
                "source": source,
            }
            for index, source in enumerate(sources)
        ]
        path = self.root / name
        path.write_text(json.dumps({"cells": cells, "metadata": {}, "nbformat": 4, "nbformat_minor": 5}))
        return path


@pytest_asyncio.fixture
async def home() -> AsyncIterator[Home]:
    """A home whose daemon and kernels are ended afterwards."""
    root = Path(tempfile.mkdtemp(prefix="rt", dir="/tmp"))
    place = Home(root)
    try:
        yield place
    finally:
        with contextlib.suppress(DaemonUnavailable):
            await Client("cleaner", place.places).shutdown(kernels=True)
        await until(lambda: not processes_of(root), "our processes to end")
        shutil.rmtree(root)


def processes_of(root: Path) -> list[psutil.Process]:
    """Living processes (not zombies) that were started with these places."""
    found = []
    for process in psutil.process_iter():
        with contextlib.suppress(psutil.Error):
            ours = process.environ().get("RUNT_DATA_DIR", "").startswith(str(root))
            if ours and process.pid != os.getpid() and process.status() != psutil.STATUS_ZOMBIE:
                found.append(process)
    return found


async def test_the_promise_of_the_readme(home: Home) -> None:
    """Create, run, read the result, save: the file on disk has it all."""
    async with runt.Client(places=home.places) as client:
        notebook = await client.create_notebook(home.root / "a.ipynb")
        cell = await notebook.cells.create("print('hi')\n1 + 1")
        result = await cell.run(timeout=60)
        assert (result.status, result.execution_count, result.stdout) == ("ok", 1, "hi\n")
        assert result.outputs[1].data == {"text/plain": "2"}
        bad = await notebook.cells.create("1 / 0")
        failed = await bad.run(timeout=60)
        assert failed.error is not None
        assert failed.error.ename == "ZeroDivisionError"
        await notebook.synced()
        assert notebook.status.waiting == 0
        await notebook.durable()
        await notebook.save()
        saved = json.loads((home.root / "a.ipynb").read_text())
        assert [kept["cell_type"] for kept in saved["cells"]] == ["code", "code"]
        assert saved["cells"][0]["outputs"][0]["text"] in ("hi\n", ["hi\n"])


async def test_two_clients_share_a_notebook(home: Home) -> None:
    """One opens by path, the other joins by id; edits and outputs reach both."""
    path = home.notebook("b.ipynb", "x = 1")
    async with Client("ann", home.places) as ann, Client("bob", home.places) as bob:
        first = await ann.open_notebook(path)
        second = await bob.join_notebook(first.room)
        assert [cell.source for cell in second.cells] == ["x = 1"]
        await first.cells.get_by_index(0).append("\nx + 1")
        await until(lambda: second.cells.get_by_index(0).source == "x = 1\nx + 1", "the edit")
        result = await second.cells.get_by_index(0).run(timeout=60)
        assert result.outputs[0].text == "2"
        await until(
            lambda: [output.text for output in first.cells.get_by_index(0).outputs] == ["2"], "the output"
        )
        [listed] = await ann.list_notebooks()
        assert (listed["id"], listed["path"]) == (first.room, str(path))


async def test_a_killed_daemon_comes_back_with_everything(home: Home) -> None:
    """After kill -9 the client starts another and reconnects; edits before and during are in the journal."""
    path = home.notebook("c.ipynb", "a")
    async with Client("ann", home.places) as client:
        notebook = await client.open_notebook(path)
        await notebook.cells.create("before")
        seen: list[object] = []
        notebook.observe(seen.append)
        os.kill(home.daemon_pid, signal.SIGKILL)
        await until(lambda: seen, "the loss")
        assert notebook.status.state == "reconnecting"
        await notebook.cells.create("during")
        await until(
            lambda: notebook.status.state == "connected" and not notebook.status.waiting, "the connection"
        )
        other = await Client("bob", home.places).open_notebook(path)
        assert [cell.source for cell in other.cells] == ["a", "before", "during"]
        await other.close()


async def test_a_run_survives_the_daemon(home: Home) -> None:
    """A cell that runs while the daemon is killed ends, and its result reaches the client that waits."""
    path = home.notebook(
        "d.ipynb", "import time\nfor i in range(20):\n    print(i, flush=True)\n    time.sleep(0.05)"
    )
    async with Client("ann", home.places) as client:
        notebook = await client.open_notebook(path)
        execution = await notebook.cells.get_by_index(0).execute()
        await until(lambda: notebook.cells.get_by_index(0).outputs, "some output")
        os.kill(home.daemon_pid, signal.SIGKILL)
        result = await execution.result(60)
        assert result.ok
        assert result.stdout == "".join(f"{number}\n" for number in range(20))


async def test_what_a_killed_client_left_is_merged(home: Home) -> None:
    """Edits that a client made after the daemon was stopped are in the notebook when it is opened again."""
    path = home.notebook("e.ipynb", "a")
    async with Client("ann", home.places) as client:
        notebook = await client.open_notebook(path)
        await notebook.synced()
        await client.shutdown()
        await until(lambda: notebook.status.state == "stopped", "the stop")
        await until(lambda: not processes_of(home.root), "the daemon to end")
        await notebook.cells.create("left behind")
    async with Client("bob", home.places) as client:
        notebook = await client.open_notebook(path)
        assert [cell.source for cell in notebook.cells] == ["a", "left behind"]
        assert list((home.places.pending / notebook.room).iterdir()) == []


async def test_clients_that_come_at_once_start_one_daemon(home: Home) -> None:
    """A race of starts ends with one daemon, and everybody in one room."""
    path = home.notebook("f.ipynb", "a")
    clients = [Client(f"client {number}", home.places) for number in range(4)]
    notebooks = await asyncio.gather(*(client.open_notebook(path) for client in clients))
    assert len({notebook.room for notebook in notebooks}) == 1
    daemons = [process for process in processes_of(home.root) if "runt.daemon" in process.cmdline()]
    assert [process.pid for process in daemons] == [home.daemon_pid]
    for client in clients:
        await client.close()


@pytest.mark.parametrize(
    ("name", "content", "code"),
    [
        ("absent.ipynb", None, "not_found"),
        ("bad.ipynb", b"hello", "not_a_notebook"),
        ("", None, "is_directory"),
    ],
)
async def test_what_cannot_be_opened_is_refused_with_its_code(
    home: Home, name: str, content: bytes | None, code: str
) -> None:
    """A refusal keeps its code from the daemon to the exception."""
    path = home.root / name
    if content is not None:
        path.write_bytes(content)
    async with Client("ann", home.places) as client:
        with pytest.raises(RequestError) as caught:
            await client.open_notebook(path)
        assert caught.value.code == code


async def test_the_daemon_is_found_only_when_it_runs(home: Home) -> None:
    """Asking without leave to start says that none runs; with leave, one is there."""
    client = Client("ann", home.places)
    with pytest.raises(DaemonUnavailable):
        await client.status(start=False)
    assert (await client.status())["pid"] == home.daemon_pid
    assert await client.ping(start=False) >= 0
