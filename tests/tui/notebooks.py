"""In-memory notebooks for tests of the view: documents, a writer, a dict of blobs. No daemon."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from typing import Any

from runt.errors import BlobMissing
from runt.notebook.manifests import (
    BlobRef,
    ContentRef,
    DisplayManifest,
    ErrorManifest,
    Manifest,
    ResultManifest,
    StreamManifest,
    encode,
)
from runt.notebook.notebook_document import CellKey, CellType, NewCell, NotebookDocument, source_hash
from runt.notebook.runtime_document import QueueEntry, RuntimeDocument
from runt.notebook.runtime_writer import RuntimeWriter

INLINE_BYTES = 8192


class DictBlobs:
    """Blobs in a dict; counts reads."""

    def __init__(self) -> None:
        self.content: dict[str, bytes] = {}
        self.reads = 0

    def put(self, data: bytes, media_type: str = "") -> BlobRef:
        """Keep data; returns its reference."""
        digest = hashlib.sha256(data).hexdigest()
        self.content[digest] = data
        return BlobRef(digest, len(data))

    def get(self, hash_: str, /) -> bytes:
        """The data, or BlobMissing."""
        self.reads += 1
        try:
            return self.content[hash_]
        except KeyError:
            raise BlobMissing(hash_) from None


class MemoryNotebook:
    """A notebook source with ways to fill it."""

    def __init__(self) -> None:
        self.document = NotebookDocument.create("test")
        self.runtime = RuntimeDocument.create("test-machine")
        self.blobs = DictBlobs()
        self.writer = RuntimeWriter(self.runtime)
        self._serial = 0

    def add(self, source: str, type: CellType = "code", index: int | None = None) -> CellKey:
        """A cell at the end, or before ``index``."""
        at = len(self.document) if index is None else index
        return self.document.insert_cell(at, type, source, key=self._key(), origin="test")

    def add_many(self, sources: list[str]) -> list[CellKey]:
        """Cells at the end, in one transaction."""
        cells = [NewCell("code", source, key=self._key()) for source in sources]
        return self.document.insert_cells(len(self.document), cells, "test")

    def _key(self) -> CellKey:
        self._serial += 1
        return CellKey(f"cell{self._serial:08d}")

    def ref(self, value: str | bytes) -> ContentRef:
        """Content: inline when it is short text."""
        if isinstance(value, str) and len(value) < INLINE_BYTES:
            return ContentRef(inline=value)
        data = value.encode() if isinstance(value, str) else value
        blob = self.blobs.put(data)
        return ContentRef(blob=blob.hash, size=blob.size)

    def begin(self, key: CellKey, *, count: int | None = None, by: str = "", started: float = 1000.0) -> None:
        """Start an execution of the cell's present source."""
        source = self.document.cell(key).source
        with self.runtime.transaction("daemon"):
            self.writer.begin(key, f"run-{key}", source_hash(source), by, started, started)
            if count is not None:
                self.writer.set_execution(key, count=count)

    def finish(self, key: CellKey, *, status: str = "ok", ended: float = 1000.038) -> None:
        """End it."""
        with self.runtime.transaction("daemon"):
            self.writer.set_execution(key, status=status, ended=ended)

    def output(self, key: CellKey, *manifests: Manifest) -> None:
        """Append outputs."""
        with self.runtime.transaction("daemon"):
            for manifest in manifests:
                self.writer.append_output(key, encode(manifest))

    def ran(
        self,
        key: CellKey,
        count: int,
        *manifests: Manifest,
        status: str = "ok",
        by: str = "",
        took: float = 0.038,
    ) -> None:
        """A whole execution."""
        self.begin(key, count=count, by=by)
        self.output(key, *manifests)
        self.finish(key, status=status, ended=1000.0 + took)

    def enqueue(self, *keys: CellKey) -> None:
        """Put cells into the queue."""
        with self.runtime.transaction("daemon"):
            for key in keys:
                self.writer.enqueue(QueueEntry(f"next-{key}", key, "", "", "r"))

    def stream(self, text: str, name: str = "stdout") -> StreamManifest:
        """A finished stream."""
        return StreamManifest(name=name, text=self.ref(text))

    def display(self, data: Mapping[str, str | bytes], **metadata: Any) -> DisplayManifest:
        """A display output."""
        return DisplayManifest(
            data={name: self.ref(value) for name, value in data.items()}, metadata=metadata
        )

    def result(self, data: Mapping[str, str | bytes], count: int = 1) -> ResultManifest:
        """A result."""
        refs = {name: self.ref(value) for name, value in data.items()}
        return ResultManifest(data=refs, execution_count=count)

    def error(self, name: str, value: str, traceback: list[str]) -> ErrorManifest:
        """An error."""
        return ErrorManifest(ename=name, evalue=value, traceback=self.ref(json.dumps(traceback)))
