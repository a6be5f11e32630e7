"""An output of a cell as scripts see it, read from its manifest and, on demand, from blobs.

It renders nothing. The invariant: reading an attribute that the output type does not have gives its empty
value, and content that is lost raises `BlobMissing` when it is read, not before.
"""

from __future__ import annotations

import base64
from functools import cached_property
from typing import Any, Literal, cast

from runt.errors import StoreError
from runt.notebook.manifests import decode, manifest_to_nbformat
from runt.notebook.mime import is_binary_mime
from runt.notebook.runtime_document import LiveStream, ManifestHash, OutputEntry
from runt.store.blobs import BlobStore

OutputType = Literal["stream", "display_data", "execute_result", "error"]


class Output:
    """One output, as it was when it was read. Blobs are read from disk, once, when an attribute needs
    them.
    """

    def __init__(self, entry: OutputEntry, blobs: BlobStore) -> None:
        self._entry = entry
        self._blobs = blobs

    @property
    def output_type(self) -> OutputType:
        """``stream``, ``display_data``, ``execute_result`` or ``error``."""
        return cast(OutputType, self._fields["output_type"])

    @property
    def name(self) -> str:
        """``stdout`` or ``stderr``; empty unless it is a stream."""
        return str(self._fields.get("name", ""))

    @property
    def text(self) -> str:
        """A stream's text, an error's traceback, else the ``text/plain`` representation (empty if there is
        none).
        """
        match self.output_type:
            case "stream":
                return str(self._fields["text"])
            case "error":
                return "\n".join(self.traceback)
            case _:
                return str(self.data.get("text/plain", ""))

    @cached_property
    def data(self) -> dict[str, Any]:
        """MIME type → ``str``, ``bytes`` (binary types) or decoded JSON. Empty for streams and errors."""
        bundle: dict[str, Any] = self._fields.get("data", {})
        return {
            mime: base64.b64decode(value) if isinstance(value, str) and is_binary_mime(mime) else value
            for mime, value in bundle.items()
        }

    @property
    def metadata(self) -> dict[str, Any]:
        """The output's metadata."""
        return dict(self._fields.get("metadata", {}))

    @property
    def execution_count(self) -> int | None:
        """The count of an ``execute_result``."""
        count = self._fields.get("execution_count")
        return int(count) if count is not None else None

    @property
    def ename(self) -> str:
        """The exception's class."""
        return str(self._fields.get("ename", ""))

    @property
    def evalue(self) -> str:
        """The exception's message."""
        return str(self._fields.get("evalue", ""))

    @property
    def traceback(self) -> list[str]:
        """The traceback's lines, with their ANSI colours."""
        return list(self._fields.get("traceback", []))

    def to_nbformat(self) -> dict[str, Any]:
        """The output as nbformat writes it (binary data in base64)."""
        return dict(self._fields)

    @cached_property
    def _fields(self) -> dict[str, Any]:
        entry = self._entry
        if isinstance(entry, LiveStream):
            return {"output_type": "stream", "name": entry.name, "text": live_text(entry, self._blobs)}
        if isinstance(entry, ManifestHash):
            entry = decode(self._blobs.get(entry).decode())
        fields = manifest_to_nbformat(entry, self._blobs.get)
        text = fields.get("text")
        if isinstance(text, list):
            fields["text"] = "".join(text)
        return fields

    def __repr__(self) -> str:
        try:
            return f"<Output {self.output_type} {self.text[:60]!r}>"
        except StoreError as error:
            return f"<Output {error.message}>"


def live_text(stream: LiveStream, blobs: BlobStore) -> str:
    """The whole text of a stream that still grows. Raises `BlobMissing`."""
    pieces = [blobs.get(reference.hash).decode("utf-8", "replace") for reference in stream.sealed]
    return "".join([*pieces, stream.tail])
