"""The app's tasks in one place: each is started here, reports its failure in words, and is cancelled and
awaited at the end.

The invariant: after ``close`` none of them runs.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine
from typing import Any

from runt.errors import RuntError


class Errands:
    """The owner of background tasks. ``report`` gets what a person should read about one that was refused."""

    def __init__(self, report: Callable[[RuntError], None]) -> None:
        self._report = report
        self._tasks: set[asyncio.Task[None]] = set()
        self._closed = False

    def start(self, errand: Coroutine[Any, Any, Any], name: str) -> None:
        """Run a coroutine in the background; at most as many run as a person can ask for."""
        if self._closed:
            errand.close()
            return
        task = asyncio.get_running_loop().create_task(self._run(errand), name=name)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _run(self, errand: Coroutine[Any, Any, Any]) -> None:
        try:
            await errand
        except RuntError as error:
            self._report(error)

    async def idle(self) -> None:
        """Return when nothing runs any more (tests)."""
        while self._tasks:
            await asyncio.gather(*self._tasks, return_exceptions=True)

    async def close(self) -> None:
        """Cancel what runs and wait for its end."""
        self._closed = True
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
