"""The kitty graphics protocol with Unicode placeholders: pictures that scroll, clip and overlap like text.

It knows bytes and cells, no files and no widgets. The number of a picture is the foreground colour of its
placeholders (24 bits), so nothing may change their style. Invariant: every transmission asks for silence
(``q=2``): no answer of the terminal can arrive as keys.
"""

from __future__ import annotations

import base64

from rich.color import Color
from rich.segment import Segment
from rich.style import Style

from runt.tui.images.pixels import Box
from runt.tui.outputs.block import Line

PLACEHOLDER = "\U0010eeee"

ROW_MARKS = (
    "\u0305\u030d\u030e\u0310\u0312\u033d\u033e\u033f\u0346\u034a\u034b\u034c\u0350\u0351\u0352\u0357"
    "\u035b\u0363\u0364\u0365\u0366\u0367\u0368\u0369\u036a\u036b\u036c\u036d\u036e\u036f\u0483\u0484"
    "\u0485\u0486\u0487\u0592\u0593\u0594\u0595\u0597\u0598\u0599\u059c\u059d\u059e\u059f\u05a0\u05a1"
)
"""The protocol's combining characters for the numbers 0 to 47; rows and columns count with them."""

CHUNK_BYTES = 4096
"""Of base64 in one escape sequence, as the protocol demands."""

FIRST_NUMBER = 0x010000
LAST_NUMBER = 0x0FFFFF
"""Numbers of pictures: all three bytes of the colour are used, so that no palette colour is meant."""


def transmission(png: bytes, number: int, box: Box) -> bytes:
    """Send a PNG and make a virtual placement of it."""
    data = base64.standard_b64encode(png)
    parts: list[bytes] = []
    for at in range(0, len(data), CHUNK_BYTES):
        more = at + CHUNK_BYTES < len(data)
        keys = f"m={int(more)}"
        if at == 0:
            keys = f"a=T,U=1,f=100,t=d,i={number},c={box.columns},r={box.rows},q=2,{keys}"
        else:
            keys += ",q=2"
        parts.append(b"\x1b_G" + keys.encode() + b";" + data[at : at + CHUNK_BYTES] + b"\x1b\\")
    return b"".join(parts)


def deletion(number: int) -> bytes:
    """Free a picture in the terminal."""
    return f"\x1b_Ga=d,d=I,i={number},q=2\x1b\\".encode()


def placeholders(number: int, box: Box) -> list[Line]:
    """The rows that stand for a picture. Only the first cell of a row says where it is; others count on."""
    style = Style(color=Color.from_rgb(number >> 16 & 255, number >> 8 & 255, number & 255))
    return [
        (Segment(PLACEHOLDER + ROW_MARKS[row] + ROW_MARKS[0] + PLACEHOLDER * (box.columns - 1), style),)
        for row in range(min(box.rows, len(ROW_MARKS)))
    ]
