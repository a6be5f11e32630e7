"""Which cell of a document is which cell of a file that somebody else has changed.

It changes nothing. The invariant: a cell of either side is matched at most once, and an id that is unique
on both sides always decides; only what ids leave open is aligned by what the cells say.
"""

from __future__ import annotations

from bisect import bisect_left
from collections import Counter
from collections.abc import Callable, Container, Iterable, Iterator, Sequence
from difflib import SequenceMatcher
from typing import TypeVar

from runt.notebook.cell import Cell, CellKey
from runt.notebook.file_notebook import FileCell, FileNotebook
from runt.notebook.notebook_document import NotebookDocument

MIN_SIMILARITY = 0.5
"""Of two sources (0 to 1) that are to be one cell that was edited, when no id says so."""

MAX_COMPARED_PAIRS = 400
"""Pairs of edited cells between two unchanged ones that are compared; larger blocks are paired in order."""

MAX_COMPARED_CHARACTERS = 1000
"""Of a source, to be compared by characters: the comparison is quadratic."""

T = TypeVar("T")


def match_cells(document: NotebookDocument, file: FileNotebook) -> dict[int, CellKey]:
    """Keys of the document's cells by index of the file's; cells that are new in the file are missing.

    Deleted cells of the document are matched by id only.
    """
    live = list(map(document.cell, document.keys()))
    in_file = dict(_unique((cell.file_id, index) for index, cell in enumerate(file.cells)))
    matched: dict[int, CellKey] = {}
    for id_, key in _unique((_id_of(cell), cell.key) for cell in live):
        if id_ in in_file:
            matched[in_file[id_]] = key
    used = set(matched.values())
    open_live = [cell for cell in live if cell.key not in used]
    open_file = [index for index in range(len(file.cells)) if index not in matched]
    repeated = {id_ for id_, count in Counter(cell.file_id for cell in file.cells).items() if count > 1}
    for index, cell in _aligned(open_file, open_live, file.cells, {None, *repeated}):
        matched[index] = cell.key
    open_ids = {id_: index for id_, index in in_file.items() if index not in matched}
    if open_ids:
        deleted = (document.cell(key) for key in document.deleted_keys())
        for id_, key in _unique((_id_of(cell), cell.key) for cell in deleted):
            if id_ in open_ids:
                matched[open_ids[id_]] = key
    return matched


def _id_of(cell: Cell) -> str:
    """The id that a cell has in the file: cells made here are saved under their key."""
    return cell.file_id or cell.key


def _unique(pairs: Iterable[tuple[str | None, T]]) -> Iterator[tuple[str, T]]:
    """The pairs whose first part is not None and not repeated."""
    found = list(pairs)
    counts = Counter(id_ for id_, _ in found)
    for id_, value in found:
        if id_ is not None and counts[id_] == 1:
            yield id_, value


def _aligned(
    indices: Sequence[int],
    cells: Sequence[Cell],
    in_file: Sequence[FileCell],
    vague_ids: Container[str | None],
) -> Iterator[tuple[int, Cell]]:
    """Pairs of equal (type, source), in order; between them, similar cells that no id tells apart."""
    if not indices or not cells:
        return
    wanted = [(in_file[index].type, in_file[index].source) for index in indices]
    have = [(cell.type, cell.source) for cell in cells]
    head = 0
    while head < min(len(have), len(wanted)) and have[head] == wanted[head]:
        yield indices[head], cells[head]
        head += 1
    indices, cells, have, wanted = indices[head:], cells[head:], have[head:], wanted[head:]
    # Cells that are common (empty ones) are no anchors: comparing them all is quadratic.
    for tag, i1, i2, j1, j2 in SequenceMatcher(None, have, wanted).get_opcodes():
        if tag == "equal":
            yield from zip(indices[j1:j2], cells[i1:i2], strict=True)
        elif tag == "replace":
            free = [cell for cell in cells[i1:i2] if cell.file_id in vague_ids]
            edited = [index for index in indices[j1:j2] if in_file[index].file_id in vague_ids]
            yield from _edited(edited, free, in_file)


def _edited(
    indices: Sequence[int], cells: Sequence[Cell], in_file: Sequence[FileCell]
) -> Iterator[tuple[int, Cell]]:
    """Pairs, ascending on both sides, of cells that are probably one cell before and after an edit."""
    if len(indices) * len(cells) > MAX_COMPARED_PAIRS:
        yield from ((i, c) for i, c in zip(indices, cells, strict=False) if in_file[i].type == c.type)
        return

    def likeness(row: int, column: int) -> float:
        one, other = cells[row], in_file[indices[column]]
        if one.type != other.type:
            return 0.0
        return _likeness(one.source, other.source)

    for row, column in _best_path(len(cells), len(indices), likeness):
        yield indices[column], cells[row]


def _likeness(one: str, other: str) -> float:
    """How much of two sources is the same, 0 or `MIN_SIMILARITY` to 1. Long ones are compared by lines."""
    if max(len(one), len(other)) > MAX_COMPARED_CHARACTERS:
        matcher: SequenceMatcher[str] = SequenceMatcher(None, one.split("\n"), other.split("\n"))
    else:
        matcher = SequenceMatcher(None, one, other, autojunk=False)
    if matcher.real_quick_ratio() < MIN_SIMILARITY or matcher.quick_ratio() < MIN_SIMILARITY:
        return 0.0
    ratio = matcher.ratio()
    return ratio if ratio >= MIN_SIMILARITY else 0.0


def _best_path(rows: int, columns: int, likeness: Callable[[int, int], float]) -> Iterator[tuple[int, int]]:
    """The ascending pairs with the largest sum of likeness; pairs of likeness 0 are never taken."""
    score = [[likeness(row, column) for column in range(columns)] for row in range(rows)]
    best = [[0.0] * (columns + 1) for _ in range(rows + 1)]
    for row in reversed(range(rows)):
        for column in reversed(range(columns)):
            best[row][column] = max(
                best[row + 1][column],
                best[row][column + 1],
                best[row + 1][column + 1] + score[row][column],
            )
    row = column = 0
    while row < rows and column < columns:
        if best[row][column] == best[row + 1][column]:
            row += 1
        elif best[row][column] == best[row][column + 1]:
            column += 1
        else:
            yield row, column
            row += 1
            column += 1


def longest_ascending(values: Sequence[int]) -> set[int]:
    """The members of a longest ascending subsequence of distinct numbers: what need not move."""
    ends: list[int] = []
    end_places: list[int] = []
    before: list[int] = []
    for place, value in enumerate(values):
        at = bisect_left(ends, value)
        before.append(end_places[at - 1] if at else -1)
        ends[at : at + 1] = [value]
        end_places[at : at + 1] = [place]
    found: set[int] = set()
    place = end_places[-1] if end_places else -1
    while place >= 0:
        found.add(values[place])
        place = before[place]
    return found
