"""Text of cells and outputs for a terminal or a pipe.

It is not the screen (``runt.tui``). Invariant: what leaves here is display-safe; colours are only sequences that we
made, and only when stdout is a terminal that wants them.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Mapping
from typing import Any

from runt.terminal.sanitise import display_text
from runt.terminal.sgr import PLAIN, ansi_lines, transition

# Text that describes an output best, in this order; what is left is named by its type.
TEXT_TYPES = ("text/plain", "text/markdown", "text/latex", "application/json", "text/html")


def wants_colour() -> bool:
    """Whether stdout is a terminal and nobody said NO_COLOR."""
    return sys.stdout.isatty() and not os.environ.get("NO_COLOR") and os.environ.get("TERM") != "dumb"


def safe_text(text: str, *, colour: bool = False) -> str:
    """Kernel text with its colours remade by us (or left out), control characters shown, lines kept."""
    rows = []
    for line in ansi_lines(text):
        row, look = [], PLAIN
        for span in line:
            if colour:
                row.append(transition(look, span.sgr))
                look = span.sgr
            row.append(span.text)
        if colour:
            row.append(transition(look, PLAIN))
        rows.append("".join(row))
    return "\n".join(rows)


def output_text(output: Mapping[str, Any], *, colour: bool = False) -> str:
    """One nbformat output as text, without a newline at its end; an image or page is named by its type and size."""
    kind = output.get("output_type")
    if kind == "stream":
        return safe_text(joined(output.get("text", "")).removesuffix("\n"), colour=colour)
    if kind == "error":
        traceback = "\n".join(output.get("traceback", ())) or f"{output.get('ename')}: {output.get('evalue')}"
        return safe_text(traceback, colour=colour)
    data: Mapping[str, Any] = output.get("data", {})
    pictures = [name for name in data if name.startswith("image/")]
    if pictures:
        return f"[{display_text(pictures[0])}]"
    for name in TEXT_TYPES:
        if name in data:
            return safe_text(joined(data[name]), colour=colour)
    return f"[{display_text(', '.join(data) or 'empty output')}]"


def joined(value: Any) -> str:
    """nbformat text: one string, or a list of lines that keep their ends."""
    if isinstance(value, list):
        return "".join(str(part) for part in value)
    return str(value)
