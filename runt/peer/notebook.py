"""A notebook as scripts and screens have it: a live replica and what can be asked of the daemon about it.

The connection and what mends it are in `room_session`. It draws nothing and writes no file. The invariant:
properties read the local replica at once; changes are made there first and never wait for the daemon to have
an effect.
"""

from __future__ import annotations

import os
import uuid
from collections.abc import Callable, Sequence
from typing import Any

from runt.errors import RequestError
from runt.notebook.cell import CellKey
from runt.notebook.notebook_document import NotebookDocument
from runt.notebook.observers import Subscription
from runt.notebook.runtime_document import RuntimeDocument
from runt.notebook.source_hash import source_hash
from runt.peer.cells import Cells
from runt.peer.daemon_start import DaemonStart
from runt.peer.events import ConnectionStatus, PeerEvent
from runt.peer.execution import Execution
from runt.peer.own_process import absolute_path, kernel_surroundings
from runt.peer.room_session import RoomSession
from runt.protocol.messages import Hello, Presence, Request, Role
from runt.store.blobs import BlobStore
from runt.store.places import Places


class Notebook:
    """Made by `Client.open_notebook` and its relatives. One event loop, one thread."""

    def __init__(
        self, places: Places, daemon: DaemonStart, hello: Hello, *, closed: Callable[[Notebook], None]
    ) -> None:
        self._session = RoomSession(places, daemon, hello)
        self._closed = closed
        self.cells = Cells(self)

    async def open(self) -> None:
        """Connect and wait for the initial sync; for `Client`. Raises as `Client.open_notebook`."""
        await self._session.open()

    @property
    def blobs(self) -> BlobStore:
        """Content of outputs that is too large for the document; read from disk."""
        return self._session.blobs

    # what it is

    @property
    def document(self) -> NotebookDocument:
        """The cells. Local transactions on it are sent at once. Replaced as `DocumentReplaced` says."""
        return self._session.replica.document

    @property
    def runtime(self) -> RuntimeDocument:
        """Kernel, queue, executions and outputs. Read-only."""
        return self._session.replica.runtime

    @property
    def room(self) -> str:
        """The room's UUID."""
        return self._session.welcome.room if self._session.welcome is not None else ""

    @property
    def path(self) -> str | None:
        """The file's canonical path, None while untitled."""
        return self.runtime.file.path or (
            self._session.welcome.path if self._session.welcome is not None else None
        )

    @property
    def peer_id(self) -> str:
        """Our id among the peers of the room, for as long as this connection lasts."""
        return self._session.welcome.peer if self._session.welcome is not None else ""

    @property
    def role(self) -> Role:
        """What we may do here."""
        return self._session.role

    @property
    def status(self) -> ConnectionStatus:
        """How the connection is, and how many local changes are not acknowledged."""
        return self._session.status

    @property
    def peers(self) -> dict[str, Presence]:
        """The other peers that show where they are, by peer id."""
        return dict(self._session.presence.others)

    def observe(self, callback: Callable[[PeerEvent], None]) -> Subscription:
        """Call back with what happens to the connection, the peers and the document objects."""
        return self._session.observers.add(callback)

    def set_presence(
        self,
        cell: str | None = None,
        anchor: int | None = None,
        head: int | None = None,
        mode: str = "",
        color: str = "",
    ) -> None:
        """Show the others where we are; a ``head`` (code points in the cell's source) means an editor is
        attached.
        """
        name = self._session.first_hello.client.name
        self._session.presence.set(
            Presence(name=name, color=color, cell=cell, anchor=anchor, head=head, mode=mode)
        )

    # requests

    async def request(self, method: str, /, **params: Any) -> Any:
        """Ask the daemon; returns its answer (JSON). A lost connection only delays it: the same id is sent
        again.

        Raises:
            RequestError: the daemon refused; ``code`` says why.
            ConnectionLost: the daemon was stopped, cannot be reached, or the notebook was closed.
        """
        return await self._session.call(lambda id_: Request(id=id_, method=method, params=params))

    async def execute(self, keys: Sequence[CellKey], *, allow_stdin: bool = False) -> list[Execution]:
        """Run cells in this order, with the sources that they have here now.

        ``allow_stdin``: somebody will `answer` what ``input()`` asks (`KernelView.question`). Without it,
        ``input()`` fails in the kernel instead of waiting for nobody.

        Raises:
            RequestError: ``source_changed``, ``no_kernel``, …: nothing of it runs.
            KeyError: no such cell.
        """
        runs = [
            {
                "execution": str(uuid.uuid4()),
                "cell": key,
                "source_hash": source_hash(self.document.cell(key).source),
            }
            for key in keys
        ]
        answer = await self._session.pinned("execute", {"runs": runs, "allow_stdin": allow_stdin})
        ids = answer["executions"]
        return [
            self._session.executions.begin(id_, key, self.runtime) for id_, key in zip(ids, keys, strict=True)
        ]

    async def answer(self, request: str, value: str) -> bool:
        """Answer what the kernel asks. False: somebody else was first, or nobody waits any more."""
        answer = await self.request("input_reply", request=request, value=value)
        return bool(answer["accepted"])

    async def start_kernel(self, name: str | None = None, *, cwd: str | None = None) -> None:
        """Start the kernel in ``cwd`` (else the notebook's directory, else this process's).

        It gets this process's environment, umask and time zone.
        """
        surroundings = kernel_surroundings(self.path)
        await self.request("kernel.start", name=name, **surroundings | ({"cwd": cwd} if cwd else {}))

    async def interrupt(self) -> None:
        """Interrupt what the kernel does."""
        await self.request("kernel.interrupt")

    async def restart(self) -> None:
        """Restart the kernel. The document and its outputs stay."""
        await self.request("kernel.restart")

    async def shutdown_kernel(self) -> None:
        """End the kernel."""
        await self.request("kernel.shutdown")

    async def run_all(self) -> list[Execution]:
        """Run every code cell, in order."""
        document = self.document
        keys = document.keys()
        return await self.execute([key for key in keys if document.cell(key).type == "code"])

    async def save(self) -> None:
        """Write the file."""
        await self._session.pinned("save", {})

    async def save_as(self, path: str | os.PathLike[str]) -> str:
        """Write to another file and go on with that one; returns its canonical path."""
        target = absolute_path(path)
        answer = await self._session.pinned("save_as", {"path": target})
        return str(answer["path"])

    async def clear_outputs(self, keys: Sequence[CellKey] | None = None) -> None:
        """Remove the outputs of these cells, or of all."""
        await self.request("clear_outputs", cells=None if keys is None else list(keys))

    async def cancel(self, executions: Sequence[str] | None = None) -> None:
        """Take waiting executions out of the queue: these ids, or all."""
        await self.request("cancel", executions=None if executions is None else list(executions))

    async def synced(self) -> None:
        """Wait until all that was written here so far is in the daemon's journal. Raises as `request`."""
        await self._session.settled("synced")

    async def durable(self) -> None:
        """As `synced`, and on the disk. Raises as `request`."""
        await self._session.settled("durable")

    # connection

    async def writable(self) -> None:
        """Wait while the connection is congested: for loops that write faster than the daemon reads.

        Raises:
            RequestError: ``role``: this notebook was opened to be looked at.
        """
        if self.role == "view":
            raise RequestError("role", "this notebook was opened for viewing only", hint="open it to edit")
        await self._session.writable()

    async def reconnect(self) -> None:
        """Try again after ``stopped`` or ``failed``, starting a daemon if none runs. Raises as opening
        does.
        """
        await self._session.link.reopen()

    def spill(self) -> None:
        """Write unacknowledged changes into the pending file at once, for a signal handler. Blocks, never
        raises.
        """
        self._session.spill.spill()

    async def close(self) -> None:
        """Leave. Changes that are not acknowledged within 2 s are kept in a file that the daemon merges."""
        await self._session.close()
        self._closed(self)
