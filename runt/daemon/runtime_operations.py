"""Applying what folding asks for to the runtime document.

It folds nothing. The invariant: called in one transaction, in order, it leaves R as the new fold state
describes it.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Protocol, cast

from runt.daemon.folding_ops import (
    AppendOutput,
    ClearOutputs,
    EditTail,
    FinishExecution,
    FinishStream,
    KernelActivity,
    OpenStream,
    ReplaceOutput,
    RuntimeOp,
    SealStream,
    SetCount,
)
from runt.notebook.cell import CellKey
from runt.notebook.manifests import encode
from runt.notebook.runtime_document import LiveStream, ManifestHash, RuntimeDocument
from runt.notebook.runtime_writer import RuntimeWriter


class _OfCell(Protocol):
    cell: str


def apply_operations(writer: RuntimeWriter, operations: Sequence[RuntimeOp]) -> None:
    """Carry out operations. The caller holds the transaction. KeyError or IndexError: R is not what was
    folded.
    """
    for operation in operations:
        if isinstance(operation, KernelActivity):
            writer.set_kernel(activity=operation.activity)
            continue
        cell = CellKey(cast(_OfCell, operation).cell)
        match operation:
            case SetCount(count=count):
                writer.set_execution(cell, count=count)
            case AppendOutput(entry=entry):
                writer.append_output(cell, entry)
            case ReplaceOutput(index=index, entry=entry):
                writer.replace_output(cell, index, entry)
            case ClearOutputs():
                writer.clear_outputs(cell)
            case OpenStream(name=name):
                writer.open_stream(cell, name)
            case EditTail(index=index, keep=keep, new=new):
                writer.edit_tail(cell, index, keep, new)
            case SealStream(index=index, piece=piece, drop=drop):
                writer.seal(cell, index, json.dumps({"blob": piece.hash, "size": piece.size}), drop)
            case FinishStream(index=index, entry=entry):
                writer.finish_stream(cell, index, entry)
            case FinishExecution(status=status, ended=ended):
                writer.set_execution(cell, status=status, ended=ended)


def output_entries(runtime: RuntimeDocument, cell: CellKey) -> list[str]:
    """A cell's finished outputs as they stand in R: manifests as JSON text, or hashes of stored ones."""
    entries = []
    for output in runtime.outputs(cell):
        if isinstance(output, LiveStream):
            continue
        entries.append(str(output) if isinstance(output, ManifestHash) else encode(output))
    return entries
