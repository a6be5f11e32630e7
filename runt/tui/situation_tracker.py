"""Keeps the situation of an open notebook: listens to the documents and the session, remembers what is dear
to read.

It shows nothing. The invariant: ``now`` costs the same at 5 and at 5000 cells; whatever grows with the
notebook is read only when it changed.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import PurePath

from runt.notebook.notebook_document import CellKey, NotebookChange
from runt.notebook.runtime_document import RuntimeChange
from runt.peer.events import PeerEvent, StatusChanged
from runt.terminal.sanitise import display_text
from runt.terminal.widths import truncate
from runt.tui.session import NotebookSession, PeerPresence
from runt.tui.situation import Mode, Person, Situation

# A name longer than this (cells) is cut: it stands in the title line beside others.
MAX_NAME_CELLS = 16
_COLOR = re.compile(r"#[0-9a-fA-F]{6}")
# For peers that name no colour, or one that is not a colour.
_COLORS = ("#d6b06f", "#6fb3b8", "#b59ad6", "#8fbf7f", "#e07a78", "#7aa2d6")


def person(presence: PeerPresence) -> Person:
    """Return how a peer is shown: a safe name and a safe colour."""
    name = truncate(display_text(presence.name).strip() or "somebody", MAX_NAME_CELLS, mark="…")
    color = presence.color
    return Person(name, color if _COLOR.fullmatch(color) else _COLORS[sum(name.encode()) % len(_COLORS)])


def file_name(path: str | None) -> str:
    """Return the name to show for a path, display-safe; empty for none."""
    return display_text(PurePath(path).name) if path else ""


class SituationTracker:
    """The situation of one session. ``on_change`` is called when it may differ; ``on_event`` with each event
    of the session."""

    def __init__(
        self, session: NotebookSession, on_change: Callable[[], None], on_event: Callable[[PeerEvent], None]
    ) -> None:
        self._session = session
        self._on_change = on_change
        self._on_event = on_event
        self._runtime_doubtful = True
        self._delayed = False
        self._queued = 0
        self._session_subscription = session.observe(self._note_event)
        self._subscribe()

    def _subscribe(self) -> None:
        self._subscriptions = [
            self._session.document.observe(self._note_notebook),
            self._session.runtime.observe(self._note_runtime),
        ]
        self._runtime_doubtful = True

    def replaced(self) -> None:
        """Follow the session's new documents."""
        for subscription in self._subscriptions:
            subscription.close()
        self._subscribe()

    def close(self) -> None:
        """Stop listening."""
        self._session_subscription.close()
        for subscription in self._subscriptions:
            subscription.close()

    # -- listening ---------------------------------------------------------

    def _note_notebook(self, change: NotebookChange) -> None:
        self._on_change()

    def _note_runtime(self, change: RuntimeChange) -> None:
        if change.kernel or change.queue or change.file:
            self._runtime_doubtful = True
            self._on_change()

    def _note_event(self, event: PeerEvent) -> None:
        if isinstance(event, StatusChanged):
            self._delayed = event.status.waiting > 0
        self._on_event(event)
        self._on_change()

    # -- the situation -----------------------------------------------------

    def _read_runtime(self) -> None:
        if self._runtime_doubtful:
            self._runtime_doubtful = False
            runtime = self._session.runtime
            self._kernel, self._file = runtime.kernel, runtime.file
            self._queued = len(runtime.queue)

    @property
    def unsaved(self) -> bool:
        """Whether the file lacks something, as far as the daemon knows; it does not know what waits here."""
        return not self._session.path or self._file.unsaved or bool(self._session.status.waiting)

    def _waiting(self) -> int:
        """How many changes wait for longer than it takes to send them: a change is no news, a delay is."""
        status = self._session.status
        if not status.waiting:
            self._delayed = False
        return status.waiting if status.state != "connected" or self._delayed else 0

    def running_cell(self) -> int:
        """Return the number (from 1) of the cell that runs, 0 if none does. Reads all executions."""
        runtime, document = self._session.runtime, self._session.document
        for key in runtime.execution_keys():
            execution = runtime.execution(key)
            if execution is not None and execution.status == "running" and key in document:
                return document.index(CellKey(key)) + 1
        return 0

    def now(
        self,
        *,
        mode: Mode,
        focused: CellKey | None,
        undoable: str,
        redoable: str,
        clipboard: int,
        theme: str,
        help_shown: bool,
    ) -> Situation:
        """Return the situation."""
        self._read_runtime()
        session, kernel = self._session, self._kernel
        document, status = session.document, session.status
        live = focused is not None and focused in document
        return Situation(
            mode=mode,
            file_name=file_name(session.path) or "untitled",
            unsaved=self.unsaved,
            conflict=display_text(self._file.conflict),
            file_error=display_text(self._file.error),
            cells=len(document),
            position=document.index(focused) + 1 if live and focused is not None else 0,
            cell_type=document.cell(focused).type if live and focused is not None else "code",
            kernel_name=display_text(kernel.name),
            kernel_state=kernel.state,
            activity=kernel.activity,
            environment=display_text(kernel.env_source),
            queued=self._queued,
            running=int(kernel.activity == "busy"),
            undoable=undoable,
            redoable=redoable,
            clipboard=clipboard,
            connection=status.state,
            connection_detail=display_text(status.detail),
            waiting=self._waiting(),
            people=tuple(person(presence) for _, presence in sorted(session.peers.items())),
            theme=theme,
            help_shown=help_shown,
        )
