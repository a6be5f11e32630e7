"""Latency of a typed character, of its acknowledgement, and of opening a notebook, over a real daemon.

Run alone: ``python -m bench.peer_latency [--cells N] [--peers N] [--keys N]``. One process types, one reads,
the rest idle; time is from before the edit to the reader's observer (one clock, CLOCK_MONOTONIC). Prints a
table and one JSON line. Not a test: absolute times depend on the machine.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

from bench.report import report, summary
from runt.peer.client import Client
from runt.store.places import Places


def write_notebook(path: Path, cells: int) -> None:
    content = [
        {
            "cell_type": "code",
            "id": f"c{number}",
            "metadata": {},
            "execution_count": None,
            "outputs": [],
            "source": f"x{number} = {number}\nprint(x{number})\n" * 4,
        }
        for number in range(cells)
    ]
    path.write_text(json.dumps({"cells": content, "metadata": {}, "nbformat": 4, "nbformat_minor": 5}))


async def read(root: Path, keys: int, idle: bool) -> None:
    """A peer in its own process: notes when each edit arrives."""
    async with Client("reader", Places.under(root)) as client:
        notebook = await client.open_notebook(root / "a.ipynb")
        stamps: list[float] = []
        done = asyncio.Event()

        def changed(change: Any) -> None:
            if change.sources:
                stamps.append(time.monotonic())
                if len(stamps) >= keys:
                    done.set()

        notebook.document.observe(changed)
        print("ready", flush=True)
        await (asyncio.Event() if idle else done).wait()
        print(json.dumps(stamps), flush=True)


async def measure(root: Path, cells: int, peers: int, keys: int) -> dict[str, dict[str, float]]:
    write_notebook(root / "a.ipynb", cells)
    arguments = ["--root", str(root), "--keys", str(keys)]
    others: list[subprocess.Popen[str]] = []
    async with Client("writer", Places.under(root)) as client:
        begun = time.monotonic()
        notebook = await client.open_notebook(root / "a.ipynb")
        result = {"first open, daemon start included": summary([1e3 * (time.monotonic() - begun)])}
        try:
            for number in range(peers - 1):
                role = "reader" if number == 0 else "idle"
                process = subprocess.Popen(  # noqa: ASYNC220 - before anything is measured
                    [sys.executable, "-m", "bench.peer_latency", "--role", role, *arguments],
                    stdout=subprocess.PIPE,
                    text=True,
                )
                others.append(process)
                assert process.stdout is not None
                await asyncio.to_thread(process.stdout.readline)
            cell = notebook.document.cell(notebook.cells.ids[cells // 2])
            sent, local = [], []
            for number in range(keys):
                before = time.monotonic()
                cell.splice(number % 40, number % 40, "x", "bench")
                local.append(1e3 * (time.monotonic() - before))
                sent.append(before)
                await asyncio.sleep(0.01)
            if others:
                assert others[0].stdout is not None
                stamps = json.loads(await asyncio.to_thread(others[0].stdout.readline))
                result["a key, to the other client"] = summary(
                    [1e3 * (arrived - at) for arrived, at in zip(stamps, sent, strict=True)]
                )
            result["a key, here"] = summary(local)
            acknowledged = []
            for _ in range(keys // 2):
                before = time.monotonic()
                cell.splice(0, 0, "x", "bench")
                await notebook.synced()
                acknowledged.append(1e3 * (time.monotonic() - before))
            result["a key, journaled (synced)"] = summary(acknowledged)
            opened = []
            for _ in range(20):
                before = time.monotonic()
                other = await client.open_notebook(root / "a.ipynb")
                opened.append(1e3 * (time.monotonic() - before))
                await other.close()
            result["open, daemon running"] = summary(opened)
        finally:
            for process in others:
                process.kill()
                process.wait()
        await client.shutdown(kernels=True)
    return result


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--cells", type=int, default=10)
    parser.add_argument("--peers", type=int, default=2)
    parser.add_argument("--keys", type=int, default=300)
    parser.add_argument("--role", choices=["writer", "reader", "idle"], default="writer")
    parser.add_argument("--root", type=Path)
    given = parser.parse_args()
    if given.role != "writer":
        asyncio.run(read(given.root, given.keys, given.role == "idle"))
        return
    with tempfile.TemporaryDirectory(prefix="rt", dir="/tmp", ignore_cleanup_errors=True) as root:
        result = asyncio.run(measure(Path(root), given.cells, given.peers, given.keys))
    report(f"peer latency, {given.cells} cells, {given.peers} peers, ms", result)


if __name__ == "__main__":
    main()
