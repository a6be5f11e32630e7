"""Hand-made kernel traffic, and a real runtime document that the folded operations are applied to."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from typing import Any

from runt.daemon.folding import begin, fold, tick
from runt.daemon.folding_ops import (
    AppendOutput,
    ClearOutputs,
    EditTail,
    Effect,
    FinishExecution,
    FinishStream,
    KernelActivity,
    OpenStream,
    ReplaceOutput,
    RuntimeOp,
    SealStream,
    SetCount,
)
from runt.daemon.folding_state import FoldState, decode_state, encode_state
from runt.notebook.manifests import BlobRef, decode, manifest_to_nbformat
from runt.notebook.runtime_document import LiveStream, ManifestHash, RuntimeDocument
from runt.notebook.runtime_writer import RuntimeWriter
from runt.runtime.supervisor_protocol import IOPUB, LIFECYCLE, SENT, SHELL, STDIN, Record
from runt.runtime.wire import JupyterWire

KEY = "secret"


class Traffic:
    """Builds records as a supervisor would journal them, from the kernel's start on. Offsets grow by 100."""

    def __init__(self) -> None:
        self.wire = JupyterWire(KEY)
        self.records: list[Record] = []
        self.life("started 7")

    def raw(self, channel: int, frames: Sequence[bytes]) -> Traffic:
        at = len(self.records) + 1
        self.records.append(Record(100 * at, channel, 1000.0 + at, list(frames)))
        return self

    def life(self, text: str) -> Traffic:
        return self.raw(LIFECYCLE, [text.encode()])

    def sent(self, send_id: str) -> Traffic:
        return self.raw(SENT, [send_id.encode()])

    def _message(self, channel: int, kind: str, parent: str | None, content: dict[str, Any]) -> Traffic:
        header = None if parent is None else {"msg_id": parent}
        return self.raw(channel, [b"topic", *self.wire.encode(kind, content, parent=header)])

    def iopub(self, kind: str, parent: str | None, **content: Any) -> Traffic:
        return self._message(IOPUB, kind, parent, content)

    def shell(self, kind: str, parent: str, **content: Any) -> Traffic:
        return self._message(SHELL, kind, parent, content)

    def stdin(self, kind: str, parent: str, **content: Any) -> Traffic:
        return self._message(STDIN, kind, parent, content)

    def started(self) -> Traffic:
        self.life("started 42").iopub("iopub_welcome", None, subscription="")
        return self.shell("kernel_info_reply", "probe", status="ok", language_info={"name": "python"})

    def print(self, parent: str | None, text: str, name: str = "stdout") -> Traffic:
        return self.iopub("stream", parent, name=name, text=text)

    def show(self, parent: str, text: str, display_id: str | None = None) -> Traffic:
        transient = {"display_id": display_id} if display_id else {}
        return self.iopub("display_data", parent, data={"text/plain": text}, metadata={}, transient=transient)

    def busy(self, parent: str) -> Traffic:
        return self.sent(parent).iopub("status", parent, execution_state="busy")

    def idle(self, parent: str) -> Traffic:
        return self.iopub("status", parent, execution_state="idle")

    def reply(self, parent: str, status: str = "ok", **content: Any) -> Traffic:
        return self.shell("execute_reply", parent, status=status, execution_count=1, **content)

    def end(self, parent: str, status: str = "ok") -> Traffic:
        return self.reply(parent, status).idle(parent)


