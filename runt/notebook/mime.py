"""MIME types of outputs: which are bytes, which are JSON, and which of several to show.

It reads no content. The invariant: every type is exactly one of binary, JSON and text, and the answer
depends on the type's name alone, so that writer and reader of a blob always agree.
"""

from __future__ import annotations

from collections.abc import Iterable

_BINARY_TREES = ("image/", "audio/", "video/", "font/", "model/")

_TEXT_APPLICATIONS = frozenset(
    f"application/{name}"
    for name in (
        "ecmascript",
        "graphql",
        "javascript",
        "rtf",
        "sql",
        "toml",
        "x-ipynb+json",
        "x-javascript",
        "x-latex",
        "x-python",
        "x-sh",
        "x-tex",
        "x-yaml",
        "xml",
        "yaml",
    )
)
_TEXT_SUFFIXES = ("+xml", "+yaml", "+text")

# VS Code stores streams and errors under such names, as text.
_TEXT_PREFIX = "application/vnd.code.notebook."

PREFERRED = (
    "application/vnd.jupyter.widget-view+json",
    "image/png",
    "image/jpeg",
    "image/gif",
    "image/webp",
    "image/bmp",
    "image/svg+xml",
    "text/html",
    "text/markdown",
    "text/latex",
    "application/json",
    "text/plain",
)
"""What says most on a terminal, first. Types that are not listed stand before ``text/plain``."""


def is_json_mime(mime: str) -> bool:
    """Whether nbformat stores the value of this type as a JSON value and not as text."""
    mime = mime.partition(";")[0].strip()
    return mime == "application/json" or (mime.startswith("application/") and mime.endswith("+json"))


def is_binary_mime(mime: str) -> bool:
    """Whether nbformat stores the content of this type in base64. Unknown applications count as binary."""
    mime = mime.partition(";")[0].strip().lower()
    if mime.endswith(_TEXT_SUFFIXES) or is_json_mime(mime):
        return False
    if mime.startswith(_BINARY_TREES):
        return True
    return (
        mime.startswith("application/")
        and mime not in _TEXT_APPLICATIONS
        and not mime.startswith(_TEXT_PREFIX)
    )


def is_split_mime(mime: str) -> bool:
    """Whether nbformat writes text of this type as a list of lines."""
    return mime.startswith("text/") or mime in ("application/javascript", "image/svg+xml")


def preferred(mimes: Iterable[str]) -> list[str]:
    """The types ordered by what says most on a terminal; the first that can be drawn is the one to show."""
    known = {mime: rank for rank, mime in enumerate(PREFERRED)}
    other = len(PREFERRED) - 1.5  # just before text/plain
    return sorted(mimes, key=lambda mime: known.get(mime, other))
