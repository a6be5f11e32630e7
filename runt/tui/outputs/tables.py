"""HTML tables as aligned columns.

Reads ``<table>`` (with row and column spans, as data frames with several index levels need) and the words
around it; no CSS, no script, no other markup. Invariant: every row it makes is as wide as the header, and
none is wider than asked.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import msgspec
from rich.cells import cell_len, set_cell_size
from rich.segment import Segment

from runt.terminal.sanitise import display_text
from runt.tui.outputs.block import Block, Line, crop, text_line
from runt.tui.outputs.text_lines import grouped

if TYPE_CHECKING:
    from runt.tui.outputs.looks import Looks

MAX_HTML_CHARS = 2_000_000
"""Larger HTML is not parsed (about 20 ms per megabyte); text/plain is shown."""

MAX_ROWS = 60
MAX_COLUMNS = 200
MAX_CELL_CELLS = 40
"""A column is at most this wide; longer values end in ``…``."""

_NUMBER = re.compile(
    r"^[-+−]?(?:[$€£]\s?)?(?:\d[\d,\u2009\u202f _]*)?(?:\.\d*)?(?:[eE][-+]?\d+)?\s?[%j]?$"
    r"|^[-+]?(?:nan|inf|NaN|NaT|None|null|<NA>|∞)$"
)
_SPACES = re.compile(r"\s+")


class Table(msgspec.Struct):
    """Rows of equal length. ``index`` columns at the left are row headers."""

    header: list[list[str]] = msgspec.field(default_factory=list)
    body: list[list[str]] = msgspec.field(default_factory=list)
    index: int = 0
    caption: list[str] = msgspec.field(default_factory=list)
    left_out: int = 0
    """Rows that were not read."""


def _text(node: Any) -> str:
    return display_text(_SPACES.sub(" ", node.text(deep=True) or "").strip())


def _span(node: Any, name: str, limit: int) -> int:
    value = (node.attributes or {}).get(name) or "1"
    return max(1, min(limit, int(value))) if value.isdecimal() and len(value) < 6 else 1


def parse_tables(html: str, *, max_rows: int = MAX_ROWS) -> list[Table]:
    """The tables of a piece of HTML, outermost only; empty when there is none."""
    if len(html) > MAX_HTML_CHARS or "<table" not in html.lower():
        return []
    from selectolax.lexbor import LexborHTMLParser

    tree = LexborHTMLParser(html)
    for useless in tree.css("style, script, head, template"):
        useless.decompose()
    tables = []
    for node in tree.css("table"):
        if _inside_table(node):
            continue
        table = _parse_table(node, max_rows)
        if table is not None:
            tables.append(table)
    if len(tables) == 1:
        words = [
            _text(node)
            for node in tree.css("p, small, caption, div > span")
            if not _inside_table(node) or node.tag == "caption"
        ]
        tables[0].caption = [word for word in words if word][:3]
    return tables


def _inside_table(node: Any) -> bool:
    parent = node.parent
    while parent is not None:
        if parent.tag == "table":
            return True
        parent = parent.parent
    return False


def _parse_table(node: Any, max_rows: int) -> Table | None:
    table = Table()
    rows: list[tuple[list[str], int, bool]] = []
    held: dict[int, tuple[int, str, bool]] = {}
    all_rows = node.css("tr")
    kept = all_rows[: max_rows + 8]
    for tr in kept:
        in_head = tr.parent is not None and tr.parent.tag == "thead"
        cells: list[str] = []
        heads = 0
        leading = True
        queue = [child for child in tr.iter() if child.tag in ("td", "th")]
        at = 0
        while (queue or at in held) and len(cells) < MAX_COLUMNS:
            if at in held:
                left, text, is_head = held.pop(at)
                cells.append(text)
                if left > 1:
                    held[at] = (left - 1, "", is_head)
                leading = leading and is_head
                heads += leading
                at += 1
                continue
            cell = queue.pop(0)
            is_head = cell.tag == "th"
            text = _text(cell)
            rowspan = _span(cell, "rowspan", 1000)
            for offset in range(min(_span(cell, "colspan", MAX_COLUMNS), MAX_COLUMNS - len(cells))):
                shown = text if offset == 0 else ""
                cells.append(shown)
                if rowspan > 1:
                    held[at] = (rowspan - 1, "", is_head)
                leading = leading and is_head
                heads += leading
                at += 1
        if cells:
            rows.append(
                (
                    cells,
                    heads,
                    in_head or (heads == len(cells) and not table.body and not any(not r[2] for r in rows)),
                )
            )
    if not rows:
        return None
    width = max(len(cells) for cells, _, _ in rows)
    for cells, heads, is_header in rows:
        cells.extend([""] * (width - len(cells)))
        if is_header:
            table.header.append(cells)
        else:
            table.body.append(cells)
            table.index = max(table.index, heads) if heads < width else table.index
    table.left_out = len(all_rows) - len(kept)
    if len(table.body) > max_rows:
        table.left_out += len(table.body) - max_rows
        del table.body[max_rows:]
    return table


def _column_choice(widths: Sequence[int], index: int, room: int) -> tuple[list[int], bool]:
    """The columns that fit: the index, then from both ends; and whether some were left out."""
    gap = 2
    total = sum(widths) + gap * (len(widths) - 1) + (1 if index else 0)
    if total <= room:
        return list(range(len(widths))), False
    used = sum(widths[:index]) + gap * index + (1 if index else 0) + 1 + gap
    left, right = index, len(widths) - 1
    front: list[int] = []
    back: list[int] = []
    take_front = True
    while left <= right:
        column = left if take_front else right
        if used + widths[column] + gap > room:
            break
        used += widths[column] + gap
        if take_front:
            front.append(left)
            left += 1
        else:
            back.append(right)
            right -= 1
        take_front = not take_front
    if not front and left <= right:
        front.append(left)
    return [*range(index), *front, *reversed(back)], True


def table_block(tables: Sequence[Table], width: int, looks: Looks) -> Block:
    """Tables, one below the other."""
    lines: list[Line] = []
    hidden = 0
    for table in tables:
        if lines:
            lines.append(())
        lines.extend(table_lines(table, width, looks))
        hidden += table.left_out
    return Block(tuple(lines), gap=True, hidden=hidden)


def table_lines(table: Table, width: int, looks: Looks) -> list[Line]:
    """Rows of one table, none wider than ``width`` cells."""
    rows = [*table.header, *table.body]
    count = len(rows[0])
    widths = [
        min(MAX_CELL_CELLS, max(1, max(cell_len(row[column]) for row in rows))) for column in range(count)
    ]
    numeric = [
        column >= table.index
        and any(row[column] for row in table.body)
        and all(_NUMBER.match(row[column]) or row[column] in ("", "...", "…") for row in table.body)
        for column in range(count)
    ]
    chosen, elided = _column_choice(widths, table.index, width)
    if chosen and sum(widths[c] for c in chosen) + 2 * len(chosen) > width:
        for column in chosen:
            widths[column] = min(widths[column], max(1, (width - 8) // max(1, len(chosen)) - 2))
    gap_at = (
        next((i for i, c in enumerate(chosen) if i and c != chosen[i - 1] + 1), len(chosen)) if elided else -1
    )
    lines: list[Line] = []

    def put(
        cells: Sequence[str], styles: Sequence[Any], *, fill: str = " ", elision: str = "…", cross: str = "│"
    ) -> None:
        segments: list[Segment] = []
        for place, column in enumerate(chosen):
            if place == gap_at:
                segments.append(Segment(elision + fill * 2, looks.rule if fill != " " else looks.dim))
            text = crop(cells[column], widths[column])
            padding = widths[column] - cell_len(text)
            text = fill * padding + text if numeric[column] else text + fill * padding
            segments.append(Segment(text, styles[column]))
            last = place == len(chosen) - 1
            if column == table.index - 1 and not last:
                segments.append(Segment(f"{fill}{cross}{fill}", looks.rule))
            elif not last:
                segments.append(Segment(fill * 2, looks.rule if fill != " " else looks.text))
        if gap_at == len(chosen):
            segments.append(Segment(fill * 2 + elision, looks.rule if fill != " " else looks.dim))
        lines.append(tuple(_cropped(segments, width)))

    for row in table.header:
        put(row, [looks.strong] * count)
    if table.header:
        put([""] * count, [looks.rule] * count, fill="─", elision="─", cross="┼")
    for row in table.body:
        put(row, [looks.dim if column < table.index else looks.text for column in range(count)])
    notes = list(table.caption)
    if table.left_out:
        lines.append(text_line(f"⋯ {grouped(table.left_out)} more rows — o to view", looks.dim))
    if elided and not notes:
        notes.append(f"{count - table.index} columns")
    if notes:
        lines.append(text_line(crop(" · ".join(notes), width), looks.dim))
    return lines


def _cropped(segments: Sequence[Segment], width: int) -> list[Segment]:
    kept: list[Segment] = []
    for segment in segments:
        size = cell_len(segment.text)
        if size > width:
            if width > 0:
                kept.append(Segment(set_cell_size(segment.text, width), segment.style))
            break
        kept.append(segment)
        width -= size
    return kept
