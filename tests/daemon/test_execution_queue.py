"""The execution queue against its rules (design, section 7)."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from runt.daemon import execution_queue
from runt.daemon.execution_queue import ExecutionQueue, QueueFull, Run


def run(execution: str, cell: str = "a", hash_: str = "h", request: str = "r") -> Run:
    return Run(execution, cell, hash_, "1 + 1", "ann", request, 0.0)


def test_runs_start_in_the_order_of_their_submission() -> None:
    """First in, first out, one at a time."""
    queue = ExecutionQueue()
    for name in "123":
        queue.submit(run(name, cell=name))
    assert queue.start() == run("1", cell="1")
    assert queue.start() is None
    queue.finish("1", failed=False)
    assert queue.start() == run("2", cell="2")


def test_a_waiting_run_of_the_same_source_is_that_execution() -> None:
    """A second wish for the same cell and text answers with the waiting execution."""
    queue = ExecutionQueue()
    queue.submit(run("1"))
    assert queue.submit(run("2")).execution == "1"
    assert len(queue) == 1


def test_a_waiting_run_of_another_source_is_replaced_in_its_place() -> None:
    """New text of a waiting cell takes the old one's place in line."""
    queue = ExecutionQueue()
    queue.submit(run("1", cell="a"))
    queue.submit(run("2", cell="b"))
    answer = queue.submit(run("3", cell="a", hash_="other"))
    assert answer.replaced == run("1", cell="a")
    assert [waiting.execution for waiting in queue.waiting] == ["3", "2"]


def test_a_running_cell_is_queued_again() -> None:
    """A running cell does not swallow a new run of itself."""
    queue = ExecutionQueue()
    queue.submit(run("1"))
    queue.start()
    assert queue.submit(run("2")).added
    assert [waiting.execution for waiting in queue.waiting] == ["2"]


def test_a_repeated_execution_id_is_not_added_twice() -> None:
    """The same id again, waiting or running, changes nothing."""
    queue = ExecutionQueue()
    queue.submit(run("1"))
    assert not queue.submit(run("1", cell="b")).added
    queue.start()
    assert not queue.submit(run("1")).added
    assert len(queue) == 1


def test_an_error_cancels_the_rest_of_the_same_request_only() -> None:
    """Other requests go on after a failure."""
    queue = ExecutionQueue()
    for name, request in (("1", "r"), ("2", "s"), ("3", "r")):
        queue.submit(run(name, cell=name, request=request))
    queue.start()
    assert [gone.execution for gone in queue.finish("1", failed=True)] == ["3"]
    assert [waiting.execution for waiting in queue.waiting] == ["2"]


def test_an_error_cancels_nothing_when_the_setting_says_so() -> None:
    """stop_on_error off: the request goes on."""
    queue = ExecutionQueue()
    queue.submit(run("1", cell="a"))
    queue.submit(run("2", cell="b"))
    queue.start()
    assert queue.finish("1", failed=True, stop_on_error=False) == []
    assert len(queue) == 1


def test_cancel_leaves_the_running_one() -> None:
    """Cancelling everything takes the waiting runs only."""
    queue = ExecutionQueue()
    for name in "123":
        queue.submit(run(name, cell=name))
    queue.start()
    assert [gone.execution for gone in queue.cancel(["3", "1"])] == ["3"]
    assert [gone.execution for gone in queue.cancel()] == ["2"]
    assert queue.running is not None


def test_the_end_of_an_unknown_execution_changes_nothing() -> None:
    """A late end of an older execution does not free the line."""
    queue = ExecutionQueue()
    queue.submit(run("1"))
    queue.start()
    assert queue.finish("0", failed=True) == []
    assert queue.running is not None


def test_a_full_queue_refuses(monkeypatch: pytest.MonkeyPatch) -> None:
    """The line is bounded; what does not fit is refused and leaves it unchanged."""
    monkeypatch.setattr(execution_queue, "MAX_WAITING_RUNS", 2)
    queue = ExecutionQueue()
    queue.submit(run("1", cell="a"))
    queue.submit(run("2", cell="b"))
    with pytest.raises(QueueFull):
        queue.submit(run("3", cell="c"))
    assert len(queue) == 2


def test_the_text_of_a_run_is_not_in_its_repr() -> None:
    """Logs print runs; they must not print source."""
    assert "1 + 1" not in repr(run("1"))


steps = st.lists(
    st.one_of(
        st.tuples(st.just("submit"), st.integers(0, 30), st.sampled_from("abc"), st.sampled_from("xy")),
        st.tuples(st.just("start")),
        st.tuples(st.just("finish"), st.booleans()),
        st.tuples(st.just("cancel")),
    )
)


@given(steps)
def test_a_cell_waits_at_most_once_whatever_happens(script: list[tuple[object, ...]]) -> None:
    """No cell and no execution id is ever in line twice."""
    queue = ExecutionQueue()
    for step in script:
        match step:
            case ("submit", int(number), str(cell), str(hash_)):
                queue.submit(run(str(number), cell, hash_, request=str(number % 3)))
            case ("start",):
                queue.start()
            case ("finish", bool(failed)) if queue.running:
                queue.finish(queue.running.execution, failed=failed)
            case ("cancel",):
                queue.cancel()
        cells = [waiting.cell for waiting in queue.waiting]
        ids = [waiting.execution for waiting in queue.waiting]
        if queue.running is not None:
            ids.append(queue.running.execution)
        assert len(set(cells)) == len(cells)
        assert len(set(ids)) == len(ids)


def test_room_is_looked_for_before_anything_is_added(monkeypatch: pytest.MonkeyPatch) -> None:
    """Runs that replace waiting ones need no room; one more than fits and all are refused."""
    monkeypatch.setattr(execution_queue, "MAX_WAITING_RUNS", 2)
    queue = ExecutionQueue()
    queue.submit(run("1", cell="a"))
    queue.check_room([run("2", cell="a", hash_="other"), run("3", cell="b")])
    with pytest.raises(QueueFull):
        queue.check_room([run("2", cell="b"), run("3", cell="c")])
