"""The grammar of terminal escape sequences: one set of patterns for everyone who has to recognise them.

It gives no meaning to a sequence; it only says where one begins and ends. The invariant: a string cut
anywhere and fed piece by piece yields the same tokens, because a sequence is either complete (``ESCAPE``),
possibly still incomplete (``INCOMPLETE``), or broken, and then its introducer alone is one token of no
width.
"""

from __future__ import annotations

import re

MAX_PARAMETERS_LENGTH = 256
"""Code points of a CSI sequence's parameters; true-colour SGR needs 45. With more it is no sequence."""

MAX_STRING_LENGTH = 4096
"""Code points in the body of an OSC, DCS, APC, PM or SOS: a bound on what is held between chunks."""

_CSI_BODY = rf"\[[0-?]{{0,{MAX_PARAMETERS_LENGTH}}}[ -/]{{0,4}}"
# A line end, CAN, SUB or another ESC aborts a string: a forgotten terminator must not swallow what follows.
_STRING_BODY = rf"[^\x07\x1b\n\r\x18\x1a]{{0,{MAX_STRING_LENGTH}}}"

SGR_SOURCE = rf"\x1b\[([0-9;:]{{0,{MAX_PARAMETERS_LENGTH}}})m"

ESCAPE_SOURCE = (
    rf"\x1b(?:{_CSI_BODY}[@-~]"  # CSI
    rf"|\]{_STRING_BODY}(?:\x07|\x1b\\)"  # OSC
    rf"|[PX^_]{_STRING_BODY}\x1b\\"  # DCS, SOS, PM, APC
    r"|[ -/]{1,4}[0-~]"  # nF: character sets
    r"|[0-OQ-WYZ\\`-~]"  # Fp, Fe without a body, Fs
    r"|[\[\]PX^_]"  # the introducer of a broken sequence
    r")?"  # a lone ESC
)

SGR = re.compile(SGR_SOURCE)
"""Select graphic rendition; group 1 is the parameters."""

ESCAPE = re.compile(ESCAPE_SOURCE)
"""One escape sequence, complete or broken, at an ESC."""

INCOMPLETE = re.compile(
    rf"\x1b(?:{_CSI_BODY}|\]{_STRING_BODY}\x1b?|[PX^_]{_STRING_BODY}\x1b?|[ -/]{{1,4}})?\Z"
)
"""What may still become a sequence when more text arrives; only at the end of a chunk."""
