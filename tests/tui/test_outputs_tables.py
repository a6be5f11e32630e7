"""HTML tables as columns."""

from __future__ import annotations

import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from rich.cells import cell_len

from runt.terminal.sanitise import BAD
from runt.tui.outputs.block import plain
from runt.tui.outputs.looks import PLAIN_LOOKS
from runt.tui.outputs.tables import MAX_ROWS, parse_tables, table_block


def drawn(html: str, width: int = 80) -> list[str]:
    """The rows of the tables in some HTML."""
    return plain(table_block(parse_tables(html), width, PLAIN_LOOKS).lines)


def test_a_data_frame() -> None:
    """Index at the left of a bar, numbers to the right, text to the left."""
    frame = pd.DataFrame({"mm": [612.4, 588.0], "place": ["Bergen", "漢字 <b>"]}, index=[2018, 2019])
    assert drawn(frame._repr_html_()) == [
        "     │    mm  place",
        "─────┼────────────────",
        "2018 │ 612.4  Bergen",
        "2019 │ 588.0  漢字 <b>",
    ]


def test_several_index_levels() -> None:
    """Row spans of the index and column spans of the header stay aligned."""
    frame = pd.DataFrame({"a": [1, 2, 3, 4], "b": [5, 6, 7, 8]})
    grouped = frame.groupby([frame.index % 2, frame.index]).agg({"a": ["mean", "sum"], "b": ["max"]})
    assert drawn(grouped._repr_html_()) == [
        "     │    a         b",
        "     │ mean  sum  max",
        "─────┼───────────────",
        "0  0 │  1.0    1    5",
        "   2 │  3.0    3    7",
        "1  1 │  2.0    2    6",
        "   3 │  4.0    4    8",
    ]


def test_a_wide_frame_keeps_both_ends() -> None:
    """Columns in the middle are left out, and the caption says how many there are."""
    frame = pd.DataFrame([[i / 7 for i in range(40)]] * 100)
    lines = drawn(frame._repr_html_(), 70)
    assert all(cell_len(line) <= 70 for line in lines)
    assert "…" in lines[0]
    assert lines[0].endswith("39")
    assert lines[-1] == "100 rows × 40 columns"


def test_long_tables_are_cut() -> None:
    """At most sixty rows, and how many more there are."""
    rows = "".join(f"<tr><td>{i}</td></tr>" for i in range(1000))
    html = f"<table><tr><th>n</th></tr>{rows}</table>"
    block = table_block(parse_tables(html), 80, PLAIN_LOOKS)
    assert block.hidden == 1000 - MAX_ROWS
    assert plain(block.lines)[-1] == "⋯ 940 more rows — o to view"
    assert len(block.lines) == MAX_ROWS + 3


def test_a_table_without_an_index_has_no_bar() -> None:
    """As polars sends it: a shape before, types below the names."""
    html = (
        "<div><style>x</style><small>shape: (1, 2)</small><table border='1'><thead>"
        "<tr><th>year</th><th>mm</th></tr><tr><td>i64</td><td>f64</td></tr></thead>"
        "<tbody><tr><td>2018</td><td>612.4</td></tr></tbody></table></div>"
    )
    assert drawn(html) == ["year     mm", " i64    f64", "───────────", "2018  612.4", "shape: (1, 2)"]


@pytest.mark.parametrize(
    "html",
    [
        "",
        "<p>no</p>",
        "<table></table>",
        "<table><tr></tr></table>",
        "<table><tr><td rowspan=99999999999 colspan='x'>",
    ],
)
def test_odd_html(html: str) -> None:
    """What has no rows is no table; silly spans do no harm."""
    assert len(drawn(html)) <= 2


def test_nothing_acts() -> None:
    """Escape sequences and direction marks in cells are made visible."""
    assert drawn("<table><tr><td>a\x1b[2Jb</td><td>\u202ec</td></tr></table>") == ["a␛[2Jb  <U+202E>c"]


cells = st.lists(
    st.lists(
        st.tuples(st.text(alphabet="ab1.漢 ", max_size=12), st.integers(1, 3), st.integers(1, 3)), max_size=5
    ),
    max_size=6,
)


@settings(max_examples=80, deadline=None)
@given(cells, st.integers(min_value=8, max_value=60))
def test_any_table_is_aligned_and_fits(rows: list[list[tuple[str, int, int]]], width: int) -> None:
    """Whatever the spans: no row is wider than the place, no cell acts."""
    body = "".join(
        "<tr>" + "".join(f"<td colspan={c} rowspan={r}>{t}</td>" for t, c, r in row) + "</tr>" for row in rows
    )
    for line in drawn(f"<table>{body}</table>", width):
        assert cell_len(line) <= width
        assert not BAD.search(line)
