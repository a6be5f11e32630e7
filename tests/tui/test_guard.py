"""Nothing that a terminal would obey leaves as text."""

from __future__ import annotations

import pytest
from rich.segment import ControlType, Segment
from textual.color import Color

from runt.terminal.sanitise import BAD
from runt.tui.guard import Guard

BLACK = Color(0, 0, 0)


@pytest.mark.parametrize("code", [*range(9), *range(0x0B, 0x20), 0x7F, 0x9B, 0x202E, 0x2066])
def test_a_control_character_becomes_one_visible_cell(code: int) -> None:
    """Every control and direction character is replaced by exactly one character that shows it."""
    [segment] = Guard().apply([Segment(f"a{chr(code)}b")], BLACK)
    assert not BAD.search(segment.text)
    assert len(segment.text) == 3
    assert segment.text[0] + segment.text[2] == "ab"


def test_clean_lines_are_the_same_objects() -> None:
    """A line without anything bad costs a search and is passed on as it is."""
    segments = [Segment("plain"), Segment("漢字 ▌")]
    assert Guard().apply(segments, BLACK) is segments


def test_our_own_control_segments_pass() -> None:
    """Cursor movements that Textual makes are not text."""
    segments = [Segment("\x1b[1;1H", None, [(ControlType.CURSOR_MOVE_TO, 0, 0)]), Segment("\x1b[31m")]
    move, text = Guard().apply(segments, BLACK)
    assert move is segments[0]
    assert text.text == "␛[31m"


def test_the_alarm_hears_what_came_too_far() -> None:
    """A guard with an alarm tells what the first layer let through."""
    heard: list[str] = []
    Guard(heard.append).apply([Segment("x\x07")], BLACK)
    assert heard == ["x\x07"]
