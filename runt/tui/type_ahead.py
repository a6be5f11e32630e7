"""Keys that are typed while the program starts: they wait in the terminal as they were typed.

It reads no key; the app does, later. The invariant: after the ``with`` block the terminal's settings are the ones from
before it.
"""

from __future__ import annotations

import contextlib
import sys
import termios
from collections.abc import Iterator


@contextlib.contextmanager
def type_ahead() -> Iterator[None]:
    """Neither echo typed keys nor turn Enter into Ctrl+J (which runs a cell) before the app has the terminal."""
    try:
        terminal = sys.stdin.fileno()
        before = termios.tcgetattr(terminal)
        now = termios.tcgetattr(terminal)
        now[0] &= ~(termios.ICRNL | termios.INLCR | termios.IGNCR)
        now[3] &= ~(termios.ECHO | termios.ICANON)
        termios.tcsetattr(terminal, termios.TCSANOW, now)
    except (OSError, ValueError, termios.error):
        # No terminal: nothing can be typed into it.
        yield
        return
    try:
        yield
    finally:
        # The terminal may be gone (hang-up).
        with contextlib.suppress(OSError, termios.error):
            termios.tcsetattr(terminal, termios.TCSADRAIN, before)
