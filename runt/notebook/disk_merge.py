"""A file that changed on disk, merged into the document as ordinary edits.

It reads no file and knows nothing of outputs. The invariant: after ``equalise`` the live cells say what the
file says, and what was equal was not touched, so that whoever types at the same time keeps every character.

``merge_from_disk`` edits a fork of the document as it was when the file was last saved. So the document's own
changes since then and the file's are concurrent, and merge like those of two people.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from runt.errors import LocalProtocolError
from runt.notebook.cell import Cell, CellKey
from runt.notebook.cell_matching import longest_ascending, match_cells
from runt.notebook.crdt import Origin
from runt.notebook.exchange import new_cell
from runt.notebook.file_notebook import FileCell, FileNotebook
from runt.notebook.json_writer import same_json
from runt.notebook.notebook_document import NotebookDocument

ORIGIN = "disk"
"""Who makes the edits that a changed file stands for."""


def equalise(document: NotebookDocument, file: FileNotebook, origin: Origin) -> dict[int, CellKey]:
    """Make the live cells and the metadata equal the file's by minimal edits, in one transaction.

    Returns the key of each of the file's cells, by index. Cells that are not in the file are deleted (and
    can be restored); a deleted cell whose id is in the file is restored.
    """
    keys, _ = _equalise(document, file, origin)
    return keys


def merge_from_disk(
    live: NotebookDocument, base_update: bytes, file: FileNotebook, fork: NotebookDocument | None = None
) -> dict[int, CellKey]:
    """Merge a changed file into ``live``. Returns the key of each of the file's cells, by index.

    A cell that was edited in the file and meanwhile deleted in ``live`` comes back: an edit is never lost.

    Args:
        base_update: the state of the document (`update_since()`) when the file was last equal to it.
        fork: an empty document that is left saying what the file says: the base of the next merge.

    Raises:
        LocalProtocolError: the base is of another epoch than ``live``.
        DamagedUpdate: the base cannot be applied.
    """
    scratch = fork is None
    fork = fork or NotebookDocument()
    fork.apply(base_update, ORIGIN)
    if fork.epoch != live.epoch:
        raise LocalProtocolError("the base of a merge is of another epoch than the document")
    before = fork.state()
    keys, edited = _equalise(fork, file, ORIGIN)
    live.apply(fork.update_since(before), ORIGIN)
    if scratch:
        fork.close()
    with live.transaction(ORIGIN):
        for key in edited:
            if live.cell(key).deleted:
                live.restore_cell(key, ORIGIN)
    return keys


def _equalise(
    document: NotebookDocument, file: FileNotebook, origin: Origin
) -> tuple[dict[int, CellKey], set[CellKey]]:
    """As `equalise`; also the keys of the cells whose text was changed."""
    keys = match_cells(document, file)
    edited: set[CellKey] = set()
    with document.transaction(origin):
        kept = set(keys.values())
        for key in document.keys():  # noqa: SIM118 - it is no mapping
            if key not in kept:
                document.delete_cell(key, origin)
        for key in kept:
            if document.cell(key).deleted:
                document.restore_cell(key, origin)
        _put_in_order(document, file, keys, origin)
        for index, wanted in enumerate(file.cells):
            if _edit_cell(document, document.cell(keys[index]), wanted, origin):
                edited.add(keys[index])
        _edit_entries(document.metadata, file.metadata, lambda n, v: document.set_metadata(n, v, origin))
        _edit_entries(document.extra, file.extra, lambda n, v: document.set_extra(n, v, origin))
    return keys, edited


def _put_in_order(
    document: NotebookDocument, file: FileNotebook, keys: dict[int, CellKey], origin: Origin
) -> None:
    """Move as few cells as possible, and insert the new ones; ``keys`` becomes complete."""
    places = [document.index(keys[index]) for index in sorted(keys)]
    staying = longest_ascending(places)
    moving = {keys[index] for index in keys if document.index(keys[index]) not in staying}
    before: CellKey | None = None
    index = 0
    while index < len(file.cells):
        at = 0 if before is None else document.index(before) + 1
        if index in keys:
            key = keys[index]
            if key in moving:
                document.move_cell(key, at if document.index(key) >= at else at - 1, origin)
            index += 1
        else:
            stop = index
            while stop < len(file.cells) and stop not in keys:
                stop += 1
            new = [new_cell(cell) for cell in file.cells[index:stop]]
            made = document.insert_cells(at, new, origin)
            keys.update(zip(range(index, stop), made, strict=True))
            index, key = stop, made[-1]
        before = key


def _edit_cell(document: NotebookDocument, cell: Cell, wanted: FileCell, origin: Origin) -> bool:
    """Make one cell say what the file says; whether its text was changed."""
    key = cell.key
    edited = cell.source != wanted.source
    if edited:
        cell.set_source(wanted.source, origin)
    if cell.type != wanted.type:
        document.set_cell_type(key, wanted.type, origin)
    _edit_entries(cell.metadata, wanted.metadata, lambda n, v: document.set_cell_metadata(key, n, v, origin))
    _edit_entries(cell.extra, wanted.extra, lambda n, v: document.set_cell_extra(key, n, v, origin))
    if not same_json(cell.attachments, wanted.attachments):
        document.set_cell_attachments(key, wanted.attachments, origin)
    if wanted.file_id is not None and wanted.file_id != (cell.file_id or key):
        document.set_cell_file_id(key, wanted.file_id, origin)
    return edited


def _edit_entries(
    have: Mapping[str, Any], wanted: Mapping[str, Any], set_entry: Callable[[str, Any], None]
) -> None:
    """Set what differs, one entry at a time, so that others' entries stay."""
    missing = object()
    for name in have:
        if name not in wanted:
            set_entry(name, None)
    for name, value in wanted.items():
        if not same_json(have.get(name, missing), value):
            set_entry(name, value)
