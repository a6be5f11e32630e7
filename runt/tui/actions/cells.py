"""Commands that change cells: insert, delete, move, type, clipboard, split, merge, undo.

They know no keys. The invariant: each change is one transaction and one step of the history.
"""

from __future__ import annotations

from collections.abc import Sequence

from runt.notebook.notebook_document import CellKey, CellType, NewCell
from runt.tui.cell_steps import LOCAL, Deleted, Inserted, Moved, Retyped, Rewritten, Several, previous
from runt.tui.desk import Desk
from runt.tui.undo import Step


async def edit(desk: Desk) -> None:
    """Open the editor; in an empty notebook, over a first cell. Under a cell that asks, answer."""
    if desk.answering.enter():
        return
    key = desk.focused
    if key is None:
        new = insert_cells(desk, len(desk.document), [NewCell()])
        key = new[0] if new else None
    if key is not None:
        await desk.edit(key)


async def leave(desk: Desk) -> None:
    """Close the editor."""
    desk.stop_editing()


async def insert_above(desk: Desk) -> None:
    """Insert an empty cell above the focused one and focus it."""
    insert_cells(desk, desk.index, [NewCell()])


async def insert_below(desk: Desk) -> None:
    """Insert an empty cell below the focused one and focus it."""
    insert_cells(desk, desk.index + 1 if desk.focused else len(desk.document), [NewCell()])


async def delete(desk: Desk) -> None:
    """Delete the focused cell; the next one is focused."""
    _delete(desk, "deleted")


async def cut(desk: Desk) -> None:
    """Copy the focused cell and delete it."""
    await copy(desk)
    _delete(desk, "cut")


async def copy(desk: Desk) -> None:
    """Put the focused cell on the clipboard."""
    if (cell := desk.cell) is not None:
        desk.clipboard = [NewCell(cell.type, cell.source, cell.metadata, cell.attachments, None, cell.extra)]
        desk.say("copied a cell")


async def paste(desk: Desk) -> None:
    """Insert the clipboard below the focused cell."""
    insert_cells(desk, desk.index + 1 if desk.focused else len(desk.document), desk.clipboard, "pasted")


async def paste_above(desk: Desk) -> None:
    """Insert the clipboard above the focused cell."""
    insert_cells(desk, desk.index, desk.clipboard, "pasted")


async def move_up(desk: Desk) -> None:
    """Exchange the focused cell with the one above."""
    _move(desk, -1)


async def move_down(desk: Desk) -> None:
    """Exchange the focused cell with the one below."""
    _move(desk, 1)


async def to_markdown(desk: Desk) -> None:
    """Make the focused cell Markdown."""
    _retype(desk, "markdown")


async def to_code(desk: Desk) -> None:
    """Make the focused cell code."""
    _retype(desk, "code")


async def to_raw(desk: Desk) -> None:
    """Make the focused cell raw text."""
    _retype(desk, "raw")


async def split(desk: Desk) -> None:
    """Cut the edited cell in two at the caret; the editor goes on in the second part."""
    editor = desk.editor
    if editor is None:
        return
    cell = desk.document.cell(editor.key)
    source, at = cell.source, editor.lines.offset(editor.cursor_location)
    head, tail = source[:at], source[at:]
    head = head.removesuffix("\n")
    desk.stop_editing()
    with desk.document.transaction(LOCAL):
        [new] = desk.insert(
            desk.document.index(cell.key) + 1, [NewCell(cell.type, tail, cell.metadata)], LOCAL
        )
        cell.set_source(head, LOCAL)
    steps: list[Step] = [
        Inserted(desk.document, [new], [tail]),
        Rewritten(desk.document, cell.key, source, head),
    ]
    desk.history.record(Several("split a cell", cell.key, steps))
    desk.focus(new)
    await desk.edit(new, (0, 0))


async def merge(desk: Desk) -> None:
    """Append the cell below to the focused one."""
    keys, cell = desk.document.keys(), desk.cell
    if cell is None or desk.index + 1 >= len(keys):
        return
    below = desk.document.cell(keys[desk.index + 1])
    before, rest = cell.source, below.source
    joined = before + "\n" + rest if before and rest else before or rest
    with desk.document.transaction(LOCAL):
        cell.set_source(joined, LOCAL)
        desk.document.delete_cell(below.key, LOCAL)
    steps: list[Step] = [
        Rewritten(desk.document, cell.key, before, joined),
        Deleted(desk.document, [below.key]),
    ]
    desk.history.record(Several("merged two cells", cell.key, steps))
    desk.focus(cell.key)


async def undo(desk: Desk) -> None:
    """Undo the newest step, whatever it was."""
    desk.tell(desk.history.undo())


async def redo(desk: Desk) -> None:
    """Redo the step undone last."""
    desk.tell(desk.history.redo())


async def undo_typing(desk: Desk) -> None:
    """Undo a step of typing in the edited cell."""
    if desk.editor is not None:
        outcome = desk.history.undo(desk.editor.key)
        desk.say("" if outcome.done else f"{outcome.text} · Esc z undoes what was before")


async def redo_typing(desk: Desk) -> None:
    """Redo a step of typing in the edited cell."""
    if desk.editor is not None:
        outcome = desk.history.redo(desk.editor.key)
        desk.say("" if outcome.done else outcome.text)


async def comment(desk: Desk) -> None:
    """Comment the selected lines of the editor, or take the signs away."""
    if desk.editor is not None:
        desk.editor.toggle_comment()


def insert_cells(desk: Desk, index: int, cells: Sequence[NewCell], verb: str = "inserted") -> list[CellKey]:
    """Insert cells before the live cell ``index`` as one step, and focus the first. Empty when this peer may
    not write."""
    if not desk.can_edit:
        desk.say("opened for reading only")
        return []
    keys = desk.insert(index, cells, LOCAL)
    desk.history.record(Inserted(desk.document, keys, [cell.source for cell in cells], verb))
    desk.focus(keys[0])
    return keys


def _delete(desk: Desk, verb: str) -> None:
    key = desk.focused
    if key is None or not desk.can_edit:
        return
    index = desk.index
    desk.document.delete_cell(key, LOCAL)
    desk.history.record(Deleted(desk.document, [key], verb))
    desk.focus_index(index)
    desk.say(f"{verb} a cell · z undoes it")


def _move(desk: Desk, step: int) -> None:
    key, target = desk.focused, desk.index + step
    if key is None or not desk.can_edit or not 0 <= target < len(desk.document):
        return
    before = previous(desk.document, key)
    desk.document.move_cell(key, target, LOCAL)
    desk.history.record(Moved(desk.document, key, before, previous(desk.document, key)))
    desk.focus(key)


def _retype(desk: Desk, type_: CellType) -> None:
    cell = desk.cell
    if cell is None or not desk.can_edit or cell.type == type_:
        return
    before = cell.type
    desk.document.set_cell_type(cell.key, type_, LOCAL)
    desk.history.record(Retyped(desk.document, cell.key, before, type_))
    desk.focus(cell.key)
