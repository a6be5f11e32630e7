"""The daemon's listening socket: bound in a private directory, and made again if somebody removes it.

It accepts and knows nothing of what is said on a connection. The invariant: while it is open, the path
names a socket that we listen on, at the latest CHECK_INTERVAL_S after it vanished; and only our own socket
is ever removed.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
import socket
from collections.abc import Callable
from pathlib import Path

from runt.store.safe_directory import ensure_private_directory

log = logging.getLogger(__name__)

BACKLOG = 128
CHECK_INTERVAL_S = 2.0  # temporary directories are cleaned by age; nobody needs the new socket sooner


class Listener:
    """Listens at ``path``. Call with the daemon's lock held: what lies at the path then is stale."""

    def __init__(self, path: Path, factory: Callable[[], asyncio.BaseProtocol]) -> None:
        self.path = path
        self._factory = factory
        self._servers: list[asyncio.Server] = []
        self._inode: tuple[int, int] | None = None
        self._timer: asyncio.TimerHandle | None = None

    async def open(self) -> None:
        """Bind and listen. Raises OSError, UnsafeDirectory."""
        loop = asyncio.get_running_loop()
        listening = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM | socket.SOCK_CLOEXEC)
        try:
            with contextlib.suppress(FileNotFoundError):
                os.unlink(self.path)  # noqa: PTH108 - one system call on the path as it is
            listening.bind(str(self.path))
            os.chmod(self.path, 0o600)  # noqa: PTH101 - not every system applies the umask to sockets
            listening.setblocking(False)
            status = os.lstat(self.path)
            server = await loop.create_unix_server(self._factory, sock=listening, backlog=BACKLOG)
        except BaseException:
            listening.close()
            raise
        self._inode = (status.st_dev, status.st_ino)
        self._servers.append(server)
        if self._timer is None:
            self._timer = loop.call_later(CHECK_INTERVAL_S, self._check)

    def close(self) -> None:
        """Stop listening and remove the socket if it is ours."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        for server in self._servers:
            server.close()
        self._servers.clear()
        if self._is_there():
            with contextlib.suppress(OSError):
                self.path.unlink()
        self._inode = None

    def _is_there(self) -> bool:
        try:
            status = os.lstat(self.path)
        except OSError:
            return False
        return (status.st_dev, status.st_ino) == self._inode

    def _check(self) -> None:
        loop = asyncio.get_running_loop()
        self._timer = loop.call_later(CHECK_INTERVAL_S, self._check)
        if not self._is_there():
            self._reopening = loop.create_task(self._open_again(), name="listener: open again")

    async def _open_again(self) -> None:
        if self._inode is None or self._is_there():
            return
        log.warning("the socket %s vanished: made again", self.path)
        try:
            ensure_private_directory(self.path.parent)
            await self.open()
        except Exception as error:  # noqa: BLE001 - whatever is wrong with the directory, try again at the next check
            log.error("the socket %s cannot be made again: %s", self.path, error)  # noqa: TRY400 - one line
            return
        # Only now: a client that was connecting to the old one is still served by it until here.
        for server in self._servers[:-1]:
            server.close()
        del self._servers[:-1]
