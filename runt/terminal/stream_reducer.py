"""The reducer of a kernel's stream: text with cursor motion in, the text that remains out.

It is not a terminal emulator: nothing is wrapped, trimmed or scrolled away, and it draws nothing. What has
no motion in it stays byte for byte, escape sequences included (but CR LF becomes LF); ``\\r``, ``\\b``,
CUU, CUD, CUF, CUB, CNL, CPL, CHA, EL and ED are carried out on the lines of the tail. Its invariants:

* any cut of a stream into chunks gives the same text;
* for each change, ``tail[:keep] + new`` of the tail before is the tail after;
* work per chunk is proportional to the chunk and to the lines that it touches, not to the tail.

How it works. While the cursor stands at the end (nearly always) text is appended as it comes. A motion
*opens* the last line, or as many as it needs, as ``Row`` objects that can be written by column; as soon as
the cursor stands at the end again they are *closed*. So what the text becomes depends on the tokens alone,
never on where a chunk ended. Columns follow terminals: each code point has its own width. (The file is long
because a state machine is read best in one place; the line is in ``stream_row.py``, the text above the
cursor in ``stream_text.py``.)
"""

from __future__ import annotations

import re
from typing import Any, NamedTuple

from runt.terminal.escapes import ESCAPE, INCOMPLETE, SGR
from runt.terminal.sgr import PLAIN, TAB_STOP_CELLS, Sgr, apply_parameters, transition
from runt.terminal.stream_row import Row, common_prefix, parse
from runt.terminal.stream_text import StreamText
from runt.terminal.widths import SINGLE_CELLS, is_single_cells

ROW_REACH = 512
"""Rows above the last one that the cursor can reach: more than any screen has, so that motion stays cheap."""

COLUMN_REACH = 1000
"""Cells that motion alone can go right; a gap is filled by spaces, so a few bytes must not make megabytes."""

_SPECIAL = re.compile(r"[\r\b\x1b]")
_INSIDE = re.compile(r"[^\x00-\x1f\x7f-\x9f]+|[\x00-\x1f\x7f-\x9f]")
_REDRAW = re.compile(rf"\r([{SINGLE_CELLS}]+)")
_MOTION = re.compile(r"\x1b\[([0-9]{0,6})(?:;[0-9;]*)?([A-GJK`])")
_ERASE_TO_END = ("", "0")


class TailChange(NamedTuple):
    """Keep the first ``keep`` code points of the tail before, and put ``new`` after them."""

    keep: int
    new: str


