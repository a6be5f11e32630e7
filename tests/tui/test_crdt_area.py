"""The editor mirrors the CRDT text, whoever edits it."""

from __future__ import annotations

import random

import pytest
from rich.style import Style
from textual.app import App, ComposeResult

from runt.notebook.notebook_document import CellKey, NotebookDocument
from runt.tui.editor.area import CrdtArea
from runt.tui.editor.carets import Caret
from runt.tui.editor.lf_document import LfDocument, SyntaxLfDocument
from runt.tui.highlighting import text_area_theme
from runt.tui.textual_compat import Selection, TextAreaTheme, WrappedDocument
from runt.tui.undo import History

START = "def f(x):\n    return x  # 漢字 😀\n\nprint(f(1))"
# Everything that has broken an offset or a line break somewhere: wide, combining, joined, control and
# separator characters, CRLF.
PIECES = [
    "a", "b", "\n", "(", ")", " ", "é", "漢", "😀", "👨‍👩‍👧", "e\u0301", "\t", "def f():\n    pass\n",
    "\x0c", "\u2028", "x\r\ny", "🏳️‍🌈", "",
]  # fmt: skip
KEYS = ["x", "enter", "backspace", "delete", "ctrl+k", "tab", "left_parenthesis"]
SEEDS = 4
STEPS = 120


class Host:
    """Somebody who placed the editor: remembers what it was asked."""

    def __init__(self) -> None:
        self.resized = 0
        self.revealed: list[int] = []

    def editor_resized(self) -> None:
        self.resized += 1

    def reveal_row(self, key: str, row: int) -> None:
        self.revealed.append(row)

    @property
    def editor_theme(self) -> TextAreaTheme:
        return text_area_theme({"keyword": Style(color="blue")})


class TwoEditors(App[None]):
    """Two peers' editors of one cell, with a link that carries updates when ``sync`` is called."""

    def __init__(self, text: str = START) -> None:
        super().__init__()
        first = NotebookDocument.create("room")
        self.key: CellKey = first.insert_cell(0, "code", text, origin="test")
        second = NotebookDocument()
        second.apply(first.update_since())
        self.documents = [first, second]
        self.histories = [History(), History()]
        self.hosts = [Host(), Host()]
        self.areas: list[CrdtArea] = []

    def compose(self) -> ComposeResult:
        for document, history, host in zip(self.documents, self.histories, self.hosts, strict=True):
            area = CrdtArea(document, self.key, history, host=host, language="python")
            self.areas.append(area)
            yield area

    def sync(self) -> None:
        first, second = self.documents
        forth, back = first.update_since(second.state()), second.update_since(first.state())
        second.apply(forth)
        first.apply(back)

    def sources(self) -> list[str]:
        return [document.cell(self.key).source for document in self.documents]


async def _random_step(app: TwoEditors, rnd: random.Random, press) -> None:
    side = rnd.randrange(2)
    area, lines = app.areas[side], app.areas[side].lines
    length = len(lines.text)
    start = rnd.randint(0, length)
    stop = min(length, start + rnd.choice([0, 0, 0, 1, 3, 20]))
    kind = rnd.random()
    if kind < 0.55:
        keep = rnd.random() < 0.5
        area.replace(
            rnd.choice(PIECES), lines.location(start), lines.location(stop), maintain_selection_offset=keep
        )
    elif kind < 0.7:
        area.selection = Selection(lines.location(start), lines.location(stop))
    elif kind < 0.8:
        area.focus()
        await press(rnd.choice(KEYS))
    elif kind < 0.86:
        area.undo()
    elif kind < 0.9:
        area.redo()
    else:
        app.sync()


@pytest.mark.parametrize("seed", range(SEEDS))
async def test_random_edits_from_two_sides_keep_editor_and_document_equal(seed: int) -> None:
    """Whatever two people type, undo and sync, each editor shows its document, and after a sync both are the
    same."""
    rnd = random.Random(seed)
    app = TwoEditors()
    async with app.run_test(size=(60, 24)) as pilot:
        for step in range(STEPS):
            await _random_step(app, rnd, pilot.press)
            for source, area in zip(app.sources(), app.areas, strict=True):
                assert source == area.document.text, step
        app.sync()
        await pilot.pause()
        first, second = app.sources()
        assert first == second
        for area in app.areas:
            assert area.document.text == first
            assert all(area.clamp_visitable(place) == place for place in area.selection)
            fresh = WrappedDocument(area.document, width=area.wrap_width, tab_width=area.indent_width)
            assert fresh._wrap_offsets == area.wrapped_document._wrap_offsets
            document = area.document
            assert isinstance(document, SyntaxLfDocument)
            assert str(SyntaxLfDocument(document.text, document.language).root) == str(document.root)


async def test_a_caret_stays_between_its_characters_while_a_peer_types_above() -> None:
    """An edit by a peer above the caret moves the caret with its line and does not scroll to it."""
    app = TwoEditors()
    async with app.run_test() as pilot:
        mine, theirs = app.areas
        mine.move_cursor((1, 4))
        await pilot.pause()
        app.hosts[0].revealed.clear()
        theirs.insert("# one\n# two\n", (0, 0))
        app.sync()
        await pilot.pause()
        assert mine.cursor_location == (3, 4)
        assert app.hosts[0].revealed == []


async def test_two_people_typing_at_one_place_do_not_interleave() -> None:
    """What a peer inserts exactly at my caret stays to the right of it."""
    app = TwoEditors("")
    async with app.run_test():
        mine, theirs = app.areas
        mine.insert("ab", (0, 0))
        mine.move_cursor((0, 2))
        app.sync()
        theirs.insert("XY", (0, 2))
        app.sync()
        mine.insert("c", mine.cursor_location)
        assert mine.text == "abcXY"


