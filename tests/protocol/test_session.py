"""Sessions: every message through two real ones, any split, any garbage, and who may send what."""

from __future__ import annotations

import struct
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from runt.errors import LocalProtocolError, RemoteProtocolError
from runt.protocol import events, frames, messages
from runt.protocol.events import SyncReceived
from runt.protocol.frames import PREAMBLE, PROTOCOL_VERSION, FrameType
from runt.protocol.messages import (
    ClientInfo,
    DaemonInfo,
    Epochs,
    Event,
    Failure,
    Hello,
    Presence,
    Refusal,
    Request,
    Response,
    SessionStatus,
    Welcome,
)
from runt.protocol.session import ClientSession, ServerSession
from runt.protocol.ysync import SyncKind
from tests.protocol.session_pair import SessionPair, pieces

SIZES = st.lists(st.integers(1, 60), max_size=300)
# Text that JSON and UTF-8 can carry: no lone surrogates.
WORDS = st.text(st.characters(exclude_categories=["Cs"]), max_size=30)
JSON: st.SearchStrategy[Any] = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**53), 2**53) | WORDS,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(WORDS, inner, max_size=3),
    max_leaves=8,
)
OBJECTS = st.dictionaries(WORDS, JSON, max_size=4)
COUNTS = st.integers(0, 2**40)
OPTIONAL_COUNTS = st.none() | COUNTS
ROLES = st.sampled_from(["view", "edit", "run"])
EPOCHS = st.builds(Epochs, n=WORDS, r=WORDS)

HELLOS = st.builds(
    Hello,
    protocol=st.just(PROTOCOL_VERSION),
    channel=st.sampled_from(["notebook", "settings", "control", "blob"]),
    client=st.builds(ClientInfo, name=WORDS, version=WORDS, pid=COUNTS),
    path=st.none() | WORDS,
    id=st.none() | WORDS,
    new=st.booleans(),
    working_dir=st.none() | WORDS,
    initial_metadata=st.none() | OBJECTS,
    role=ROLES,
)
WELCOMES = st.builds(
    Welcome,
    peer=WORDS,
    room=WORDS,
    path=st.none() | WORDS,
    epochs=EPOCHS,
    daemon=st.builds(DaemonInfo, pid=COUNTS, boot_id=WORDS, version=WORDS),
)
REQUESTS = st.builds(
    Request,
    id=WORDS,
    method=WORDS,
    params=OBJECTS,
    epoch=st.none() | WORDS,
    needs=st.none() | st.binary(max_size=60),
)
FAILURES = st.builds(Failure, code=WORDS, message=WORDS, hint=WORDS, data=OBJECTS)
RESPONSES = st.builds(Response, id=WORDS, ok=JSON) | st.builds(Response, id=WORDS, error=FAILURES)
EVENTS = st.builds(Event, name=WORDS, data=OBJECTS)
PRESENCES = st.builds(
    Presence,
    peer=WORDS,
    name=WORDS,
    color=WORDS,
    cell=st.none() | WORDS,
    anchor=OPTIONAL_COUNTS,
    head=OPTIONAL_COUNTS,
    mode=WORDS,
    left=st.booleans(),
)
STATUSES = st.builds(
    SessionStatus,
    epochs=EPOCHS,
    role=ROLES,
    received_n=COUNTS,
    journaled_n=COUNTS,
    durable_n=COUNTS,
    ready=st.booleans(),
)
SYNCS = st.tuples(st.sampled_from("nr"), st.sampled_from(SyncKind), st.binary(max_size=80))


@given(HELLOS, WELCOMES, SIZES)
def test_the_handshake_survives_any_split(hello: Hello, welcome: Welcome, sizes: list[int]) -> None:
    """Hello and Welcome arrive as they were sent, and open the channel on both sides."""
    pair = SessionPair(sizes)
    assert pair.to_server(pair.client.hello(hello)) == [events.HelloReceived(hello, PROTOCOL_VERSION)]
    assert pair.to_client(pair.server.preamble() + pair.server.welcome(welcome)) == [events.Welcomed(welcome)]


@given(st.lists(st.one_of(SYNCS, REQUESTS, PRESENCES), max_size=8), SIZES)
def test_everything_a_client_may_send_arrives(sent: list[Any], sizes: list[int]) -> None:
    """Requests, presence and sync arrive in order; content frames of N count the same on both sides."""
    pair = SessionPair.opened(sizes=sizes)
    stream = b""
    expected: list[object] = []
    for message in sent:
        match message:
            case Request():
                stream += pair.client.request(message)
                expected.append(events.RequestReceived(message))
            case Presence():
                stream += pair.client.presence(message)
                expected.append(events.PresenceReceived(message))
            case (doc, kind, data):
                if doc == "r":
                    kind = SyncKind.STEP1
                stream += pair.client.sync(doc, kind, data)
                counts = doc == "n" and kind is not SyncKind.STEP1
                expected.append(SyncReceived(doc, kind, data, pair.client.sent_n if counts else 0))
    assert pair.to_server(stream) == expected
    assert pair.server.received_n == pair.client.sent_n


