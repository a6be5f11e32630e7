"""Notebooks without a file: what a person calls them, and how they are found again.

It opens nothing. The invariant: a handle (``untitled-1a2b3c4d``) names one room for the room's whole life, also while
no daemon has it open.
"""

from __future__ import annotations

import re

from runt.errors import NotebookFileError
from runt.store.places import Places

HANDLE = re.compile(r"untitled-([0-9a-f]{8})")


def handle(room: str) -> str:
    """What to call the untitled notebook of a room (its UUID)."""
    return f"untitled-{room[:8]}"


def room_of(name: str, places: Places) -> str | None:
    """The room that a handle names; None when ``name`` is not a handle.

    Raises:
        NotebookFileError: it is one, but there is no such room.
    """
    found = HANDLE.fullmatch(name)
    if found is None:
        return None
    rooms = sorted(path.stem for path in places.rooms.glob(f"{found[1]}*.db"))
    if not rooms:
        raise NotebookFileError(name, "no such notebook", hint="`runt ls` lists those that are open")
    return rooms[0]
