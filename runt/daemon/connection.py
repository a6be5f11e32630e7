"""One client's connection: bytes in, session events to a channel, bounded bytes out.

It knows neither rooms nor documents: after the handshake a channel does. The invariant: what goes wrong
here (garbage, an exception, a client that never reads) closes this connection and no other.
"""

from __future__ import annotations

import asyncio
import logging
import os
import socket
from typing import Protocol, cast

from runt.daemon.owned_tasks import OwnedTasks
from runt.errors import LocalProtocolError, RemoteProtocolError, RequestError
from runt.protocol.events import HelloReceived, SessionEvent
from runt.protocol.messages import Event, Failure, Hello, Refusal, Response
from runt.protocol.session import ServerSession, State
from runt.runtime.supervisor_protocol import peer_uid

log = logging.getLogger(__name__)

HANDSHAKE_TIMEOUT_S = 10.0  # a client says hello at once; this only collects forgotten sockets
SLOW_BYTES = 1 << 20  # above this backlog document updates are dropped and replaced by one state diff
MAX_BACKLOG_BYTES = 64 << 20  # a client that reads nothing at all is dropped before it costs more than this


class Channel(Protocol):
    """What a connection talks to once its Hello was accepted."""

    def receive(self, event: SessionEvent) -> None:
        """Take one event. Raises RemoteProtocolError to close the connection."""

    def burst_ended(self) -> None:
        """All events of one read were given."""

    def slowed(self) -> None:
        """The client reads more slowly than we send: more than SLOW_BYTES wait."""

    def resumed(self) -> None:
        """The backlog is gone."""

    def closed(self) -> None:
        """The connection is gone. Nothing may be sent any more."""


class Host(Protocol):
    """What a connection needs of the daemon."""

    def connected(self, connection: Connection) -> None: ...

    def disconnected(self, connection: Connection) -> None: ...

    async def open_channel(self, connection: Connection, hello: Hello) -> Channel:
        """Accept the Hello (send the Welcome) or raise RequestError to refuse it."""


