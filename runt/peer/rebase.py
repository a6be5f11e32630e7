"""Bringing unacknowledged changes into a document of another epoch.

Histories of two epochs must never be merged as updates, so the difference between the last acknowledged state
and ours is made again as ordinary edits. Not an undo and not a diff view. The invariant: text that only we
have is in the result; where the other side changed the same place, both stay.
"""

from __future__ import annotations

from pycrdt import Doc, Text

from runt.notebook import text
from runt.notebook.cell import Cell, CellKey
from runt.notebook.crdt import Origin
from runt.notebook.notebook_document import NewCell, NotebookDocument


def rebase(base: NotebookDocument, ours: NotebookDocument, theirs: NotebookDocument, origin: Origin) -> None:
    """Change ``theirs`` by what distinguishes ``ours`` from ``base`` (the state that both once had)."""
    with theirs.transaction(origin):
        for name in sorted(base.metadata.keys() | ours.metadata.keys()):
            value = ours.metadata.get(name)
            if value != base.metadata.get(name):
                theirs.set_metadata(name, value, origin)
        places = _Places(theirs)
        for key in [*ours.keys(), *ours.deleted_keys()]:
            _rebase_cell(base, ours.cell(key), theirs, places, origin)
        _insert_new(base, ours, theirs, places, origin)
        _rebase_order(base, ours, theirs, places, origin)


class _Places:
    """Which cell over there is ours: the same key, else the same unique id in the file."""

    def __init__(self, theirs: NotebookDocument) -> None:
        self._theirs = theirs
        by_file: dict[str, list[CellKey]] = {}
        for key in theirs.keys():  # noqa: SIM118 - a document, not a dict
            file_id = theirs.cell(key).file_id
            if file_id is not None:
                by_file.setdefault(file_id, []).append(key)
        self._by_file = {file_id: keys[0] for file_id, keys in by_file.items() if len(keys) == 1}
        self.inserted: dict[CellKey, CellKey] = {}

    def find(self, ours: Cell) -> CellKey | None:
        try:
            return self._theirs.cell(ours.key).key
        except KeyError:
            return self.inserted.get(ours.key) or self._by_file.get(ours.file_id or "")


def _base_cell(base: NotebookDocument, key: CellKey) -> Cell | None:
    try:
        return base.cell(key)
    except KeyError:
        return None


def _rebase_cell(
    base: NotebookDocument, ours: Cell, theirs: NotebookDocument, places: _Places, origin: Origin
) -> None:
    """Apply the changes of one cell that exists on the other side; a changed one that does not is inserted
    later.
    """
    before = _base_cell(base, ours.key)
    there = places.find(ours)
    if before is None or there is None:
        return
    if ours.source != before.source:
        target = theirs.cell(there)
        target.set_source(merged_text(before.source, ours.source, target.source), origin)
        # An edit of ours outlives a deletion of theirs.
        if target.deleted and not ours.deleted:
            theirs.restore_cell(there, origin)
    if ours.deleted != before.deleted:
        (theirs.delete_cell if ours.deleted else theirs.restore_cell)(there, origin)
    if ours.type != before.type:
        theirs.set_cell_type(there, ours.type, origin)
    for name in sorted(before.metadata.keys() | ours.metadata.keys()):
        value = ours.metadata.get(name)
        if value != before.metadata.get(name):
            theirs.set_cell_metadata(there, name, value, origin)
    if ours.attachments != before.attachments:
        theirs.set_cell_attachments(there, ours.attachments, origin)


def _insert_new(
    base: NotebookDocument, ours: NotebookDocument, theirs: NotebookDocument, places: _Places, origin: Origin
) -> None:
    """Insert the cells that we made, and those we changed that are nowhere over there, after the same
    neighbour.
    """
    order = ours.keys()
    for index, key in enumerate(order):
        cell = ours.cell(key)
        if places.find(cell) is not None:
            continue
        before = _base_cell(base, key)
        if before is not None and before.source == cell.source:
            continue  # purged or removed over there, and nothing of it is ours
        at = 0
        for neighbour in reversed(order[:index]):
            there = places.find(ours.cell(neighbour))
            if there is not None and there in theirs:
                at = theirs.index(there) + 1
                break
        new = NewCell(cell.type, cell.source, cell.metadata, cell.attachments, cell.file_id, cell.extra, key)
        places.inserted[key] = theirs.insert_cells(at, [new], origin)[0]


def _rebase_order(
    base: NotebookDocument, ours: NotebookDocument, theirs: NotebookDocument, places: _Places, origin: Origin
) -> None:
    """Move the cells that we moved behind the neighbour that they have with us."""
    order = ours.keys()
    for index, key in enumerate(order):
        cell = ours.cell(key)
        before = _base_cell(base, key)
        there = places.find(cell)
        if before is None or there is None or before.pos == cell.pos or there not in theirs:
            continue
        left = places.find(ours.cell(order[index - 1])) if index else None
        if left is not None and left not in theirs:
            continue
        at = 0 if left is None else theirs.index(left) + 1
        if theirs.index(there) < at:
            at -= 1
        theirs.move_cell(there, at, origin)


def merged_text(base: str, ours: str, theirs: str) -> str:
    """Merge two changes of one text; both insertions stay where both changed the same place."""
    if ours == theirs or theirs == base:
        return ours
    if ours == base:
        return theirs
    # Two replicas of the base, each changed by minimal edits: the CRDT does the rest.
    one: Doc[Text] = Doc()
    target = one.get("t", type=Text)
    target.insert(0, text.clean(base))
    other: Doc[Text] = Doc()
    copy = other.get("t", type=Text)
    other.apply_update(one.get_update())
    text.replace_all(target, ours)
    text.replace_all(copy, theirs)
    other.apply_update(one.get_update())
    return str(copy)
