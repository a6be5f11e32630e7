"""Errors: the message first, one row per frame, the traceback behind a fold."""

from __future__ import annotations

import json

import pytest
from IPython.core.ultratb import VerboseTB

from runt.notebook.manifests import ContentRef, ErrorManifest
from runt.tui.outputs.block import Block, plain
from runt.tui.outputs.errors import frames
from runt.tui.outputs.rendering import OutputContext, render_output
from tests.tui.notebooks import DictBlobs
from tests.tui.test_view import TRACEBACK


def error(name: str, value: str, traceback: list[str], *, expanded: bool = False, width: int = 90) -> Block:
    """An error, drawn."""
    manifest = ErrorManifest(ename=name, evalue=value, traceback=ContentRef(inline=json.dumps(traceback)))
    return render_output(manifest, OutputContext(width=width, blobs=DictBlobs(), expanded=expanded))


def test_the_sketch() -> None:
    """As in the sketch: message, frames with their place and their line, the fold."""
    block = error("ZeroDivisionError", "division by zero", TRACEBACK)
    assert block.gap
    assert plain(block.lines) == [
        "ZeroDivisionError: division by zero",
        "  cell 7, line 1        ratio = mean(total, count)",
        "  stats.py:42 in mean   return s / n",
        "▸ full traceback (10 lines)",
    ]
    assert block.toggle == 3


def test_unfolded() -> None:
    """Unfolded, the whole traceback is below."""
    lines = plain(error("ZeroDivisionError", "division by zero", TRACEBACK, expanded=True).lines)
    assert lines[3] == "▾ full traceback (10 lines)"
    assert "     40 def mean(s, n):" in lines


def test_the_installed_ipython_is_understood() -> None:
    """A traceback made by the IPython that is installed gives frames with their code."""

    def inner() -> None:
        raise ValueError("no")

    try:
        inner()
    except ValueError as problem:
        lines = VerboseTB(theme_name="neutral").structured_traceback(
            type(problem), problem, problem.__traceback__, tb_offset=0
        )
    block = error("ValueError", "no", [str(line) for line in lines])
    assert any(
        "test_outputs_errors.py" in line and 'raise ValueError("no")' in line for line in plain(block.lines)
    )


def test_plain_python_tracebacks() -> None:
    """Frames of the standard format, as other kernels send it."""
    text = [
        "Traceback (most recent call last):",
        '  File "/home/me/run.py", line 3, in <module>',
        "    main()",
        '  File "/home/me/lib.py", line 9, in main',
        "    1 / 0",
        "ZeroDivisionError: division by zero",
    ]
    found = frames(text)
    assert [(frame.where, frame.code) for frame in found] == [
        ("run.py:3", "main()"),
        ("lib.py:9 in main", "1 / 0"),
    ]


def test_syntax_errors_show_their_line() -> None:
    """A syntax error has one frame, in the cell."""
    text = ["  Cell In[3], line 1\n    x = = 1\n        ^\nSyntaxError: invalid syntax\n"]
    lines = plain(error("SyntaxError", "invalid syntax (1234.py, line 1)", text).lines)
    assert lines[0].startswith("SyntaxError: invalid syntax")
    assert lines[1].split() == ["cell", "3,", "line", "1", "x", "=", "=", "1"]


@pytest.mark.parametrize("traceback", [[], ["\x1b]0;evil\x07", "no frames at all"], ["Cell In[x]"]])
def test_the_message_is_always_first(traceback: list[str]) -> None:
    """Whatever the traceback is, the first row is the message; nothing acts."""
    lines = plain(error("Bad\x1b[2J", "line one\nline two", traceback).lines)
    assert lines[0] == "Bad␛[2J: line one"
    assert lines[1] == "line two"


def test_deep_recursion_is_a_few_rows() -> None:
    """Many frames: the notebook's own and the last are kept."""
    text = ["Cell In[1], line 1", "----> 1 f(0)"]
    for _ in range(500):
        text += ["File ~/x/lib.py:7, in f(n)", "----> 7 return f(n + 1)"]
    lines = plain(error("RecursionError", "too deep", ["\n".join(text)]).lines)
    assert len(lines) <= 8
    assert "cell 1, line 1" in lines[1]


def test_rows_fit() -> None:
    """No row is wider than the place."""
    block = error("E" * 50, "long " * 100, TRACEBACK, width=30, expanded=True)
    assert all(len(line) <= 30 for line in plain(block.lines))