class StreamReducer:
    """One stream: its tail (what is not sealed yet), its cursor, and an escape cut between chunks.

    Args:
        tail: the text to go on from.
        state: what ``state()`` returned when the tail was that text; without it the cursor is at its end.
    """

    __slots__ = ("_column", "_held", "_low", "_pen", "_row", "_rows", "_text")

    def __init__(self, tail: str = "", state: dict[str, Any] | None = None) -> None:
        state = state or {}
        self._text = StreamText(tail, apply_parameters(PLAIN, state.get("start", "")))
        """The tail, without the open lines."""
        self._rows: list[Row] | None = None
        """The open lines at the end of the tail; None while the cursor is at its end."""
        self._row = 0
        self._column = 0
        """Cells from the beginning of the line; meaningful while lines are open."""
        self._held: str = state.get("held", "")
        self._low = len(tail)
        """Code points at the beginning of the tail that this ``feed`` has left alone."""
        self._pen = self._text.end
        """The look of what is written next. Where the tail ends in another, SGR goes before that."""
        if "pen" in state:
            self._set_pen(apply_parameters(PLAIN, state["pen"]))
        cursor = state.get("cursor")
        if cursor is not None:
            rows = self._open(cursor[0] + 1)
            self._row = max(0, len(rows) - 1 - cursor[0])
            self._column = cursor[1]

    @property
    def tail(self) -> str:
        """The text. Costs its length."""
        if self._rows is None:
            return str(self._text)
        return str(self._text) + "\n".join(row.text for row in self._rows)

    def __len__(self) -> int:
        """Code points of the tail."""
        if self._rows is None:
            return self._text.length
        return self._text.length + sum(len(row.text) + 1 for row in self._rows) - 1

    def state(self) -> dict[str, Any]:
        """Everything but the tail, as JSON values, to go on from another day."""
        cursor = None
        if self._rows is not None:
            cursor = [len(self._rows) - 1 - self._row, self._column]
        return {
            "held": self._held,
            "start": self._text.start.parameters,
            "pen": self._pen.parameters,
            "cursor": cursor,
        }

    def feed(self, chunk: str) -> TailChange:
        """Fold ``chunk`` into the tail and say what changed."""
        if (
            self._rows is None
            and not self._held
            and "\x1b" not in chunk
            and "\r" not in chunk
            and "\b" not in chunk
            and self._pen is self._text.end
        ):
            keep = self._text.length
            if chunk:
                self._text.append(chunk, self._pen)
            return TailChange(keep, chunk)
        self._low = len(self)
        text = self._held + chunk
        if "\r\n" in text:
            text = text.replace("\r\n", "\n")  # a newline goes to column 0 by itself
        stop = _start_of_incomplete(text)
        self._held = text[stop:]
        at = 0
        while at < stop:
            at = self._run_at_end(text, at, stop) if self._rows is None else self._step_inside(text, at, stop)
        return self._change()

    def finish(self) -> TailChange:
        """The stream ends: an escape that was never completed becomes text."""
        self._low = len(self)
        if self._rows is None and self._held:
            self._text.append(self._held, self._text.end)
        self._held = ""
        return self._change()

    def drop(self, code_points: int) -> None:
        """Forget the first ``code_points`` of the tail: they are kept elsewhere and cannot change now."""
        left = self._text.drop(max(0, code_points))
        if left and self._rows is not None:
            self._drop_rows(self._rows, left)
            self._close_at_end()

    # -- the cursor is at the end of the tail

    def _run_at_end(self, text: str, at: int, stop: int) -> int:
        """Append up to a motion and carry that out; returns where to go on."""
        at = self._catch_up(text, at, stop)
        begin = at
        pen = self._pen
        motion = None
        special = _SPECIAL.search(text, at, stop)
        while special is not None and special[0] == "\x1b":
            motion = _MOTION.match(text, special.start(), stop)
            if motion is not None:
                break
            escape = ESCAPE.match(text, special.start(), stop)
            assert escape is not None  # a lone ESC matches
            if (sgr := SGR.fullmatch(escape[0])) is not None:
                pen = apply_parameters(pen, sgr[1])
            special = _SPECIAL.search(text, escape.end(), stop)
        end = stop if special is None else special.start()
        if end > begin:
            self._text.append(text[begin:end], pen)
            self._pen = pen
        if special is None:
            return stop
        if motion is not None:
            self._move(motion[2], motion[1])
            return motion.end()
        if special[0] == "\r" and self._pen is self._text.end:
            return self._redraw(text, end, stop)
        self._move(special[0], "")
        return end + 1

    def _redraw(self, text: str, at: int, stop: int) -> int:
        """Carry out CR, and what is then written in place: a progress bar's way, done by slicing.

        Lines of several looks, or with characters not one cell wide, are left to the general way, which
        gives the same.
        """
        [row] = self._rows = self._text.take_lines(1, ended=False)
        self._row = self._column = 0
        old = line = row.text
        redraw = _REDRAW.match(text, at, stop)
        if redraw is None or row.start is not self._pen or not is_single_cells(old):
            self._close_at_end()
            return at + 1
        while redraw is not None:
            self._column = len(redraw[1])
            line = redraw[1] + line[self._column :]
            at = redraw.end()
            redraw = _REDRAW.match(text, at, stop)
        if line != old:
            self._low = min(self._low, self._text.length + common_prefix(old, line))
            self._rows = [Row(line, row.start)]
        if self._column == len(line):
            self._rows = None
            self._text.append(line, self._pen)
        return at

    def _catch_up(self, text: str, at: int, stop: int) -> int:
        """Before text is written in another look than the tail ends with, write the SGR that leads to it."""
        while self._pen is not self._text.end and at < stop:
            character = text[at]
            if character in "\r\b":
                break
            if character == "\n":
                self._text.append(character, self._text.end)
                at += 1
            elif character == "\x1b":
                if _MOTION.match(text, at, stop) is not None:
                    break
                escape = ESCAPE.match(text, at, stop)
                assert escape is not None
                if (sgr := SGR.fullmatch(escape[0])) is not None:
                    self._set_pen(apply_parameters(self._pen, sgr[1]))
                else:
                    self._text.append(escape[0], self._text.end)
                at = escape.end()
            else:
                self._text.append(transition(self._text.end, self._pen), self._pen)
        return at

    def _set_pen(self, pen: Sgr) -> None:
        self._pen = self._text.end if pen == self._text.end else pen

    # -- the cursor is inside

    def _step_inside(self, text: str, at: int, stop: int) -> int:
        """Carry out one token; returns where to go on. What has neither width nor motion is dropped here."""
        token = _INSIDE.match(text, at, stop)
        assert token is not None
        character = text[at]
        if character == "\x1b":
            if (motion := _MOTION.match(text, at, stop)) is not None:
                self._move(motion[2], motion[1])
                return motion.end()
            escape = ESCAPE.match(text, at, stop)
            assert escape is not None
            if (sgr := SGR.fullmatch(escape[0])) is not None:
                self._pen = apply_parameters(self._pen, sgr[1])
            return escape.end()
        if character in "\r\b":
            self._move(character, "")
        elif character == "\n":
            self._new_line()
        elif character == "\t":
            stop_cells = self._column + TAB_STOP_CELLS - self._column % TAB_STOP_CELLS
            self._column = min(stop_cells, max(self._column, COLUMN_REACH))
            self._close_at_end()
        elif character > "\x1f" and not "\x7f" <= character <= "\x9f":
            self._write(token[0])
        return token.end()

    def _write(self, text: str) -> None:
        assert self._rows is not None
        row = self._rows[self._row]
        segments, _ = parse(text, self._pen)
        if segments[0].cells == 0:
            row.mark(self._column, segments[0].text)
            del segments[0]
            self._loosen_last()
        if segments:
            cells = sum(segment.cells for segment in segments)
            row.write(self._column, segments, cells)
            self._column += cells
            self._loosen_last()
            self._close_at_end()

    def _new_line(self) -> None:
        assert self._rows is not None
        self._row += 1
        self._column = 0
        if self._row == len(self._rows):
            self._rows.append(Row("", self._rows[-1].end()))
        self._close_at_end()

    def _loosen_last(self) -> None:
        """Below the last line nothing stands that relies on its last look."""
        assert self._rows is not None
        if self._row == len(self._rows) - 1 and self._rows[-1].changed:
            self._rows[-1].loosen()

    # -- motion

    def _move(self, command: str, parameter: str) -> None:
        if self._rows is None:
            if command == "B" or (command in "JK" and parameter in _ERASE_TO_END):
                return  # nothing is below or right of the end
            rows = self._open(1)
            self._row = len(rows) - 1
            self._column = rows[-1].width
        count = max(1, int(parameter or 1))
        if command == "\r":
            self._column = 0
        elif command in "\bD":
            self._column = max(0, self._column - count)
        elif command in "AF":
            self._up(count)
        elif command in "BE":
            assert self._rows is not None
            self._row = min(len(self._rows) - 1, self._row + count)
        elif command == "C":
            self._column = min(self._column + count, max(self._column, COLUMN_REACH))
        elif command in "G`":
            assert self._rows is not None
            self._column = min(count - 1, max(self._rows[self._row].width, COLUMN_REACH))
        elif command == "K":
            self._erase_in_line(parameter)
        else:
            self._erase_in_tail(parameter)
        if command in "EF":
            self._column = 0
        self._close_at_end()

    def _up(self, count: int) -> None:
        assert self._rows is not None
        missing = count - self._row
        if missing > 0:
            self._open(min(len(self._rows) + missing, ROW_REACH + 1))
        self._row = max(0, self._row - count)

    def _erase_in_line(self, mode: str) -> None:
        assert self._rows is not None
        row = self._rows[self._row]
        if mode in _ERASE_TO_END:
            row.erase_from(self._column)
        elif mode == "1":
            row.erase_to(self._column)
        elif mode == "2":
            row.erase_from(0)
        self._loosen_last()

    def _erase_in_tail(self, mode: str) -> None:
        """ED. There is no screen: erasing all empties the tail, and the cursor goes to its beginning."""
        assert self._rows is not None
        if mode in _ERASE_TO_END:
            if self._row < len(self._rows) - 1:
                self._note_changes()
                del self._rows[self._row + 1 :]
                self._low = min(self._low, len(self))
            self._erase_in_line("")
        elif mode == "1":
            self._open(ROW_REACH + 1)
            for row in self._rows[: self._row]:
                row.erase_from(0)
            self._erase_in_line("1")
        elif mode in ("2", "3"):
            self._text.clear()
            self._rows[:] = [Row("", self._text.start)]
            self._row = self._column = 0
            self._low = 0

    # -- opening and closing

    def _open(self, count: int) -> list[Row]:
        """Have the last ``count`` lines open, or as many as there are."""
        if self._rows is None:
            self._rows = self._text.take_lines(count, ended=False)
        elif count > len(self._rows) and self._text.length:
            above = self._text.take_lines(count - len(self._rows), ended=True)
            self._rows[:0] = above
            self._row += len(above)
        return self._rows

    def _close_at_end(self) -> None:
        """If the cursor is at the end of the tail, go back to appending."""
        rows = self._rows
        if rows is None or self._row != len(rows) - 1 or self._column != rows[-1].width:
            return
        self._note_changes()
        self._rows = None
        last = rows.pop()
        for row in rows:
            self._text.append(row.text + "\n", row.end())
        if last.text:
            self._text.append(last.text, last.end())
        self._set_pen(self._pen)

    def _note_changes(self) -> None:
        """Lower the mark of what this ``feed`` has left alone to the first change of a row."""
        assert self._rows is not None
        offset = self._text.length
        for row in self._rows:
            if row.changed:
                self._low = min(self._low, offset + row.take_change())
            offset += len(row.text) + 1

    def _drop_rows(self, rows: list[Row], left: int) -> None:
        while len(rows) > 1 and left > len(rows[0].text):
            left -= len(rows.pop(0).text) + 1
            self._row -= 1
            if self._row < 0:
                self._row = self._column = 0
        first = rows[0]
        cut = Row(first.text[:left], first.start)
        rows[0] = Row(first.text[left:], cut.end())
        if self._row == 0:
            self._column = max(0, self._column - cut.width)
        self._text.start = self._text.end = rows[0].start

    def _change(self) -> TailChange:
        if self._rows is not None:
            self._note_changes()
        low = min(self._low, len(self))
        if self._rows is None:
            return TailChange(low, self._text.since(low))
        new = self._text.since(low)
        below = "\n".join(row.text for row in self._rows)
        return TailChange(low, new + below[max(0, low - self._text.length) :])


def _start_of_incomplete(text: str) -> int:
    """Where an escape begins that the next chunk may complete; the length of the text if there is none."""
    last = text.rfind("\x1b")
    if last < 0:
        return len(text)
    if last == len(text) - 1:
        # The ESC may be the first half of the terminator of a string.
        before = text.rfind("\x1b", 0, last)
        if before >= 0 and INCOMPLETE.match(text, before):
            return before
    return last if INCOMPLETE.match(text, last) else len(text)
