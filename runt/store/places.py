"""Where runt keeps things: one value object, computed from the environment.

It opens no daemon and no database. The invariant: two shells of one user on one host always compute the same
``host`` directory, and with it the same ``daemon_json`` and ``daemon_lock``.

How a client finds the daemon
    The directory of *sockets* may differ between two shells: one has ``XDG_RUNTIME_DIR``, the other (ssh
    without PAM, cron, a container) has not. So nobody computes the daemon's address. A client reads
    ``daemon_json`` in the data directory and connects to the ``endpoint`` written there; only the daemon uses
    ``socket``, when it binds. The lock, too, lives beside ``daemon_json``: the loser of a start race finds
    the winner's endpoint there. In the same way a supervisor's socket is found by what its ``kernel.json``
    says, not by ``kernel_sockets``.

Each directory can be set: RUNT_DATA_DIR, RUNT_CACHE_DIR, RUNT_CONFIG_DIR, RUNT_STATE_DIR, RUNT_RUNTIME_DIR.
"""

from __future__ import annotations

import hashlib
import os
import pwd
import stat
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from runt.errors import SocketPathTooLong, UsageError
from runt.store.file_system import is_network
from runt.store.machine import machine_id
from runt.store.safe_directory import ensure_private_directory

SUN_PATH_BYTES = 103 if sys.platform == "darwin" else 107
"""What `sockaddr_un.sun_path` holds without its final NUL."""

KERNEL_SOCKET_NAME_CHARACTERS = 10
"""Length of a supervisor's directory name under ``kernel_sockets``."""

LINGER_DIRECTORY = Path("/var/lib/systemd/linger")
TEMPORARY_ROOT = Path("/tmp")


@dataclass(frozen=True)
class Places:
    """All directories of one user on one host. ``host`` is ``data/<machine id>``.

    ``locks`` is set only when ``data`` is on a network file system, where `flock` cannot be trusted.
    """

    data: Path
    host: Path
    cache: Path
    config: Path
    state: Path
    sockets: Path
    locks: Path | None = None

    @classmethod
    def from_environment(cls, environ: Mapping[str, str] = os.environ) -> Places:
        """The places that the variables (and the platform's customs) name. Makes nothing but a machine id.

        Raises `UsageError` when a RUNT_*_DIR variable is not an absolute path.
        """
        home = _home(environ)
        data = _override(environ, "RUNT_DATA_DIR") or _platform_directory(environ, home, "data")
        host = data / machine_id(data)
        shared_name = _shared_name(data)
        network = is_network(data)
        fallback = TEMPORARY_ROOT / f"runt-{os.geteuid()}"
        sockets = _override(environ, "RUNT_RUNTIME_DIR")
        if sockets is None:
            sockets = _sockets(environ, host, network, fallback, shared_name)
        return cls(
            data=data,
            host=host,
            cache=_override(environ, "RUNT_CACHE_DIR") or _platform_directory(environ, home, "cache"),
            config=_override(environ, "RUNT_CONFIG_DIR") or _platform_directory(environ, home, "config"),
            state=_override(environ, "RUNT_STATE_DIR") or _platform_directory(environ, home, "state"),
            sockets=sockets,
            locks=fallback / (shared_name or "default") if network else None,
        )

    @classmethod
    def under(cls, root: Path) -> Places:
        """Everything below one directory (tests, benchmarks, throw-away daemons). Keep `root` short."""
        root = root.absolute()
        return cls.from_environment(
            {f"RUNT_{kind.upper()}_DIR": str(root / kind) for kind in ("data", "cache", "config", "state")}
            | {"RUNT_RUNTIME_DIR": str(root / "s"), "HOME": str(root)}
        )

    def environment(self) -> dict[str, str]:
        """The variables that make a child process compute these same places."""
        return {
            "RUNT_DATA_DIR": str(self.data),
            "RUNT_CACHE_DIR": str(self.cache),
            "RUNT_CONFIG_DIR": str(self.config),
            "RUNT_STATE_DIR": str(self.state),
            "RUNT_RUNTIME_DIR": str(self.sockets),
        }

    @property
    def socket(self) -> Path:
        """Where the daemon binds. Clients use the endpoint in `daemon_json`."""
        return self.sockets / "d.sock"

    @property
    def daemon_json(self) -> Path:
        return self.host / "daemon.json"

    @property
    def daemon_lock(self) -> Path:
        return (self.locks or self.host) / "daemon.lock"

    @property
    def rooms(self) -> Path:
        return self.host / "notebook-docs"

    @property
    def blobs(self) -> Path:
        return self.host / "blobs"

    @property
    def path_index(self) -> Path:
        return self.host / "path-index.db"

    @property
    def supervisors(self) -> Path:
        return self.host / "kernels"

    @property
    def kernel_sockets(self) -> Path:
        return self.sockets / "k"

    @property
    def log(self) -> Path:
        return self.state / "log" / "daemon.log"

    @property
    def pending(self) -> Path:
        return self.state / "pending"

    @property
    def copies(self) -> Path:
        """Safety copies of files that have to be written in place."""
        return self.state / "copies"

    @property
    def settings_json(self) -> Path:
        return self.config / "settings.json"

    def prepare(self) -> None:
        """Make the private directories, or check those that exist.

        Raises:
            UnsafeDirectory: one of them is not ours alone.
            SocketPathTooLong: a socket in `sockets` or `kernel_sockets` would not fit.
        """
        for path in (self.socket, longest_socket(self.sockets)):
            check_socket_path(path)
        # Data and config may be links (dotfiles, a scratch disk): private is what lies inside data.
        for directory in (self.data, self.config, self.cache):
            if not directory.is_dir():
                ensure_private_directory(directory)
        if self.sockets.parent.parent == TEMPORARY_ROOT and self.sockets.parent.name.startswith("runt-"):
            ensure_private_directory(self.sockets.parent)
        if self.locks is not None:
            ensure_private_directory(self.locks.parent)
            ensure_private_directory(self.locks)
        inside = (self.rooms, self.blobs, self.supervisors, self.kernel_sockets)
        for directory in (self.host, self.state, self.sockets, *inside, self.log.parent, self.pending):
            ensure_private_directory(directory)


