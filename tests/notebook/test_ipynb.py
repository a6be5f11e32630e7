"""Notebook files are read, and written back byte for byte; an edit changes only its own bytes."""

from __future__ import annotations

import difflib
import json
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import nbformat
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from runt.notebook.ipynb import FileCell, FileNotebook, FileStyle, read_ipynb, write_ipynb
from tests.notebook.notebook_files import SPELLINGS, by_nbformat, notebooks

SAMPLE: dict[str, Any] = {
    "cells": [
        {
            "cell_type": "markdown",
            "id": "intro",
            "metadata": {"z": 1, "a": {"q": 1, "b": 2}},
            "source": ["# Übung\n", "text"],
        },
        {
            "cell_type": "code",
            "execution_count": 3,
            "id": "c-1",
            "metadata": {},
            "outputs": [
                {"name": "stdout", "output_type": "stream", "text": ["1\n", "2\n"]},
                {
                    "data": {"image/png": "aGVsbG8=\n", "text/plain": ["<Figure>"]},
                    "metadata": {},
                    "output_type": "display_data",
                },
            ],
            "source": ["a = 1\n", "print(a)"],
        },
        {
            "cell_type": "code",
            "execution_count": None,
            "id": "c-2",
            "metadata": {},
            "outputs": [],
            "source": [],
        },
    ],
    "metadata": {"kernelspec": {"display_name": "Python 3", "name": "python3"}},
    "nbformat": 4,
    "nbformat_minor": 5,
}


def forgetful(notebook: FileNotebook) -> FileNotebook:
    """The same notebook without the memory of its file's bytes."""
    cells = [replace(cell, raw=None) for cell in notebook.cells]
    return replace(notebook, cells=cells, raw={}, order=())


def changed_lines(before: bytes, after: bytes) -> list[str]:
    diff = difflib.ndiff(before.decode().splitlines(), after.decode().splitlines())
    return [line for line in diff if line[0] in "+-"]


def test_cells_are_read() -> None:
    """A file's cells are values in nbformat's in-memory form."""
    notebook = read_ipynb(by_nbformat(SAMPLE), "a.ipynb")
    assert notebook == FileNotebook(
        nbformat_minor=5,
        metadata=SAMPLE["metadata"],
        cells=[
            FileCell("markdown", "# Übung\ntext", {"z": 1, "a": {"q": 1, "b": 2}}, "intro"),
            FileCell(
                "code",
                "a = 1\nprint(a)",
                {},
                "c-1",
                outputs=[
                    {"name": "stdout", "output_type": "stream", "text": "1\n2\n"},
                    {
                        "data": {"image/png": "aGVsbG8=\n", "text/plain": "<Figure>"},
                        "metadata": {},
                        "output_type": "display_data",
                    },
                ],
                execution_count=3,
            ),
            FileCell("code", "", {}, "c-2", outputs=[]),
        ],
    )


@pytest.mark.parametrize("spell", SPELLINGS.values(), ids=SPELLINGS.keys())
@given(notebooks())
@settings(max_examples=40, deadline=None)
def test_unchanged_notebooks_are_written_byte_for_byte(
    spell: Callable[[dict[str, Any]], bytes], notebook: dict[str, Any]
) -> None:
    """Whoever wrote the file, writing what was read from it gives the same bytes."""
    data = spell(notebook)
    read = read_ipynb(data, "a.ipynb")
    assert write_ipynb(read) == data


@pytest.mark.parametrize("spell", SPELLINGS.values(), ids=SPELLINGS.keys())
@given(notebooks())
@settings(max_examples=20, deadline=None)
def test_written_notebooks_say_the_same(
    spell: Callable[[dict[str, Any]], bytes], notebook: dict[str, Any]
) -> None:
    """Written anew from its values alone, in any style, a notebook reads back equal."""
    read = read_ipynb(spell(notebook), "a.ipynb")
    again = read_ipynb(write_ipynb(forgetful(read)), "a.ipynb")
    assert replace(again, style=read.style) == read


