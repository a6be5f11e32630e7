"""runt: a notebook that lives in a daemon and is driven from a terminal.

Importing it costs nothing: `Client`, the Python API's door, is loaded when it is first used.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from runt.peer.client import Client

__all__ = ["Client", "__version__"]

__version__ = "0.1.0"


def __getattr__(name: str) -> Any:
    if name == "Client":
        return import_module("runt.peer.client").Client
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
