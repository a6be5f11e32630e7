"""A document made from a file gives the file back, and what is new gets what nbformat asks for."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import Any

import nbformat
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from runt.notebook.cell import CellKey
from runt.notebook.exchange import Outputs, document_from_file, file_from_document
from runt.notebook.ipynb import FileCell, FileNotebook, read_ipynb, write_ipynb
from runt.notebook.notebook_document import NotebookDocument
from tests.notebook.notebook_files import by_nbformat, notebooks

ROOM = "0b0a4a2e-7d5f-4c38-9a51-2f8c4be1f0aa"


def outputs_of(document: NotebookDocument, file: FileNotebook) -> Outputs:
    """The file's own outputs; none for cells that are not in it."""
    found = {
        key: (cell.execution_count, cell.outputs or [])
        for key, cell in zip(document.keys(), file.cells, strict=True)
    }
    return lambda key: found.get(key, (None, []))


def none(key: CellKey) -> tuple[int | None, list[dict[str, Any]]]:
    return None, []


@given(notebooks())
@settings(max_examples=150, deadline=None)
def test_an_unchanged_document_gives_the_file_back(notebook: dict[str, Any]) -> None:
    """File → document → file is the same file, byte for byte."""
    data = by_nbformat(notebook)
    file = read_ipynb(data, "a.ipynb")
    document = document_from_file(file, ROOM)
    back = file_from_document(document, outputs_of(document, file), file)
    assert back == file
    assert write_ipynb(back) == data


@given(
    notebooks(),
    st.lists(st.tuples(st.integers(0, 9), st.sampled_from(["code", "markdown", "raw"])), max_size=3),
)
@settings(max_examples=150, deadline=None)
def test_edited_documents_are_valid_notebooks(notebook: dict[str, Any], new: list[tuple[int, Any]]) -> None:
    """After insertions the file is valid in its own minor version, from 4.0 to 4.5, also without a base."""
    file = read_ipynb(by_nbformat(notebook), "a.ipynb")
    document = document_from_file(file, ROOM)
    outputs = outputs_of(document, file)
    for index, kind in new:
        document.insert_cell(min(index, len(document)), kind, "new", origin="me")
    for base in (file, None):
        written = file_from_document(document, outputs, base)
        assert written.nbformat_minor == notebook["nbformat_minor"]
        parsed = json.loads(write_ipynb(written))
        nbformat.validate(parsed)
        assert len({cell["id"] for cell in parsed["cells"] if "id" in cell}) == (
            len(parsed["cells"]) if written.nbformat_minor >= 5 else 0
        )


def test_document_says_what_the_file_says() -> None:
    """Every field of the file is in the document; outputs are not."""
    file = FileNotebook(
        nbformat_minor=4,
        metadata={"kernelspec": {"name": "r"}},
        cells=[
            FileCell("markdown", "# é", {"a": None}, None, {"i.png": {"image/png": "eA=="}}, extra={"x": 1}),
            FileCell("code", "1", outputs=[{"output_type": "stream"}], execution_count=3),
        ],
        extra={"vendor": [1]},
    )
    document = document_from_file(file, ROOM)
    assert (document.nbformat, document.notebook_id) == ("4.4", ROOM)
    assert (document.metadata, document.extra) == (file.metadata, file.extra)
    first, second = map(document.cell, document.keys())
    assert (first.type, first.source, first.metadata) == ("markdown", "# é", {"a": None})
    assert (first.attachments, first.extra) == (file.cells[0].attachments, {"x": 1})
    assert (second.type, second.source, second.file_id) == ("code", "1", None)


def test_each_document_is_a_history_of_its_own() -> None:
    """Two documents of one file have different epochs, so that they are never mixed."""
    assert document_from_file(FileNotebook(), ROOM).epoch != document_from_file(FileNotebook(), ROOM).epoch


def test_new_cells_keep_their_id_over_saves() -> None:
    """The id that a new cell gets is the same at every save, and in no other cell."""
    file = FileNotebook(cells=[FileCell("code", "a", file_id="a", outputs=[])])
    document = document_from_file(file, ROOM)
    key = document.insert_cell(1, source="new", key=CellKey("k1"), origin="me")
    clash = document.insert_cell(2, source="clash", file_id="k1", origin="me")
    assert document.keys()[1:] == [key, clash]
    first = file_from_document(document, none, file)
    second = file_from_document(document, none, first)
    assert [cell.file_id for cell in first.cells] == ["a", "k1-2", "k1"]
    assert second == first


