"""The daemon's process: from the command line to a running daemon, and its exit status.

It holds no logic of the daemon. The invariant: whoever started us learns through the ready pipe what became
of it: one line ``ready`` or ``error <message>``, or, if another daemon was first, nothing and exit status
0.
"""

from __future__ import annotations

import asyncio
import logging
import os
import signal
import sys
from collections.abc import Sequence
from typing import TYPE_CHECKING

from runt.daemon.only_one import look_after, take_lock
from runt.errors import RuntError
from runt.store.places import Places
from runt.store.singleton import SingletonLock

if TYPE_CHECKING:
    from runt.daemon.lifecycle import Daemon

log = logging.getLogger(__name__)

# Loads and saves run in threads, and a commit hops over two threads; each hop may wait this long for the
# interpreter. While a notebook of 5000 cells was loaded, a typed character took 24 ms (median) to the other
# client with Python's default of 5 ms, and 3 ms with this (November 2026, 2 busy cores).
SWITCH_INTERVAL_S = 0.0005

USAGE = "usage: python -m runt.daemon [--ready-fd N]"


class ReadyPipe:
    """The pipe to whoever started us; nothing happens without one."""

    def __init__(self, descriptor: int | None) -> None:
        self._descriptor = descriptor
        if descriptor is not None:
            os.set_inheritable(descriptor, False)

    @property
    def present(self) -> bool:
        """Somebody started us and waits."""
        return self._descriptor is not None

    def say(self, line: str) -> None:
        """Write one line and close. A reader that went away is no reason to stop."""
        if self._descriptor is None:
            return
        descriptor, self._descriptor = self._descriptor, None
        try:
            os.write(descriptor, line.replace("\n", " ").encode() + b"\n")
        except OSError as error:
            log.info("nobody waits for the ready line: %s", error)
        finally:
            os.close(descriptor)


def main(arguments: Sequence[str]) -> int:
    """Run the daemon until it is asked to stop. Returns the exit status."""
    umask = os.umask(0o077)  # ours, for all we keep; notebooks are made under the user's
    sys.setswitchinterval(SWITCH_INTERVAL_S)
    match list(arguments):
        case []:
            pipe = ReadyPipe(None)
        case ["--ready-fd", number] if number.isdecimal():
            pipe = ReadyPipe(int(number))
        case _:
            print(USAGE, file=sys.stderr)  # noqa: T201
            return 2
    try:
        return _run(pipe, umask)
    except (RuntError, OSError) as error:
        pipe.say(f"error {error}")
        print(f"runt daemon: {error}", file=sys.stderr)  # noqa: T201
        return 1


def _run(pipe: ReadyPipe, umask: int) -> int:
    places = Places.from_environment()
    places.prepare()
    lock = take_lock(places)
    if lock is None:
        return 0
    try:
        _set_up_log(places, take_stdio=pipe.present)
        from runt.daemon.lifecycle import Daemon

        asyncio.run(_serve(Daemon(places, umask=umask), lock, pipe))
    except Exception:
        log.exception("the daemon ends by an error")
        raise
    finally:
        lock.release()
    return 0


async def _serve(daemon: Daemon, lock: SingletonLock, pipe: ReadyPipe) -> None:
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, daemon.stop)
    signal.signal(signal.SIGHUP, signal.SIG_IGN)  # the terminal's end is not ours
    watch = loop.create_task(look_after(daemon, lock), name="look after lock and record")
    try:
        await daemon.run(lambda: pipe.say("ready"))
    finally:
        watch.cancel()


def _set_up_log(places: Places, *, take_stdio: bool) -> None:
    from runt.store.log_file import log_handler

    logging.basicConfig(level=logging.INFO, handlers=[log_handler(places.log, take_stdio=take_stdio)])
    logging.getLogger("asyncio").setLevel(logging.WARNING)
