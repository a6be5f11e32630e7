"""The daemon is killed at random while two clients edit: nothing acknowledged is lost, nothing is doubled."""

from __future__ import annotations

import os
import random

import pytest

from tests.faults.crash_loop import CrashLoop
from tests.harness.house import House

SEED_VARIABLE = "RUNT_CRASH_SEED"
SHORT_KILLS = 10
LONG_KILLS = 250


async def crash(house: House, kills: int) -> None:
    seed = int(os.environ.get(SEED_VARIABLE) or random.randrange(1 << 32))
    loop = CrashLoop(house, seed)
    print(f"{SEED_VARIABLE}={seed}")
    try:
        await loop.run(kills)
    finally:
        print(f"{loop.kills} kills, {loop.runs} runs, {loop.checked} checks of acknowledged edits")


async def test_kills_at_random_lose_nothing(house: House) -> None:
    """After each kill the journal has what was acknowledged; clients converge; runs happened once."""
    await crash(house, SHORT_KILLS)


@pytest.mark.long
async def test_many_kills_at_random_lose_nothing(house: House) -> None:
    """The same, for long enough that kills fall into saves, starts, compactions and floods of output."""
    await crash(house, LONG_KILLS)
