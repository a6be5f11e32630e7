"""Entries of a cell's outputs, from what a kernel sent.

The invariant: an entry is the JSON text of a manifest, or the hash of a stored manifest when that text is
long, so that the runtime document stays small.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from runt.notebook import manifests
from runt.notebook.manifests import Put

MAX_ENTRY_BYTES = manifests.INLINE_LIMIT_BYTES
MANIFEST_TYPE = "application/x-jupyter-output+json"


def entry_of(output: Mapping[str, Any], put: Put) -> str:
    """Return the entry for an nbformat output. What nbformat does not know becomes an error output."""
    try:
        manifest = manifests.manifest_from_nbformat(dict(output), put)
    except ValueError as error:  # NaN and such
        manifest = manifests.manifest_from_nbformat(
            {
                "output_type": "error",
                "ename": "DamagedOutput",
                "evalue": f"the kernel sent {output.get('output_type')} that cannot be read: {error}",
                "traceback": [],
            },
            put,
        )
    text = manifests.encode(manifest)
    if len(text) <= MAX_ENTRY_BYTES:
        return text
    return put(text.encode(), MANIFEST_TYPE).hash


def display(content: Mapping[str, Any]) -> dict[str, Any]:
    """Return the nbformat output of a display_data message."""
    return {
        "output_type": "display_data",
        "data": _mapping(content.get("data")),
        "metadata": _mapping(content.get("metadata")),
    }


def result(content: Mapping[str, Any], count: int | None) -> dict[str, Any]:
    """Return the nbformat output of an execute_result message."""
    return {**display(content), "output_type": "execute_result", "execution_count": count}


def error(content: Mapping[str, Any]) -> dict[str, Any]:
    """Return the nbformat output of an error message (or of a reply with status error)."""
    traceback = content.get("traceback")
    return {
        "output_type": "error",
        "ename": str(content.get("ename") or "Error"),
        "evalue": str(content.get("evalue") or ""),
        "traceback": [str(line) for line in traceback] if isinstance(traceback, list) else [],
    }


def count_of(content: Mapping[str, Any]) -> int | None:
    """Return a message's execution count, if it is one."""
    count = content.get("execution_count")
    return count if isinstance(count, int) and not isinstance(count, bool) else None


def display_id_of(content: Mapping[str, Any]) -> str:
    """Return the display id of a message, or ""."""
    found = _mapping(content.get("transient")).get("display_id")
    return found if isinstance(found, str) else ""


def _mapping(value: object) -> dict[str, Any]:
    return value if isinstance(value, dict) else {}
