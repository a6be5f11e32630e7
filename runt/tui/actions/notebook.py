"""Commands on the notebook as a whole: save, connect again."""

from __future__ import annotations

from runt.tui.desk import Desk


async def save(desk: Desk) -> None:
    """Write the file now."""
    desk.errands.start(_save(desk), "save")


async def _save(desk: Desk) -> None:
    await desk.session.save()
    desk.say("saved")


async def reconnect(desk: Desk) -> None:
    """Start the daemon again after it was stopped on purpose."""
    desk.errands.start(desk.session.reconnect(), "reconnect")
