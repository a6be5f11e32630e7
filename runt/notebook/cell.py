"""A cell: a view of one entry of the notebook document.

It holds no content of its own; every property reads the document. Invariant: reading never changes the
document and never fails because a field is missing or has the wrong type (a peer may be older, newer or
faulty).
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Literal, NewType, cast

from pycrdt import Map, Text

from runt.notebook import json_text, order_keys, text

if TYPE_CHECKING:
    from runt.notebook.crdt import Origin
    from runt.notebook.notebook_document import NotebookDocument

CellKey = NewType("CellKey", str)
"""Identity of a cell within its document; random, never reused. Not the id in the file."""

CellType = Literal["code", "markdown", "raw"]

CELL_TYPES: tuple[CellType, ...] = ("code", "markdown", "raw")


class Cell:
    """One cell, live or deleted. Two `Cell` objects of one key are interchangeable."""

    __slots__ = ("_document", "_fields", "key")

    def __init__(self, document: NotebookDocument, key: CellKey, fields: Map[Any]) -> None:
        self._document = document
        self._fields = fields
        self.key = key

    @property
    def type(self) -> CellType:
        """The cell's type; an unknown one counts as raw, a missing one as code."""
        value = self._fields.get("type")
        if value is None:
            return "code"
        return cast(CellType, value) if value in CELL_TYPES else "raw"

    @property
    def text(self) -> Text:
        """The source as a CRDT text, to be edited through `splice` or `runt.notebook.text` only.

        Raises:
            KeyError: the cell has no source (yet); `set_source` makes one.
        """
        value = self._fields.get("source")
        if not isinstance(value, Text):
            raise KeyError(f"cell {self.key} has no source")
        return value

    @property
    def source(self) -> str:
        """The source; empty when missing."""
        value = self._fields.get("source")
        return str(value) if isinstance(value, Text) else ""

    @property
    def deleted(self) -> bool:
        """Whether the cell is out of the notebook. It keeps its text and can be restored."""
        return bool(self._fields.get("deleted"))

    @property
    def pos(self) -> str | None:
        """The order key; None when it is missing or unusable (the cell then stands last)."""
        value = self._fields.get("pos")
        return value if order_keys.is_valid(value) else None

    @property
    def file_id(self) -> str | None:
        """The id in the file, which may be missing, invalid or not unique."""
        value = self._fields.get("file_id")
        return value if isinstance(value, str) else None

    @property
    def metadata(self) -> dict[str, Any]:
        """The metadata as a new dict, keys sorted."""
        return json_map(self._fields.get("metadata"))

    @property
    def attachments(self) -> dict[str, Any] | None:
        """The attachments (file name → MIME bundle), or None."""
        value = json_text.decode(self._fields.get("attachments"))
        return value if isinstance(value, dict) else None

    @property
    def extra(self) -> dict[str, Any]:
        """Keys of the cell in the file that nbformat does not know, keys sorted."""
        return json_map(self._fields.get("extra"))

    def splice(self, start: int, stop: int, new: str, origin: Origin) -> None:
        """Replace code points ``start:stop`` of the source.

        Raises:
            IndexError: the range is outside the source.
            KeyError: the cell has no source.
        """
        target = self.text
        with self._document.transaction(origin):
            text.splice(target, start, stop, new)

    def set_source(self, new: str, origin: Origin) -> None:
        """Make the source equal to ``new`` by minimal edits; others' concurrent typing survives."""
        with self._document.transaction(origin):
            value = self._fields.get("source")
            if isinstance(value, Text):
                text.replace_all(value, new)
            else:
                self._fields["source"] = Text(text.clean(new))

    def __repr__(self) -> str:
        return f"<Cell {self.key} {self.type}>"


def json_map(value: object) -> dict[str, Any]:
    """Read a Map of JSON texts, without the entries that are not JSON. Sorted: CRDT maps have no order."""
    if not isinstance(value, Map):
        return {}
    missing = object()
    decoded = ((key, json_text.decode(entry, missing)) for key, entry in sorted(value.items()))
    return {key: entry for key, entry in decoded if entry is not missing}
