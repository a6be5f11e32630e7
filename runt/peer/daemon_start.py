"""Finding the daemon, and starting it when there is none.

It speaks no protocol: its product is a connected socket whose other end is our own user. The invariant:
nothing is written to a socket before that check, and after three deaths in a minute no fourth daemon is
started.

The loser of a start race exits 0 without saying ``ready``; its client then connects to the winner. The
daemon's address is read from ``daemon.json``, never computed (two shells may compute different ones).
"""

from __future__ import annotations

import asyncio
import contextlib
import errno
import os
import socket
import subprocess
import sys
from collections import deque
from pathlib import Path
from typing import Final

from runt.errors import DaemonUnavailable
from runt.peer.credentials import is_our_own
from runt.store.daemon_record import DaemonRecord
from runt.store.log_file import open_log, read_end
from runt.store.places import Places, check_socket_path

BACK_OFF_S: Final = (0.1, 1.0, 5.0)
"""Seconds to wait before a start, by the number of recent deaths: the first start waits for nothing."""

MAX_DEATHS: Final = 3
DEATHS_WINDOW_S: Final = 60.0
"""This many deaths within this many seconds: stop trying, somebody must look at the log."""

START_PATIENCE_S: Final = 20.0
"""A start includes reading settings and adopting kernels; longer than this is a hang."""

POLL_S: Final = 0.02
"""How often the socket of another starter's daemon is tried."""

_ABSENT: Final = (FileNotFoundError, ConnectionRefusedError, NotADirectoryError, ConnectionResetError)

# A child must be waited for, or it stays a zombie while we live. Polled at each start.
_children: list[subprocess.Popen[bytes]] = []


