"""Tells the others where we are, and shows us where they are.

It keeps no list of peers (the session does). The invariant: at most ``MAX_REPORTS_PER_S`` reports leave, the
last of a burst always does, and nothing is sent while nothing changes.
"""

from __future__ import annotations

from collections.abc import Callable

from runt.notebook.notebook_document import CellKey
from runt.tui.desk import Desk
from runt.tui.editor.carets import Caret
from runt.tui.situation_tracker import person

MAX_REPORTS_PER_S = 15
# How long a caret carries its owner's name after it moved (seconds).
NAME_SHOWN_S = 2.0

Place = tuple[CellKey | None, int | None, int | None, str]
Later = Callable[[float, Callable[[], None]], object]


class PresenceReporter:
    """Both directions of presence for one desk. ``later(seconds, callback)`` is the app's timer."""

    def __init__(self, desk: Desk, later: Later) -> None:
        self._desk = desk
        self._later = later
        self._sent: Place | None = None
        self._due = False
        self._named: dict[str, int] = {}
        self._moved: dict[str, tuple[str | None, int | None]] = {}

    # -- ours --------------------------------------------------------------

    def moved(self) -> None:
        """Something of ours may have moved: report it soon."""
        if not self._due and self._place() != self._sent:
            self._due = True
            self._later(1 / MAX_REPORTS_PER_S, self._report)

    def _place(self) -> Place:
        desk = self._desk
        editor = desk.editor
        if editor is None:
            return desk.focused, None, None, desk.mode.value
        anchor, head = (editor.lines.offset(place) for place in editor.selection)
        return editor.key, anchor, head, desk.mode.value

    def _report(self) -> None:
        self._due = False
        place = self._place()
        if place != self._sent:
            self._sent = place
            self._desk.session.set_presence(*place)

    # -- theirs ------------------------------------------------------------

    def show_peers(self) -> None:
        """Draw the others: marks in the gutter, carets in the editor."""
        desk, carets = self._desk, {}
        marks: dict[str, list[tuple[str, str]]] = {}
        for peer, presence in desk.session.peers.items():
            someone = person(presence)
            self._note_move(peer, presence.cell, presence.head)
            if presence.cell is None:
                continue
            marks.setdefault(presence.cell, []).append((someone.name[:1], someone.color))
            editing_here = desk.editor is not None and desk.editor.key == presence.cell
            if editing_here and presence.head is not None:
                anchor = presence.head if presence.anchor is None else presence.anchor
                name = someone.name if self._named.get(peer) else ""
                carets[peer] = Caret(anchor, presence.head, someone.color, name)
        for gone in self._moved.keys() - desk.session.peers.keys():
            del self._moved[gone]
        desk.view.set_peer_marks(marks)
        if desk.editor is not None:
            desk.editor.show_carets(carets)

    def _note_move(self, peer: str, cell: str | None, head: int | None) -> None:
        before = self._moved.get(peer)
        self._moved[peer] = (cell, head)
        if before is None or before == (cell, head) or head is None:
            return
        self._named[peer] = self._named.get(peer, 0) + 1
        self._later(NAME_SHOWN_S, lambda: self._unname(peer))

    def _unname(self, peer: str) -> None:
        self._named[peer] -= 1
        if not self._named[peer]:
            del self._named[peer]
            self.show_peers()
