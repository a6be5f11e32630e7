"""One typed character: bytes to the terminal, time until the first of them, and the CPU of the terminal process.

Run: uv run --group test python -m bench.key_echo [KEYS]
"""

from __future__ import annotations

import sys
import time

import psutil

from bench.report import report, summary
from tests.harness.house import House
from tests.harness.notebooks import write_notebook
from tests.harness.terminal import Terminal


def main() -> None:
    keys = int(sys.argv[1]) if len(sys.argv) > 1 else 40
    rows = {}
    for size in (10, 1000, 5000):
        with House() as house:
            sources = ["value = 1", *(f"print({number})" for number in range(size - 1))]
            path = str(write_notebook(house.path("b.ipynb"), sources))
            with Terminal(house, path) as terminal:
                terminal.wait_for("value = 1")
                terminal.wait_for("idle")
                terminal.press("enter", "end", "a")
                terminal.settle(1.0)
                process = psutil.Process(terminal.process.pid)
                echoes, sizes = [], []
                busy = sum(process.cpu_times()[:2])
                for _ in range(keys):
                    before = len(terminal.raw)
                    start = time.perf_counter()
                    terminal.press("b")
                    while len(terminal.raw) == before:
                        terminal.pump(1.0)
                    echoes.append((time.perf_counter() - start) * 1000)
                    terminal.settle(0.1)
                    sizes.append(float(len(terminal.raw) - before))
                cpu = (sum(process.cpu_times()[:2]) - busy) * 1000 / keys
                rows[f"{size} cells: echo (ms)"] = summary(echoes)
                rows[f"{size} cells: bytes"] = summary(sizes)
                rows[f"{size} cells: CPU per key (ms)"] = {"p50": round(cpu, 2), "n": keys}
                terminal.press("ctrl+q")
                terminal.wait_exit()
    report("key to echo", rows)


if __name__ == "__main__":
    main()
