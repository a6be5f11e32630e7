"""Widths are those that Textual paints with, and cuts lose nothing."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from rich.cells import cell_len

from runt.terminal.widths import cell_width, character_width, clusters, is_single_cells, truncate, wrap

WIDE = [
    "漢",
    "👩\u200d🚀",
    "e\u0301",
    "\u0301",
    "❤\ufe0f",
    "\u200d",
    "\ufe0f",
    "한",
    "\t",
    "ｱ",
    "\u00ad",
    "🇩🇪",
    "a",
    "é",
]
texts = st.lists(st.sampled_from(WIDE) | st.text(max_size=3), max_size=12).map("".join)


@given(texts)
@settings(deadline=None)
def test_widths_agree_with_rich(text: str) -> None:
    """A width measured here is the width of the strip that is painted."""
    assert cell_width(text) == cell_len(text)
    assert sum(width for _, _, width in clusters(text)) == cell_len(text)


@given(texts)
@settings(deadline=None)
def test_single_cells_are_never_wrong(text: str) -> None:
    """What is called single cells has one cell per code point."""
    if is_single_cells(text):
        assert [character_width(character) for character in text] == [1] * len(text)


@given(texts, st.integers(1, 9))
@settings(deadline=None)
def test_wrapped_rows_fit_and_lose_nothing(text: str, cells: int) -> None:
    """Each row fits, unless one character alone does not; joined they are the text."""
    rows = wrap(text, cells)
    assert "".join(rows) == text
    for row in rows:
        assert cell_width(row) <= cells or sum(width > 0 for _, _, width in clusters(row)) == 1


@given(texts, st.integers(-1, 12), st.sampled_from(["", "…", "..."]))
@settings(deadline=None)
def test_truncated_text_fits(text: str, cells: int, mark: str) -> None:
    """The result fits; it is the text if that fits, else a beginning of it and the mark if there is room."""
    short = truncate(text, cells, mark=mark)
    assert cell_width(short) <= max(cells, 0)
    if cells <= 0:
        assert short == ""
    elif cell_width(text) <= cells:
        assert short == text
    elif cells >= len(mark):
        assert short.endswith(mark)
        assert text.startswith(short[: len(short) - len(mark)])
    else:
        assert text.startswith(short)


@pytest.mark.parametrize(
    ("text", "cells", "short"),
    [
        ("hello", 5, "hello"),
        ("hello", 4, "hel…"),
        ("漢字漢", 5, "漢字…"),
        ("漢字漢", 4, "漢…"),
        ("e\u0301bc", 2, "e\u0301…"),
    ],
)
def test_truncation_marks_what_was_cut(text: str, cells: int, short: str) -> None:
    """The mark takes the place of what does not fit, and characters keep their accents."""
    assert truncate(text, cells, mark="…") == short


def test_rows_cannot_be_narrower_than_a_cell() -> None:
    """Wrapping to nothing is an error of the caller."""
    with pytest.raises(ValueError, match="0 cells"):
        wrap("x", 0)
