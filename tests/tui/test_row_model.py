"""The row model: heights, places, anchors; against a model that is too simple to be wrong."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from runt.tui.view.row_model import ESTIMATED_ROWS, Part, RowModel, Shape

names = st.lists(st.sampled_from([f"c{i}" for i in range(12)]), unique=True, max_size=12)


@given(st.lists(st.one_of(names, st.tuples(st.integers(0, 11), st.integers(1, 9))), max_size=30))
def test_agrees_with_a_plain_list(steps: list[list[str] | tuple[int, int]]) -> None:
    """After any changes of order and height, tops, places and total are those of a plain list of rows."""
    model = RowModel()
    heights: dict[str, int] = {}
    keys: list[str] = []
    for step in steps:
        if isinstance(step, list):
            heights = {key: heights.get(key, ESTIMATED_ROWS) for key in step}
            keys = step
            model.set_keys(step)
        elif keys:
            key = keys[step[0] % len(keys)]
            assert model.measure(key, step[1]) == step[1] - heights[key]
            heights[key] = step[1]
        rows = [(key, row) for key in keys for row in range(heights[key])]
        assert model.total == len(rows)
        for at in {0, len(rows) // 2, len(rows) - 1} if rows else ():
            place = model.locate(at)
            assert place is not None
            assert (place.key, place.row) == rows[at]
            assert model.top(place.key) + place.row == at
        assert model.locate(len(rows)) is None
        assert model.locate(-1) is None
        assert [key for key, _, _ in model.span(0, len(rows) + 1)] == keys


def test_span_gives_only_what_is_seen() -> None:
    """Cells that touch a range of rows, with their first row."""
    model = RowModel()
    model.set_keys(["a", "b", "c", "d"])
    for key in "abcd":
        model.measure(key, 5)
    assert list(model.span(7, 5)) == [("b", 5, 5), ("c", 10, 5)]


def test_an_anchor_follows_its_row() -> None:
    """An anchored row is found again after rows above it grew, and after its cell moved."""
    model = RowModel()
    model.set_keys(["a", "b", "c"])
    anchor = model.anchor(model.top("b") + 2)
    assert anchor is not None
    model.measure("a", 100)
    assert model.row_of(anchor) == 102
    model.set_keys(["b", "a", "c"])
    assert model.row_of(anchor) == 2


def test_an_anchor_survives_its_cell() -> None:
    """When the anchored cell is gone, the cell at its place holds."""
    model = RowModel()
    model.set_keys(["a", "b", "c"])
    anchor = model.anchor(model.top("b") + 2)
    assert anchor is not None
    model.set_keys(["a", "c"])
    assert model.row_of(anchor) == model.top("c")
    model.set_keys([])
    assert model.row_of(anchor) == 0


def test_a_shorter_cell_keeps_its_anchor_inside() -> None:
    """An anchor beyond the new end of its cell is the cell's last row."""
    model = RowModel()
    model.set_keys(["a", "b"])
    model.measure("a", 50)
    anchor = model.anchor(40)
    assert anchor is not None
    model.measure("a", 3)
    assert model.row_of(anchor) == 2


def test_unmeasured_cells_go_round() -> None:
    """Unmeasured cells are listed from a place on, then from the start, each once."""
    model = RowModel()
    model.set_keys(list("abcdef"))
    model.measure("d", 3)
    assert model.pending == 5
    assert model.unmeasured(2, 10) == ["c", "e", "f", "a", "b"]
    assert model.unmeasured(2, 3) == ["c", "e", "f"]
    model.doubt("d")
    assert model.unmeasured(3, 1) == ["d"]
    assert model.height("d") == 3


def test_cells_that_stay_keep_their_height() -> None:
    """A new order forgets nothing that was measured."""
    model = RowModel()
    model.set_keys(["a", "b"])
    model.measure("a", 9)
    assert model.set_keys(["new", "a"])
    assert model.height("a") == 9
    assert model.is_measured("a")
    assert not model.is_measured("new")
    assert not model.set_keys(["new", "a"])


@pytest.mark.parametrize(
    ("row", "expected"),
    [
        (0, (Part.SOURCE, 0, 0)),
        (1, (Part.SOURCE, 0, 1)),
        (2, (Part.OUTPUT, 0, 0)),
        (4, (Part.OUTPUT, 0, 2)),
        (5, (Part.OUTPUT, 1, 0)),
        (6, (Part.SEPARATOR, 0, 0)),
    ],
)
def test_parts_of_a_cell(row: int, expected: tuple[Part, int, int]) -> None:
    """Source, outputs in order, separator."""
    shape = Shape(2, (3, 1))
    assert shape.height == 7
    assert shape.part(row) == expected
