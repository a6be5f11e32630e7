"""``runt daemon …`` and ``runt stop``: the daemon's life, and the kernel of one notebook.

It is not the daemon. Invariant: only ``start`` and ``restart`` start one.
"""

from __future__ import annotations

import asyncio
import sys
import time
from pathlib import Path
from typing import Any

from runt.cli.listing import kernel_count, kernels_left
from runt.cli.opening import existing_notebook, untitled_room
from runt.cli.reporting import EXIT_FAILED, note, say
from runt.errors import DaemonUnavailable
from runt.peer.client import Client
from runt.store.places import Places
from runt.terminal.sanitise import display_text

LOG_TAIL_LINES = 100
FOLLOW_POLL_S = 0.25
# A daemon saves what is unsaved and flushes journals before it goes.
STOP_PATIENCE_S = 30.0
STOP_POLL_S = 0.02


def start() -> int:
    """Start the daemon if none runs; returns when it answers."""
    status = asyncio.run(_status(start_daemon=True))
    say(f"daemon runs (pid {status['pid']})")
    return 0


def stop(*, kernels: bool) -> int:
    """Stop the daemon and wait until it is gone. Not running is fine."""
    count = kernel_count()
    try:
        # Kernels without a daemon can only be ended by one.
        asyncio.run(_stop(kernels=kernels, revive=kernels and count > 0))
    except DaemonUnavailable:
        say(f"no daemon runs{kernels_left()}")
        return 0
    if not count:
        say("daemon stopped")
    elif kernels:
        say(f"daemon stopped, {count} kernels ended" if count > 1 else "daemon stopped, 1 kernel ended")
    else:
        say(f"daemon stopped{kernels_left()}")
    return 0


def restart() -> int:
    """Stop the daemon if one runs and start it again."""
    stop(kernels=False)
    return start()


def ping() -> int:
    """Exit status 0 if a daemon answers."""
    try:
        began = time.perf_counter()
        status = asyncio.run(_status(start_daemon=False))
    except DaemonUnavailable:
        note("no daemon runs")
        return EXIT_FAILED
    say(f"daemon {status['pid']} answers ({(time.perf_counter() - began) * 1000:.1f} ms)")
    return 0


def logs(*, follow: bool) -> int:
    """Print the last lines of the log; with ``follow`` go on until interrupted."""
    log = Places.from_environment().log
    if not log.exists():
        note("no log yet: no daemon has run")
        return EXIT_FAILED
    with log.open(encoding="utf-8", errors="replace") as file:
        for line in file.readlines()[-LOG_TAIL_LINES:]:
            say(line.rstrip("\n"))
        while follow:
            _print_new(file.read(), log)
            time.sleep(FOLLOW_POLL_S)
    return 0


def _print_new(text: str, _log: Path) -> None:
    if text:
        sys.stdout.write(display_text(text, keep_newlines=True))
        sys.stdout.flush()


def stop_kernel(path: str) -> int:
    """End the kernel of a notebook that is open; its document and outputs stay."""
    room = untitled_room(path)
    which = {"id": room} if room is not None else {"path": str(existing_notebook(path))}
    try:
        asyncio.run(_stop_kernel(which))
    except DaemonUnavailable:
        note(f"no daemon runs{kernels_left()}")
        return EXIT_FAILED
    say(f"kernel of {Path(path).name} stopped")
    return 0


async def _status(*, start_daemon: bool) -> dict[str, Any]:
    async with Client() as client:
        return await client.status(start=start_daemon)


async def _stop(*, kernels: bool, revive: bool) -> None:
    async with Client() as client:
        status = await client.status(start=revive)
        await client.shutdown(kernels=kernels)
    await _gone(status["pid"])


async def _gone(pid: int) -> None:
    """Wait until the process has ended, so that the next command does not meet a daemon that is leaving."""
    deadline = asyncio.get_running_loop().time() + STOP_PATIENCE_S
    while _alive(pid):
        if asyncio.get_running_loop().time() > deadline:
            raise DaemonUnavailable(f"daemon {pid} does not stop", hint="`runt daemon logs` may say why")
        await asyncio.sleep(STOP_POLL_S)


def _alive(pid: int) -> bool:
    import os

    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    # A zombie answers to signals; on Linux its state tells.
    state = Path(f"/proc/{pid}/stat")
    try:
        return ") Z" not in state.read_text()
    except OSError:
        return not Path("/proc").is_dir() or state.exists()


async def _stop_kernel(which: dict[str, str]) -> None:
    async with Client() as client:
        await client.control("kernel.stop", which, start=False)