async def test_undo_takes_back_only_what_this_person_typed() -> None:
    """Undo and redo leave the other person's edits alone."""
    app = TwoEditors()
    async with app.run_test() as pilot:
        mine, theirs = app.areas
        mine.focus()
        mine.move_cursor((0, 0))
        await pilot.press("A")
        app.sync()
        theirs.focus()
        theirs.move_cursor((3, 0))
        await pilot.press("B")
        app.sync()
        mine.undo()
        app.sync()
        assert "A" not in theirs.text
        assert "B" in mine.text
        mine.redo()
        app.sync()
        assert "A" in theirs.text
        assert not mine.history.undo_stack


async def test_undo_goes_to_where_it_took_something_back() -> None:
    """The caret stands after what came back, and is brought into view."""
    app = TwoEditors("one two\n\n\nend")
    async with app.run_test() as pilot:
        area, host = app.areas[0], app.hosts[0]
        area.delete((0, 3), (0, 7))
        area.move_cursor((3, 3))
        await pilot.pause()
        host.revealed.clear()
        area.undo()
        assert area.text == "one two\n\n\nend"
        assert area.cursor_location == (0, 7)
        assert host.revealed[-1] == 0


async def test_enter_indents_after_a_colon_and_keeps_the_indent_otherwise() -> None:
    """Enter after a colon goes one level in, after return one level out, else stays."""
    app = TwoEditors("")
    async with app.run_test() as pilot:
        area = app.areas[0]
        area.focus()
        for text in ("def f(x):", "return x", "y = 1"):
            await _type(area, text)
            await _press(area, "enter")
        await pilot.pause()
        assert area.text == "def f(x):\n    return x\ny = 1\n"


async def test_tab_backspace_and_comment_work_on_levels() -> None:
    """Tab goes to the next stop, Backspace takes a level away, shift+tab and comment work on the selected
    lines."""
    app = TwoEditors("a = 1\n\nb = 2")
    async with app.run_test():
        area = app.areas[0]
        area.move_cursor((0, 0))
        await _press(area, "tab")
        assert area.text == "    a = 1\n\nb = 2"
        await _press(area, "backspace")
        assert area.text == "a = 1\n\nb = 2"
        area.selection = Selection((0, 0), (2, 3))
        await _press(area, "tab")
        assert area.text == "    a = 1\n\n    b = 2"
        await _press(area, "shift+tab")
        assert area.text == "a = 1\n\nb = 2"
        area.toggle_comment()
        assert area.text == "# a = 1\n\n# b = 2"
        area.toggle_comment()
        assert area.text == "a = 1\n\nb = 2"


async def test_a_paste_is_one_edit_without_control_characters() -> None:
    """Pasted text keeps its lines, loses what a terminal would obey, and is undone at once."""
    app = TwoEditors("")
    async with app.run_test():
        area = app.areas[0]
        await area.paste("x = 1\r\nprint(\x1b[31m'é')\r")
        assert area.text == "x = 1\nprint([31m'é')\n"
        assert app.sources()[0] == area.text
        area.undo()
        assert area.text == ""


async def test_control_characters_are_painted_as_pictures() -> None:
    """A control character in the text is shown, one cell wide, and never painted raw."""
    app = TwoEditors("a\x1b[31m\x07b\u2028c")
    async with app.run_test():
        area = app.areas[0]
        assert area.get_line(0).plain == "a␛[31m␇b�c"


async def test_typing_reports_rows_to_the_host_when_they_change() -> None:
    """The host hears of a new row, and only then."""
    app = TwoEditors("one")
    async with app.run_test() as pilot:
        area, host = app.areas[0], app.hosts[0]
        area.move_cursor((0, 3))
        await pilot.pause()
        before = host.resized
        area.insert("x")
        assert host.resized == before
        area.insert("\n")
        assert host.resized == before + 1
        assert area.row_count == 2


async def test_a_peers_caret_moves_with_my_typing_and_shows_the_name() -> None:
    """Carets of peers are shifted by local edits, and a name stands after the end of a line."""
    app = TwoEditors("x = 3")
    async with app.run_test():
        area = app.areas[0]
        area.show_carets({"p": Caret(5, 5, "#ff00ff", "ann")})
        assert area.get_line(0).plain == "x = 3 ann"
        area.insert("yy", (0, 0))
        assert area.get_line(0).plain == "yyx = 3 ann"


def test_only_a_line_feed_ends_a_line() -> None:
    """Form feeds and Unicode separators stay inside their line, and offsets count code points."""
    document = LfDocument("a\x0cb\u2028c\x85d\n漢😀z")
    assert document.line_count == 2
    assert document.location(document.offset((1, 2))) == (1, 2)
    assert document.location(10_000) == document.end


async def _type(area: CrdtArea, text: str) -> None:
    from textual.events import Key

    for character in text:
        await area.press(Key(character, character))


async def _press(area: CrdtArea, key: str) -> None:
    from textual.events import Key

    await area.press(Key(key, None))


async def test_ctrl_home_and_end_go_to_the_ends_of_the_cell() -> None:
    """And with Shift they select on the way."""
    app = TwoEditors("a = 1\n\nb = 2")
    async with app.run_test():
        area = app.areas[0]
        await _press(area, "ctrl+end")
        assert area.cursor_location == (2, 5)
        await _press(area, "ctrl+home")
        assert area.cursor_location == (0, 0)
        assert area.selection.is_empty
        await _press(area, "ctrl+shift+end")
        assert area.selected_text == "a = 1\n\nb = 2"
