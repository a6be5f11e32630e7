"""The schedule of saves, on a clock of numbers."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from runt.daemon.autosave import (
    ENDED_INTERVAL_S,
    ENDED_QUIET_S,
    MAX_DELAY_S,
    OUTPUT_INTERVAL_S,
    QUIET_S,
    RETRY_S,
    SaveSchedule,
)


def test_nothing_is_due_before_a_change() -> None:
    """A notebook that was only opened is never saved."""
    assert SaveSchedule().due() is None


def test_a_change_is_due_after_a_pause() -> None:
    """Two seconds after the last change."""
    schedule = SaveSchedule()
    schedule.changed(100.0)
    schedule.changed(101.0)
    assert schedule.due() == 101.0 + QUIET_S


def test_typing_without_a_pause_is_due_at_the_latest_after_ten_seconds() -> None:
    """The pause never comes; the save does."""
    schedule = SaveSchedule()
    for tenth in range(300):
        schedule.changed(100.0 + tenth / 10)
    assert schedule.due() == 100.0 + MAX_DELAY_S


def test_output_is_due_when_its_execution_ends() -> None:
    """Almost at once, not after the pause for typing."""
    schedule = SaveSchedule()
    schedule.output(100.0)
    schedule.execution_ended(101.0)
    assert schedule.due() == 101.0 + ENDED_QUIET_S


def test_a_loop_of_short_executions_is_saved_once_a_second() -> None:
    """An execution that ends right after a save waits for its turn."""
    schedule = SaveSchedule()
    schedule.execution_ended(100.0)
    schedule.begun()
    schedule.succeeded(100.5, cost_s=0.01)
    schedule.execution_ended(100.6)
    assert schedule.due() == 100.5 + ENDED_INTERVAL_S


def test_output_of_a_long_execution_is_saved_now_and_then() -> None:
    """At the latest ten seconds after it began, however much arrives."""
    schedule = SaveSchedule()
    schedule.output(100.0)
    schedule.output(105.0)
    assert schedule.due() == 100.0 + OUTPUT_INTERVAL_S


def test_an_expensive_save_is_repeated_less_often() -> None:
    """A save of two seconds is made every forty while output arrives."""
    schedule = SaveSchedule()
    schedule.output(0.0)
    schedule.begun()
    schedule.succeeded(10.0, cost_s=2.0)
    schedule.output(11.0)
    assert schedule.due() == 11.0 + 40.0


def test_a_change_during_a_save_is_due_again() -> None:
    """The save covers only what it captured."""
    schedule = SaveSchedule()
    schedule.changed(0.0)
    schedule.begun()
    schedule.changed(1.0)
    schedule.succeeded(1.5, cost_s=0.1)
    assert schedule.due() == 1.0 + QUIET_S


def test_a_failed_save_is_tried_again_later() -> None:
    """Not at once, and not never."""
    schedule = SaveSchedule()
    schedule.changed(0.0)
    schedule.begun()
    schedule.failed(2.0)
    assert schedule.unsaved
    assert schedule.due() == 2.0 + RETRY_S


@given(st.lists(st.floats(0, 1), min_size=1, max_size=200))
def test_no_change_waits_longer_than_the_longest_delay(gaps: list[float]) -> None:
    """Whatever the rhythm of typing, the due time is within the bound of the first change."""
    schedule = SaveSchedule()
    now = 0.0
    for gap in gaps:
        now += gap
        schedule.changed(now)
    due = schedule.due()
    assert due is not None
    assert due <= gaps[0] + MAX_DELAY_S
