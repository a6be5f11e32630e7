"""Where the view is after the terminal changes its size and while cells print: nothing that matters gets lost."""

from __future__ import annotations

import pytest

from runt.notebook.cell import CellKey
from runt.tui.view.following import followed_row
from runt.tui.view.row_model import Shape
from tests.tui import grids
from tests.tui.grids import ViewApp, screen_lines, settled
from tests.tui.notebooks import MemoryNotebook
from tests.tui.test_app import Screen, opened
from tests.tui.test_view_editor import make_editor

STORM = [(60, 15), (200, 60), (20, 4), (119, 40), (80, 1), (61, 15), (120, 200)]


def tall_notebook(count: int = 80) -> tuple[MemoryNotebook, list[CellKey]]:
    """Cells that take other heights at other widths."""
    notebook = MemoryNotebook()
    keys = notebook.add_many(
        [f"cell_{i} = 0\n" + "value + " * 18 * (i % 3) + f"\nend_{i} = 0" for i in range(count)]
    )
    return notebook, keys


def body(app: ViewApp) -> list[str]:
    return [line[: app.size.width - 2].rstrip() for line in screen_lines(app)]


async def test_a_storm_of_sizes_ends_where_it_began() -> None:
    """Whatever sizes the terminal takes meanwhile, the first row seen is the first again at the old size."""
    notebook, keys = tall_notebook()
    app = ViewApp(notebook)
    async with app.run_test(size=(120, 40)) as pilot:
        await settled(pilot)
        app.view.focus_cell(keys[42])
        app.view.scroll_to(y=app.view.top_of(keys[40]) + 1, animate=False)
        await settled(pilot)
        before = body(app)
        for width, height in STORM:
            await pilot.resize_terminal(width, height)
            await settled(pilot)
            assert any(line.startswith("▌") for line in body(app)), (width, height)
        await pilot.resize_terminal(120, 40)
        await settled(pilot)
        assert body(app) == before


async def test_sizes_that_come_faster_than_layouts_lose_nothing_either() -> None:
    """The same without a moment of rest between two sizes."""
    notebook, keys = tall_notebook()
    app = ViewApp(notebook)
    async with app.run_test(size=(120, 40)) as pilot:
        await settled(pilot)
        app.view.focus_cell(keys[79])
        await settled(pilot)
        before = body(app)
        for width, height in [*STORM, *reversed(STORM), (120, 40)]:
            await pilot.resize_terminal(width, height)
        await settled(pilot)
        assert body(app) == before


async def test_who_looks_elsewhere_stays_there() -> None:
    """A focused cell that was not on the screen is not fetched by a resize."""
    notebook, keys = tall_notebook()
    app = ViewApp(notebook)
    async with app.run_test(size=(120, 40)) as pilot:
        await settled(pilot)
        app.view.scroll_to(y=app.view.top_of(keys[40]), animate=False)
        await settled(pilot)
        await pilot.resize_terminal(60, 15)
        await settled(pilot)
        assert "cell_40" in body(app)[0]


@pytest.mark.parametrize("size", [(60, 15), (30, 6), (119, 3)])
async def test_the_caret_stays_on_the_screen(size: tuple[int, int]) -> None:
    """While the last cell is edited the terminal shrinks: the caret's row is visible, and again at the old size."""
    notebook, keys = tall_notebook(8)
    app = ViewApp(notebook)
    async with app.run_test(size=(120, 40)) as pilot:
        await settled(pilot)
        app.view.focus_cell(keys[7])
        editor = make_editor(app, notebook.document.cell(keys[7]).source)
        app.view.place_editor(keys[7], editor)
        await settled(pilot)
        editor.move_cursor((1, 60))
        editor.scroll_cursor_visible()
        await settled(pilot)
        before = body(app)
        await pilot.resize_terminal(*size)
        await settled(pilot)
        assert app.view.caret_row == editor.wrapped_document.location_to_offset(editor.cursor_location).y
        assert 0 <= editor.region.y + app.view.caret_row < size[1]
        assert editor.region.height == editor.wrapped_document.height
        await pilot.resize_terminal(120, 40)
        await settled(pilot)
        assert body(app) == before


async def test_the_edited_cell_of_the_app_stays_on_a_small_screen() -> None:
    """The last of eight cells, edited at 120 by 40: at 60 by 15 it is there."""
    sources = [f"# cell {i}\na = 1\nb = 2\nc = 3\nd = 4" for i in range(1, 9)]
    async with opened(sources, size=(120, 40)) as screen:
        await screen.press("G", "enter", "end")
        await screen.pilot.resize_terminal(60, 15)
        await screen.press()
        assert any("# cell 8" in row for row in grids.screen_lines(screen.app))


# -- following what a cell prints ------------------------------------------------


