"""Rows that stay where they are: a scrolling container whose rows belong to the cells of a row model.

It knows heights and scroll offsets, not what a cell is or how a row is painted: the view on top of it says
how high a cell is (`exact_rows`) and paints. Heights are estimates until a cell is seen or until there is
time.

Invariant: what a person looks at does not move unless they move it: heights that change above the first
visible row are taken up by the scroll offset in the same layout.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from typing import TYPE_CHECKING

from textual import events
from textual.containers import ScrollableContainer
from textual.timer import Timer
from textual.widget import Widget

from runt.tui.view.placed_layout import Extent, PlacedLayout
from runt.tui.view.row_model import Anchor, RowModel

if TYPE_CHECKING:
    from textual.layout import Layout

MEASURE_SLICE_S = 0.004
"""Time spent on unseen cells at once: well below the echo of a key."""

MEASURE_PAUSE_S = 0.03
MEASURES_PER_LAYOUT = 400
"""Measured heights are applied together: each layout of the screen costs about 10 ms."""

WHEEL_ROWS = 3

Held = tuple[Anchor | None, int]
"""A row that must not move, and the row of the screen it is on. None holds on to the top of the document."""


class AnchoredRows(ScrollableContainer, inherit_bindings=False):
    """The scrolling half of the view. Abstract: see `exact_rows`. All rows are document rows, from 0."""

    ALLOW_MAXIMIZE = False

    _placed = PlacedLayout()

    def __init__(self, *, id: str | None = None) -> None:
        super().__init__(id=id)
        self._model = RowModel()
        self._extent = Extent()
        self._measure_timer: Timer | None = None
        self._measured: dict[str, int] = {}
        """Heights of unseen cells that wait to be applied together."""
        self._settling = False
        self._resting: Held | None = None
        """What was held through the last change of size. It is held again until the person moves, so that a storm
        of sizes ends where it began."""
        self._clamped_from: int | None = None
        """The first row before Textual clamped it to a size that is not laid out yet."""

    # What the view on top says

    def exact_rows(self, key: str) -> int:
        """The height of a cell that is seen, with its separator."""
        raise NotImplementedError

    def exact_rows_of_unseen(self, key: str) -> int:
        """The same for a cell that nobody sees: nothing of it needs to be kept."""
        raise NotImplementedError

    @property
    def held_cell(self) -> str | None:
        """The cell whose top must not move while it is visible: the one being edited."""
        return None

    @property
    def ready(self) -> bool:
        """Width and theme are known: cells can be measured."""
        return True

    @property
    def between_sizes(self) -> bool:
        """The size has changed and is not laid out yet."""
        return False

    def person_scrolled(self) -> None:
        """Called when the person has scrolled."""

    def settled(self) -> None:
        """Called when other cells may have become visible."""

    # Geometry

    @property
    def layout(self) -> Layout:
        """Children are where `place` says."""
        return self._placed

    def compose(self) -> Sequence[Widget]:
        """The extent is the only permanent child."""
        return [self._extent]

    @property
    def _width(self) -> int:
        return self.scrollable_content_region.width

    @property
    def _viewport_height(self) -> int:
        return self.scrollable_content_region.height

    @property
    def _first_row(self) -> int:
        return self.scroll_offset.y

    def _visible_keys(self) -> list[str]:
        return [key for key, _, _ in self._model.span(self._first_row, self._viewport_height)]

    def _anchor(self) -> Held:
        """What must not move: the edited cell if its top is visible, else the first row whose cell is
        measured; and its screen row.
        """
        first, rows = self._first_row, self._viewport_height
        if first == 0 and self.held_cell is None:
            return None, 0
        key = self.held_cell
        if key is not None and key in self._model and first <= (top := self._model.top(key)) < first + rows:
            return self._model.anchor(top), top - first
        for key, top, _ in self._model.span(first, rows):
            if self._model.is_measured(key):
                at = max(top, first)
                return self._model.anchor(at), at - first
        return self._model.anchor(first), 0

    def _anchor_for_size(self, rows: int) -> Held:
        """What must not move when the size changes: the first row; ``rows``: how many were visible."""
        if self._resting is not None:
            return self._resting
        first = self._first_row if self._clamped_from is None else self._clamped_from
        if first == 0:
            return None, 0
        for key, top, _ in self._model.span(first, rows):
            if self._model.is_measured(key):
                at = max(top, first)
                return self._model.anchor(at), at - first
        return self._model.anchor(first), 0

    def _settle(self, *, at_end: bool = False, anchor: Held | None = None) -> bool:
        """Measure what is visible; the anchor, or else what was measured, stays where it is. True if rows moved."""
        if self._settling or not self._viewport_height:
            return False
        self._settling = True
        try:
            moved = False
            anchor = self._anchor() if anchor is None else anchor
            for _ in range(self._viewport_height + 1):
                keys = [k for k in self._visible_keys() if not self._model.is_measured(k)]
                if not keys:
                    break
                for key in keys:
                    if self._model.measure(key, self.exact_rows(key)):
                        moved = True
                if at_end:
                    self._set_first_row(self._model.total - self._viewport_height)
                else:
                    self._restore(anchor)
        finally:
            self._settling = False
        self._keep_measuring()
        self.settled()
        return moved

    def _measure(self, key: str) -> int:
        """The exact height of a cell."""
        if not self._model.is_measured(key):
            self._model.measure(key, self.exact_rows(key))
        return self._model.height(key)

    def _doubt(self, key: str) -> None:
        """The height of an unseen cell may have changed."""
        self._measured.pop(key, None)
        self._model.doubt(key)

    def _doubt_all(self) -> None:
        self._measured.clear()
        self._model.doubt_all()

    def _restore(self, anchor: Held) -> None:
        held, screen_row = anchor
        if held is not None:
            self._set_first_row(self._model.row_of(held) - screen_row)

    def _set_first_row(self, row: int) -> None:
        """Scroll without asking anyone: the virtual height follows in the same layout."""
        row = max(0, min(row, self._model.total - self._viewport_height))
        if row != self.scroll_y:
            self.set_reactive(Widget.scroll_y, float(row))
            self.set_reactive(Widget.scroll_target_y, float(row))
            if self.show_vertical_scrollbar:
                self.vertical_scrollbar.position = row

    def _relayout(self, anchor: Held) -> None:
        """Heights or order changed: keep the anchor where it is and lay out again."""
        if not self.is_mounted:
            return
        self._restore(anchor)
        self._settle(anchor=anchor)
        self._set_first_row(self._first_row)
        self._lay_out()

    def _lay_out(self, *, repaint: bool = True) -> None:
        # Textual forgets the arrangement of the ancestors of what asks for a layout, not its own.
        self._clear_arrangement_cache()
        self.refresh(layout=True, repaint=repaint)

    def _jump(self, row: int) -> None:
        self._resting = None
        self._set_first_row(row)
        self._settle()
        self._lay_out()

    def watch_scroll_y(self, old_value: float, new_value: float) -> None:
        """Paint other rows; measure those that were never seen."""
        super().watch_scroll_y(old_value, new_value)
        if round(old_value) == round(new_value):
            return
        if self.between_sizes:
            if self._clamped_from is None:
                self._clamped_from = round(old_value)
            return
        self._resting = None
        self.person_scrolled()
        at_end = new_value >= self.max_scroll_y > 0
        if self._settle(at_end=at_end):
            self._lay_out()
        else:
            self.refresh()

    def _keep_measuring(self) -> None:
        if self._measure_timer is None and (self._model.pending or self._measured) and self.ready:
            self._measure_timer = self.set_timer(MEASURE_PAUSE_S, self._measure_unseen)

    def _measure_unseen(self) -> None:
        """Measure a few unseen cells; apply many heights at once."""
        self._measure_timer = None
        stop = time.perf_counter() + MEASURE_SLICE_S
        place = self._model.locate(self._first_row)
        waiting = self._model.unmeasured(place.index if place else 0, MEASURES_PER_LAYOUT)
        done = True
        for key in waiting:
            if key in self._measured:
                continue
            self._measured[key] = self.exact_rows_of_unseen(key)
            if time.perf_counter() > stop:
                done = False
                break
        if done and self._measured:
            anchor = self._anchor()
            moved = False
            for key, rows in self._measured.items():
                if key in self._model and not self._model.is_measured(key):
                    moved |= bool(self._model.measure(key, rows))
            self._measured.clear()
            if moved:
                self._restore(anchor)
                self._lay_out(repaint=False)
        self._keep_measuring()

    # The wheel

    def _on_mouse_scroll_down(self, event: events.MouseScrollDown) -> None:
        event.stop()
        self.scroll_relative(y=WHEEL_ROWS, animate=False)

    def _on_mouse_scroll_up(self, event: events.MouseScrollUp) -> None:
        event.stop()
        self.scroll_relative(y=-WHEEL_ROWS, animate=False)
