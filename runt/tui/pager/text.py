"""The whole text of a cell's outputs as lines: streams with their sealed pieces, texts, full tracebacks.

It parses no line: that is done when one is painted. Reading is for a thread of its own, painting for the
screen's. The invariants: a `PagedText` never changes once it was given out, and a stream that grows costs
what it grew by, not what it is.
"""

from __future__ import annotations

import json
import re
from bisect import bisect_right
from collections.abc import Sequence
from itertools import accumulate
from typing import TYPE_CHECKING, Any

import msgspec

from runt.errors import BlobMissing
from runt.notebook.manifests import DisplayManifest, ErrorManifest, ResultManifest, StreamManifest, decode
from runt.notebook.runtime_document import LiveStream, ManifestHash
from runt.terminal.escapes import ESCAPE_SOURCE, SGR_SOURCE
from runt.terminal.sgr import PLAIN, Sgr, apply_parameters
from runt.tui.outputs.block import plain
from runt.tui.outputs.contents import LostContent, read_text, size_of
from runt.tui.outputs.looks import PLAIN_LOOKS
from runt.tui.outputs.text_lines import size_words

if TYPE_CHECKING:
    from runt.notebook.manifests import ContentRef
    from runt.tui.view.source import BlobSource

MAX_BYTES = 256 * 1024 * 1024
"""Of one output; of a larger one the end is shown. A line costs about 60 bytes besides its text."""

TEXT_TYPES = ("application/json", "text/markdown", "text/plain", "text/latex", "text/html", "image/svg+xml")
"""Representations that are text, best first. A table in HTML comes before them."""

MAX_TABLE_ROWS = 100_000
TABLE_CELLS = 4000
"""Width of a table: all its columns; one looks at it sideways."""

MAX_JSON_BYTES = 16 * 1024 * 1024
"""Larger values stand as they came: laying out that much takes about a second."""

_SGR = re.compile(SGR_SOURCE)
_ESCAPE = re.compile(f"{SGR_SOURCE}|{ESCAPE_SOURCE}")


class Part(msgspec.Struct, frozen=True):
    """The first ``count`` of some lines. ``looks`` says how a line begins that does not begin plain."""

    lines: Sequence[str]
    looks: dict[int, Sgr]
    count: int
    stderr: bool = False
    note: bool = False
    """Our own words about the output, not the output."""


class PagedText:
    """Lines, from 0. Texts of lines are as they came: make them safe before they are shown."""

    def __init__(self, parts: Sequence[Part] = (), *, live: bool = False) -> None:
        self._parts = [part for part in parts if part.count]
        self._ends = list(accumulate(part.count for part in self._parts))
        self.live = live

    def __len__(self) -> int:
        return self._ends[-1] if self._ends else 0

    def place(self, line: int) -> tuple[Part, int]:
        """The part of a line, and the line's index in it. IndexError when there is none."""
        at = bisect_right(self._ends, line)
        if line < 0 or at == len(self._parts):
            raise IndexError(f"no line {line}")
        return self._parts[at], line - (self._ends[at] - self._parts[at].count)

    def find(self, words: str, start: int, step: int) -> int | None:
        """The first line with ``words``, from ``start`` on in steps of 1 or -1, going round at the end.

        Capitals count when there are any in ``words``.
        """
        total = len(self)
        exact = words != words.lower()
        for distance in range(total):
            part, index = self.place((start + step * distance) % total)
            line = part.lines[index]
            if "\x1b" in line:
                line = _ESCAPE.sub("", line)
            if words in (line if exact else line.lower()):
                return (start + step * distance) % total
        return None


class _Growing:
    """The lines of a text that comes in pieces."""

    def __init__(self) -> None:
        self.lines: list[str] = []
        self.looks: dict[int, Sgr] = {}
        self.rest = ""
        self.look = PLAIN

    def add(self, text: str) -> None:
        """Take the next piece; an unfinished line waits in ``rest``."""
        *whole, self.rest = (self.rest + text).split("\n")
        self.look = _scan(whole, len(self.lines), self.look, self.looks)
        self.lines.extend(whole)


class _Live:
    """A stream that grows: its sealed pieces are read once."""

    def __init__(self) -> None:
        self._sealed: list[str] = []
        self._skipped = 0
        self._text = _Growing()

    def read(self, stream: LiveStream, blobs: BlobSource) -> list[Part]:
        hashes = [piece.hash for piece in stream.sealed]
        if hashes[: len(self._sealed)] != self._sealed:
            self._sealed, self._skipped, self._text = [], 0, _Growing()
        if not self._sealed:
            self._skipped = _first_shown([piece.size for piece in stream.sealed])
        for at in range(max(len(self._sealed), self._skipped), len(hashes)):
            self._text.add(_blob_text(hashes[at], blobs))
        self._sealed = hashes
        text, stderr = self._text, stream.name == "stderr"
        open_lines = (text.rest + stream.tail).split("\n")
        if not open_lines[-1]:
            open_lines.pop()
        looks: dict[int, Sgr] = {}
        _scan(open_lines, 0, text.look, looks)
        parts = [
            Part(text.lines, text.looks, len(text.lines), stderr),
            Part(open_lines, looks, len(open_lines), stderr),
        ]
        if self._skipped:
            skipped = sum(piece.size for piece in stream.sealed[: self._skipped])
            parts.insert(0, _note(f"⋯ {size_words(skipped)} before this are left out"))
        return parts


