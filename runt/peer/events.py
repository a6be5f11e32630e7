"""What a notebook tells its observers: connection, presence, notices, replaced documents.

Values only. Changes of the documents are not here: observe the documents. The invariant: an event says what
is true now; missing one and reading the property later gives the same answer.
"""

from __future__ import annotations

from typing import Any, Literal

import msgspec

from runt.protocol.messages import Presence

ConnectionState = Literal["connecting", "connected", "reconnecting", "stopped", "failed"]


class ConnectionStatus(msgspec.Struct, frozen=True):
    """How the connection is.

    ``waiting`` counts local changes that the daemon has not journaled. ``stopped``: the daemon was stopped on
    purpose; ``failed``: no daemon could be reached; both wait for `Notebook.reconnect`. ``detail`` is a line
    for a person.
    """

    state: ConnectionState
    waiting: int = 0
    detail: str = ""


class StatusChanged(msgspec.Struct, frozen=True):
    """The state changed, or changes have been waiting for more than a second, or no longer do."""

    status: ConnectionStatus


class PresenceChanged(msgspec.Struct, frozen=True):
    """Another peer moved, or left (``presence`` is None)."""

    peer: str
    presence: Presence | None


class Notice(msgspec.Struct, frozen=True):
    """A line for the person from the daemon or the connection."""

    text: str


class DocumentReplaced(msgspec.Struct, frozen=True):
    """`Notebook.document` ("n") or `Notebook.runtime` ("r") is another object now: observe that one."""

    which: Literal["n", "r"]


class DaemonEvent(msgspec.Struct, frozen=True):
    """An event of the daemon that has no type of its own here."""

    name: str
    data: dict[str, Any] = msgspec.field(default_factory=dict)


PeerEvent = StatusChanged | PresenceChanged | Notice | DocumentReplaced | DaemonEvent
