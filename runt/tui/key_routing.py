"""Where a key or a paste goes: to a command, into the editor, into an answer, or it waits for the notebook.

It knows no command (the table does) and carries out none. The invariant: keys and pastes are dealt with one at a
time, in the order they came, those typed before the notebook was there included; in command mode no key ever becomes
text.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Awaitable, Callable
from typing import Protocol

from textual import events
from textual.widget import Widget

from runt.tui.commands import Command
from runt.tui.desk import Desk
from runt.tui.keymap import Keymap, Pending, token, types_text
from runt.tui.situation import Mode

# Keys typed before the notebook is there; who types more does not look at the screen.
MAX_EARLY_KEYS = 1000
# What works while a kernel's question is being answered.
WHILE_ANSWERING = frozenset({"app.leave", "app.help", "app.repaint"})
LEAVE_KEY = "ctrl+q"


class KeyHost(Protocol):
    """The app, as far as keys need it."""

    @property
    def desk(self) -> Desk | None: ...

    async def run_command(self, command: Command) -> None: ...

    async def run_binding_of(self, widget: Widget, key: str) -> bool: ...

    async def close_help(self) -> None: ...

    def say(self, text: str) -> None: ...


class KeyRouting:
    """``changed`` is called when a pending sequence begins or ends."""

    def __init__(self, host: KeyHost, changed: Callable[[], None]) -> None:
        self._host = host
        self._changed = changed
        self._keymap = Keymap()
        self._early: deque[Callable[[], Awaitable[None]]] = deque(maxlen=MAX_EARLY_KEYS)
        self._open = False

    @property
    def pending(self) -> Pending | None:
        """The sequence that waits for its next key."""
        return self._keymap.pending

    async def catch_up(self) -> None:
        """The notebook is there: deal with what was typed before."""
        while self._early:
            await self._early.popleft()()
        self._open = True

    async def key(self, event: events.Key) -> None:
        """Find the command; else let the editor type."""
        if self._open or event.key == LEAVE_KEY:
            await self._key(event)
        else:
            self._early.append(lambda: self._key(event))

    async def paste(self, event: events.Paste) -> None:
        """Paste into the editor or answer; in command mode say how, and change nothing."""
        if self._open:
            await self._paste(event)
        else:
            self._early.append(lambda: self._paste(event))

    async def _key(self, event: events.Key) -> None:
        desk = self._host.desk
        if desk is not None and desk.answering.active:
            await self._press_in_answer(desk, event)
            return
        mode = Mode.COMMAND if desk is None else desk.mode
        waited = self.pending is not None
        found = self._keymap.feed(mode, token(event.key, event.character))
        if isinstance(found, Command):
            await self._host.run_command(found)
        elif desk is not None and mode is Mode.EDIT and not isinstance(found, Pending):
            await self._type(desk, event)
        elif event.key == "escape" and not waited:
            await self._host.close_help()
        elif event.key == "ctrl+c":
            self._host.say("ii interrupts the kernel · c copies a cell · ^Q leaves")
        if waited or isinstance(found, Pending):
            self._changed()

    async def _press_in_answer(self, desk: Desk, event: events.Key) -> None:
        """The keys are the answer's, but for those that have nothing to do with cells."""
        self._keymap.reset()
        found = self._keymap.feed(Mode.EDIT, token(event.key, event.character))
        if isinstance(found, Command) and found.id in WHILE_ANSWERING:
            await self._host.run_command(found)
        else:
            await desk.answering.press(event)

    async def _type(self, desk: Desk, event: events.Key) -> None:
        if desk.editor is None:
            return
        if _leaves_editor(desk, event.key):
            step = -1 if event.key == "up" else 1
            key = desk.document.keys()[desk.index + step]
            rows = desk.document.cell(key).source.split("\n")
            column = desk.editor.cursor_location[1]
            row = len(rows) - 1 if step < 0 else 0
            await desk.edit(key, (row, min(column, len(rows[row]))))
        elif event.is_printable and not types_text(event.key, event.character):
            return
        elif not await desk.editor.press(event):
            await self._host.run_binding_of(desk.editor, event.key)

    async def _paste(self, event: events.Paste) -> None:
        desk = self._host.desk
        if desk is not None and desk.answering.active:
            desk.answering.paste(event.text)
        elif desk is not None and desk.editor is not None:
            await desk.editor.paste(event.text)
        else:
            self._host.say("to paste text: Enter edits a cell, then paste")


def _leaves_editor(desk: Desk, key: str) -> bool:
    """Whether an arrow at the first or last row of the editor goes on into the neighbouring cell."""
    if desk.editor is None or key not in ("up", "down"):
        return False
    row = desk.editor.cursor_offset.y
    if key == "up":
        return row == 0 and desk.index > 0
    return row == desk.editor.row_count - 1 and desk.index + 1 < len(desk.document)
