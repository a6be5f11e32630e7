"""The bottom line: what happened or what holds, in words; where we are; the keys that matter now.

It decides no wording of commands (the table does). The invariant: a notice hides the state but never a lost
connection, and something is always said about the edits: saved, waiting, or kept.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from runt.tui.bar_line import BarLine, Piece, fitted, total_width
from runt.tui.commands import BY_ID, Command, shown_key
from runt.tui.keymap import Pending
from runt.tui.situation import Situation
from runt.tui.title_line import kernel_words

if TYPE_CHECKING:
    from runt.tui.answering import Asking

# The keys of the field in which a question of the kernel is answered.
_ANSWER_HINTS = [
    Piece("Enter", "key"),
    Piece(" answers", "dim"),
    Piece("   Esc", "key"),
    Piece(" later", "dim"),
]
# Below this width (cells) only one hint is shown, and no position.
NARROW_CELLS = 60


class StatusLine(BarLine):
    """Shows the situation, a notice, a pending key sequence; on a short screen, which has no title, the kernel's
    state too."""

    _said: tuple[Situation, str, Pending | None, Asking | None] | None = None

    def show(
        self, now: Situation, notice: str, pending: Pending | None, asking: Asking | None = None
    ) -> None:
        """Take over what is to be said; ``notice`` must be display-safe."""
        self._said = (now, notice, pending, asking)
        self.changed()

    def pieces_for(self, width: int) -> list[Piece]:
        """Return the line for ``width`` cells."""
        if self._said is None:
            return []
        now, notice, pending, asking = self._said
        return status_pieces(now, notice, pending, width, asking, kernel=self.screen.has_class("short"))


def status_pieces(
    now: Situation,
    notice: str,
    pending: Pending | None,
    width: int,
    asking: Asking | None = None,
    *,
    kernel: bool = False,
) -> list[Piece]:
    """Return the line for a screen of ``width`` cells: words left, position in the middle, keys right.
    ``kernel``: its state stands at the right end instead of the last key."""
    words = pending_words(pending) if pending is not None else [state_words(now, notice, asking)]
    if asking is not None and asking.active:
        hints = _ANSWER_HINTS
    elif asking is not None and asking.here and pending is None:
        # Enter does not edit here.
        hints = _hint_pieces([BY_ID["app.help"]], now)
    else:
        hints = _hint_pieces([] if pending is not None else hint_commands(now), now)
    if kernel and not now.opening:
        hints = hints[:-2]
    while hints and total_width(hints) > width // (2 if width >= NARROW_CELLS else 3):
        hints = hints[2:]
    if kernel and not now.opening:
        word, role = kernel_words(now)
        hints = [*hints, Piece("   " if hints else ""), Piece(word, role)]
    left = [Piece(" "), *fitted(words, max(10, width - total_width(hints) - 3))]
    position = (
        f"cell {now.position} of {now.cells}"
        if now.position
        else "no cells"
        if not (now.opening or now.cells)
        else ""
    )
    free = width - total_width(left) - total_width(hints) - 1
    middle: list[Piece] = []
    if len(position) + 4 <= free:
        start = max(total_width(left) + 2, (width - len(position)) // 2)
        if start + len(position) + 2 <= width - total_width(hints):
            middle = [Piece(" " * (start - total_width(left))), Piece(position, "dim")]
    gap = max(1, width - total_width(left) - total_width(middle) - total_width(hints) - 1)
    return [*left, *middle, Piece(" " * gap), *hints, Piece(" ")]


def state_words(now: Situation, notice: str = "", asking: Asking | None = None) -> Piece:
    """Return what the left of the line says."""
    kept = f"your edits are kept ({now.waiting} waiting)" if now.waiting else "your edits are kept"
    match now.connection:
        case "reconnecting":
            return Piece(f"daemon gone, restarting … {kept}", "warning")
        case "stopped":
            return Piece(f"the daemon was stopped · {kept}", "warning")
        case "failed":
            why = f"{now.connection_detail} · " if now.connection_detail else ""
            return Piece(f"no daemon · {why}{kept}", "error")
    if notice:
        return Piece(notice)
    if asking is not None:
        return Piece(asking.words, "strong")
    if now.opening:
        return Piece("opening …", "dim")
    if now.connection == "connecting":
        return Piece("connecting …", "dim")
    if now.file_error:
        return Piece(f"not saved: {now.file_error}", "error")
    if now.conflict:
        return Piece(f"file changed on disk: {now.conflict}", "warning")
    if now.waiting:
        changes = "1 change" if now.waiting == 1 else f"{now.waiting} changes"
        return Piece(f"unsaved · {changes} waiting")
    return Piece("unsaved · synced" if now.unsaved else "saved · synced", "dim")


def pending_words(pending: Pending) -> list[Piece]:
    """Return what the next key of a sequence can be."""
    pieces = [Piece(f"{shown_key(pending.typed)} …   ", "strong")]
    for command in pending.options:
        sequence = next(key for key in command.keys if key.startswith(f"{pending.typed} "))
        pieces += [Piece(shown_key(sequence.split(" ")[1]), "key"), Piece(f" {command.title.lower()}   ")]
    return [*pieces, Piece("Esc nothing", "dim")]


def hint_commands(now: Situation) -> list[Command]:
    """Return the three commands that matter most now."""
    if now.opening:
        ids = ["app.leave"]
    elif now.connection in ("stopped", "failed") and not now.editing:
        ids = ["daemon.reconnect", "app.leave", "app.help"]
    elif now.editing:
        ids = ["cell.leave", "run.stay", "app.help"]
    elif not now.cells:
        ids = ["cell.insert_below", "app.palette", "app.help"]
    elif now.activity == "busy":
        ids = ["cell.edit", "kernel.interrupt", "app.help"]
    else:
        ids = ["cell.edit", "run.stay", "app.help"]
    return [BY_ID[id_] for id_ in ids]


def _hint_pieces(commands: Sequence[Command], now: Situation) -> list[Piece]:
    pieces: list[Piece] = []
    for command in commands:
        keys = command.keys_in(now.mode)
        # The key that works in every terminal: control and function keys before those that need the kitty
        # protocol.
        key = next((key for key in keys if "+enter" not in key), keys[0] if keys else "")
        if key:
            pieces += [
                Piece(("   " if pieces else "") + shown_key(key), "key"),
                Piece(f" {command.short}", "dim"),
            ]
    return pieces
