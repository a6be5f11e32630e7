"""Commands that move the focus bar and the scroll. They change nothing in the notebook."""

from __future__ import annotations

from runt.notebook.notebook_document import CellKey
from runt.tui.desk import Desk


async def next_cell(desk: Desk) -> None:
    """Focus the cell below."""
    desk.focus_index(desk.index + 1)


async def previous_cell(desk: Desk) -> None:
    """Focus the cell above."""
    desk.focus_index(desk.index - 1)


async def first(desk: Desk) -> None:
    """Focus the first cell and show the top."""
    desk.focus_index(0)
    desk.view.scroll_home(animate=False)


async def last(desk: Desk) -> None:
    """Focus the last cell and show the end."""
    desk.focus_index(len(desk.document) - 1)
    desk.view.scroll_end(animate=False)


async def page_down(desk: Desk) -> None:
    """Scroll down by a page; the focus stays where it is."""
    desk.view.scroll_page_down(animate=False)


async def page_up(desk: Desk) -> None:
    """Scroll up by a page; the focus stays where it is."""
    desk.view.scroll_page_up(animate=False)


async def running(desk: Desk) -> None:
    """Focus the cell that runs."""
    runtime = desk.session.runtime
    for key in runtime.execution_keys():
        execution = runtime.execution(key)
        if execution is not None and execution.status == "running" and key in desk.document:
            desk.focus(CellKey(key))
            return
