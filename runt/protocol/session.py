"""A session: one connection's protocol as a state machine, for the client and for the daemon.

It reads no socket, owns no document and has no clock: bytes in, events out, and methods that return bytes to
send. The invariant: the same bytes give the same events however they are split, and what the other side may
not send (in this state, on this channel) raises `RemoteProtocolError`.

States, in order; each side sends its preamble first::

    client   NEW --hello()--> WAITING --Welcomed--> OPEN --> CLOSED        (Refused: CLOSED)
    server   NEW --HelloReceived--> DECIDING --welcome()--> OPEN --> CLOSED  (refuse(): CLOSED)

What may travel on an open channel:

=========  =================================  ========================================
channel    client → daemon                    daemon → client
=========  =================================  ========================================
notebook   sync N; STEP1 of R; request;       sync N; STEP2, UPDATE of R; response;
           presence                           event; presence; session
settings   sync S; request                    sync S; response; event; session
control    request                            response; event
blob       blob; request                      blob; response
=========  =================================  ========================================

Order of the sync on a notebook channel: Hello → Welcome → both sides STEP1 of N; the client STEP1 of R (its
state if the epochs match, else empty); each STEP1 is answered by a STEP2; then UPDATEs. Frames of N from the
client that carry content (STEP2, UPDATE) are counted on both sides, from 1 on each connection;
`SessionStatus` reports in these numbers.
"""

from __future__ import annotations

from collections.abc import Iterator
from enum import Enum
from typing import Final

from msgspec import UNSET

