"""What the store costs: journal, blobs, record log. Prints one JSON line and a table.

Alone: ``python bench/store_costs.py``. Times are wall time in the process that waits, best of `ROUNDS`.
"""

from __future__ import annotations

import asyncio
import json
import os
import shutil
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

from runt.store.blobs import BlobStore
from runt.store.journal import RoomJournal
from runt.store.journal_writer import JournalWriter
from runt.store.record_log import RecordLog

ROUNDS = 3
UPDATES = 2000
UPDATE = b"x" * 46
"""Bytes of an update for one typed character."""


def best(measure: Callable[[], float]) -> float:
    return min(measure() for _ in range(ROUNDS))


async def journal_costs(directory: Path) -> dict[str, float]:
    """µs per update: handing over; with the wait for the commit; with the wait for the fdatasync."""
    writer = JournalWriter()
    writer.start()
    begin = time.perf_counter()
    journal = await writer.open(directory / "room.db")
    opened = (time.perf_counter() - begin) * 1e3
    costs = {"journal open new (ms)": opened}
    for queued in (1, 100):
        costs[f"journal append+commit, {queued} queued (µs)"] = min(
            [await _commits(journal, queued) for _ in range(ROUNDS)]
        )
    begin = time.perf_counter()
    for _ in range(UPDATES):
        journal.append([("n", UPDATE)])
    costs["journal append alone (µs)"] = (time.perf_counter() - begin) / UPDATES * 1e6
    await journal.flush(durable=True)
    waits = []
    for _ in range(50):
        begin = time.perf_counter()
        journal.append([("n", UPDATE)])
        await journal.flush(durable=True)
        waits.append((time.perf_counter() - begin) * 1e3)
    costs["journal append to durable, p50 (ms)"] = sorted(waits)[25]
    await writer.close()
    return costs


async def _commits(journal: RoomJournal, queued: int) -> float:
    begin = time.perf_counter()
    for _ in range(UPDATES // queued):
        for _ in range(queued):
            journal.append([("n", UPDATE)])
        await journal.flush()
    return (time.perf_counter() - begin) / UPDATES * 1e6


def blob_costs(directory: Path) -> dict[str, float]:
    store = BlobStore(directory / "blobs")
    costs = {}
    for size, count in ((10_000, 200), (1_000_000, 20)):

        def put(size: int = size, count: int = count) -> float:
            pieces = [os.urandom(size) for _ in range(count)]
            begin = time.perf_counter()
            for piece in pieces:
                store.put(piece, "image/png")
            return (time.perf_counter() - begin) / count * 1e6

        costs[f"blob put {size // 1000} kB (µs)"] = best(put)
        begin = time.perf_counter()
        number = store.sync()
        costs[f"blob sync {size // 1000} kB (µs each)"] = (time.perf_counter() - begin) / number * 1e6
    return costs


def record_log_costs(directory: Path) -> dict[str, float]:
    costs = {}
    payload = b"x" * 700  # a stream message with its header
    with RecordLog(directory / "log") as log:
        for batch in (1, 20):

            def append(batch: int = batch) -> float:
                begin = time.perf_counter()
                for _ in range(UPDATES // batch):
                    log.append([payload] * batch)
                return (time.perf_counter() - begin) / UPDATES * 1e6

            costs[f"record log append, {batch} at once (µs each)"] = best(append)
        begin = time.perf_counter()
        at = 0
        while at < log.end:
            at = log.read(at, 1 << 20)[-1][0]
        costs["record log read (MB/s)"] = log.end / (time.perf_counter() - begin) / 1e6
    return costs


def main() -> None:
    directory = Path(tempfile.mkdtemp(prefix="rt", dir="/tmp"))
    try:
        costs = asyncio.run(journal_costs(directory)) | blob_costs(directory) | record_log_costs(directory)
    finally:
        shutil.rmtree(directory)
    print(json.dumps({"bench": "store_costs", **{name: round(value, 2) for name, value in costs.items()}}))
    for name, value in costs.items():
        print(f"{name:48} {value:10.2f}")


if __name__ == "__main__":
    main()
