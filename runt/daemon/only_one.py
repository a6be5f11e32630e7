"""That this daemon is the only one, and can be found: taking the lock, and looking after it and the record.

It serves nobody. The invariants: of many that start at once one serves, and a starter leaves only when another
daemon answers; a daemon whose lock file was removed ends, since another one could start beside it.
"""

from __future__ import annotations

import asyncio
import logging
import socket
import time
from typing import TYPE_CHECKING

from runt.errors import StoreError
from runt.store.daemon_record import DaemonRecord
from runt.store.places import Places
from runt.store.singleton import SingletonLock

if TYPE_CHECKING:
    from runt.daemon.lifecycle import Daemon

log = logging.getLogger(__name__)

WINNER_PATIENCE_S = 15.0  # one that starts needs a second, one that ends its kernels perhaps ten
WINNER_POLL_S = 0.02
WATCH_S = 2.0


def take_lock(places: Places) -> SingletonLock | None:
    """The lock, or None when another daemon has it and answers. Blocks while another one starts or ends.

    Raises `StoreError` when somebody keeps the lock and no daemon answers.
    """
    end = time.monotonic() + WINNER_PATIENCE_S
    while (lock := SingletonLock.acquire(places.daemon_lock)) is None:
        if _answers(places):
            return None
        if time.monotonic() > end:
            raise StoreError(
                f"another process holds {places.daemon_lock}, and no daemon answers",
                hint=f"`fuser {places.daemon_lock}` names it",
            )
        time.sleep(WINNER_POLL_S)
    return lock


def _answers(places: Places) -> bool:
    record = DaemonRecord.read(places.daemon_json)
    if record is None:
        return False
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as probe:
        probe.settimeout(WINNER_POLL_S)
        try:
            probe.connect(record.endpoint)
        except BlockingIOError:
            return True  # so many wait to be accepted
        except OSError:
            return False
    return True


async def look_after(daemon: Daemon, lock: SingletonLock) -> None:
    """Until cancelled: write a lost record again; end the daemon when its lock file was removed."""
    while True:
        await asyncio.sleep(WATCH_S)
        if not lock.still_names_file():
            log.error("the lock %s was removed: saving what can be saved, and stopping", lock.path)
            # Their directories are gone as well: no later daemon could find these kernels.
            daemon.stop("its data directory was removed", kernels=True)
            return
        daemon.renew_record()
