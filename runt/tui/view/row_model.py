"""Which cell is at which row: heights, prefix sums, anchors.

Pure: no Textual, no rich, no document. It knows keys and numbers only. Heights start as an estimate and are
replaced one by one by `measure`, so that opening 5000 cells touches none of them.

Invariant: ``top(key)`` is the sum of the heights of the cells before it; every row below ``total`` belongs to
exactly one cell.
"""

from __future__ import annotations

import enum
from bisect import bisect_right
from collections.abc import Iterator, Sequence
from itertools import accumulate

import msgspec

ESTIMATED_ROWS = 6
"""Height of a cell nobody has looked at yet, in rows: about the median of real notebooks, with its separator.
"""

SEPARATOR_ROWS = 1
"""Blank rows below each cell."""


class Part(enum.Enum):
    """What a row of a cell shows."""

    SOURCE = "source"
    OUTPUT = "output"
    SEPARATOR = "separator"


class Shape(msgspec.Struct, frozen=True):
    """Rows of a cell: its source, then each output block (a leading blank row counts as the block's), then
    the separator.
    """

    source: int
    outputs: tuple[int, ...] = ()

    @property
    def height(self) -> int:
        """Rows, with the separator."""
        return self.source + sum(self.outputs) + SEPARATOR_ROWS

    def part(self, row: int) -> tuple[Part, int, int]:
        """What is at ``row`` of the cell: the part, the index of the output block (else 0), the row within
        it.
        """
        if row < self.source:
            return Part.SOURCE, 0, row
        row -= self.source
        for index, rows in enumerate(self.outputs):
            if row < rows:
                return Part.OUTPUT, index, row
            row -= rows
        return Part.SEPARATOR, 0, row


class Place(msgspec.Struct, frozen=True):
    """A row of the document as a row (from 0) of a cell."""

    index: int
    key: str
    row: int


class Anchor(msgspec.Struct, frozen=True):
    """A row that must stay where it is on the screen while other rows change."""

    key: str
    row: int
    index: int
    """Index of the cell when the anchor was taken: where to look if the cell has gone."""


class RowModel:
    """Heights of all cells, in order."""

    def __init__(self, estimate: int = ESTIMATED_ROWS) -> None:
        self._estimate = estimate
        self._keys: list[str] = []
        self._heights: list[int] = []
        self._measured = bytearray()
        self._pending = 0
        self._tops: list[int] = [0]
        self._valid = 0
        """How many entries of ``_tops`` after the first are right."""
        self._indices: dict[str, int] | None = {}

    def __len__(self) -> int:
        return len(self._keys)

    def __contains__(self, key: object) -> bool:
        return key in self._by_key

    @property
    def keys(self) -> Sequence[str]:
        """Cell keys in order."""
        return self._keys

    @property
    def pending(self) -> int:
        """How many cells have an estimated height."""
        return self._pending

    @property
    def _by_key(self) -> dict[str, int]:
        if self._indices is None:
            self._indices = {key: index for index, key in enumerate(self._keys)}
        return self._indices

    @property
    def _sums(self) -> list[int]:
        if self._valid < len(self._heights):
            del self._tops[self._valid + 1 :]
            rest = accumulate(self._heights[self._valid :], initial=self._tops[-1])
            next(rest)
            self._tops.extend(rest)
            self._valid = len(self._heights)
        return self._tops

    def set_keys(self, keys: Sequence[str]) -> bool:
        """Take over a new order. Cells that stay keep their height. True if anything changed."""
        if list(keys) == self._keys:
            return False
        known = self._by_key
        heights: list[int] = []
        measured = bytearray(len(keys))
        same = 0
        for index, key in enumerate(keys):
            old = known.get(key)
            if old is None:
                heights.append(self._estimate)
            else:
                heights.append(self._heights[old])
                measured[index] = self._measured[old]
            if same == index and index < len(self._keys) and self._keys[index] == key:
                same += 1
        self._keys = list(keys)
        self._heights = heights
        self._measured = measured
        self._pending = len(keys) - sum(measured)
        self._indices = None
        self._valid = min(self._valid, same)
        del self._tops[self._valid + 1 :]
        return True

    def index(self, key: str) -> int:
        """Position among the cells. KeyError when unknown."""
        return self._by_key[key]

    def height(self, key: str) -> int:
        """Rows, with the separator; an estimate until measured."""
        return self._heights[self._by_key[key]]

    def is_measured(self, key: str) -> bool:
        """Whether the height is known, not guessed."""
        return bool(self._measured[self._by_key[key]])

    def measure(self, key: str, rows: int) -> int:
        """Set the height of a cell. Returns by how many rows it changed."""
        index = self._by_key[key]
        if not self._measured[index]:
            self._measured[index] = 1
            self._pending -= 1
        change = rows - self._heights[index]
        if change:
            self._heights[index] = rows
            self._valid = min(self._valid, index)
        return change

    def doubt(self, key: str) -> None:
        """The height may be wrong: keep it as an estimate until the cell is measured again."""
        index = self._by_key[key]
        if self._measured[index]:
            self._measured[index] = 0
            self._pending += 1

    def doubt_all(self) -> None:
        """All heights may be wrong (the width changed)."""
        self._measured = bytearray(len(self._keys))
        self._pending = len(self._keys)

    def unmeasured(self, start: int, limit: int) -> list[str]:
        """Up to ``limit`` cells with an estimated height, from index ``start`` on, going round at the end."""
        found: list[str] = []
        count = len(self._keys)
        if not self._pending or not count:
            return found
        at = start = max(0, min(start, count - 1))
        for stop, begin in ((count, start), (start, 0)):
            at = begin
            while len(found) < limit and (at := self._measured.find(0, at, stop)) != -1:
                found.append(self._keys[at])
                at += 1
        return found

    @property
    def total(self) -> int:
        """Rows of the whole document."""
        return self._sums[-1]

    def top(self, key: str) -> int:
        """First row of a cell in the document."""
        index = self._by_key[key]
        if index <= self._valid:
            return self._tops[index]
        return self._sums[index]

    def locate(self, row: int) -> Place | None:
        """The cell at a row of the document, or None outside."""
        sums = self._sums
        if not 0 <= row < sums[-1]:
            return None
        index = bisect_right(sums, row) - 1
        return Place(index, self._keys[index], row - sums[index])

    def span(self, first: int, count: int) -> Iterator[tuple[str, int, int]]:
        """Cells with a row in ``first .. first+count``: key, first row, height."""
        sums = self._sums
        index = max(0, bisect_right(sums, max(0, first)) - 1)
        while index < len(self._keys) and sums[index] < first + count:
            yield self._keys[index], sums[index], self._heights[index]
            index += 1

    def anchor(self, row: int) -> Anchor | None:
        """Hold on to what is at ``row``."""
        place = self.locate(row)
        return None if place is None else Anchor(place.key, place.row, place.index)

    def row_of(self, anchor: Anchor) -> int:
        """Where the anchored row is now; if its cell has gone, the cell that took its place."""
        index = self._by_key.get(anchor.key)
        if index is None:
            if not self._keys:
                return 0
            return self._sums[min(anchor.index, len(self._keys) - 1)]
        return self._sums[index] + min(anchor.row, self._heights[index] - 1)
