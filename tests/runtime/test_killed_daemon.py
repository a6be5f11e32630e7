"""kill -9 of the daemon during a flood of output."""

from __future__ import annotations

import asyncio
import json
import sys
from pathlib import Path

import pytest

from tests.runtime.kernel_house import PATIENCE_S, KernelHouse

REPOSITORY = Path(__file__).parents[2]


@pytest.mark.parametrize(("lines", "kills"), [(3000, 4), pytest.param(30_000, 20, marks=pytest.mark.long)])
async def test_every_line_once_and_in_order(kernels: KernelHouse, lines: int, kills: int) -> None:
    """However often the daemon is killed, the successor gets what is missing: each line once, in order."""
    first = await kernels.start()
    await first.run("warm", "pass")
    first.kernel.close()
    state = kernels.root / "state"
    # The code runs in steps, so that each kill falls into the flood whatever the machine's speed is.
    code = (
        f"import time\nfor i in range({lines}):\n  print(i, flush=True)\n"
        f"  if i % {lines // (kills + 1)} == 0: time.sleep(.1)"
    )
    arguments = [str(kernels.sockets), str(kernels.kernels / "a"), str(state)]
    for kill in range(kills):
        daemon = await _daemon(*arguments, code if kill == 0 else "")
        before = _count(state)
        async with asyncio.timeout(PATIENCE_S):
            # A file of another process: there is nothing to wait for but its content.
            while daemon.returncode is None and _count(state) <= before:  # noqa: ASYNC110
                await asyncio.sleep(0.005)
        if daemon.returncode is None:
            daemon.kill()
        await daemon.wait()
    last = await _daemon(*arguments, "")
    async with asyncio.timeout(PATIENCE_S):
        output, _ = await last.communicate()
    assert output == b"done\n"
    text = "".join(json.loads(state.read_text())["texts"])
    assert text == "".join(f"{i}\n" for i in range(lines))


async def _daemon(*arguments: str) -> asyncio.subprocess.Process:
    script = Path(__file__).with_name("flood_daemon.py")
    return await asyncio.create_subprocess_exec(
        sys.executable, str(script), *arguments, stdout=asyncio.subprocess.PIPE, cwd=REPOSITORY
    )


def _count(state: Path) -> int:
    return len(json.loads(state.read_text())["texts"]) if state.exists() else 0
