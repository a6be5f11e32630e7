"""Opening and making notebooks in the terminal: ``runt PATH``, ``runt open``, ``runt new``.

It is not the screen (``runt.tui``), which it imports only when it is about to be shown. Invariant: a path that cannot
be opened is refused here or by the daemon before the screen is touched.
"""

from __future__ import annotations

import sys
from pathlib import Path

from runt.errors import NotebookFileError, UsageError

SUFFIX = ".ipynb"


def open_in_terminal(path: str) -> int:
    """Show an existing notebook; returns the exit status.

    ``path`` is as typed; ``.ipynb`` may be left out. An untitled one is named by its handle (`runt ls`).
    """
    room = untitled_room(path)
    found = existing_notebook(path) if room is None else None
    require_terminal()
    from runt.tui.run import run_notebook

    return run_notebook(None if found is None else str(found), room=room)


def new_in_terminal(path: str | None) -> int:
    """Make a notebook (untitled without a path) and show it; returns the exit status."""
    target = None if path is None else new_notebook_path(path)
    require_terminal()
    from runt.tui.run import run_notebook

    return run_notebook(None if target is None else str(target), new=True)


def untitled_room(name: str) -> str | None:
    """The room of an untitled notebook, None if the name is none of a handle or a file has it."""
    if not name.startswith("untitled-") or Path(name).exists():
        return None
    from runt.peer.untitled import room_of
    from runt.store.places import Places

    return room_of(name, Places.from_environment())


def existing_notebook(path: str) -> Path:
    """The absolute path of a notebook that exists; raises ``NotebookFileError`` otherwise."""
    if not path:
        raise NotebookFileError("''", "is not a path", hint="name a notebook")
    given = Path(path).expanduser().absolute()
    target = given
    if not given.exists() and given.suffix != SUFFIX:
        target = given.with_name(given.name + SUFFIX)
    if target.is_dir():
        raise NotebookFileError(path, "is a directory", hint="name a notebook in it")
    if not target.exists():
        raise NotebookFileError(path, "no such file", hint=f"`runt new {path}` makes one")
    return target


def new_notebook_path(path: str) -> Path:
    """The absolute path for a notebook to be made; raises ``NotebookFileError`` if something is there already."""
    target = Path(path).expanduser().absolute()
    if target.is_dir():
        raise NotebookFileError(path, "is a directory", hint="name a notebook in it")
    if target.suffix != SUFFIX:
        target = target.with_name(target.name + SUFFIX)
    if target.exists():
        raise NotebookFileError(str(target), "exists already", hint=f"`runt {path}` opens it")
    if not target.parent.is_dir():
        raise NotebookFileError(str(target), "its directory does not exist", hint=f"mkdir -p {target.parent}")
    return target


def require_terminal() -> None:
    """Refuse to draw a screen where there is none."""
    if not (sys.stdin.isatty() and sys.stdout.isatty()):
        raise UsageError("not a terminal", hint="`runt cat` and `runt run` work without one")
