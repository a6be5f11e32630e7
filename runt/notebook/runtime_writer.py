"""RuntimeWriter: the writing side of the runtime document, for the daemon that owns the room.

It decides nothing: what runs, what an output is and when a stream is sealed come from the caller. Invariant:
each method leaves a document that `runtime_document` reads as meant, and writes no more than what differs.

The caller holds the transaction (``with document.transaction("daemon")``), so that one step of folding is one
update.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from typing import Any

from pycrdt import Array, Map, Text

from runt.notebook import json_text, text
from runt.notebook.cell import CellKey
from runt.notebook.manifests import BlobRef
from runt.notebook.runtime_document import (
    ExecutionStatus,
    ExecutionView,
    FileView,
    KernelView,
    QueueEntry,
    RuntimeDocument,
    blob_ref_text,
)

_KERNEL_FIELDS = frozenset(KernelView.__struct_fields__)
_FILE_FIELDS = frozenset(FileView.__struct_fields__)
_EXECUTION_FIELDS = frozenset(ExecutionView.__struct_fields__)


class RuntimeWriter:
    """Writes one runtime document."""

    def __init__(self, document: RuntimeDocument) -> None:
        self.document = document
        self._kernel = document._kernel
        self._queue = document._queue
        self._current = document._current
        self._file = document._file

    def set_kernel(self, **fields: str | None) -> None:
        """Set fields of `KernelView`; None removes. TypeError for a name it does not have."""
        _set_fields(self._kernel, fields, _KERNEL_FIELDS)

    def set_file(self, **fields: str | float | None) -> None:
        """Set fields of `FileView`; None removes. TypeError for a name it does not have."""
        _set_fields(self._file, fields, _FILE_FIELDS)

    # queue

    def enqueue(self, entry: QueueEntry) -> None:
        """Add a run at the end of the queue."""
        self._queue.append(_queue_text(entry))

    def dequeue(self, execution: str) -> bool:
        """Take a run out of the queue; False when it is not there."""
        for index, value in enumerate(self._queue):
            fields = json_text.decode(value)
            if isinstance(fields, dict) and fields.get("execution") == execution:
                del self._queue[index]
                return True
        return False

    def edit_queue(
        self,
        *,
        removed: Collection[str] = (),
        replaced: Mapping[str, QueueEntry] | None = None,
        added: Sequence[QueueEntry] = (),
    ) -> None:
        """Take executions out, put entries in the place of others, add some at the end: in one pass."""
        replaced = replaced or {}
        if removed or replaced:
            gone = frozenset(removed)
            stop = 0  # end of a range to remove, while there is one
            for index, execution in reversed(list(enumerate(self._queued_executions()))):
                if execution in gone:
                    stop = stop or index + 1
                    continue
                if stop:
                    del self._queue[index + 1 : stop]
                    stop = 0
                if execution in replaced:
                    self._queue[index] = _queue_text(replaced[execution])
            if stop:
                del self._queue[0:stop]
        if added:
            self._queue.extend([_queue_text(entry) for entry in added])

    def _queued_executions(self) -> list[str]:
        values = [json_text.decode(value) for value in self._queue.to_py() or ()]
        return [str(fields.get("execution")) if isinstance(fields, dict) else "" for fields in values]

    def clear_queue(self) -> None:
        """Take every run out of the queue."""
        if len(self._queue):
            self._queue.clear()

    # executions

    def begin(
        self,
        cell: CellKey,
        id: str,
        source_hash: str,
        by: str,
        queued: float | None,
        started: float | None,
        *,
        status: ExecutionStatus = "running",
    ) -> None:
        """Make this the current execution of the cell, without outputs. Times are unix seconds."""
        fields: dict[str, Any] = {
            "id": id,
            "status": status,
            "source_hash": source_hash,
            "by": text.clean(by),
        }
        times = {"queued": queued, "started": started}
        fields.update({name: _stored(value) for name, value in times.items() if value is not None})
        self._current[cell] = Map({**fields, "outputs": Array([])})

    def load(self, cell: CellKey, id: str, count: int | None, outputs: Sequence[str]) -> None:
        """Make what the file holds the current execution of the cell. ``outputs``: manifests or hashes."""
        fields: dict[str, Any] = {"id": id, "status": "loaded"}
        if count is not None:
            fields["count"] = str(count)
        self._current[cell] = Map({**fields, "outputs": Array([text.clean(entry) for entry in outputs])})

    def set_execution(self, cell: CellKey, **fields: str | float | None) -> None:
        """Set fields of `ExecutionView`; None removes.

        Raises:
            KeyError: the cell has no execution.
            TypeError: a name that `ExecutionView` does not have.
        """
        _set_fields(self._fields(cell), fields, _EXECUTION_FIELDS)

    def forget(self, cell: CellKey) -> None:
        """Drop the current execution of a cell, if there is one."""
        if cell in self._current:
            del self._current[cell]

    # outputs

    def append_output(self, cell: CellKey, entry: str) -> int:
        """Add a manifest (JSON text) or the hash of one; returns its index. KeyError without an execution."""
        entries = self._outputs(cell)
        entries.append(text.clean(entry))
        return len(entries) - 1

    def replace_output(self, cell: CellKey, index: int, entry: str) -> None:
        """Put a manifest or hash in the place of an output. KeyError without an execution, IndexError."""
        entries = self._outputs(cell)
        if not 0 <= index < len(entries):
            raise IndexError(f"cell {cell} has no output {index}")
        entry = text.clean(entry)
        if entries[index] != entry:
            entries[index] = entry

    def clear_outputs(self, cell: CellKey) -> None:
        """Remove all outputs, if there is an execution."""
        if cell in self._current:
            entries = self._outputs(cell)
            if len(entries):
                entries.clear()

    # live streams

    def open_stream(self, cell: CellKey, name: str) -> int:
        """Add an empty live stream; returns its index. KeyError without an execution."""
        entries = self._outputs(cell)
        entries.append(Map({"type": "stream", "name": name, "sealed": Array([]), "tail": Text("")}))
        return len(entries) - 1

    def edit_tail(self, cell: CellKey, index: int, keep: int, new: str) -> None:
        """Keep the first ``keep`` code points of a tail, make the rest ``new``; write only the difference.

        Raises:
            KeyError: no execution, or that output is not a live stream.
            IndexError: no such output, or the tail is shorter than ``keep``.
        """
        tail = self._tail(cell, index)
        old = str(tail)
        if not 0 <= keep <= len(old):
            raise IndexError(f"a tail of {len(old)} code points has no first {keep}")
        new = text.clean(new)
        rest = old[keep:]
        head, end = text.common_affixes(rest, new)
        if head == len(rest):
            text.append(tail, new[head:])
        else:
            text.splice(tail, keep + head, len(old) - end, new[head : len(new) - end])

    def seal(self, cell: CellKey, index: int, reference: BlobRef | str, drop: int) -> None:
        """Drop the first ``drop`` code points of a tail; ``reference`` names the blob that has them.

        Raises:
            KeyError, IndexError: as `edit_tail`.
        """
        tail = self._tail(cell, index)
        text.splice(tail, 0, drop, "")
        sealed = self._outputs(cell)[index]["sealed"]
        sealed.append(blob_ref_text(reference) if isinstance(reference, BlobRef) else reference)

    def finish_stream(self, cell: CellKey, index: int, manifest: str) -> None:
        """Put the final manifest (or its hash) in the place of a live stream. Errors as `edit_tail`."""
        self._tail(cell, index)
        self.replace_output(cell, index, manifest)

    def _fields(self, cell: CellKey) -> Map[Any]:
        fields = self._current.get(cell)
        if not isinstance(fields, Map):
            raise KeyError(f"cell {cell} has no execution")
        return fields

    def _outputs(self, cell: CellKey) -> Array[Any]:
        entries = self._fields(cell).get("outputs")
        if not isinstance(entries, Array):
            raise KeyError(f"cell {cell} has no outputs")
        return entries

    def _tail(self, cell: CellKey, index: int) -> Text:
        entries = self._outputs(cell)
        if not 0 <= index < len(entries):
            raise IndexError(f"cell {cell} has no output {index}")
        entry = entries[index]
        tail = entry.get("tail") if isinstance(entry, Map) else None
        if not isinstance(tail, Text):
            raise KeyError(f"output {index} of cell {cell} is not a live stream")
        return tail


def _set_fields(target: Map[Any], fields: dict[str, Any], known: frozenset[str]) -> None:
    """Write what differs; numbers become text, False is absence. Checks first: nothing is written halfway."""
    unknown = fields.keys() - known
    if unknown:
        raise TypeError(f"unknown fields: {', '.join(sorted(unknown))}")
    for name, value in fields.items():
        if value is None or value is False:
            if name in target:
                del target[name]
            continue
        stored = _stored(value)
        if target.get(name) != stored:
            target[name] = stored


def _stored(value: Any) -> str:
    if value is True:
        return "1"
    return text.clean(value) if isinstance(value, str) else repr(value)


def _queue_text(entry: QueueEntry) -> str:
    return json_text.encode(
        {
            "execution": entry.execution,
            "cell": entry.cell,
            "source_hash": entry.source_hash,
            "by": entry.by,
            "request": entry.request,
        }
    )
