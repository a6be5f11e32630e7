"""Edits of a CRDT text, in code points: the one module that knows pycrdt's offsets.

pycrdt counts a ``Text`` in UTF-8 bytes when it writes, measures and reports, and in code points when it
slices; an offset inside a character silently edits another place. So everybody else speaks code points and
comes through here. It is not an editor: no caret, no undo, no line endings (what is written is what is kept,
``\\r\\n`` too).

Invariant: every offset that reaches pycrdt lies on a code point boundary within the text.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from difflib import SequenceMatcher
from itertools import pairwise
from typing import Any

import msgspec
from pycrdt import Text

REPLACEMENT = "\ufffd"
_SURROGATES = re.compile("[\ud800-\udfff]")
# Comparisons of equal lines that difflib may make: 200k take about 50 ms, and a file of blank lines would
# take hours.
_MAX_LINE_PAIRS = 200_000


class Edit(msgspec.Struct, frozen=True):
    """Replace ``removed`` code points at ``at`` by ``inserted``."""

    at: int
    removed: int
    inserted: str


def clean(text: str) -> str:
    """Replace lone surrogates, which have no UTF-8 form and make pycrdt panic, by U+FFFD."""
    try:
        text.encode()
    except UnicodeEncodeError:
        return _SURROGATES.sub(REPLACEMENT, text)
    return text


def splice(text: Text, start: int, stop: int, new: str) -> None:
    """Replace the code points ``start:stop`` by ``new``.

    Raises:
        IndexError: not ``0 <= start <= stop <= length``; nothing was changed.
    """
    old = _read(text)
    if not 0 <= start <= stop <= len(old):
        raise IndexError(f"{start}:{stop} is outside a text of {len(old)} code points")
    _write(text, old, [Edit(start, stop - start, clean(new))])


def append(text: Text, new: str) -> None:
    """Add to the end of the text, in one insertion.

    One insertion of 10 MiB takes 17 ms; 160 pieces of it in one transaction take 2.8 s (each walks over the
    ones before), so callers gather what they have instead of appending in a loop.
    """
    if new:
        text.insert(len(text), clean(new))


def replace_all(text: Text, new: str) -> int:
    """Make the text equal to ``new`` with few, local edits, so that others' concurrent typing stays in place.

    Returns:
        The number of edits made.
    """
    old = _read(text)
    edits = minimal_edits(old, clean(new))
    _write(text, old, edits)
    return len(edits)


def delta_edits(before: str, delta: Sequence[Mapping[str, Any]]) -> list[Edit]:
    """Translate the byte delta of an event into edits to apply one after another.

    The offsets of each count in the text as the ones before have left it.

    Args:
        before: the text as it was before the transaction.
        delta: ``retain`` and ``delete`` in UTF-8 bytes, ``insert`` as text.

    Raises:
        ValueError: the delta does not fit ``before``; read the whole text again.
    """
    data = before.encode()
    edits: list[Edit] = []
    position = 0  # in `data`, UTF-8 bytes
    at = 0  # in the text as edited so far, code points
    for operation in delta:
        if "insert" in operation:
            value = operation["insert"]
            if not isinstance(value, str):
                raise ValueError("the delta holds an embedded object")
            _push(edits, at, 0, value)
            at += len(value)
            continue
        count = int(operation["delete"] if "delete" in operation else operation["retain"])
        if position + count > len(data):
            raise ValueError("the delta reaches past the end of the text")
        length = len(data[position : position + count].decode())  # UnicodeDecodeError is a ValueError
        position += count
        if "delete" in operation:
            _push(edits, at, length, "")
        else:
            at += length
    return edits


def shift(offset: int, edit: Edit) -> int:
    """Where a caret at ``offset`` goes. What is inserted exactly at the caret stays right of it."""
    if offset <= edit.at:
        return offset
    if offset >= edit.at + edit.removed:
        return offset - edit.removed + len(edit.inserted)
    return edit.at  # its surroundings were replaced


def minimal_edits(old: str, new: str) -> list[Edit]:
    """The edits that turn ``old`` into ``new``: ascending, offsets in ``old``, whole lines first.

    Within a line only the differing middle is replaced, and only if half of the line stays: finer edits would
    let a concurrent insertion land in the middle of new text. A line ends with ``\\n`` and nothing else.
    """
    if old == new:
        return []
    before, after = _lines(old), _lines(new)
    starts = [0]
    for line in before:
        starts.append(starts[-1] + len(line))
    edits: list[Edit] = []
    for i1, i2, j1, j2 in _changed_blocks(before, after, 0, len(before), 0, len(after)):
        if i2 - i1 == j2 - j1:
            for i, j in zip(range(i1, i2), range(j1, j2), strict=True):
                _push_line(edits, starts[i], before[i], after[j])
        else:
            _push(edits, starts[i1], starts[i2] - starts[i1], "".join(after[j1:j2]), join=False)
    return edits


def _lines(text: str) -> list[str]:
    """Split after each ``\\n`` only; `str.splitlines` would split at \\x0b, \\u2028 and more."""
    lines = text.split("\n")
    tail = lines.pop()
    lines = [line + "\n" for line in lines]
    if tail:
        lines.append(tail)
    return lines


def _changed_blocks(
    a: list[str], b: list[str], i1: int, i2: int, j1: int, j2: int
) -> Iterator[tuple[int, int, int, int]]:
    """Yield the line ranges ``a[i1:i2]`` → ``b[j1:j2]`` that differ, in order."""
    while i1 < i2 and j1 < j2 and a[i1] == b[j1]:
        i1, j1 = i1 + 1, j1 + 1
    while i1 < i2 and j1 < j2 and a[i2 - 1] == b[j2 - 1]:
        i2, j2 = i2 - 1, j2 - 1
    if i1 == i2 and j1 == j2:
        return
    if i1 == i2 or j1 == j2:
        yield i1, i2, j1, j2
        return
    occurrences = Counter(b[j1:j2])
    if sum(occurrences[line] for line in a[i1:i2]) <= _MAX_LINE_PAIRS:
        matcher = SequenceMatcher(None, a[i1:i2], b[j1:j2], autojunk=False)
        for tag, x1, x2, y1, y2 in matcher.get_opcodes():
            if tag != "equal":
                yield i1 + x1, i1 + x2, j1 + y1, j1 + y2
        return
    anchors = _unique_anchors(a, b, i1, i2, j1, j2)
    if not anchors:
        yield i1, i2, j1, j2
        return
    corners = [(i1 - 1, j1 - 1), *anchors, (i2, j2)]
    for (i, j), (next_i, next_j) in pairwise(corners):
        yield from _changed_blocks(a, b, i + 1, next_i, j + 1, next_j)


def _unique_anchors(a: list[str], b: list[str], i1: int, i2: int, j1: int, j2: int) -> list[tuple[int, int]]:
    """Pairs of equal lines, unique on each side: the longest run that ascends in both (patience diff)."""
    in_a, in_b = Counter(a[i1:i2]), Counter(b[j1:j2])
    place = {b[j]: j for j in range(j1, j2)}
    pairs = [(i, place[a[i]]) for i in range(i1, i2) if in_a[a[i]] == 1 and in_b[a[i]] == 1]
    ends: list[int] = []  # ends[n]: index of the pair with the lowest j that ends a run of n + 1
    previous: list[int] = []
    for index, (_, j) in enumerate(pairs):
        low, high = 0, len(ends)
        while low < high:
            middle = (low + high) // 2
            if pairs[ends[middle]][1] < j:
                low = middle + 1
            else:
                high = middle
        previous.append(ends[low - 1] if low else -1)
        ends[low : low + 1] = [index]
    run: list[tuple[int, int]] = []
    index = ends[-1] if ends else -1
    while index >= 0:
        run.append(pairs[index])
        index = previous[index]
    return run[::-1]


def _push_line(edits: list[Edit], start: int, old: str, new: str) -> None:
    """Add the edit of one line: its differing middle if at least half of the line stays, else the line."""
    if old == new:
        return
    head, tail = common_affixes(old, new)
    if (head + tail) * 2 >= max(len(old), len(new)):
        _push(edits, start + head, len(old) - head - tail, new[head : len(new) - tail], join=False)
    else:
        _push(edits, start, len(old), new, join=False)


def common_affixes(old: str, new: str) -> tuple[int, int]:
    """Lengths in code points of the common beginning and of the common end, not overlapping."""
    shorter = min(len(old), len(new))
    low, high = 0, shorter
    while low < high:  # bisection over slices: C speed on long lines
        middle = (low + high + 1) // 2
        if old[low:middle] == new[low:middle]:
            low = middle
        else:
            high = middle - 1
    head = low
    low, high = 0, shorter - head
    while low < high:
        middle = (low + high + 1) // 2
        if old[len(old) - middle : len(old) - low] == new[len(new) - middle : len(new) - low]:
            low = middle
        else:
            high = middle - 1
    return head, low


def _push(edits: list[Edit], at: int, removed: int, inserted: str, *, join: bool = True) -> None:
    """Add an edit; with ``join``, fold it into the one before when they touch."""
    if not removed and not inserted:
        return
    if join and edits and edits[-1].at + len(edits[-1].inserted) == at:
        last = edits.pop()
        edits.append(Edit(last.at, last.removed + removed, last.inserted + inserted))
    else:
        edits.append(Edit(at, removed, inserted))


def _read(text: Text) -> str:
    """The text as a string that its byte offsets can be computed from."""
    value = str(text)
    if len(text) != len(value) and len(text) != len(value.encode()):
        _drop_embeds(text, value)
    return value


def _drop_embeds(text: Text, value: str) -> None:
    """Rewrite a text with a foreign peer's embedded objects, which count as bytes and are in no string."""
    with text.doc.transaction():
        text.clear()
        text.insert(0, value)


def _write(text: Text, old: str, edits: Sequence[Edit]) -> None:
    """Apply ascending edits whose offsets are code points of ``old``."""
    if not edits:
        return
    spans: list[tuple[int, int]] = []  # UTF-8 bytes
    position = offset = 0
    for edit in edits:
        offset += _size(old[position : edit.at])
        start = offset
        position = edit.at + edit.removed
        offset += _size(old[edit.at : position])
        spans.append((start, offset))
    with text.doc.transaction():
        for (start, stop), edit in zip(
            reversed(spans), reversed(edits), strict=True
        ):  # right to left: offsets stay true
            if stop > start:
                del text[start:stop]
            if edit.inserted:
                text.insert(start, edit.inserted)


def _size(text: str) -> int:
    """Length in UTF-8 bytes."""
    return len(text) if text.isascii() else len(text.encode())
