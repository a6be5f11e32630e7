"""A strict reader of what a program sent to a terminal: every escape sequence, and every raw control character.

It is not a terminal. Invariant: the pieces it yields, joined, are the bytes that it was given.
"""

from __future__ import annotations

import re
from collections.abc import Iterator

# ECMA-48: CSI parameters, intermediates, final; strings (OSC, DCS, APC, PM, SOS) up to ST or BEL; two-byte escapes.
SEQUENCE = re.compile(
    rb"\x1b\[[0-?]*[ -/]*[@-~]|\x1b[\]PX^_].*?(?:\x1b\\|\x07)|\x1b[ -/]*[0-~]|\x1b|[\x00-\x08\x0b\x0c\x0e-\x1f\x7f]"
    rb"|\xc2[\x80-\x9f]|\xd8\x9c|\xe2\x80[\x8e\x8f\xaa-\xae]|\xe2\x81[\xa6-\xa9]",
    re.S,
)
# What Textual's driver and our frame diff send: modes, colours, positions, erasing, scroll regions, key protocol, queries.
ALLOWED = re.compile(
    rb"\x1b\[(?:\?[0-9;]+[hl]|\?[0-9]+\$p|[0-9;:]*m|[0-9;]*[HfJKrSTXABCDGd]|[<>=]?[0-9;]*u|[0-9;]*c|1[468]t|6n|[0-9;]*t|[0-9]? ?q)"
    # The shape of the mouse pointer, by Textual.
    rb"|\x1b[=>78]|\x1b\(B|\x1b\]22;[a-z-]+\x07"
)


def sequences(data: bytes) -> Iterator[bytes]:
    """Every escape sequence and control character in the bytes, in order."""
    for found in SEQUENCE.finditer(data):
        yield found[0]


def unexpected(data: bytes) -> list[bytes]:
    """The sequences that a well-behaved program of ours has no reason to send."""
    return [sequence for sequence in sequences(data) if ALLOWED.fullmatch(sequence) is None]