from runt.errors import LocalProtocolError, RemoteProtocolError
from runt.protocol import frames, messages, ysync
from runt.protocol.events import (
    BlobReceived,
    DocName,
    EventReceived,
    HelloReceived,
    PresenceReceived,
    Refused,
    RequestReceived,
    ResponseReceived,
    SessionEvent,
    StatusReceived,
    SyncReceived,
    Welcomed,
)
from runt.protocol.frames import PREAMBLE, PROTOCOL_VERSION, Frame, FrameDecoder, FrameType
from runt.protocol.messages import (
    Channel,
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


class State(Enum):
    """Where a session is. See the module's docstring."""

    NEW = "new"
    WAITING = "waiting"
    DECIDING = "deciding"
    OPEN = "open"
    CLOSED = "closed"


_DOC_OF: Final[dict[FrameType, DocName]] = {
    FrameType.SYNC_N: "n",
    FrameType.SYNC_R: "r",
    FrameType.SYNC_S: "s",
}
_TYPE_OF: Final[dict[DocName, FrameType]] = {doc: type_ for type_, doc in _DOC_OF.items()}

_T = FrameType
_FROM_CLIENT: Final[dict[Channel, frozenset[FrameType]]] = {
    "notebook": frozenset({_T.SYNC_N, _T.SYNC_R, _T.REQUEST, _T.PRESENCE}),
    "settings": frozenset({_T.SYNC_S, _T.REQUEST}),
    "control": frozenset({_T.REQUEST}),
    "blob": frozenset({_T.BLOB, _T.REQUEST}),
}
_FROM_DAEMON: Final[dict[Channel, frozenset[FrameType]]] = {
    "notebook": frozenset({_T.SYNC_N, _T.SYNC_R, _T.RESPONSE, _T.EVENT, _T.PRESENCE, _T.SESSION}),
    "settings": frozenset({_T.SYNC_S, _T.RESPONSE, _T.EVENT, _T.SESSION}),
    "control": frozenset({_T.RESPONSE, _T.EVENT}),
    "blob": frozenset({_T.BLOB, _T.RESPONSE}),
}


class _Session:
    """What both sides share: decoding, state, sending. Not used by itself."""

    _may_receive: dict[Channel, frozenset[FrameType]]
    _may_send: dict[Channel, frozenset[FrameType]]

    def __init__(self) -> None:
        self.state = State.NEW
        self.channel: Channel | None = None
        self._decoder = FrameDecoder()

    @property
    def peer_version(self) -> int | None:
        """The other side's protocol version, once its preamble is here."""
        return self._decoder.version

    @property
    def closed(self) -> bool:
        """Whether nothing travels any more: refused, broken, or closed by us."""
        return self._is_closed()

    def _is_closed(self) -> bool:
        # A method, since a handler may close the session between two events.
        return self.state is State.CLOSED

    def receive(self, data: bytes) -> Iterator[SessionEvent]:
        """Yield the events that ``data`` completes, in order; raise `RemoteProtocolError` where the protocol
        breaks.

        Iterate to the end (``for event in session.receive(data)``): events before a fault come out before it
        is raised. After a fault, or once closed, the session yields nothing more.
        """
        try:
            if self._is_closed():
                return
            for frame in self._decoder.feed(data):
                yield self._event(frame)
                if self._is_closed():
                    return
        except RemoteProtocolError:
            self.state = State.CLOSED
            raise

    def close(self) -> None:
        """Say that the connection is gone. Sending afterwards raises `LocalProtocolError`."""
        self.state = State.CLOSED

    def _event(self, frame: Frame) -> SessionEvent:
        if frame.type is FrameType.HANDSHAKE:
            return self._handshake(frame.payload)
        if self.state is not State.OPEN or self.channel is None:
            raise RemoteProtocolError(f"{frame.type.name} frame before the handshake was done")
        if frame.type not in self._may_receive[self.channel]:
            raise RemoteProtocolError(f"{frame.type.name} frame on a {self.channel} channel")
        doc = _DOC_OF.get(frame.type)
        if doc is not None:
            message = ysync.decode(frame.payload)
            return self._sync(doc, message.kind, message.data)
        return self._body(frame)

    def _handshake(self, payload: bytes) -> SessionEvent:
        raise NotImplementedError

    def _sync(self, doc: DocName, kind: SyncKind, data: bytes) -> SyncReceived:
        return SyncReceived(doc, kind, data)

    def _body(self, frame: Frame) -> SessionEvent:
        match frame.type:
            case FrameType.REQUEST:
                return RequestReceived(messages.decode(frame.payload, Request))
            case FrameType.RESPONSE:
                return ResponseReceived(_checked(messages.decode(frame.payload, Response)))
            case FrameType.EVENT:
                return EventReceived(messages.decode(frame.payload, Event))
            case FrameType.PRESENCE:
                return PresenceReceived(messages.decode(frame.payload, Presence))
            case FrameType.SESSION:
                return StatusReceived(messages.decode(frame.payload, SessionStatus))
            case _:
                return BlobReceived(frame.payload)

    def _frame(self, type_: FrameType, payload: bytes) -> bytes:
        if self.state is not State.OPEN or self.channel is None:
            raise LocalProtocolError(f"{type_.name} frame while the session is {self.state.value}")
        if type_ not in self._may_send[self.channel]:
            raise LocalProtocolError(f"{type_.name} frame on a {self.channel} channel")
        return frames.encode(type_, payload)

    def sync(self, doc: DocName, kind: SyncKind, data: bytes) -> bytes:
        """Bytes of a y-sync message. ``data`` is a state vector for STEP1, else an update.

        An UPDATE above `frames.UPDATE_CAP` goes as a STEP2, which means the same to who receives it.
        """
        # The margin is the message's own header: two bytes and the length.
        if kind is SyncKind.UPDATE and len(data) + 16 > frames.UPDATE_CAP:
            kind = SyncKind.STEP2
        return self._frame(_TYPE_OF[doc], ysync.encode(kind, data))

    def presence(self, presence: Presence) -> bytes:
        """Bytes of a presence frame (payload at most 4 KiB)."""
        return self._frame(FrameType.PRESENCE, messages.encode(presence))

    def blob(self, payload: bytes) -> bytes:
        """Bytes of a blob frame (payload at most 1 MiB and a header)."""
        return self._frame(FrameType.BLOB, payload)


class ClientSession(_Session):
    """The client's side. ``sent_n`` counts the content frames of N that were made for sending."""

    _may_receive = _FROM_DAEMON
    _may_send = _FROM_CLIENT

    def __init__(self) -> None:
        super().__init__()
        self.sent_n = 0

    def hello(self, hello: Hello) -> bytes:
        """Preamble and handshake: the first bytes to send. Raises `LocalProtocolError` when called twice."""
        if self.state is not State.NEW:
            raise LocalProtocolError("hello was sent already")
        self.state = State.WAITING
        self.channel = hello.channel
        return PREAMBLE + frames.encode(FrameType.HANDSHAKE, messages.encode(hello))

    def request(self, request: Request) -> bytes:
        """Bytes of a request frame."""
        return self._frame(FrameType.REQUEST, messages.encode(request))

    def sync(self, doc: DocName, kind: SyncKind, data: bytes) -> bytes:
        """As `_Session.sync`; counts what carries content of N. R is read-only here: only its STEP1 is
        legal.
        """
        if doc == "r" and kind is not SyncKind.STEP1:
            raise LocalProtocolError("a client does not write the runtime document")
        out = super().sync(doc, kind, data)
        if doc == "n" and kind is not SyncKind.STEP1:
            self.sent_n += 1
        return out

    def _handshake(self, payload: bytes) -> SessionEvent:
        if self.state is not State.WAITING:
            raise RemoteProtocolError("a handshake out of turn")
        message = messages.decode_handshake(payload)
        match message:
            case Welcome():
                if self.peer_version != PROTOCOL_VERSION and self.channel != "control":
                    raise RemoteProtocolError(
                        f"the daemon speaks protocol {self.peer_version}, we speak {PROTOCOL_VERSION}",
                        hint="restart runt",
                    )
                self.state = State.OPEN
                return Welcomed(message)
            case Refusal():
                self.state = State.CLOSED
                return Refused(message)
            case _:
                raise RemoteProtocolError("the daemon said hello instead of answering one")


class ServerSession(_Session):
    """The daemon's side. ``received_n`` counts the content frames of N that came out of `receive`."""

    _may_receive = _FROM_CLIENT
    _may_send = _FROM_DAEMON

    def __init__(self) -> None:
        super().__init__()
        self.received_n = 0

    def preamble(self) -> bytes:
        """The first bytes to send, before anything is received."""
        return PREAMBLE

    def welcome(self, welcome: Welcome) -> bytes:
        """Accept the Hello. From here on the channel is open."""
        if self.state is not State.DECIDING:
            raise LocalProtocolError(f"welcome while the session is {self.state.value}")
        if self.peer_version != PROTOCOL_VERSION and self.channel != "control":
            raise LocalProtocolError(
                f"protocol {self.peer_version} may only use the control channel: refuse it"
            )
        self.state = State.OPEN
        return frames.encode(FrameType.HANDSHAKE, messages.encode(welcome))

    def refuse(self, refusal: Refusal) -> bytes:
        """Refuse the Hello (also when it could not be read). Close the connection after sending this."""
        if self.state is State.OPEN:
            raise LocalProtocolError("a welcomed client cannot be refused: close the connection")
        self.state = State.CLOSED
        return frames.encode(FrameType.HANDSHAKE, messages.encode(refusal))

    def response(self, response: Response) -> bytes:
        """Bytes of a response frame."""
        return self._frame(FrameType.RESPONSE, messages.encode(response))

    def event(self, event: Event) -> bytes:
        """Bytes of an event frame."""
        return self._frame(FrameType.EVENT, messages.encode(event))

    def status(self, status: SessionStatus) -> bytes:
        """Bytes of a session frame."""
        return self._frame(FrameType.SESSION, messages.encode(status))

    def _handshake(self, payload: bytes) -> SessionEvent:
        if self.state is not State.NEW:
            raise RemoteProtocolError("a handshake out of turn")
        message = messages.decode_handshake(payload)
        if not isinstance(message, Hello):
            raise RemoteProtocolError("a client answered instead of saying hello")
        self.state = State.DECIDING
        self.channel = message.channel
        version = self.peer_version
        assert version is not None, "a frame cannot precede the preamble"
        return HelloReceived(message, version)

    def _sync(self, doc: DocName, kind: SyncKind, data: bytes) -> SyncReceived:
        if kind is SyncKind.STEP1:
            return SyncReceived(doc, kind, data)
        if doc == "r":
            raise RemoteProtocolError("a client does not write the runtime document")
        if doc != "n":
            return SyncReceived(doc, kind, data)
        self.received_n += 1
        return SyncReceived(doc, kind, data, self.received_n)


def _checked(response: Response) -> Response:
    # Exactly one of the two: a peer that sends neither would leave a caller waiting for ever.
    if (response.ok is UNSET) == (response.error is UNSET):
        raise RemoteProtocolError("a response has exactly one of ok and error")
    return response
