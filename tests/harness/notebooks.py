"""Notebooks for tests, made with nbformat so that they are what Jupyter itself would write.

They are inputs, not expectations. Invariant: running one gives the same outputs every time.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import nbformat
from nbformat.v4 import new_code_cell, new_markdown_cell, new_notebook

PYTHON = {"kernelspec": {"display_name": "Python 3 (ipykernel)", "language": "python", "name": "python3"}}


def write_notebook(path: Path, sources: Sequence[str], *, minor: int = 5) -> Path:
    """Write a notebook of code cells; a source that starts with ``#md `` becomes a Markdown cell."""
    cells = []
    for number, source in enumerate(sources):
        cell = new_markdown_cell(source[4:]) if source.startswith("#md ") else new_code_cell(source)
        cell["id"] = f"cell-{number}"
        cells.append(cell)
    notebook = new_notebook(cells=cells, metadata=dict(PYTHON))
    notebook["nbformat_minor"] = minor
    if minor < 5:
        for cell in notebook.cells:
            del cell["id"]
    nbformat.validate(notebook)
    nbformat.write(notebook, path, version=nbformat.NO_CONVERT)
    return path


VARIED: dict[str, Sequence[str]] = {
    "streams": [
        "print('plain'); print('tab\\tand trailing  ')",
        "import sys\nfor i in range(5):\n    print('out', i, flush=True)\n    print('err', i, file=sys.stderr, flush=True)",
        "import sys, time\nfor i in range(11):\n    print(f'\\r{i * 10:3d}%', end='', flush=True)\n    time.sleep(0.02)\nprint()",
        "print('abc\\b\\bXY')\nprint('x' * 20000)",
        "import sys\nsys.stdout.write('no newline at the end')",
        "print('\\x1b[31mred\\x1b[0m and \\x1b[1;4mbold\\x1b[0m')",
    ],
    "displays": [
        "from IPython.display import HTML, JSON, Latex, Markdown, SVG, display\nHTML('<b>bold</b>')",
        "display({'text/plain': 'two', 'application/json': {'a': [1, 2, None]}}, raw=True)\nLatex(r'$\\sqrt{x}$')",
        'SVG(\'<svg xmlns="http://www.w3.org/2000/svg" width="4" height="4"><rect width="4" height="4"/></svg>\')',
        "handle = display('first', display_id='a-name')\nhandle.update('second')",
        "from IPython.display import clear_output\nprint('gone')\nclear_output(wait=True)\nprint('stays')",
        "from PIL import Image\nImage.new('RGB', (40, 30), (200, 30, 60))",
        "display(Markdown('# title'), metadata={'isolated': True})\n_ = 1",
        "handle.update('third')",
    ],
    "text": [
        "#md # Überschrift 🎉\n\nMarkdown with *emphasis*.",
        "name = 'žluťoučký 漢字 😀'\nprint(name)\nname",
        "'line one\\nline two'",
        "{'a': 1, 'b': [1, 2, 3]}",
        "",
        "# only a comment",
        "x = 5",
        "print(x)\nx * 2",
    ],
    "frames": [
        "import pandas as pd\nframe = pd.DataFrame({'year': [2018, 2019], 'mm': [612.4, 588.0]})\nframe",
        "frame.describe()",
        "%matplotlib inline\nimport matplotlib.pyplot as plt\n_ = plt.plot([1, 2, 3])",
    ],
    "magics": [
        "%%writefile made.txt\nhello",
        "%env RUNT_TOUR=1",
        "!echo from the shell",
        "import os; sorted(name for name in os.listdir() if name.endswith('.txt'))",
        "%pwd\nNone",
    ],
    "progress": [
        "import sys\nfrom tqdm import tqdm\nfor _ in tqdm(range(50), file=sys.stdout, bar_format='{n}/{total} {bar:20}', mininterval=0):\n    pass",
    ],
}
