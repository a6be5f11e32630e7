"""Building a room's documents off the event loop: from a file, from a journal, from both.

Everything here runs in a worker thread and gives back bytes, because a document may be used by one thread
only; the loop applies the bytes to documents of its own. The invariant: history is restored, never written
again; only a file that has no room yet becomes a new document.
"""

from __future__ import annotations

import uuid
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from runt.daemon.scratch_documents import scratch
from runt.errors import DamagedUpdate
from runt.notebook.cell import CellKey
from runt.notebook.crdt import CrdtDocument
from runt.notebook.disk_merge import equalise, merge_from_disk
from runt.notebook.exchange import document_from_file
from runt.notebook.ipynb import FileNotebook, read_ipynb
from runt.notebook.manifests import BlobRef, encode, manifest_from_nbformat
from runt.notebook.notebook_document import NotebookDocument
from runt.notebook.runtime_document import RuntimeDocument
from runt.notebook.runtime_writer import RuntimeWriter
from runt.notebook.state_vector import decode_state

Put = Callable[[bytes, str], BlobRef]

MARKS = "mark"  # rows among the journal's updates that change nothing: N was as saved there


@dataclass(frozen=True, slots=True)
class LoadedDocuments:
    """Both documents of a room as full updates, ready for the loop; ``state`` is the notebook's state vector,
    of one that was restored.
    """

    notebook: bytes
    runtime: bytes
    state: bytes = b""


@dataclass(frozen=True, slots=True)
class FileOutputs:
    """What the file holds for one cell: count and outputs as manifests (JSON text)."""

    cell: CellKey
    id: str
    count: int | None
    outputs: tuple[str, ...]
    source_changed: bool = False


@dataclass(frozen=True, slots=True)
class DiskMerge:
    """What a changed file means for a room: an update of N, and outputs for R. ``parsed`` is the file as
    read, ``base`` the history of N that says what the file says.
    """

    notebook: bytes
    outputs: tuple[FileOutputs, ...]
    parsed: FileNotebook
    disk_hash: str
    base: bytes


def new_room(room: str, metadata: Mapping[str, Any], owner: str) -> LoadedDocuments:
    """The documents of an untitled notebook."""
    with (
        scratch(NotebookDocument.create(room, metadata=metadata)) as notebook,
        scratch(RuntimeDocument.create(owner)) as runtime,
    ):
        return LoadedDocuments(notebook.update_since(), runtime.update_since())


def import_file(
    data: bytes, name: str, disk_hash: str, room: str, owner: str, put: Put
) -> tuple[LoadedDocuments, FileNotebook]:
    """The documents of a file that is opened for the first time (or whose journal is lost).

    Raises:
        NotebookFileError: the bytes are not a notebook.
    """
    parsed = read_ipynb(data, name)
    with (
        scratch(document_from_file(parsed, room)) as notebook,
        scratch(RuntimeDocument.create(owner)) as runtime,
    ):
        writer = RuntimeWriter(runtime)
        keys = dict(enumerate(notebook.keys()))
        with runtime.transaction("daemon"):
            for entry in file_outputs(parsed, keys, room, disk_hash, put):
                writer.load(entry.cell, entry.id, entry.count, list(entry.outputs))
        return LoadedDocuments(notebook.update_since(), runtime.update_since()), parsed


def replay(document: CrdtDocument, snapshot: bytes | None, updates: Sequence[bytes]) -> None:
    """Bring an empty document to where a journal's snapshot and updates lead.

    Raises:
        DamagedUpdate: one of them cannot be applied.
    """
    if snapshot:
        document.apply(snapshot, "journal")
    for update in updates:
        document.apply(update, "journal")


def restore(
    snapshots: Mapping[str, bytes], updates: Iterable[tuple[str, bytes]], owner: str
) -> LoadedDocuments | None:
    """The documents of a journal; None if it holds no notebook.

    A lost R is made anew: clients take the whole state of another epoch.

    Raises:
        DamagedUpdate: the notebook's updates cannot be applied.
    """
    of: dict[str, list[bytes]] = {"n": [], "r": []}
    for doc, update in updates:
        of.setdefault(doc, []).append(update)
    with scratch(NotebookDocument()) as notebook:
        replay(notebook, snapshots.get("n"), of["n"])
        if not notebook.schema:
            return None
        squashed, state = notebook.update_since(), notebook.state()
    with scratch(RuntimeDocument()) as runtime:
        try:
            replay(runtime, snapshots.get("r"), of["r"])
            usable = bool(runtime.schema)
        except DamagedUpdate:
            usable = False
        if usable:
            return LoadedDocuments(squashed, runtime.update_since(), state)
    with scratch(RuntimeDocument.create(owner)) as fresh:
        return LoadedDocuments(squashed, fresh.update_since(), state)


def encode_mark(name: str, state: bytes) -> bytes:
    """A row of MARKS; ``state`` is N's state vector there, to know damage by."""
    return name.encode() + b" " + state


