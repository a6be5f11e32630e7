"""Commands on the notebook as a whole: save, save under another name, connect again."""

from __future__ import annotations

import os
from pathlib import Path

from runt.terminal.sanitise import display_text
from runt.tui.desk import Desk
from runt.tui.question import Question

SUFFIX = ".ipynb"


async def save(desk: Desk) -> None:
    """Write the file now; a notebook without one is asked for a name."""
    if desk.session.path is None:
        await save_as(desk)
    else:
        desk.errands.start(_save(desk), "save")


async def save_as(desk: Desk) -> None:
    """Ask for a name, write there and go on with that file. Kernel and outputs stay."""
    desk.errands.start(_save_as(desk), "save as")


async def _save(desk: Desk) -> None:
    await desk.session.save()
    desk.say("saved")


async def _save_as(desk: Desk) -> None:
    name = await desk.ask(Question("Save as", _shown(desk.session.path)))
    if name is None:
        return
    path = await desk.session.save_as(_absolute(name if name.endswith(SUFFIX) else name + SUFFIX))
    desk.say(f"saved as {display_text(path)}")


def _absolute(name: str) -> str:
    """The path from the root. Links stay as they are: the daemon resolves them."""
    return os.path.abspath(os.path.expanduser(name))  # noqa: PTH100, PTH111 - resolve() would follow links


def _shown(path: str | None) -> str:
    """The path as one would type it here; nothing for one that cannot be shown as it is."""
    if path is None or display_text(path) != path:
        return ""
    try:
        return str(Path(path).relative_to(Path.cwd()))
    except (ValueError, OSError):
        return path


async def reconnect(desk: Desk) -> None:
    """Start the daemon again after it was stopped on purpose."""
    desk.errands.start(desk.session.reconnect(), "reconnect")
