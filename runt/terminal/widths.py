"""Cell widths of text: how many terminal columns a string takes, and where it may be cut.

It draws nothing and knows no styles. The invariant: widths are those of ``rich.cells``, which Textual uses
to lay out strips, so that a width measured here is the width that is painted; and a cut never separates a
character from the zero-width ones that belong to it.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from functools import lru_cache

from rich.cells import cell_len, get_character_cell_size

SINGLE_CELLS = r" -~\xa0-\xac\xae-\u02ff\u0370-\u0482\u2500-\u25fc\u2800-\u28ff"
"""A regex class of what is surely one cell wide: Latin, Greek, box drawing, Braille."""

_ALL_SINGLE = re.compile(f"[{SINGLE_CELLS}]*")
_JOINER = "\u200d"


@lru_cache(maxsize=8192)
def character_width(character: str) -> int:
    """Cells (0, 1 or 2) of one code point on its own. Control characters take none."""
    return get_character_cell_size(character)


def cell_width(text: str) -> int:
    """Cells that ``text`` takes on one line. Control characters count 0: sanitise before measuring."""
    if text.isascii() and text.isprintable():
        return len(text)
    return cell_len(text)


def is_single_cells(text: str) -> bool:
    """Whether each code point of ``text`` surely takes one cell (False may be a miss, True never is)."""
    return (text.isascii() and text.isprintable()) or _ALL_SINGLE.fullmatch(text) is not None


def clusters(text: str) -> Iterator[tuple[int, int, int]]:
    """What must stay together: ``(start, stop, cells)``; start and stop in code points, without gaps."""
    start = index = 0
    length = len(text)
    while index < length:
        # What follows a joiner has no width, even at the beginning of the text.
        index = min(index + (2 if text[index] == _JOINER else 1), length)
        while index < length:
            character = text[index]
            if character == _JOINER:
                index = min(index + 2, length)
            elif character_width(character) == 0:
                index += 1
            else:
                break
        yield start, index, cell_len(text[start:index])
        start = index


def truncate(text: str, cells: int, *, mark: str = "") -> str:
    """The longest beginning of ``text`` that fits into ``cells``; if cut, with ``mark`` at its end."""
    if cells <= 0:
        return ""
    if cell_width(text) <= cells:
        return text
    room = cells - cell_width(mark)
    if room < 0:
        room, mark = cells, ""
    if is_single_cells(text):
        return text[:room] + mark
    stop = used = 0
    for _, end, width in clusters(text):
        if used + width > room:
            break
        used += width
        stop = end
    return text[:stop] + mark


def wrap(text: str, cells: int) -> list[str]:
    """Cut one line into rows of at most ``cells`` (≥ 1) each; joined they are ``text``.

    Empty text is one empty row. A character wider than ``cells`` gets a row of its own.
    """
    if cells < 1:
        raise ValueError(f"cannot wrap to {cells} cells")
    if is_single_cells(text):
        return [text[at : at + cells] for at in range(0, len(text), cells)] or [""]
    rows: list[str] = []
    start = used = 0
    for begin, _, width in clusters(text):
        if used and used + width > cells:
            rows.append(text[start:begin])
            start = begin
            used = 0
        used += width
    rows.append(text[start:])
    return rows
