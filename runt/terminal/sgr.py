"""Colours and emphasis in text from outside: SGR sequences as values, text as lines of styled spans.

It folds no cursor motion (``stream_reducer.py`` did that before) and chooses no colours: a span says what
was asked for, the view says how it looks. The invariant: the text of every span is display-safe
(``sanitise.BAD``), without tab and newline.
"""

from __future__ import annotations

import re
from functools import lru_cache

import msgspec
from msgspec.structs import replace

from runt.terminal.escapes import ESCAPE_SOURCE, SGR_SOURCE
from runt.terminal.sanitise import BAD, visible
from runt.terminal.widths import cell_width

Color = None | int | tuple[int, int, int]
"""The default colour, one of the 256 (0-15 are the terminal's own), or red, green, blue (0-255)."""

MAX_PARAMETERS = 32
"""Parameters of one SGR sequence; one with more is ignored as a whole."""

TAB_STOP_CELLS = 8


class Sgr(msgspec.Struct, frozen=True):
    """How text looks. Attributes that are not here (blink, fonts, conceal) are ignored on purpose."""

    fg: Color = None
    bg: Color = None
    bold: bool = False
    dim: bool = False
    italic: bool = False
    underline: bool = False
    reverse: bool = False
    strike: bool = False

    @property
    def parameters(self) -> str:
        """SGR parameters that make this look from the default one; empty for the default."""
        return _parameters(self)


PLAIN = Sgr()


class Span(msgspec.Struct, frozen=True):
    """A piece of one line in one look. ``text`` is display-safe."""

    text: str
    sgr: Sgr


_SWITCHES: dict[int, dict[str, bool]] = {
    1: {"bold": True},
    2: {"dim": True},
    3: {"italic": True},
    4: {"underline": True},
    7: {"reverse": True},
    9: {"strike": True},
    21: {"underline": True},  # double underline
    22: {"bold": False, "dim": False},
    23: {"italic": False},
    24: {"underline": False},
    27: {"reverse": False},
    29: {"strike": False},
}
_CODES = {"bold": "1", "dim": "2", "italic": "3", "underline": "4", "reverse": "7", "strike": "9"}


@lru_cache(maxsize=1024)
def _parameters(sgr: Sgr) -> str:
    codes = [code for name, code in _CODES.items() if getattr(sgr, name)]
    for color, normal, bright, extended in ((sgr.fg, 30, 90, 38), (sgr.bg, 40, 100, 48)):
        if isinstance(color, tuple):
            codes.append(f"{extended};2;{color[0]};{color[1]};{color[2]}")
        elif color is not None:
            if color < 8:
                codes.append(str(normal + color))
            elif color < 16:
                codes.append(str(bright + color - 8))
            else:
                codes.append(f"{extended};5;{color}")
    return ";".join(codes)


def transition(before: Sgr, after: Sgr) -> str:
    """The shortest of our sequences that changes the look from ``before`` to ``after``; empty when equal."""
    if before == after:
        return ""
    if after == PLAIN:
        return "\x1b[0m"
    if before == PLAIN:
        return f"\x1b[{after.parameters}m"
    return f"\x1b[0;{after.parameters}m"


@lru_cache(maxsize=4096)
def apply_parameters(sgr: Sgr, parameters: str) -> Sgr:
    """The look after an SGR sequence with these parameters (``"1;38;5;208"``). Unknown ones are skipped."""
    fields = parameters.split(";")
    if len(fields) > MAX_PARAMETERS:
        return sgr
    index = 0
    while index < len(fields):
        field = fields[index]
        index += 1
        if ":" in field:
            sgr = _apply_colon_field(sgr, field)
            continue
        code = int(field) if field else 0
        if code in (38, 48):
            color, used = _extended_color(fields[index : index + 4])
            index += used
            if used and color is not None:
                sgr = replace(sgr, fg=color) if code == 38 else replace(sgr, bg=color)
        else:
            sgr = _apply_code(sgr, code)
    return sgr


