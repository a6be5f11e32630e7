"""What kernels do differently from what their kernelspec says. A table.

Not a place for behaviour. The invariant: a row overrides the kernelspec; a kernel without a row gets what
its kernelspec asks for, over ``ipc``.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

InterruptMode = Literal["signal", "message"]
Transport = Literal["ipc", "tcp"]


@dataclass(frozen=True, slots=True)
class Quirks:
    """One kernel's deviations. None means "as the kernelspec says" (or ``ipc``)."""

    interrupt: InterruptMode | None = None
    transport: Transport | None = None


# Keyed by what is recognised in argv[0]'s file name or in `-m module`. deno and xpython were found by running them
# (2026-11); the other xeus kernels share xeus-python's core and are assumed to behave like it.
QUIRKS: dict[str, Quirks] = {
    # Says "signal", but SIGINT ends it; answers interrupt_request in 8 ms. Knows no ipc.
    "deno": Quirks(interrupt="message", transport="tcp"),
    # SIGINT ends xeus kernels.
    "xpython": Quirks(interrupt="message"),
    "xeus_python_shell": Quirks(interrupt="message"),
    "xcpp": Quirks(interrupt="message"),
    "xsqlite": Quirks(interrupt="message"),
    "xlua": Quirks(interrupt="message"),
    "xr": Quirks(interrupt="message"),
}


def quirks_of(argv: list[str]) -> Quirks:
    """Return the row for a kernel's command line (before or after substitution)."""
    names = [argv[0].rsplit("/", 1)[-1]] if argv else []
    names += [argv[at + 1] for at, argument in enumerate(argv[:-1]) if argument == "-m"]
    for name in names:
        if name in QUIRKS:
            return QUIRKS[name]
    return Quirks()
