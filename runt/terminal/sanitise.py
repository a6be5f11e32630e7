"""What makes text from outside safe to show: every character that could act becomes one that can be read.

It does not interpret anything; coloured output goes through ``sgr.py``, which uses this for what is left. The
invariant: no result of ``display_text`` contains a character matched by ``BAD``.
"""

from __future__ import annotations

import re

_BIDI = "\u061c\u200e\u200f\u202a-\u202e\u2066-\u2069"
# Line and paragraph separators break rows in some terminals; lone surrogates cannot be encoded at all.
_OTHERS = "\u2028\u2029\ufff9-\ufffb\ud800-\udfff"

BAD = re.compile(f"[\x00-\x08\x0b-\x1f\x7f-\x9f{_BIDI}{_OTHERS}]")
"""Characters that must never reach a terminal: C0 but tab and line feed, C1, directions, surrogates."""

_BAD_OR_LAYOUT = re.compile(f"[\x00-\x1f\x7f-\x9f{_BIDI}{_OTHERS}]")
_DELETE = 0x7F
_PICTURES = 0x2400
_PICTURE_OF_DELETE = "\u2421"


def visible(character: str) -> str:
    """One code point as something to read: ``␛`` for C0 controls, ``<U+202E>`` for the others."""
    code = ord(character)
    if code < 0x20:
        return chr(_PICTURES + code)
    if code == _DELETE:
        return _PICTURE_OF_DELETE
    return f"<U+{code:04X}>"


def _visible_match(match: re.Match[str]) -> str:
    return visible(match[0])


def display_text(text: str, *, keep_newlines: bool = False) -> str:
    """``text`` with everything that could act made visible.

    Tabs and line feeds are made visible too, unless ``keep_newlines``: then both stay, and CR LF becomes LF.
    """
    if not keep_newlines:
        return _BAD_OR_LAYOUT.sub(_visible_match, text)
    if "\r" in text:
        text = text.replace("\r\n", "\n")
    return BAD.sub(_visible_match, text)
