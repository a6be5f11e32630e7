"""From the documents to `CellContent`: reads one cell when it is looked at, and again when it has changed.

It paints nothing and knows no rows of the screen. Invariant: it touches only cells it is asked for
(``touched`` counts them), so that opening a notebook costs what is visible.
"""

from __future__ import annotations

import time
from collections import OrderedDict
from typing import TYPE_CHECKING

import msgspec
from msgspec.structs import replace

from runt.notebook.cell import CellKey
from runt.notebook.source_hash import source_hash
from runt.tui import highlighting
from runt.tui.outputs.block import Block, text_line
from runt.tui.outputs.prompt import prompt_block
from runt.tui.outputs.rendering import OutputContext, render_output
from runt.tui.view.cell_content import CellContent
from runt.tui.view.gutter import CellState, Run, cell_state

if TYPE_CHECKING:
    from runt.tui.view.source import NotebookSource

CONTENTS_KEPT = 256
"""Cells whose rows are kept: several screens of them."""

MAX_OUTPUTS_SHOWN = 40
"""Blocks per cell; more are told in one line. A cell that displays in a loop makes thousands."""


QUESTION_AT = 1 << 30
"""The place of a question among the outputs of its cell: below all of them."""


class Asked(msgspec.Struct, frozen=True):
    """What the kernel asks under a cell. ``prompt`` is as it came."""

    key: str
    prompt: str
    password: bool


class LeftOut(msgspec.Struct, frozen=True):
    """Stands for the outputs of a cell before those that are shown."""

    count: int


