"""What pictures the terminal can show: found out once, before the app reads keys.

Order: the user's word (``RUNT_IMAGES``, settings), then what the environment says, then one question to the
terminal itself. Inside tmux and screen nothing is asked: the answer would be theirs, or come late. Invariant:
the terminal is left as it was, and whatever it answers within the time is read here, so that no answer
arrives as keys.
"""

from __future__ import annotations

import os
import re
import select
import sys
import termios
import time
import tty
from collections.abc import Callable, Mapping

import msgspec

from runt.tui.images.modes import DEFAULT_CELL_PIXELS, ImageMode

QUERY_TIMEOUT_S = 0.3
"""For the whole round trip. A slower line gets half blocks."""


QUERY = b"\x1b[>q\x1b_Gi=31,s=1,v=1,a=q,t=d,f=24;AAAA\x1b\\\x1b[16t\x1b[c"
"""Name and version, a graphics query, the size of a cell in pixels; device attributes last: every terminal
answers those, so they are the end.
"""

MAX_ANSWER_BYTES = 4096

_END = re.compile(rb"\x1b\[\?[\d;]*c")
_CELL = re.compile(rb"\x1b\[6;(\d{1,4});(\d{1,4})t")
_NAME = re.compile(rb"\x1bP>\|([^\x1b]*)\x1b\\")
_GRAPHICS = re.compile(rb"\x1b_G[^\x1b]*i=31[^\x1b]*;OK\x1b\\")

_PLACEHOLDER_TERMINALS = re.compile(r"kitty|ghostty", re.IGNORECASE)
"""They know Unicode placeholders; others speak the graphics protocol without them."""


class ImageSupport(msgspec.Struct, frozen=True):
    """What to draw with. ``cell_pixels``: width and height of a cell. ``reason`` is for `runt doctor`."""

    mode: ImageMode
    cell_pixels: tuple[int, int] = DEFAULT_CELL_PIXELS
    reason: str = ""


def detect_images(
    environ: Mapping[str, str] | None = None,
    setting: str = "auto",
    ask: Callable[[float], bytes] | None = None,
) -> ImageSupport:
    """Choose how pictures are drawn. Call before the app starts; takes at most `QUERY_TIMEOUT_S`.

    Args:
        setting: ``auto``, ``kitty``, ``half`` or ``off``; ``RUNT_IMAGES`` comes before it.
        ask: Sends `QUERY` and returns the answer within that many seconds; by default to the controlling
        terminal.
    """
    environ = os.environ if environ is None else environ
    for word, origin in ((environ.get("RUNT_IMAGES", ""), "RUNT_IMAGES"), (setting, "settings")):
        if word in ("kitty", "half", "off"):
            return ImageSupport(ImageMode(word), reason=origin)
    if environ.get("NO_COLOR"):
        return ImageSupport(ImageMode.OFF, reason="NO_COLOR")
    term = environ.get("TERM", "")
    if term in ("", "dumb", "linux", "vt100"):
        return ImageSupport(ImageMode.OFF if term != "linux" else ImageMode.HALF, reason=f"TERM={term}")
    if environ.get("TMUX") or term.startswith(("tmux", "screen")):
        return ImageSupport(ImageMode.HALF, reason="inside a terminal multiplexer")
    if environ.get("TERM_PROGRAM") in ("Apple_Terminal", "vscode"):
        return ImageSupport(ImageMode.HALF, reason=f"TERM_PROGRAM={environ['TERM_PROGRAM']}")
    answer = (ask or ask_terminal)(QUERY_TIMEOUT_S)
    cell = _CELL.search(answer)
    pixels = DEFAULT_CELL_PIXELS
    if cell is not None:
        height, width = int(cell[1]), int(cell[2])
        if 2 <= width <= 200 and 2 <= height <= 400:
            pixels = (width, height)
    name = _NAME.search(answer)
    said = name[1].decode("utf-8", "replace") if name is not None else ""
    known = bool(_PLACEHOLDER_TERMINALS.search(said or f"{term} {environ.get('TERM_PROGRAM', '')}"))
    if known and _GRAPHICS.search(answer):
        return ImageSupport(ImageMode.KITTY, pixels, said or term)
    return ImageSupport(ImageMode.HALF, pixels, said or ("no answer" if not answer else term))


def ask_terminal(timeout: float) -> bytes:
    """Send `QUERY` to the controlling terminal and read until its end or for ``timeout`` seconds. Empty
    without a terminal.
    """
    if not (sys.stdin and sys.stdin.isatty()):
        return b""
    try:
        terminal = os.open("/dev/tty", os.O_RDWR | os.O_NOCTTY | os.O_CLOEXEC)
    except OSError:
        return b""
    try:
        return ask_descriptor(terminal, timeout)
    finally:
        os.close(terminal)


def ask_descriptor(terminal: int, timeout: float) -> bytes:
    """`ask_terminal` on an open descriptor."""
    try:
        before = termios.tcgetattr(terminal)
    except termios.error:
        return b""
    answer = bytearray()
    try:
        tty.setcbreak(terminal, termios.TCSANOW)
        os.write(terminal, QUERY)
        stop = time.monotonic() + timeout
        while len(answer) < MAX_ANSWER_BYTES and not _END.search(answer):
            left = stop - time.monotonic()
            if left <= 0 or not select.select([terminal], [], [], left)[0]:
                break
            answer += os.read(terminal, 1024)
    except OSError:
        return b""
    finally:
        termios.tcsetattr(terminal, termios.TCSANOW, before)
    return bytes(answer)
