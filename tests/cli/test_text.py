"""Text of outputs for a terminal or a pipe."""

from __future__ import annotations

import re
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from runt.cli.listing import duration
from runt.cli.text import output_text, safe_text
from runt.terminal.sanitise import BAD

OUR_COLOURS = re.compile(r"\x1b\[[0-9;]*m")


@pytest.mark.parametrize(
    ("output", "text"),
    [
        ({"output_type": "stream", "name": "stdout", "text": ["a\n", "b\n"]}, "a\nb"),
        ({"output_type": "execute_result", "data": {"text/plain": "42", "text/html": "<b>42</b>"}}, "42"),
        (
            {"output_type": "display_data", "data": {"text/plain": "<Image>", "image/png": "AAAA"}},
            "[image/png]",
        ),
        ({"output_type": "error", "ename": "E", "evalue": "v", "traceback": ["one", "two"]}, "one\ntwo"),
        ({"output_type": "error", "ename": "E", "evalue": "v", "traceback": []}, "E: v"),
        ({"output_type": "display_data", "data": {"x/y": "?"}}, "[x/y]"),
        ({"output_type": "display_data", "data": {}}, "[empty output]"),
    ],
)
def test_each_kind_of_output_says_what_it_is(output: dict[str, Any], text: str) -> None:
    """Text as text, an error as its traceback, a picture by its type."""
    assert output_text(output) == text


def test_colours_are_remade_by_us_or_left_out() -> None:
    """A terminal gets our sequences, a pipe gets none."""
    assert safe_text("\x1b[31mred\x1b[0m plain") == "red plain"
    assert safe_text("\x1b[31mred\x1b[0m plain", colour=True) == "\x1b[31mred\x1b[0m plain"


@given(st.text())
def test_nothing_that_a_terminal_obeys_comes_out(text: str) -> None:
    """For any text at all, with colours or without."""
    assert BAD.search(safe_text(text).replace("\n", "")) is None
    coloured = OUR_COLOURS.sub("", safe_text(text, colour=True))
    assert BAD.search(coloured.replace("\n", "")) is None


@pytest.mark.parametrize(
    ("seconds", "words"),
    [(0, "0 s"), (12.9, "12 s"), (60, "1 min"), (11_400, "3 h 10 min"), (90_061, "1 d 1 h"), (-5, "0 s")],
)
def test_durations_are_said_in_the_two_largest_units(seconds: float, words: str) -> None:
    """Nobody wants to read the seconds of a day."""
    assert duration(seconds) == words
