"""Fixtures of the peer's tests."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest_asyncio

from tests.peer.small_daemon import Scene, small_scene


@pytest_asyncio.fixture
async def scene() -> AsyncIterator[Scene]:
    """A small daemon with clients, closed afterwards."""
    async with small_scene() as place:
        yield place
