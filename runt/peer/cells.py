"""Cells as scripts use them: reading the replica, writing to it, running.

No state of its own beyond a cell's key. The invariant: a `Cell` of a deleted or unknown key raises `KeyError`
when it is used, and never another cell's content.

Methods that write are coroutines since they wait, for as long as the connection is congested, before they
write; they do not wait for the daemon (`Notebook.synced` does).
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator
from typing import TYPE_CHECKING, Any

from runt.notebook import text
from runt.notebook.cell import Cell as DocumentCell
from runt.notebook.cell import CellKey, CellType
from runt.peer.execution import Execution, Result
from runt.peer.output import Output
from runt.peer.output_stream import StreamEvent

if TYPE_CHECKING:
    from runt.peer.notebook import Notebook

ORIGIN = "api"
"""Origin of the transactions made here."""


class Cell:
    """One cell of a live notebook. Two objects of one ``id`` are interchangeable."""

    def __init__(self, notebook: Notebook, key: CellKey) -> None:
        self._notebook = notebook
        self.id = key

    @property
    def _cell(self) -> DocumentCell:
        cell = self._notebook.document.cell(self.id)
        if cell.deleted:
            raise KeyError(self.id)
        return cell

    @property
    def type(self) -> CellType:
        """``code``, ``markdown`` or ``raw``."""
        return self._cell.type

    @property
    def source(self) -> str:
        """The source."""
        return self._cell.source

    @property
    def metadata(self) -> dict[str, Any]:
        """The metadata, as a new dict."""
        return self._cell.metadata

    @property
    def index(self) -> int:
        """The place in the notebook, from 0."""
        return self._notebook.document.index(self.id)

    @property
    def outputs(self) -> list[Output]:
        """The outputs of the current execution."""
        return [Output(entry, self._notebook.blobs) for entry in self._notebook.runtime.outputs(self.id)]

    @property
    def execution_count(self) -> int | None:
        """The count of the current execution."""
        view = self._notebook.runtime.execution(self.id)
        return view.count if view is not None else None

    @property
    def status(self) -> str | None:
        """``loaded``, ``running``, ``ok``, ``error`` or ``cancelled``; None when the cell never ran."""
        view = self._notebook.runtime.execution(self.id)
        return view.status if view is not None else None

    async def set_source(self, source: str) -> None:
        """Make the source equal to this, by minimal edits."""
        await self._notebook.writable()
        self._cell.set_source(source, ORIGIN)

    async def append(self, source: str) -> None:
        """Add to the end of the source."""
        await self._notebook.writable()
        cell = self._cell
        with self._notebook.document.transaction(ORIGIN):
            text.append(cell.text, source)

    async def splice(self, start: int, stop: int, new: str) -> None:
        """Replace code points ``start:stop`` of the source. Raises `IndexError` outside of it."""
        await self._notebook.writable()
        self._cell.splice(start, stop, new, ORIGIN)

    async def set_type(self, type: CellType) -> None:
        """Change what the cell is."""
        await self._notebook.writable()
        self._notebook.document.set_cell_type(self._cell.key, type, ORIGIN)

    async def set_metadata(self, name: str, value: Any | None) -> None:
        """Set one entry of the metadata to a JSON value; None removes it."""
        await self._notebook.writable()
        self._notebook.document.set_cell_metadata(self._cell.key, name, value, ORIGIN)

    async def move_after(self, other: Cell | None) -> None:
        """Move behind another cell, or to the beginning."""
        await self._notebook.writable()
        document = self._notebook.document
        at = 0 if other is None else document.index(other.id) + 1
        document.move_cell(self.id, at - (document.index(self.id) < at), ORIGIN)

    async def delete(self) -> None:
        """Take the cell out of the notebook."""
        await self._notebook.writable()
        self._notebook.document.delete_cell(self._cell.key, ORIGIN)

    async def execute(self) -> Execution:
        """Run it with the source it has here now; returns when it is queued. Raises as `Notebook.execute`."""
        [execution] = await self._notebook.execute([self._cell.key])
        return execution

    async def run(self, timeout: float | None = None) -> Result:  # noqa: ASYNC109 - the public API's word
        """Run it and wait for the end; ``timeout`` in seconds. Raises as `execute` and `Execution.result`."""
        return await (await self.execute()).result(timeout)

    async def stream(self) -> AsyncIterator[StreamEvent]:
        """Run it and yield what it prints and shows, as it arrives. Raises as `run`."""
        execution = await self.execute()
        async for event in execution.stream():
            yield event

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Cell) and other._notebook is self._notebook and other.id == self.id

    def __hash__(self) -> int:
        return hash(self.id)

    def __repr__(self) -> str:
        return f"<Cell {self.id}>"


class Cells:
    """The live cells, in order."""

    def __init__(self, notebook: Notebook) -> None:
        self._notebook = notebook

    @property
    def ids(self) -> list[CellKey]:
        """The ids, in order."""
        return self._notebook.document.keys()

    def __len__(self) -> int:
        return len(self._notebook.document)

    def __iter__(self) -> Iterator[Cell]:
        return (Cell(self._notebook, key) for key in self.ids)

    def __contains__(self, cell: object) -> bool:
        return (cell.id if isinstance(cell, Cell) else cell) in self._notebook.document

    async def create(self, source: str = "", type: CellType = "code") -> Cell:
        """Add a cell at the end."""
        return await self.insert_at(len(self), source, type)

    async def insert_at(self, index: int, source: str = "", type: CellType = "code") -> Cell:
        """Insert a cell before number ``index``; ``len(cells)`` is the end. Raises `IndexError` outside."""
        await self._notebook.writable()
        return Cell(self._notebook, self._notebook.document.insert_cell(index, type, source, origin=ORIGIN))

    def get_by_id(self, id_: str) -> Cell:
        """The cell of that id. Raises `KeyError`."""
        if id_ not in self._notebook.document:
            raise KeyError(id_)
        return Cell(self._notebook, CellKey(id_))

    def get_by_index(self, index: int) -> Cell:
        """Cell number ``index``, negative from the end. Raises `IndexError`."""
        return Cell(self._notebook, self.ids[index])

    def find(self, part: str) -> list[Cell]:
        """The cells whose source contains that text."""
        return [cell for cell in self if part in cell.source]
