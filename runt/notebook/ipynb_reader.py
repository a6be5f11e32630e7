"""Reading ``.ipynb``: bytes in, a ``FileNotebook`` out, or an error that says where and why.

It repairs nothing and opens no file. The invariant: whatever is accepted can be written again without loss,
and every refusal is a ``NotebookFileError`` with a line and a column wherever there is one.

Values come from msgspec, which also gives the bytes of each cell for free. Where it refuses, the standard
library's parser decides: it names the place of an error, and accepts lone surrogates, which kernels do print.
"""

from __future__ import annotations

import json
import math
import re
from collections.abc import Mapping
from typing import Any, NoReturn

import msgspec

from runt.errors import NotebookFileError
from runt.notebook.cell import CELL_TYPES
from runt.notebook.file_notebook import MIN_MINOR_WITH_IDS, NBFORMAT, FileCell, FileNotebook, FileStyle
from runt.notebook.ipynb_style import UTF8_BOM, style_of
from runt.notebook.manifests import joined
from runt.notebook.mime import is_json_mime

_CONFLICT = re.compile(r"^(?:<{7}|\|{7}|={7}|>{7})(?: .*)?$", re.MULTILINE)
_UTF16_BOMS = (b"\xff\xfe", b"\xfe\xff")
_NOT_A_NUMBER = re.compile(r'"(?:[^"\\]|\\.)*"|(-?(?:NaN|Infinity)\b|-?[0-9.]+[eE]\+?[0-9]+)')
_SAMPLE_CELLS = 20
"""Cells that are looked at to tell a file's habits."""

_as_object = msgspec.json.Decoder(dict[str, msgspec.Raw])
_as_list = msgspec.json.Decoder(list[msgspec.Raw])
_as_value = msgspec.json.Decoder()

_KNOWN_TOP = frozenset(("cells", "metadata", "nbformat", "nbformat_minor"))
_KNOWN_OF_EVERY_CELL = frozenset(("cell_type", "source", "metadata", "id", "attachments"))
_KNOWN_OF_CODE = _KNOWN_OF_EVERY_CELL | {"outputs", "execution_count"}


def read_ipynb(data: bytes, name: str) -> FileNotebook:
    """The notebook in ``data``; ``name`` (a path) is for error messages.

    Raises:
        NotebookFileError: it is not JSON, not a notebook, of nbformat 3 or older or 5 or newer, or not UTF-8.
    """
    body = _utf8_body(data, name)
    try:
        raw = {key: bytes(value) for key, value in _as_object.decode(body).items()}
        fields = {key: _as_value.decode(value) for key, value in raw.items()}
        raw_cells = [bytes(cell) for cell in _as_list.decode(raw.pop("cells", b"[]"))]
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
        raw, raw_cells = {}, []
        fields = _read_slowly(body, name)
    minor = _minor_version(fields, name)
    cells = fields["cells"]
    if not isinstance(cells, list):
        raise NotebookFileError(name, "not a notebook: its cells are not a list")
    metadata = fields.get("metadata")
    if metadata is not None and not isinstance(metadata, dict):
        raise NotebookFileError(name, "not a notebook: its metadata is not an object")
    read_cells = []
    for index, cell in enumerate(cells):
        try:
            read_cells.append(read_cell(cell, minor, raw_cells[index] if raw_cells else None))
        except ValueError as error:
            raise NotebookFileError(name, f"cell {index + 1}: {error}") from error
    return FileNotebook(
        nbformat_minor=minor,
        metadata=metadata or {},
        cells=read_cells,
        extra={key: value for key, value in fields.items() if key not in _KNOWN_TOP},
        style=_style(data, fields, cells),
        order=tuple(fields),
        raw=raw,
    )


def read_cell(fields: object, minor: int, raw: bytes | None) -> FileCell:
    """One cell from its JSON value.

    Raises:
        ValueError: it is not a cell; the message says why.
    """
    if not isinstance(fields, dict):
        raise ValueError("not an object")
    type_ = fields.get("cell_type")
    if type_ not in CELL_TYPES:
        raise ValueError(f"unknown cell type {type_!r}")
    source = joined(fields.get("source", ""))
    if not isinstance(source, str):
        raise ValueError("its source is neither text nor a list of lines")
    file_id = fields.get("id")
    known = _KNOWN_OF_CODE if type_ == "code" else _KNOWN_OF_EVERY_CELL
    extra = {} if fields.keys() <= known else {key: fields[key] for key in fields if key not in known}
    if file_id is not None and (not isinstance(file_id, str) or minor < MIN_MINOR_WITH_IDS):
        extra["id"] = file_id
        file_id = None
    outputs = count = None
    if type_ == "code":
        outputs = [normal_output(value) for value in _expect(fields, "outputs", list)]
        count = _count(fields.get("execution_count"))
    return FileCell(
        type=type_,
        source=source,
        metadata=_expect(fields, "metadata", dict),
        file_id=file_id,
        attachments=normal_attachments(fields.get("attachments")),
        outputs=outputs,
        execution_count=count,
        extra=extra,
        raw=raw,
    )


