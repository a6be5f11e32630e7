"""A changed file merged into a document: nothing typed is lost on either side."""

from __future__ import annotations

from dataclasses import replace
from random import Random

import pytest

from runt.errors import LocalProtocolError
from runt.notebook.disk_merge import equalise, merge_from_disk
from runt.notebook.exchange import document_from_file, file_from_document
from runt.notebook.file_notebook import FileCell, FileNotebook
from runt.notebook.notebook_document import NotebookDocument

ROOM = "0b0a4a2e-7d5f-4c38-9a51-2f8c4be1f0aa"
TRIALS = 400


def code(source: str, file_id: str | None = None, **fields: object) -> FileCell:
    return FileCell("code", source, file_id=file_id, outputs=[], **fields)  # type: ignore[arg-type]


def notebook(*cells: FileCell, minor: int = 5, **fields: object) -> FileNotebook:
    return FileNotebook(minor, cells=list(cells), **fields)  # type: ignore[arg-type]


def said(document: NotebookDocument) -> FileNotebook:
    return file_from_document(document, lambda key: (None, []), None)


def sources(document: NotebookDocument) -> list[str]:
    return [cell.source for cell in map(document.cell, document.keys())]


def updates_of(document: NotebookDocument) -> list[bytes]:
    seen: list[bytes] = []
    document.observe_updates(lambda update, origin: seen.append(update))
    return seen


def random_file(random: Random, trial: int, ids: bool) -> FileNotebook:
    lines = (f"<{trial}.{cell}.{line}>\n" for cell in range(6) for line in range(5))
    texts = ["".join(next(lines) for _ in range(5)) for _ in range(6)]
    return notebook(
        *(code(text, f"i{n}" if ids else None) for n, text in enumerate(texts)), minor=5 if ids else 4
    )


def with_line(random: Random, text: str, line: str) -> str:
    lines = text.split("\n")
    lines.insert(random.randrange(len(lines)), line)
    return "\n".join(lines)


@pytest.mark.parametrize("ids", [True, False])
def test_random_edits_on_both_sides_all_survive(ids: bool) -> None:
    """Lines typed since the save and lines added on disk are there once, lines removed on disk are gone."""
    random = Random(7)
    token = 0
    for trial in range(TRIALS):
        file = random_file(random, trial, ids)
        document = document_from_file(file, ROOM)
        base = document.update_since()
        typed, added = [], []
        for _ in range(6):
            cell = document.cell(random.choice(document.keys()))
            source = cell.source
            cuts = [0, *(at + 1 for at, character in enumerate(source) if character == "\n")]
            cut = random.choice(cuts)
            typed.append(f"<L{token}😀>")
            token += 1
            cell.splice(cut, cut, typed[-1] + "\n", "me")
        disk = list(file.cells)
        if ids:
            random.shuffle(disk)
        for _ in range(4):
            index = random.randrange(len(disk))
            added.append(f"<D{token}>")
            token += 1
            disk[index] = replace(disk[index], source=with_line(random, disk[index].source, added[-1]))
        index = random.randrange(len(disk))
        removed = random.choice([line for line in disk[index].source.split("\n") if line and line[1] != "D"])
        disk[index] = replace(disk[index], source=disk[index].source.replace(removed + "\n", ""))
        keys = merge_from_disk(document, base, replace(file, cells=disk))
        assert [keys[at] for at in range(len(disk))] == document.keys()
        text = "".join(sources(document))
        assert [line for line in typed + added if text.count(line) != 1] == []
        assert removed not in text


def random_disk(random: Random, file: FileNotebook) -> FileNotebook:
    """The file after arbitrary changes of cells, order, text, type and metadata."""
    cells = list(file.cells)
    for number in range(random.randrange(8)):
        what = random.randrange(6)
        at = random.randrange(len(cells) + 1)
        if what == 0 or not cells:
            cells.insert(at, code(f"new {number}", f"n{number}" if random.random() < 0.7 else None))
            continue
        at = min(at, len(cells) - 1)
        if what == 1:
            del cells[at]
        elif what == 2:
            cells.insert(random.randrange(len(cells)), cells.pop(at))
        elif what == 3:
            cells[at] = replace(cells[at], source=with_line(random, cells[at].source, f"edit {number} é"))
        elif what == 4:
            cells[at] = FileCell("markdown", cells[at].source, {"tags": [number]}, cells[at].file_id)
        else:
            cells.insert(at, cells[at])
    return replace(file, cells=cells, metadata={"kernelspec": {"name": random.choice("ab")}})


@pytest.mark.parametrize("ids", [True, False])
def test_equalised_document_says_what_the_file_says(ids: bool) -> None:
    """After any change on disk (also repeated or missing ids) the live cells equal the file's, in order."""
    random = Random(11)
    for trial in range(TRIALS):
        file = random_file(random, trial, ids)
        document = document_from_file(file, ROOM)
        disk = random_disk(random, file)
        keys = equalise(document, disk, "disk")
        assert [keys[at] for at in range(len(disk.cells))] == document.keys()
        after = said(document)
        assert [(c.type, c.source, c.metadata) for c in after.cells] == [
            (c.type, c.source, c.metadata) for c in disk.cells
        ]
        assert after.metadata == disk.metadata
        again = updates_of(document)
        assert equalise(document, disk, "disk") == keys
        assert again == []


