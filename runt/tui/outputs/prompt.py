"""What a kernel asks (``input()``, ``getpass``) as rows, and where in the last of them the answer begins.

It takes no input: a field lies over the rest of the last row. The invariant: the last row has room for a
field of ``MIN_FIELD_CELLS``, whatever the prompt is.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from rich.cells import cell_len

from runt.terminal.sgr import ansi_lines
from runt.tui.outputs.block import Block, Line, fold, text_line
from runt.tui.outputs.sgr_styles import styled

if TYPE_CHECKING:
    from runt.tui.outputs.looks import Looks

MIN_FIELD_CELLS = 20
"""A prompt that leaves less than this free gets the field below it."""

MAX_PROMPT_ROWS = 12
"""Of a longer prompt the end is shown: there is what is being asked."""


def prompt_block(prompt: str, *, password: bool, width: int, looks: Looks) -> tuple[Block, int]:
    """The rows of a prompt, and the cell of the last one where the answer begins."""
    rows: list[Line] = []
    for spans in ansi_lines(prompt.rstrip("\n")):
        rows.extend(fold(styled(spans, looks.strong), width))
    rows = rows[-MAX_PROMPT_ROWS:]
    if not prompt.strip():
        # Without a word an empty field would be an empty row.
        rows = [text_line("password: " if password else "input: ", looks.dim)]
    used = sum(cell_len(segment.text) for segment in rows[-1])
    if used and (used + MIN_FIELD_CELLS > width or prompt.endswith("\n")):
        rows.append(())
        used = 0
    return Block(tuple(rows)), used
