"""Between a notebook file and a notebook document: one from the other.

It neither reads nor writes files, and outputs are only passed through: the document holds none. The
invariant: a document made from a file and not changed gives an equal file back.
"""

from __future__ import annotations

import re
from collections import defaultdict, deque
from collections.abc import Callable
from typing import Any, TypeAlias

from runt.notebook.cell import Cell, CellKey
from runt.notebook.file_notebook import (
    DEFAULT_MINOR,
    MIN_MINOR_WITH_IDS,
    NBFORMAT,
    FileCell,
    FileNotebook,
)
from runt.notebook.notebook_document import NewCell, NotebookDocument

ORIGIN = "file"
"""Who makes the cells of a document that is loaded from a file."""

_VALID_ID = re.compile(r"[A-Za-z0-9_-]{1,64}")

Outputs: TypeAlias = Callable[[CellKey], tuple[int | None, list[dict[str, Any]]]]
"""A cell's execution count and its outputs, in nbformat's in-memory form."""


def document_from_file(file: FileNotebook, notebook_id: str) -> NotebookDocument:
    """A new document, under a new epoch, that says what the file says, with its cells in their order."""
    document = NotebookDocument.create(
        notebook_id,
        metadata=file.metadata,
        extra=file.extra,
        nbformat=f"{NBFORMAT}.{file.nbformat_minor}",
    )
    if file.cells:
        document.insert_cells(0, [new_cell(cell) for cell in file.cells], ORIGIN)
    return document


def new_cell(cell: FileCell) -> NewCell:
    """What a document keeps of a file's cell."""
    return NewCell(
        type=cell.type,
        source=cell.source,
        metadata=cell.metadata,
        attachments=cell.attachments,
        file_id=cell.file_id,
        extra=cell.extra,
    )


def minor_version(document: NotebookDocument) -> int:
    """The minor version of the file format that the document is kept in."""
    major, _, minor = document.nbformat.partition(".")
    return int(minor) if major == str(NBFORMAT) and minor.isdecimal() else DEFAULT_MINOR


def file_from_document(
    document: NotebookDocument, outputs: Outputs, base: FileNotebook | None
) -> FileNotebook:
    """The file that the document and its outputs make.

    Args:
        base: the file as it was last read or written; its version and spelling are kept, and the bytes
            of what did not change.
    """
    minor = base.nbformat_minor if base is not None else minor_version(document)
    known = _KnownCells(base)
    cells: list[FileCell] = []
    live = list(map(document.cell, document.keys()))
    taken = {cell.file_id for cell in live if cell.file_id is not None}
    for cell in live:
        old = known.take(cell)
        file_id = cell.file_id if minor >= MIN_MINOR_WITH_IDS else None
        if file_id is None and minor >= MIN_MINOR_WITH_IDS and (old is None or old.file_id is not None):
            file_id = _id_for(cell.key, taken)
        cells.append(_file_cell(cell, file_id, outputs, old))
    if base is None:
        return FileNotebook(minor, document.metadata, cells, document.extra)
    return FileNotebook(minor, document.metadata, cells, document.extra, base.style, base.order, base.raw)


def _file_cell(cell: Cell, file_id: str | None, outputs: Outputs, old: FileCell | None) -> FileCell:
    count: int | None = None
    values: list[dict[str, Any]] | None = None
    if cell.type == "code":
        count, values = outputs(cell.key)
    return FileCell(
        type=cell.type,
        source=cell.source,
        metadata=cell.metadata,
        file_id=file_id,
        attachments=cell.attachments,
        outputs=values,
        execution_count=count,
        extra=cell.extra,
        raw=old.raw if old is not None else None,
    )


def _id_for(key: CellKey, taken: set[str]) -> str:
    """A valid id for a cell that the file does not have yet: its key, to be the same at the next save."""
    stem = key if _VALID_ID.fullmatch(key) else "".join(re.findall("[A-Za-z0-9_-]", key))[:48] or "cell"
    id_ = stem
    number = 2
    while id_ in taken:
        id_ = f"{stem}-{number}"
        number += 1
    taken.add(id_)
    return id_


class _KnownCells:
    """The cells of the last file, found by id, or by what they say where they have none of their own."""

    def __init__(self, base: FileNotebook | None) -> None:
        self._by_id: dict[str, deque[FileCell]] = defaultdict(deque)
        self._by_source: dict[tuple[str, str], deque[FileCell]] = defaultdict(deque)
        for cell in base.cells if base is not None else ():
            if cell.file_id is not None:
                self._by_id[cell.file_id].append(cell)
            else:
                self._by_source[cell.type, cell.source].append(cell)

    def take(self, cell: Cell) -> FileCell | None:
        """The file's cell that ``cell`` was, each only once."""
        found = (
            self._by_id.get(cell.file_id)
            if cell.file_id is not None
            else self._by_id.get(cell.key) or self._by_source.get((cell.type, cell.source))
        )
        return found.popleft() if found else None
