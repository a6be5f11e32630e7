"""The order of the live cells: a cache over the map of cells, and room for more between them.

It owns nothing: positions live in the document, and whoever changes or sees a change of ``pos`` or
``deleted`` says so with `reread`. Invariant: after `keys`, the cache equals ``sorted((pos, key))`` over the
cells that are not deleted, those without a usable position last.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Iterable
from random import SystemRandom
from typing import Any

from pycrdt import Map

from runt.notebook import order_keys
from runt.notebook.cell import CellKey
from runt.notebook.crdt import read_fields

_LAST = "~"  # sorts after every order key: the place of cells without a usable one

# Up to this many changed cells are put in place one by one; more, and sorting everything is faster.
_FEW_CELLS = 32

# Order keys differ between peers by chance, so the chance must not be a copied generator state (fork).
_random = SystemRandom()


class CellOrder:
    """The cached order of one document. Nothing is read before the first `keys`."""

    def __init__(self, cells: Map[Any]) -> None:
        self._cells = cells
        self._places: dict[CellKey, tuple[str, CellKey]] = {}  # live cells: key → (pos or _LAST, key)
        self._order: list[CellKey] = []  # the keys of `_places`, sorted by its values
        self._stale: set[CellKey] = set()  # cells that must be read again
        self._scanned = False  # whether `_places` covers the cells that are not stale

    def __contains__(self, key: object) -> bool:
        """Whether a live cell has that key; as of the last `keys`."""
        return key in self._places

    def reread(self, keys: Iterable[CellKey]) -> None:
        """Note that these cells may be new, or their place or life may have changed."""
        self._stale.update(keys)

    def keys(self) -> list[CellKey]:
        """The live cells in order: the cache itself, not to be changed."""
        if not self._scanned:
            self._scanned = True
            self._stale.update(map(CellKey, self._cells.keys()))
        if self._stale:
            self._refresh()
        return self._order

    def index(self, key: CellKey) -> int:
        """The place of a live cell from 0, as of the last `keys`; KeyError when there is none."""
        return self._find(self._places[key])

    def open_gap(self, index: int, count: int, moving: CellKey | None = None) -> list[str]:
        """Order keys for ``count`` cells that are to stand at ``index``; inside a transaction.

        Where neighbours share a key (two peers chose the same), the right-hand ones get new keys; where those
        before the gap have none, they get one.

        Args:
            moving: a cell that leaves its place and does not count.

        Raises:
            IndexError: ``index`` is outside ``0..len``.
        """
        order = self.keys()
        if moving is not None:
            order = [key for key in order if key != moving]
        if not 0 <= index <= len(order):
            raise IndexError(f"{index} is outside 0..{len(order)}")
        first = index
        while first and self._pos(order[first - 1]) == _LAST:
            first -= 1
        low = self._pos(order[first - 1]) if first else None
        end = index
        while end < len(order) and self._pos(order[end]) == low:
            end += 1
        high = self._pos(order[end]) if end < len(order) else None
        before, after = order[first:index], order[index:end]
        chosen = order_keys.keys_between(
            low, None if high == _LAST else high, len(before) + count + len(after), _random
        )
        gap = slice(len(before), len(before) + count)
        for key, pos in zip(before + after, chosen[: gap.start] + chosen[gap.stop :], strict=True):
            self._cells[key]["pos"] = pos
        self.reread(before + after)
        return chosen[gap]

    def _pos(self, key: CellKey) -> str:
        return self._places[key][0]

    def _find(self, place: tuple[str, CellKey]) -> int:
        """Where in the order a cell with that ``(pos, key)`` is or belongs."""
        return bisect_left(self._order, place, key=self._places.__getitem__)

    def _refresh(self) -> None:
        """Read the stale cells again and put them into their places."""
        stale, self._stale = list(self._stale), set()
        sort = len(stale) > _FEW_CELLS
        for key, row in zip(stale, read_fields(self._cells, stale, ("pos", "deleted")), strict=True):
            if key in self._places:
                if not sort:
                    del self._order[self._find(self._places[key])]
                del self._places[key]
            if row is not None and not row[1]:
                place = (row[0] if order_keys.is_valid(row[0]) else _LAST, key)
                if not sort:
                    self._order.insert(self._find(place), key)
                self._places[key] = place
        if sort:
            self._order = sorted(self._places, key=self._places.__getitem__)