@given(st.lists(st.one_of(SYNCS, RESPONSES, EVENTS, PRESENCES, STATUSES), max_size=8), SIZES)
def test_everything_a_daemon_may_send_arrives(sent: list[Any], sizes: list[int]) -> None:
    """Responses, events, presence, status and sync arrive in order and unchanged."""
    pair = SessionPair.opened(sizes=sizes)
    stream = b""
    expected: list[object] = []
    for message in sent:
        match message:
            case Response():
                stream += pair.server.response(message)
                expected.append(events.ResponseReceived(message))
            case Event():
                stream += pair.server.event(message)
                expected.append(events.EventReceived(message))
            case Presence():
                stream += pair.server.presence(message)
                expected.append(events.PresenceReceived(message))
            case SessionStatus():
                stream += pair.server.status(message)
                expected.append(events.StatusReceived(message))
            case (doc, kind, data):
                stream += pair.server.sync(doc, kind, data)
                expected.append(SyncReceived(doc, kind, data))
    assert pair.to_client(stream) == expected


@given(st.binary(max_size=60), SIZES)
def test_settings_and_blob_channels_carry_their_frames(data: bytes, sizes: list[int]) -> None:
    """Settings sync and blob chunks arrive both ways on their own channels."""
    settings = SessionPair.opened("settings", sizes)
    expected = [SyncReceived("s", SyncKind.UPDATE, data)]
    assert settings.to_server(settings.client.sync("s", SyncKind.UPDATE, data)) == expected
    assert settings.to_client(settings.server.sync("s", SyncKind.UPDATE, data)) == expected
    blob = SessionPair.opened("blob", sizes)
    assert blob.to_server(blob.client.blob(data)) == [events.BlobReceived(data)]
    assert blob.to_client(blob.server.blob(data)) == [events.BlobReceived(data)]


def outcome(
    session: ClientSession | ServerSession, data: bytes, sizes: list[int]
) -> tuple[list[object], bool]:
    """Events until the end or the fault, and whether there was one."""
    out: list[object] = []
    for piece in pieces(data, sizes):
        try:
            for event in session.receive(piece):
                out.append(event)
        except RemoteProtocolError:
            return out, True
    return out, False


@st.composite
def hostile_streams(draw: st.DrawFn) -> bytes:
    """Frames of any type with any payload, plausible JSON among them, maybe cut off or flipped."""
    bodies = st.one_of(
        st.binary(max_size=40),
        JSON.map(messages._ENCODER.encode),
        REQUESTS.map(messages.encode),
        RESPONSES.map(messages.encode),
        st.just(b"[" * 5000),
        st.just(b'"\xff"'),
        st.just(b'{"id":"\\ud800","method":"x"}'),
    )
    stream = b""
    for _ in range(draw(st.integers(0, 4))):
        type_ = draw(st.integers(0, 10))
        body = draw(bodies)
        stream += struct.pack(">IB", len(body) + 1, type_) + body
    if stream and draw(st.booleans()):
        at = draw(st.integers(0, len(stream) - 1))
        stream = stream[:at] + bytes([draw(st.integers(0, 255))]) + stream[at + 1 :]
    return stream


@given(hostile_streams(), SIZES, st.booleans())
def test_hostile_bytes_raise_one_error_in_the_same_place(
    stream: bytes, sizes: list[int], as_client: bool
) -> None:
    """Whatever comes after the handshake gives events or RemoteProtocolError, the same for any split."""
    whole, cut = SessionPair.opened(), SessionPair.opened()
    sides = (whole.client, cut.client) if as_client else (whole.server, cut.server)
    assert outcome(sides[0], stream, []) == outcome(sides[1], stream, sizes)


@given(hostile_streams(), SIZES)
def test_hostile_bytes_instead_of_a_handshake(stream: bytes, sizes: list[int]) -> None:
    """Before the handshake, too, the outcome is events or RemoteProtocolError, the same for any split."""
    assert outcome(ServerSession(), PREAMBLE + stream, []) == outcome(
        ServerSession(), PREAMBLE + stream, sizes
    )


