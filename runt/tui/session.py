"""What the app needs from an open notebook. ``runt.peer.notebook.Notebook`` satisfies it; so does a pair of
in-memory documents.

It is a description, not an implementation. The invariant: nothing here blocks; what takes time is a
coroutine.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import Any, Protocol

from runt.notebook.notebook_document import CellKey, NotebookDocument
from runt.notebook.runtime_document import RuntimeDocument
from runt.peer.events import ConnectionStatus, PeerEvent
from runt.tui.view.source import BlobSource


class Closing(Protocol):
    """Something that ends with ``close``."""

    def close(self) -> None:
        """End it. May be called twice."""


class PeerPresence(Protocol):
    """Where another peer is; ``anchor`` and ``head`` are code points in the source of ``cell``."""

    @property
    def name(self) -> str: ...
    @property
    def color(self) -> str: ...
    @property
    def cell(self) -> str | None: ...
    @property
    def anchor(self) -> int | None: ...
    @property
    def head(self) -> int | None: ...
    @property
    def mode(self) -> str: ...


class NotebookSession(Protocol):
    """An open notebook: a replica, and requests to the daemon. A request raises ``RuntError`` when it is
    refused."""

    @property
    def path(self) -> str | None:
        """Absolute path; None while the notebook has no file."""

    @property
    def room(self) -> str:
        """The room's UUID."""

    @property
    def peer_id(self) -> str:
        """Our own id among the peers."""

    @property
    def role(self) -> str:
        """What we may do: ``view``, ``edit`` or ``run``."""

    @property
    def document(self) -> NotebookDocument: ...

    @property
    def runtime(self) -> RuntimeDocument: ...

    @property
    def blobs(self) -> BlobSource: ...

    @property
    def status(self) -> ConnectionStatus: ...

    @property
    def peers(self) -> Mapping[str, PeerPresence]:
        """The others, by peer id."""

    def observe(self, callback: Callable[[PeerEvent], None]) -> Closing:
        """Call back with each event until the subscription is closed."""

    def set_presence(self, cell: CellKey | None, anchor: int | None, head: int | None, mode: str) -> None:
        """Say where we are."""

    async def execute(self, keys: Sequence[CellKey], *, allow_stdin: bool = False) -> Sequence[Any]:
        """Run cells as their source is now. ``RequestError("source_changed")`` if somebody edited them
        meanwhile. ``allow_stdin``: somebody is here to answer ``input()``."""

    async def answer(self, request: str, value: str) -> bool:
        """Answer what the kernel asks. False: somebody else was first, or nobody waits any more."""

    async def start_kernel(self, name: str | None = None) -> Any: ...

    async def interrupt(self) -> Any: ...

    async def restart(self) -> Any: ...

    async def shutdown_kernel(self) -> Any: ...

    async def save(self) -> Any: ...

    async def save_as(self, path: str) -> str:
        """Write to another file and go on with that one; returns its canonical path."""

    async def clear_outputs(self, keys: Sequence[CellKey]) -> Any: ...

    async def cancel(self, executions: Sequence[str] | None = None) -> Any: ...

    async def synced(self) -> Any:
        """Return when everything written so far is in the daemon's journal."""

    async def reconnect(self) -> Any:
        """Start the daemon again after it was stopped on purpose."""

    def spill(self) -> None:
        """Keep on disk what the daemon has not acknowledged. Blocks for an fsync, never raises."""

    async def close(self) -> Any:
        """Leave. What the daemon has not acknowledged is kept on disk."""


Opening = Awaitable[NotebookSession]
"""A notebook on its way. Raises ``RuntError`` when it cannot be opened."""
