"""``runt ls`` and ``runt status``: what the daemon holds.

They only ask. Invariant: neither starts a daemon; without one, ``ls`` lists nothing and ``status`` says so (status 1).
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

from runt.cli.reporting import EXIT_FAILED, note, say, say_json
from runt.errors import DaemonUnavailable
from runt.peer.client import Client
from runt.terminal.sanitise import display_text
from runt.terminal.widths import cell_width


def list_notebooks(*, as_json: bool) -> int:
    """Print one line per open notebook; returns the exit status."""
    try:
        entries = asyncio.run(_ask("list"))
    except DaemonUnavailable:
        entries = []
        if not as_json:
            note("no daemon runs, so no notebook is open")
    if as_json:
        say_json(entries)
    elif entries:
        rows = [
            (
                _glyph(entry),
                _path(entry["path"]),
                _kernel(entry),
                _people(entry),
                "unsaved" if entry["unsaved"] else "",
            )
            for entry in entries
        ]
        print_table(("", "NOTEBOOK", "KERNEL", "PEOPLE", ""), rows)
    return 0


def show_status(*, as_json: bool) -> int:
    """Print what runs; exit status 1 when no daemon does."""
    try:
        status = asyncio.run(_ask("status"))
    except DaemonUnavailable:
        if as_json:
            say_json({"running": False})
        note("no daemon runs; the next `runt FILE` starts one")
        return EXIT_FAILED
    if as_json:
        say_json({"running": True, **status})
        return 0
    uptime = duration(time.time() - status["started_at"])
    say(f"daemon     pid {status['pid']}, version {status['version']}, up {uptime}")
    say(f"notebooks  {len(status['rooms'])} open")
    say(f"kernels    {len(status['kernels'])} running")
    for kernel in status["kernels"]:
        say(f"           {kernel.get('name') or '?'}  pid {kernel.get('pid')}  {_path(kernel.get('path'))}")
    return 0


async def _ask(method: str) -> Any:
    async with Client() as client:
        return await client.control(method, start=False)


def _glyph(entry: dict[str, Any]) -> str:
    return "◐" if entry["running"] else "○"


def _path(path: str | None) -> str:
    """A path as a person writes it; untitled notebooks have none."""
    if not path:
        return "untitled"
    try:
        return "~/" + str(Path(path).relative_to(Path.home()))
    except ValueError:
        return path


def _kernel(entry: dict[str, Any]) -> str:
    kernel = entry["kernel"]
    state = kernel["activity"] if kernel["state"] == "ready" else kernel["state"]
    queued = f", {entry['queued']} queued" if entry["queued"] else ""
    return f"{kernel['name'] or '–'} {state}{queued}".strip() if kernel["state"] != "none" else "–"


def _people(entry: dict[str, Any]) -> str:
    return ", ".join(peer["name"] for peer in entry["peers"])


def duration(seconds: float) -> str:
    """Seconds as the two largest units: ``3 h 10 min``, ``12 s``."""
    whole = max(0, int(seconds))
    units = (("d", 86400), ("h", 3600), ("min", 60), ("s", 1))
    parts: list[str] = []
    for name, size in units:
        count, whole = divmod(whole, size)
        if count or (name == "s" and not parts):
            parts.append(f"{count} {name}")
    return " ".join(parts[:2])


def print_table(head: Sequence[str], rows: Iterable[Sequence[str]]) -> None:
    """Print aligned columns, two blanks between; cells are sanitised before they are measured."""
    table = [[display_text(cell) for cell in row] for row in (head, *rows)]
    widths = [max(cell_width(row[column]) for row in table) for column in range(len(head))]
    for row in table:
        padded = (cell + " " * (width - cell_width(cell)) for cell, width in zip(row, widths, strict=True))
        say("  ".join(padded).rstrip())