@pytest.mark.parametrize(
    ("shape", "first", "row"),
    [
        (Shape(2, (5,)), 100, 100),  # all of it is visible
        (Shape(2, (15,)), 85, 97),  # its bottom is below the screen
        (Shape(50, (5,)), 100, 135),  # a long source: the bottom counts
        (Shape(2, (50,)), 90, 101),  # the output is taller than the screen: its beginning, below the source
        (Shape(2, (50,)), 110, 110),  # never up
        (Shape(2, (5,)), 200, 100),  # it is above: all of it
    ],
)
def test_a_run_scrolls_just_as_far_as_needed(shape: Shape, first: int, row: int) -> None:
    """Down to the bottom of the cell at row 100, on a screen of 20 rows."""
    assert followed_row(100, shape, first, 20) == row


CELLS = [f"# cell {i}\nx = {i}" for i in range(1, 15)]


def lines(screen: Screen) -> list[str]:
    assert screen.app.desk is not None
    return screen.app.desk.view.transcript()


def texts(screen: Screen, rows: int) -> list[str]:
    """The first rows without gutter, notes and scroll bar."""
    return [row[6:30].rstrip() for row in lines(screen)[:rows]]


async def shown(screen: Screen, text: str) -> None:
    await screen.until(lambda: any(text in row for row in lines(screen)))


async def quiet(screen: Screen) -> None:
    desk = screen.app.desk
    assert desk is not None
    await screen.until(lambda: desk.view.quiet)
    await screen.press()


async def test_the_output_of_a_run_in_place_is_scrolled_into_view() -> None:
    """The last cell is at the bottom of the screen; what it prints appears, to its last row, as it grows."""
    async with opened(CELLS, size=(80, 24)) as screen:
        screen.session.output = "".join(f"row {n}\n" for n in range(6))
        await screen.press("G", "ctrl+j")
        await shown(screen, "row 5")
        assert any("# cell 14" in row for row in lines(screen))


async def test_an_output_taller_than_the_screen_is_shown_from_its_beginning() -> None:
    """The last row of the source is on top, the first rows of the output below it."""
    async with opened(CELLS, size=(80, 24)) as screen:
        screen.session.output = "".join(f"row {n}\n" for n in range(60))
        await screen.press("G", "ctrl+j")
        await shown(screen, "row 3")
        await quiet(screen)
        assert "x = 14" in lines(screen)[0]
        assert "row 0" in lines(screen)[1]


async def test_who_scrolls_away_is_left_alone() -> None:
    """After a scroll, a run that prints more moves nothing."""
    async with opened(CELLS, size=(80, 24)) as screen:
        key = screen.session.document.keys()[-1]
        screen.session.hold = True
        await screen.press("G", "ctrl+j")
        screen.session.begin(key)
        await quiet(screen)
        assert screen.app.desk is not None
        screen.app.desk.view.scroll_page_up(animate=False)
        await quiet(screen)
        before = lines(screen)
        screen.session.print(key, "more\n" * 8)
        await quiet(screen)
        assert lines(screen) == before


async def test_a_run_that_prints_slowly_is_followed_to_its_end() -> None:
    """Each time it prints, its last row is visible; what is printed after its end moves nothing."""
    async with opened(CELLS, size=(80, 24)) as screen:
        key = screen.session.document.keys()[-1]
        screen.session.hold = True
        await screen.press("G", "ctrl+j")
        screen.session.begin(key)
        for number in range(4):
            screen.session.print(key, f"a\nb\nrow {number}\n")
            await shown(screen, f"row {number}")
        screen.session.finish(key)
        await quiet(screen)


@pytest.mark.parametrize("key", ["k", "pageup"])
async def test_output_of_other_runs_scrolls_nothing(key: str) -> None:
    """Somebody else runs the focused cell, or this person has moved on: the screen stays."""
    async with opened(CELLS, size=(80, 24)) as screen:
        last = screen.session.document.keys()[-1]
        await screen.press("G")
        await quiet(screen)
        before = texts(screen, 17)
        screen.session.begin(last, by="ann")
        screen.session.print(last, "theirs\n" * 8)
        screen.session.finish(last)
        await quiet(screen)
        assert texts(screen, 17) == before
        screen.session.hold = True
        await screen.press("ctrl+j", key)
        await quiet(screen)
        before = texts(screen, 17)
        screen.session.begin(last)
        screen.session.print(last, "mine\n" * 20)
        await quiet(screen)
        assert texts(screen, 12) == before[:12]


async def test_run_and_insert_shows_output_and_the_new_cell() -> None:
    """The output pushes the new cell down as far as there is room, and the caret stays on the screen."""
    async with opened(["x = 1", "y = 2"], size=(80, 24)) as screen:
        screen.session.output = "".join(f"row {n}\n" for n in range(10))
        await screen.press("f8")
        await shown(screen, "row 9")
        assert "x = 1" in lines(screen)[0]
        assert "row 0" in lines(screen)[1]
        assert screen.editor.region.y == screen.app.desk.view.region.y + 12  # type: ignore[union-attr]
        screen.session.output = "".join(f"line {n}\n" for n in range(10, 70))
        await screen.press("p", "f8")
        await shown(screen, "line 69")
        view = screen.app.desk.view  # type: ignore[union-attr]
        assert view.region.contains_region(screen.editor.region)
        assert screen.sources[:3] == ["x = 1", "p", ""]
