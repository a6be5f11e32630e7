"""The view in an app: what is on the screen, what is painted and what is not, what moves."""

from __future__ import annotations

import time

import pytest
from textual.events import MouseScrollDown
from textual.pilot import Pilot

from runt.notebook.cell import CellKey
from runt.tui.view.messages import CellActivated, CellFocused
from runt.tui.view.notebook_view import NotebookView
from tests.tui.grids import ViewApp, check_grid, screen_lines, settled
from tests.tui.notebooks import MemoryNotebook

TRACEBACK = [
    "\x1b[31m---------------------------------------------------------------------------\x1b[39m",
    "\x1b[31mZeroDivisionError\x1b[39m                         Traceback (most recent call last)",
    "\x1b[36mCell\x1b[39m\x1b[36m \x1b[39m\x1b[32mIn[7]\x1b[39m\x1b[32m, line 1\x1b[39m\n"
    "\x1b[32m----> \x1b[39m\x1b[32m1\x1b[39m ratio = mean(total, count)\n",
    "\x1b[36mFile \x1b[39m\x1b[32m~/proj/stats.py:42\x1b[39m, in \x1b[36mmean\x1b[39m\x1b[34m(s, n)\x1b[39m\n"
    "\x1b[32m     40\x1b[39m def mean(s, n):\n\x1b[32m---> \x1b[39m\x1b[32m42\x1b[39m     return s / n\n",
    "\x1b[31mZeroDivisionError\x1b[39m: division by zero",
]

TABLE = (
    "<table><thead><tr><th></th><th>mm</th></tr></thead><tbody>"
    "<tr><th>2018</th><td>612.4</td></tr><tr><th>2020</th><td>701.9</td></tr></tbody></table>"
)


def example() -> tuple[MemoryNotebook, dict[str, CellKey]]:
    """A notebook with a cell in every state."""
    notebook = MemoryNotebook()
    keys: dict[str, CellKey] = {}
    keys["text"] = notebook.add("# Rainfall, 1950–2020\nMonthly totals. **Units: mm.**", "markdown")
    keys["import"] = notebook.add('import polars as pl\ndf = pl.read_csv("rain.csv")')
    notebook.ran(keys["import"], 1)
    keys["table"] = notebook.add('df.group_by("year").agg(pl.col("mm").sum()).tail(2)')
    notebook.ran(keys["table"], 2, notebook.result({"text/html": TABLE, "text/plain": "?"}))
    keys["running"] = notebook.add("for epoch in range(50): train(epoch)")
    notebook.begin(keys["running"], by="ann", started=time.time() - 3725)
    with notebook.runtime.transaction("daemon"):
        index = notebook.writer.open_stream(keys["running"], "stdout")
        notebook.writer.edit_tail(keys["running"], index, 0, "epoch 11  loss 0.231\n")
        index = notebook.writer.open_stream(keys["running"], "stderr")
        notebook.writer.edit_tail(keys["running"], index, 0, "training ━━━━━━━━╸─────  22%")
    keys["waiting"] = notebook.add("plot(df)")
    notebook.ran(keys["waiting"], 3, notebook.stream("old\n"))
    notebook.enqueue(keys["waiting"])
    keys["error"] = notebook.add("ratio = mean(total, count)")
    error = notebook.error("ZeroDivisionError", "division by zero", TRACEBACK)
    notebook.ran(keys["error"], 7, error, status="error", took=0.003)
    keys["stale"] = notebook.add("x = 1")
    notebook.ran(keys["stale"], 4)
    notebook.document.cell(keys["stale"]).set_source("x = 2", "test")
    keys["raw"] = notebook.add("kept as it is", "raw")
    keys["new"] = notebook.add("")
    return notebook, keys


async def test_every_state_on_one_screen() -> None:
    """The sketch: gutter, states, table, streams, error, notes."""
    notebook, keys = example()
    app = ViewApp(notebook)
    async with app.run_test(size=(100, 40)) as pilot:
        await settled(pilot)
        app.view.focus_cell(keys["table"])
        app.view.set_peer_marks({keys["import"]: [("ann", "#d08770")], keys["table"]: [("Bo", "#a3be8c")]})
        await settled(pilot)
        check_grid("states", screen_lines(app))


async def test_notes_go_away_on_a_narrow_screen() -> None:
    """Below 70 columns the right edge is the text's; the gutter still tells the states."""
    notebook, _ = example()
    app = ViewApp(notebook)
    async with app.run_test(size=(60, 44)) as pilot:
        await settled(pilot)
        check_grid("narrow", screen_lines(app))


async def test_an_empty_notebook_says_what_to_do() -> None:
    """One calm line, and it goes with the first cell."""
    notebook = MemoryNotebook()
    app = ViewApp(notebook)
    async with app.run_test(size=(80, 5)) as pilot:
        await settled(pilot)
        assert screen_lines(app)[0].strip() == app.view.placeholder
        assert app.view.focused is None
        key = notebook.add("1 + 1")
        await settled(pilot)
        assert "1 + 1" in screen_lines(app)[0]
        assert app.view.focused == key


