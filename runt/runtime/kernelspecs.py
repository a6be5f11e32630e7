"""Installed kernels: finding them and turning a kernelspec into a command line.

It starts nothing. The invariant: what is returned can be started as it is, apart from the connection
file's path and {resource_dir}, which :meth:`Kernelspec.command` fills in.
"""

from __future__ import annotations

import re
import sys
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from runt.errors import KernelNotFound
from runt.runtime.quirks import InterruptMode, Transport, quirks_of

LAUNCHER = Path(__file__).with_name("python_kernel.py")
NATIVE = "python3"  # always there: runt depends on ipykernel
IPYKERNEL_MODULES = frozenset({"ipykernel_launcher", "ipykernel"})
_BARE_PYTHON = re.compile(r"python(3(\.\d+)?)?\Z")


@dataclass(frozen=True, slots=True)
class Kernelspec:
    """One installed kernel, quirks applied. ``argv`` still holds its {placeholders}."""

    name: str
    display_name: str
    language: str
    argv: tuple[str, ...]
    env: Mapping[str, str] = field(default_factory=dict)
    interrupt_mode: InterruptMode = "signal"
    transport: Transport = "ipc"
    resource_dir: str = ""
    metadata: Mapping[str, Any] = field(default_factory=dict)

    def command(self, connection_file: str) -> list[str]:
        """Return the command line for a connection file. Unknown placeholders stay as they are."""
        values = {
            "connection_file": connection_file,
            "resource_dir": self.resource_dir,
            "prefix": sys.prefix,
        }
        return [
            re.sub(r"\{([A-Za-z0-9_]+)\}", lambda found: values.get(found[1], found[0]), argument)
            for argument in self.argv
        ]


def list_kernelspecs() -> list[Kernelspec]:
    """Return every installed kernel, by name. Reads the disk; takes about 5 ms after the first call."""
    specs = {name: _from_spec(name, spec, folder) for name, (spec, folder) in _installed().items()}
    specs.setdefault(NATIVE, native_kernelspec())
    return [specs[name] for name in sorted(specs)]


def find_kernelspec(name: str | None = None, language: str | None = None) -> Kernelspec:
    """Return the kernel called ``name`` (any case), else the first for ``language``, else our Python.

    Raises:
        KernelNotFound: nothing fits; it lists what is installed.
    """
    if name is None and language is None:
        name = NATIVE
    specs = list_kernelspecs()
    if name is not None:
        for spec in specs:
            if spec.name.lower() == name.lower():
                return spec
    if language is not None:
        fitting = [spec for spec in specs if spec.language.lower() == language.lower()]
        if fitting:
            return next((spec for spec in fitting if spec.name == NATIVE), fitting[0])
    raise KernelNotFound(name or language or NATIVE, [spec.name for spec in specs])


def native_kernelspec() -> Kernelspec:
    """Return the kernel that runs in runt's own Python."""
    return Kernelspec(
        name=NATIVE,
        display_name="Python 3 (ipykernel)",
        language="python",
        argv=(sys.executable, str(LAUNCHER), "-f", "{connection_file}"),
    )


def with_launcher(argv: list[str]) -> list[str]:
    """Replace ``python -m ipykernel_launcher`` by our launcher, whichever Python it is.

    A bare ``python`` means the Python that runt runs in, as in jupyter_client.
    """
    if not argv:
        return argv
    head = sys.executable if _BARE_PYTHON.match(argv[0]) else argv[0]
    argv = [head, *argv[1:]]
    for at in range(1, len(argv) - 1):
        if argv[at] == "-m" and argv[at + 1] in IPYKERNEL_MODULES:
            return [*argv[:at], str(LAUNCHER), *argv[at + 2 :]]
    return argv


def _installed() -> dict[str, tuple[dict[str, Any], str]]:
    # jupyter_client costs 60 ms to import and is needed only here.
    from jupyter_client.kernelspec import KernelSpecManager

    found = KernelSpecManager().get_all_specs()
    return {name: (entry["spec"], entry["resource_dir"]) for name, entry in found.items()}


def _from_spec(name: str, spec: Mapping[str, Any], folder: str) -> Kernelspec:
    argv = [str(argument) for argument in spec.get("argv", [])]
    quirks = quirks_of(argv)
    declared: InterruptMode = "message" if spec.get("interrupt_mode") == "message" else "signal"
    return Kernelspec(
        name=name,
        display_name=str(spec.get("display_name") or name),
        language=str(spec.get("language") or ""),
        argv=tuple(with_launcher(argv)),
        env={str(key): str(value) for key, value in (spec.get("env") or {}).items()},
        interrupt_mode=quirks.interrupt or declared,
        transport=quirks.transport or "ipc",
        resource_dir=folder,
        metadata=dict(spec.get("metadata") or {}),
    )