@given(notebooks())
@settings(max_examples=100, deadline=None)
def test_new_files_are_written_as_nbformat_writes_them(notebook: dict[str, Any]) -> None:
    """Without a file to imitate, the bytes are those of nbformat."""
    data = by_nbformat(notebook)
    assert write_ipynb(forgetful(read_ipynb(data, "a.ipynb"))) == data


@given(notebooks(st.just(5)))
@settings(max_examples=60, deadline=None)
def test_nbformat_reads_what_is_written(notebook: dict[str, Any]) -> None:
    """nbformat itself writes the same bytes from what we wrote, and finds it valid."""
    data = write_ipynb(forgetful(read_ipynb(by_nbformat(notebook), "a.ipynb")))
    parsed = nbformat.reads(data.decode(), as_version=4)
    nbformat.validate(parsed)
    assert (nbformat.writes(parsed) + "\n").encode() == data


ODD = b"""
{ "nbformat":4, "metadata" : {"x":1.50, "y":[1,2 , 3]}, "nbformat_minor":4,

    "cells": [
  {"source": "one line",   "cell_type":"raw", "metadata":{}},
  {"cell_type": "code", "source": ["a"],
      "metadata": {"f": 1e-7}, "outputs": [ ], "execution_count":null}
]}
"""


def test_unusual_spacing_keeps_the_meaning_and_the_cells() -> None:
    """A file that nobody's writer made is written with other blanks between cells, but cells as they were."""
    read = read_ipynb(ODD, "a.ipynb")
    data = write_ipynb(read)
    assert read_ipynb(data, "a.ipynb") == read
    assert json.loads(data) == json.loads(ODD)
    for cell in read.cells:
        assert cell.raw is not None
        assert cell.raw in data
    assert b'{"x":1.50, "y":[1,2 , 3]}' in data


@pytest.mark.parametrize("spell", SPELLINGS.values(), ids=SPELLINGS.keys())
def test_an_edit_leaves_every_other_byte(spell: Callable[[dict[str, Any]], bytes]) -> None:
    """A changed source changes its own lines; outputs, metadata and other cells keep their bytes."""
    data = spell(SAMPLE)
    read = read_ipynb(data, "a.ipynb")
    cells = list(read.cells)
    cells[1] = replace(cells[1], source="a = 2\nprint(a)")
    written = write_ipynb(replace(read, cells=cells))
    assert written == data.replace(b"a = 1", b"a = 2")


def test_a_new_output_leaves_the_others() -> None:
    """An output that is added, and a count that is set, are the only lines that change."""
    data = by_nbformat(SAMPLE)
    read = read_ipynb(data, "a.ipynb")
    cells = list(read.cells)
    assert cells[1].outputs is not None
    new = {"output_type": "stream", "name": "stderr", "text": "x\n"}
    cells[1] = replace(cells[1], outputs=[*cells[1].outputs, new], execution_count=4)
    written = write_ipynb(replace(read, cells=cells))
    added = [line[1:].strip() for line in changed_lines(data, written)]
    assert added == [
        '"execution_count": 3,',
        '"execution_count": 4,',
        "},",
        "{",
        '"name": "stderr",',
        '"output_type": "stream",',
        '"text": [',
        '"x\\n"',
        "]",
    ]


def test_metadata_keeps_its_order() -> None:
    """A changed or added entry does not reorder the others, whatever order the document has them in."""
    data = SPELLINGS["tabs"](SAMPLE)
    read = read_ipynb(data, "a.ipynb")
    cells = list(read.cells)
    cells[0] = replace(cells[0], metadata={"a": {"b": 3, "q": 1}, "new": 1, "z": 1})
    written = write_ipynb(replace(read, cells=cells))
    assert list(json.loads(written)["cells"][0]["metadata"]) == ["z", "a", "new"]
    changes = [line.strip(" +-\t") for line in changed_lines(data, written)]
    assert sorted(changes) == sorted(['"b": 2', '"b": 3', "}", "},", '"new": 1'])


