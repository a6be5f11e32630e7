"""What matters right now, as one value: the mode, the focused cell, the kernel, the connection.

Commands ask it whether they are available, title and status line show it. It holds no documents and no
widgets.
The invariant: every text in it is safe to display.
"""

from __future__ import annotations

from enum import Enum

import msgspec


class Mode(Enum):
    """What keys mean: commands on cells, or text in a cell."""

    COMMAND = "command"
    EDIT = "edit"


class Person(msgspec.Struct, frozen=True):
    """Somebody else in the notebook."""

    name: str
    color: str


class Situation(msgspec.Struct, frozen=True):
    """Counts are of cells unless said otherwise; ``position`` counts from 1, 0 when nothing is focused."""

    mode: Mode = Mode.COMMAND
    opening: bool = False
    file_name: str = ""
    unsaved: bool = False
    conflict: str = ""
    file_error: str = ""
    cells: int = 0
    position: int = 0
    cell_type: str = "code"
    kernel_name: str = ""
    kernel_state: str = "none"
    activity: str = ""
    environment: str = ""
    queued: int = 0
    running: int = 0
    undoable: str = ""
    redoable: str = ""
    clipboard: int = 0
    connection: str = "connected"
    connection_detail: str = ""
    waiting: int = 0
    people: tuple[Person, ...] = ()
    theme: str = ""
    help_shown: bool = False

    @property
    def editing(self) -> bool:
        """Whether keys type text."""
        return self.mode is Mode.EDIT

    @property
    def focused(self) -> bool:
        """Whether a cell has the focus bar."""
        return self.position > 0
