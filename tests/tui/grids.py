"""A tiny app around the view, and screens as text grids kept under ``snapshots/``."""

from __future__ import annotations

import difflib
import os
from pathlib import Path

from textual.app import App, ComposeResult
from textual.message import Message
from textual.pilot import Pilot

from runt.tui.images.modes import ImageMode
from runt.tui.view.messages import CellActivated, CellFocused
from runt.tui.view.notebook_view import NotebookView
from runt.tui.view.source import NotebookSource

SNAPSHOTS = Path(__file__).parents[2] / "snapshots" / "view"


class ViewApp(App[None]):
    """Nothing but the view. Keeps the messages it posts."""

    ENABLE_COMMAND_PALETTE = False
    CSS = "NotebookView { height: 1fr; width: 1fr; }"

    def __init__(
        self, source: NotebookSource, images: ImageMode = ImageMode.HALF, theme: str = "textual-dark"
    ) -> None:
        super().__init__()
        self.sent: list[bytes] = []
        self.posted: list[Message] = []
        self.view = NotebookView(source, images=images, send_graphics=self.sent.append)
        self._first_theme = theme

    def on_mount(self) -> None:
        """Choose the theme."""
        self.theme = self._first_theme
        self.view.focus()

    def compose(self) -> ComposeResult:
        """The view."""
        yield self.view

    def on_cell_focused(self, message: CellFocused) -> None:
        """Keep it."""
        self.posted.append(message)

    def on_cell_activated(self, message: CellActivated) -> None:
        """Keep it."""
        self.posted.append(message)


async def settled(pilot: Pilot[None]) -> None:
    """Wait until the view has shown every change and measured every cell."""
    app = pilot.app
    assert isinstance(app, ViewApp)
    await pilot.pause()
    for _ in range(2000):
        await pilot.pause(0.01)
        if app.view.quiet:
            break
    else:
        raise AssertionError("the view did not come to rest")
    await pilot.pause()


def screen_lines(app: App[None]) -> list[str]:
    """The screen as the compositor has it, without trailing spaces."""
    strips = app.screen._compositor.render_strips()
    return ["".join(segment.text for segment in strip).rstrip() for strip in strips]


def check_grid(name: str, lines: list[str]) -> None:
    """Compare with the golden grid of that name; ``RUNT_UPDATE_SNAPSHOTS=1`` rewrites it."""
    while lines and not lines[-1]:
        lines.pop()
    text = "\n".join(lines) + "\n"
    path = SNAPSHOTS / f"{name}.txt"
    if os.environ.get("RUNT_UPDATE_SNAPSHOTS") == "1":
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="utf-8")
        return
    golden = path.read_text(encoding="utf-8") if path.exists() else ""
    if golden != text:
        diff = "\n".join(
            difflib.unified_diff(golden.splitlines(), text.splitlines(), "golden", "now", lineterm="")
        )
        raise AssertionError(f"the screen differs from {path.name}:\n{diff}")
