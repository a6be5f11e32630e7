"""A notebook file as a value: its cells, its metadata, and how it was spelled.

It is not the document (``notebook_document.py``) and does no I/O. The invariant: values are in nbformat's
in-memory form (lines joined, missing lists and mappings filled in), and the raw bytes beside them are only
ever a memory of the file they came from: the writer compares before it uses them, so a stale one is
harmless.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from runt.notebook.cell import CellType

NBFORMAT = 4
"""The one major version that is read and written."""

DEFAULT_MINOR = 5

MIN_MINOR_WITH_IDS = 5
"""Cells have ids from nbformat 4.5 on."""


@dataclass(frozen=True, slots=True)
class FileStyle:
    """How JSON is spelled. The default is what nbformat (and so JupyterLab) writes.

    Attributes:
        indent: what one level is indented by; None puts everything on one line.
        item_separator: between items on one line; with ``indent`` a line end follows instead of a space.
        key_separator: between key and value.
        ascii: whether characters outside ASCII are escaped.
        newline: between lines.
        end: what follows the last brace.
        bom: whether the file begins with a UTF-8 byte order mark.
        split_lines: whether sources and text outputs are lists of lines.
        sort_keys: whether objects have their keys sorted.
    """

    indent: str | None = " "
    item_separator: str = ","
    key_separator: str = ": "
    ascii: bool = False
    newline: str = "\n"
    end: str = "\n"
    bom: bool = False
    split_lines: bool = True
    sort_keys: bool = True


@dataclass(frozen=True, slots=True)
class FileCell:
    """A cell of a file.

    Attributes:
        file_id: the ``id`` in the file as it is: maybe missing, not unique or not valid.
        outputs: nbformat outputs; None for cells that are not code.
        execution_count: None for "not run", and for cells that are not code.
        extra: the keys that nbformat does not know.
        raw: the bytes of a cell that this one was read from or replaces.
    """

    type: CellType
    source: str
    metadata: dict[str, Any] = field(default_factory=dict)
    file_id: str | None = None
    attachments: dict[str, Any] | None = None
    outputs: list[dict[str, Any]] | None = None
    execution_count: int | None = None
    extra: dict[str, Any] = field(default_factory=dict)
    raw: bytes | None = field(default=None, compare=False, repr=False)


@dataclass(frozen=True, slots=True)
class FileNotebook:
    """A notebook file, nbformat 4.

    Attributes:
        extra: the top-level keys that nbformat does not know.
        order: the top-level keys in the order of the file; empty for the usual one.
        raw: the bytes of each top-level value of the file this was read from, except of the cells.
    """

    nbformat_minor: int = DEFAULT_MINOR
    metadata: dict[str, Any] = field(default_factory=dict)
    cells: list[FileCell] = field(default_factory=list)
    extra: dict[str, Any] = field(default_factory=dict)
    style: FileStyle = FileStyle()
    order: Sequence[str] = field(default=(), compare=False)
    raw: Mapping[str, bytes] = field(default_factory=dict, compare=False, repr=False)
