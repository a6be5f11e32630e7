"""JSON, LaTeX and plain values.

JSON is laid out again and folded when it is long; LaTeX is shown as the kernel drew it, else as its source.
Invariant: what is folded away says how much it is.
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

from rich.segment import Segment

from runt.terminal.sanitise import display_text
from runt.tui import highlighting
from runt.tui.outputs.block import Block, Line, fold, text_line
from runt.tui.outputs.text_lines import text_rows

if TYPE_CHECKING:
    from runt.tui.outputs.rendering import OutputContext

MAX_JSON_LINES = 40
"""A longer value is folded below its second level."""

MAX_UNFOLDED_LINES = 400
FOLD_DEPTH = 2
SHORT_LINE_CELLS = 72
"""Containers that fit into this stand on one line."""

MAX_JSON_CHARS = 1_000_000
"""Longer JSON is shown as text: laying out a megabyte takes about 50 ms."""


def plain_block(text: str, context: OutputContext) -> Block:
    """Plain text, with colours if it has any."""
    rows = text_rows(text, context.width, context.looks.text, context.looks.dim)
    return Block(rows.lines, hidden=rows.hidden)


def json_block(text: str, context: OutputContext) -> Block:
    """A JSON value, folded by its size."""
    if len(text) > MAX_JSON_CHARS:
        return plain_block(text, context)
    try:
        value = json.loads(text)
    except (ValueError, RecursionError):
        return plain_block(text, context)
    try:
        full = _laid_out(value, None, context.width)
    except RecursionError:
        return plain_block(text, context)
    lines = full
    toggle = None
    if len(full) > MAX_JSON_LINES:
        toggle = 0
        lines = (
            full[:MAX_UNFOLDED_LINES]
            if context.expanded
            else _laid_out(value, FOLD_DEPTH, context.width)[:MAX_JSON_LINES]
        )
    names = highlighting.highlight(lines, "json")
    looks = context.looks
    rows: list[Line] = []
    if toggle is not None:
        rows.append(
            text_line(f"{'▾' if context.expanded else '▸'} {_summary(value)} ({len(full)} lines)", looks.dim)
        )
    for line, painted in zip(lines, names, strict=True):
        segments: list[Segment] = []
        for at, char in enumerate(line):
            style = looks.code.get(painted[at], looks.text) if painted else looks.text
            if segments and segments[-1].style == style:
                segments[-1] = Segment(segments[-1].text + char, style)
            else:
                segments.append(Segment(char, style))
        rows.extend(fold(segments, context.width))
    if context.expanded and len(full) > MAX_UNFOLDED_LINES:
        rows.append(text_line(f"⋯ {len(full) - MAX_UNFOLDED_LINES} more lines — o to view", looks.dim))
    return Block(tuple(rows), toggle=toggle, hidden=0 if toggle is None else len(full) - len(lines))


def _laid_out(value: object, depth: int | None, width: int) -> list[str]:
    return [display_text(line) for line in _layout(value, depth, width, "", "")]


def _layout(value: object, depth: int | None, width: int, lead: str, tail: str) -> list[str]:
    """A value behind ``lead`` (indent and key) as lines; what is short stands on one line."""
    is_container = isinstance(value, dict | list) and bool(value)
    if is_container and depth == 0:
        words = f"{{… {len(value)}}}" if isinstance(value, dict) else f"[… {len(value)}]"  # type: ignore[arg-type]
        return [lead + words + tail]
    if not is_container:
        return [lead + json.dumps(value, ensure_ascii=False) + tail]
    deeper = None if depth is None else depth - 1
    indent = lead[: len(lead) - len(lead.lstrip(" "))] + "  "
    if isinstance(value, dict):
        opening, closing = "{", "}"
        items = [(f"{json.dumps(name, ensure_ascii=False)}: ", item) for name, item in value.items()]
    else:
        opening, closing = "[", "]"
        items = [("", item) for item in value]  # type: ignore[attr-defined]
    inside: list[str] = []
    for index, (name, item) in enumerate(items):
        inside.extend(_layout(item, deeper, width, indent + name, "," if index < len(items) - 1 else ""))
    if len(inside) == len(items):
        short = lead + opening + " ".join(line.strip() for line in inside) + closing + tail
        if len(short) <= min(width, SHORT_LINE_CELLS):
            return [short]
    return [lead + opening, *inside, indent[2:] + closing + tail]


def _summary(value: object) -> str:
    if isinstance(value, dict):
        return f"object, {len(value)} keys"
    if isinstance(value, list):
        return f"array, {len(value)} items"
    return "value"


def latex_block(source: str, drawn: str | None, context: OutputContext) -> Block:
    """A formula: ``drawn`` (the kernel's own text) when it has several lines, else its source without the
    dollars.
    """
    if drawn is not None and "\n" in drawn.strip("\n"):
        block = plain_block(drawn, context)
        return Block(block.lines, gap=True, hidden=block.hidden)
    text = source.strip()
    for opening, closing in (("$$", "$$"), ("$", "$"), ("\\[", "\\]"), ("\\(", "\\)")):
        if text.startswith(opening) and text.endswith(closing) and len(text) >= len(opening) + len(closing):
            text = text[len(opening) : len(text) - len(closing)].strip()
            break
    return plain_block(text.removeprefix("\\displaystyle").strip(), context)