def long_notebook(count: int) -> tuple[MemoryNotebook, list[CellKey]]:
    """Cells of different heights."""
    notebook = MemoryNotebook()
    keys = notebook.add_many([f"cell_{i} = 0" + f"\nmore = {i}" * (i % 9) for i in range(count)])
    return notebook, keys


async def test_first_paint_touches_only_what_is_visible() -> None:
    """5000 cells: before the first frame the view has read no more cells than fit on the screen."""
    notebook, _ = long_notebook(5000)
    app = ViewApp(notebook)
    touched: list[int] = []
    paint = NotebookView.render_line

    def first_paint(view: NotebookView, y: int):  # type: ignore[no-untyped-def]
        strip = paint(view, y)
        if y == 39:
            touched.append(view.cells_read)
        return strip

    app.view.render_line = first_paint.__get__(app.view)  # type: ignore[method-assign]
    async with app.run_test(size=(100, 40)) as pilot:
        while not touched:
            await pilot.pause()
        assert touched[0] <= 40
        assert "cell_0" in screen_lines(app)[0]


async def measured(count: int, act: str) -> tuple[int, int]:
    """Strips painted and rows asked for when one thing happens in a notebook of ``count`` cells."""
    notebook, keys = long_notebook(count)
    notebook.begin(keys[1])
    with notebook.runtime.transaction("daemon"):
        index = notebook.writer.open_stream(keys[1], "stdout")
        notebook.writer.edit_tail(keys[1], index, 0, "0%\nlast")
    app = ViewApp(notebook)
    asked = 0
    async with app.run_test(size=(100, 40)) as pilot:
        await settled(pilot)
        before = app.view.lines_painted
        render = app.view.render_line

        def counting(y: int):  # type: ignore[no-untyped-def]
            nonlocal asked
            asked += 1
            return render(y)

        app.view.render_line = counting  # type: ignore[method-assign]
        if act == "key":
            notebook.document.cell(keys[3]).splice(0, 0, "x", "remote")
        elif act == "tick":
            with notebook.runtime.transaction("daemon"):
                notebook.writer.edit_tail(keys[1], index, 0, "1%\nlast")
        elif act == "unseen":
            notebook.document.cell(keys[-1]).splice(0, 0, "x", "remote")
        await settled(pilot)
        return app.view.lines_painted - before, asked


@pytest.mark.parametrize("act", ["key", "tick", "unseen"])
async def test_what_is_painted_does_not_depend_on_the_size(act: str) -> None:
    """A key or an output tick paints the same few rows at 20 and at 1000 cells; the unseen paints none."""
    small, large = await measured(20, act), await measured(1000, act)
    assert small == large
    rows = {"key": 4, "tick": 1, "unseen": 0}[act]
    assert large[0] <= rows
    assert large[1] <= rows


async def test_nothing_is_painted_while_nothing_happens() -> None:
    """An idle view paints nothing and runs no timer."""
    notebook, _ = long_notebook(50)
    app = ViewApp(notebook)
    async with app.run_test(size=(100, 40)) as pilot:
        await settled(pilot)
        before = app.view.lines_painted
        for _ in range(20):
            await pilot.pause(0.01)
        assert app.view.lines_painted == before
        assert not app.view.clock_is_running


async def test_the_clock_runs_while_a_visible_cell_runs() -> None:
    """The elapsed time moves while a cell runs, and the clock stops with it."""
    notebook, keys = long_notebook(3)
    app = ViewApp(notebook)
    async with app.run_test(size=(100, 40)) as pilot:
        await settled(pilot)
        notebook.begin(keys[0], started=time.time() - 100)
        await settled(pilot)
        assert app.view.clock_is_running
        assert "1 min 40 s" in screen_lines(app)[0]
        notebook.finish(keys[0], ended=time.time())
        await settled(pilot)
        assert not app.view.clock_is_running


async def at_cell(pilot: Pilot[None], app: ViewApp, key: CellKey) -> str:
    """Scroll to the middle of the notebook; the text of the first row."""
    app.view.focus_cell(key)
    await settled(pilot)
    app.view.scroll_relative(y=5, animate=False)
    await settled(pilot)
    return screen_lines(app)[0]


async def test_rows_above_may_grow_without_moving_what_is_seen() -> None:
    """A cell above the viewport gets longer: the screen stays as it is."""
    notebook, keys = long_notebook(100)
    app = ViewApp(notebook)
    async with app.run_test(size=(100, 20)) as pilot:
        await settled(pilot)
        await at_cell(pilot, app, keys[50])
        before = screen_lines(app)[:-1]
        notebook.document.cell(keys[10]).set_source("\n" * 30, "other")
        await settled(pilot)
        assert text_only(screen_lines(app)[:-1]) == text_only(before)
        notebook.document.delete_cell(keys[20], "other")
        await settled(pilot)
        assert text_only(screen_lines(app)[:-1]) == text_only(before)


