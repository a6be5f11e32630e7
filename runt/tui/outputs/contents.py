"""The content of an output: inline, or in a blob that may be lost.

It decodes nothing but UTF-8 and base64. Invariant: what cannot be read raises `LostContent`, never anything
else, and nothing larger than the given limit is turned into text.
"""

from __future__ import annotations

import base64
import binascii
from typing import TYPE_CHECKING, Any

from runt.errors import BlobMissing

if TYPE_CHECKING:
    from runt.notebook.manifests import ContentRef
    from runt.tui.view.source import BlobSource

MAX_TEXT_BYTES = 8 * 1024 * 1024
"""Larger text is read from both its ends only (about 10 ms to read and count)."""

END_BYTES = 128 * 1024
"""How much of each end is read then."""


class LostContent(Exception):
    """The blob is missing or damaged."""


def size_of(ref: ContentRef) -> int:
    """Bytes of the content."""
    if ref.inline is not None:
        return len(ref.inline.encode("utf-8", "replace"))
    return ref.size or 0


def read_bytes(ref: ContentRef, blobs: BlobSource) -> bytes:
    """The whole content; inline text as UTF-8."""
    if ref.inline is not None:
        return ref.inline.encode("utf-8", "replace")
    if ref.blob is None:
        raise LostContent
    try:
        return blobs.get(ref.blob)
    except (BlobMissing, KeyError, OSError) as error:
        raise LostContent from error


def read_binary(ref: ContentRef, blobs: BlobSource) -> bytes:
    """The bytes of a binary type: blobs are raw, inline content is base64."""
    if ref.inline is None:
        return read_bytes(ref, blobs)
    try:
        return base64.b64decode(ref.inline, validate=False)
    except (binascii.Error, ValueError) as error:
        raise LostContent from error


def read_text(ref: ContentRef, blobs: BlobSource) -> str:
    """The whole content as text; bytes that are not UTF-8 are replaced."""
    if ref.inline is not None:
        return ref.inline
    return read_bytes(ref, blobs).decode("utf-8", "replace")


def read_ends(hash_: str, size: int, blobs: BlobSource) -> tuple[str, str, int]:
    """Beginning and end of a large text blob, and the bytes between them; an empty end when all is in the
    beginning.
    """
    ranged: Any = getattr(blobs, "read_range", None)
    try:
        if size <= MAX_TEXT_BYTES or ranged is None:
            data = blobs.get(hash_)
            if len(data) <= MAX_TEXT_BYTES:
                return data.decode("utf-8", "replace"), "", 0
            head, tail = data[:END_BYTES], data[-END_BYTES:]
            size = len(data)
        else:
            head, tail = ranged(hash_, 0, END_BYTES), ranged(hash_, size - END_BYTES, size)
    except (BlobMissing, KeyError, OSError) as error:
        raise LostContent from error
    return head.decode("utf-8", "replace"), tail.decode("utf-8", "replace"), size - len(head) - len(tail)
