"""``runt cat``: a notebook as text or JSON.

It changes nothing and starts nothing. Invariant: it works without a daemon; with one that has the notebook open, it
shows the live document instead of the file.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from runt.cli.opening import existing_notebook
from runt.cli.reporting import say, say_json
from runt.cli.text import output_text, wants_colour
from runt.errors import NotebookFileError, RuntError
from runt.notebook.ipynb import read_ipynb
from runt.store.atomic_file import read_file
from runt.terminal.sanitise import display_text

RULE = "──"
BAR = "   │ "


@dataclass(frozen=True, slots=True)
class PrintedCell:
    """What is printed of a cell. ``outputs`` are nbformat outputs."""

    type: str
    source: str
    count: int | None
    outputs: list[dict[str, Any]]


def print_notebook(path: str, *, as_json: bool) -> int:
    """Print the notebook; returns the exit status."""
    target = existing_notebook(path)
    cells = asyncio.run(_live_cells(target, str(target.resolve())))
    if cells is None:
        cells = _file_cells(target)
    if as_json:
        described = [
            {"type": cell.type, "source": cell.source, "execution_count": cell.count, "outputs": cell.outputs}
            for cell in cells
        ]
        say_json({"path": str(target), "cells": described})
    else:
        _print(cells)
    return 0


def _file_cells(target: Path) -> list[PrintedCell]:
    try:
        data, _ = read_file(target)
    except PermissionError as error:
        raise NotebookFileError(str(target), "permission denied") from error
    file = read_ipynb(data, str(target))
    return [
        PrintedCell(cell.type, cell.source, cell.execution_count, list(cell.outputs or ()))
        for cell in file.cells
    ]


async def _live_cells(target: Path, canonical: str) -> list[PrintedCell] | None:
    """The cells of the room that has this file open, or None when no daemon does."""
    from runt.peer.client import Client

    try:
        async with Client() as client:
            open_paths = {entry["path"] for entry in await client.control("list", start=False)}
            if canonical not in open_paths:
                return None
            notebook = await client.open_notebook(str(target), role="view")
            cells = [
                PrintedCell(
                    cell.type,
                    cell.source,
                    cell.execution_count,
                    [output.to_nbformat() for output in cell.outputs],
                )
                for cell in notebook.cells
            ]
            await notebook.close()
            return cells
    except RuntError:
        # No daemon, or one in trouble: that must not keep anybody from reading the file.
        return None


def _print(cells: Iterable[PrintedCell]) -> None:
    colour = wants_colour()
    for number, cell in enumerate(cells, 1):
        count = f"  [{cell.count}]" if cell.count is not None else ""
        say(f"{RULE} {number}  {cell.type}{count}")
        say(display_text(cell.source, keep_newlines=True))
        for output in cell.outputs:
            for line in output_text(output, colour=colour).split("\n"):
                # Colours in it are ours (runt.cli.text); the text is display-safe already.
                print_line(BAR + line)
        say()


def print_line(line: str) -> None:
    """Write a line that is display-safe already."""
    import sys

    sys.stdout.write(line + "\n")
