"""A room that takes long to open."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from runt.daemon import connection
from runt.daemon.lifecycle import Daemon
from tests.daemon.daemon_in_loop import DaemonInLoop


async def test_who_has_said_hello_may_wait_for_the_opening(
    here: DaemonInLoop, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The limit for an unsaid hello does not close a connection whose notebook is still being opened."""
    monkeypatch.setattr(connection, "HANDSHAKE_TIMEOUT_S", 0.3)
    arrived, past_the_limit = asyncio.Event(), asyncio.Event()
    open_channel = Daemon.open_channel

    async def slowly(self: Daemon, *arguments: Any) -> Any:
        arrived.set()
        await past_the_limit.wait()
        return await open_channel(self, *arguments)

    monkeypatch.setattr(Daemon, "open_channel", slowly)
    joining = asyncio.create_task(here.join(here.notebook("a.ipynb", "1")))
    await arrived.wait()
    silent_reader, silent = await asyncio.open_unix_connection(str(here.places.socket))
    await silent_reader.read()  # the one that says nothing is closed, after the limit
    silent.close()
    past_the_limit.set()
    assert (await joining).sources() == ["1"]
