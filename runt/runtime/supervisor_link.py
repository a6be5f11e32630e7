"""One connection from the daemon to a supervisor.

Not the kernel and not its journal: it turns bytes into records and orders into bytes. The invariant: each
record is handed over once, in journal order, and nothing after ``close``.
"""

from __future__ import annotations

import asyncio
import os
import socket
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import cast

from runt.errors import ConnectionLost, RemoteProtocolError, RuntError
from runt.runtime import supervisor_protocol as protocol
from runt.runtime.supervisor_protocol import Hello, Record

OnRecords = Callable[[Sequence[Record]], None]
OnLost = Callable[[str], None]

ANSWER_TIMEOUT_S = 10.0  # a supervisor answers in a millisecond; a machine that swaps may need longer


class SupervisorLink(asyncio.Protocol):
    """Use :func:`connect`. ``on_lost`` is called once, with a reason, unless ``close`` came first; a loss
    before the HELLO is an error of ``hello`` instead.
    """

    def __init__(self, on_records: OnRecords, on_lost: OnLost) -> None:
        self._on_records = on_records
        self._on_lost = on_lost
        self._buffer = bytearray()
        self._transport: asyncio.Transport | None = None
        self._closing = False
        self._hello: asyncio.Future[Hello] = asyncio.get_running_loop().create_future()
        self.closed: asyncio.Future[None] = asyncio.get_running_loop().create_future()

    # asyncio.Protocol

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Check who is at the other end before anything is sent."""
        self._transport = cast("asyncio.Transport", transport)
        uid = protocol.peer_uid(transport.get_extra_info("socket"))
        if uid != os.geteuid():
            self._fail(f"the supervisor's socket belongs to user {uid}")

    def data_received(self, data: bytes) -> None:
        """Hand over the records that are complete."""
        self._buffer += data
        try:
            for operation, payload in protocol.take_messages(self._buffer):
                if self._closing:
                    return
                if operation == protocol.RECORDS:
                    self._on_records(protocol.decode_batch(payload))
                elif operation == protocol.HELLO and not self._hello.done():
                    self._hello.set_result(protocol.decode_hello(payload))
        except RemoteProtocolError as error:
            self._fail(error.message)

    def connection_lost(self, exc: Exception | None) -> None:
        """Tell the owner, unless it was the one that closed."""
        reason = str(exc) if exc else "the supervisor closed its socket"
        greeted = self._hello.done() and self._hello.exception() is None
        if not self._hello.done():
            self._hello.set_exception(ConnectionLost(reason))
            self._hello.exception()  # retrieved: nobody may be waiting
        if not self.closed.done():
            self.closed.set_result(None)
        if not self._closing:
            self._closing = True
            if greeted:
                self._on_lost(reason)

    def _fail(self, reason: str) -> None:
        if self._transport is not None:
            self._transport.abort()
        if not self._closing:
            self._closing = True
            if not self._hello.done():
                self._hello.set_exception(RemoteProtocolError(reason))
                self._hello.exception()
            else:
                self._on_lost(reason)

    # the owner's side

    async def hello(self) -> Hello:
        """Wait for the supervisor's HELLO. Raises ConnectionLost, RemoteProtocolError."""
        try:
            return await asyncio.wait_for(asyncio.shield(self._hello), ANSWER_TIMEOUT_S)
        except TimeoutError as error:
            raise ConnectionLost("the supervisor does not answer") from error

    def write(self, data: bytes) -> bool:
        """Send one message; False if the connection is gone (the caller re-sends after the next attach)."""
        if self._transport is None or self._closing or self._transport.is_closing():
            return False
        self._transport.write(data)
        return True

    def pause(self) -> None:
        """Stop reading: the rest stays in the supervisor's journal."""
        if self._transport is not None and self._transport.is_reading():
            self._transport.pause_reading()

    def resume(self) -> None:
        """Read again."""
        if self._transport is not None and not self._closing and not self._transport.is_reading():
            self._transport.resume_reading()

    def close(self) -> None:
        """Detach. The supervisor and its kernel go on."""
        self._closing = True
        if self._transport is not None:
            self._transport.close()


async def connect(path: Path, on_records: OnRecords, on_lost: OnLost) -> SupervisorLink:
    """Connect to a supervisor's socket.

    Raises:
        ConnectionLost: nobody listens there.
    """
    loop = asyncio.get_running_loop()
    try:
        _, link = await loop.create_unix_connection(lambda: SupervisorLink(on_records, on_lost), str(path))
    except (OSError, RuntError) as error:
        raise ConnectionLost(f"no supervisor at {path}: {error}") from error
    return link


def listens(path: Path) -> bool:
    """Say whether somebody accepts connections at ``path``."""
    with socket.socket(socket.AF_UNIX) as probe:
        try:
            probe.connect(str(path))
        except OSError:
            return False
        return True