def _expect(fields: Mapping[str, Any], name: str, kind: type) -> Any:
    """A field that may be missing or null."""
    value = fields.get(name)
    if value is None:
        return kind()
    if not isinstance(value, kind):
        raise ValueError(f"its {name} are not a JSON {'object' if kind is dict else 'array'}")
    return value


def _count(value: object) -> int | None:
    if isinstance(value, float) and value.is_integer():
        return int(value)
    return value if isinstance(value, int) and not isinstance(value, bool) else None


def normal_attachments(value: object) -> dict[str, Any] | None:
    """Attachments in nbformat's in-memory form."""
    if not isinstance(value, dict):
        return None
    return {name: _bundle(bundle) if isinstance(bundle, dict) else bundle for name, bundle in value.items()}


def normal_output(value: object) -> dict[str, Any]:
    """An output in nbformat's in-memory form."""
    if not isinstance(value, dict):
        raise ValueError("one of its outputs is not an object")
    kind = value.get("output_type")
    output = dict(value)
    if kind in ("display_data", "execute_result"):
        data = output.get("data")
        output["data"] = _bundle(data) if isinstance(data, dict) else {}
        output.setdefault("metadata", {})
        if kind == "execute_result":
            output.setdefault("execution_count", None)
    elif kind == "stream":
        output.setdefault("name", "stdout")
        output["text"] = joined(output.get("text", ""))
    return output


def _bundle(bundle: Mapping[str, Any]) -> dict[str, Any]:
    return {mime: value if is_json_mime(mime) else joined(value) for mime, value in bundle.items()}


def _style(data: bytes, fields: Mapping[str, Any], cells: list[dict[str, Any]]) -> FileStyle:
    sample = cells[:_SAMPLE_CELLS]
    with_text = [cell["source"] for cell in sample if cell.get("source")]
    return style_of(
        data,
        split_lines=not with_text or any(isinstance(source, list) for source in with_text),
        sort_keys=all(list(keys) == sorted(keys) for keys in (fields, *sample)),
    )


# -- what is wrong


def _utf8_body(data: bytes, name: str) -> bytes:
    """The bytes without a byte order mark, unless they are plainly something else than UTF-8."""
    if data.startswith(UTF8_BOM):
        data = data[len(UTF8_BOM) :]
    if not data.strip():
        raise NotebookFileError(name, "the file is empty", hint="delete it to start a new notebook there")
    if data.startswith(_UTF16_BOMS) or b"\x00" in data[:4]:
        raise NotebookFileError(name, "the file is UTF-16, not UTF-8", hint="save it as UTF-8")
    return data


def _read_slowly(body: bytes, name: str) -> dict[str, Any]:
    """The JSON object, or an error with a place."""
    try:
        text = body.decode()
    except UnicodeDecodeError as error:
        before = body[: error.start].decode()
        _refuse(name, "not UTF-8", before, len(before), hint="save it as UTF-8")
    conflict = _CONFLICT.search(text)

    def constant(literal: str) -> NoReturn:
        where = next((m for m in _NOT_A_NUMBER.finditer(text) if m[1] == literal), None)
        reason = f"{literal} is not a JSON number"
        _refuse(name, reason, text, where.start() if where else 0, hint="replace it by null or text")

    def number(literal: str) -> float:
        value = float(literal)
        return value if math.isfinite(value) else constant(literal)

    try:
        value = json.loads(text, parse_constant=constant, parse_float=number)
    except json.JSONDecodeError as error:
        if conflict is not None:
            reason = "the file has unresolved merge conflicts"
            _refuse(name, reason, text, conflict.start(), hint="resolve the merge conflict first")
        _refuse(name, f"not valid JSON: {error.msg}", text, error.pos)
    except RecursionError as error:
        raise NotebookFileError(name, "not a notebook: nested too deeply") from error
    if not isinstance(value, dict):
        raise NotebookFileError(name, "not a notebook: the JSON in it is not an object")
    return value


def _refuse(name: str, reason: str, text: str, offset: int, *, hint: str = "") -> NoReturn:
    """Raise with the line and column (from 1, code points) of an offset in code points."""
    line = text.count("\n", 0, offset) + 1
    column = offset - text.rfind("\n", 0, offset)
    raise NotebookFileError(name, reason, line=line, column=column, hint=hint)


def _minor_version(fields: Mapping[str, Any], name: str) -> int:
    major = fields.get("nbformat")
    if isinstance(major, int) and major > NBFORMAT:
        reason = f"nbformat {major} is newer than this version of runt knows"
        raise NotebookFileError(name, reason, hint="update runt")
    if (isinstance(major, int) and major < NBFORMAT) or (major is None and "worksheets" in fields):
        raise NotebookFileError(
            name,
            f"nbformat {major or 3} is too old",
            hint=f"`jupyter nbconvert --to notebook --nbformat {NBFORMAT}` makes a new copy",
        )
    if "cells" not in fields or not (major is None or isinstance(major, int)):
        raise NotebookFileError(name, "not a notebook: it is JSON, but has no cells or no nbformat version")
    minor = fields.get("nbformat_minor", 0)
    if not isinstance(minor, int) or isinstance(minor, bool) or minor < 0:
        raise NotebookFileError(name, f"not a notebook: nbformat_minor is {minor!r}")
    return minor
