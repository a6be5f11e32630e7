"""NotebookDocument: what people and agents write. Cells, their order, their text, the notebook's metadata.

::

    meta : Map { schema, epoch, notebook_id, nbformat, metadata: Map{key: json text}, extra: Map{key: json
    text} } cells: Map { <key>: Map { pos, type, source: Text, deleted, file_id?, metadata: Map{name: json
    text},
                              attachments?: json text, extra?: Map{name: json text} } }

Outputs and execution are not here (`runtime_document`). Order is ``(pos, key)``; moving, deleting and
changing the type are single last-writer-wins writes.

Invariant: a cell's entry is created once and never replaced or removed, so that whoever types in it keeps his
place; a deleted cell is one whose ``deleted`` is true.
"""

from __future__ import annotations

import uuid
from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import partial
from typing import Any

import msgspec
from pycrdt import Map, Text

from runt.notebook import json_text, text
from runt.notebook.cell import CELL_TYPES, Cell, CellKey, CellType, json_map
from runt.notebook.cell_order import CellOrder
from runt.notebook.crdt import CrdtDocument, Event, Origin
from runt.notebook.observers import Observers, Subscription
from runt.notebook.source_hash import source_hash

__all__ = [
    "SCHEMA",
    "Cell",
    "CellKey",
    "CellType",
    "NewCell",
    "NotebookChange",
    "NotebookDocument",
    "source_hash",
]

SCHEMA = "1"
NBFORMAT = "4.5"

_STRUCTURE = frozenset({"pos", "deleted"})


class NewCell(msgspec.Struct, frozen=True):
    """A cell to insert. ``key`` is made when None; the JSON values must be JSON."""

    type: CellType = "code"
    source: str = ""
    metadata: Mapping[str, Any] = msgspec.field(default_factory=dict)
    attachments: Mapping[str, Any] | None = None
    file_id: str | None = None
    extra: Mapping[str, Any] = msgspec.field(default_factory=dict)
    key: CellKey | None = None


class NotebookChange(msgspec.Struct, frozen=True):
    """What one transaction changed.

    Attributes:
        origin: who made the transaction.
        structure: which cells are live, or their order, changed.
        sources: the byte delta of each source that changed, for `text.delta_edits`; not those of new cells.
        cells: cells to read anew, their source too: those that are new, or of which a field besides pos,
            deleted and the text in source changed, or all of them after updates came out of order.
        meta: the notebook's metadata (or another meta field) changed.
    """

    origin: Origin
    structure: bool
    sources: Mapping[CellKey, list[dict[str, Any]]]
    cells: frozenset[CellKey]
    meta: bool


