"""The name of a source text: what an execution is pinned to.

Not a content address of anything stored. Invariant: two peers that see the same text compute the same hash.
"""

from __future__ import annotations

import hashlib

from runt.notebook.text import clean


def source_hash(source: str) -> str:
    """SHA-256 (64 hex digits) of the UTF-8 bytes; a lone surrogate counts as U+FFFD, as in the document."""
    return hashlib.sha256(clean(source).encode()).hexdigest()
