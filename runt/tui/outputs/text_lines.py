"""Long text as its first and last rows, at a cost that does not grow with the text.

Used for streams, plain text and tracebacks. It knows no blobs and no documents. Invariant: at most
``HEAD_ROWS + TAIL_ROWS + 1`` rows come out, and at most that many lines (and that many rows of characters of
any one line) are parsed.
"""

from __future__ import annotations

import msgspec
from rich.style import Style

from runt.terminal.sgr import ansi_lines
from runt.tui.outputs.block import Line, fold, text_line
from runt.tui.outputs.sgr_styles import styled

HEAD_ROWS = 20
"""Rows of the beginning of a long output: what it is about."""

TAIL_ROWS = 40
"""Rows of its end: where it is."""

MORE = "⋯ {} — o to view"


class Rows(msgspec.Struct, frozen=True):
    """Rows for the screen; ``hidden`` lines (or, unknown, 1) are left out."""

    lines: tuple[Line, ...]
    hidden: int = 0


def grouped(number: int) -> str:
    """``9 940``: digits in groups of three."""
    return f"{number:,}".replace(",", " ")


def size_words(size: int) -> str:
    """Bytes for people: ``640 bytes``, ``12 kB``, ``3.4 MB``."""
    if size < 1000:
        return f"{size} bytes"
    for unit in ("kB", "MB"):
        size_in = size / (1000 if unit == "kB" else 1_000_000)
        if size_in < 999.5:
            return f"{size_in:.1f} {unit}" if size_in < 10 else f"{size_in:.0f} {unit}"
    return f"{size / 1e9:.1f} GB"


def first_lines(text: str, count: int) -> tuple[list[str], int]:
    """Up to ``count`` lines from the start, and the offset behind them."""
    at = 0
    lines: list[str] = []
    while len(lines) < count:
        end = text.find("\n", at)
        if end == -1:
            lines.append(text[at:])
            return lines, len(text)
        lines.append(text[at:end])
        at = end + 1
    return lines, at


def last_lines(text: str, count: int, start: int) -> list[str]:
    """Up to ``count`` lines from the end, none beginning before offset ``start``."""
    lines: list[str] = []
    end = len(text)
    while len(lines) < count and end >= start:
        at = text.rfind("\n", start, end)
        lines.append(text[max(at + 1, start) : end])
        if at == -1:
            break
        end = at
    return lines[::-1]


def _fold_all(
    lines: list[str], width: int, base: Style, *, keep_end: bool, rows: int
) -> list[tuple[Line, int]]:
    """Rows with the index of their line; only as many characters of a line as ``rows`` rows can show."""
    limit = rows * width * 4 + 256
    folded: list[tuple[Line, int]] = []
    text = "\n".join(
        line if len(line) <= limit else (line[-limit:] if keep_end else line[:limit]) for line in lines
    )
    for index, spans in enumerate(ansi_lines(text)):
        folded.extend((row, index) for row in fold(styled(spans, base), width))
    return folded


def text_rows(
    head_text: str,
    width: int,
    base: Style,
    dim: Style,
    *,
    tail_text: str = "",
    between: int = 0,
    lines_between: int | None = 0,
) -> Rows:
    """Rows of a text that is ``head_text``, then ``between`` bytes nobody reads, then ``tail_text``.

    Args:
        lines_between: How many lines the unread part has, or None when nobody counted.
    """
    whole = not between and not lines_between and not tail_text
    text = tail_text or head_text
    text = text[:-1] if text.endswith("\n") else text
    if whole:
        total = text.count("\n") + 1
        if total <= HEAD_ROWS + TAIL_ROWS:
            rows = _fold_all(text.split("\n"), width, base, keep_end=False, rows=HEAD_ROWS + TAIL_ROWS)
            if len(rows) <= HEAD_ROWS + TAIL_ROWS:
                return Rows(tuple(row for row, _ in rows))
        head, behind = first_lines(text, min(HEAD_ROWS, total))
        tail = last_lines(text, min(TAIL_ROWS, total - len(head)) or 1, behind if total > len(head) else 0)
        hidden: int | None = total - len(head) - len(tail)
    else:
        head, behind = first_lines(head_text, HEAD_ROWS)
        tail = last_lines(text, TAIL_ROWS, 0)
        hidden = None
        if lines_between is not None:
            hidden = head_text.count("\n", behind) + lines_between + text.count("\n") + 1 - len(tail)
            hidden = max(0, hidden)
    head_rows = _fold_all(head, width, base, keep_end=False, rows=HEAD_ROWS)[:HEAD_ROWS]
    tail_rows = _fold_all(tail, width, base, keep_end=True, rows=TAIL_ROWS)[-TAIL_ROWS:]
    if hidden is not None:
        shown_head = head_rows[-1][1] + 1 if head_rows else 0
        shown_tail = len(tail) - tail_rows[0][1] if tail_rows else 0
        hidden = max(0, hidden + len(head) - shown_head + len(tail) - shown_tail)
    if hidden is None:
        words = f"{size_words(between)} more" if between else "more"
    elif hidden:
        words = f"{grouped(hidden)} more line{'s' if hidden > 1 else ''}"
    else:
        words = "more"
    middle = text_line(MORE.format(words), dim)
    return Rows((*(row for row, _ in head_rows), middle, *(row for row, _ in tail_rows)), hidden or 1)
