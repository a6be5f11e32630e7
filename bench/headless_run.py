"""`runt run` beside `jupyter execute` on the same short notebook, in one run, alternating.

Run: uv run --group test python -m bench.headless_run [ROUNDS]
"""

from __future__ import annotations

import shutil
import subprocess
import sys
import time

from bench.report import report, summary
from tests.harness.house import House
from tests.harness.notebooks import write_notebook

SOURCES = ["x = 1", "print(x)", "x + 1"]


def main() -> None:
    rounds = int(sys.argv[1]) if len(sys.argv) > 1 else 7
    ours, theirs = [], []
    with House() as house:
        house.runt("daemon", "start", check=True)
        original = write_notebook(house.path("short.ipynb"), SOURCES)
        for number in range(rounds + 1):
            path = house.path(f"r{number}.ipynb")
            shutil.copy(original, path)
            start = time.perf_counter()
            house.runt("run", str(path), check=True)
            middle = time.perf_counter()
            shutil.copy(original, path.with_name(f"j{number}.ipynb"))
            subprocess.run(
                [sys.executable, "-c", "from nbclient.cli import main; main()", "--inplace", f"j{number}.ipynb"],
                env=house.environment, cwd=house.work, check=True, capture_output=True,
            )  # fmt: skip
            if number:  # the first round warms caches of both
                ours.append((middle - start) * 1000)
                theirs.append((time.perf_counter() - middle) * 1000)
    rows = {"runt run": summary(ours), "jupyter execute": summary(theirs)}
    rows["ratio"] = {"p50": round(rows["jupyter execute"]["p50"] / rows["runt run"]["p50"], 2)}
    report("headless run of a short notebook (ms)", rows)


if __name__ == "__main__":
    main()