def longest_socket(sockets: Path) -> Path:
    """The longest socket path that is made below a directory of sockets."""
    return sockets / "k" / ("x" * KERNEL_SOCKET_NAME_CHARACTERS) / "sock"


def check_socket_path(path: Path) -> None:
    """Raises `SocketPathTooLong` when `path` does not fit into ``sun_path``."""
    if len(os.fsencode(path)) > SUN_PATH_BYTES:
        raise SocketPathTooLong(str(path), SUN_PATH_BYTES)


def _sockets(environ: Mapping[str, str], host: Path, network: bool, fallback: Path, shared_name: str) -> Path:
    """Without RUNT_RUNTIME_DIR: $XDG_RUNTIME_DIR/runt, else <host>/run, else /tmp/runt-<uid>."""
    runtime = environ.get("XDG_RUNTIME_DIR", "")
    if runtime and _is_private(Path(runtime)) and lingers():
        candidate = Path(runtime) / "runt" / shared_name
        if _fits(candidate):
            return candidate
    inside = host / "run"
    if not network and _fits(inside):
        return inside
    return fallback / shared_name


def lingers(directory: Path = LINGER_DIRECTORY) -> bool:
    """Whether systemd keeps this user's runtime directory after the last logout."""
    try:
        name = pwd.getpwuid(os.geteuid()).pw_name
    except KeyError:
        return False
    return (directory / name).exists()


def _fits(sockets: Path) -> bool:
    return len(os.fsencode(longest_socket(sockets))) <= SUN_PATH_BYTES


def _is_private(path: Path) -> bool:
    try:
        status = path.lstat()
    except OSError:
        return False
    mine = path.is_absolute() and stat.S_ISDIR(status.st_mode) and status.st_uid == os.geteuid()
    return mine and not status.st_mode & 0o077


def _shared_name(data: Path) -> str:
    """ "" for the account's ordinary data directory; else a name of its own.

    Two daemons with different data directories must not fight for one socket in a directory that they share.
    """
    try:
        account_home = Path(pwd.getpwuid(os.geteuid()).pw_dir)
    except KeyError:
        account_home = Path("/nonexistent")
    if data == _platform_directory({}, account_home, "data"):
        return ""
    return hashlib.sha256(os.fsencode(data)).hexdigest()[:8]


def _override(environ: Mapping[str, str], name: str) -> Path | None:
    value = environ.get(name, "")
    if not value:
        return None
    path = Path(value)
    if not path.is_absolute():
        raise UsageError(f"{name}={value}: not an absolute path", hint="give the full path, starting with /")
    return path


def _home(environ: Mapping[str, str]) -> Path:
    home = environ.get("HOME", "")
    if home and Path(home).is_absolute():
        return Path(home)
    try:
        return Path(pwd.getpwuid(os.geteuid()).pw_dir)
    except KeyError as error:
        raise UsageError("no home directory: HOME is not set", hint="set HOME") from error


def _platform_directory(environ: Mapping[str, str], home: Path, kind: str) -> Path:
    """The XDG base directory specification; macOS's Library when no XDG variable is set."""
    base = environ.get(f"XDG_{kind.upper()}_HOME", "")
    if base and Path(base).is_absolute():  # the specification: a relative path is to be ignored
        return Path(base) / "runt"
    if sys.platform == "darwin":
        library = home / "Library"
        return {
            "data": library / "Application Support" / "runt",
            "cache": library / "Caches" / "runt",
            "config": library / "Application Support" / "runt" / "config",
            "state": library / "Application Support" / "runt" / "state",
        }[kind]
    below = {"data": ".local/share", "cache": ".cache", "config": ".config", "state": ".local/state"}[kind]
    return home / below / "runt"
