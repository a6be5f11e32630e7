"""Labels and notes of cells as text."""

from __future__ import annotations

import pytest

from runt.tui.view.gutter import CellState, Run, cell_state, duration, elapsed, ordinal


@pytest.mark.parametrize(
    ("seconds", "words"),
    [
        (0.0001, "1 ms"),
        (0.038, "38 ms"),
        (0.9994, "999 ms"),
        (1, "1.0 s"),
        (9.94, "9.9 s"),
        (12.3, "12 s"),
        (59.7, "1 min"),
        (185, "3 min 5 s"),
        (7800, "2 h 10 min"),
        (7200, "2 h"),
        (200000, "2 d 7 h"),
    ],
)
def test_durations(seconds: float, words: str) -> None:
    """The two largest units that matter."""
    assert duration(seconds) == words


@pytest.mark.parametrize(("seconds", "words"), [(0.4, ""), (1.9, "1 s"), (12.9, "12 s"), (61, "1 min 1 s")])
def test_elapsed_time_moves_in_whole_seconds(seconds: float, words: str) -> None:
    """What grows is shown in whole seconds, and not in the first one."""
    assert elapsed(seconds) == words


@pytest.mark.parametrize(
    ("number", "words"), [(1, "1st"), (2, "2nd"), (3, "3rd"), (4, "4th"), (11, "11th"), (21, "21st")]
)
def test_ordinals(number: int, words: str) -> None:
    """English ordinals."""
    assert ordinal(number) == words


def run(status: str, **fields: object) -> Run:
    """A run with a count of 7."""
    return Run(**{"status": status, "count": 7, "started": 10.0, "ended": 10.5, **fields})  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("facts", "place", "expected"),
    [
        (None, None, CellState("·")),
        (run("ok"), None, CellState("7", "count", "500 ms")),
        (run("ok", stale=True, by="ann"), None, CellState("7*", "count", "500 ms · ann")),
        (run("ok", by="me"), None, CellState("7", "count", "500 ms")),
        (run("error"), None, CellState("✗7", "error", "500 ms")),
        (run("ok"), 3, CellState("…3", "waiting", "queued, 3rd", dimmed=True)),
        (run("running", ended=None, by="ann"), None, CellState("◐", "running", "12 s · ann", since=10.0)),
        (run("running", ended=None), 1, CellState("◐", "running", "12 s", since=10.0)),
        (run("cancelled"), None, CellState("·", "quiet", "cancelled")),
        (run("loaded", started=None, ended=None), None, CellState("7", "count", "")),
    ],
)
def test_states(facts: Run | None, place: int | None, expected: CellState) -> None:
    """Every state has its own glyph, so that colour is never the only carrier."""
    assert cell_state("code", facts, place, 22.0, "me") == expected


def test_text_cells_have_no_state() -> None:
    """Markdown has no label, raw says what it is."""
    assert cell_state("markdown", None, None, 0.0) == CellState()
    assert cell_state("raw", None, None, 0.0).label == "raw"