def text_only(lines: list[str]) -> list[str]:
    """Without the scroll bar."""
    return [line[:98].rstrip() for line in lines]


async def test_measuring_unseen_cells_does_not_move_what_is_seen() -> None:
    """Estimates become heights in the background; the screen stays, the total becomes right."""
    notebook, keys = long_notebook(800)
    app = ViewApp(notebook)
    async with app.run_test(size=(100, 20)) as pilot:
        while not app.view.lines_painted:
            await pilot.pause()
        app.view.focus_cell(keys[400])
        await pilot.pause()
        first = text_only(screen_lines(app))
        await settled(pilot)
        assert text_only(screen_lines(app)) == first
        assert app.view.virtual_size.height == sum(2 + i % 9 for i in range(800))


async def test_the_end_is_the_end_even_when_nothing_was_measured() -> None:
    """Scrolling to the end at once shows the last cell at the bottom."""
    notebook, _ = long_notebook(500)
    app = ViewApp(notebook)
    async with app.run_test(size=(100, 20)) as pilot:
        while not app.view.lines_painted:
            await pilot.pause()
        app.view.scroll_end(animate=False)
        await settled(pilot)
        assert any("cell_499" in line for line in screen_lines(app))
        app.view.scroll_end(animate=False)
        await settled(pilot)
        assert text_only(screen_lines(app))[-2].strip() == "more = 499"


async def test_focus_moves_and_makes_visible() -> None:
    """Focusing scrolls as little as possible, and tells the app."""
    notebook, keys = long_notebook(60)
    app = ViewApp(notebook)
    async with app.run_test(size=(100, 20)) as pilot:
        await settled(pilot)
        app.view.focus_cell(keys[2])
        await settled(pilot)
        assert app.view.scroll_y == 0
        app.view.focus_cell(keys[30])
        await settled(pilot)
        barred = [line for line in screen_lines(app) if line.startswith("▌")]
        assert len(barred) == 1 + 30 % 9
        assert screen_lines(app)[-1].startswith("▌")
        focused = [message.key for message in app.posted if isinstance(message, CellFocused)]
        assert focused == [keys[0], keys[2], keys[30]]
        app.view.focus_cell("nobody")
        assert app.view.focused == keys[30]


async def test_a_new_cell_can_be_focused_at_once() -> None:
    """The app inserts a cell and focuses it in the same breath: it is there, and placed right."""
    notebook, _ = long_notebook(5)
    app = ViewApp(notebook)
    async with app.run_test(size=(100, 10)) as pilot:
        await settled(pilot)
        key = notebook.add("fresh = 1", index=1)
        app.view.focus_cell(key)
        await settled(pilot)
        assert app.view.focused == key
        assert next(line for line in screen_lines(app) if "fresh" in line).startswith("▌ ·   fresh = 1")
        assert app.view.virtual_size.height == 2 + sum(2 + i % 9 for i in range(5))


async def test_the_focus_follows_a_moved_cell_and_leaves_a_deleted_one() -> None:
    """Moving keeps the focus on the cell; deleting gives it to the cell that took its place."""
    notebook, keys = long_notebook(5)
    app = ViewApp(notebook)
    async with app.run_test(size=(100, 40)) as pilot:
        await settled(pilot)
        app.view.focus_cell(keys[1])
        notebook.document.move_cell(keys[1], 3, "other")
        await settled(pilot)
        assert app.view.focused == keys[1]
        notebook.document.delete_cell(keys[1], "other")
        await settled(pilot)
        assert app.view.focused == keys[4]


async def test_clicks() -> None:
    """A click focuses; into source it opens the cell at that place; on a folded traceback it unfolds."""
    notebook, keys = example()
    app = ViewApp(notebook)
    async with app.run_test(size=(100, 44)) as pilot:
        await settled(pilot)
        rows = {line.strip(): y for y, line in enumerate(screen_lines(app))}
        await pilot.click(offset=(2, next(y for text, y in rows.items() if text.startswith("2 "))))
        assert app.view.focused == keys["table"]
        assert not [m for m in app.posted if isinstance(m, CellActivated)]
        y = next(y for text, y in rows.items() if text.startswith("df = "))
        await pilot.click(offset=(6 + 5, y))
        opened = [m for m in app.posted if isinstance(m, CellActivated)]
        assert [(m.key, m.location) for m in opened] == [(keys["import"], (1, 5))]
        y = next(y for text, y in rows.items() if text.startswith("▸ full"))
        await pilot.click(offset=(10, y))
        await settled(pilot)
        assert any("▾ full traceback" in line for line in screen_lines(app))
        assert any("def mean(s, n):" in line for line in screen_lines(app))


