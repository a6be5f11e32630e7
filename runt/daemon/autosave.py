"""When a room's file is due to be saved.

It saves nothing and holds no timer: the room tells it what happened and when, and asks for the due time.
The invariant: a change of the notebook is due at most MAX_DELAY_S after it was made, however long the
typing goes on; output alone is due soon after the end of its execution, or while it runs at most every
``max(10 s, 20 x the last save's duration)``.

All times are seconds of one monotonic clock.
"""

from __future__ import annotations

QUIET_S = 2.0  # after the last change: a pause in typing
MAX_DELAY_S = 10.0  # after the first unsaved change
ENDED_QUIET_S = 0.25  # after an execution: the next one of a "run all" often ends a moment later
ENDED_INTERVAL_S = 1.0  # a loop of short executions must not spend its time on fsync
RETRY_S = 10.0  # after a failed save: a full disk is not solved in a second
OUTPUT_INTERVAL_S = 10.0  # while an execution runs
OUTPUT_COST_FACTOR = 20  # a save that takes a second is made every 20 s while output arrives


class SaveSchedule:
    """The due time of the next save, or None when nothing is unsaved."""

    def __init__(self, *, quiet_s: float = QUIET_S, max_delay_s: float = MAX_DELAY_S) -> None:
        self._quiet_s = quiet_s
        self._max_delay_s = max_delay_s
        self._first_change: float | None = None
        self._last_change = 0.0
        self._output_due: float | None = None
        self._not_before = 0.0
        self._last_save = float("-inf")
        self._cost_s = 0.0

    @property
    def unsaved(self) -> bool:
        """Something happened since the last save began."""
        return self._first_change is not None or self._output_due is not None

    def changed(self, now: float) -> None:
        """The notebook was edited."""
        if self._first_change is None:
            self._first_change = now
        self._last_change = now

    def output(self, now: float) -> None:
        """A running execution changed its output."""
        interval = max(OUTPUT_INTERVAL_S, OUTPUT_COST_FACTOR * self._cost_s)
        if self._output_due is None:
            self._output_due = max(now, self._last_save) + interval

    def execution_ended(self, now: float) -> None:
        """An execution ended, so its outputs are complete."""
        interval = max(ENDED_INTERVAL_S, OUTPUT_COST_FACTOR * self._cost_s)
        self._output_due = max(now + ENDED_QUIET_S, self._last_save + interval)

    def due(self) -> float | None:
        """When to save next."""
        times = []
        if self._first_change is not None:
            times.append(min(self._last_change + self._quiet_s, self._first_change + self._max_delay_s))
        if self._output_due is not None:
            times.append(self._output_due)
        return max(min(times), self._not_before) if times else None

    def begun(self) -> None:
        """A save captured the documents: what changes from here on is unsaved again."""
        self._first_change = None
        self._output_due = None

    def succeeded(self, now: float, cost_s: float) -> None:
        """The save that began last is on disk; it took ``cost_s`` seconds."""
        self._last_save = now
        self._cost_s = cost_s
        self._not_before = 0.0

    def failed(self, now: float) -> None:
        """The save that began last failed: everything is unsaved still, and tried again in a while."""
        if self._first_change is None:
            self._first_change = now
            self._last_change = now
        self._not_before = now + RETRY_S
