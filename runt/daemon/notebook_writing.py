"""A room's documents as the bytes of its .ipynb, made in a worker thread.

It takes bytes and gives back bytes; it sees no room and writes nothing. The invariant: an output that cannot
be resolved never replaces a good one in the file.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from runt.daemon.scratch_documents import scratch
from runt.errors import BlobMissing, NotebookFileError
from runt.notebook.cell import CellKey
from runt.notebook.exchange import file_from_document
from runt.notebook.ipynb import FileNotebook, read_ipynb, write_ipynb
from runt.notebook.manifests import decode, manifest_to_nbformat
from runt.notebook.notebook_document import NotebookDocument
from runt.notebook.runtime_document import LiveStream, ManifestHash, RuntimeDocument
from runt.store.atomic_file import read_file
from runt.store.blobs import BlobStore

Get = Callable[[str], bytes]


@dataclass(frozen=True, slots=True)
class Formatted:
    """What is to be in the file. ``unchanged``: it is there already."""

    data: bytes
    disk_hash: str
    unchanged: bool
    parsed: FileNotebook


def format_notebook(
    path: Path,
    notebook: bytes,
    runtime: bytes,
    base: FileNotebook | None,
    expected: str | None,
    blobs: BlobStore,
) -> Formatted:
    """Make the file of the documents (full updates).

    ``expected`` is the SHA-256 of the file as we know it, None if nothing may be there.

    Raises:
        StoreError, OSError: a blob cannot be read.
    """
    if base is None and expected is not None:
        base = _read_style(path)
    with scratch(NotebookDocument()) as document, scratch(RuntimeDocument()) as state:
        document.apply(notebook, "save")
        state.apply(runtime, "save")
        reader = OutputReader(state, blobs.get, base, document)
        parsed = file_from_document(document, reader.outputs, base)
    data = write_ipynb(parsed)
    disk_hash = hashlib.sha256(data).hexdigest()
    return Formatted(data, disk_hash, disk_hash == expected and path.exists(), parsed)


class OutputReader:
    """A cell's outputs in the form of the file, blobs resolved."""

    def __init__(
        self, state: RuntimeDocument, get: Get, base: FileNotebook | None, document: NotebookDocument
    ) -> None:
        self._state = state
        self._get = get
        self._document = document
        self._in_file: dict[str, list[dict[str, Any]]] = {}
        for cell in base.cells if base is not None else ():
            if cell.file_id and cell.outputs:
                self._in_file[cell.file_id] = cell.outputs

    def outputs(self, key: CellKey) -> tuple[int | None, list[dict[str, Any]]]:
        """Execution count and outputs. A lost blob leaves what the file has."""
        execution = self._state.execution(key)
        if execution is None:
            return None, []
        try:
            return execution.count, [self._resolve(entry) for entry in self._state.outputs(key)]
        except BlobMissing as error:
            kept = self._in_file.get(self._document.cell(key).file_id or "")
            if kept is not None:
                return execution.count, kept
            return execution.count, [
                {"output_type": "stream", "name": "stderr", "text": f"{error.message}\n"}
            ]

    def _resolve(self, entry: Any) -> dict[str, Any]:
        match entry:
            case LiveStream(name=name, sealed=sealed, tail=tail):
                text = "".join(self._get(ref.hash).decode("utf-8", "replace") for ref in sealed)
                return {"output_type": "stream", "name": name, "text": text + tail}
            case ManifestHash():
                return manifest_to_nbformat(decode(self._get(entry).decode()), self._get)
            case _:
                return manifest_to_nbformat(entry, self._get)


def _is_there(path: Path, expected: str) -> bool:
    try:
        return read_file(path)[1] == expected
    except OSError:
        return False


def _read_style(path: Path) -> FileNotebook | None:
    try:
        data, _ = read_file(path)
        return read_ipynb(data, str(path))
    except (OSError, NotebookFileError):
        return None  # the file is gone or somebody broke it: `expected` decides whether it is replaced
