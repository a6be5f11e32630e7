"""The line buffer of headless runs."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from runt.cli.lines import LineBuffer


def test_whole_lines_come_out_and_the_last_one_is_held() -> None:
    """A line without an end may still be redrawn, so it waits."""
    buffer = LineBuffer()
    assert buffer.feed("one\ntwo") == "one\n"
    assert buffer.held == "two"
    assert buffer.rest() == "two"
    assert buffer.rest() == ""


def test_a_progress_bar_is_one_line() -> None:
    """What is taken back is never printed."""
    buffer = LineBuffer()
    assert buffer.feed("10%") == ""
    assert buffer.feed("20%", erased=3) == ""
    assert buffer.feed("100%\ndone", erased=3) == "100%\n"
    assert buffer.rest() == "done"


def test_going_back_into_printed_lines_leaves_them() -> None:
    """More may be taken back than is held: printed lines stay as they are."""
    buffer = LineBuffer()
    assert buffer.feed("a\nb") == "a\n"
    assert buffer.feed("A\nB\n", erased=3) == "A\nB\n"


@given(st.lists(st.text(alphabet="ab\n")))
def test_nothing_is_lost_between_chunks(chunks: list[str]) -> None:
    """Without anything taken back, the text comes out as it went in."""
    buffer = LineBuffer()
    out = "".join([buffer.feed(chunk) for chunk in chunks])
    assert out + buffer.rest() == "".join(chunks)
