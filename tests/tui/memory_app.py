"""The app over an in-memory notebook, to be run in a terminal of its own: ``python -m tests.tui.memory_app
CELLS [--stock]``.

``--stock`` paints as Textual does, without the frame diff. It is for tests of what reaches the terminal.
"""

from __future__ import annotations

import os
import sys

from runt.tui.run import TEXTUAL_ENVIRONMENT

os.environ.update(TEXTUAL_ENVIRONMENT)

from runt.tui.app import NotebookApp
from runt.tui.session import NotebookSession
from tests.tui.memory_session import MemorySession, memory_session

SOURCE = """import numpy as np

def compute_{0}(values: list[float], scale: float = 1.0) -> float:
    \"\"\"Return the scaled mean of values.\"\"\"
    total = sum(v * scale for v in values)
    return total / max(len(values), 1)

print(f"cell {0}: {{compute_{0}([1, 2, {0}]):.3f}}")"""


def notebook(cells: int) -> MemorySession:
    """A session with that many cells of eight lines, the even ones with output."""
    session = memory_session([SOURCE.format(number) for number in range(cells)])
    session.kernel(state="ready", activity="idle", name="python3", language="python")
    for number, key in enumerate(session.document.keys()[:60:2]):
        session.run(key, "".join(f"line {line} of output {number}\n" for line in range(4)))
    return session


async def opened(session: MemorySession) -> NotebookSession:
    """The session, at once."""
    return session


def main() -> None:
    """Run until left."""
    app = NotebookApp(opened(notebook(int(sys.argv[1]))), file_name="memory.ipynb")
    app.frame_diff_enabled = "--stock" not in sys.argv
    app.run()


if __name__ == "__main__":
    main()
