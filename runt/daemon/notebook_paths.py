"""Paths of notebooks as clients give them, turned into the one real path that names a room.

It opens nothing. The invariant: what comes out is absolute, canonical (links resolved) and names a regular
file that we may read, or nothing at all; everything else is a refusal with one clear line.
"""

from __future__ import annotations

import os
import stat
from dataclasses import dataclass
from pathlib import Path

from runt.daemon.refusals import RequestRefused, bad_request

SUFFIX = ".ipynb"


@dataclass(frozen=True, slots=True)
class NotebookPath:
    """A canonical path. ``exists`` is what was true when it was looked at."""

    path: Path
    exists: bool


def locate(given: str) -> NotebookPath:
    """Resolve a client's path. Blocks on the disk.

    Raises: RequestRefused: bad_request (relative, NUL), is_directory, permission, not_a_notebook (a socket,
    a device).
    """
    if "\0" in given or not Path(given).is_absolute():
        raise bad_request(f"not an absolute path: {given!r}")
    path = Path(given)
    try:
        if path.suffix != SUFFIX and path.name and not path.exists():
            path = path.with_name(path.name + SUFFIX)
        real = Path(os.path.realpath(path))
        status = real.stat()
    except FileNotFoundError:
        return NotebookPath(real, exists=False)
    except NotADirectoryError as error:
        raise RequestRefused("not_found", f"{given}: a part of the path is not a directory") from error
    except PermissionError as error:
        raise RequestRefused("permission", f"{given}: permission denied") from error
    except OSError as error:
        raise RequestRefused("io_error", f"{given}: {error.strerror}") from error
    if stat.S_ISDIR(status.st_mode):
        raise RequestRefused("is_directory", f"{given} is a directory", hint="name a notebook file")
    if not stat.S_ISREG(status.st_mode):
        raise RequestRefused("not_a_notebook", f"{given} is not a regular file")
    if not os.access(real, os.R_OK):
        raise RequestRefused("permission", f"{given}: permission denied")
    return NotebookPath(real, exists=True)
