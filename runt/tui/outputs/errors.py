"""An exception: the message first, then one row per frame, the full traceback folded away.

Reads IPython's and Python's own traceback texts; of other kernels it shows the message and keeps the
traceback behind the fold. It runs nothing and opens no file. Invariant: the first row is the message,
whatever the traceback looks like.
"""

from __future__ import annotations

import json
import re
from pathlib import PurePath
from typing import TYPE_CHECKING

import msgspec
from rich.cells import cell_len
from rich.segment import Segment

from runt.terminal.sanitise import display_text
from runt.terminal.sgr import ansi_lines
from runt.tui.outputs.block import Block, Line, crop, fold, text_line
from runt.tui.outputs.contents import LostContent, read_text
from runt.tui.outputs.sgr_styles import styled

if TYPE_CHECKING:
    from runt.notebook.manifests import ErrorManifest
    from runt.tui.outputs.rendering import OutputContext

MAX_MESSAGE_LINES = 6
MAX_FRAMES = 6
"""Frames shown; those in the notebook's own cells come before the others when there are more."""

MAX_TRACEBACK_LINES = 400
MAX_WHERE_CELLS = 30

_CELL = re.compile(r"^\s*(?:Cell|Input) In ?\[(\d+)\], line (\d+)(?:, in (.+))?$")
_FILE = re.compile(r"^File (\S.*?):(\d+)(?:, in (.+))?$")
_PYTHON_FILE = re.compile(r'^\s*File "(.+)", line (\d+)(?:, in (.+))?$')
_ARROW = re.compile(r"^-*> ?(\d+) ?(.*)$")


class Frame(msgspec.Struct, frozen=True):
    """One call in a traceback. ``cell`` is the execution count when it is in the notebook."""

    cell: int | None
    path: str
    line: int
    function: str
    code: str

    @property
    def where(self) -> str:
        """``cell 7, line 1`` or ``stats.py:42 in mean``."""
        function = self.function.partition("(")[0]
        inside = f" in {function}" if function and function != "<module>" else ""
        if self.cell is not None:
            return f"cell {self.cell}, line {self.line}{inside}"
        return f"{PurePath(self.path).name}:{self.line}{inside}"

    @property
    def ours(self) -> bool:
        """In the notebook or in a file that is not an installed package."""
        return self.cell is not None or not re.search(
            r"site-packages|dist-packages|/lib/python\d|<frozen ", self.path
        )


def frames(lines: list[str]) -> list[Frame]:
    """The frames of a traceback, outermost first. ``lines`` are plain text."""
    found: list[Frame] = []
    for number, line in enumerate(lines):
        cell, file, python = _CELL.match(line), _FILE.match(line), _PYTHON_FILE.match(line)
        match = cell or file or python
        if match is None:
            continue
        code = ""
        if python is None:
            for later in lines[number + 1 : number + 20]:
                if _CELL.match(later) or _FILE.match(later):
                    break
                arrow = _ARROW.match(later)
                if arrow is not None and arrow[1] == match[2]:
                    code = arrow[2]
                    break
        if not code and number + 1 < len(lines) and lines[number + 1].startswith("    "):
            code = lines[number + 1]
        found.append(
            Frame(
                cell=int(match[1]) if cell is not None else None,
                path="" if cell is not None else match[1],
                line=int(match[2]),
                function=(match[3] or "").strip(),
                code=code.strip(),
            )
        )
    return found


def _chosen(found: list[Frame]) -> list[Frame]:
    if len(found) <= MAX_FRAMES:
        return found
    ours = [index for index, frame in enumerate(found) if frame.ours]
    keep = set(ours[: MAX_FRAMES - 2]) | {len(found) - 1}
    for index in range(len(found) - 1, -1, -1):
        if len(keep) >= MAX_FRAMES:
            break
        keep.add(index)
    return [found[index] for index in sorted(keep)]


def error_block(manifest: ErrorManifest, context: OutputContext) -> Block:
    """An error output."""
    looks, width = context.looks, context.width
    try:
        decoded = json.loads(read_text(manifest.traceback, context.blobs))
        raw = [str(part) for part in decoded] if isinstance(decoded, list) else []
    except (LostContent, ValueError, RecursionError):
        raw = []
    parsed = ansi_lines("\n".join(raw)) if raw else []
    lines: list[Line] = _message(manifest.ename, manifest.evalue, context)
    found = frames(["".join(span.text for span in line).rstrip() for line in parsed])
    chosen = _chosen(found)
    if chosen:
        places = [crop(display_text(frame.where), MAX_WHERE_CELLS) for frame in chosen]
        column = max(cell_len(place) for place in places) + 3
        for frame, place in zip(chosen, places, strict=True):
            style = looks.text if frame.ours else looks.dim
            code = crop(display_text(frame.code), max(0, width - 2 - column))
            lines.append(
                (
                    Segment(
                        "  " + place + " " * (column - cell_len(place)),
                        looks.accent if frame.cell is not None else looks.dim,
                    ),
                    Segment(code, style),
                )
            )
    count = len(parsed)
    toggle = None
    if count > len(lines) + 1 or (count and not chosen):
        toggle = len(lines)
        words = f"full traceback ({count} line{'s' if count != 1 else ''})"
        lines.append(text_line(f"{'▾' if context.expanded else '▸'} {words}", looks.dim))
        if context.expanded:
            for spans in parsed[:MAX_TRACEBACK_LINES]:
                lines.extend(fold(styled(spans, looks.text), width))
            if count > MAX_TRACEBACK_LINES:
                lines.append(text_line(f"⋯ {count - MAX_TRACEBACK_LINES} more lines", looks.dim))
    return Block(tuple(lines), gap=True, toggle=toggle)


def _message(name: str, value: str, context: OutputContext) -> list[Line]:
    looks, width = context.looks, context.width
    value_lines = value.strip("\n").split("\n") if value.strip() else []
    first = display_text(name or "Error")
    rows: list[Line] = []
    head: Line = (Segment(first, looks.error),)
    if value_lines:
        plain = "".join(span.text for span in ansi_lines(value_lines[0])[0])
        head = (*head, Segment(": " + plain, looks.strong))
    rows.extend(fold(head, width))
    for line in value_lines[1:MAX_MESSAGE_LINES]:
        rows.extend(fold(styled(ansi_lines(line)[0], looks.text), width))
    if len(value_lines) > MAX_MESSAGE_LINES:
        rows.append(text_line(f"⋯ {len(value_lines) - MAX_MESSAGE_LINES} more lines", looks.dim))
    return rows
