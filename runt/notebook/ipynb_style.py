"""The spelling of a notebook file, guessed from its bytes.

It parses nothing: the bytes are known to be JSON. The invariant: a guess is never wrong about meaning, only
about looks; whatever ``json.dumps`` can be told to write (indentation, separators, escapes) is recognised.
"""

from __future__ import annotations

import re

from runt.notebook.file_notebook import FileStyle

UTF8_BOM = b"\xef\xbb\xbf"

_OPENING = re.compile(rb"\s*\{(\r\n|\n|\r)?([ \t]*)")
_KEY_SEPARATOR = re.compile(rb'"(?:[^"\\]|\\.)*"([ \t]*:[ \t]*)')
_ESCAPED_TEXT = re.compile(rb"\\u(?!00[01])[0-9A-Fa-f]{4}")
_COMPACT_ITEMS = re.compile(rb'(?:[0-9}\]"]|true|false|null),( ?)"')


def style_of(data: bytes, *, split_lines: bool, sort_keys: bool) -> FileStyle:
    """How the JSON object in ``data`` is spelled; what needs its values is given."""
    bom = data.startswith(UTF8_BOM)
    body = data[len(UTF8_BOM) :] if bom else data
    opening = _OPENING.match(body)
    assert opening is not None  # it is a JSON object
    newline = opening[1]
    separator = _KEY_SEPARATOR.match(body, opening.end())
    item_separator = ","
    if newline is None:
        items = _COMPACT_ITEMS.search(body)
        item_separator = ", " if items is None or items[1] else ","
    end = body[len(body.rstrip()) :]
    return FileStyle(
        indent=opening[2].decode() if newline is not None else None,
        item_separator=item_separator,
        key_separator=separator[1].decode() if separator is not None else ": ",
        ascii=body.isascii() and _ESCAPED_TEXT.search(body) is not None,
        newline=(newline or b"\n").decode(),
        end=end.decode(),
        bom=bom,
        split_lines=split_lines,
        sort_keys=sort_keys,
    )
