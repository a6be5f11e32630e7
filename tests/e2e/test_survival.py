"""kill -9 of the terminal and of the daemon: nothing is lost, nothing runs twice."""

from __future__ import annotations

import re
import signal

import nbformat

from runt.store.pending import PendingFile
from tests.harness.house import House, wait_until
from tests.harness.notebooks import write_notebook
from tests.harness.terminal import Terminal

COUNTING = (
    "import time\n"
    "for number in range({count}):\n"
    "    print('line', number, flush=True)\n"
    "    time.sleep({pause})\n"
    "print('finished')"
)


def saved_lines(path: object, index: int) -> list[str]:
    """The stream text of a cell in the file, as lines."""
    outputs = nbformat.read(path, as_version=4).cells[index].outputs
    return "".join(output.text for output in outputs if output.output_type == "stream").splitlines()


def wait_saved(path: object, index: int, lines: list[str]) -> None:
    """Wait until the file holds exactly these lines as output of the cell."""
    wait_until(lambda: len(saved_lines(path, index)) >= len(lines), "the output in the file")
    assert saved_lines(path, index) == lines


def pending_updates(house: House) -> list[bytes]:
    """What terminals have kept on disk for the daemon."""
    rooms = (house.root / "state").glob("pending/*")
    return [update for room in rooms for file in PendingFile.list(room) for update in file.read()]


def kernel_pid(house: House) -> int:
    """The pid of the only kernel."""
    kernels = house.json("status")["kernels"]
    assert len(kernels) == 1
    return int(kernels[0]["pid"])


def test_output_made_while_no_terminal_was_there_is_complete(house: House) -> None:
    """kill -9 the terminal in the middle of a cell; reopened after its end, the whole output is there, once."""
    path = write_notebook(house.path("long.ipynb"), [COUNTING.format(count=40, pause=0.1)])
    with Terminal(house, str(path)) as terminal:
        terminal.wait_for("idle")
        terminal.press("ctrl+j")
        terminal.wait_for("line 3")
        terminal.kill()
    expected = [f"line {number}" for number in range(40)] + ["finished"]
    wait_saved(path, 0, expected)
    with Terminal(house, str(path), rows=70) as terminal:
        screen = terminal.wait_for(lambda text: len(re.findall(r"^\W*finished$", text, re.M)) == 1)
        shown = [int(number) for number in re.findall(r"^\W*line (\d+)$", screen, re.M)]
        assert shown == sorted(set(shown))
        assert shown[-1] == 39


def test_the_daemon_comes_back_with_the_same_kernel(house: House) -> None:
    """kill -9 the daemon in a run: the terminal says so, brings it back, same kernel, output complete and once."""
    path = write_notebook(
        house.path("d.ipynb"), ["kept = 'still here'", COUNTING.format(count=40, pause=0.1), "print(kept)"]
    )
    with Terminal(house, str(path), rows=70) as terminal:
        terminal.wait_for("idle")
        terminal.press("f5", "f5")
        terminal.wait_for("line 3")
        before = kernel_pid(house)
        first = house.kill_daemon()
        terminal.wait_for(
            lambda text: "daemon gone" in text or "restarting" in text, describe="word of the loss"
        )
        wait_until(lambda: house.daemon_pid() not in (None, first), "a new daemon", 10)
        terminal.wait_for("finished")
        assert kernel_pid(house) == before
        terminal.press("ctrl+j")
        terminal.wait_for("still here")
    expected = [f"line {number}" for number in range(40)] + ["finished"]
    wait_saved(path, 1, expected)
    wait_saved(path, 2, ["still here"])


def test_an_edit_just_before_the_terminal_is_killed_is_kept(house: House) -> None:
    """A character that was typed and then kill -9 of the terminal: the character is in the notebook."""
    path = write_notebook(house.path("e.ipynb"), ["a = 1"])
    with Terminal(house, str(path)) as terminal:
        terminal.wait_for("a = 1")
        terminal.press("enter", "end", "2", "3")
        terminal.wait_for("a = 123")
        terminal.kill()
    with Terminal(house, str(path)) as terminal:
        terminal.wait_for("a = 123")


def test_an_edit_just_before_the_daemon_is_killed_is_kept(house: House) -> None:
    """A character that was typed and then kill -9 of daemon and terminal: the character is in the notebook."""
    path = write_notebook(house.path("e.ipynb"), ["a = 1"])
    with Terminal(house, str(path)) as terminal:
        terminal.wait_for("idle")
        terminal.press("enter", "end", "2", "3")
        terminal.wait_for("a = 123")
        terminal.wait_for("synced")
        house.kill_daemon()
        terminal.kill()
    with Terminal(house, str(path)) as terminal:
        terminal.wait_for("a = 123")


def test_an_edit_made_while_the_daemon_was_away_survives_the_terminal(house: House) -> None:
    """Typed without a daemon by a terminal that was then killed: the edit is there at the next open."""
    path = write_notebook(house.path("away.ipynb"), ["a = 1"])
    with Terminal(house, str(path)) as terminal:
        terminal.wait_for("idle")
        house.runt("daemon", "stop", "--kernels", check=True)
        terminal.wait_for(
            lambda text: "stopped" in text or "gone" in text, describe="word of the stopped daemon"
        )
        terminal.press("enter", "end", "2", "3")
        terminal.wait_for("a = 123")
        wait_until(lambda: len(pending_updates(house)) >= 2, "both pending edits on disk")
        terminal.kill()
    with Terminal(house, str(path)) as terminal:
        terminal.wait_for("a = 123")


def test_a_hang_up_leaves_kernel_and_edits(house: House) -> None:
    """SIGHUP, as from a lost connection: the terminal ends, the kernel goes on, the edit is kept."""
    path = write_notebook(house.path("hup.ipynb"), ["a = 1"])
    with Terminal(house, str(path)) as terminal:
        terminal.wait_for("idle")
        pid = kernel_pid(house)
        terminal.press("enter", "end", "9")
        terminal.wait_for("a = 19")
        terminal.kill(signal.SIGHUP)
    assert kernel_pid(house) == pid
    with Terminal(house, str(path)) as terminal:
        terminal.wait_for("a = 19")
