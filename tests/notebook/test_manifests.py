"""Outputs become manifests and come back the same, with their content in blobs where it is long or binary."""

from __future__ import annotations

import base64
import hashlib
import json
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from nbformat.notebooknode import from_dict
from nbformat.v4 import rwbase

from runt.errors import BlobMissing
from runt.notebook.manifests import (
    INLINE_LIMIT_BYTES,
    BlobRef,
    ContentRef,
    DisplayManifest,
    ErrorManifest,
    StreamManifest,
    UnknownManifest,
    content_bytes,
    content_text,
    decode,
    encode,
    manifest_from_nbformat,
    manifest_to_nbformat,
)
from runt.notebook.runtime_document import RuntimeDocument
from runt.notebook.runtime_writer import RuntimeWriter


class Blobs:
    """Blobs in memory."""

    def __init__(self) -> None:
        self.data: dict[str, bytes] = {}
        self.types: dict[str, str] = {}

    def put(self, data: bytes, media_type: str) -> BlobRef:
        hash_ = hashlib.sha256(data).hexdigest()
        self.data[hash_] = data
        self.types[hash_] = media_type
        return BlobRef(hash_, len(data))

    def get(self, hash_: str) -> bytes:
        try:
            return self.data[hash_]
        except KeyError:
            raise BlobMissing(hash_) from None


def round_trip(output: dict[str, Any]) -> dict[str, Any]:
    blobs = Blobs()
    manifest = decode(encode(manifest_from_nbformat(output, blobs.put)))
    return manifest_to_nbformat(manifest, blobs.get)


def normal(output: dict[str, Any]) -> dict[str, Any]:
    """The output as nbformat holds it in memory."""
    notebook = from_dict({"cells": [{"cell_type": "code", "outputs": [output]}]})
    return json.loads(json.dumps(rwbase.rejoin_lines(notebook)))["cells"][0]["outputs"][0]


PNG = bytes(range(256)) * 8
BASE64 = base64.b64encode(PNG).decode()

OUTPUTS: dict[str, dict[str, Any]] = {
    "stream": {"output_type": "stream", "name": "stderr", "text": "a\nb\n"},
    "stream of lines": {"output_type": "stream", "name": "stdout", "text": ["a\n", "b"]},
    "empty stream": {"output_type": "stream", "name": "stdout", "text": []},
    "long stream": {"output_type": "stream", "name": "stdout", "text": "é漢\n" * 10_000},
    "surrogates": {"output_type": "stream", "name": "stdout", "text": "a\ud800b" * 5_000},
    "short surrogates": {"output_type": "stream", "name": "stdout", "text": "a\ud800b"},
    "error": {"output_type": "error", "ename": "E", "evalue": "v", "traceback": ["\x1b[31ma", "b\nc"]},
    "long error": {"output_type": "error", "ename": "E", "evalue": "v", "traceback": ["line"] * 5_000},
    "display": {
        "output_type": "display_data",
        "data": {
            "text/plain": ["<Figure>\n", "x"],
            "image/png": BASE64,
            "image/jpeg": BASE64 + "\n",
            "image/gif": base64.encodebytes(PNG).decode(),
            "image/webp": base64.encodebytes(PNG).decode().splitlines(True),
            "image/svg+xml": ["<svg>\n", "</svg>"],
            "application/json": {"a": [1, 2.5, None, True, "x"], "z": {}},
            "application/geo+json": ["a", "b"],
            "application/vnd.vega.v5+json": {"big": list(range(5_000))},
            "application/pdf": BASE64,
            "application/javascript": "alert(1)",
            "application/x-odd": "this is no base64!",
            "application/vnd.code.notebook.stdout": "text",
            "text/x-structured": {"not": ["text"]},
            "chemical/x-pdb": "ATOM",
        },
        "metadata": {"image/png": {"width": 3}, "isolated": True},
    },
    "result": {
        "output_type": "execute_result",
        "data": {"text/plain": "3"},
        "metadata": {},
        "execution_count": 7,
    },
    "result without a count": {
        "output_type": "execute_result",
        "data": {},
        "metadata": {},
        "execution_count": None,
    },
    "with unknown keys": {"output_type": "stream", "name": "stdout", "text": "a", "vendor": {"x": 1}},
    "of an unknown kind": {"output_type": "hologram", "beam": [1, 2]},
    "without a kind": {"text": "a"},
    "wrong": {"output_type": "stream", "name": 3, "text": {"a": 1}},
}


@pytest.mark.parametrize("output", OUTPUTS.values(), ids=OUTPUTS.keys())
def test_outputs_come_back(output: dict[str, Any]) -> None:
    """Whatever an output holds, it is the same after being a manifest (in nbformat's in-memory form)."""
    before = json.dumps(output)
    assert round_trip(output) == normal(output)
    assert json.dumps(output) == before


values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=4), inner, max_size=3),
    max_leaves=6,
)
texts = st.text(st.characters(exclude_categories=()), max_size=40)
base64_texts = st.binary(max_size=90).flatmap(
    lambda data: st.sampled_from(
        [
            base64.b64encode(data).decode(),
            base64.b64encode(data).decode() + "\n",
            base64.encodebytes(data).decode(),
        ]
    )
)
mimes = st.sampled_from(
    ["image/png", "text/plain", "application/json", "application/x+json", "application/pdf", "x/y", ""]
)
outputs = st.one_of(
    st.builds(lambda name, text: {"output_type": "stream", "name": name, "text": text}, texts, texts),
    st.builds(
        lambda data, meta: {"output_type": "display_data", "data": data, "metadata": meta},
        st.dictionaries(mimes, texts | base64_texts | values, max_size=4),
        st.dictionaries(st.text(), values, max_size=2),
    ),
    st.builds(
        lambda name, value, lines: {
            "output_type": "error",
            "ename": name,
            "evalue": value,
            "traceback": lines,
        },
        texts,
        texts,
        st.lists(texts, max_size=3),
    ),
    st.dictionaries(st.text(max_size=8), values, max_size=4),
)