def _apply_code(sgr: Sgr, code: int) -> Sgr:
    if code == 0:
        return PLAIN
    switches = _SWITCHES.get(code)
    if switches is not None:
        return replace(sgr, **switches)
    if 30 <= code <= 37:
        return replace(sgr, fg=code - 30)
    if 90 <= code <= 97:
        return replace(sgr, fg=code - 82)
    if 40 <= code <= 47:
        return replace(sgr, bg=code - 40)
    if 100 <= code <= 107:
        return replace(sgr, bg=code - 92)
    if code == 39:
        return replace(sgr, fg=None)
    if code == 49:
        return replace(sgr, bg=None)
    return sgr


def _apply_colon_field(sgr: Sgr, field: str) -> Sgr:
    """ISO 8613-6 spelling: ``38:2::r:g:b``, ``38:5:n``, ``4:3`` (curly underline)."""
    parts = field.split(":")
    if parts[0] == "4":
        return replace(sgr, underline=parts[1] != "0")
    if parts[0] not in ("38", "48"):
        return sgr
    values = parts[1:]
    if values[:1] == ["2"] and len(values) >= 5:
        values = ["2", *values[-3:]]  # a colour space id, mostly empty, may come before the three components
    color, used = _extended_color(values)
    if not used or color is None:
        return sgr
    return replace(sgr, fg=color) if parts[0] == "38" else replace(sgr, bg=color)


def _extended_color(fields: list[str]) -> tuple[Color, int]:
    """The colour after 38 or 48, and how many fields it took; no colour when out of range."""
    if not fields or not all(field.isdigit() or field == "" for field in fields):
        return None, 0
    numbers = [int(field) if field else 0 for field in fields]
    if numbers[0] == 5 and len(numbers) >= 2:
        return (numbers[1] if numbers[1] <= 255 else None), 2
    if numbers[0] == 2 and len(numbers) >= 4:
        red, green, blue = numbers[1:4]
        return ((red, green, blue) if max(red, green, blue) <= 255 else None), 4
    return None, len(fields)


_SPECIAL = re.compile(rf"{SGR_SOURCE}|({ESCAPE_SOURCE})|(\t)|\r?(\n)|({BAD.pattern})")
# An introducer without a sequence after it: shown, where a complete sequence is dropped.
_BROKEN = frozenset({"\x1b", "\x1b[", "\x1b]", "\x1bP", "\x1bX", "\x1b^", "\x1b_"})


class _Lines:
    """The lines being built: a mutable accumulator of ``parse_ansi``."""

    __slots__ = ("column", "lines", "sgr", "spans", "text")

    def __init__(self, sgr: Sgr) -> None:
        self.lines: list[list[Span]] = []
        self.spans: list[Span] = []
        self.text: list[str] = []
        self.sgr = sgr
        self.column = 0

    def add(self, text: str) -> None:
        if text:
            self.text.append(text)
            self.column += cell_width(text)

    def tab(self) -> None:
        self.add(" " * (TAB_STOP_CELLS - self.column % TAB_STOP_CELLS))

    def end_span(self) -> None:
        if self.text:
            self.spans.append(Span("".join(self.text), self.sgr))
            self.text = []

    def style(self, sgr: Sgr) -> None:
        if sgr != self.sgr:
            self.end_span()
            self.sgr = sgr

    def end_line(self) -> None:
        self.end_span()
        self.lines.append(self.spans)
        self.spans = []
        self.column = 0


def parse_ansi(text: str, start: Sgr = PLAIN) -> tuple[list[list[Span]], Sgr]:
    """Lines of styled spans, and the look after the last character, to go on with the next piece of a stream.

    Complete sequences other than SGR are dropped, broken ones shown; tabs go to stops of 8 cells. Text that
    ends with a newline has an empty last line.
    """
    out = _Lines(start)
    at = 0
    for match in _SPECIAL.finditer(text):
        out.add(text[at : match.start()])
        at = match.end()
        parameters, escape, tab, newline, bad = match.groups()
        if parameters is not None:
            out.style(apply_parameters(out.sgr, parameters))
        elif newline:
            out.end_line()
        elif tab:
            out.tab()
        elif escape:
            if escape in _BROKEN:
                out.add("".join(visible(c) if BAD.match(c) else c for c in escape))
        elif bad:
            out.add(visible(bad))
    out.add(text[at:])
    out.end_line()
    return out.lines, out.sgr


def ansi_lines(text: str) -> list[list[Span]]:
    """Lines of styled spans of a whole text. See ``parse_ansi``."""
    return parse_ansi(text)[0]