def notebook_at(
    snapshots: Mapping[str, bytes],
    updates: Sequence[tuple[str, bytes]],
    mark: str,
    now: LoadedDocuments,
) -> bytes | None:
    """N as it was at a mark; None if the journal does not lead there (any more). ``now`` is where all of it
    leads.
    """
    start = mark.encode() + b" "
    found = (at for at, (doc, data) in enumerate(updates) if doc == MARKS and data.startswith(start))
    at = next(found, None)
    if at is None:
        return None
    state = decode_state(updates[at][1][len(start) :])
    if not any(doc == "n" for doc, _ in updates[at:]):
        return now.notebook if decode_state(now.state) == state else None
    own = [data for doc, data in updates[:at] if doc == "n"]
    with scratch(NotebookDocument()) as notebook:
        try:
            replay(notebook, snapshots.get("n"), own)
        except DamagedUpdate:
            return None
        return notebook.update_since() if decode_state(notebook.state()) == state else None


def salvage(
    snapshots: Mapping[str, bytes], updates: Sequence[tuple[str, bytes]], owner: str
) -> LoadedDocuments | None:
    """As `restore`, from as many of the notebook's updates as can be applied; None if that is no notebook."""
    kept = list(updates)
    while True:
        try:
            return restore(snapshots, kept, owner)
        except DamagedUpdate:
            usable = _applicable(snapshots.get("n"), [data for doc, data in kept if doc == "n"])
            if usable < 0:
                return None
            number = 0
            prefix: list[tuple[str, bytes]] = []
            for doc, data in kept:
                if doc == "n":
                    number += 1
                    if number > usable:
                        continue
                prefix.append((doc, data))
            kept = prefix


def _applicable(snapshot: bytes | None, updates: Sequence[bytes]) -> int:
    """How many of the updates can be applied before the first that cannot; -1: not even the snapshot."""
    with scratch(NotebookDocument()) as notebook:
        done = -1
        try:
            replay(notebook, snapshot, ())
            done = 0
            for update in updates:
                notebook.apply(update, "journal")
                done += 1
        except DamagedUpdate:
            pass  # that is what was to be found
        return done


def contains(notebook: bytes, base: bytes) -> bool:
    """Whether one full update of N has seen all that another has."""
    with scratch(NotebookDocument()) as live, scratch(NotebookDocument()) as older:
        live.apply(notebook, "journal")
        try:
            older.apply(base, "journal")
        except DamagedUpdate:
            return False
        return live.contains(older.state())


def merge_disk(
    notebook: bytes, base: bytes | None, data: bytes, name: str, disk_hash: str, room: str, put: Put
) -> DiskMerge:
    """Merge a file that changed on disk into a room whose notebook was last saved as ``base``.

    Raises:
        NotebookFileError: the bytes are not a notebook; nothing is merged.
    """
    parsed = read_ipynb(data, name)
    old_sources = _sources(base)
    with scratch(NotebookDocument()) as live, scratch(NotebookDocument()) as fork:
        live.apply(notebook, "journal")
        before = live.state()
        if base is None:
            mapping = equalise(live, parsed, "disk")
            fork.apply(live.update_since(), "disk")
        else:
            mapping = merge_from_disk(live, base, parsed, fork)
        entries = []
        for entry in file_outputs(parsed, mapping, room, disk_hash, put):
            changed = old_sources.get(entry.cell) != live.cell(entry.cell).source
            entries.append(FileOutputs(entry.cell, entry.id, entry.count, entry.outputs, changed))
        return DiskMerge(live.update_since(before), tuple(entries), parsed, disk_hash, fork.update_since())


def file_outputs(
    parsed: FileNotebook, keys: Mapping[int, CellKey], room: str, disk_hash: str, put: Put
) -> list[FileOutputs]:
    """The outputs that a file holds, as manifests, for the cells that have any output or a count."""
    found = []
    for index, cell in enumerate(parsed.cells):
        key = keys.get(index)
        if key is None or cell.type != "code" or not (cell.outputs or cell.execution_count is not None):
            continue
        outputs = tuple(encode(manifest_from_nbformat(output, put)) for output in cell.outputs or ())
        found.append(FileOutputs(key, file_execution_id(room, disk_hash, key), cell.execution_count, outputs))
    return found


def file_execution_id(room: str, disk_hash: str, cell: CellKey) -> str:
    """The id of the execution that a file's outputs belong to: the same for everybody who computes it."""
    return f"file:{uuid.uuid5(uuid.UUID(room), f'{disk_hash}/{cell}')}"


def _sources(base: bytes | None) -> dict[CellKey, str]:
    if base is None:
        return {}
    with scratch(NotebookDocument()) as document:
        document.apply(base, "journal")
        keys = document.keys()
        return {key: document.cell(key).source for key in keys}
