"""Markdown as rows."""

from __future__ import annotations

from hypothesis import given, settings
from hypothesis import strategies as st
from rich.cells import cell_len

from runt.terminal.sanitise import BAD
from runt.tui.outputs.block import plain
from runt.tui.outputs.looks import PLAIN_LOOKS
from runt.tui.outputs.markdown import markdown_lines


def rows(source: str, width: int = 60) -> list[str]:
    """The text of the rows."""
    return plain(markdown_lines(source, width, PLAIN_LOOKS))


def test_what_people_write() -> None:
    """Headings keep their marks, emphasis loses them, lists, quotes, code and tables have their place."""
    assert rows(
        "# Title\n\nSome *soft* and **strong** `code`.\n\n- one\n- two\n\n> quoted\n\n"
        "```python\nx = 1\n```\n\n| a | b |\n|---|---|\n| x | 1 |\n\n---\nend"
    ) == [
        "# Title",
        "",
        "Some soft and strong code.",
        "",
        " • one",
        " • two",
        "",
        "│ quoted",
        "",
        "  x = 1",
        "",
        "a  b",
        "────",
        "x  1",
        "",
        "─" * 40,
        "",
        "end",
    ]


def test_links_and_pictures() -> None:
    """A link shows where it goes; a picture is named, not fetched."""
    assert rows("[here](https://example.org)") == ["here (https://example.org)"]
    assert rows("![a plot](x.png)") == ["[picture: a plot]"]


@settings(max_examples=60, deadline=None)
@given(
    st.text(alphabet="#*_`>-| \n[]()!ab漢\t\x1b\u202e~1.", max_size=200),
    st.integers(min_value=8, max_value=50),
)
def test_any_text_fits_and_acts_on_nothing(source: str, width: int) -> None:
    """No row is too wide, no control character comes out."""
    for row in rows(source, width):
        assert cell_len(row) <= width
        assert not BAD.search(row)
