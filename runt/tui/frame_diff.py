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

from collections.abc import Iterable, Mapping
from functools import lru_cache

from rich.color import ColorSystem
from rich.console import Console
from rich.segment import Segment
from rich.style import Style
from textual.strip import Strip

# A row as painted: column (cells) → (end column, strip).
Row = dict[int, tuple[int, Strip]]

# A shift is looked for only in an update of at least this many rows, on rows with a strip at least this wide
# (cells): below that, repainting costs less than the scroll commands, and short strips repeat too often to be
# landmarks.
MIN_SHIFT_ROWS = 8
MIN_LANDMARK_CELLS = 20
# Text that stands on more rows than this says nothing about where the page went.
MAX_LANDMARK_PLACES = 4
# The left margin does not count: it holds the focus bar, which moves by itself (cells).
LANDMARK_MARGIN_CELLS = 6
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
        pen = _Pen(console)
        if (shift := self._find_shift(update)) is not None:
            pen.control(self._scroll(*shift))
        for y in sorted(update):
            if 0 <= y < len(self._rows):
                self._draw_row(y, update[y], pen)
        return pen.finish()

    # -- rows --------------------------------------------------------------

    def _draw_row(self, y: int, row: Row, pen: _Pen) -> None:
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
                pen.control(f"\x1b[{y + 1};{x + skipped + 1}H")
                pen.draw(changed)

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
        votes: dict[int, list[int]] = {}
        for y, row in update.items():
            places = seen.get(landmark, ()) if (landmark := _landmark(row)) is not None else ()
            if len(places) <= MAX_LANDMARK_PLACES:
                for place in places:
                    votes.setdefault(place - y, []).append(y)
        if not votes:
            return None
        k, moved = max(votes.items(), key=lambda vote: len(vote[1]))
        if k == 0 or len(moved) < MIN_SHIFT_VOTES or len(moved) < len(votes.get(0, ())) * MIN_SHIFT_ADVANTAGE:
            return None
        # From the first row that moved (or came) to the last: what stands still above and below is left
        # alone.
        top, bottom = min(min(moved), min(moved) + k), max(max(moved), max(moved) + k)
        # The terminal scrolls whole rows: each must be in the update, at full width.
        if abs(k) >= bottom - top or any(
            not _spans(update.get(y), self._size[0]) for y in range(top, bottom + 1)
        ):
            return None
        return top, bottom, k

    def _scroll(self, top: int, bottom: int, k: int) -> str:
        block = self._rows[top : bottom + 1]
        empty: list[Row] = [{} for _ in range(abs(k))]
        self._rows[top : bottom + 1] = [*block[k:], *empty] if k > 0 else [*empty, *block[:k]]
        self.scrolls += 1
        direction = "S" if k > 0 else "T"
        return f"\x1b[{top + 1};{bottom + 1}r\x1b[{abs(k)}{direction}\x1b[r"


def _spans(row: Row | None, width: int) -> bool:
    """Whether the strips of ``row`` cover all ``width`` columns: only then may the terminal move the row."""
    return row is not None and sum(end - x for x, (end, _) in row.items()) >= width


def _landmark(row: Row) -> tuple[int, int, str] | None:
    """What a row is recognised by: its widest strip, if that is wide enough and not blank."""
    if not row:
        return None
    x = max(row, key=lambda at: row[at][0] - at)
    end, strip = row[x]
    if end - x < MIN_LANDMARK_CELLS:
        return None
    text = strip.text[LANDMARK_MARGIN_CELLS:]
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


Codes = tuple[str, str, str]
_PLAIN: Codes = ("", "", "")
_SYSTEMS = {
    "standard": ColorSystem.STANDARD,
    "256": ColorSystem.EIGHT_BIT,
    "truecolor": ColorSystem.TRUECOLOR,
}


@lru_cache(maxsize=4096)
def _codes(style: Style, system: ColorSystem) -> Codes:
    """SGR parameters of a style: attributes, foreground, background; each may be empty."""
    color, background = style.color, style.bgcolor
    return (
        Strip.render_ansi(style.without_color, system),
        ";".join(color.downgrade(system).get_ansi_codes()) if color is not None else "",
        ";".join(background.downgrade(system).get_ansi_codes(foreground=False))
        if background is not None
        else "",
    )


class _Pen:
    """Writes segments one after the other, saying of each style only what differs from the one before.

    Rich resets after every segment and says everything again: twice the bytes. The pen begins and ends plain.
    """

    def __init__(self, console: Console) -> None:
        self._system = _SYSTEMS.get(console.color_system or "", ColorSystem.TRUECOLOR)
        self._codes = _PLAIN
        self._out: list[str] = []

    def control(self, sequence: str) -> None:
        """Write a sequence that does not change the style."""
        self._out.append(sequence)

    def draw(self, segments: Iterable[Segment]) -> None:
        """Write text in its styles."""
        for text, style, _ in segments:
            if not text:
                continue
            self._take(_PLAIN if style is None else _codes(style, self._system))
            if style is not None and style.link:
                self._out.append(f"\x1b]8;id={style.link_id};{style.link}\x1b\\{text}\x1b]8;;\x1b\\")
            else:
                self._out.append(text)

    def _take(self, codes: Codes) -> None:
        if codes == self._codes:
            return
        before, self._codes = self._codes, codes
        if codes[0] != before[0]:
            # Attributes have no reliable "off" of their own: reset, and say everything.
            self._out.append(f"\x1b[{';'.join(('0', *(code for code in codes if code)))}m")
            return
        changes = [
            new or default
            for old, new, default in ((before[1], codes[1], "39"), (before[2], codes[2], "49"))
            if old != new
        ]
        self._out.append(f"\x1b[{';'.join(changes)}m")

    def finish(self) -> str:
        """Return everything written, ending plain."""
        if self._codes != _PLAIN:
            self._out.append("\x1b[0m")
            self._codes = _PLAIN
        return "".join(self._out)
