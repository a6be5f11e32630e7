"""A layout that puts each child where its parent says: the seam between painted rows and real widgets.

It measures nothing and walks nothing but the children that are mounted: its cost does not grow with the
notebook.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar, Protocol, cast

from textual.geometry import Offset, Region, Size, Spacing
from textual.layout import ArrangeResult, Layout, WidgetPlacement
from textual.widget import Widget

if TYPE_CHECKING:
    from collections.abc import Iterable

_NO_OFFSET = Offset(0, 0)
_NO_MARGIN = Spacing()


class Placing(Protocol):
    """A parent that knows where its children are."""

    def place(self, child: Widget, size: Size) -> Region | None:
        """Region of ``child`` in document cells and rows, or None to leave it out."""
        ...


class PlacedLayout(Layout):
    """Asks ``parent.place(child)`` for every mounted child."""

    name: ClassVar[str] = "placed"

    def arrange(
        self, parent: Widget, children: Iterable[Widget], size: Size, greedy: bool = True
    ) -> ArrangeResult:
        """Place every child; see `textual.layout.Layout.arrange`."""
        placing = cast(Placing, parent)
        placements: list[WidgetPlacement] = []
        for child in children:
            region = placing.place(child, size)
            if region is not None:
                placements.append(
                    WidgetPlacement(region, _NO_OFFSET, _NO_MARGIN, child, 0, False, False, False)
                )
        return placements


class Extent(Widget):
    """An invisible cell at the last row of the document: it alone makes the container's virtual height."""

    DEFAULT_CSS = "Extent { visibility: hidden; width: 1; height: 1; }"
    can_focus = False
