"""A long line of runs: the work of changing it, counted in steps of the line and not in seconds."""

from __future__ import annotations

from typing import Any

import pytest

from runt.daemon import execution_queue
from runt.daemon.execution_queue import Run
from runt.daemon.refusals import RequestRefused
from runt.notebook import json_text
from tests.daemon.daemon_in_loop import DaemonInLoop

RUNS = 600


def runs(request: str, start: int, stop: int) -> list[Run]:
    return [Run(f"{request}{n}", f"c{n}", request, "s", "ann", request, 0.0) for n in range(start, stop)]


async def test_the_work_of_a_change_grows_with_the_line_and_not_with_its_square(
    here: DaemonInLoop, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Adding, replacing and cancelling hundreds of waiting runs reads each entry of the line in R a few times."""
    await here.join(here.notebook("a.ipynb", "1"))
    room = next(iter(here.daemon.rooms))
    decode, read = json_text.decode, 0

    def counted(text: Any) -> Any:
        nonlocal read
        read += 1
        return decode(text)

    monkeypatch.setattr(json_text, "decode", counted)
    line = room.kernel.runs
    line.put_in_line(runs("r", 0, RUNS))
    line.put_in_line(runs("s", 100, 400))
    line.cancel([f"r{n}" for n in range(450, RUNS)], "cancelled")
    assert read <= 4 * RUNS
    monkeypatch.undo()
    expected = [f"r{n}" for n in range(100)] + [f"s{n}" for n in range(100, 400)]
    expected += [f"r{n}" for n in range(400, 450)]
    assert [run.execution for run in line.waiting] == expected
    assert [entry.execution for entry in room.runtime.queue] == expected
    line.cancel(None, "cancelled")
    assert room.runtime.queue == []


async def test_a_request_that_does_not_fit_adds_nothing(
    here: DaemonInLoop, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Too many runs are refused as a whole; the line stays as it was, here and in R."""
    monkeypatch.setattr(execution_queue, "MAX_WAITING_RUNS", 3)
    await here.join(here.notebook("a.ipynb", "1"))
    room = next(iter(here.daemon.rooms))
    room.kernel.runs.put_in_line(runs("r", 0, 2))
    with pytest.raises(RequestRefused):
        room.kernel.runs.put_in_line(runs("s", 1, 5))
    assert [run.execution for run in room.kernel.runs.waiting] == ["r0", "r1"]
    assert [entry.execution for entry in room.runtime.queue] == ["r0", "r1"]
    room.kernel.runs.cancel(None, "cancelled")
