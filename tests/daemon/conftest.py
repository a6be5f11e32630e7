"""Fixtures of the daemon's tests."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest_asyncio

from tests.daemon.daemon_in_loop import DaemonInLoop


@pytest_asyncio.fixture
async def here() -> AsyncIterator[DaemonInLoop]:
    """A running daemon with its own places."""
    async with DaemonInLoop() as daemon:
        yield daemon
