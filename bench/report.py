"""How benchmarks print: a table for people, then one JSON line for programs. It measures nothing."""

from __future__ import annotations

import json
import statistics
from collections.abc import Mapping, Sequence


def summary(samples: Sequence[float]) -> dict[str, float]:
    """Minimum, median and 99th percentile (of few samples: the largest), in the unit of the samples."""
    ordered = sorted(samples)
    return {
        "min": round(ordered[0], 3),
        "p50": round(statistics.median(ordered), 3),
        "p99": round(ordered[min(len(ordered) - 1, int(len(ordered) * 0.99))], 3),
        "n": len(ordered),
    }


def report(name: str, rows: Mapping[str, Mapping[str, float]]) -> None:
    """Print the rows as a table, and all of it as one JSON line at the end."""
    columns = sorted(
        {column for row in rows.values() for column in row}, key=("min", "p50", "p99", "n").__contains__
    )
    width = max(len(label) for label in rows)
    print(name)
    print(" " * width + "".join(f"{column:>12}" for column in columns))
    for label, row in rows.items():
        print(f"{label:{width}}" + "".join(f"{row.get(column, ''):>12}" for column in columns))
    print(json.dumps({"bench": name, "rows": rows}))
