"""Writing ``.ipynb``: a ``FileNotebook`` in, bytes out, as little changed as its values allow.

It decides nothing about content. The invariant: reading what was written gives an equal ``FileNotebook``,
and each cell, field and output that says the same as the file's did is written with the file's own bytes.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any

import msgspec

from runt.notebook.file_notebook import NBFORMAT, FileCell, FileNotebook
from runt.notebook.ipynb_reader import normal_attachments, normal_output, read_cell
from runt.notebook.ipynb_style import UTF8_BOM
from runt.notebook.json_writer import JsonWriter, same_json
from runt.notebook.manifests import joined
from runt.notebook.mime import is_split_mime

_CELL_LEVEL = 2
_FIELD_LEVEL = 3

_LONE_SURROGATE = re.compile("[\ud800-\udfff]")
_as_object = msgspec.json.Decoder(dict[str, msgspec.Raw])
_as_list = msgspec.json.Decoder(list[msgspec.Raw])
_as_value = msgspec.json.Decoder()


def write_ipynb(notebook: FileNotebook) -> bytes:
    """The bytes of the file.

    Raises:
        ValueError: a value holds NaN or an infinity, which no JSON can.
    """
    text = _NotebookWriter(notebook).text()
    try:
        data = text.encode()
    except (
        UnicodeEncodeError
    ):  # a lone surrogate can only stand within a string, where JSON has an escape for it
        data = _LONE_SURROGATE.sub(lambda match: f"\\u{ord(match[0]):04x}", text).encode()
    return UTF8_BOM + data if notebook.style.bom else data


class _NotebookWriter:
    """Writes one notebook."""

    def __init__(self, notebook: FileNotebook) -> None:
        self._notebook = notebook
        self._json = JsonWriter(notebook.style)
        self._split = notebook.style.split_lines

    def text(self) -> str:
        notebook, json = self._notebook, self._json
        values: dict[str, Any] = {
            "cells": None,
            "metadata": notebook.metadata,
            "nbformat": NBFORMAT,
            "nbformat_minor": notebook.nbformat_minor,
            **notebook.extra,
        }
        fields = {
            name: (
                json.join_array([self._cell(cell) for cell in notebook.cells], 1)
                if name == "cells"
                else json.again(values[name], notebook.raw.get(name), 1)
            )
            for name in json.names(values, notebook.order)
        }
        return json.join_object(fields, 0) + notebook.style.end

    def _cell(self, cell: FileCell) -> str:
        old: Mapping[str, bytes] = {}
        if cell.raw is not None:
            before = read_cell(_as_value.decode(cell.raw), self._notebook.nbformat_minor, None)
            if _same_cell(before, cell):
                return cell.raw.decode()
            old = {name: bytes(value) for name, value in _as_object.decode(cell.raw).items()}
        values: dict[str, Any] = {"cell_type": cell.type, "metadata": cell.metadata, "source": cell.source}
        if cell.file_id is not None:
            values["id"] = cell.file_id
        if cell.attachments is not None:
            values["attachments"] = cell.attachments
        if cell.outputs is not None:
            values["outputs"] = cell.outputs
            values["execution_count"] = cell.execution_count
        values.update(cell.extra)
        return self._json.join_object(
            {
                name: self._field(name, values[name], old.get(name))
                for name in self._json.names(values, list(old))
            },
            _CELL_LEVEL,
        )

    def _field(self, name: str, value: Any, raw: bytes | None) -> str:
        if name == "source":
            return self._source(value, raw)
        if name == "outputs":
            return self._outputs(value, raw)
        if name != "attachments":
            return self._json.again(value, raw, _FIELD_LEVEL)
        if raw is not None and same_json(normal_attachments(_as_value.decode(raw)), value):
            return raw.decode()
        bundles = {key: self._bundle(bundle) for key, bundle in value.items()}
        return self._json.value(bundles, _FIELD_LEVEL)

    def _source(self, source: str, raw: bytes | None) -> str:
        split = self._split
        if raw is not None:
            if joined(_as_value.decode(raw)) == source:
                return raw.decode()
            split = raw.startswith(b"[")
        return self._json.value(source.splitlines(True) if split else source, _FIELD_LEVEL)

    def _outputs(self, outputs: Sequence[Mapping[str, Any]], raw: bytes | None) -> str:
        texts: list[str] = []
        old = [bytes(value) for value in _as_list.decode(raw)] if raw is not None and raw != b"null" else []
        same = len(old) == len(outputs)
        for index, output in enumerate(outputs):
            before = _as_value.decode(old[index]) if index < len(old) else None
            if before is not None and same_json(normal_output(before), output):
                texts.append(old[index].decode())
                continue
            same = False
            texts.append(self._json.value(self._output(output), _FIELD_LEVEL + 1, before))
        if raw is not None and same:
            return raw.decode()
        return self._json.join_array(texts, _FIELD_LEVEL)

    def _output(self, output: Mapping[str, Any]) -> dict[str, Any]:
        """An output as the file holds it: text as lines."""
        fields = dict(output)
        if not self._split:
            return fields
        if isinstance(fields.get("data"), dict):
            fields["data"] = self._bundle(fields["data"])
        if isinstance(fields.get("text"), str):
            fields["text"] = fields["text"].splitlines(True)
        return fields

    def _bundle(self, bundle: Any) -> Any:
        if not self._split or not isinstance(bundle, dict):
            return bundle
        return {
            mime: value.splitlines(True) if isinstance(value, str) and is_split_mime(mime) else value
            for mime, value in bundle.items()
        }


def _same_cell(one: FileCell, other: FileCell) -> bool:
    return (
        one.source == other.source
        and one.type == other.type
        and one.file_id == other.file_id
        and same_json(one.execution_count, other.execution_count)
        and same_json(one.metadata, other.metadata)
        and same_json(one.outputs, other.outputs)
        and same_json(one.attachments, other.attachments)
        and same_json(one.extra, other.extra)
    )
