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
from runt.peer.untitled import handle
from runt.store.places import Places
from runt.terminal.sanitise import display_text
from runt.terminal.widths import cell_width


def list_notebooks(*, as_json: bool) -> int:
    """Print one line per open notebook; returns the exit status."""
    try:
        entries = asyncio.run(_ask("list"))
    except DaemonUnavailable:
        entries = []
        if not as_json:
            note(f"no daemon runs, so no notebook is open{kernels_left()}")
    if as_json:
        say_json(entries)
    elif entries:
        rows = [
            (
                _glyph(entry),
                _name(entry),
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
        note(f"no daemon runs; the next `runt FILE` starts one{kernels_left()}")
        return EXIT_FAILED
    if as_json:
        say_json({"running": True, **status})
        return 0
    uptime = duration(time.time() - status["started_at"])
    say(f"daemon     pid {status['pid']}, version {status['version']}, up {uptime}")
    say(f"notebooks  {len(status['rooms'])} open")
    say(f"kernels    {len(status['kernels'])} running")
    for kernel in status["kernels"]:
        where = _path(kernel["path"]) if kernel.get("path") else "of an untitled notebook"
        say(f"           {kernel.get('name') or '?'}  pid {kernel.get('pid')}  {where}")
    return 0


def kernel_count() -> int:
    """How many kernels there are, with or without a daemon."""
    return sum(1 for _ in Places.from_environment().supervisors.glob("*/kernel.json"))


def kernels_left() -> str:
    """Words for kernels that wait for the next daemon; empty when there are none."""
    count = kernel_count()
    if not count:
        return ""
    kernels = "1 kernel goes" if count == 1 else f"{count} kernels go"
    return f"; {kernels} on and `runt daemon start` finds them"


async def _ask(method: str) -> Any:
    async with Client() as client:
        return await client.control(method, start=False)


def _glyph(entry: dict[str, Any]) -> str:
    return "◐" if entry["running"] else "○"


def _name(entry: dict[str, Any]) -> str:
    """What opens this notebook again: its path, or the handle of an untitled one."""
    return _path(entry["path"]) if entry["path"] else handle(entry["id"])


def _path(path: str) -> str:
    """A path as a person writes it."""
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
