"""Commands that run cells and command the kernel.

They only ask the daemon, which owns the queue. The invariant: nothing here waits on the way of a key; each
request is an errand whose refusal becomes one line.
"""

from __future__ import annotations

from collections.abc import Sequence

from runt.errors import RequestError
from runt.notebook.notebook_document import CellKey, NewCell
from runt.tui.actions.cells import insert_cells
from runt.tui.desk import Desk


async def advance(desk: Desk) -> None:
    """Run the focused cell and focus the next one, which is made when there is none."""
    key = desk.focused
    if key is None:
        return
    desk.stop_editing()
    _run(desk, [key])
    keys = desk.document.keys()
    following = keys.index(key) + 1
    if following < len(keys):
        desk.focus(keys[following])
    elif new := insert_cells(desk, following, [NewCell()]):
        await desk.edit(new[0])


async def stay(desk: Desk) -> None:
    """Run the focused cell; a Markdown cell is shown as it reads."""
    if (key := desk.focused) is not None:
        desk.stop_editing()
        desk.view.follow(key)
        _run(desk, [key])


async def insert(desk: Desk) -> None:
    """Run the focused cell and edit a new one below it."""
    key = desk.focused
    if key is None:
        return
    desk.stop_editing()
    new = insert_cells(desk, desk.document.index(key) + 1, [NewCell()])
    desk.view.follow(key, beside=new[0] if new else None)
    _run(desk, [key])
    if new:
        await desk.edit(new[0])


async def run_all(desk: Desk) -> None:
    """Run every code cell in order."""
    _run(desk, desk.document.keys())


async def above(desk: Desk) -> None:
    """Run the code cells above the focused one."""
    _run(desk, desk.document.keys()[: desk.index])


async def below(desk: Desk) -> None:
    """Run the focused cell and the code cells below it."""
    _run(desk, desk.document.keys()[desk.index :])


async def cancel(desk: Desk) -> None:
    """Cancel what waits; what runs goes on."""
    desk.errands.start(desk.session.cancel(None), "cancel")


async def interrupt(desk: Desk) -> None:
    """Interrupt the running cell."""
    desk.say("interrupting …")
    desk.errands.start(desk.session.interrupt(), "interrupt")


async def restart(desk: Desk) -> None:
    """Restart the kernel; outputs stay."""
    desk.say("restarting the kernel · variables are gone, outputs stay")
    desk.errands.start(desk.session.restart(), "restart")


async def restart_run(desk: Desk) -> None:
    """Restart the kernel, then run every cell."""

    async def both() -> None:
        await desk.session.restart()
        await desk.session.execute(_code(desk, desk.document.keys()), allow_stdin=True)

    desk.say("restarting the kernel, then running all cells")
    desk.errands.start(both(), "restart and run all")


async def start(desk: Desk) -> None:
    """Start a kernel."""
    desk.errands.start(desk.session.start_kernel(), "start kernel")


async def stop(desk: Desk) -> None:
    """Stop the kernel."""
    desk.say("stopping the kernel · outputs stay")
    desk.errands.start(desk.session.shutdown_kernel(), "stop kernel")


async def clear(desk: Desk) -> None:
    """Clear the outputs of the focused cell."""
    if (key := desk.focused) is not None:
        desk.errands.start(desk.session.clear_outputs([key]), "clear")


async def clear_all(desk: Desk) -> None:
    """Clear the outputs of all cells."""
    desk.errands.start(desk.session.clear_outputs(desk.document.keys()), "clear all")


def _code(desk: Desk, keys: Sequence[CellKey]) -> list[CellKey]:
    return [key for key in keys if (cell := desk.document.cell(key)).type == "code" and cell.source.strip()]


def _run(desk: Desk, keys: Sequence[CellKey]) -> None:
    if code := _code(desk, keys):
        desk.errands.start(_execute(desk, code), "execute")


async def _execute(desk: Desk, keys: Sequence[CellKey]) -> None:
    """Ask for the run: the source that runs is the one on this screen at the key press."""
    try:
        await desk.session.execute(keys, allow_stdin=True)
    except RequestError as error:
        desk.view.stop_following()
        if error.code != "source_changed":
            raise
        desk.say("not run: the cell was edited by somebody else just now · look, and run again")
