"""From an output entry to its block: chooses the representation, and what to say when there is none.

It decides the order of MIME types and nothing else; each kind has its own module. Invariant: never raises for
what an output holds; what cannot be drawn says what it is, what is missing says ``lost output``.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

import msgspec

from runt.notebook.manifests import DisplayManifest, ErrorManifest, ResultManifest, StreamManifest
from runt.notebook.runtime_document import LiveStream, ManifestHash
from runt.terminal.sanitise import display_text
from runt.tui.images.modes import ImageMode
from runt.tui.outputs.block import Block, crop, text_line
from runt.tui.outputs.contents import LostContent, read_text, size_of
from runt.tui.outputs.errors import error_block
from runt.tui.outputs.looks import PLAIN_LOOKS, Looks
from runt.tui.outputs.streams import Pieces, live_block, stream_block
from runt.tui.outputs.text_lines import size_words
from runt.tui.outputs.values import json_block, latex_block, plain_block

if TYPE_CHECKING:
    from runt.notebook.manifests import ContentRef
    from runt.tui.images.pictures import PictureStore
    from runt.tui.view.source import BlobSource

PICTURE_TYPES = ("image/png", "image/jpeg", "image/webp", "image/gif")

MAX_TEXT_REPR_BYTES = 2 * 1024 * 1024
"""A larger text representation is not read into the view: one line says its size."""


class OutputContext(msgspec.Struct, frozen=True):
    """What it takes to draw an output."""

    width: int
    """Cells."""
    blobs: BlobSource
    looks: Looks = PLAIN_LOOKS
    pictures: PictureStore | None = None
    expanded: bool = False
    """What can be folded is unfolded."""
    pieces: Pieces = msgspec.field(default_factory=Pieces)


def render_output(entry: object, context: OutputContext) -> Block:
    """The block of one output entry (a manifest, the hash of one, or a live stream)."""
    try:
        if isinstance(entry, ManifestHash):
            entry = _stored(entry, context)
        if isinstance(entry, LiveStream):
            return live_block(entry, context)
        if isinstance(entry, StreamManifest):
            return stream_block(entry, context)
        if isinstance(entry, ErrorManifest):
            return error_block(entry, context)
        if isinstance(entry, DisplayManifest | ResultManifest):
            return _bundle_block(entry.data, entry.metadata, context)
    except LostContent:
        return lost_block(context)
    return Block((text_line("unknown output", context.looks.dim),))


def lost_block(context: OutputContext) -> Block:
    """Says that the content is gone."""
    return Block((text_line("lost output", context.looks.warning),))


def _stored(hash_: str, context: OutputContext) -> object:
    from runt.errors import BlobMissing
    from runt.notebook.manifests import decode

    try:
        return decode(context.blobs.get(hash_).decode("utf-8", "replace"))
    except (BlobMissing, KeyError, OSError, ValueError) as error:
        raise LostContent from error


def _bundle_block(
    data: Mapping[str, ContentRef], metadata: Mapping[str, object], context: OutputContext
) -> Block:
    """The best representation that a terminal can show; tables before pictures, pictures before text."""
    html = data.get("text/html")
    if html is not None and size_of(html) <= MAX_TEXT_REPR_BYTES:
        from runt.tui.outputs.tables import parse_tables, table_block

        tables = parse_tables(read_text(html, context.blobs))
        if tables:
            return table_block(tables, context.width, context.looks)
    if context.pictures is not None and context.pictures.mode is not ImageMode.OFF:
        for media_type in PICTURE_TYPES:
            if media_type in data:
                return context.pictures.block(data[media_type], media_type, metadata, context)
    for media_type, make in _TEXTS:
        ref = data.get(media_type)
        if ref is not None:
            if size_of(ref) > MAX_TEXT_REPR_BYTES:
                continue
            drawn = data.get("text/plain")
            return make(read_text(ref, context.blobs), drawn, context)
    plain = data.get("text/plain")
    pictured = next((t for t in data if t.startswith("image/")), None)
    if plain is not None and pictured is None:
        if size_of(plain) > MAX_TEXT_REPR_BYTES:
            return _named("text/plain", plain, context)
        return plain_block(read_text(plain, context.blobs), context)
    if pictured is not None:
        return _named(pictured, data[pictured], context)
    if html is not None and size_of(html) <= MAX_TEXT_REPR_BYTES:
        text = _html_words(read_text(html, context.blobs))
        if text:
            return plain_block(text, context)
    for media_type, ref in data.items():
        return _named(media_type, ref, context)
    return Block((text_line("empty output", context.looks.dim),))


def _named(media_type: str, ref: ContentRef, context: OutputContext) -> Block:
    words = f"[{display_text(media_type)}, {size_words(size_of(ref))}]"
    return Block((text_line(crop(words, context.width), context.looks.dim),))


def _markdown(text: str, _drawn: ContentRef | None, context: OutputContext) -> Block:
    from runt.tui.outputs.markdown import markdown_lines

    return Block(tuple(markdown_lines(text, context.width, context.looks)), gap=True)


def _json(text: str, _drawn: ContentRef | None, context: OutputContext) -> Block:
    return json_block(text, context)


def _latex(text: str, drawn: ContentRef | None, context: OutputContext) -> Block:
    plain = None if drawn is None or size_of(drawn) > MAX_TEXT_REPR_BYTES else read_text(drawn, context.blobs)
    return latex_block(text, plain, context)


_TEXTS = (("text/markdown", _markdown), ("application/json", _json), ("text/latex", _latex))


def _html_words(html: str) -> str:
    """The text of some HTML, block by block; markup is dropped."""
    from selectolax.lexbor import LexborHTMLParser

    tree = LexborHTMLParser(html)
    for useless in tree.css("style, script, head, template"):
        useless.decompose()
    body = tree.body
    if body is None:
        return ""
    lines = (line.strip() for line in body.text(separator="\n").split("\n"))
    return "\n".join(line for line in lines if line)
