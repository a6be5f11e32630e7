"""The screen in a real terminal: open, edit, run, save, leave; two terminals on one notebook."""

from __future__ import annotations

import re

import nbformat

from tests.harness.house import House, wait_until
from tests.harness.notebooks import write_notebook
from tests.harness.terminal import Terminal


def source_on_disk(path: object, index: int = 0) -> str:
    """The source of a cell in the file."""
    return str(nbformat.read(path, as_version=4).cells[index].source)


def test_open_edit_run_save_leave(house: House) -> None:
    """The first minute: open, type into a cell, run it, see the output, save, leave with one line in the shell."""
    path = write_notebook(house.path("first.ipynb"), ["x = 20", ""])
    with Terminal(house, str(path)) as terminal:
        terminal.wait_for("x = 20")
        terminal.wait_for("idle")
        terminal.press("j", "enter")
        terminal.press("x", " ", "+", " ", "2", "2")
        terminal.wait_for("x + 22")
        terminal.press("escape", "k", "f5", "f5")
        terminal.wait_for(
            lambda screen: re.search(r"^\W*42$", screen, re.M) is not None, describe="the output 42"
        )
        terminal.press("ctrl+s")
        wait_until(lambda: source_on_disk(path, 1) == "x + 22", "the edit in the file")
        terminal.wait_for(lambda screen: "saved" in screen and "unsaved" not in screen, describe="saved")
        terminal.press("ctrl+q")
        assert terminal.wait_exit() == 0
        assert "left first.ipynb" in terminal.text()
    assert nbformat.read(path, as_version=4).cells[1].outputs[0].data["text/plain"] == "42"


def test_opening_and_leaving_keeps_the_bytes(house: House) -> None:
    """Looking at a notebook does not change a byte of it, even when its formatting is unusual."""
    path = write_notebook(house.path("odd.ipynb"), ["a = 1", "#md *hello*"])
    path.write_bytes(path.read_bytes().replace(b'"cells": [', b'"cells" :   [', 1).rstrip(b"\n"))
    before = path.read_bytes()
    with Terminal(house, str(path)) as terminal:
        terminal.wait_for("a = 1")
        terminal.wait_for("idle")
        terminal.press("j", "enter", "escape", "k")
        terminal.press("ctrl+s")
        terminal.press("ctrl+q")
        assert terminal.wait_exit() == 0
    house.runt("daemon", "stop", "--kernels", check=True)
    assert path.read_bytes() == before


def test_two_terminals_share_text_outputs_and_presence(house: House) -> None:
    """What is typed in one is in the other; either runs; outputs appear in both; both show who is there."""
    path = write_notebook(house.path("pair.ipynb"), ["", "print('shared', 6 * 7)"])
    with (
        Terminal(house, str(path), RUNT_NAME="ann") as ann,
        Terminal(house, str(path), RUNT_NAME="bob") as bob,
    ):
        ann.wait_for("shared")
        bob.wait_for("shared")
        ann.wait_for("bob")
        bob.wait_for("ann")
        ann.press("enter", "h", "e", "l", "l", "o")
        bob.wait_for("hello")
        bob.press("j", "ctrl+j")
        for terminal in (ann, bob):
            terminal.wait_for("shared 42")
        ann.press("ctrl+q")
        assert ann.wait_exit() == 0
        bob.wait_for(lambda screen: "ann" not in screen, describe="ann to be gone")
        bob.press("enter")
        bob.press("ctrl+q")
        assert bob.wait_exit() == 0


def test_small_terminals_still_edit_and_run(house: House) -> None:
    """At 60 by 15 one can still edit, run and read."""
    path = write_notebook(house.path("small.ipynb"), ["", "2"])
    with Terminal(house, str(path), columns=60, rows=15) as terminal:
        terminal.wait_for("2")
        terminal.press("enter", "1", "1", "*", "1", "1", "ctrl+j")
        terminal.wait_for("121")
        assert all(len(row) <= 60 for row in terminal.rows())


def test_resizing_keeps_the_content(house: House) -> None:
    """A storm of resizes ends with the notebook on the screen."""
    path = write_notebook(house.path("r.ipynb"), ["marker = 'here'"])
    with Terminal(house, str(path)) as terminal:
        terminal.wait_for("marker")
        for columns, rows in ((80, 24), (200, 50), (60, 15), (100, 30)):
            terminal.resize(columns, rows)
            terminal.pump()
        terminal.wait_for(lambda screen: "marker" in screen and len(screen.split("\n")) == 30)


def test_keys_do_not_cost_more_in_a_big_notebook(house: House) -> None:
    """Typing a character sends the terminal as much at 1000 cells as at 10, and at most 0.7 kB."""
    costs = {}
    for size in (10, 1000):
        path = write_notebook(
            house.path(f"n{size}.ipynb"), ["value = 1", *(f"print({number})" for number in range(size - 1))]
        )
        with Terminal(house, str(path)) as terminal:
            terminal.wait_for("value = 1")
            terminal.wait_for("idle")
            terminal.press("enter", "end", "a")
            terminal.settle()
            before = len(terminal.raw)
            for _ in range(20):
                terminal.press("b")
                terminal.pump(0.1)
            terminal.settle()
            costs[size] = (len(terminal.raw) - before) / 20
            terminal.press("ctrl+q")
            terminal.wait_exit()
    assert costs[10] <= 700 and costs[1000] <= 700, costs
    assert costs[1000] <= costs[10] * 1.25 + 40, costs
