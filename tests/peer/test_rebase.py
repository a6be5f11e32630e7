"""Carrying unacknowledged changes into another epoch, without a connection."""

from __future__ import annotations

import random

import pytest

from runt.notebook.cell import CellKey
from runt.notebook.notebook_document import NewCell, NotebookDocument
from runt.peer.local_updates import MAX_LOGGED, LocalUpdates
from runt.peer.rebase import merged_text, rebase


def document(*cells: tuple[str, str]) -> NotebookDocument:
    """A document with these cells: key and source."""
    made = NotebookDocument.create("room")
    made.insert_cells(0, [NewCell("code", source, key=CellKey(key)) for key, source in cells], "load")
    return made


def fork(original: NotebookDocument) -> NotebookDocument:
    copy = NotebookDocument()
    copy.apply(original.update_since())
    return copy


def content(made: NotebookDocument) -> list[tuple[str, str]]:
    return [(key, made.cell(key).source) for key in made.keys()]  # noqa: SIM118


def test_both_insertions_at_one_place_stay() -> None:
    """Text that both sides added to the same line is all there."""
    merged = merged_text("x = 1\n", "x = 1  # ours\n", "x = 1  # theirs\n")
    assert "ours" in merged
    assert "theirs" in merged


@pytest.mark.parametrize(
    ("base", "ours", "theirs", "expected"),
    [
        ("a\nb\nc\n", "A\nb\nc\n", "a\nb\nC\n", "A\nb\nC\n"),
        ("a\n", "a\n", "b\n", "b\n"),
        ("a\n", "b\n", "a\n", "b\n"),
        ("a\n", "b\n", "b\n", "b\n"),
        ("é\nü\n", "é\nü\nß\n", "\U0001f600\né\nü\n", "\U0001f600\né\nü\nß\n"),
        ("", "ours", "", "ours"),
    ],
)
def test_merging_text(base: str, ours: str, theirs: str, expected: str) -> None:
    """Changes of different lines are both made; the same change is made once."""
    assert merged_text(base, ours, theirs) == expected


def test_new_cells_keep_their_neighbour_and_deletions_are_made() -> None:
    """An inserted cell follows the cell that it followed with us; a deleted one goes; a moved one moves."""
    base = document(("a", "1"), ("b", "2"), ("c", "3"))
    ours = fork(base)
    ours.insert_cell(2, "markdown", "new", key=CellKey("n"), origin="me")
    ours.delete_cell(CellKey("a"), "me")
    ours.move_cell(CellKey("c"), 0, "me")
    theirs = document(("x", "0"), ("a", "1"), ("b", "2"), ("c", "3"))
    rebase(base, ours, theirs, "rebase")
    assert content(theirs) == [("c", "3"), ("x", "0"), ("b", "2"), ("n", "new")]
    assert theirs.cell(CellKey("n")).type == "markdown"


def test_text_of_a_cell_that_is_nowhere_becomes_a_new_cell() -> None:
    """What we typed into a cell that the other side does not have is inserted, what we left alone is not."""
    base = document(("a", "1"), ("b", "2"))
    ours = fork(base)
    ours.cell(CellKey("a")).set_source("1 and more", "me")
    theirs = document(("x", "9"))
    rebase(base, ours, theirs, "rebase")
    assert content(theirs) == [("a", "1 and more"), ("x", "9")]


def test_a_cell_is_recognised_by_its_id_in_the_file() -> None:
    """A document that was made from the file again has other keys: the file's id names the cell."""
    base = NotebookDocument.create("room")
    base.insert_cell(0, "code", "a\n", key=CellKey("k1"), file_id="f", origin="load")
    ours = fork(base)
    ours.cell(CellKey("k1")).set_source("a\nb\n", "me")
    theirs = NotebookDocument.create("room")
    theirs.insert_cell(0, "code", "a\n", key=CellKey("k2"), file_id="f", origin="load")
    rebase(base, ours, theirs, "rebase")
    assert content(theirs) == [("k2", "a\nb\n")]


