"""One connection to the daemon: a socket with its client session.

It knows no documents and never reconnects. The invariant: events reach the handler synchronously and in
order, and ``lost`` is called exactly once, last.
"""

from __future__ import annotations

import asyncio
import socket
from typing import Final, Protocol, cast

from runt.errors import ConnectionLost, RemoteProtocolError
from runt.protocol.events import SessionEvent
from runt.protocol.messages import Hello
from runt.protocol.session import ClientSession

CONGESTED_BYTES: Final = 1 << 20
"""Unsent bytes above which the connection counts as congested: edits then wait in their log instead of
here.
"""


class ConnectionHandler(Protocol):
    """Who uses a connection. None of these may raise, except `received` for what the daemon did wrong."""

    def received(self, connection: Connection, event: SessionEvent) -> None:
        """Take one event. `RemoteProtocolError` closes the connection."""

    def resumed(self, connection: Connection) -> None:
        """The connection is not congested any more."""

    def lost(self, connection: Connection, error: ConnectionLost) -> None:
        """The connection is gone."""


class Connection(asyncio.Protocol):
    """Use `open`. ``congested`` tells whether the daemon reads more slowly than we write."""

    def __init__(self, handler: ConnectionHandler) -> None:
        self.session = ClientSession()
        self.congested = False
        self._closed: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._handler = handler
        self._transport: asyncio.Transport | None = None
        self._fault: RemoteProtocolError | None = None

    @classmethod
    async def open(cls, connected: socket.socket, hello: Hello, handler: ConnectionHandler) -> Connection:
        """Take over a connected socket and say hello; what comes back goes to the handler."""
        loop = asyncio.get_running_loop()
        try:
            _, connection = await loop.create_unix_connection(lambda: cls(handler), sock=connected)
        except BaseException:
            connected.close()
            raise
        connection.send(connection.session.hello(hello))
        return connection

    @property
    def alive(self) -> bool:
        """Whether something can still be sent."""
        return self._transport is not None and not self._transport.is_closing() and not self.session.closed

    def send(self, data: bytes) -> None:
        """Send; silently nothing once the connection is gone (`lost` tells)."""
        if self._transport is not None and not self._transport.is_closing():
            self._transport.write(data)

    def close(self) -> None:
        """Close after what is buffered has been sent. `wait_closed` waits for the end."""
        self.session.close()
        if self._transport is not None:
            self._transport.close()

    async def wait_closed(self) -> None:
        """Wait until the connection is gone."""
        await asyncio.shield(self._closed)

    def abort(self) -> None:
        """Close at once."""
        self.session.close()
        if self._transport is not None:
            self._transport.abort()

    # asyncio.Protocol

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.Transport, transport)
        self._transport.set_write_buffer_limits(high=CONGESTED_BYTES)

    def data_received(self, data: bytes) -> None:
        try:
            for event in self.session.receive(data):
                self._handler.received(self, event)
        except RemoteProtocolError as error:
            self._fault = error
            self.abort()

    def pause_writing(self) -> None:
        self.congested = True

    def resume_writing(self) -> None:
        self.congested = False
        self._handler.resumed(self)

    def connection_lost(self, exc: Exception | None) -> None:
        self.session.close()
        cause = self._fault or exc
        error = ConnectionLost(
            f"the connection to the daemon was lost: {cause}" if cause else "the daemon went away"
        )
        error.__cause__ = cause
        if not self._closed.done():
            self._closed.set_result(None)
        self._handler.lost(self, error)
