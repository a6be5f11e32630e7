"""An `os` that fails at the Nth call: put in the place of a store module's `os`, nobody else notices.

Not a mock: every call but that one does the real thing. The invariant: a plan fails exactly one call, or none
when the scenario makes fewer, so that a loop over N ends when the scenario passes unfaulted.
"""

from __future__ import annotations

import errno
import os
import types
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import pytest

from runt.store import rename

FAILING = frozenset(
    {"open", "write", "writev", "pwrite", "fsync", "fdatasync", "rename", "replace", "link", "ftruncate"}
    | {"mkdir", "posix_fallocate", "fchmod", "fchown"}
)
ERRORS = (errno.ENOSPC, errno.EIO)


class Plan:
    """Which call fails, and with what. `fired` is its name once it has."""

    def __init__(self, number: int, code: int) -> None:
        self.number = number
        self.code = code
        self.calls = 0
        self.fired: str | None = None

    def step(self, name: str) -> None:
        self.calls += 1
        if self.calls == self.number:
            self.fired = name
            raise OSError(self.code, os.strerror(self.code))


class FaultyOs:
    """Delegates to `os`, counting the calls that a disk can fail."""

    def __init__(self, plan: Plan) -> None:
        self._plan = plan

    def __getattr__(self, name: str) -> Any:
        real = getattr(os, name)
        if name not in FAILING:
            return real

        def call(*arguments: Any, **options: Any) -> Any:
            self._plan.step(name)
            return real(*arguments, **options)

        return call


@contextmanager
def faults(plan: Plan, *modules: types.ModuleType) -> Iterator[None]:
    """Within, the file operations of `modules` (and the exchange of names) go by `plan`."""
    with pytest.MonkeyPatch.context() as patch:
        for module in modules:
            patch.setattr(module, "os", FaultyOs(plan))
        real = rename._rename

        def renamed(old: Any, new: Any, flags: int) -> bool:
            plan.step("renameat2")
            return real(old, new, flags)

        patch.setattr(rename, "_rename", renamed)
        yield


def every_fault(scenario: Callable[[Plan], None]) -> int:
    """Run `scenario` with each call failing in turn, for each error, until it passes; how many runs.

    The scenario makes its own fresh files, runs under `faults`, and checks what must hold whatever happened.
    """
    runs = 0
    for code in ERRORS:
        number = 1
        while True:
            plan = Plan(number, code)
            scenario(plan)
            runs += 1
            if plan.fired is None:
                break
            number += 1
    return runs
