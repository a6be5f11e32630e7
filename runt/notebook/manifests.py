"""Manifests: outputs as small values that name their content, inline when short and as a blob when not.

They are no files and do no I/O: blobs go through the ``put`` and ``get`` that are given. The invariant:
``manifest_to_nbformat(manifest_from_nbformat(output))`` is the output as nbformat holds it in memory (lines
joined), whatever was in it; what nbformat does not know is kept as it is.
"""

from __future__ import annotations

import base64
import binascii
from collections.abc import Callable, Mapping
from typing import Any, Literal, NamedTuple, TypeAlias

import msgspec

from runt.notebook import json_text
from runt.notebook.mime import is_binary_mime, is_json_mime

INLINE_LIMIT_BYTES = 8192
"""UTF-8 bytes of content from which on it is a blob: what a document should not have to carry."""

TEXT_TYPE = "text/plain"
JSON_TYPE = "application/json"


class BlobRef(NamedTuple):
    """Content that is stored elsewhere: SHA-256 of the bytes (64 hex digits) and their number."""

    hash: str
    size: int


Put: TypeAlias = Callable[[bytes, str], BlobRef]
"""Store bytes of a media type."""

Get: TypeAlias = Callable[[str], bytes]
"""Read stored bytes by hash; BlobMissing when they are lost."""

Form: TypeAlias = Literal["", "newline", "lines", "json"]


class ContentRef(msgspec.Struct, frozen=True, omit_defaults=True):
    """Content: text in ``inline``, or the hash of a blob and its ``size`` in bytes.

    A blob of a binary type holds the bytes themselves (nbformat's base64 decoded); every other blob is UTF-8.

    Attributes:
        form: how the value was spelled where that is not the usual way. ``newline``: base64 with a final
            newline; ``lines``: base64 in lines of 76; ``json``: a JSON value where there should be text.
    """

    inline: str | None = None
    blob: str | None = None
    size: int = 0
    form: Form = ""


class StreamManifest(msgspec.Struct, frozen=True, omit_defaults=True, tag_field="output_type", tag="stream"):
    """Finished stdout or stderr."""

    name: str
    text: ContentRef
    extra: dict[str, Any] = {}


class DisplayManifest(
    msgspec.Struct, frozen=True, omit_defaults=True, tag_field="output_type", tag="display_data"
):
    """Something displayed, in one or more MIME types. ``transient`` (display ids) never reaches the file."""

    data: dict[str, ContentRef]
    metadata: dict[str, Any] = {}
    transient: dict[str, Any] = {}
    extra: dict[str, Any] = {}


class ResultManifest(
    msgspec.Struct, frozen=True, omit_defaults=True, tag_field="output_type", tag="execute_result"
):
    """The value of a cell's last expression."""

    data: dict[str, ContentRef]
    metadata: dict[str, Any] = {}
    execution_count: int | None = None
    transient: dict[str, Any] = {}
    extra: dict[str, Any] = {}


class ErrorManifest(msgspec.Struct, frozen=True, omit_defaults=True, tag_field="output_type", tag="error"):
    """An exception. ``traceback`` holds a JSON array of strings, with SGR sequences."""

    ename: str
    evalue: str
    traceback: ContentRef
    extra: dict[str, Any] = {}


class UnknownManifest(
    msgspec.Struct, frozen=True, omit_defaults=True, tag_field="output_type", tag="unknown"
):
    """An output of a kind that we do not know, or that is not as nbformat says: its JSON, kept as it is."""

    output: ContentRef


Manifest: TypeAlias = StreamManifest | DisplayManifest | ResultManifest | ErrorManifest | UnknownManifest

_TAGS = {
    StreamManifest: "stream",
    DisplayManifest: "display_data",
    ResultManifest: "execute_result",
    ErrorManifest: "error",
    UnknownManifest: "unknown",
}


def encode(manifest: Manifest) -> str:
    """The manifest as JSON text without lone surrogates, so that a document can hold it."""
    return json_text.encode(msgspec.to_builtins(manifest))


def decode(text: str) -> Manifest:
    """The manifest that ``encode`` made.

    Raises:
        ValueError: the text is not a manifest.
    """
    value = json_text.decode(text)
    if value is None:
        raise ValueError("not JSON")
    return msgspec.convert(value, Manifest)  # type: ignore[no-any-return]


def content_text(ref: ContentRef, get: Get) -> str:
    """Content that is text. Bytes that are not UTF-8 are replaced. BlobMissing when it is lost."""
    if ref.inline is not None:
        return ref.inline
    return _text(get(ref.blob or ""))


def content_bytes(ref: ContentRef, get: Get) -> bytes:
    """The bytes of content: of a binary type's blob as they are, of text in UTF-8."""
    if ref.inline is not None:
        return _bytes(ref.inline)
    return get(ref.blob or "")


# Lone surrogates (a kernel can send them, JSON can hold them) survive in blobs, which are otherwise UTF-8.
def _bytes(text: str) -> bytes:
    return text.encode("utf-8", "surrogatepass")


def _text(data: bytes) -> str:
    try:
        return data.decode("utf-8", "surrogatepass")
    except UnicodeDecodeError:
        return data.decode("utf-8", "replace")


