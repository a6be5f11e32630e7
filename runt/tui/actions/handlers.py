"""From the ids of the command table to what they do. Commands of the app itself (palette, help, leave) are in
``app``."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping

from runt.tui.actions import cells, moving, notebook, outputs, running
from runt.tui.desk import Desk

Handler = Callable[[Desk], Awaitable[None]]

HANDLERS: Mapping[str, Handler] = {
    "run.advance": running.advance,
    "run.stay": running.stay,
    "run.insert": running.insert,
    "run.all": running.run_all,
    "run.above": running.above,
    "run.below": running.below,
    "run.cancel": running.cancel,
    "kernel.interrupt": running.interrupt,
    "kernel.restart": running.restart,
    "kernel.restart_run": running.restart_run,
    "kernel.start": running.start,
    "kernel.stop": running.stop,
    "cell.clear": running.clear,
    "cell.clear_all": running.clear_all,
    "cell.edit": cells.edit,
    "cell.leave": cells.leave,
    "edit.undo": cells.undo_typing,
    "edit.redo": cells.redo_typing,
    "edit.comment": cells.comment,
    "cell.split": cells.split,
    "cell.insert_above": cells.insert_above,
    "cell.insert_below": cells.insert_below,
    "cell.delete": cells.delete,
    "history.undo": cells.undo,
    "history.redo": cells.redo,
    "cell.cut": cells.cut,
    "cell.copy": cells.copy,
    "cell.paste": cells.paste,
    "cell.paste_above": cells.paste_above,
    "cell.move_up": cells.move_up,
    "cell.move_down": cells.move_down,
    "cell.to_markdown": cells.to_markdown,
    "cell.to_code": cells.to_code,
    "cell.to_raw": cells.to_raw,
    "cell.merge": cells.merge,
    "focus.next": moving.next_cell,
    "focus.previous": moving.previous_cell,
    "focus.first": moving.first,
    "focus.last": moving.last,
    "view.page_down": moving.page_down,
    "view.page_up": moving.page_up,
    "focus.running": moving.running,
    "output.view": outputs.view,
    "file.save": notebook.save,
    "file.save_as": notebook.save_as,
    "daemon.reconnect": notebook.reconnect,
}