class Connection(asyncio.Protocol):
    """One accepted socket. ``number`` counts connections of this daemon."""

    def __init__(self, host: Host, number: int) -> None:
        self.number = number
        self.session = ServerSession()
        self.hello: Hello | None = None
        self.slow = False
        self._host = host
        self._channel: Channel | None = None
        self._transport: asyncio.Transport | None = None
        self._tasks = OwnedTasks(f"connection {number}")
        self._deadline: asyncio.TimerHandle | None = None

    @property
    def client_name(self) -> str:
        return self.hello.client.name if self.hello is not None else ""

    @property
    def open(self) -> bool:
        """Something can still be sent."""
        return self._transport is not None and not self._transport.is_closing()

    # -- asyncio.Protocol -------------------------------------------------------------------------

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.Transport, transport)
        connected = cast("socket.socket | None", transport.get_extra_info("socket"))
        if connected is None or not _is_ours(connected):
            log.warning("connection %d refused: another user", self.number)
            self._transport.abort()
            return
        self._transport.set_write_buffer_limits(high=SLOW_BYTES, low=SLOW_BYTES // 4)
        self._host.connected(self)
        self.send(self.session.preamble())
        loop = asyncio.get_running_loop()
        self._deadline = loop.call_later(HANDSHAKE_TIMEOUT_S, self.close, "no hello")

    def data_received(self, data: bytes) -> None:
        try:
            for event in self.session.receive(data):
                if self._channel is not None:
                    self._channel.receive(event)
                elif isinstance(event, HelloReceived):
                    self._hello(event)
            if self._channel is not None:
                self._channel.burst_ended()
        except RemoteProtocolError as error:
            self._drop(error)
        except Exception:
            # A bug of ours met by this client's bytes: the others must not pay for it.
            log.exception("connection %d closed by an internal error", self.number)
            self.close("internal error")

    def eof_received(self) -> bool:
        return False  # a client that stopped writing has nothing more to say: close

    def pause_writing(self) -> None:
        self.slow = True
        if self._channel is not None:
            self._channel.slowed()

    def resume_writing(self) -> None:
        self.slow = False
        if self._channel is not None:
            self._channel.resumed()

    def connection_lost(self, exc: Exception | None) -> None:
        if self._deadline is not None:
            self._deadline.cancel()
        self.session.close()
        channel, self._channel = self._channel, None
        if channel is not None:
            channel.closed()
        self._host.disconnected(self)

    # -- for channels -----------------------------------------------------------------------------

    def send(self, data: bytes) -> None:
        """Send bytes that must not be dropped. A client with MAX_BACKLOG_BYTES unread is dropped instead."""
        transport = self._transport
        if transport is None or transport.is_closing():
            return
        transport.write(data)
        if transport.get_write_buffer_size() > MAX_BACKLOG_BYTES and len(data) < MAX_BACKLOG_BYTES:
            log.warning("connection %d dropped: it reads nothing", self.number)
            transport.abort()

    def respond(self, id_: str, ok: object) -> None:
        """Answer a request."""
        if self.open and self.session.state is State.OPEN:
            self.send(self.session.response(Response(id=id_, ok=ok)))

    def fail(self, id_: str, error: RequestError) -> None:
        """Refuse a request."""
        if not self.open or self.session.state is not State.OPEN:
            return
        failure = Failure(
            code=error.code, message=error.message, hint=error.hint, data=getattr(error, "data", {})
        )
        self.send(self.session.response(Response(id=id_, error=failure)))

    def event(self, event: Event) -> None:
        """Send something that is not kept. Before the handshake is done there is nobody to tell."""
        if self.open and self.session.state is State.OPEN:
            self.send(self.session.event(event))

    def pause_reading(self) -> None:
        """Stop reading: the room's journal is behind."""
        if self.open and self._transport is not None:
            self._transport.pause_reading()

    def resume_reading(self) -> None:
        if self.open and self._transport is not None:
            self._transport.resume_reading()

    def close(self, reason: str = "") -> None:
        """Send what is buffered and close."""
        if reason:
            log.info("connection %d: %s", self.number, reason)
        if self._transport is not None:
            self._transport.close()

    def abort(self) -> None:
        """Close without sending what is buffered."""
        if self._transport is not None:
            self._transport.abort()

    async def wait_closed(self) -> None:
        """Cancel what this connection still does."""
        await self._tasks.close()

    # -- the handshake ----------------------------------------------------------------------------

    def _hello(self, event: HelloReceived) -> None:
        self.hello = event.hello
        if self._deadline is not None:  # opening takes what it takes: a large file, a slow disk
            self._deadline.cancel()
        if not event.supported:
            self.refuse(
                Refusal(
                    code="protocol_version",
                    message=f"this daemon does not speak protocol {event.version}",
                    hint="restart runt",
                )
            )
            return
        self._tasks.start(self._open(event.hello), "opening")

    async def _open(self, hello: Hello) -> None:
        try:
            channel = await self._host.open_channel(self, hello)
        except RequestError as error:
            self.refuse(Refusal(code=error.code, message=error.message, hint=error.hint))
            return
        except Exception as error:
            log.exception("connection %d: opening failed", self.number)
            self.refuse(
                Refusal(code="internal", message=f"opening failed: {error!r}", hint="see the daemon's log")
            )
            return
        if not self.open:
            channel.closed()
            return
        self._channel = channel
        if self.slow:
            channel.slowed()

    def refuse(self, refusal: Refusal) -> None:
        """Refuse the Hello and close."""
        if self.open and self.session.state is not State.OPEN:
            try:
                self.send(self.session.refuse(refusal))
            except LocalProtocolError:
                log.exception("connection %d: the refusal could not be sent", self.number)
        self.close(f"refused: {refusal.code}")

    def _drop(self, error: RemoteProtocolError) -> None:
        log.warning("connection %d dropped: %s", self.number, error.message)
        self.refuse(Refusal(code="protocol", message=error.message, hint=error.hint))


def _is_ours(connected: socket.socket) -> bool:
    """Whether the other end runs as our own user. An answer that cannot be had counts as no."""
    try:
        return peer_uid(connected) == os.geteuid()
    except OSError:
        return False
