"""Which types are bytes, which are JSON, and what is shown first."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from nbformat.v4 import rwbase

from runt.notebook.mime import PREFERRED, is_binary_mime, is_json_mime, is_split_mime, preferred

KINDS = {
    "image/png": "binary",
    "image/jpeg": "binary",
    "image/SVG+xml": "text",
    "image/svg+xml": "text",
    "audio/wav": "binary",
    "video/mp4": "binary",
    "application/pdf": "binary",
    "application/octet-stream": "binary",
    "application/x-unknown": "binary",
    "application/vnd.apache.arrow.stream": "binary",
    "text/plain": "text",
    "text/html; charset=utf-8": "text",
    "text/x-unknown": "text",
    "application/javascript": "text",
    "application/xml": "text",
    "application/xhtml+xml": "text",
    "application/vnd.code.notebook.stdout": "text",
    "application/json": "json",
    "application/json; charset=utf-8": "json",
    "application/geo+json": "json",
    "application/vnd.jupyter.widget-view+json": "json",
    "application/vnd.holoviews_load.v0+json": "json",
}


@pytest.mark.parametrize(("mime", "kind"), KINDS.items())
def test_each_type_is_of_one_kind(mime: str, kind: str) -> None:
    """A type is binary, JSON or text."""
    assert is_binary_mime(mime) is (kind == "binary")
    assert is_json_mime(mime) is (kind == "json")


@given(st.sampled_from(["application/", "image/", "text/", ""]), st.text("abc+.json", max_size=12))
def test_json_and_lines_are_as_nbformat_says(tree: str, name: str) -> None:
    """JSON values and lists of lines are where nbformat has them."""
    mime = tree + name
    assert is_json_mime(mime) == rwbase._is_json_mime(mime)
    assert is_split_mime(mime) == (mime.startswith("text/") or mime in rwbase._non_text_split_mimes)
    assert not (is_binary_mime(mime) and is_json_mime(mime))


def test_rich_types_come_before_plain_text() -> None:
    """An image beats HTML, anything beats plain text, and unknown types keep their order."""
    mimes = ["text/plain", "b/b", "text/html", "a/a", "image/png"]
    assert preferred(mimes) == ["image/png", "text/html", "b/b", "a/a", "text/plain"]
    assert preferred(PREFERRED) == list(PREFERRED)