class NotebookDocument(CrdtDocument):
    """The notebook. The constructor makes an empty replica; `create` makes a new notebook."""

    def __init__(self) -> None:
        super().__init__({"meta": Map, "cells": Map})
        self._meta: Map[Any] = self._roots["meta"]
        self._cells: Map[Any] = self._roots["cells"]
        self._observers: Observers[NotebookChange] = Observers()
        self._watching = False
        self._order = CellOrder(self._cells)
        self._begin_change()

    @classmethod
    def create(
        cls,
        notebook_id: str,
        *,
        metadata: Mapping[str, Any] | None = None,
        extra: Mapping[str, Any] | None = None,
        nbformat: str = NBFORMAT,
    ) -> NotebookDocument:
        """Make a new notebook without cells, under a new random epoch. Only the owner of a room may."""
        metadata_texts, extra_texts = _json_texts(metadata or {}), _json_texts(extra or {})
        document = cls()
        with document.transaction("create"):
            meta = document._meta
            meta["schema"] = SCHEMA
            meta["epoch"] = uuid.uuid4().hex
            meta["notebook_id"] = notebook_id
            meta["nbformat"] = nbformat
            meta["metadata"] = Map(metadata_texts)
            meta["extra"] = Map(extra_texts)
        return document

    # meta

    @property
    def schema(self) -> str:
        """The schema that the document was made with; empty in a replica that is not synced yet."""
        return self._meta_text("schema")

    @property
    def epoch(self) -> str:
        """The random name of this history; documents of different epochs must never be merged."""
        return self._meta_text("epoch")

    @property
    def notebook_id(self) -> str:
        """The id of the room."""
        return self._meta_text("notebook_id")

    @property
    def nbformat(self) -> str:
        """Major and minor version of the file format, as ``"4.5"``."""
        return self._meta_text("nbformat")

    @property
    def metadata(self) -> dict[str, Any]:
        """The notebook's metadata as a new dict, keys sorted."""
        return json_map(self._meta.get("metadata"))

    @property
    def extra(self) -> dict[str, Any]:
        """Top-level keys of the file that nbformat does not know, keys sorted."""
        return json_map(self._meta.get("extra"))

    def set_metadata(self, name: str, value: Any | None, origin: Origin) -> None:
        """Set one metadata entry to a JSON value; None removes it."""
        self._set_json(self._meta, "metadata", name, value, origin)

    def set_extra(self, name: str, value: Any | None, origin: Origin) -> None:
        """Set one unknown top-level key to a JSON value; None removes it."""
        self._set_json(self._meta, "extra", name, value, origin)

    def _meta_text(self, name: str) -> str:
        value = self._meta.get(name)
        return value if isinstance(value, str) else ""

    # cells

    def keys(self) -> list[CellKey]:
        """The live cells in order, as a new list. Cached until membership or order changes."""
        return list(self._ordered())

    def __iter__(self) -> Iterator[CellKey]:
        """The live cells in order, as they are now."""
        return iter(self.keys())

    def __len__(self) -> int:
        """The number of live cells."""
        return len(self._ordered())

    def __bool__(self) -> bool:
        """Always true: an empty notebook is a notebook."""
        return True

    def __contains__(self, key: object) -> bool:
        """Whether a live cell has that key."""
        self._ordered()
        return key in self._order

    def index(self, key: CellKey) -> int:
        """The place of a live cell in the order, from 0.

        Raises:
            KeyError: no live cell has that key.
        """
        self._ordered()
        return self._order.index(key)

    def cell(self, key: CellKey) -> Cell:
        """The cell of that key, deleted or not.

        Raises:
            KeyError: there never was one.
        """
        fields = self._cells.get(key) if isinstance(key, str) else None
        if not isinstance(fields, Map):
            raise KeyError(key)
        return Cell(self, key, fields)

    def deleted_keys(self) -> list[CellKey]:
        """The deleted cells, in no particular order."""
        self._ordered()
        return [key for key in map(CellKey, self._cells.keys()) if key not in self._order]

    def insert_cell(
        self,
        index: int,
        type: CellType = "code",
        source: str = "",
        *,
        key: CellKey | None = None,
        metadata: Mapping[str, Any] | None = None,
        attachments: Mapping[str, Any] | None = None,
        file_id: str | None = None,
        extra: Mapping[str, Any] | None = None,
        origin: Origin,
    ) -> CellKey:
        """Insert a cell before the live cell ``index``; ``len(document)`` inserts at the end.

        Raises:
            IndexError: ``index`` is outside ``0..len``.
            ValueError: the key was used before, the type is unknown, or a value is not JSON.
        """
        cell = NewCell(type, source, metadata or {}, attachments, file_id, extra or {}, key)
        return self.insert_cells(index, [cell], origin)[0]

    def insert_cells(self, index: int, cells: Sequence[NewCell], origin: Origin) -> list[CellKey]:
        """Insert cells next to each other in one transaction; another peer's insertion there stays outside.

        Raises:
            IndexError, ValueError: as `insert_cell`; nothing was inserted.
        """
        keys = [cell.key if cell.key is not None else _new_key() for cell in cells]
        if len(set(keys)) != len(keys) or any(
            cell.key is not None and cell.key in self._cells for cell in cells
        ):
            raise ValueError("a cell key is used already")
        prepared = [_fields(cell) for cell in cells]
        self._watch_roots()  # the order is about to be cached
        with self.transaction(origin):
            for key, fields, pos in zip(keys, prepared, self._order.open_gap(index, len(keys)), strict=True):
                fields["pos"] = pos
                self._cells[key] = Map(fields)
            self._order.reread(keys)
        return keys

    def delete_cell(self, key: CellKey, origin: Origin) -> None:
        """Take a cell out of the notebook; its text stays and can be restored. KeyError as `cell`."""
        self._set_field(key, "deleted", True, origin)

    def restore_cell(self, key: CellKey, origin: Origin) -> None:
        """Bring a deleted cell back to its place. KeyError as `cell`."""
        self._set_field(key, "deleted", False, origin)

    def move_cell(self, key: CellKey, index: int, origin: Origin) -> None:
        """Move a live cell so that it stands at ``index`` afterwards.

        Raises:
            KeyError: no live cell has that key.
            IndexError: ``index`` is outside ``0..len - 1``.
        """
        if key not in self:
            raise KeyError(key)
        if not 0 <= index < len(self):
            raise IndexError(f"{index} is outside 0..{len(self) - 1}")
        if self.index(key) == index:
            return
        with self.transaction(origin):
            [pos] = self._order.open_gap(index, 1, moving=key)
            self._set_field(key, "pos", pos, origin)

    def set_cell_type(self, key: CellKey, type: CellType, origin: Origin) -> None:
        """Change what a cell is. KeyError as `cell`, ValueError for an unknown type."""
        self._set_field(key, "type", _checked_type(type), origin)

    def set_cell_metadata(self, key: CellKey, name: str, value: Any | None, origin: Origin) -> None:
        """Set one entry of a cell's metadata to a JSON value; None removes it. KeyError as `cell`."""
        self._set_json(self._fields_of(key), "metadata", name, value, origin)

    def set_cell_attachments(self, key: CellKey, value: Mapping[str, Any] | None, origin: Origin) -> None:
        """Replace a cell's attachments; None removes them. KeyError as `cell`."""
        self._set_field(key, "attachments", None if value is None else json_text.encode(dict(value)), origin)

    def set_cell_extra(self, key: CellKey, name: str, value: Any | None, origin: Origin) -> None:
        """Set one key that nbformat does not know on a cell; None removes it. KeyError as `cell`."""
        self._set_json(self._fields_of(key), "extra", name, value, origin)

    def set_cell_file_id(self, key: CellKey, file_id: str | None, origin: Origin) -> None:
        """Set the id that the cell has in the file. KeyError as `cell`."""
        self._set_field(key, "file_id", None if file_id is None else text.clean(file_id), origin)

    # observers

    def observe(self, callback: Callable[[NotebookChange], None]) -> Subscription:
        """Call back once per transaction that changed something, after it has ended."""
        self._watch_roots()
        return self._observers.add(callback)

    def _ordered(self) -> list[CellKey]:
        """The order, kept up to date by the events from now on; not to be changed."""
        self._watch_roots()
        return self._order.keys()

    def _watch_roots(self) -> None:
        """Begin to gather changes. Not before somebody asks: loading cells costs half as much unwatched."""
        if not self._watching:
            self._watching = True
            self._watch("cells", self._collect_cells)
            self._watch("meta", self._collect_meta)

    def _begin_change(self) -> None:
        self._structure = self._meta_changed = self._everything = False
        self._changed: set[CellKey] = set()
        self._deltas: dict[CellKey, list[dict[str, Any]]] = {}

    def _collect_meta(self, events: list[Event]) -> None:
        self._meta_changed = True

    def _collect_cells(self, events: list[Event]) -> None:
        for event in events:
            path = event.path
            if not path:
                self._structure = True
                self._everything = self._everything or event.keys is None
                keys = list(map(CellKey, event.keys or ()))
                self._changed.update(keys)
                self._order.reread(keys)
                continue
            key = CellKey(path[0])
            if len(path) == 1:
                if event.keys is None or not event.keys.isdisjoint(_STRUCTURE):
                    self._structure = True
                    self._order.reread([key])
                if event.keys is None or not event.keys <= _STRUCTURE:
                    self._changed.add(key)
            elif path[1:] == ["source"]:
                self._deltas[key] = event.delta
            else:
                self._changed.add(key)

    def _take_change(self, origin: Origin) -> Callable[[], None] | None:
        if not (self._structure or self._meta_changed or self._changed or self._deltas or self._doubtful):
            return None
        if self._everything or self._doubtful:
            self._structure = self._meta_changed = True
            self._deltas = {}
            self._changed.update(map(CellKey, self._cells.keys()))
            self._order.reread(self._changed)
        change = NotebookChange(
            origin, self._structure, self._deltas, frozenset(self._changed), self._meta_changed
        )
        self._begin_change()
        return partial(self._observers.deliver, change) if self._observers else None

    # fields

    def _fields_of(self, key: CellKey) -> Map[Any]:
        fields = self._cells.get(key)
        if not isinstance(fields, Map):
            raise KeyError(key)
        return fields

    def _set_field(self, key: CellKey, name: str, value: Any | None, origin: Origin) -> None:
        """Write a plain field unless it has that value; None removes it."""
        fields = self._fields_of(key)
        if fields.get(name) == value:
            return
        with self.transaction(origin):
            if value is None:
                del fields[name]
            else:
                fields[name] = value
            if name in ("pos", "deleted"):
                self._order.reread([key])

    def _set_json(self, parent: Map[Any], name: str, entry: str, value: Any | None, origin: Origin) -> None:
        """Write one entry of a map of JSON texts unless it has that value; None removes it."""
        entry = text.clean(entry)
        encoded = None if value is None else json_text.encode(value)
        entries = parent.get(name)
        if not isinstance(entries, Map):
            if encoded is not None:
                with self.transaction(origin):
                    parent[name] = Map({entry: encoded})
            return
        if entries.get(entry) == encoded:
            return
        with self.transaction(origin):
            if encoded is None:
                del entries[entry]
            else:
                entries[entry] = encoded


def _new_key() -> CellKey:
    return CellKey(uuid.uuid4().hex[:12])


def _checked_type(type: str) -> str:
    if type not in CELL_TYPES:
        raise ValueError(f"unknown cell type {type!r}")
    return type


def _json_texts(values: Mapping[str, Any]) -> dict[str, Any]:
    return {text.clean(name): json_text.encode(value) for name, value in values.items()}


def _fields(cell: NewCell) -> dict[str, Any]:
    """The entry of a new cell, without its order key. Validates: the transaction must not fail halfway."""
    fields: dict[str, Any] = {
        "pos": "",
        "type": _checked_type(cell.type),
        "source": Text(text.clean(cell.source)),
        "metadata": Map(_json_texts(cell.metadata)),
    }
    if cell.attachments is not None:
        fields["attachments"] = json_text.encode(dict(cell.attachments))
    if cell.file_id is not None:
        fields["file_id"] = text.clean(cell.file_id)
    if cell.extra:
        fields["extra"] = Map(_json_texts(cell.extra))
    return fields
