"""While the terminal is behind, frames are dropped, nothing blocks, and one frame brings it up to date."""

from __future__ import annotations

from typing import Any

from textual.drivers.headless_driver import HeadlessDriver

from runt.tui.app import NotebookApp
from runt.tui.session import NotebookSession
from runt.tui.textual_compat import MAX_WAITING_WRITES
from tests.harness.terminal import Screen
from tests.tui.memory_session import memory_session

SIZE = (80, 24)


class Backlog:
    """Stands for the queue of a writer thread: how many writes wait is what the test says."""

    def __init__(self) -> None:
        self.waiting = 0

    def qsize(self) -> int:
        return self.waiting


class RecordingDriver(HeadlessDriver):
    """Takes what would go to the terminal onto a screen."""

    screen: Screen
    backlog: Backlog
    sent: int

    def __init__(self, *args: Any, **options: Any) -> None:
        super().__init__(*args, **options)
        cls = type(self)
        cls.screen, cls.backlog, cls.sent = Screen(*SIZE), Backlog(), 0
        self._writer_thread = self
        self._queue = cls.backlog

    @property
    def is_headless(self) -> bool:
        return False

    def write(self, data: str) -> None:
        cls = type(self)
        cls.sent += len(data.encode())
        cls.screen.feed(data.encode())


def shown(app: NotebookApp) -> list[str]:
    """The rows that the app wants on the screen."""
    strips = app.screen._compositor.render_strips()
    return ["".join(segment.text for segment in strip).rstrip() for strip in strips]


async def test_frames_are_dropped_while_the_terminal_is_behind_and_made_up_for_later() -> None:
    """No byte is added to a queue that is long; when it is short again the screen becomes right."""
    session = memory_session([f"x_{number} = {number}" for number in range(30)])

    async def opening() -> NotebookSession:
        return session

    app = NotebookApp(opening())
    app.driver_class = RecordingDriver
    async with app.run_test(size=SIZE, headless=False) as pilot:
        for _ in range(100):
            await pilot.pause(0.01)
            if app.desk is not None and RecordingDriver.screen.rows() == shown(app):
                break
        assert RecordingDriver.screen.rows() == shown(app)
        RecordingDriver.backlog.waiting = MAX_WAITING_WRITES + 1
        before = RecordingDriver.sent
        for key in ("j", "j", "enter", "x", "y", "escape", "pagedown"):
            await pilot.press(key)
            await pilot.pause()
        assert app.frames_dropped > 0
        assert RecordingDriver.sent == before
        assert session.document.cell(session.document.keys()[2]).source == "xyx_2 = 2"
        RecordingDriver.backlog.waiting = 0
        for _ in range(100):
            await pilot.pause(0.01)
            if RecordingDriver.screen.rows() == shown(app):
                break
        assert RecordingDriver.screen.rows() == shown(app)


async def test_a_terminal_that_hung_up_is_never_written_to_again() -> None:
    """After a hang-up nothing waits for a terminal that will not read."""
    session = memory_session(["a"])

    async def opening() -> NotebookSession:
        return session

    app = NotebookApp(opening())
    app.driver_class = RecordingDriver
    async with app.run_test(size=SIZE, headless=False) as pilot:
        await pilot.pause()
        app.abandon_terminal()
        writer = app._driver._writer_thread  # type: ignore[union-attr]
        for _ in range(1000):
            writer.write("x")
        writer.stop()
