"""What a notebook tells its observers: connection, presence, notices, replaced documents.

Values only. Changes of the documents are not here: observe the documents. The invariant: an event says what
is true now; missing one and reading the property later gives the same answer.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, Literal

from runt.protocol.messages import Presence

ConnectionState = Literal["connecting", "connected", "reconnecting", "stopped", "failed"]


@dataclass(frozen=True, slots=True)
class ConnectionStatus:
    """How the connection is.

    ``waiting`` counts local changes that the daemon has not journaled. ``stopped``: the daemon was stopped on
    purpose; ``failed``: no daemon could be reached; both wait for `Notebook.reconnect`. ``detail`` is a line
    for a person.
    """

    state: ConnectionState
    waiting: int = 0
    detail: str = ""


@dataclass(frozen=True, slots=True)
class StatusChanged:
    """The state changed, or changes have been waiting for more than a second, or no longer do."""

    status: ConnectionStatus


@dataclass(frozen=True, slots=True)
class PresenceChanged:
    """Another peer moved, or left (``presence`` is None)."""

    peer: str
    presence: Presence | None


@dataclass(frozen=True, slots=True)
class Notice:
    """A line for the person from the daemon or the connection."""

    text: str


@dataclass(frozen=True, slots=True)
class DocumentReplaced:
    """`Notebook.document` ("n") or `Notebook.runtime` ("r") is another object now: observe that one."""

    which: Literal["n", "r"]


@dataclass(frozen=True, slots=True)
class DaemonEvent:
    """An event of the daemon that has no type of its own here."""

    name: str
    data: dict[str, Any] = field(default_factory=dict)


PeerEvent = StatusChanged | PresenceChanged | Notice | DocumentReplaced | DaemonEvent
