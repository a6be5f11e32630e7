"""What is told about a cell beside its text: the label in the gutter and the note at the right edge.

Pure words and numbers, no styles and no documents. Invariant: colour is never the only carrier; every state
has its own glyph.
"""

from __future__ import annotations

from typing import Literal

import msgspec

Tone = Literal["count", "quiet", "waiting", "running", "error"]

MAX_LABEL_CELLS = 5
"""Cells of the gutter that a label may take."""


class CellState(msgspec.Struct, frozen=True):
    """One cell's state as text."""

    label: str = ""
    tone: Tone = "quiet"
    note: str = ""
    dimmed: bool = False
    """Old output of a cell that waits to run again."""
    since: float | None = None
    """Start of a run that goes on (unix seconds): the note changes every second."""


class Run(msgspec.Struct, frozen=True):
    """The facts of a cell's current execution, as the runtime document has them. Times are unix seconds."""

    status: str
    count: int | None
    by: str = ""
    started: float | None = None
    ended: float | None = None
    stale: bool = False
    """The source is no longer what ran."""


def duration(seconds: float) -> str:
    """A length of time in the two largest units that matter: ``38 ms``, ``1.4 s``, ``12 s``, ``3 min 5 s``,
    ``2 h 10 min``.
    """
    if seconds < 0:
        seconds = 0
    if seconds < 0.9995:
        return f"{max(1, round(seconds * 1000))} ms"
    if seconds < 9.95:
        return f"{seconds:.1f} s"
    whole = round(seconds)
    if whole < 60:
        return f"{whole} s"
    if whole < 3600:
        return f"{whole // 60} min {whole % 60} s" if whole % 60 else f"{whole // 60} min"
    hours, minutes = whole // 3600, whole % 3600 // 60
    if hours < 48:
        return f"{hours} h {minutes} min" if minutes else f"{hours} h"
    return f"{hours // 24} d {hours % 24} h" if hours % 24 else f"{hours // 24} d"


def elapsed(seconds: float) -> str:
    """Like `duration`, but in whole seconds: it is shown while it grows. Empty in the first second."""
    whole = int(seconds)
    if whole < 1:
        return ""
    return f"{whole} s" if whole < 10 else duration(whole)


def ordinal(number: int) -> str:
    """``1st``, ``2nd``, ``3rd``, ``11th``."""
    if number % 100 in (11, 12, 13):
        return f"{number}th"
    return f"{number}{ {1: 'st', 2: 'nd', 3: 'rd'}.get(number % 10, 'th') }"


def _joined(*parts: str) -> str:
    return " · ".join(part for part in parts if part)


def cell_state(
    cell_type: str, run: Run | None, place: int | None, now: float, own_name: str = ""
) -> CellState:
    """State of a cell.

    Args:
        place: Its place among the waiting ones, from 1, or None.
        now: Unix seconds.
        own_name: Whose runs need no name.
    """
    if cell_type == "raw":
        return CellState(label="raw")
    if cell_type != "code":
        return CellState()
    by = "" if run is None or run.by == own_name else run.by
    if run is not None and run.status == "running":
        since = run.started
        note = "" if since is None else elapsed(now - since)
        return CellState("◐", "running", _joined(note, by), since=since)
    if place is not None:
        return CellState(f"…{place}", "waiting", f"queued, {ordinal(place)}", dimmed=True)
    if run is None:
        return CellState(label="·")
    took = "" if run.started is None or run.ended is None else duration(run.ended - run.started)
    note = _joined(took, by)
    number = "" if run.count is None else str(run.count)
    stale = "*" if run.stale else ""
    if run.status == "error":
        return CellState(f"✗{number}{stale}", "error", note)
    if run.status == "cancelled":
        return CellState(label="·", note=_joined("cancelled", by))
    if not number:
        return CellState(label="·" + stale, note=note)
    return CellState(f"{number}{stale}", "count", note)
