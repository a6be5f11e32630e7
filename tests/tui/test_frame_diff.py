"""The frame diff sends less and shows the same."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from rich.console import Console
from rich.segment import Segment
from rich.style import Style
from textual.strip import Strip

from runt.tui.frame_diff import FrameDiff, Row
from tests.harness.house import House
from tests.harness.terminal import Screen, Terminal

ROOT = Path(__file__).parents[2]
WIDTH, HEIGHT = 60, 20
CONSOLE = Console(color_system="truecolor", force_terminal=True, width=WIDTH)
# Bytes that a key may cost (the budget) and that a page of scrolling by one notch may.
KEY_BYTES = 700
NOTCH_BYTES = 1500


def row(*texts: str, width: int = WIDTH) -> Row:
    """A row of segments in alternating colours, over the whole width."""
    segments = [Segment(text, Style(color=("red", "green")[at % 2])) for at, text in enumerate(texts)]
    return {0: (width, Strip(segments).adjust_cell_length(width))}


def page(first: int) -> dict[int, Row]:
    return {y: row(f"line {first + y} ", "of a long text that is a landmark") for y in range(HEIGHT)}


def show(diff: FrameDiff, screen: Screen, update: dict[int, Row]) -> int:
    """Send an update to the screen; returns its bytes."""
    data = diff.encode(update, (WIDTH, HEIGHT), CONSOLE).encode()
    screen.feed(data)
    return len(data)


def expected(rows: dict[int, Row]) -> list[str]:
    return ["".join(strip.text for _, strip in rows[y].values()).rstrip() for y in sorted(rows)]


def test_the_same_frame_sends_nothing() -> None:
    """A repaint of what is on the screen costs no byte."""
    diff, screen = FrameDiff(), Screen(WIDTH, HEIGHT)
    assert show(diff, screen, page(0)) > 0
    assert show(diff, screen, page(0)) == 0
    assert screen.rows() == expected(page(0))


def test_a_changed_segment_is_sent_alone() -> None:
    """Of a row, only what lies between the first and last differing segment is sent."""
    diff, screen = FrameDiff(), Screen(WIDTH, HEIGHT)
    show(diff, screen, {3: row("same ", "漢字 before", " same")})
    cost = show(diff, screen, {3: row("same ", "漢字 afterr", " same")})
    assert cost < 60
    assert screen.rows()[3] == "same 漢字 afterr same"


@pytest.mark.parametrize("step", [1, 3, -1, -4])
def test_a_shift_becomes_a_scroll_of_the_region(step: int) -> None:
    """Scrolling by a few rows sends those rows and one scroll."""
    diff, screen = FrameDiff(), Screen(WIDTH, HEIGHT)
    whole = show(diff, screen, page(100))
    cost = show(diff, screen, page(100 + step))
    assert diff.scrolls == 1
    assert cost < whole / 3
    assert screen.rows() == expected(page(100 + step))


def test_a_region_that_is_not_the_full_width_is_never_scrolled() -> None:
    """The terminal scrolls whole rows: with something beside the text the rows are sent instead."""
    diff, screen = FrameDiff(), Screen(WIDTH, HEIGHT)

    def narrow(first: int) -> dict[int, Row]:
        return {
            y: row(f"line {first + y} of a text that is a landmark", width=WIDTH - 10) for y in range(HEIGHT)
        }

    show(
        diff,
        screen,
        {
            y: {**each, WIDTH - 10: (WIDTH, Strip([Segment(f"panel {y}".ljust(10))]))}
            for y, each in narrow(0).items()
        },
    )
    show(diff, screen, narrow(1))
    assert diff.scrolls == 0
    assert [line[-10:].strip() for line in screen.rows()] == [f"panel {y}" for y in range(HEIGHT)]


def test_after_forget_everything_is_sent() -> None:
    """Nothing is assumed of a screen that somebody else may have written on."""
    diff, screen = FrameDiff(), Screen(WIDTH, HEIGHT)
    whole = show(diff, screen, page(0))
    diff.forget()
    assert show(diff, screen, page(0)) == whole


@pytest.fixture
def pair(house: House) -> Iterator[tuple[Terminal, Terminal]]:
    """The same notebook in two terminals: painted by Textual alone, and through the frame diff."""
    command = [sys.executable, "-m", "tests.tui.memory_app", "60"]
    with (
        Terminal(house, command=[*command, "--stock"], cwd=ROOT, columns=110, rows=36) as stock,
        Terminal(house, command=command, cwd=ROOT, columns=110, rows=36) as ours,
    ):
        yield stock, ours


WALK = [
    ["j"], ["j"], ["enter"], ["x"], ["enter"], ["y", "y"], ["down", "down", "down"], ["escape"],
    ["pagedown"], ["pagedown"], ["pageup"], ["k", "k", "k"], ["end"], ["home"], ["b"], ["escape"], ["d", "d"],
    ["f1"], ["j"], ["f1"], ["ctrl+p"], ["u", "n", "d"], ["escape"],
    ["\x1b[<65;10;10M"], ["\x1b[<65;10;10M"], ["\x1b[<64;10;10M"],
]  # fmt: skip


def test_the_screen_equals_stock_textual_after_every_step(pair: tuple[Terminal, Terminal]) -> None:
    """Through a walk of keys, pages, panels and wheel, both terminals show the same; ours gets far fewer
    bytes."""
    for terminal in pair:
        terminal.wait_for("cell 1 of 60")
        terminal.settle()
    sent = []
    for step, keys in enumerate(WALK):
        before = [len(terminal.raw) for terminal in pair]
        for terminal in pair:
            for key in keys:
                terminal.press(key)
                terminal.pump(0.05)
        stock, ours = (terminal.settle().split("\n") for terminal in pair)
        assert ours == stock, (step, keys)
        sent.append([len(terminal.raw) - count for terminal, count in zip(pair, before, strict=True)])
    assert sent[WALK.index(["x"])][1] <= KEY_BYTES
    assert sent[WALK.index(["\x1b[<65;10;10M"])][1] <= NOTCH_BYTES
    assert sum(ours for _, ours in sent) < sum(stock for stock, _ in sent) / 2


def test_an_idle_app_sends_nothing(house: House) -> None:
    """When nothing happens no byte leaves, in command mode and with the caret in a cell."""
    command = [sys.executable, "-m", "tests.tui.memory_app", "20"]
    with Terminal(house, command=command, cwd=ROOT) as terminal:
        terminal.wait_for("cell 1 of 20")
        terminal.settle(1.0)
        before = len(terminal.raw)
        for _ in range(20):
            terminal.pump(0.1)
        assert len(terminal.raw) == before
        terminal.press("enter")
        terminal.settle(1.0)
        before = len(terminal.raw)
        for _ in range(20):
            terminal.pump(0.1)
        assert len(terminal.raw) == before


def test_repaint_restores_a_spoilt_screen(house: House) -> None:
    """Ctrl+L sends the whole screen, whatever the terminal shows."""
    command = [sys.executable, "-m", "tests.tui.memory_app", "20"]
    with Terminal(house, command=command, cwd=ROOT) as terminal:
        terminal.wait_for("cell 1 of 20")
        good = terminal.settle()
        terminal.view.feed(b"\x1b[2J\x1b[5;5Hsomebody wrote here")
        assert terminal.text() != good
        terminal.press("ctrl+l")
        assert terminal.settle() == good
