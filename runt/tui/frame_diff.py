"""The difference between the frame to show and the frame that the terminal shows.

Textual repaints each dirty region whole: one key in an 11-line editor is 5.9 kB, one notch of the wheel 18
kB. ``FrameDiff`` remembers the strips last sent, drops the equal ones, sends only the changed segments of the
others, and turns a vertical shift into a scroll of the terminal's own region (DECSTBM with SU or SD).
Measured: 0.3–0.7 kB a key, 0.6 kB a notch.

It knows nothing of the app: ``textual_compat`` hands it what the compositor made. The invariant: ``_rows`` is
exactly what the terminal shows; whatever breaks that (a resize, a suspend, another program's output) must
call ``forget()``.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping

from rich.console import Console
from rich.segment import Segment
from textual.strip import Strip

# A row as painted: column (cells) → (end column, strip).
Row = dict[int, tuple[int, Strip]]

# A shift is looked for only in an update of at least this many rows, on rows with a strip at least this wide
# (cells): below that, repainting costs less than the scroll commands, and short strips repeat too often to be
# landmarks.
MIN_SHIFT_ROWS = 8
MIN_LANDMARK_CELLS = 20
# Rows that must agree on the shift, and how much better than "did not move" it has to be.
MIN_SHIFT_VOTES = 6
MIN_SHIFT_ADVANTAGE = 2


class FrameDiff:
    """What the terminal shows, and the escape sequences that lead from there to a new frame."""

    def __init__(self) -> None:
        self._size = (0, 0)
        self._rows: list[Row] = []
        self.scrolls = 0

    def forget(self) -> None:
        """Assume nothing about the screen: the next update sends everything it contains."""
        self._rows = [{} for _ in self._rows]

    def encode(self, update: Mapping[int, Row], size: tuple[int, int], console: Console) -> str:
        """Return what to write to the terminal for ``update`` (row → what is on it), and remember it as
        shown.

        ``size`` is (columns, rows) of the screen; another size than last time forgets everything. Empty if
        nothing changed.
        """
        if size != self._size:
            self._size = size
            self._rows = [{} for _ in range(size[1])]
        out: list[str] = []
        if (shift := self._find_shift(update)) is not None:
            out.append(self._scroll(*shift))
        for y in sorted(update):
            if 0 <= y < len(self._rows):
                out.extend(self._encode_row(y, update[y], console))
        return "".join(out)

    # -- rows --------------------------------------------------------------

    def _encode_row(self, y: int, row: Row, console: Console) -> Iterator[str]:
        shown = self._rows[y]
        for x, (end, strip) in row.items():
            before = shown.get(x)
            if before == (end, strip):
                continue
            for other in [at for at, (stop, _) in shown.items() if at < end and stop > x]:
                del shown[other]
            shown[x] = (end, strip)
            skipped, changed = 0, strip
            if before is not None and before[0] == end and before[1].cell_length == strip.cell_length:
                skipped, changed = _changed(before[1], strip)
            if changed.cell_length:
                yield f"\x1b[{y + 1};{x + skipped + 1}H{changed.render(console)}"

    # -- scrolling ---------------------------------------------------------

    def _find_shift(self, update: Mapping[int, Row]) -> tuple[int, int, int] | None:
        """Return (top row, bottom row, k) when most rows of ``update`` are shown k rows further down now,
        else None."""
        if len(update) < MIN_SHIFT_ROWS:
            return None
        seen: dict[tuple[int, int, str], list[int]] = {}
        for y, row in enumerate(self._rows):
            if (landmark := _landmark(row)) is not None:
                seen.setdefault(landmark, []).append(y)
        votes: Counter[int] = Counter()
        for y, row in update.items():
            if (landmark := _landmark(row)) is not None and len(seen.get(landmark, ())) == 1:
                votes[seen[landmark][0] - y] += 1
        if not votes:
            return None
        k, count = votes.most_common(1)[0]
        if k == 0 or count < MIN_SHIFT_VOTES or count < votes[0] * MIN_SHIFT_ADVANTAGE:
            return None
        top, bottom = min(update), max(update)
        # The region is scrolled whole: every row of it must be in the update, at full width.
        if len(update) != bottom - top + 1 or abs(k) >= bottom - top or bottom >= len(self._rows):
            return None
        if any(not _spans(row, self._size[0]) for row in update.values()):
            return None
        return top, bottom, k

    def _scroll(self, top: int, bottom: int, k: int) -> str:
        block, empty = self._rows[top : bottom + 1], [{} for _ in range(abs(k))]
        self._rows[top : bottom + 1] = [*block[k:], *empty] if k > 0 else [*empty, *block[:k]]
        self.scrolls += 1
        direction = "S" if k > 0 else "T"
        return f"\x1b[0m\x1b[{top + 1};{bottom + 1}r\x1b[{abs(k)}{direction}\x1b[r"


def _spans(row: Row, width: int) -> bool:
    """Whether the strips of ``row`` cover all ``width`` columns: only then may the row be moved by the
    terminal."""
    return sum(end - x for x, (end, _) in row.items()) >= width


def _landmark(row: Row) -> tuple[int, int, str] | None:
    """What a row is recognised by: its widest strip, if that is wide enough and not blank."""
    if not row:
        return None
    x = max(row, key=lambda at: row[at][0] - at)
    end, strip = row[x]
    if end - x < MIN_LANDMARK_CELLS:
        return None
    text = strip.text
    return (x, end, text) if text.strip() else None


def _changed(before: Strip, after: Strip) -> tuple[int, Strip]:
    """Return (cells to skip, the strip between the first and the last segment that differ)."""
    old: list[Segment] = list(before)
    new: list[Segment] = list(after)
    limit = min(len(old), len(new))
    head = 0
    while head < limit and old[head] == new[head]:
        head += 1
    tail = 0
    while tail < limit - head and old[-1 - tail] == new[-1 - tail]:
        tail += 1
    skipped = sum(segment.cell_length for segment in new[:head])
    return skipped, Strip(new[head : len(new) - tail])
