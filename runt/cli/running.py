"""``runt run``: all cells of a notebook, without a screen.

It is a peer like any other: the daemon runs the cells and saves the file. Invariant: the exit status is 0 only if every
code cell that was asked for ran, and (without ``--allow-errors``) none failed.
"""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from runt.cli.lines import LineBuffer, ProgressLine
from runt.cli.opening import existing_notebook, new_notebook_path
from runt.cli.reporting import EXIT_FAILED, note, say_json
from runt.cli.text import output_text, safe_text, wants_colour
from runt.notebook.cell import CellKey
from runt.peer.client import Client
from runt.peer.execution import Execution, Result
from runt.peer.notebook import Notebook
from runt.peer.output_stream import OutputShown, StreamText
from runt.store.atomic_file import ANY, read_file, write_file

LIVE_KERNEL = frozenset({"starting", "ready", "restarting"})


def run_headless(path: str, *, output: Path | None, as_json: bool, allow_errors: bool) -> int:
    """Run every code cell that has source, show its output, save; returns the exit status."""
    source = existing_notebook(path)
    target = source if output is None else _copy(source, output)
    return asyncio.run(_run(target, source.parent, as_json=as_json, allow_errors=allow_errors))


def _copy(source: Path, output: Path) -> Path:
    """Put the notebook's bytes at ``output`` (replacing a notebook there) and return its absolute path."""
    target = output.expanduser().absolute()
    if not target.exists():
        target = new_notebook_path(str(output))
    data, _ = read_file(source)
    write_file(target, data, expected_sha256=ANY if target.exists() else None)
    return target


async def _run(target: Path, cwd: Path, *, as_json: bool, allow_errors: bool) -> int:
    async with Client() as client:
        notebook = await client.open_notebook(str(target))
        ours = notebook.runtime.kernel.state not in LIVE_KERNEL
        if ours:
            await notebook.start_kernel(cwd=str(cwd))
        else:
            note("running in the kernel that the notebook has; its variables are kept")
        keys = [key for key in notebook.document if _runs(notebook, key)]
        try:
            results = await _execute(notebook, keys, quiet=as_json, allow_errors=allow_errors)
            await notebook.save()
        except asyncio.CancelledError:
            note("interrupted; what ran so far is in the notebook")
            raise
        finally:
            # A kernel that nobody looks at and that we started would stay for ever.
            if ours and not notebook.peers:
                await notebook.shutdown_kernel()
        status = "ok" if all(result.ok for result in results) else "error"
        if as_json:
            say_json(_described(notebook, status, results))
        _explain(notebook, results, len(keys))
        await notebook.close()
        complete = len(results) == len(keys) and (allow_errors or status == "ok")
        return 0 if complete else EXIT_FAILED


def _runs(notebook: Notebook, key: CellKey) -> bool:
    """Code cells with something in them, as in `jupyter execute`."""
    cell = notebook.document.cell(key)
    return cell.type == "code" and bool(cell.source.strip())


async def _execute(
    notebook: Notebook, keys: Sequence[CellKey], *, quiet: bool, allow_errors: bool
) -> list[Result]:
    """Run the cells in order and follow each to its end. An error cancels the rest, unless errors are allowed."""
    # Cells of one request are cancelled together; with --allow-errors each is a request of its own.
    requests = [[key] for key in keys] if allow_errors else [list(keys)] if keys else []
    executions: list[Execution] = []
    for request in requests:
        executions += await notebook.execute(request)
    results = []
    progress = ProgressLine(len(executions))
    for number, execution in enumerate(executions, 1):
        if not quiet:
            progress.cell = number
            progress.show("")
            await _show(execution, progress)
        results.append(await execution.result())
    return results


async def _show(execution: Execution, progress: ProgressLine) -> None:
    """Print what a run prints, line by line; what it shows, as text; errors and stderr to stderr."""
    colour = wants_colour()
    buffers: dict[int, tuple[Any, LineBuffer]] = {}
    async for event in execution.stream():
        if isinstance(event, StreamText):
            channel = sys.stderr if event.name == "stderr" else sys.stdout
            _, buffer = buffers.setdefault(event.index, (channel, LineBuffer()))
            ready = buffer.feed(event.text, event.erased)
            if ready:
                progress.clear()
                _write(channel, ready, colour=colour)
            progress.show(buffer.held)
        elif isinstance(event, OutputShown):
            progress.clear()
            _flush(buffers, colour=colour)
            channel = sys.stderr if event.output.output_type == "error" else sys.stdout
            channel.write(output_text(event.output.to_nbformat(), colour=colour) + "\n")
            channel.flush()
    progress.clear()
    _flush(buffers, colour=colour)


def _flush(buffers: dict[int, tuple[Any, LineBuffer]], *, colour: bool) -> None:
    """Print the lines that had no end; a run's next output starts on a line of its own."""
    for channel, buffer in buffers.values():
        rest = buffer.rest()
        _write(channel, rest + "\n" if rest else "", colour=colour)
    buffers.clear()


def _write(channel: Any, text: str, *, colour: bool) -> None:
    if text:
        channel.write(safe_text(text, colour=colour))
        channel.flush()


def _explain(notebook: Notebook, results: Sequence[Result], asked: int) -> None:
    """Say on stderr which cell failed and what did not run."""
    cancelled = sum(result.status == "cancelled" for result in results) + asked - len(results)
    for result in results:
        if result.status == "error":
            number = notebook.document.index(result.cell) + 1 if result.cell in notebook.document else "?"
            error = result.error
            what = f"{error.ename}: {error.evalue}" if error is not None else "failed"
            rest = f"; {cancelled} cells after it did not run" if cancelled else ""
            note(f"cell {number}: {what}{rest}")


def _described(notebook: Notebook, status: str, results: Sequence[Result]) -> dict[str, Any]:
    """The result of a run as JSON values."""
    order = {key: index for index, key in enumerate(notebook.document)}
    cells = [
        {
            "id": result.cell,
            "index": order.get(result.cell),
            "execution": result.id,
            "status": result.status,
            "execution_count": result.execution_count,
            "outputs": [output.to_nbformat() for output in result.outputs],
        }
        for result in results
    ]
    return {"path": notebook.path, "status": status, "cells": cells}
