"""JSON values as text, the way the documents store them.

It is not a serializer for files or sockets: numbers keep their type and precision here because CRDT values do
not (pycrdt turns integers into floats). Invariant: what ``encode`` returns never holds a lone surrogate, so
pycrdt can take it.
"""

from __future__ import annotations

import json
from typing import Any


def encode(value: Any) -> str:
    """Encode a value as compact JSON text; lone surrogates stay escaped (``\\ud800``).

    Raises:
        ValueError: the value holds NaN or an infinity, which no notebook file can hold.
        TypeError: the value is not made of JSON types.
    """
    text = json.dumps(value, ensure_ascii=False, allow_nan=False, separators=(",", ":"))
    try:
        text.encode()
    except UnicodeEncodeError:
        return json.dumps(value, ensure_ascii=True, allow_nan=False, separators=(",", ":"))
    return text


def decode(text: object, default: Any = None) -> Any:
    """Decode JSON text that any peer may have written; ``default`` when it is not JSON text."""
    if not isinstance(text, str):
        return default
    try:
        return json.loads(text)
    except (ValueError, RecursionError):  # damaged or absurdly nested: a peer's fault must not stop a reader
        return default