async def test_the_wheel_scrolls_three_rows() -> None:
    """One notch is three rows."""
    notebook, _ = long_notebook(60)
    app = ViewApp(notebook)
    async with app.run_test(size=(100, 20)) as pilot:
        await settled(pilot)
        await pilot._post_mouse_events([MouseScrollDown], app.view, offset=(10, 5))
        await settled(pilot)
        assert app.view.scroll_y == 3


async def test_another_theme_repaints_everything() -> None:
    """Styles come from the theme that is on."""
    notebook, _ = long_notebook(3)
    app = ViewApp(notebook)
    async with app.run_test(size=(100, 20)) as pilot:
        await settled(pilot)
        dark = app.view.render_line(0)
        app.theme = "textual-light"
        await settled(pilot)
        light = app.view.render_line(0)
        assert dark.text == light.text
        assert dark != light


async def test_a_resize_keeps_the_place() -> None:
    """Another width changes heights; the first row that was seen is still the first."""
    notebook = MemoryNotebook()
    keys = notebook.add_many([f"cell_{i} = " + "value + " * 30 + "0" for i in range(80)])
    app = ViewApp(notebook)
    async with app.run_test(size=(120, 20)) as pilot:
        await settled(pilot)
        app.view.focus_cell(keys[40])
        await settled(pilot)
        app.view.scroll_to(y=app.view.top_of(keys[40]), animate=False)
        await settled(pilot)
        await pilot.resize_terminal(60, 20)
        await settled(pilot)
        assert "cell_40" in screen_lines(app)[0]


async def test_a_replaced_document_is_shown() -> None:
    """After a new epoch the view shows the new documents."""
    notebook, _ = long_notebook(5)
    other = MemoryNotebook()
    key = other.add("other = 1")
    app = ViewApp(notebook)
    async with app.run_test(size=(100, 20)) as pilot:
        await settled(pilot)
        app.view.set_source(other)
        await settled(pilot)
        assert screen_lines(app)[0].startswith("▌ ·   other = 1")
        assert app.view.focused == key
        notebook.add("nobody looks")
        other.add("second = 2")
        await settled(pilot)
        assert "second" in "".join(screen_lines(app))
        assert "nobody" not in "".join(screen_lines(app))


async def test_the_transcript_is_the_screen() -> None:
    """What the view says it shows is what the compositor shows."""
    notebook, _ = example()
    app = ViewApp(notebook)
    async with app.run_test(size=(100, 60)) as pilot:
        await settled(pilot)
        assert app.view.transcript() == [line[:99].rstrip() for line in screen_lines(app)]


async def test_marks_of_other_people_may_be_anything() -> None:
    """A colour that is none and a name that acts do no harm."""
    notebook, keys = long_notebook(3)
    app = ViewApp(notebook)
    async with app.run_test(size=(100, 20)) as pilot:
        await settled(pilot)
        app.view.set_peer_marks({keys[1]: [("\x1b[2J", "no colour"), ("漢", "#12"), ("zoe", "red")]})
        await settled(pilot)
        assert screen_lines(app)[2].startswith("␛ ·")
        assert screen_lines(app)[3].startswith("?     more")


async def test_another_language_is_coloured_when_the_kernel_says_so() -> None:
    """The kernel's language decides how code is coloured."""
    notebook = MemoryNotebook()
    notebook.add("echo for")
    app = ViewApp(notebook)
    async with app.run_test(size=(60, 5)) as pilot:
        await settled(pilot)
        before = app.view.render_line(0)
        with notebook.runtime.transaction("daemon"):
            notebook.writer.set_kernel(state="ready", language="bash")
        await settled(pilot)
        after = app.view.render_line(0)
        assert before.text == after.text
        assert before != after


async def test_a_cell_that_displays_in_a_loop_shows_its_last_outputs() -> None:
    """Of a thousand outputs the last are shown, and how many came before."""
    notebook = MemoryNotebook()
    key = notebook.add("for i in range(1000): display(i)")
    notebook.ran(key, 1, *(notebook.display({"text/plain": f"value {i}"}) for i in range(1000)))
    app = ViewApp(notebook)
    async with app.run_test(size=(60, 60)) as pilot:
        await settled(pilot)
        lines = [line.strip("▌ ") for line in screen_lines(app)]
        assert lines[1] == "⋯ 960 earlier outputs — o to view"
        assert lines[41] == "value 999"
        notebook.output(key, notebook.display({"text/plain": "one more"}))
        await settled(pilot)
        lines = [line.strip("▌ ") for line in screen_lines(app)]
        assert lines[1] == "⋯ 961 earlier outputs — o to view"
        assert lines[41] == "one more"
