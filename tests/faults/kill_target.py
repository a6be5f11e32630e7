"""The process that `test_kill` kills: appends to a room for ever and prints each number that is committed.

Run as ``python -m tests.faults.kill_target <path> <seed>``.
"""

from __future__ import annotations

import asyncio
import os
import random
import sys
from pathlib import Path

from runt.store.journal import ExecutionRow, RoomJournal
from runt.store.journal_writer import JournalWriter


def update(seq: int) -> bytes:
    """What append number `seq` holds: its size varies, so that rows span pages."""
    return b"<%d>" % seq + b"." * (seq * 7919 % 3000 if seq % 50 == 0 else seq % 40)


def text(upto: int) -> bytes:
    return b"".join(update(seq) for seq in range(1, upto + 1))


def report(seq: int) -> None:
    os.write(1, b"%d\n" % seq)


async def run(path: Path, seed: int) -> None:
    chance = random.Random(seed)
    writer = JournalWriter()
    writer.start()
    journal: RoomJournal = await writer.open(path)
    journal.release()
    journal.on_committed = report
    while True:
        for _ in range(chance.choice([1, 1, 3, 40])):
            seq = journal.appended + 1
            row = ExecutionRow(id=f"e{seq % 20}", cell="c", source=str(seq))
            journal.append([("n", update(seq))], side={"last": b"%d" % seq}, executions=[row])
        if chance.random() < 0.05:
            journal.compact("n", text(journal.appended), journal.appended)
        if chance.random() < 0.02:
            await journal.flush(durable=True)
        elif chance.random() < 0.5:
            await journal.flush()
        elif chance.random() < 0.02:
            await journal.close()
            journal = await writer.open(path)
            journal.release()
            journal.on_committed = report
        else:
            await asyncio.sleep(0)
            if journal.backlog_bytes > 100_000:
                await journal.flush()


if __name__ == "__main__":
    asyncio.run(run(Path(sys.argv[1]), int(sys.argv[2])))
