"""Two clients that edit at random, a daemon that is killed at random, and what must hold after each kill.

Not a test itself: `test_crash_loop` runs it. The clients are the public ones (`runt.peer.client.Client`) in
this process, the daemon is the real one. The harness keeps books of every edit (one transaction each, so that the
client's count of waiting changes tells which are acknowledged) and, right after a kill, before any client had
a turn of the event loop, reads the journal that the dead daemon left: what was acknowledged must be in there,
not merely come back from a client's memory.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import random
import re
import shutil
import signal
import time
import uuid
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import nbformat

from runt.daemon.room_loading import restore
from runt.errors import ConnectionLost, RuntError
from runt.notebook.cell import CellKey
from runt.notebook.notebook_document import NotebookDocument
from runt.notebook.source_hash import source_hash
from runt.peer.client import Client
from runt.peer.notebook import Notebook
from runt.store.daemon_record import DaemonRecord
from runt.store.journal_database import open_room
from runt.store.places import Places
from tests.harness.house import PATIENCE_S, House

TOKEN = re.compile(r"«[a-z]\d+»")
FLOOD_LINES = 300
EFFECT = "with open({path!r}, 'a') as f: f.write('x')\nfor i in range({lines}): print('line', i, flush=True)"


async def until(condition: Callable[[], Any], what: str) -> None:
    """Wait for a condition; the failure says what was waited for."""
    end = time.monotonic() + PATIENCE_S
    while not condition():
        assert time.monotonic() < end, f"waited {PATIENCE_S:.0f} s in vain for {what}"
        await asyncio.sleep(0.01)


def contents(document: NotebookDocument, keys: set[CellKey]) -> dict[CellKey, tuple[str, bool]]:
    """Source and whether it is deleted, of each of these cells that the document has."""
    found = {}
    for key in keys:
        with contextlib.suppress(KeyError):
            cell = document.cell(key)
            found[key] = (cell.source, cell.deleted)
    return found


@dataclass
class Books:
    """What one peer did, in order: each entry is one transaction. ``added`` and ``erased`` are tokens."""

    name: str
    done: list[tuple[str, str]] = field(default_factory=list)

    def acknowledged(self, waiting: int) -> list[tuple[str, str]]:
        return self.done[: len(self.done) - waiting]


class Peer:
    """One client and its random edits."""

    def __init__(self, name: str, places: Places, choose: random.Random) -> None:
        self.books = Books(name)
        self.client = Client(name, places)
        self.notebook: Notebook
        self._choose = choose
        self._number = 0
        self._waiting = 0
        self._retrying: asyncio.Task[None] | None = None

    @property
    def waiting(self) -> int:
        return self.notebook.status.waiting

    def edit(self, made: set[CellKey], busy: CellKey) -> None:
        """One random edit of any cell but ``busy``."""
        document, choose = self.notebook.document, self._choose
        self._waiting = self.waiting
        cells = [key for key in document.keys() if key != busy]  # noqa: SIM118 - no mapping
        kind = choose.choices(("type", "erase", "new", "move", "delete"), (20, 4, 2, 2, 1))[0]
        if kind == "new" or len(cells) < 3:
            token = self._token()
            made.add(document.insert_cell(choose.randrange(len(document) + 1), "code", token, origin="api"))
            self._enter("added", token)
            return
        key = choose.choice(cells)
        source = document.cell(key).source
        if kind == "type":
            places = [0, *(match.end() for match in TOKEN.finditer(source))]
            token, at = self._token(), choose.choice(places)
            document.cell(key).splice(at, at, token, "api")
            self._enter("added", token)
        elif kind == "erase" and (tokens := list(TOKEN.finditer(source))):
            victim = choose.choice(tokens)
            document.cell(key).splice(victim.start(), victim.end(), "", "api")
            self._enter("erased", victim.group())
        elif kind == "move":
            document.move_cell(key, choose.randrange(len(document)), "api")
            self._enter("moved", key)
        elif kind == "delete":
            document.delete_cell(key, "api")
            self._enter("deleted", key)

    def _enter(self, kind: str, what: str) -> None:
        """Keep book of an edit if it was a transaction: moving a cell to its own place is none."""
        waiting, self._waiting = self._waiting, self.waiting
        if self._waiting != waiting:
            self.books.done.append((kind, what))

    def _token(self) -> str:
        self._number += 1
        return f"«{self.books.name}{self._number}»"

    def retry(self) -> None:
        """After three deaths in a minute runt gives up; a person would ask again."""
        if self.notebook.status.state == "failed" and (self._retrying is None or self._retrying.done()):
            self._retrying = asyncio.create_task(self._reconnect())

    async def _reconnect(self) -> None:
        with contextlib.suppress(RuntError):
            await self.notebook.reconnect()

    async def connected(self) -> None:
        """Wait until there is a daemon that has everything."""

        def settled() -> bool:
            self.retry()
            return self.notebook.status.state == "connected" and not self.waiting

        while True:
            await until(settled, f"{self.books.name} to be connected and acknowledged")
            try:
                await self.notebook.synced()  # an answer: the loss of a daemon is not seen at once
            except ConnectionLost:
                continue
            if not self.waiting:
                return


class CrashLoop:
    """Call `run` inside a house; it raises AssertionError when a promise is broken."""

    def __init__(self, house: House, seed: int) -> None:
        self.house = house
        self.choose = random.Random(seed)
        self.places = Places.from_environment(house.environment)
        self.path = house.path("crash.ipynb")
        self.effect = house.path("effect.txt")
        self.peers = [Peer(name, self.places, random.Random(f"{seed}{name}")) for name in "ab"]
        self.made: set[CellKey] = set()
        self.kills = 0
        self.checked = 0
        self.runs = 0

    async def run(self, kills: int) -> None:
        self._prepare()
        async with contextlib.AsyncExitStack() as stack:
            for peer in self.peers:
                await stack.enter_async_context(peer.client)
                peer.notebook = await peer.client.open_notebook(self.path)
            document = self.peers[0].notebook.document
            self.made |= set(document.keys())
            keys = document.keys()
            self.busy = next(key for key in keys if "open(" in document.cell(key).source)
            while self.kills < kills:
                await self._round()
            await self._compare_file()
            await self.peers[0].client.shutdown(kernels=True)
            await until(lambda: self._daemon() is None, "the end of the daemon")
        self._nothing_remains()

    def _prepare(self) -> None:
        cells = [EFFECT.format(path=str(self.effect), lines=FLOOD_LINES), "", ""]
        nbformat.write(
            nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell(cell) for cell in cells]), self.path
        )
        config = Path(self.house.environment["RUNT_CONFIG_DIR"])
        config.mkdir(mode=0o700, parents=True, exist_ok=True)
        # Saves as often as can be, so that kills fall into them.
        (config / "settings.json").write_text('{"autosave": {"delay_s": 0.1, "max_delay_s": 0.1}}')

    async def _round(self) -> None:
        """Edit and run, kill in the middle, perhaps again while the next daemon starts, then compare."""
        running = asyncio.create_task(self._execute()) if self.choose.random() < 0.5 else None
        editing = asyncio.create_task(self._edit_until_cancelled())
        try:
            for _ in range(self.choose.choice((1, 1, 2))):
                await asyncio.sleep(self.choose.uniform(0, 0.4))
                await self._kill()
        finally:
            editing.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await editing
        for peer in self.peers:
            await peer.connected()
        if running is not None:
            await self._check_run(await running)
        await self._compare()

    async def _edit_until_cancelled(self) -> None:
        while True:
            for _ in range(self.choose.randrange(1, 6)):
                self.choose.choice(self.peers).edit(self.made, self.busy)
            await asyncio.sleep(self.choose.uniform(0, 0.02))

    # -- the kill ---------------------------------------------------------------------------------

    async def _kill(self) -> None:
        """Kill whichever daemon there is, also one that is just starting or loading the notebook."""
        await until(self._daemon, "a daemon to kill")
        pid = self._daemon()
        assert pid is not None
        os.kill(pid, signal.SIGKILL)
        # No turn of the loop from here on: no client can mend anything before it was looked at.
        _wait_dead(pid)
        self.kills += 1
        self._check_journal()

    def _daemon(self) -> int | None:
        for peer in self.peers:
            peer.retry()
        record = DaemonRecord.read(self.places.daemon_json)
        return record.pid if record is not None and House._alive(record.pid) else None

    def _check_journal(self) -> None:
        with self._journal_copy() as copy:
            database, rows = open_room(copy)
            database.close(clean=False)
        found = rows.contents()
        documents = restore(found.snapshots, found.updates, "test")
        assert documents is not None, "no notebook in the journal"
        document = NotebookDocument()
        document.apply(documents.notebook, "test")
        self._check_books(contents(document, self.made), "the journal")

    @contextlib.contextmanager
    def _journal_copy(self) -> Iterator[Path]:
        """A copy, since looking into a database changes it."""
        original = self.places.rooms / f"{self.peers[0].notebook.room}.db"
        directory = self.house.root / "copy"
        directory.mkdir()
        try:
            for path in original.parent.glob(original.name + "*"):
                shutil.copy(path, directory)
            yield directory / original.name
            assert not list(directory.glob("*.corrupt*")), "the journal of a killed daemon is damaged"
        finally:
            shutil.rmtree(directory)

    # -- the books --------------------------------------------------------------------------------

    def _check_books(self, cells: dict[CellKey, tuple[str, bool]], where: str) -> None:
        """What is acknowledged is in ``cells``, and nothing is there twice."""
        counts = Counter(token for source, _ in cells.values() for token in TOKEN.findall(source))
        doubled = [token for token, count in counts.items() if count > 1]
        assert not doubled, f"twice in {where}: {doubled}"
        facts = [fact for peer in self.peers for fact in peer.books.acknowledged(peer.waiting)]
        erased = {token for peer in self.peers for kind, token in peer.books.done if kind == "erased"}
        for kind, what in facts:
            if kind == "added" and what not in erased:
                assert counts[what], f"acknowledged, and missing in {where}: {what}"
            elif kind == "erased":
                assert not counts[what], f"acknowledged as erased, and still in {where}: {what}"
            elif kind == "deleted":
                assert cells[CellKey(what)][1], f"acknowledged as deleted, and still in {where}: {what}"
        self.checked += len(facts)

    async def _compare(self) -> None:
        """Both clients, and one that has never been here, see the same notebook: that of the books."""
        documents = [peer.notebook.document for peer in self.peers]
        await until(lambda: self._view(documents[0]) == self._view(documents[1]), "the clients to converge")
        async with Client("c", self.places) as third:
            notebook = await third.open_notebook(self.path)
            await until(lambda: self._view(notebook.document) == self._view(documents[0]), "a third to agree")
        self._check_books(contents(documents[0], self.made), "the notebook")
        keys = documents[0].keys()
        assert len(keys) == len(set(keys))
        assert set(keys) <= self.made, "a cell that nobody made"

    def _view(self, document: NotebookDocument) -> Any:
        return document.keys(), contents(document, self.made)

    # -- runs -------------------------------------------------------------------------------------

    async def _execute(self) -> str:
        """Accepted at some time, whatever happens to daemons meanwhile; returns the execution's id."""
        notebook = self.peers[0].notebook
        source = notebook.document.cell(self.busy).source
        # One id for all attempts: a run that was accepted without our knowing must not happen twice.
        run = {"execution": str(uuid.uuid4()), "cell": self.busy, "source_hash": source_hash(source)}
        while True:
            try:
                await notebook.request("execute", runs=[run])
            except ConnectionLost:
                await until(lambda: notebook.status.state == "connected", "a connection")
            else:
                return run["execution"]

    async def _check_run(self, execution: str) -> None:
        """It ran once and its output is complete, in order, once."""
        notebook = self.peers[0].notebook

        def ended() -> bool:
            view = notebook.runtime.execution(self.busy)
            return view is not None and view.id == execution and view.ended is not None

        await until(ended, "the end of the run")
        self.runs += 1
        [cell] = [cell for cell in notebook.cells if cell.id == self.busy]
        assert cell.status == "ok", (cell.status, [output.to_nbformat() for output in cell.outputs])
        printed = "".join(output.text for output in cell.outputs)
        assert printed == "".join(f"line {number}\n" for number in range(FLOOD_LINES))
        assert self.effect.read_text() == "x" * self.runs

    # -- the end ----------------------------------------------------------------------------------

    async def _compare_file(self) -> None:
        """A last save writes what the clients see."""
        notebook = self.peers[0].notebook
        await notebook.save()
        expected = [cell.source for cell in notebook.cells]
        assert [cell.source for cell in nbformat.read(self.path, as_version=4).cells] == expected

    def _nothing_remains(self) -> None:
        """No temporary file beside the notebook, no socket, no directory of a kernel, no pending edit."""
        names = {path.name for path in self.path.parent.iterdir()}
        assert names <= {"crash.ipynb", "effect.txt"}, names
        assert not list(self.places.supervisors.iterdir())
        assert not list(self.places.kernel_sockets.iterdir())
        assert not list(self.places.pending.glob("*/*"))


def _wait_dead(pid: int) -> None:
    """Block until the child has ended; whoever started it collects its status."""
    os.waitid(os.P_PID, pid, os.WEXITED | os.WNOWAIT)
