"""The top line: file, unsaved mark, kernel, environment, kernel state, the people here. Words only; the
situation has the facts."""

from __future__ import annotations

from runt.tui.bar_line import BarLine, Piece, Role, fitted, total_width
from runt.tui.situation import Situation

UNSAVED_MARK = "●"
# People are named while there are few; more become initials and a count.
NAMED_PEOPLE = 3
# Narrower screens (cells) show no environment, no kernel name.
ROOMY_CELLS = 70


class TitleLine(BarLine):
    """Shows the situation's file and kernel."""

    _now: Situation | None = None

    def show(self, now: Situation) -> None:
        """Take over the situation."""
        self._now = now
        self.changed()

    def pieces_for(self, width: int) -> list[Piece]:
        """Return the line for ``width`` cells."""
        return [] if self._now is None else title_pieces(self._now, width)


def title_pieces(now: Situation, width: int) -> list[Piece]:
    """Return the line for a screen of ``width`` cells: the right part keeps its place, the file name is cut
    first."""
    left = [Piece(f" {now.file_name or 'untitled'}", "strong")]
    if now.unsaved:
        left.append(Piece(f" {UNSAVED_MARK}", "warning"))
    right = [*_kernel(now, width), *_people(now, width), Piece(" ")]
    room = width - total_width(right) - 1
    left = fitted(left, max(8, room))
    gap = max(1, width - total_width(left) - total_width(right))
    return [*left, Piece(" " * gap), *right]


def _kernel(now: Situation, width: int) -> list[Piece]:
    if now.opening:
        return []
    word, role = kernel_words(now)
    names = [now.kernel_name, now.environment] if width >= ROOMY_CELLS else []
    before = "".join(f"{name} · " for name in names if name)
    return [Piece(before, "dim"), Piece(word, role)]


def kernel_words(now: Situation) -> tuple[str, Role]:
    """Return the kernel's state in a word or two, and how to colour it."""
    match now.kernel_state:
        case "ready":
            if now.activity == "busy":
                return (f"busy · {now.queued} waiting" if now.queued else "busy"), "good"
            return "idle", "dim"
        case "starting" | "restarting":
            return f"{now.kernel_state} …", "dim"
        case "dead":
            return "kernel died", "error"
        case "stopped":
            return "kernel stopped", "warning"
        case _:
            return "no kernel", "dim"


def _people(now: Situation, width: int) -> list[Piece]:
    if not now.people:
        return []
    pieces = [Piece("   ")]
    if width >= ROOMY_CELLS and len(now.people) <= NAMED_PEOPLE:
        for person in now.people:
            pieces += [Piece(person.name, "text", person.color), Piece(" ")]
        return pieces[:-1]
    for person in now.people[:NAMED_PEOPLE]:
        pieces.append(Piece(person.name[:1], "text", person.color))
    if len(now.people) > NAMED_PEOPLE:
        pieces.append(Piece(f" +{len(now.people) - NAMED_PEOPLE}", "dim"))
    return pieces
