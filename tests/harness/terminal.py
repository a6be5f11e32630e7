"""A terminal for the real program: a pty, a screen that understands scroll regions, and patience.

It is not a test of Textual's headless driver: bytes go through a real tty. Invariant: ``raw`` holds every byte
that the program sent, in order, and ``rows()`` is what a person would see after them.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import pty
import re
import select
import signal
import struct
import subprocess
import sys
import termios
import time
from collections.abc import Callable, Sequence
from pathlib import Path

import pyte

from tests.harness.house import PATIENCE_S, House

SCROLL = re.compile(rb"(\x1b\[\d*[ST])")
KEYS = {
    "enter": b"\r",
    "escape": b"\x1b",
    "tab": b"\t",
    "backspace": b"\x7f",
    "up": b"\x1b[A",
    "down": b"\x1b[B",
    "right": b"\x1b[C",
    "left": b"\x1b[D",
    "pageup": b"\x1b[5~",
    "pagedown": b"\x1b[6~",
    "home": b"\x1b[H",
    "end": b"\x1b[F",
    "f1": b"\x1bOP",
    "f5": b"\x1b[15~",
    "f9": b"\x1b[20~",
    **{f"ctrl+{letter}": bytes([ord(letter) & 0x1F]) for letter in "abcdefghijklmnopqrstuvwxyz"},
}


class Screen:
    """pyte's screen with SU and SD (CSI S, CSI T), which pyte lacks."""

    def __init__(self, columns: int, rows: int) -> None:
        self.screen = pyte.Screen(columns, rows)
        self._stream = pyte.ByteStream(self.screen)

    def feed(self, data: bytes) -> None:
        for part in SCROLL.split(data):
            found = re.fullmatch(rb"\x1b\[(\d*)([ST])", part)
            if found is None:
                self._stream.feed(part)
            else:
                self._scroll(int(found[1] or 1), up=found[2] == b"S")

    def _scroll(self, count: int, *, up: bool) -> None:
        top = self.screen.margins.top if self.screen.margins else 0
        self.screen.save_cursor()
        self.screen.cursor.y, self.screen.cursor.x = top, 0
        (self.screen.delete_lines if up else self.screen.insert_lines)(count)
        self.screen.restore_cursor()

    def rows(self) -> list[str]:
        return [row.rstrip() for row in self.screen.display]


class Terminal:
    """One running ``runt`` in a pty of its own. Use as a context manager: leaving kills what still runs."""

    def __init__(
        self,
        house: House,
        *arguments: str,
        columns: int = 120,
        rows: int = 40,
        command: Sequence[str] | None = None,
        cwd: Path | None = None,
        **environment: str,
    ) -> None:
        self.raw = bytearray()
        self.view = Screen(columns, rows)
        self._master, slave = pty.openpty()
        self.resize(columns, rows, announce=False)
        self.process = subprocess.Popen(
            command or [sys.executable, "-m", "runt", *arguments],
            stdin=slave,
            stdout=slave,
            stderr=slave,
            env=house.environment
            | {"TERM": "xterm-256color", "COLORTERM": "truecolor", "RUNT_IMAGES": "half"}
            | environment,
            cwd=cwd or house.work,
            start_new_session=True,
        )
        os.close(slave)

    def __enter__(self) -> Terminal:
        return self

    def __exit__(self, *_: object) -> None:
        self.kill()

    # -- what the program sends -------------------------------------------
    def pump(self, seconds: float = 0.02) -> bool:
        """Read what is there (waiting at most ``seconds`` for the first byte). False at the end of the program."""
        ready, _, _ = select.select([self._master], [], [], seconds)
        while ready:
            try:
                data = os.read(self._master, 65536)
            except OSError:
                return False
            if not data:
                return False
            self.raw += data
            self.view.feed(data)
            ready, _, _ = select.select([self._master], [], [], 0)
        return True

    def rows(self) -> list[str]:
        """The screen as text, trailing blanks removed."""
        return self.view.rows()

    def text(self) -> str:
        return "\n".join(self.rows())

    def wait_for(
        self, what: str | Callable[[str], bool], patience_s: float = PATIENCE_S, *, describe: str = ""
    ) -> str:
        """Pump until the screen contains the text (or satisfies the predicate); returns the screen."""
        end = time.monotonic() + patience_s
        while True:
            alive = self.pump()
            screen = self.text()
            if what in screen if isinstance(what, str) else what(screen):
                return screen
            if time.monotonic() > end or not alive:
                state = "gone" if self.process.poll() is not None else "running"
                raise AssertionError(
                    f"waited in vain for {describe or what!r} (program {state}); screen:\n{screen}"
                )

    def settle(self, quiet_s: float = 0.3) -> str:
        """Pump until nothing has arrived for ``quiet_s`` seconds; for bytes counts, not for correctness."""
        while True:
            before = len(self.raw)
            self.pump(quiet_s)
            if len(self.raw) == before:
                return self.text()

    def wait_exit(self, patience_s: float = PATIENCE_S) -> int:
        """Pump until the program has ended; returns its exit status."""
        end = time.monotonic() + patience_s
        while self.process.poll() is None:
            self.pump()
            assert time.monotonic() < end, f"program still runs; screen:\n{self.text()}"
        self.pump()
        return self.process.returncode

    # -- what the person does ---------------------------------------------
    def press(self, *keys: str) -> None:
        """Send keys by name (``enter``, ``ctrl+j``, ``f9``) or as the characters themselves."""
        for key in keys:
            os.write(self._master, KEYS.get(key) or key.encode())

    def paste(self, text: str) -> None:
        os.write(self._master, b"\x1b[200~" + text.encode() + b"\x1b[201~")

    def resize(self, columns: int, rows: int, *, announce: bool = True) -> None:
        fcntl.ioctl(self._master, termios.TIOCSWINSZ, struct.pack("HHHH", rows, columns, 0, 0))
        if announce:
            self.view.screen.resize(rows, columns)
            os.killpg(self.process.pid, signal.SIGWINCH)

    def kill(self, with_signal: int = signal.SIGKILL) -> None:
        """End the program at once, the way a lost terminal or a crash does, and close the pty."""
        if self.process.poll() is None:
            with contextlib.suppress(ProcessLookupError):
                os.kill(self.process.pid, with_signal)
            self.process.wait()
        if self._master >= 0:
            os.close(self._master)
            self._master = -1
