"""One history of what this person did, undone in order, never over somebody else's work."""

from __future__ import annotations

import pytest

from runt.notebook.notebook_document import CellKey, NewCell, NotebookDocument
from runt.tui.cell_steps import LOCAL, Deleted, Inserted, Moved, Retyped, Rewritten, Several, previous
from runt.tui.undo import MAX_ENTRIES, History, TextSession


@pytest.fixture
def document() -> NotebookDocument:
    made = NotebookDocument.create("room")
    made.insert_cells(0, [NewCell("code", text) for text in ("one", "two", "three")], "file")
    return made


def sources(document: NotebookDocument) -> list[str]:
    return [document.cell(key).source for key in list(document.keys())]


class Typist:
    """Types into a cell as the editor does."""

    def __init__(self, document: NotebookDocument, history: History, key: CellKey) -> None:
        self.document, self.history, self.key = document, history, key
        self.session = TextSession(document, key)

    def type(self, text: str, at: int) -> None:
        for offset, character in enumerate(text):
            self.edit(at + offset, at + offset, character)

    def edit(self, start: int, stop: int, new: str) -> None:
        self.history.typing(self.session, start, stop - start, new)
        self.document.cell(self.key).splice(start, stop, new, self.session.origin)


def test_typing_is_undone_word_by_word(document: NotebookDocument) -> None:
    """A word with the blank after it is one step."""
    history = History()
    typist = Typist(document, history, document.keys()[0])
    typist.type(" alpha beta", 3)
    assert document.cell(typist.key).source == "one alpha beta"
    texts = []
    while history.undo().done:
        texts.append(document.cell(typist.key).source)
    assert texts == ["one alpha ", "one ", "one"]
    while history.redo().done:
        pass
    assert document.cell(typist.key).source == "one alpha beta"


def test_backspaces_are_one_step_and_a_line_break_its_own(document: NotebookDocument) -> None:
    """A run of deletions comes back at once; Enter is a step."""
    history = History()
    typist = Typist(document, history, document.keys()[2])
    for end in (5, 4, 3):
        typist.edit(end - 1, end, "")
    typist.edit(2, 2, "\n")
    assert document.cell(typist.key).source == "th\n"
    history.undo()
    assert document.cell(typist.key).source == "th"
    history.undo()
    assert document.cell(typist.key).source == "three"


def test_steps_of_text_and_cells_are_undone_in_one_order(document: NotebookDocument) -> None:
    """Typing, deleting a cell, typing elsewhere: undone last to first."""
    history = History()
    first, second, third = document.keys()
    typist = Typist(document, history, first)
    typist.type("A", 0)
    document.delete_cell(second, LOCAL)
    history.record(Deleted(document, [second]))
    typist = Typist(document, history, third)
    typist.type("C", 0)
    assert sources(document) == ["Aone", "Cthree"]
    assert history.undo().cell == third
    assert sources(document) == ["Aone", "three"]
    assert history.undo().cell == second
    assert sources(document) == ["Aone", "two", "three"]
    assert history.undo().cell == first
    assert sources(document) == ["one", "two", "three"]
    assert not history.undo().done


def test_while_editing_only_that_cells_typing_is_undone(document: NotebookDocument) -> None:
    """Undo with a cell leaves newer steps elsewhere alone."""
    history = History()
    first, second, _ = document.keys()
    Typist(document, history, first).type("A", 0)
    document.delete_cell(second, LOCAL)
    history.record(Deleted(document, [second]))
    assert history.undo(first).done
    assert sources(document) == ["one", "three"]
    assert not history.undo(first).done


def test_undo_of_typing_leaves_another_persons_text(document: NotebookDocument) -> None:
    """What a peer typed into the same cell stays."""
    history = History()
    key = document.keys()[0]
    Typist(document, history, key).type("mine", 0)
    document.cell(key).splice(0, 0, "theirs ", "remote")
    history.undo()
    assert document.cell(key).source == "theirs one"


def test_an_inserted_cell_that_a_peer_wrote_in_is_not_taken_away(document: NotebookDocument) -> None:
    """The undo is skipped, and says so."""
    history = History()
    [key] = document.insert_cells(1, [NewCell()], LOCAL)
    history.record(Inserted(document, [key], [""]))
    document.cell(key).splice(0, 0, "by ann", "remote")
    outcome = history.undo()
    assert not outcome.done
    assert "changed since" in outcome.text
    assert key in document


def test_a_deleted_cell_comes_back_with_what_others_typed(document: NotebookDocument) -> None:
    """Restoring is the inverse of deleting: the text is the cell's own."""
    history = History()
    key = document.keys()[1]
    document.delete_cell(key, LOCAL)
    history.record(Deleted(document, [key]))
    document.cell(key).splice(3, 3, "!", "remote")
    history.undo()
    assert sources(document) == ["one", "two!", "three"]
    history.redo()
    assert sources(document) == ["one", "three"]


def test_a_move_is_undone_only_while_the_cell_is_where_it_was_put(document: NotebookDocument) -> None:
    """Moved back to the cell it followed; not when somebody moved it again."""
    history = History()
    first, second, third = document.keys()
    for skipped in (False, True):
        before = previous(document, third)
        document.move_cell(third, 0, LOCAL)
        history.record(Moved(document, third, before, None))
        if skipped:
            document.move_cell(third, 1, "remote")
        assert history.undo().done is not skipped
    assert document.keys() == [first, third, second]


def test_a_type_is_undone_only_while_it_is_what_was_set(document: NotebookDocument) -> None:
    """A peer's later choice stays."""
    history = History()
    key = document.keys()[0]
    document.set_cell_type(key, "markdown", LOCAL)
    history.record(Retyped(document, key, "code", "markdown"))
    document.set_cell_type(key, "raw", "remote")
    assert not history.undo().done
    assert document.cell(key).type == "raw"


def test_a_compound_step_is_undone_whole_or_not_at_all(document: NotebookDocument) -> None:
    """A merge whose result somebody edited stays merged, and no half of it is undone."""
    first, second, _ = document.keys()
    document.cell(first).set_source("one\ntwo", LOCAL)
    document.delete_cell(second, LOCAL)
    steps = [Rewritten(document, first, "one", "one\ntwo"), Deleted(document, [second])]
    merged = Several("merged two cells", first, steps)
    assert merged.undo()
    assert sources(document) == ["one", "two", "three"]
    assert merged.redo()
    document.cell(first).splice(0, 0, "# ", "remote")
    assert not merged.undo()
    assert sources(document) == ["# one\ntwo", "three"]


def test_the_history_is_bounded(document: NotebookDocument) -> None:
    """The oldest steps go when there are too many."""
    history = History()
    key = document.keys()[0]
    for _ in range(MAX_ENTRIES + 5):
        history.record(Retyped(document, key, "code", "code"))
    undone = 0
    while history.undo().done:
        undone += 1
    assert undone == MAX_ENTRIES
