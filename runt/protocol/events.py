"""Events: what a session makes of the bytes that it receives.

Values only. The invariant: an event is complete and checked; whoever handles it parses nothing.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

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


@dataclass(frozen=True, slots=True)
class HelloReceived:
    """A client asks for a channel. ``version`` is the protocol version of its preamble."""

    hello: Hello
    version: int

    @property
    def supported(self) -> bool:
        """Whether this version may use this channel; if not: `refuse` with code ``protocol_version``."""
        return self.version == PROTOCOL_VERSION or self.hello.channel == "control"


@dataclass(frozen=True, slots=True)
class Welcomed:
    """The daemon accepted."""

    welcome: Welcome


@dataclass(frozen=True, slots=True)
class Refused:
    """The daemon refused; it closes the connection."""

    refusal: Refusal


@dataclass(frozen=True, slots=True)
class SyncReceived:
    """A y-sync message. ``number`` counts the client's content frames of N (from 1); 0 for all others."""

    doc: DocName
    kind: SyncKind
    data: bytes
    number: int = 0


@dataclass(frozen=True, slots=True)
class RequestReceived:
    request: Request


@dataclass(frozen=True, slots=True)
class ResponseReceived:
    response: Response


@dataclass(frozen=True, slots=True)
class EventReceived:
    event: Event


@dataclass(frozen=True, slots=True)
class PresenceReceived:
    presence: Presence


@dataclass(frozen=True, slots=True)
class StatusReceived:
    status: SessionStatus


@dataclass(frozen=True, slots=True)
class BlobReceived:
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