def joined_everywhere(output: dict[str, Any]) -> dict[str, Any]:
    """nbformat's in-memory form, with lists of text joined under every type that is not JSON."""
    data = output.get("data")
    if output.get("output_type") == "display_data" and isinstance(data, dict):
        data = {
            mime: "".join(value)
            if not rwbase._is_json_mime(mime)
            and isinstance(value, list)
            and all(isinstance(line, str) for line in value)
            else value
            for mime, value in data.items()
        }
        return {**output, "data": data}
    return output


@given(outputs)
@settings(max_examples=300, deadline=None)
def test_any_output_comes_back(output: dict[str, Any]) -> None:
    """No value is lost or changed on the way, of whatever type and spelling."""
    assert round_trip(output) == joined_everywhere(output)


@given(outputs)
@settings(deadline=None)
def test_a_document_can_hold_any_manifest(output: dict[str, Any]) -> None:
    """The JSON text of a manifest survives the runtime document, also with lone surrogates in it."""
    blobs = Blobs()
    text = encode(manifest_from_nbformat(output, blobs.put))
    text.encode()
    document = RuntimeDocument.create("machine")
    writer = RuntimeWriter(document)
    with document.transaction("daemon"):
        writer.load("cell", "file:1", 1, [text])
    [entry] = document.outputs("cell")
    assert entry == decode(text)


def test_binary_content_is_stored_as_bytes() -> None:
    """An image is a blob of its own bytes and type, whatever the spelling of its base64."""
    blobs = Blobs()
    hash_ = hashlib.sha256(PNG).hexdigest()
    for text in (BASE64, BASE64 + "\n", base64.encodebytes(PNG).decode()):
        manifest = manifest_from_nbformat(
            {"output_type": "display_data", "data": {"image/png": text}, "metadata": {}}, blobs.put
        )
        assert isinstance(manifest, DisplayManifest)
        ref = manifest.data["image/png"]
        assert (ref.inline, ref.blob, ref.size) == (None, hash_, len(PNG))
        assert content_bytes(ref, blobs.get) == PNG
    assert blobs.data == {hash_: PNG}
    assert blobs.types == {hash_: "image/png"}


def test_short_text_is_inline_and_long_text_is_a_blob() -> None:
    """The limit counts UTF-8 bytes."""
    blobs = Blobs()
    for text, inline in (("x" * (INLINE_LIMIT_BYTES - 1), True), ("é" * (INLINE_LIMIT_BYTES // 2), False)):
        manifest = manifest_from_nbformat(
            {"output_type": "stream", "name": "stdout", "text": text}, blobs.put
        )
        assert isinstance(manifest, StreamManifest)
        assert (manifest.text.inline is not None) is inline
        assert content_text(manifest.text, blobs.get) == text
    assert list(blobs.types.values()) == ["text/plain"]


def test_a_lost_blob_says_so() -> None:
    """Content that is gone raises BlobMissing and is never taken for empty."""
    manifest = StreamManifest("stdout", ContentRef(blob="0" * 64, size=9))
    with pytest.raises(BlobMissing):
        manifest_to_nbformat(manifest, Blobs().get)


def test_transient_data_stays_out_of_the_file() -> None:
    """A display id is in the manifest, and not in what goes to the file."""
    output = {"output_type": "display_data", "data": {}, "metadata": {}, "transient": {"display_id": "d"}}
    blobs = Blobs()
    manifest = manifest_from_nbformat(output, blobs.put)
    assert isinstance(manifest, DisplayManifest)
    assert manifest.transient == {"display_id": "d"}
    assert "transient" not in manifest_to_nbformat(manifest, blobs.get)


def test_manifest_text_is_small_and_tagged() -> None:
    """Fields at their defaults are left out, and the kind is named as nbformat names it."""
    assert encode(ErrorManifest("E", "v", ContentRef(inline="[]"))) == (
        '{"output_type":"error","ename":"E","evalue":"v","traceback":{"inline":"[]"}}'
    )


@pytest.mark.parametrize("text", ["", "null", "[]", "{}", '{"output_type":"stream"}', "\ud800", "{"])
def test_text_that_is_no_manifest_is_refused(text: str) -> None:
    """A damaged entry raises ValueError and nothing else."""
    with pytest.raises(ValueError):  # noqa: PT011 - msgspec's own message
        decode(text)


def test_values_that_json_cannot_hold_are_refused() -> None:
    """NaN in a JSON output is an error of the sender, to be reported as such."""
    output = {"output_type": "display_data", "data": {"application/json": float("nan")}, "metadata": {}}
    with pytest.raises(ValueError, match="not JSON compliant"):
        manifest_from_nbformat(output, Blobs().put)


def test_unknown_outputs_are_kept_whole() -> None:
    """An output of a newer kind, or with data that is none, is opaque and not lost."""
    wrong = {"output_type": "display_data", "data": "text", "metadata": {}}
    for output in (OUTPUTS["of an unknown kind"], wrong):
        assert isinstance(manifest_from_nbformat(output, Blobs().put), UnknownManifest)
        assert round_trip(output) == output
