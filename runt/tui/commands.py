"""THE table of commands: id, title, group, keys, modes, when available, present state.

Key handling, palette, help panel, status line and the generated documentation read this table and nothing
else. It does nothing itself (``actions`` does). The invariant: ids are stable names for settings and scripts;
within a mode no key sequence is another's beginning, and each command but those of the palette alone has a
key that arrives inside tmux.

A key is a name of Textual's (``ctrl+j``, ``f5``) or the character itself (``G``, ``?``); a sequence has a
blank between its keys.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable

import msgspec

from runt.tui.situation import Mode, Situation

COMMAND = frozenset({Mode.COMMAND})
EDIT = frozenset({Mode.EDIT})
BOTH = frozenset({Mode.COMMAND, Mode.EDIT})

# Order in which groups stand in help and palette: what one wants to do, most frequent first.
GROUPS = ("Run", "Edit", "Cells", "Move", "Kernel", "Notebook", "View")


def _always(situation: Situation) -> bool:
    return True


def _nothing(situation: Situation) -> str:
    return ""


class Command(msgspec.Struct, frozen=True):
    """One thing that a person can do. ``short`` is the word for the status line; ``state`` what the palette
    says beside it."""

    id: str
    title: str
    group: str
    keys: tuple[str, ...] = ()
    modes: frozenset[Mode] = COMMAND
    short: str = ""
    available: Callable[[Situation], bool] = _always
    state: Callable[[Situation], str] = _nothing

    def keys_in(self, mode: Mode) -> tuple[str, ...]:
        """Return the keys that work in a mode: while editing, a key that types a character is text."""
        if mode not in self.modes:
            return ()
        return (
            self.keys
            if mode is Mode.COMMAND
            else tuple(key for key in self.keys if len(key.split(" ")[0]) > 1)
        )


def _open(now: Situation) -> bool:
    return not now.opening


def _cell(now: Situation) -> bool:
    return now.focused


def _kernel(now: Situation) -> bool:
    return now.kernel_state not in ("none", "stopped")


def _no_kernel(now: Situation) -> bool:
    return not now.opening and now.kernel_state in ("none", "stopped", "dead")


def _kernel_words(now: Situation) -> str:
    return now.activity or now.kernel_state if now.kernel_state == "ready" else now.kernel_state


def _queued(now: Situation) -> str:
    return f"{now.queued} queued" if now.queued else ""


def _saved(now: Situation) -> str:
    return "unsaved" if now.unsaved else "saved"


def _copied(now: Situation) -> str:
    return f"{now.clipboard} cells" if now.clipboard > 1 else "1 cell" if now.clipboard else "empty"


COMMANDS: tuple[Command, ...] = (
    # Run
    Command(
        "run.advance",
        "Run cell and go to the next",
        "Run",
        ("shift+enter", "f5"),
        BOTH,
        "run",
        _cell,
        _queued,
    ),
    Command("run.stay", "Run cell, stay here", "Run", ("ctrl+enter", "ctrl+j"), BOTH, "run", _cell, _queued),
    Command("run.insert", "Run cell, insert one below", "Run", ("alt+enter", "f8"), BOTH, "", _cell),
    Command("run.all", "Run all cells", "Run", ("f9",), BOTH, "run all", lambda now: now.cells > 0, _queued),
    Command("run.above", "Run all cells above", "Run", (), BOTH, "", _cell),
    Command("run.below", "Run this cell and all below", "Run", (), BOTH, "", _cell),
    Command("run.cancel", "Cancel waiting cells", "Run", (), BOTH, "", lambda now: now.queued > 0, _queued),
    Command(
        "kernel.interrupt",
        "Interrupt the kernel",
        "Run",
        ("i i",),
        COMMAND,
        "interrupt",
        _kernel,
        _kernel_words,
    ),
    # Edit
    Command("cell.edit", "Edit cell", "Edit", ("enter",), COMMAND, "edit", _open),
    Command("cell.leave", "Back to command mode", "Edit", ("escape",), EDIT, "done"),
    Command("edit.undo", "Undo typing", "Edit", ("ctrl+z",), EDIT, "undo", _open, lambda now: now.undoable),
    Command(
        "edit.redo",
        "Redo typing",
        "Edit",
        ("ctrl+y", "ctrl+shift+z"),
        EDIT,
        "",
        _open,
        lambda now: now.redoable,
    ),
    Command("edit.comment", "Comment lines", "Edit", ("ctrl+slash", "ctrl+underscore"), EDIT),
    Command("cell.split", "Split cell at the caret", "Edit", ("f6", "ctrl+shift+minus"), EDIT),
    # Cells
    Command("cell.insert_above", "Insert cell above", "Cells", ("a",), COMMAND, "", _open),
    Command("cell.insert_below", "Insert cell below", "Cells", ("b",), COMMAND, "new cell", _open),
    Command("cell.delete", "Delete cell", "Cells", ("d d",), COMMAND, "", _cell),
    Command(
        "history.undo",
        "Undo",
        "Cells",
        ("z", "ctrl+z"),
        COMMAND,
        "undo",
        _open,
        lambda now: now.undoable or "nothing",
    ),
    Command(
        "history.redo",
        "Redo",
        "Cells",
        ("Z", "ctrl+y"),
        COMMAND,
        "",
        _open,
        lambda now: now.redoable or "nothing",
    ),
    Command("cell.cut", "Cut cell", "Cells", ("x",), COMMAND, "", _cell),
    Command("cell.copy", "Copy cell", "Cells", ("c",), COMMAND, "", _cell),
    Command(
        "cell.paste", "Paste below", "Cells", ("v",), COMMAND, "", lambda now: now.clipboard > 0, _copied
    ),
    Command(
        "cell.paste_above",
        "Paste above",
        "Cells",
        ("V",),
        COMMAND,
        "",
        lambda now: now.clipboard > 0,
        _copied,
    ),
    Command(
        "cell.move_up",
        "Move cell up",
        "Cells",
        ("K", "ctrl+shift+up"),
        COMMAND,
        "",
        lambda now: now.position > 1,
    ),
    Command(
        "cell.move_down",
        "Move cell down",
        "Cells",
        ("J", "ctrl+shift+down"),
        COMMAND,
        "",
        lambda now: 0 < now.position < now.cells,
    ),
    Command(
        "cell.to_markdown", "Make it Markdown", "Cells", ("m",), COMMAND, "", _cell, lambda now: now.cell_type
    ),
    Command("cell.to_code", "Make it code", "Cells", ("y",), COMMAND, "", _cell, lambda now: now.cell_type),
    Command(
        "cell.to_raw", "Make it raw text", "Cells", ("r",), COMMAND, "", _cell, lambda now: now.cell_type
    ),
    Command(
        "cell.merge",
        "Merge with the cell below",
        "Cells",
        ("M",),
        COMMAND,
        "",
        lambda now: 0 < now.position < now.cells,
    ),
    Command("cell.clear", "Clear output of the cell", "Cells", (), BOTH, "", _cell),
    Command("cell.clear_all", "Clear all outputs", "Cells", (), BOTH, "", lambda now: now.cells > 0),
    # Move
    Command("focus.next", "Next cell", "Move", ("j", "down"), COMMAND, "", _cell),
    Command("focus.previous", "Previous cell", "Move", ("k", "up"), COMMAND, "", _cell),
    Command("focus.first", "First cell", "Move", ("g g", "home"), COMMAND, "", _cell),
    Command("focus.last", "Last cell", "Move", ("G", "end"), COMMAND, "", _cell),
    Command("view.page_down", "Page down", "Move", ("space", "pagedown"), COMMAND),
    Command("view.page_up", "Page up", "Move", ("shift+space", "pageup"), COMMAND),
    Command(
        "focus.running", "Go to the running cell", "Move", (".",), COMMAND, "", lambda now: now.running > 0
    ),
    # Kernel
    Command(
        "kernel.restart", "Restart the kernel", "Kernel", ("0 0",), COMMAND, "restart", _kernel, _kernel_words
    ),
    Command("kernel.restart_run", "Restart and run all", "Kernel", (), BOTH, "", _kernel, _kernel_words),
    Command("kernel.start", "Start a kernel", "Kernel", (), BOTH, "", _no_kernel, _kernel_words),
    Command("kernel.stop", "Stop the kernel", "Kernel", (), BOTH, "", _kernel, _kernel_words),
    # Notebook
    Command("file.save", "Save", "Notebook", ("ctrl+s", "s"), BOTH, "save", _open, _saved),
    Command("file.save_as", "Save under another name", "Notebook", ("S",), COMMAND, "save as", _open),
    Command(
        "daemon.reconnect",
        "Connect to the daemon again",
        "Notebook",
        ("R",),
        COMMAND,
        "connect",
        lambda now: now.connection in ("stopped", "failed"),
        lambda now: now.connection,
    ),
    Command("app.leave", "Leave; the kernel stays", "Notebook", ("ctrl+q",), BOTH, "leave"),
    # View
    Command("output.view", "View output in full", "View", ("o",), COMMAND, "view output", _cell),
    Command("app.palette", "All commands", "View", ("ctrl+p",), BOTH, "commands"),
    Command(
        "app.help",
        "Keys of this mode",
        "View",
        ("f1", "h"),
        BOTH,
        "help",
        _always,
        lambda now: "on" if now.help_shown else "off",
    ),
    Command("app.theme", "Next theme", "View", (), BOTH, "", _always, lambda now: now.theme),
    Command("app.repaint", "Paint the screen again", "View", ("ctrl+l",), BOTH),
)


def why_not(now: Situation) -> str:
    """Return why a command is not available, as far as the situation tells."""
    if now.opening:
        return "the notebook is still being opened"
    if not now.cells:
        return "there are no cells yet"
    if now.kernel_state in ("none", "stopped"):
        return "no kernel runs"
    return "not now"


BY_ID = {command.id: command for command in COMMANDS}


def in_mode(mode: Mode, commands: Iterable[Command] = COMMANDS) -> list[Command]:
    """Return the commands of a mode, in table order."""
    return [command for command in commands if mode in command.modes]


_NAMES = {
    "escape": "Esc",
    "enter": "Enter",
    "space": "Space",
    "shift+space": "Shift+Space",
    "pageup": "PgUp",
    "pagedown": "PgDn",
    "up": "↑",
    "down": "↓",
    "home": "Home",
    "end": "End",
    "ctrl+slash": "^/",
    "ctrl+underscore": "^_",
    "ctrl+shift+minus": "Ctrl+Shift+-",
}


def shown_key(key: str) -> str:
    """Return a key sequence as a person reads it: ``^J``, ``dd``, ``Shift+Enter``."""
    parts = key.split(" ")
    if len(parts) > 1:
        return "".join(shown_key(part) for part in parts)
    if key in _NAMES:
        return _NAMES[key]
    *modifiers, last = key.split("+") if len(key) > 1 else [key]
    if modifiers == ["ctrl"] and len(last) == 1:
        return f"^{last.upper()}"
    last = _NAMES.get(last, last.upper() if modifiers or (last[:1] == "f" and last[1:].isdigit()) else last)
    return "+".join([*(modifier.title() for modifier in modifiers), last])


SHORT_KEY_CELLS = 5
"""Keys that arrive in every terminal have short names: ``F5``, ``^J``, ``Space``."""


def shown_keys_apart(command: Command, mode: Mode) -> tuple[str, str]:
    """Return the key that works in every terminal and the other one (empty if there is none), as people write
    them."""
    shown = sorted(
        (shown_key(key) for key in command.keys_in(mode)), key=lambda name: len(name) > SHORT_KEY_CELLS
    )
    first, second, *_ = [*shown, "", ""]
    return first, second


def shown_keys(command: Command, mode: Mode = Mode.COMMAND) -> str:
    """Return the keys of a command in a mode, most telling first."""
    return "  ".join(shown_key(key) for key in command.keys_in(mode))
