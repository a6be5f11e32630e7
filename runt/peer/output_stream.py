"""Outputs as a sequence of events: what was added since the last look.

It compares two states of one cell's outputs and waits for nothing. The invariant: replaying the events
(append the text after taking back ``erased`` code points) gives exactly the outputs that were looked at last.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import msgspec

from runt.notebook.runtime_document import LiveStream, OutputEntry
from runt.notebook.text import common_affixes
from runt.peer.output import Output
from runt.store.blobs import BlobStore


class StreamText(msgspec.Struct, frozen=True):
    """Text of a stream, after taking back ``erased`` code points of what was given before (a progress
    bar).
    """

    index: int
    name: str
    text: str
    erased: int = 0


class OutputShown(msgspec.Struct, frozen=True):
    """Output number ``index`` was added or replaced."""

    index: int
    output: Output


class OutputsCleared(msgspec.Struct, frozen=True):
    """All outputs so far are gone."""


StreamEvent = StreamText | OutputShown | OutputsCleared


class _Given(msgspec.Struct):
    """What was given of one output. ``sealed`` pieces with ``length`` code points, then ``tail``."""

    entry: OutputEntry
    name: str = ""
    sealed: int = 0
    length: int = 0
    tail: str = ""


class OutputStream:
    """Remembers what it gave."""

    def __init__(self, blobs: BlobStore) -> None:
        self._blobs = blobs
        self._given: list[_Given] = []

    def read(self, entries: Sequence[OutputEntry]) -> Iterator[StreamEvent]:
        """Yield what distinguishes ``entries`` from those of the last call. Raises `BlobMissing`."""
        if len(entries) < len(self._given):
            self._given.clear()
            yield OutputsCleared()
        for index, entry in enumerate(entries):
            if index == len(self._given):
                self._given.append(_Given(entry))
                yield from self._added(index, entry, new=True)
            elif self._given[index].entry != entry:
                yield from self._added(index, entry, new=False)
                self._given[index].entry = entry

    def _added(self, index: int, entry: OutputEntry, *, new: bool) -> Iterator[StreamEvent]:
        given = self._given[index]
        if isinstance(entry, LiveStream):
            given.name = entry.name
            pieces = [self._sealed(reference.hash) for reference in entry.sealed[given.sealed :]]
            yield from self._text(index, "".join([*pieces, entry.tail]))
            given.sealed += len(pieces)
            given.length += sum(map(len, pieces))
            given.tail = entry.tail
            return
        output = Output(entry, self._blobs)
        if output.output_type == "stream" and (new or given.name):
            given.name = output.name
            rest = output.text[given.length :]
            yield from self._text(index, rest)
            given.tail = rest
            return
        yield OutputShown(index, output)

    def _text(self, index: int, now: str) -> Iterator[StreamText]:
        """The step from what was given after the sealed pieces to ``now``."""
        given = self._given[index]
        keep = len(given.tail) if now.startswith(given.tail) else common_affixes(given.tail, now)[0]
        erased = len(given.tail) - keep
        if erased or len(now) > keep:
            yield StreamText(index, given.name, now[keep:], erased)

    def _sealed(self, hash_: str) -> str:
        return self._blobs.get(hash_).decode("utf-8", "replace")