def text_ref(text: str, media_type: str, put: Put, form: Form = "") -> ContentRef:
    """Content that is text: inline below the limit, else a blob."""
    if len(text) < INLINE_LIMIT_BYTES:
        data = _bytes(text)
        if len(data) < INLINE_LIMIT_BYTES:
            return ContentRef(inline=text, form=form)
    else:
        data = _bytes(text)
    hash_, size = put(data, media_type)
    return ContentRef(blob=hash_, size=size, form=form)


# -- from nbformat


def manifest_from_nbformat(output: Mapping[str, Any], put: Put) -> Manifest:
    """The manifest of an nbformat output; text may be strings or lists of lines.

    Raises:
        ValueError: it holds NaN or an infinity.
    """
    fields = dict(output)
    kind = fields.pop("output_type", None)
    try:
        if kind == "stream":
            return _stream(fields, put)
        if kind in ("display_data", "execute_result"):
            return _display(kind, fields, put)
        if kind == "error":
            return _error(fields, put)
    except msgspec.ValidationError:
        pass  # a field has another type than nbformat says: kept whole below
    return UnknownManifest(text_ref(json_text.encode(dict(output)), JSON_TYPE, put))


def _expect(value: object, *kinds: type) -> Any:
    """``value``, if it is of one of the kinds."""
    if not isinstance(value, kinds) or (isinstance(value, bool) and bool not in kinds):
        raise msgspec.ValidationError
    return value


def joined(value: object) -> object:
    """A list of lines as one string; anything else as it is."""
    if isinstance(value, list):
        try:
            return "".join(value)
        except TypeError:  # something in it is no text
            return value
    return value


def _stream(fields: dict[str, Any], put: Put) -> StreamManifest:
    name = _expect(fields.pop("name", "stdout"), str)
    text = _expect(joined(fields.pop("text", "")), str)
    return StreamManifest(name, text_ref(text, TEXT_TYPE, put), fields)


def _display(kind: str, fields: dict[str, Any], put: Put) -> DisplayManifest | ResultManifest:
    data = {mime: _content(mime, value, put) for mime, value in _expect(fields.pop("data", {}), dict).items()}
    metadata = _expect(fields.pop("metadata", {}), dict)
    transient = _expect(fields.pop("transient", {}), dict)
    if kind == "display_data":
        return DisplayManifest(data, metadata, transient, fields)
    count = _expect(fields.pop("execution_count", None), int, type(None))
    return ResultManifest(data, metadata, count, transient, fields)


def _error(fields: dict[str, Any], put: Put) -> ErrorManifest:
    traceback = _expect(fields.pop("traceback", []), list)
    return ErrorManifest(
        _expect(fields.pop("ename", ""), str),
        _expect(fields.pop("evalue", ""), str),
        text_ref(json_text.encode(traceback), JSON_TYPE, put),
        fields,
    )


def _content(mime: str, value: object, put: Put) -> ContentRef:
    if is_json_mime(mime):
        return text_ref(json_text.encode(value), mime, put)
    text = joined(value)
    if not isinstance(text, str):
        return text_ref(json_text.encode(text), JSON_TYPE, put, form="json")
    if is_binary_mime(mime):
        return _binary(mime, text, put)
    return text_ref(text, mime, put)


def _binary(mime: str, text: str, put: Put) -> ContentRef:
    """Base64 as its bytes, if the text can be made from them again; else the text as a JSON value."""
    try:
        data = base64.b64decode(text)  # skips line ends
    except (binascii.Error, ValueError):
        return text_ref(json_text.encode(text), JSON_TYPE, put, form="json")
    spelled = base64.b64encode(data).decode()
    forms: tuple[tuple[Form, Callable[[], str]], ...] = (
        ("", lambda: spelled),
        ("newline", lambda: spelled + "\n"),
        ("lines", lambda: base64.encodebytes(data).decode()),
    )
    for form, spell in forms:
        if text == spell():
            hash_, size = put(data, mime)
            return ContentRef(blob=hash_, size=size, form=form)
    return text_ref(json_text.encode(text), JSON_TYPE, put, form="json")


# -- to nbformat


def manifest_to_nbformat(manifest: Manifest, get: Get) -> dict[str, Any]:
    """The output as nbformat holds it in memory: text in one string, binary content in base64.

    Raises:
        BlobMissing: a blob that it names is lost.
    """
    if isinstance(manifest, UnknownManifest):
        value = json_text.decode(content_text(manifest.output, get))
        return value if isinstance(value, dict) else {}
    output: dict[str, Any] = {"output_type": _TAGS[type(manifest)]}
    if isinstance(manifest, StreamManifest):
        output.update(name=manifest.name, text=content_text(manifest.text, get))
    elif isinstance(manifest, ErrorManifest):
        traceback = json_text.decode(content_text(manifest.traceback, get), [])
        output.update(ename=manifest.ename, evalue=manifest.evalue, traceback=traceback)
    else:
        output["data"] = {mime: _value(mime, ref, get) for mime, ref in manifest.data.items()}
        output["metadata"] = dict(manifest.metadata)
        if isinstance(manifest, ResultManifest):
            output["execution_count"] = manifest.execution_count
    output.update(manifest.extra)
    return output


def _value(mime: str, ref: ContentRef, get: Get) -> Any:
    if ref.form == "json" or is_json_mime(mime):
        return json_text.decode(content_text(ref, get))
    if ref.blob is None or not is_binary_mime(mime):
        return content_text(ref, get)
    data = get(ref.blob)
    if ref.form == "lines":
        return base64.encodebytes(data).decode()
    text = base64.b64encode(data).decode()
    return text + "\n" if ref.form == "newline" else text
