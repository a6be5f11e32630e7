"""The link of a notebook: it gets a connection, keeps one, and says how that goes.

It knows the handshake and nothing of documents; everything after the Welcome goes to its user. The
invariants: at most one connection at a time; a daemon that said ``stopping`` is not started again until
somebody asks; a lost one is.
"""

from __future__ import annotations

import asyncio
import contextlib
from typing import Final, Protocol

from runt.errors import ConnectionLost, DaemonUnavailable, RequestError, RuntError
from runt.peer.connection import Connection
from runt.peer.daemon_start import DaemonStart
from runt.peer.events import ConnectionState
from runt.protocol.events import EventReceived, Refused, SessionEvent, Welcomed
from runt.protocol.messages import Hello, Refusal, Welcome

RESTART_PATIENCE_S: Final = 15.0
RESTART_POLL_S: Final = 0.1
"""After ``stopping {reason: restart}`` another daemon is expected, not started: how long, and how often we
look.
"""

REPEAT_DELAY_S: Final = 0.05
MAX_REPEAT_DELAY_S: Final = 5.0
STEADY_S: Final = 5.0
"""Pause after a connection that a living daemon closed: the first, doubled each time up to the second, and
how long a
connection must last to begin anew. A daemon that always closes is not hammered."""

MAX_CLOSED_HELLOS: Final = 8
"""Hellos on which the connection was closed without an answer (about 6 s), or refused and put otherwise."""


class LinkUser(Protocol):
    """Who uses a link. Called synchronously, in the order of the frames."""

    def hello(self) -> Hello:
        """What to say on the next connection."""

    def fall_back(self, refusal: Refusal) -> bool:
        """The daemon refused that hello. Whether another one should be tried."""

    def welcomed(self, connection: Connection, welcome: Welcome) -> None:
        """A connection is open."""

    def received(self, connection: Connection, event: SessionEvent) -> None:
        """An event after the Welcome."""

    def resumed(self, connection: Connection) -> None:
        """The connection is not congested any more."""

    def disconnected(self) -> None:
        """A welcomed connection is gone."""

    def state_changed(self, state: ConnectionState, detail: str) -> None:
        """How it goes."""


class Link:
    """Call `open` once, then it keeps itself connected until `close`."""

    def __init__(self, daemon: DaemonStart, user: LinkUser) -> None:
        self._daemon = daemon
        self._user = user
        self.connection: Connection | None = None
        self._answer: asyncio.Future[Refusal | None] | None = None
        self._stopping: str | None = None
        self._keeper: asyncio.Task[None] | None = None
        self._reopening = False
        self._repeat_delay_s = REPEAT_DELAY_S
        self._welcomed_at = 0.0

    async def open(self) -> None:
        """Connect and shake hands; afterwards the link keeps itself connected.

        Raises:
            RequestError: the daemon refused (``not_found``, …).
            DaemonUnavailable: there is none.
        """
        await self._connect(start=True)
        self._keeper = asyncio.create_task(self._keep(), name="notebook link")

    async def reopen(self) -> None:
        """Try again after ``stopped`` or ``failed``: a person asked. Raises as `open`; nothing while it is
        trying.
        """
        if self._reopening or (self._keeper is not None and not self._keeper.done()):
            return
        self._reopening = True
        self._daemon.forgive()
        self._user.state_changed("reconnecting", "")
        try:
            await self._connect(start=True)
        except RuntError as error:
            self._user.state_changed("failed", str(error))
            raise
        finally:
            self._reopening = False
        self._keeper = asyncio.create_task(self._keep(), name="notebook link")

    async def close(self) -> None:
        """Close the connection (after what is buffered was sent) and stop keeping it."""
        keeper, self._keeper = self._keeper, None
        if keeper is not None:
            keeper.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await keeper
        connection = self.connection
        if connection is not None:
            connection.close()
            await connection.wait_closed()

    # connecting

    async def _keep(self) -> None:
        while True:
            connection = self.connection
            if connection is not None:
                await connection.wait_closed()
            reason, self._stopping = self._stopping, None
            try:
                if reason is None:
                    self._user.state_changed("reconnecting", "the daemon went away")
                    await self._after_a_loss()
                elif reason == "restart":
                    self._user.state_changed("reconnecting", "the daemon restarts")
                    await self._await_successor()
                else:
                    self._user.state_changed("stopped", f"the daemon was stopped ({reason})")
                    return
            except RuntError as error:
                self._user.state_changed("failed", str(error))
                return

    async def _after_a_loss(self) -> None:
        """Connect again."""
        if asyncio.get_running_loop().time() - self._welcomed_at > STEADY_S:
            self._repeat_delay_s = REPEAT_DELAY_S
        await self._count_a_death_or_wait()
        await self._connect(start=True)

    async def _count_a_death_or_wait(self) -> None:
        """Whether the daemon died is seen by whether it still answers."""
        connected = await self._daemon.find()
        if connected is None:
            self._daemon.died()
            return
        connected.close()
        await asyncio.sleep(self._repeat_delay_s)
        self._repeat_delay_s = min(2 * self._repeat_delay_s, MAX_REPEAT_DELAY_S)

    async def _await_successor(self) -> None:
        loop = asyncio.get_running_loop()
        end = loop.time() + RESTART_PATIENCE_S
        while loop.time() < end:
            try:
                await self._connect(start=False)
            except (DaemonUnavailable, ConnectionLost):
                await asyncio.sleep(RESTART_POLL_S)
            else:
                return
        raise DaemonUnavailable("the daemon did not come back")

    async def _connect(self, *, start: bool) -> None:
        """Connect and shake hands, with the fall-back hello if the first is refused."""
        for _ in range(MAX_CLOSED_HELLOS):
            connected = await self._daemon.connect(start=start)
            self._answer = answer = asyncio.get_running_loop().create_future()
            self._stopping = None
            connection = await Connection.open(connected, self._user.hello(), self)
            try:
                refusal = await answer
            except ConnectionLost:
                # It died over our hello, or before it: the count of deaths ends this. One that lives only
                # closed the connection.
                if not start:
                    raise
                await self._count_a_death_or_wait()
                continue
            except BaseException:
                connection.abort()
                raise
            if refusal is None:
                return
            connection.close()
            await connection.wait_closed()
            if not self._user.fall_back(refusal):
                raise RequestError(refusal.code, refusal.message, hint=refusal.hint)
        raise DaemonUnavailable("the daemon closes the connection without an answer", hint="see its log")

    # ConnectionHandler

    def received(self, connection: Connection, event: SessionEvent) -> None:
        if isinstance(event, Welcomed):
            self.connection = connection
            self._welcomed_at = asyncio.get_running_loop().time()
            self._user.welcomed(connection, event.welcome)
            self._settle(None)
        elif isinstance(event, Refused):
            self._settle(event.refusal)
        else:
            if isinstance(event, EventReceived) and event.event.name == "stopping":
                self._stopping = str(event.event.data.get("reason") or "requested")
            self._user.received(connection, event)

    def resumed(self, connection: Connection) -> None:
        self._user.resumed(connection)

    def lost(self, connection: Connection, error: ConnectionLost) -> None:
        if self._answer is not None and not self._answer.done():
            self._answer.set_exception(error)
        if self.connection is connection:
            self.connection = None
            self._user.disconnected()

    def _settle(self, refusal: Refusal | None) -> None:
        if self._answer is not None and not self._answer.done():
            self._answer.set_result(refusal)