def test_a_refused_client_gets_the_reason_and_nothing_more() -> None:
    """A refusal arrives with code and hint; both sides are closed after it."""
    pair = SessionPair()
    pair.to_server(pair.client.hello(Hello(protocol=PROTOCOL_VERSION, channel="notebook", path="/a")))
    refusal = Refusal(code="not_found", message="no such file", hint="create it")
    assert pair.to_client(pair.server.preamble() + pair.server.refuse(refusal)) == [events.Refused(refusal)]
    assert pair.client.closed
    assert pair.server.closed
    assert pair.to_client(b"anything") == []
    with pytest.raises(LocalProtocolError):
        pair.client.request(Request(id="1", method="ping"))


def test_another_version_may_only_use_the_control_channel() -> None:
    """The daemon cannot welcome a client of another version to a notebook, but can answer its ping."""
    for channel, allowed in (("notebook", False), ("control", True)):
        client, server = ClientSession(), ServerSession()
        hello = client.hello(Hello(protocol=9, channel=channel))  # type: ignore[arg-type]
        (event,) = server.receive(frames.MAGIC + b"\x09" + hello[len(PREAMBLE) :])
        assert isinstance(event, events.HelloReceived)
        assert event.supported is allowed
        if allowed:
            assert server.welcome(Welcome(peer="p"))
        else:
            with pytest.raises(LocalProtocolError):
                server.welcome(Welcome(peer="p"))


def test_a_daemon_of_another_version_is_refused_by_the_client() -> None:
    """A Welcome in another protocol version on a notebook channel is a fault of the daemon."""
    pair = SessionPair()
    pair.to_server(pair.client.hello(Hello(protocol=PROTOCOL_VERSION, channel="notebook", path="/a")))
    data = pair.server.welcome(Welcome(peer="p"))
    with pytest.raises(RemoteProtocolError):
        pair.to_client(frames.MAGIC + b"\x09" + data)


@pytest.mark.parametrize("kind", [SyncKind.STEP2, SyncKind.UPDATE])
def test_a_client_cannot_write_the_runtime_document(kind: SyncKind) -> None:
    """R belongs to the daemon: the client refuses to make such a frame and the server refuses to take one."""
    pair = SessionPair.opened()
    with pytest.raises(LocalProtocolError):
        pair.client.sync("r", kind, b"\x00\x00")
    forged = frames.encode(FrameType.SYNC_R, bytes((0, kind, 2, 0, 0)))
    with pytest.raises(RemoteProtocolError):
        pair.to_server(forged)


def test_frames_of_another_channel_are_refused() -> None:
    """A notebook's sync on the control channel is a fault, on either side."""
    pair = SessionPair.opened("control")
    with pytest.raises(LocalProtocolError):
        pair.client.sync("n", SyncKind.STEP1, b"\x00")
    with pytest.raises(RemoteProtocolError):
        pair.to_server(frames.encode(FrameType.SYNC_N, b"\x00\x00\x01\x00"))


def test_nothing_travels_before_the_handshake_is_done() -> None:
    """A frame before the Welcome is a fault of whoever sent it."""
    server = ServerSession()
    with pytest.raises(RemoteProtocolError):
        list(server.receive(PREAMBLE + frames.encode(FrameType.REQUEST, b"{}")))
    client = ClientSession()
    client.hello(Hello(protocol=PROTOCOL_VERSION, channel="control"))
    with pytest.raises(RemoteProtocolError):
        list(client.receive(PREAMBLE + frames.encode(FrameType.EVENT, b"{}")))


def test_an_edit_above_the_update_cap_travels_as_step2() -> None:
    """A local edit that no UPDATE may carry still arrives, counted as one."""
    pair = SessionPair.opened()
    data = bytes(frames.UPDATE_CAP)
    (event,) = pair.to_server(pair.client.sync("n", SyncKind.UPDATE, data))
    assert event == SyncReceived("n", SyncKind.STEP2, data, 1)


@pytest.mark.parametrize("body", [b'{"id":"1"}', b'{"id":"1","ok":1,"error":{"code":"a","message":"b"}}'])
def test_a_response_is_either_ok_or_an_error(body: bytes) -> None:
    """Neither and both are faults: a caller would wait for ever, or not know."""
    pair = SessionPair.opened()
    with pytest.raises(RemoteProtocolError):
        pair.to_client(frames.encode(FrameType.RESPONSE, body))


def test_what_json_cannot_carry_is_our_own_error() -> None:
    """A value without a JSON form is refused before anything is sent."""
    pair = SessionPair.opened()
    for value in (object(), "\ud800"):
        with pytest.raises(LocalProtocolError):
            pair.client.request(Request(id="1", method="x", params={"v": value}))


def test_unknown_fields_of_a_newer_peer_are_ignored() -> None:
    """A message with more fields than we know decodes to those that we know."""
    pair = SessionPair.opened()
    body = b'{"id":"1","method":"ping","colour":"red"}'
    (event,) = pair.to_server(frames.encode(FrameType.REQUEST, body))
    assert event == events.RequestReceived(Request(id="1", method="ping"))
