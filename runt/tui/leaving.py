"""Leaving: nothing is lost on the way out, and the shell is told how to come back.

It closes no app. The invariant: ``leave`` says ``ready`` only when the daemon has every edit, or they are
kept on disk, or a person decided otherwise.
"""

from __future__ import annotations

import asyncio
import os
from pathlib import Path

import msgspec

from runt.errors import RuntError
from runt.peer.untitled import handle
from runt.terminal.sanitise import display_text
from runt.tui.decision import Choice, Decision
from runt.tui.session import NotebookSession
from runt.tui.situation_tracker import file_name

# How long leaving waits for the daemon to acknowledge the last keys before they are kept on disk instead
# (seconds).
LEAVE_WAIT_S = 0.5


class Farewell(msgspec.Struct, frozen=True):
    """What held when the app was left. ``running_cell`` counts from 1, 0 for none."""

    path: str | None
    room: str
    kernel_state: str
    running_cell: int
    waiting: int


async def keep_edits(session: NotebookSession) -> str:
    """See to it that no edit is lost; returns why one would be, or nothing. Blocks for one fsync at most."""
    if session.status.waiting and session.status.state == "connected":
        try:
            async with asyncio.timeout(LEAVE_WAIT_S):
                await session.synced()
        except (TimeoutError, RuntError):
            pass  # kept on disk below
    if not session.status.waiting:
        return ""
    before = session.status.detail
    session.spill()
    # Why keeping them failed stands in the detail; what stood there before is about the connection.
    after = session.status.detail
    return after if after != before else ""


def cannot_keep(waiting: int, reason: str) -> Decision:
    """Return the question whether to lose edits. "q" leaves."""
    edits = "1 edit" if waiting == 1 else f"{waiting} edits"
    return Decision(
        "Leave and lose edits?",
        f"{edits} did not reach the daemon and could not be kept on disk: {display_text(reason)}",
        [Choice("q", "leave and lose them"), Choice("s", "stay")],
    )


def farewell_line(farewell: Farewell) -> str:
    """Return the line for the shell, display-safe."""
    name = file_name(farewell.path) or "an untitled notebook"
    facts = []
    if farewell.kernel_state in ("ready", "starting", "restarting"):
        facts.append("kernel running")
    if farewell.running_cell:
        facts.append(f"cell {farewell.running_cell} in progress")
    if farewell.waiting:
        facts.append(f"{farewell.waiting} edits kept for the daemon")
    known = f" ({', '.join(facts)})" if facts else ""
    again = _typed(farewell.path) if farewell.path else handle(farewell.room)
    return f"left {name}{known} — runt {again} returns"


def _typed(path: str) -> str:
    """The path as one would type it here: relative when that is shorter."""
    try:
        relative = os.path.relpath(path)
    except (OSError, ValueError):  # no current directory any more; another drive
        relative = path
    home = str(Path.home())
    shown = min(relative, path, key=len)
    if shown.startswith(home + os.sep):
        shown = "~" + shown[len(home) :]
    return display_text(shown)
