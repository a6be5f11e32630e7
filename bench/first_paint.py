"""From the start of the process to the first cell on the screen, by size of the notebook, in a real pty.

The daemon runs already; `cold` rows open a notebook that no room holds yet, `warm` rows one that is open.
Run: uv run --group test python -m bench.first_paint [ROUNDS]
"""

from __future__ import annotations

import sys
import time

from bench.report import report, summary
from tests.harness.house import House
from tests.harness.notebooks import write_notebook
from tests.harness.terminal import Terminal

SIZES = (5, 1000, 5000)


def paint_ms(house: House, path: str) -> float:
    """Milliseconds from spawn until the first cell's source has arrived at the terminal."""
    start = time.perf_counter()
    with Terminal(house, path) as terminal:
        while b"first_cell" not in terminal.raw:
            assert terminal.pump(1.0), terminal.text()
        elapsed = (time.perf_counter() - start) * 1000
        terminal.wait_for("idle")
        terminal.press("ctrl+q")
        terminal.wait_exit()
    return elapsed


def main() -> None:
    rounds = int(sys.argv[1]) if len(sys.argv) > 1 else 5
    rows = {}
    for size in SIZES:
        cold, warm = [], []
        for _ in range(rounds):
            with House() as house:
                house.runt("daemon", "start", check=True)
                sources = [
                    "first_cell = 1",
                    *(f"def f{n}(x):\n    return x + {n}\n\nprint(f{n}(1))" for n in range(size - 1)),
                ]
                path = str(write_notebook(house.path("b.ipynb"), sources))
                paint_ms(house, str(write_notebook(house.path("warm-up.ipynb"), ["first_cell = 0"])))
                cold.append(paint_ms(house, path))
                warm.append(paint_ms(house, path))
        rows[f"{size} cells, cold room"] = summary(cold)
        rows[f"{size} cells, warm room"] = summary(warm)
    report("first paint (ms)", rows)


if __name__ == "__main__":
    main()
