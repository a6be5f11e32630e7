"""Messages: the JSON bodies of handshake, request, response, event, presence and session frames.

They hold no behaviour. The invariant: unknown fields are ignored and missing ones have defaults, so that a
newer peer can talk to an older one; what does not decode raises `RemoteProtocolError` and nothing else.
"""

from __future__ import annotations

from typing import Any, Final, Literal, TypeVar, cast

import msgspec
from msgspec import UNSET, UnsetType

from runt.errors import LocalProtocolError, RemoteProtocolError

Channel = Literal["notebook", "settings", "control", "blob"]
Role = Literal["view", "edit", "run"]


class ClientInfo(msgspec.Struct, frozen=True, kw_only=True):
    """Who connects. ``name`` is shown to other peers."""

    name: str = ""
    version: str = ""
    pid: int = 0


class DaemonInfo(msgspec.Struct, frozen=True, kw_only=True):
    """Who answers. ``boot_id`` is random per daemon process."""

    pid: int = 0
    boot_id: str = ""
    version: str = ""


class Epochs(msgspec.Struct, frozen=True, kw_only=True):
    """The epochs of the two documents of a room; empty where the channel has none."""

    n: str = ""
    r: str = ""


class Hello(
    msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True, tag_field="handshake", tag="hello"
):
    """The client's first frame.

    A notebook channel names its room by exactly one of ``path`` (absolute), ``id`` (the room's UUID) and
    ``new`` (with ``path``: that file is made; without: untitled).
    """

    protocol: int
    channel: Channel
    client: ClientInfo = msgspec.field(default_factory=ClientInfo)
    path: str | None = None
    id: str | None = None
    new: bool = False
    working_dir: str | None = None
    initial_metadata: dict[str, Any] | None = None
    role: Role = "run"


class Welcome(
    msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True, tag_field="handshake", tag="welcome"
):
    """The daemon's answer when it accepts. ``room`` and ``path`` are empty on channels without a room."""

    peer: str
    room: str = ""
    path: str | None = None
    epochs: Epochs = msgspec.field(default_factory=Epochs)
    daemon: DaemonInfo = msgspec.field(default_factory=DaemonInfo)


class Refusal(
    msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True, tag_field="handshake", tag="refusal"
):
    """The daemon's answer when it does not. It closes the connection after it. ``code`` is for programs."""

    code: str
    message: str
    hint: str = ""


class Request(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """Something to do. ``id`` is random and survives a reconnect; ``needs`` is a state vector of N (base64
    in JSON).
    """

    id: str
    method: str
    params: dict[str, Any] = msgspec.field(default_factory=dict)
    epoch: str | None = None
    needs: bytes | None = None


class Failure(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """Why a request was refused. ``code`` is stable and for programs; ``data`` holds what the code speaks
    of.
    """

    code: str
    message: str
    hint: str = ""
    data: dict[str, Any] = msgspec.field(default_factory=dict)


class Response(msgspec.Struct, frozen=True, kw_only=True):
    """The answer to the request of the same ``id``: exactly one of ``ok`` (any JSON) and ``error``."""

    id: str
    ok: Any = UNSET
    error: Failure | UnsetType = UNSET


class Event(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """Something that happened and is not kept: ``stopping {reason}``, ``notice {text}``, progress, comm
    messages.
    """

    name: str
    data: dict[str, Any] = msgspec.field(default_factory=dict)


class Presence(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """Where somebody is. The daemon sets ``peer``. ``anchor`` and ``head`` are code points in the cell's
    source.
    """

    peer: str = ""
    name: str = ""
    color: str = ""
    cell: str | None = None
    anchor: int | None = None
    head: int | None = None
    mode: str = ""
    left: bool = False


class SessionStatus(msgspec.Struct, frozen=True, kw_only=True):
    """What the daemon has done with this connection's sync-N frames (counted: STEP2 and UPDATE).

    ``journaled_n`` is the acknowledgement. ``ready`` becomes true when the client's first STEP2 is journaled.
    """

    epochs: Epochs = msgspec.field(default_factory=Epochs)
    role: Role = "run"
    received_n: int = 0
    journaled_n: int = 0
    durable_n: int = 0
    ready: bool = False


Handshake = Hello | Welcome | Refusal
Message = Handshake | Request | Response | Event | Presence | SessionStatus

_M = TypeVar("_M")

_ENCODER: Final = msgspec.json.Encoder()
_HANDSHAKE: Final = msgspec.json.Decoder(Handshake)
_DECODERS: Final[dict[type, msgspec.json.Decoder[Any]]] = {
    kind: msgspec.json.Decoder(kind) for kind in (Request, Response, Event, Presence, SessionStatus)
}


def encode(message: Message) -> bytes:
    """Make the payload. Raises `LocalProtocolError` for a value that JSON cannot carry."""
    try:
        return _ENCODER.encode(message)
    except (TypeError, ValueError, RecursionError, msgspec.MsgspecError) as error:
        raise LocalProtocolError(f"{type(message).__name__} cannot be sent: {error}") from error


def decode_handshake(payload: bytes) -> Handshake:
    """Read a handshake frame. Raises `RemoteProtocolError`."""
    try:
        return cast(Handshake, _HANDSHAKE.decode(payload))
    except (ValueError, RecursionError, msgspec.MsgspecError) as error:
        raise RemoteProtocolError(f"malformed handshake: {error}") from error


def decode(payload: bytes, kind: type[_M]) -> _M:
    """Read the payload of a frame that carries ``kind``. Raises `RemoteProtocolError`."""
    try:
        return cast(_M, _DECODERS[kind].decode(payload))
    except (ValueError, RecursionError, msgspec.MsgspecError) as error:
        raise RemoteProtocolError(f"malformed {kind.__name__}: {error}") from error
