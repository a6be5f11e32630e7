"""A place for real kernels."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest_asyncio

from tests.runtime.kernel_house import KernelHouse


@pytest_asyncio.fixture
async def kernels() -> AsyncIterator[KernelHouse]:
    """Directories for kernels; what still runs at the end is ended."""
    house = KernelHouse()
    try:
        yield house
    finally:
        await house.close()