@pytest.mark.parametrize("key", ["ключ", "a b/c", "x" * 200])
def test_ids_from_odd_keys_are_valid(key: str) -> None:
    """A key that nbformat would not take as an id becomes one that it takes."""
    document = NotebookDocument.create(ROOM)
    document.insert_cell(0, key=CellKey(key), origin="me")
    file = file_from_document(document, none, None)
    nbformat.validate(json.loads(write_ipynb(file)))


def test_cells_without_an_id_stay_without() -> None:
    """A 4.5 file that lacks ids is not filled with them because one cell was edited."""
    file = FileNotebook(cells=[FileCell("code", source, outputs=[]) for source in ("a", "b")])
    document = document_from_file(file, ROOM)
    document.cell(document.keys()[1]).splice(0, 1, "B", "me")
    saved = file_from_document(document, none, file)
    assert [cell.file_id is None for cell in saved.cells] == [True, False]


def test_an_edit_keeps_the_bytes_of_the_rest() -> None:
    """One edited source in a file of odd spelling changes that source and nothing else."""
    data = (
        b'{ "metadata":{"z":1,"a":1.50},\n"nbformat":4,"nbformat_minor":5, "cells":[\n'
        b' {"id":"x","cell_type":"raw","metadata":{"b":1e3},"source":"old" },\n'
        b' {"id":"y","cell_type":"raw","metadata":{  },"source":["other"]}\n]}'
    )
    file = read_ipynb(data, "a.ipynb")
    document = document_from_file(file, ROOM)
    document.cell(document.keys()[0]).splice(0, 3, "new", "me")
    written = write_ipynb(file_from_document(document, none, file))
    assert b'{"b":1e3}' in written
    assert b'{"z":1,"a":1.50}' in written
    assert b'{"id":"y","cell_type":"raw","metadata":{  },"source":["other"]}' in written
    assert b'"new"' in written
    assert b"old" not in written


def test_a_cell_that_moved_keeps_its_bytes() -> None:
    """Moving and deleting cells rewrites none of the others."""
    data = by_nbformat(
        {
            "cells": [
                {"cell_type": "raw", "id": f"i{n}", "metadata": {"n": n}, "source": [f"{n}"]}
                for n in range(4)
            ],
            "metadata": {},
            "nbformat": 4,
            "nbformat_minor": 5,
        }
    )
    file = read_ipynb(data, "a.ipynb")
    document = document_from_file(file, ROOM)
    keys = document.keys()
    document.move_cell(keys[3], 0, "me")
    document.delete_cell(keys[1], "me")
    written = file_from_document(document, none, file)
    assert [cell.raw for cell in written.cells] == [file.cells[n].raw for n in (3, 0, 2)]
    assert [cell.file_id for cell in read_ipynb(write_ipynb(written), "a").cells] == ["i3", "i0", "i2"]


def test_outputs_go_to_code_cells_only() -> None:
    """A cell that became Markdown has no outputs in the file, and a code cell without a run has none."""
    file = FileNotebook(
        cells=[FileCell("code", "a", file_id="a", outputs=[]), FileCell("code", "b", file_id="b")]
    )
    document = document_from_file(file, ROOM)
    document.set_cell_type(document.keys()[0], "markdown", "me")
    ran = {"output_type": "stream", "name": "stdout", "text": "x"}
    saved = file_from_document(document, lambda key: (7, [ran]), None)
    assert [(cell.outputs, cell.execution_count) for cell in saved.cells] == [(None, None), ([ran], 7)]


def test_a_document_of_a_strange_version_is_saved_as_the_present_one() -> None:
    """A peer wrote nonsense into the version: the file is written as 4.5."""
    document = NotebookDocument.create(ROOM, nbformat="x")
    assert file_from_document(document, none, None).nbformat_minor == 5
    assert replace(FileNotebook(), nbformat_minor=5) == FileNotebook()


def test_the_version_on_disk_wins() -> None:
    """A file that another program upgraded is not put back to its old version, and keeps its ids."""
    document = document_from_file(FileNotebook(4, cells=[FileCell("raw", "a")]), ROOM)
    document.set_cell_file_id(document.keys()[0], "new-id", "disk")
    upgraded = FileNotebook(5, cells=[FileCell("raw", "a", file_id="new-id")])
    assert file_from_document(document, none, upgraded) == upgraded
