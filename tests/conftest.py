"""Fixtures shared by all tests: a house with its own daemon, removed afterwards."""

from __future__ import annotations

import signal
from collections.abc import Iterator

import pytest

from tests.harness.house import House

# A runner that was started by nohup ignores hang-ups, and so would every program that a test hangs up on.
signal.signal(signal.SIGHUP, signal.SIG_DFL)


@pytest.fixture
def house() -> Iterator[House]:
    """A private place with its own daemon; fails if a process of it outlives the test."""
    with House() as place:
        yield place