def test_our_edit_outlives_their_deletion() -> None:
    """A cell that they deleted and we changed comes back."""
    base = document(("a", "1"))
    ours, theirs = fork(base), document(("a", "1"))
    theirs.delete_cell(CellKey("a"), "them")
    ours.cell(CellKey("a")).set_source("1!", "me")
    rebase(base, ours, theirs, "rebase")
    assert content(theirs) == [("a", "1!")]


def test_metadata_and_type_are_carried() -> None:
    """Changes of metadata, of the notebook and of a cell, and of a cell's type are made again."""
    base = document(("a", "1"))
    ours, theirs = fork(base), document(("a", "1"))
    ours.set_metadata("title", "mine", "me")
    ours.set_cell_metadata(CellKey("a"), "tags", ["x"], "me")
    ours.set_cell_type(CellKey("a"), "raw", "me")
    rebase(base, ours, theirs, "rebase")
    assert theirs.metadata["title"] == "mine"
    assert theirs.cell(CellKey("a")).metadata == {"tags": ["x"]}
    assert theirs.cell(CellKey("a")).type == "raw"


@pytest.mark.parametrize("seed", range(40))
def test_no_token_of_ours_or_theirs_is_lost(seed: int) -> None:
    """Whatever both sides add at random is all in the result."""
    rng = random.Random(seed)
    cells = [(f"k{index}", f"line {index}\nsecond\n") for index in range(4)]
    base = document(*cells)
    ours, theirs = fork(base), document(*cells)
    tokens = []
    for side, name in ((ours, "o"), (theirs, "t")):
        for step in range(rng.randint(1, 8)):
            token = f"<{name}{step}ü>\n"
            tokens.append(token)
            keys = side.keys()
            if rng.random() < 0.3:
                side.insert_cell(rng.randint(0, len(keys)), "code", token, origin=name)
            else:
                cell = side.cell(rng.choice(keys))
                lines = cell.source.splitlines(keepends=True)
                lines.insert(rng.randint(0, len(lines)), token)
                cell.set_source("".join(lines), name)
    rebase(base, ours, theirs, "rebase")
    text = "".join(source for _, source in content(theirs))
    assert all(text.count(token) == 1 for token in tokens)


def test_the_log_is_what_the_acknowledged_state_lacks() -> None:
    """Acknowledged updates leave the log and enter the state; the rest stays out of it."""
    made = document(("a", ""))
    log = LocalUpdates(made)
    log.remote(made.update_since())
    made.observe_updates(lambda update, _: log.local(update, 0.0))
    for number in range(6):
        made.cell(CellKey("a")).splice(0, 0, str(number), "me")
        log.entries[-1].number = number + 1
    log.acknowledged(4)
    assert log.waiting == 2
    assert content(log.acknowledged_document()) == [("a", "3210")]
    log.acknowledged(6)
    assert log.waiting == 0
    assert content(log.acknowledged_document()) == [("a", "543210")]


def test_a_long_log_collapses_and_still_holds_everything() -> None:
    """Above its bound the log becomes one diff that counts for all; applied elsewhere it brings every
    edit.
    """
    made = document(("a", ""))
    log = LocalUpdates(made)
    other = fork(made)
    made.observe_updates(lambda update, _: log.local(update, 0.0))
    for _ in range(MAX_LOGGED + 10):
        made.cell(CellKey("a")).splice(0, 0, "x", "me")
    assert log.waiting == MAX_LOGGED + 10
    assert len(log.entries) < 20
    for entry in log.entries:
        other.apply(entry.data)
    assert content(other) == content(made)


def test_the_state_is_compacted_only_when_nothing_waits(monkeypatch: pytest.MonkeyPatch) -> None:
    """Many acknowledged parts become one snapshot with the same content."""
    monkeypatch.setattr("runt.peer.local_updates.MAX_PARTS", 8)
    made = document(("a", ""))
    log = LocalUpdates(made)
    log.remote(made.update_since())
    made.observe_updates(lambda update, _: log.local(update, 0.0))
    for number in range(1, 30):
        made.cell(CellKey("a")).splice(0, 0, "x", "me")
        log.entries[-1].number = number
        log.acknowledged(number)
    assert len(log._parts) <= 9
    assert content(log.acknowledged_document()) == content(made)
