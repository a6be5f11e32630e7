"""Events: what a session makes of the bytes that it receives.

Values only. The invariant: an event is complete and checked; whoever handles it parses nothing.
"""

from __future__ import annotations

from typing import Literal

import msgspec

from runt.protocol.frames import PROTOCOL_VERSION
from runt.protocol.messages import (
    Event,
    Hello,
    Presence,
    Refusal,
    Request,
    Response,
    SessionStatus,
    Welcome,
)
from runt.protocol.ysync import SyncKind

DocName = Literal["n", "r", "s"]


class HelloReceived(msgspec.Struct, frozen=True):
    """A client asks for a channel. ``version`` is the protocol version of its preamble."""

    hello: Hello
    version: int

    @property
    def supported(self) -> bool:
        """Whether this version may use this channel; if not: `refuse` with code ``protocol_version``."""
        return self.version == PROTOCOL_VERSION or self.hello.channel == "control"


class Welcomed(msgspec.Struct, frozen=True):
    """The daemon accepted."""

    welcome: Welcome


class Refused(msgspec.Struct, frozen=True):
    """The daemon refused; it closes the connection."""

    refusal: Refusal


class SyncReceived(msgspec.Struct, frozen=True):
    """A y-sync message. ``number`` counts the client's content frames of N (from 1); 0 for all others."""

    doc: DocName
    kind: SyncKind
    data: bytes
    number: int = 0


class RequestReceived(msgspec.Struct, frozen=True):
    request: Request


class ResponseReceived(msgspec.Struct, frozen=True):
    response: Response


class EventReceived(msgspec.Struct, frozen=True):
    event: Event


class PresenceReceived(msgspec.Struct, frozen=True):
    presence: Presence


class StatusReceived(msgspec.Struct, frozen=True):
    status: SessionStatus


class BlobReceived(msgspec.Struct, frozen=True):
    payload: bytes


SessionEvent = (
    HelloReceived
    | Welcomed
    | Refused
    | SyncReceived
    | RequestReceived
    | ResponseReceived
    | EventReceived
    | PresenceReceived
    | StatusReceived
    | BlobReceived
)