class DaemonStart:
    """Connects to the daemon of ``places``; counts deaths over all connections of one client."""

    def __init__(self, places: Places) -> None:
        self.places = places
        self._deaths: deque[float] = deque(maxlen=MAX_DEATHS)

    def died(self) -> None:
        """Note that a daemon was lost without saying goodbye."""
        self._deaths.append(asyncio.get_running_loop().time())

    def forgive(self) -> None:
        """Forget earlier deaths: a person asked for another try."""
        self._deaths.clear()

    async def connect(self, *, start: bool = True) -> socket.socket:
        """Return a non-blocking socket that is connected to the daemon, starting one if needed and allowed.

        Raises:
            DaemonUnavailable: none runs and ``start`` is false, it cannot be started, or it is another
            user's. StoreError: our directories are unsafe or their paths too long.
        """
        while True:
            connected = await self.find()
            if connected is not None:
                return connected
            if not start:
                raise DaemonUnavailable("no daemon runs", hint="`runt daemon start` starts one")
            recent = self._recent_deaths()
            if recent >= MAX_DEATHS:
                raise DaemonUnavailable(f"the daemon died {recent} times in a minute", hint=self._log_tail())
            if recent:
                await asyncio.sleep(BACK_OFF_S[recent - 1])
                # Somebody else may have been faster.
                connected = await self.find()
                if connected is not None:
                    return connected
            await self._start()

    async def find(self) -> socket.socket | None:
        """Connect to a daemon that runs; None when there is none.

        Raises:
            DaemonUnavailable: it is another user's, or there is no way to it.
            SocketPathTooLong: no daemon can ever listen there.
        """
        record = DaemonRecord.read(self.places.daemon_json)
        endpoint = record.endpoint if record is not None else str(self.places.socket)
        check_socket_path(Path(endpoint))
        connected = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        try:
            connected.setblocking(False)
            await _connect(connected, endpoint)
            if not is_our_own(connected):
                raise DaemonUnavailable(
                    f"the daemon at {endpoint} belongs to another user", hint="set RUNT_RUNTIME_DIR"
                )
        except _ABSENT:
            connected.close()
            return None
        except OSError as error:
            connected.close()
            raise DaemonUnavailable(f"{endpoint}: {error.strerror}") from error
        except BaseException:
            connected.close()
            raise
        return connected

    def _recent_deaths(self) -> int:
        since = asyncio.get_running_loop().time() - DEATHS_WINDOW_S
        return sum(at >= since for at in self._deaths)

    async def _start(self) -> None:
        """Start a daemon and wait until it is ready, or until it has left the field to another one."""
        self.places.prepare()
        _children[:] = [child for child in _children if child.poll() is None]
        ready, said = os.pipe()
        try:
            try:
                process = await asyncio.to_thread(self._spawn, said)
            finally:
                os.close(said)
            _children.append(process)
            line = await _read_line(ready)
        finally:
            os.close(ready)
        word, _, rest = line.decode("utf-8", "replace").strip().partition(" ")
        if word == "ready":
            return
        if word == "error":
            raise DaemonUnavailable(rest or "the daemon could not start", hint=f"log: {self.places.log}")
        status = await asyncio.to_thread(_exit_status, process)
        if status is None:
            raise DaemonUnavailable("the daemon did not become ready", hint=self._log_tail())
        if status == 0 and await self._other_is_there():
            return
        self.died()

    def _spawn(self, said: int) -> subprocess.Popen[bytes]:
        environment = dict(os.environ)
        if Places.from_environment() != self.places:
            environment |= self.places.environment()
        log = open_log(self.places.log)
        try:
            return subprocess.Popen(
                [sys.executable, "-m", "runt.daemon", "--ready-fd", str(said)],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                # Not the caller's directory: it may be unmounted, and Python would import from it.
                cwd="/",
                env=environment,
                pass_fds=(said,),
                start_new_session=True,
            )
        finally:
            os.close(log)

    async def _other_is_there(self) -> bool:
        """Wait for the winner of a start race to listen."""
        loop = asyncio.get_running_loop()
        end = loop.time() + START_PATIENCE_S
        while loop.time() < end:
            connected = await self.find()
            if connected is not None:
                connected.close()
                return True
            await asyncio.sleep(POLL_S)
        return False

    def _log_tail(self) -> str:
        """What the log ends with, in one line: the last one says what went wrong."""
        lines = [line for line in read_end(self.places.log).splitlines() if line.strip()]
        last = f"its log ends with: {lines[-1].strip()}; " if lines else ""
        return f"{last}`runt daemon logs` shows more"


async def _connect(unconnected: socket.socket, endpoint: str) -> None:
    loop = asyncio.get_running_loop()
    while True:
        try:
            unconnected.connect(endpoint)
        except BlockingIOError:
            # The listener's backlog is full; unlike TCP, nothing is under way that could be waited for.
            await asyncio.sleep(POLL_S)
            continue
        except OSError as error:
            if error.errno == errno.EINPROGRESS:
                await loop.sock_connect(unconnected, endpoint)
                return
            raise
        return


async def _read_line(descriptor: int) -> bytes:
    """Read until a newline, the end, or START_PATIENCE_S; the caller closes the descriptor."""
    loop = asyncio.get_running_loop()
    done: asyncio.Future[None] = loop.create_future()
    os.set_blocking(descriptor, False)
    line = bytearray()

    def readable() -> None:
        with contextlib.suppress(BlockingIOError):
            data = os.read(descriptor, 4096)
            line.extend(data)
            if (not data or b"\n" in data) and not done.done():
                done.set_result(None)

    loop.add_reader(descriptor, readable)
    try:
        async with asyncio.timeout(START_PATIENCE_S):
            await done
    except TimeoutError:
        return bytes(line)
    finally:
        loop.remove_reader(descriptor)
    return bytes(line)


def _exit_status(process: subprocess.Popen[bytes]) -> int | None:
    try:
        # Its end of the pipe is closed: it is on its way out, or hung.
        return process.wait(timeout=2)
    except subprocess.TimeoutExpired:
        return None
