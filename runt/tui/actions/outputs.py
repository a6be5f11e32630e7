"""Commands on outputs: look at all of one. They change nothing."""

from __future__ import annotations

from runt.tui.desk import Desk


async def view(desk: Desk) -> None:
    """Show the whole text of the focused cell's outputs."""
    key = desk.focused
    if key is None:
        return
    if not desk.session.runtime.output_count(key):
        desk.say("this cell has no output")
        return
    from runt.tui.pager.screen import Pager

    pager = Pager(desk.session, key, number=desk.index + 1, looks=desk.view.looks)
    desk.view.app.push_screen(pager)
