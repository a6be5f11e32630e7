"""What ``kernel.json`` says, and where a kernel's sockets are.

Enough to find a kernel that outlived its daemon. Reading only; the supervisor writes it. The invariant:
everything here follows from the kernel's directory, so that any later daemon finds the same.
"""

from __future__ import annotations

import hashlib
import os
from pathlib import Path

import msgspec

from runt.runtime.supervisor_directory import KERNEL_JSON_NAME, is_running
from runt.store.safe_directory import read_private_file

SHORT_NAME_CHARACTERS = 10  # of the socket directory: sun_path is short


class Description(msgspec.Struct, frozen=True):
    """What the daemon wants to know about a kernel that it finds running."""

    name: str
    display_name: str = ""
    language: str = ""
    interrupt_mode: str = "signal"
    cwd: str = ""


class KernelFile(msgspec.Struct, frozen=True):
    """The content of ``kernel.json``. Start times in clock ticks since boot, 0 where unknown."""

    version: int
    boot_id: str
    supervisor_pid: int
    supervisor_started: int
    kernel_pid: int
    kernel_started: int
    description: Description

    @property
    def supervisor_runs(self) -> bool:
        """Whether that very supervisor process is alive."""
        return is_running(self.supervisor_pid, self.supervisor_started, self.boot_id)

    @property
    def kernel_runs(self) -> bool:
        """Whether that very kernel process is alive."""
        return is_running(self.kernel_pid, self.kernel_started, self.boot_id)


def socket_directory(directory: Path, sockets: Path) -> Path:
    """Return where the sockets of the kernel of ``directory`` live; the same for every daemon."""
    digest = hashlib.sha256(os.fsencode(directory.absolute())).hexdigest()
    return sockets / digest[:SHORT_NAME_CHARACTERS]


def read_kernel_file(directory: Path) -> KernelFile:
    """Return ``kernel.json``. Raises OSError, StoreError, msgspec.DecodeError."""
    return msgspec.json.decode(read_private_file(directory / KERNEL_JSON_NAME), type=KernelFile)
