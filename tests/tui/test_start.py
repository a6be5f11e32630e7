"""From the shell to the screen and back: what is imported when, how it starts, how it ends."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from runt.tui.leaving import Farewell, farewell_line
from runt.tui.run import TEXTUAL_ENVIRONMENT
from runt.tui.theme import ANSI, DARK, LIGHT, initial_theme, next_theme
from tests.harness.house import House, wait_until
from tests.harness.notebooks import write_notebook
from tests.harness.terminal import Terminal

ROOT = Path(__file__).parents[2]
# Each costs tens to hundreds of milliseconds, and no first screen needs it.
NOT_BEFORE_FIRST_PAINT = {
    "textual_image",
    "PIL",
    "rich.markdown",
    "selectolax",
    "pygments",
    "jupyter_client",
    "zmq",
}

ROOM = "1a2b3c4d-0000-0000-0000-000000000000"
PROBE = """
import asyncio, sys
from runt.tui.run import TEXTUAL_ENVIRONMENT
import os
os.environ.update(TEXTUAL_ENVIRONMENT)
from runt.tui.app import NotebookApp
from tests.tui.memory_session import memory_session

async def main():
    async def opening():
        return memory_session(["import os", "x = 1"])
    app = NotebookApp(opening())
    async with app.run_test() as pilot:
        while app.desk is None or not any("import os" in row for row in app.desk.view.transcript()):
            await pilot.pause(0.01)
    print(*sorted(sys.modules))

asyncio.run(main())
"""


def test_nothing_heavy_is_imported_before_the_first_paint() -> None:
    """A notebook of code is on the screen without pictures, Markdown, HTML or pygments having been loaded."""
    done = subprocess.run([sys.executable, "-c", PROBE], cwd=ROOT, capture_output=True, text=True, check=True)
    assert not NOT_BEFORE_FIRST_PAINT & set(done.stdout.split())


def test_the_entry_imports_neither_textual_nor_the_peer() -> None:
    """The command can import it to find its function; the work begins when it is called."""
    code = "import sys, runt.tui.run; print(*sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True)
    assert not {"textual", "runt.peer.client", "pycrdt"} & set(done.stdout.split())


def test_textual_is_told_its_settings_before_it_is_imported() -> None:
    """Frames follow keys closely, Escape is quick, nothing is animated."""
    code = "import textual.constants as c; print(c.MAX_FPS, c.ESCAPE_DELAY, c.TEXTUAL_ANIMATIONS)"
    environment = os.environ | dict(TEXTUAL_ENVIRONMENT)
    done = subprocess.run(
        [sys.executable, "-c", code], env=environment, capture_output=True, text=True, check=True
    )
    assert done.stdout.split() == ["120", "0.025", "none"]


@pytest.mark.parametrize(
    ("farewell", "line"),
    [
        (
            Farewell("/w/analysis.ipynb", ROOM, "ready", 14, 0),
            "left analysis.ipynb (kernel running, cell 14 in progress) — runt analysis.ipynb returns",
        ),
        (Farewell("/w/a.ipynb", ROOM, "stopped", 0, 0), "left a.ipynb — runt a.ipynb returns"),
        (
            Farewell("/w/a.ipynb", ROOM, "none", 0, 3),
            "left a.ipynb (3 edits kept for the daemon) — runt a.ipynb returns",
        ),
        (
            Farewell(None, ROOM, "ready", 0, 0),
            "left an untitled notebook (kernel running) — runt untitled-1a2b3c4d returns",
        ),
        (Farewell("/w/\x1b[31m.ipynb", ROOM, "none", 0, 0), "left ␛[31m.ipynb — runt ␛[31m.ipynb returns"),
    ],
)
def test_the_shell_is_told_what_goes_on(
    farewell: Farewell, line: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """One line: what was left, what still runs, how to return; harmless whatever the file is called."""
    monkeypatch.setattr(os.path, "relpath", lambda path: str(path).removeprefix("/w/"))
    assert farewell_line(farewell) == line


def test_the_environment_chooses_name_pictures_and_theme() -> None:
    """Variables of ours first, then what the terminal says, then what works everywhere."""
    assert initial_theme({"TERM": "xterm-256color"}, "light") == LIGHT.name
    assert initial_theme({"TERM": "xterm-256color", "RUNT_THEME": "dark"}, "light") == DARK.name
    assert initial_theme({"TERM": "xterm-256color"}) == DARK.name
    assert initial_theme({"TERM": "xterm-256color", "COLORFGBG": "0;15"}) == LIGHT.name
    assert initial_theme({"TERM": "linux"}) == ANSI
    assert initial_theme({"RUNT_THEME": "light"}) == LIGHT.name
    assert next_theme(next_theme(next_theme(DARK.name))) == DARK.name


@pytest.mark.parametrize("number", [signal.SIGHUP, signal.SIGTERM])
def test_a_signal_ends_the_app_cleanly_with_every_edit_kept(house: House, number: int) -> None:
    """A terminal that is closed, or a polite kill: the process ends by itself and the edit is in the file."""
    path = write_notebook(house.path("s.ipynb"), ["a = 1"])
    with Terminal(house, str(path)) as terminal:
        terminal.wait_for("a = 1")
        terminal.press("enter", "Z", "Z")
        terminal.wait_for("ZZa = 1")
        os.kill(terminal.process.pid, number)
        assert terminal.wait_exit() in (0, -number)
    wait_until(lambda: "ZZa = 1" in path.read_text(), "the edit in the file")


def test_a_file_that_is_no_notebook_is_one_line_and_status_2(house: House) -> None:
    """The terminal is as it was, the reason is said, nothing of the screen remains."""
    path = house.path("broken.ipynb")
    path.write_text("{ this is not JSON")
    with Terminal(house, str(path)) as terminal:
        assert terminal.wait_exit() == 2
        assert b"\x1b[?1049h" not in terminal.raw or b"\x1b[?1049l" in terminal.raw
        assert "broken.ipynb" in terminal.text()