class CellLoader:
    """Contents of cells, newest used last."""

    def __init__(self, source: NotebookSource, context: OutputContext) -> None:
        self._source = source
        self._contents: OrderedDict[str, CellContent] = OrderedDict()
        self._expanded: set[tuple[str, int]] = set()
        self._places: dict[str, int] | None = None
        self.context = context
        self.own_name = ""
        self.editing: str | None = None
        self.editor_rows = 1
        self.asked: Asked | None = None
        self.field_column = 0
        """Where in its row the field of ``asked`` begins, in cells of the body; set when it is drawn."""
        self.touched = 0

    def clear(self) -> None:
        """Forget all contents (another width, another theme)."""
        self._contents.clear()

    def forget(self, key: str) -> None:
        """Forget one cell."""
        self._contents.pop(key, None)

    def get(self, key: str) -> CellContent | None:
        """The content if it is loaded."""
        return self._contents.get(key)

    def load(self, key: str) -> CellContent:
        """The content, made if need be. KeyError when the cell never existed."""
        content = self._contents.get(key)
        if content is None:
            content = self._read(key)
            self.read_runs(key, content)
            self._contents[key] = content
            while len(self._contents) > CONTENTS_KEPT:
                self._contents.popitem(last=False)
        else:
            self._contents.move_to_end(key)
        return content

    def _read(self, key: str) -> CellContent:
        self.touched += 1
        cell = self._source.document.cell(CellKey(key))
        language = None
        if cell.type == "code":
            language = highlighting.language_of(self.language)
        content = CellContent(cell.type, cell.source, language, self.context.width, self.context.looks)
        if key == self.editing:
            content.set_editor_rows(self.editor_rows)
        return content

    @property
    def language(self) -> str:
        """Language of the code cells: the running kernel's, else what the notebook's metadata says, else
        Python.
        """
        kernel = self._source.runtime.kernel
        if kernel.language:
            return str(kernel.language)
        metadata = self._source.document.metadata
        for name, field in (("language_info", "name"), ("kernelspec", "language")):
            value = metadata.get(name)
            if isinstance(value, dict) and isinstance(value.get(field), str):
                return str(value[field])
        return "python"

    def read_source(self, key: str) -> None:
        """The source or type of a loaded cell changed."""
        old = self._contents.get(key)
        if old is None:
            return
        content = self._read(key)
        content.set_outputs(old.entries, old.blocks)
        self._contents[key] = content
        content.state = self._state(key, content)

    def read_runs(self, key: str, content: CellContent) -> None:
        """The execution or the outputs of a loaded cell changed. Blocks of unchanged entries are kept."""
        content.state = self._state(key, content)
        entries: dict[int, object] = {}
        if content.type == "code":
            runtime = self._source.runtime
            count = runtime.output_count(CellKey(key))
            first = max(0, count - MAX_OUTPUTS_SHOWN)
            if first:
                entries[-1] = LeftOut(first)
            for index in range(first, count):
                entries[index] = runtime.output(CellKey(key), index)
        if self.asked is not None and self.asked.key == key:
            entries[QUESTION_AT] = self.asked
        old, blocks = content.entries, content.blocks
        known = dict(zip(old, zip(old.values(), blocks, strict=True), strict=True))
        made: list[Block] = []
        for index, entry in entries.items():
            before = known.get(index)
            if before is not None and before[0] == entry:
                made.append(before[1])
            else:
                made.append(self._block(key, index, entry))
        content.set_outputs(entries, made)

    def _block(self, key: str, index: int, entry: object) -> Block:
        if isinstance(entry, LeftOut):
            return Block(
                (text_line(f"⋯ {entry.count} earlier outputs — o to view", self.context.looks.dim),),
                hidden=entry.count,
            )
        if isinstance(entry, Asked):
            block, self.field_column = prompt_block(
                entry.prompt, password=entry.password, width=self.context.width, looks=self.context.looks
            )
            return block
        return render_output(entry, replace(self.context, expanded=(key, index) in self._expanded))

    def read_state(self, key: str) -> bool:
        """The queue or the clock moved on. True if the cell's label, note or dimming changed."""
        content = self._contents.get(key)
        if content is None:
            return False
        state = self._state(key, content)
        changed = state != content.state
        content.state = state
        return changed

    def queue_changed(self) -> None:
        """Places in the queue must be counted again."""
        self._places = None

    def pictures_ready(self, digest: str) -> list[str]:
        """Draw the blocks that waited for a picture again. The cells that have one."""
        drawn: list[str] = []
        for key, content in self._contents.items():
            if any(block.pending == digest for block in content.blocks):
                blocks = [
                    self._block(key, index, entry) if block.pending == digest else block
                    for (index, entry), block in zip(content.entries.items(), content.blocks, strict=True)
                ]
                content.set_outputs(content.entries, blocks)
                drawn.append(key)
        return drawn

    def toggle(self, key: str, block: int) -> bool:
        """Fold or unfold the block at that place. False when there is nothing to fold."""
        content = self.load(key)
        if not 0 <= block < len(content.blocks) or content.blocks[block].toggle is None:
            return False
        index, entry = list(content.entries.items())[block]
        self._expanded ^= {(key, index)}
        blocks = [*content.blocks]
        blocks[block] = self._block(key, index, entry)
        content.set_outputs(content.entries, blocks)
        return True

    @property
    def _queue_places(self) -> dict[str, int]:
        if self._places is None:
            self._places = {}
            for entry in self._source.runtime.queue:
                execution = self._source.runtime.execution(entry.cell) if not self._places else None
                if (
                    execution is not None
                    and execution.id == entry.execution
                    and execution.status == "running"
                ):
                    continue
                self._places.setdefault(entry.cell, len(self._places) + 1)
        return self._places

    def _state(self, key: str, content: CellContent) -> CellState:
        run = None
        if content.type == "code":
            execution = self._source.runtime.execution(CellKey(key))
            if execution is not None:
                stale = False
                if execution.source_hash:
                    if content.source_hash is None:
                        content.source_hash = source_hash(content.source)
                    stale = execution.source_hash != content.source_hash
                run = Run(
                    execution.status,
                    execution.count,
                    execution.by or "",
                    execution.started,
                    execution.ended,
                    stale,
                )
        return cell_state(content.type, run, self._queue_places.get(key), time.time(), self.own_name)
