"""The live editor over a cell: where it is, and that nothing jumps when it comes and goes."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from textual.document._document import Document
from textual.document._wrapped_document import WrappedDocument
from textual.widgets import TextArea

from runt.tui.view.cell_strips import GUTTER_CELLS, body_width
from runt.tui.view.wrapping import CARET_CELLS, wrap_source
from tests.tui.grids import ViewApp, screen_lines, settled
from tests.tui.notebooks import MemoryNotebook

LONG = "total = " + " + ".join(f"value_{i}" for i in range(40))
TABS = "\tif x:\n\t\treturn\t1  # " + "word " * 40


def make_editor(app: ViewApp, text: str) -> TextArea:
    """An editor as the app makes it."""
    editor = TextArea(text, compact=True, soft_wrap=True, show_line_numbers=False)
    editor.cursor_blink = False
    editor.register_theme(app.view.editor_theme)
    editor.theme = app.view.editor_theme.name
    return editor


@settings(max_examples=60, deadline=None)
@given(
    text=st.text(alphabet=st.sampled_from("ab (),\t漢é😀_" + "x" * 3 + "\n"), max_size=300),
    width=st.integers(min_value=6, max_value=60),
)
def test_rows_of_source_are_those_of_the_editor(text: str, width: int) -> None:
    """The view breaks lines exactly where the editor's wrapped document does."""
    wrapped = WrappedDocument(Document(text), width=width - CARET_CELLS, tab_width=4)
    ours = wrap_source(text.split("\n"), width)
    assert len(ours) == wrapped.height
    for line in range(len(text.split("\n"))):
        assert [row.start for row in ours if row.line == line][1:] == list(wrapped.get_offsets(line))


@pytest.mark.parametrize("source", ["x = 1", "a\nb\nc", LONG, TABS, "漢字 " * 60, ""])
async def test_opening_the_editor_moves_nothing(source: str) -> None:
    """With the editor open every row of the screen shows the same text as before."""
    notebook = MemoryNotebook()
    notebook.add("before = 1")
    key = notebook.add(source)
    notebook.add("after = 1")
    app = ViewApp(notebook)
    async with app.run_test(size=(80, 30)) as pilot:
        await settled(pilot)
        app.view.focus_cell(key)
        await settled(pilot)
        before = screen_lines(app)
        app.view.place_editor(key, make_editor(app, source))
        await settled(pilot)
        assert app.view.editing == key
        assert screen_lines(app) == before
        app.view.remove_editor()
        await settled(pilot)
        assert app.view.editing is None
        assert screen_lines(app) == before


async def test_the_editor_grows_with_its_text() -> None:
    """A new line pushes the cells below down by one row, and the editor takes the row."""
    notebook = MemoryNotebook()
    first = notebook.add("a = 1")
    notebook.add("after = 1")
    app = ViewApp(notebook)
    async with app.run_test(size=(80, 12)) as pilot:
        await settled(pilot)
        editor = make_editor(app, "a = 1")
        app.view.place_editor(first, editor)
        await settled(pilot)
        assert editor.region.x == GUTTER_CELLS
        assert editor.region.width == body_width(app.view.scrollable_content_region.width)
        assert editor.region.height == 1
        editor.insert("\nb = 2", (0, 5))
        notebook.document.cell(first).splice(5, 5, "\nb = 2", "editor")
        app.view.editor_resized()
        await settled(pilot)
        assert editor.region.height == 2
        assert [line.rstrip(" ▁▂▃▄▅▆▇") for line in screen_lines(app)[:4]] == [
            "▌ ·   a = 1",
            "▌     b = 2",
            "",
            "  ·   after = 1",
        ]


async def test_cells_added_above_do_not_move_the_editor() -> None:
    """Someone inserts a cell above the one being edited: the caret's row stays where it is on the screen."""
    notebook = MemoryNotebook()
    keys = [notebook.add(f"cell_{i} = {i}") for i in range(60)]
    app = ViewApp(notebook)
    async with app.run_test(size=(80, 20)) as pilot:
        await settled(pilot)
        app.view.focus_cell(keys[30])
        await settled(pilot)
        editor = make_editor(app, "cell_30 = 30")
        app.view.place_editor(keys[30], editor)
        await settled(pilot)
        row = editor.region.y
        notebook.add("one\ntwo\nthree\nfour", index=2)
        await settled(pilot)
        assert editor.region.y == row
        assert app.view.editing == keys[30]


async def test_a_cell_deleted_while_edited_loses_its_editor() -> None:
    """Someone deletes the cell being edited: the editor goes, the focus moves to a neighbour."""
    notebook = MemoryNotebook()
    keys = [notebook.add(f"cell_{i} = {i}") for i in range(3)]
    app = ViewApp(notebook)
    async with app.run_test(size=(80, 20)) as pilot:
        await settled(pilot)
        app.view.focus_cell(keys[1])
        app.view.place_editor(keys[1], make_editor(app, "cell_1 = 1"))
        await settled(pilot)
        notebook.document.delete_cell(keys[1], "other")
        await settled(pilot)
        assert app.view.editing is None
        assert not app.view.query(TextArea)
        assert app.view.focused == keys[2]


async def test_rendered_markdown_becomes_source_while_edited() -> None:
    """A Markdown cell shows its source in the editor and its rendering afterwards."""
    notebook = MemoryNotebook()
    key = notebook.add("# Title\n\n*soft*", "markdown")
    app = ViewApp(notebook)
    async with app.run_test(size=(60, 10)) as pilot:
        await settled(pilot)
        assert screen_lines(app)[2].strip("▌ ") == "soft"
        app.view.place_editor(key, make_editor(app, "# Title\n\n*soft*"))
        await settled(pilot)
        assert screen_lines(app)[2].strip("▌ ") == "*soft*"
        app.view.remove_editor()
        await settled(pilot)
        assert screen_lines(app)[2].strip("▌ ") == "soft"


async def test_deleting_and_focusing_at_once_takes_the_editor_away() -> None:
    """The app deletes the edited cell and focuses another before the view has looked: no editor stays."""
    notebook = MemoryNotebook()
    keys = [notebook.add(f"cell_{i} = {i}") for i in range(3)]
    app = ViewApp(notebook)
    async with app.run_test(size=(80, 20)) as pilot:
        await settled(pilot)
        app.view.place_editor(keys[0], make_editor(app, "cell_0 = 0"))
        await settled(pilot)
        notebook.document.delete_cell(keys[0], "own")
        key = notebook.add("fresh = 1")
        app.view.focus_cell(key)
        await settled(pilot)
        assert app.view.editing is None
        assert not app.view.query(TextArea)
        assert app.view.focused == key