class FoldedRoom:
    """A fold state, the document it belongs to, and everything that was emitted."""

    def __init__(self, wire: JupyterWire) -> None:
        self.wire = wire
        self.state = FoldState()
        self.document = RuntimeDocument.create("test")
        self.writer = RuntimeWriter(self.document)
        self.blobs: dict[str, bytes] = {}
        self.effects: list[Effect] = []
        self.ops: list[RuntimeOp] = []

    def put(self, data: bytes, media_type: str) -> BlobRef:
        hash_ = hashlib.sha256(data).hexdigest()
        self.blobs[hash_] = data
        return BlobRef(hash_, len(data))

    def begin(self, execution: str, cell: str) -> None:
        self.state = begin(self.state, execution, cell)
        with self.document.transaction("daemon"):
            self.writer.begin(cell, execution, "", "", 0.0, 0.0)  # type: ignore[arg-type]

    def fold(self, records: Sequence[Record]) -> None:
        self._take(fold(self.state, records, self.put, wire=self.wire, get=self.blobs.__getitem__))

    def tick(self, now: float) -> None:
        self._take(tick(self.state, now, self.put, get=self.blobs.__getitem__))

    def _take(self, folded: tuple[FoldState, list[RuntimeOp], list[Effect]]) -> None:
        self.state, ops, effects = folded
        self.effects += effects
        self.ops += ops
        with self.document.transaction("daemon"):
            for op in ops:
                self._apply(op)

    def _apply(self, op: Any) -> None:
        writer = self.writer
        match op:
            case KernelActivity():
                writer.set_kernel(activity=op.activity)
            case SetCount():
                writer.set_execution(op.cell, count=op.count)
            case AppendOutput():
                assert writer.append_output(op.cell, op.entry) == op.index
            case ReplaceOutput():
                writer.replace_output(op.cell, op.index, op.entry)
            case ClearOutputs():
                writer.clear_outputs(op.cell)
            case OpenStream():
                assert writer.open_stream(op.cell, op.name) == op.index
            case EditTail():
                writer.edit_tail(op.cell, op.index, op.keep, op.new)
            case SealStream():
                reference = json.dumps({"blob": op.piece.hash, "size": op.piece.size})
                writer.seal(op.cell, op.index, reference, op.drop)
            case FinishStream():
                writer.finish_stream(op.cell, op.index, op.entry)
            case FinishExecution():
                writer.set_execution(op.cell, status=op.status, ended=op.ended)

    def restart_daemon(self) -> None:
        """Store and load the state, as a daemon does that is killed between two batches."""
        data = encode_state(self.state)
        self.state = decode_state(data, self._stream)
        assert encode_state(self.state) == data

    def _stream(self, cell: str, index: int) -> LiveStream | None:
        entry = self.document.output(cell, index)  # type: ignore[arg-type]
        return entry if isinstance(entry, LiveStream) else None

    def outputs(self, cell: str) -> list[dict[str, Any]]:
        """The outputs of a cell as nbformat; a live stream has ``live: True``."""
        found = []
        for entry in self.document.outputs(cell):  # type: ignore[arg-type]
            if isinstance(entry, LiveStream):
                text = "".join(self.blobs[piece.hash].decode() for piece in entry.sealed) + entry.tail
                found.append({"output_type": "stream", "name": entry.name, "text": text, "live": True})
            else:
                if isinstance(entry, ManifestHash):
                    entry = decode(self.blobs[entry].decode())
                found.append(manifest_to_nbformat(entry, self.blobs.__getitem__))
        return found

    def texts(self, cell: str) -> list[str]:
        """The outputs in short: stream text, text/plain, or the error's value."""
        short = []
        for output in self.outputs(cell):
            kind = output["output_type"]
            if kind == "stream":
                short.append(f"{output['name']}: {_joined(output['text'])}")
            elif kind == "error":
                short.append(f"{output['ename']}: {output['evalue']}")
            else:
                short.append(_joined(output.get("data", {}).get("text/plain", "?")))
        return short

    def of(self, kind: type) -> list[Any]:
        return [effect for effect in self.effects if isinstance(effect, kind)]


def _joined(text: str | list[str]) -> str:
    return text if isinstance(text, str) else "".join(text)


def folded(traffic: Traffic, **cells: str) -> FoldedRoom:
    """Fold all of it in one batch; ``execution=cell`` begin before."""
    room = FoldedRoom(traffic.wire)
    for execution, cell in (cells or {"e1": "a"}).items():
        room.begin(execution, cell)
    room.fold(traffic.records)
    return room
