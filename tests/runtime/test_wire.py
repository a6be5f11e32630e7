"""The Jupyter wire format, with jupyter_client as the oracle."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from jupyter_client.session import Session

from runt.errors import RemoteProtocolError
from runt.runtime.wire import JupyterWire

KEY = "abc"
CONTENT = st.dictionaries(st.text('ab é\n"', max_size=4), st.one_of(st.integers(-9, 9), st.text(max_size=9)))


def oracle() -> Session:
    return Session(key=KEY.encode(), check_pid=False)


@given(CONTENT, st.lists(st.binary(max_size=9), max_size=2))
def test_jupyter_client_reads_what_we_write(content: dict[str, Any], buffers: list[bytes]) -> None:
    """A message of ours is valid for jupyter_client, parent and buffers included."""
    frames = JupyterWire(KEY).encode("x_request", content, "m1", parent={"msg_id": "p"}, buffers=buffers)
    message = oracle().deserialize(frames[1:])
    assert message["content"] == content
    assert message["header"]["msg_id"] == "m1"
    assert message["parent_header"]["msg_id"] == "p"
    assert [bytes(buffer) for buffer in message["buffers"]] == buffers


@given(CONTENT)
def test_we_read_what_jupyter_client_writes(content: dict[str, Any]) -> None:
    """A message of jupyter_client decodes to the same values; topics before the delimiter are skipped."""
    session = oracle()
    parent = session.msg("p")
    frames = session.serialize(session.msg("y", content, parent=parent), ident=b"topic")
    message = JupyterWire(KEY).decode(frames)
    assert (message.msg_type, message.content) == ("y", content)
    assert message.parent_id == parent["header"]["msg_id"]
    assert json.loads(message.header)["msg_id"] == message.msg_id


def test_a_wrong_signature_is_refused() -> None:
    """Another key, or a changed part, is refused."""
    frames = JupyterWire("other").encode("x", {})
    with pytest.raises(RemoteProtocolError, match="signature"):
        JupyterWire(KEY).decode(frames)


def test_an_empty_key_checks_nothing() -> None:
    """A connection without a key has empty signatures, as Jupyter defines it."""
    frames = JupyterWire("").encode("x", {"a": 1})
    assert frames[1] == b""
    assert JupyterWire("").decode(frames).content == {"a": 1}


@pytest.mark.parametrize("parent", [b"null", b"{}", b'{"msg_id": null}'])
def test_no_parent(parent: bytes) -> None:
    """A null, empty or hollow parent header is no parent."""
    assert JupyterWire(KEY).decode(JupyterWire(KEY).encode("x", {}, parent=parent)).parent_id == ""


def test_nan_and_lone_surrogates_are_tolerated() -> None:
    """What strict JSON refuses but kernels send is read; half a surrogate pair becomes U+FFFD."""
    wire = JupyterWire(KEY)
    frames = wire.encode("x", {})
    parts = [*frames[2:5], b'{"a": NaN, "b": "\\ud800", "c": [1]}']
    message = wire.decode([frames[0], wire._sign(parts), *parts])
    assert message.content["a"] != message.content["a"]
    assert message.content["b"] == "\ufffd"
    assert message.content["c"] == [1]
