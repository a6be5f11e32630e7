"""The supervisor's Unix socket: one listening socket and the daemons that connect to it.

It knows orders only as (operation, payload). The invariant: nothing is queued for a daemon in memory but
one batch; what it has not taken yet stays in the journal.
"""

from __future__ import annotations

import os
import socket

from runt.errors import RemoteProtocolError, StoreError
from runt.runtime import supervisor_protocol as protocol
from runt.runtime.supervisor_journal import SupervisorJournal
from runt.store.safe_directory import ensure_private_directory

BATCH_BYTES = 256 << 10
BATCHES_PER_TURN = 4  # then the kernel's sockets are drained again
MAX_CONNECTIONS = 4
_READ_BYTES = 256 << 10
_BACKLOG = 4


class DaemonConnection:
    """One accepted connection. ``position``: offset (bytes) up to which it has been served."""

    def __init__(self, connection: socket.socket) -> None:
        connection.setblocking(False)
        self.socket = connection
        self.position = -1  # no ATTACH yet
        self._inbox = bytearray()
        self._outbox = memoryview(b"")

    def receive(self) -> list[tuple[int, bytes]] | None:
        """Return the orders that have arrived; None: the other side is gone or talks nonsense."""
        try:
            data = self.socket.recv(_READ_BYTES)
        except BlockingIOError:
            return []
        except OSError:
            return None
        if not data:
            return None
        self._inbox += data
        try:
            return protocol.take_messages(self._inbox)
        except RemoteProtocolError:
            return None

    def queue(self, data: bytes) -> None:
        """Append one small message (HELLO)."""
        self._outbox = memoryview(bytes(self._outbox) + data)

    def push(self, journal: SupervisorJournal) -> bool:
        """Send as much as fits. False: the connection is broken."""
        for _ in range(BATCHES_PER_TURN):
            if not self._outbox:
                if self.position < 0 or self.position >= journal.end:
                    return True
                try:
                    entries = journal.read(self.position, BATCH_BYTES)
                except StoreError:
                    return False  # an offset that never was a record's end: not a daemon of ours
                if not entries:
                    return True
                self.position = entries[-1][0]
                self._outbox = memoryview(protocol.encode_batch(entries))
            try:
                sent = self.socket.send(self._outbox)
            except BlockingIOError:
                return True
            except OSError:
                return False
            self._outbox = self._outbox[sent:]
        return True

    def wants_to_write(self, journal: SupervisorJournal) -> bool:
        """Whether there is something to send as soon as the socket takes it."""
        return bool(self._outbox) or 0 <= self.position < journal.end


class Listener:
    """The listening socket; made again when its file vanishes (a cleaned /tmp, a logout)."""

    def __init__(self, path: str, inherited: int) -> None:
        self.path = path
        self.socket = socket.socket(fileno=inherited)
        self.socket.setblocking(False)
        os.set_inheritable(inherited, False)
        self._inode = _inode(path)

    def remove(self) -> None:
        """Close, and remove the socket's directory with all sockets in it."""
        self.socket.close()
        directory = os.path.dirname(self.path)
        try:
            for name in os.listdir(directory):
                os.unlink(os.path.join(directory, name))
            os.rmdir(directory)
        except OSError:
            pass  # somebody else cleans here too; what is left is harmless

    def accept(self) -> DaemonConnection | None:
        """Return a connection from our own user; others are closed unread."""
        try:
            connection, _ = self.socket.accept()
        except OSError:
            return None
        try:
            allowed = protocol.peer_uid(connection) == os.geteuid()
        except OSError:
            allowed = False
        if not allowed:
            connection.close()
            return None
        return DaemonConnection(connection)

    def is_gone(self) -> bool:
        """Whether the file is no longer our socket."""
        return _inode(self.path) != self._inode

    def make_again(self) -> None:
        """Bind a new socket at the path. Raises OSError, StoreError."""
        ensure_private_directory(os.path.dirname(self.path))
        fresh = socket.socket(socket.AF_UNIX)
        try:
            fresh.bind(self.path)
            os.chmod(self.path, 0o600)
            fresh.listen(_BACKLOG)
            fresh.setblocking(False)
        except OSError:
            fresh.close()
            raise
        self.socket.close()
        self.socket = fresh
        self._inode = _inode(self.path)


def _inode(path: str) -> tuple[int, int] | None:
    try:
        status = os.lstat(path)
    except OSError:
        return None
    return status.st_dev, status.st_ino