def test_unchanged_file_makes_no_update() -> None:
    """A file that says what the document says leaves it alone, whatever it has been saved from."""
    file = notebook(code("a", "1", metadata={"z": {"b": 1, "a": None}, "y": 1}), code("b"), code("b"))
    document = document_from_file(file, ROOM)
    document.insert_cell(1, "markdown", "new", origin="me")
    saved = said(document)
    seen = updates_of(document)
    keys = equalise(document, saved, "disk")
    assert seen == []
    assert [keys[at] for at in range(4)] == document.keys()


def test_moving_one_cell_moves_one_cell() -> None:
    """Only the cell that moved gets a new place."""
    file = notebook(*(code(str(n), f"i{n}") for n in range(20)))
    document = document_from_file(file, ROOM)
    before = {cell.key: cell.pos for cell in map(document.cell, document.keys())}
    cells = list(file.cells)
    cells.append(cells.pop(3))
    keys = equalise(document, replace(file, cells=cells), "disk")
    moved = [cell.key for cell in map(document.cell, document.keys()) if cell.pos != before[cell.key]]
    assert moved == [keys[19]]


def test_edit_in_a_file_without_ids_keeps_the_cell() -> None:
    """Without ids a cell that was edited a little is the same cell, so that typing in it survives."""
    file = notebook(code("import a\nimport b"), code("x = compute(1)\nx"), code("y"), minor=4)
    document = document_from_file(file, ROOM)
    keys = document.keys()
    base = document.update_since()
    document.cell(keys[1]).splice(0, 0, "# typed\n", "me")
    cells = [code("print(0)"), file.cells[0], code("x = compute(2)\nx"), file.cells[2]]
    found = merge_from_disk(document, base, replace(file, cells=cells))
    assert [found[at] for at in (1, 2, 3)] == keys
    assert sources(document) == ["print(0)", "import a\nimport b", "# typed\nx = compute(2)\nx", "y"]


def test_ids_that_another_program_added_are_taken_over() -> None:
    """A file that was upgraded to have ids still has the same cells."""
    file = notebook(code("a"), code("b"))
    document = document_from_file(file, ROOM)
    keys = document.keys()
    disk = notebook(code("a", "id-a"), code("b", "id-b"))
    assert equalise(document, disk, "disk") == dict(enumerate(keys))
    assert [document.cell(key).file_id for key in keys] == ["id-a", "id-b"]


def test_deleted_cell_that_reappears_on_disk_is_restored() -> None:
    """Somebody put it back (git): it is the same cell again, with the text on disk."""
    file = notebook(code("a", "i1"), code("b", "i2"))
    document = document_from_file(file, ROOM)
    keys = document.keys()
    document.delete_cell(keys[0], "me")
    base = document.update_since()
    found = merge_from_disk(document, base, notebook(code("a2", "i1"), code("b", "i2")))
    assert found == dict(enumerate(keys))
    assert sources(document) == ["a2", "b"]


def test_unsaved_deletion_survives_a_change_elsewhere() -> None:
    """A cell that was deleted since the save stays deleted when the file changed in another cell."""
    file = notebook(code("a", "i1"), code("b", "i2"))
    document = document_from_file(file, ROOM)
    base = document.update_since()
    document.delete_cell(document.keys()[0], "me")
    merge_from_disk(document, base, notebook(code("a", "i1"), code("b2", "i2")))
    assert sources(document) == ["b2"]


def test_edit_on_disk_wins_over_a_deletion_here() -> None:
    """A cell that was deleted here and edited on disk comes back: an edit is never lost."""
    file = notebook(code("a", "i1"), code("b", "i2"))
    document = document_from_file(file, ROOM)
    base = document.update_since()
    document.delete_cell(document.keys()[0], "me")
    merge_from_disk(document, base, notebook(code("a\nmore", "i1"), code("b", "i2")))
    assert sources(document) == ["a\nmore", "b"]


def test_metadata_is_merged_entry_by_entry() -> None:
    """An entry changed here and another one changed on disk are both kept."""
    file = notebook(code("a", "i1", metadata={"one": 1, "two": 2}), metadata={"title": "t", "gone": 1})
    document = document_from_file(file, ROOM)
    key = document.keys()[0]
    base = document.update_since()
    document.set_cell_metadata(key, "one", 11, "me")
    document.set_metadata("mine", True, "me")
    disk = notebook(code("a", "i1", metadata={"one": 1, "two": 22}), metadata={"title": "t2"})
    merge_from_disk(document, base, disk)
    assert document.cell(key).metadata == {"one": 11, "two": 22}
    assert document.metadata == {"title": "t2", "mine": True}


def test_base_of_another_epoch_is_refused() -> None:
    """States of two histories are never mixed."""
    file = notebook(code("a", "i1"))
    document = document_from_file(file, ROOM)
    foreign = document_from_file(file, ROOM).update_since()
    with pytest.raises(LocalProtocolError):
        merge_from_disk(document, foreign, file)
    assert sources(document) == ["a"]