class OutputReader:
    """Reads the outputs of one cell again and again, in one thread at a time; what has not changed is kept."""

    def __init__(self, blobs: BlobSource) -> None:
        self._blobs = blobs
        self._known: list[tuple[object, list[Part]]] = []
        self._live: dict[int, _Live] = {}

    def read(self, entries: Sequence[object]) -> PagedText:
        """The text of these output entries."""
        parts: list[Part] = []
        known: list[tuple[object, list[Part]]] = []
        after_stream = True
        for index, entry in enumerate(entries):
            if index < len(self._known) and self._known[index][0] == entry:
                read = self._known[index][1]
            else:
                read = self._read(index, entry)
            known.append((entry, read))
            is_stream = isinstance(entry, LiveStream | StreamManifest)
            if parts and read and not (is_stream and after_stream):
                parts.append(Part(("",), {}, 1))
            after_stream = is_stream
            parts.extend(read)
        self._known = known
        return PagedText(parts, live=any(isinstance(entry, LiveStream) for entry in entries))

    def _read(self, index: int, entry: object) -> list[Part]:
        try:
            if isinstance(entry, LiveStream):
                return self._live.setdefault(index, _Live()).read(entry, self._blobs)
            self._live.pop(index, None)
            if isinstance(entry, ManifestHash):
                entry = _stored(entry, self._blobs)
            if isinstance(entry, StreamManifest):
                return _whole(entry.text, self._blobs, stderr=entry.name == "stderr")
            if isinstance(entry, ErrorManifest):
                return _lines(_traceback(entry, self._blobs))
            if isinstance(entry, DisplayManifest | ResultManifest):
                return self._bundle(entry)
        except LostContent:
            return [_note("lost output")]
        return []

    def _bundle(self, entry: DisplayManifest | ResultManifest) -> list[Part]:
        html = entry.data.get("text/html")
        if html is not None and (table := _tables(html, self._blobs)):
            return table
        media_type = next((name for name in TEXT_TYPES if name in entry.data), None)
        if media_type == "application/json" and size_of(entry.data[media_type]) <= MAX_JSON_BYTES:
            return _lines(_laid_out(read_text(entry.data[media_type], self._blobs)))
        if media_type is not None:
            return _whole(entry.data[media_type], self._blobs)
        return [_note(f"[{name}, {size_words(size_of(ref))}]") for name, ref in list(entry.data.items())[:1]]


def _first_shown(sizes: Sequence[int]) -> int:
    """Index of the first piece such that it and those after it are not more than MAX_BYTES."""
    total = sum(sizes)
    for index, size in enumerate(sizes):
        if total <= MAX_BYTES:
            return index
        total -= size
    return max(0, len(sizes) - 1)


def _note(words: str) -> Part:
    return Part((words,), {}, 1, note=True)


def _lines(text: str, *, stderr: bool = False) -> list[Part]:
    if not text:
        return []
    lines = text.removesuffix("\n").split("\n")
    looks: dict[int, Sgr] = {}
    _scan(lines, 0, PLAIN, looks)
    return [Part(lines, looks, len(lines), stderr)]


def _scan(lines: Sequence[str], first: int, look: Sgr, looks: dict[int, Sgr]) -> Sgr:
    """Note how each line begins that does not begin plain; returns the look after the last."""
    for index, line in enumerate(lines, first):
        if look is not PLAIN and look != PLAIN:
            looks[index] = look
        if "\x1b[" in line:
            for match in _SGR.finditer(line):
                look = apply_parameters(look, match[1])
    return look


def _whole(ref: ContentRef, blobs: BlobSource, *, stderr: bool = False) -> list[Part]:
    size = size_of(ref)
    ranged: Any = getattr(blobs, "read_range", None)
    if ref.blob is None or size <= MAX_BYTES or ranged is None:
        return _lines(read_text(ref, blobs), stderr=stderr)
    try:
        end: bytes = ranged(ref.blob, size - MAX_BYTES, size)
    except (BlobMissing, KeyError, OSError) as error:
        raise LostContent from error
    text = end.decode("utf-8", "replace")
    words = f"⋯ {size_words(size - MAX_BYTES)} before this are left out"
    return [_note(words), *_lines(text.partition("\n")[2] or text, stderr=stderr)]


def _tables(ref: ContentRef, blobs: BlobSource) -> list[Part]:
    from runt.tui.outputs.tables import MAX_HTML_CHARS, parse_tables, table_lines

    if size_of(ref) > MAX_HTML_CHARS:
        return []
    parts: list[Part] = []
    for table in parse_tables(read_text(ref, blobs), max_rows=MAX_TABLE_ROWS):
        rows = plain(table_lines(table, TABLE_CELLS, PLAIN_LOOKS))
        parts.append(Part(rows, {}, len(rows)))
    return parts


def _laid_out(text: str) -> str:
    try:
        return json.dumps(json.loads(text), indent=2, ensure_ascii=False)
    except (ValueError, RecursionError):
        return text


def _blob_text(hash_: str, blobs: BlobSource) -> str:
    try:
        return blobs.get(hash_).decode("utf-8", "replace")
    except (BlobMissing, KeyError, OSError):
        return "\n[lost output]\n"


def _stored(hash_: str, blobs: BlobSource) -> object:
    try:
        return decode(blobs.get(hash_).decode("utf-8", "replace"))
    except (BlobMissing, KeyError, OSError, ValueError) as error:
        raise LostContent from error


def _traceback(entry: ErrorManifest, blobs: BlobSource) -> str:
    try:
        found = json.loads(read_text(entry.traceback, blobs))
    except (LostContent, ValueError, RecursionError):
        found = []
    text = "\n".join(str(line) for line in found) if isinstance(found, list) else ""
    return text or f"{entry.ename}: {entry.evalue}"
