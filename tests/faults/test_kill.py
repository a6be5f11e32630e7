"""kill -9 of a process that writes a journal, at random moments: what was reported is there."""

from __future__ import annotations

import random
import subprocess
import sys
from pathlib import Path

import pytest

from runt.store.journal_database import open_room
from tests.faults.kill_target import text

ROUNDS_PER_ROOM = 15
"""A room only grows, and each round reads it whole."""


@pytest.mark.parametrize("rounds", [30, pytest.param(500, marks=pytest.mark.long)])
def test_committed_appends_survive(tmp_path: Path, rounds: int) -> None:
    """After each kill the room holds a gapless prefix of what was appended, all that was reported in it."""
    seed = random.randrange(1 << 30)
    print("seed", seed)
    chance = random.Random(seed)
    reported = 0
    for number in range(rounds):
        if number % ROUNDS_PER_ROOM == 0:
            path, reported = tmp_path / str(number) / "room.db", 0
            path.parent.mkdir()
        reported = max(reported, run_and_kill(path, seed + number, chance))
        database, rows = open_room(path)
        contents = rows.contents()
        last = rows.last_seq()
        row = database.execution(f"e{last % 20}") if last else None
        database.close(clean=chance.random() < 0.5)
        assert last >= reported
        found = contents.snapshots.get("n", b"") + b"".join(data for _, data in contents.updates)
        assert found == text(last)
        assert contents.side.get("last", b"0") == b"%d" % last
        assert row is None or row.source == str(last)
        assert {file.name for file in path.parent.iterdir()} <= {"room.db", "room.db-wal"}


def run_and_kill(path: Path, seed: int, chance: random.Random) -> int:
    """The last number that the target reported before it was killed."""
    target = subprocess.Popen(
        [sys.executable, "-m", "tests.faults.kill_target", str(path), str(seed)], stdout=subprocess.PIPE
    )
    assert target.stdout is not None
    try:
        # The moment is chosen by what was reported, not by a clock: early, late, or in the start itself.
        for _ in range(chance.choice([0, 1, 10, 100, chance.randrange(300)])):
            assert target.stdout.readline(), "the target ended by itself"
        target.kill()
        lines = target.stdout.read().split(b"\n")
    finally:
        target.kill()
        target.wait()
        target.stdout.close()
    whole = [int(line) for line in lines[:-1] if line]
    return whole[-1] if whole else 0