def test_stale_bytes_are_never_written() -> None:
    """A file's bytes are only used where they say what the cell says now, to the type of a number."""
    read = read_ipynb(by_nbformat(SAMPLE), "a.ipynb")
    for before, after in ((1, True), (1, 1.0), (0, False), (0, None)):
        cell = replace(read.cells[0], metadata={"x": before})
        data = write_ipynb(replace(read, cells=[cell]))
        [kept] = read_ipynb(data, "a.ipynb").cells
        data = write_ipynb(replace(read, cells=[replace(kept, metadata={"x": after})]))
        assert repr(json.loads(data)["cells"][0]["metadata"]) == repr({"x": after})


def test_unknown_keys_are_kept() -> None:
    """Keys that nbformat does not know, at any level, are read and written."""
    notebook = json.loads(json.dumps(SAMPLE))
    notebook["vendor"] = {"x": [1]}
    notebook["cells"][0]["outputs"] = []
    notebook["cells"][1]["vendor"] = None
    notebook["cells"][1]["outputs"][0]["vendor"] = 1
    read = read_ipynb(by_nbformat(notebook), "a.ipynb")
    assert read.extra == {"vendor": {"x": [1]}}
    assert read.cells[0].extra == {"outputs": []}
    assert read.cells[1].extra == {"vendor": None}
    assert json.loads(write_ipynb(forgetful(read))) == notebook


def test_ids_are_the_files_own() -> None:
    """Repeated, invalid, missing and early ids are written back as they were."""
    notebook = json.loads(json.dumps(SAMPLE))
    notebook["cells"][0]["id"] = "c-1"
    notebook["cells"][2]["id"] = "not valid!"
    del notebook["cells"][1]["id"]
    read = read_ipynb(by_nbformat(notebook), "a.ipynb")
    assert [cell.file_id for cell in read.cells] == ["c-1", None, "not valid!"]
    assert json.loads(write_ipynb(forgetful(read))) == notebook
    notebook["nbformat_minor"] = 4
    read = read_ipynb(by_nbformat(notebook), "a.ipynb")
    assert [cell.file_id for cell in read.cells] == [None, None, None]
    assert json.loads(write_ipynb(forgetful(read))) == notebook


def test_what_is_missing_is_filled_in() -> None:
    """Sloppy files open: no metadata, no outputs, no count, no version."""
    data = b'{"cells": [{"cell_type": "code", "source": "x"}, {"cell_type": "raw"}]}'
    read = read_ipynb(data, "a.ipynb")
    assert read.cells == [FileCell("code", "x", outputs=[]), FileCell("raw", "")]
    assert read.nbformat_minor == 0


def test_lone_surrogates_survive() -> None:
    """A kernel printed half a character: the file opens and keeps it, as an escape."""
    notebook = json.loads(json.dumps(SAMPLE))
    notebook["cells"][1]["outputs"][0]["text"] = ["a\ud83d\n"]
    data = json.dumps(notebook, indent=1, sort_keys=True).encode() + b"\n"
    read = read_ipynb(data, "a.ipynb")
    assert read.cells[1].outputs is not None
    assert read.cells[1].outputs[0]["text"] == "a\ud83d\n"
    assert json.loads(write_ipynb(read)) == notebook


def test_numbers_that_json_cannot_hold_are_not_written() -> None:
    """NaN is refused rather than written as something that no reader accepts."""
    cell = FileCell("raw", "", {"x": float("nan")})
    with pytest.raises(ValueError, match="nan"):
        write_ipynb(FileNotebook(cells=[cell]))


def test_an_empty_notebook_is_a_file() -> None:
    """A notebook without cells is what nbformat writes for one."""
    data = write_ipynb(FileNotebook())
    assert data == (nbformat.writes(nbformat.v4.new_notebook()) + "\n").encode()
    assert read_ipynb(data, "a.ipynb") == FileNotebook()
    assert read_ipynb(data, "a.ipynb").style == FileStyle()
