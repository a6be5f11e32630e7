"""What this process says about itself: its name, its environment for a kernel, its paths.

It keeps nothing. The invariant: paths that leave here are absolute.
"""

from __future__ import annotations

import os
import pwd
from pathlib import Path
from typing import Any

from runt import __version__
from runt.protocol.messages import ClientInfo


def client_info(name: str | None) -> ClientInfo:
    """Who we say we are: the name given, else what ``RUNT_NAME`` says, else the login name."""
    return ClientInfo(name=name or own_name(), version=__version__, pid=os.getpid())


def own_name() -> str:
    """The name that other people see: ``RUNT_NAME``, else the login name, else the user's number (containers)."""
    try:
        return os.environ.get("RUNT_NAME") or pwd.getpwuid(os.getuid()).pw_name
    except KeyError:
        return str(os.getuid())


def absolute_path(path: str | os.PathLike[str]) -> str:
    """The path from the root. Links stay as they are: the daemon resolves them."""
    return os.path.abspath(os.path.expanduser(path))  # noqa: PTH100, PTH111 - resolve() would follow links


def kernel_surroundings(notebook_path: str | None) -> dict[str, Any]:
    """Parameters of ``kernel.start``: the notebook's directory (else ours), environment, umask, time zone."""
    directory = Path(notebook_path).parent if notebook_path else Path.cwd()
    return {"cwd": str(directory), "env": dict(os.environ), "umask": _umask(), "tz": os.environ.get("TZ")}


def _umask() -> int:
    # There is no way to read it without setting it, except on Linux.
    try:
        for line in Path("/proc/self/status").read_text().splitlines():
            if line.startswith("Umask:"):
                return int(line.split()[1], 8)
    except OSError:
        pass
    umask = os.umask(0o077)
    os.umask(umask)
    return umask
