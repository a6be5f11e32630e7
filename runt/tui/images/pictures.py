"""The pictures of a notebook: asked for by outputs, decoded in a thread, kept by digest and size.

It owns the decoding tasks and the numbers of pictures in the terminal. Invariant: a block has its final
height at once (the header says it); each (digest, size) is sent to the terminal once.
"""

from __future__ import annotations

import asyncio
import hashlib
from collections import OrderedDict
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING

import msgspec

from runt.tui.images import kitty
from runt.tui.images.modes import ImageMode
from runt.tui.images.pixels import (
    Box,
    PictureInfo,
    UnreadablePicture,
    box_for,
    half_blocks,
    picture_info,
    png_for,
)
from runt.tui.outputs.block import Block, Line, crop, text_line
from runt.tui.outputs.contents import read_binary

if TYPE_CHECKING:
    from runt.notebook.manifests import ContentRef
    from runt.tui.outputs.rendering import OutputContext

PICTURES_KEPT = 64
"""Decoded pictures: a few hundred kilobytes each as half blocks."""

HALF_BLOCK_CELL_PIXELS = (7, 14)
"""A picture's pixels per cell with half blocks: a plot of 640 pixels is 91 cells wide."""

HEADERS_KEPT = 4096
MAX_WAITING = 256
"""Pictures that wait for the decoder; more are asked for again when they are painted."""


class _Wanted(msgspec.Struct, frozen=True):
    """One picture in one size. It is the key of the cache."""

    digest: str
    box: Box
    background: tuple[int, int, int]


class PictureStore:
    """Decodes pictures one after the other."""

    def __init__(
        self,
        mode: ImageMode,
        cell_pixels: tuple[int, int] = (10, 20),
        send: Callable[[bytes], None] | None = None,
        ready: Callable[[str], None] | None = None,
    ) -> None:
        """
        Args:
            send: Takes bytes for the terminal; without it kitty pictures become half blocks.
            ready: Told the digest of a picture that can be painted now.
        """
        self.mode = ImageMode.HALF if mode is ImageMode.KITTY and send is None else mode
        # Half blocks have so few pixels that a picture needs more cells than its own size asks for.
        self._cell_pixels = cell_pixels if self.mode is ImageMode.KITTY else HALF_BLOCK_CELL_PIXELS
        self._send = send
        self._ready = ready
        self._headers: OrderedDict[str, PictureInfo | str] = OrderedDict()
        self._done: OrderedDict[_Wanted, tuple[Line, ...] | str] = OrderedDict()
        self._numbers: dict[_Wanted, int] = {}
        self._next_number = kitty.FIRST_NUMBER
        self._waiting: OrderedDict[_Wanted, tuple[bytes, PictureInfo]] = OrderedDict()
        self._task: asyncio.Task[None] | None = None

    @property
    def busy(self) -> bool:
        """Something is being decoded."""
        return bool(self._waiting)

    def close(self) -> None:
        """Stop decoding and free the terminal's pictures."""
        self._waiting.clear()
        if self._task is not None:
            self._task.cancel()
            self._task = None
        if self._send is not None:
            for number in self._numbers.values():
                self._send(kitty.deletion(number))
        self._numbers.clear()

    def block(
        self, ref: ContentRef, media_type: str, metadata: Mapping[str, object], context: OutputContext
    ) -> Block:
        """The block of a picture; while it is decoded its rows are empty but for a word."""
        looks, width = context.looks, context.width
        digest = ref.blob or hashlib.sha256((ref.inline or "").encode("utf-8", "replace")).hexdigest()
        data: bytes | None = None
        info = self._headers.get(digest)
        if info is None:
            data = read_binary(ref, context.blobs)
            try:
                info = picture_info(data)
            except UnreadablePicture as error:
                info = str(error)
            self._headers[digest] = info
            if len(self._headers) > HEADERS_KEPT:
                self._headers.popitem(last=False)
        if isinstance(info, str):
            return Block((text_line(crop(f"[{media_type}: {info}]", width), looks.dim),))
        wanted = _Wanted(
            digest, box_for(info, width, self._cell_pixels, _asked(metadata, media_type)), looks.background
        )
        done = self._done.get(wanted)
        if done is None:
            if data is None:
                data = read_binary(ref, context.blobs)
            self._request(wanted, data, info)
            done = self._done.get(wanted)
        if isinstance(done, str):
            return Block((text_line(crop(f"[{media_type}: {done}]", width), looks.dim),))
        if done is None:
            words = crop(f"[{info.width}×{info.height} picture]", width)
            lines = (text_line(words, looks.dim), *(() for _ in range(wanted.box.rows - 1)))
            return Block(lines, gap=True, pending=digest)
        self._done.move_to_end(wanted)
        return Block(done, gap=True, fixed=True)

    def _request(self, wanted: _Wanted, data: bytes, info: PictureInfo) -> None:
        try:
            loop = asyncio.get_running_loop()
        except RuntimeError:
            # No event loop: a test, or printing. Decode here.
            self._keep(wanted, self._decode(wanted, data, info))
            return
        if wanted in self._waiting or len(self._waiting) >= MAX_WAITING:
            return
        self._waiting[wanted] = (data, info)
        if self._task is None or self._task.done():
            self._task = loop.create_task(self._work(), name="pictures")

    async def _work(self) -> None:
        while self._waiting:
            wanted, (data, info) = next(reversed(self._waiting.items()))
            made = await asyncio.to_thread(self._decode, wanted, data, info)
            self._waiting.pop(wanted, None)
            self._keep(wanted, made)
            if self._ready is not None:
                self._ready(wanted.digest)

    def _decode(self, wanted: _Wanted, data: bytes, info: PictureInfo) -> list[Line] | bytes | str:
        """In a worker thread."""
        try:
            if self.mode is ImageMode.KITTY:
                return png_for(data, wanted.box, self._cell_pixels, info, wanted.background)
            return half_blocks(data, wanted.box, wanted.background)
        except UnreadablePicture as error:
            return str(error)

    def _keep(self, wanted: _Wanted, made: list[Line] | bytes | str) -> None:
        if isinstance(made, bytes):
            number = self._next_number
            self._next_number = number + 1 if number < kitty.LAST_NUMBER else kitty.FIRST_NUMBER
            assert self._send is not None
            self._send(kitty.transmission(made, number, wanted.box))
            self._numbers[wanted] = number
            made = kitty.placeholders(number, wanted.box)
        self._done[wanted] = made if isinstance(made, str) else tuple(made)
        while len(self._done) > PICTURES_KEPT:
            old, _ = self._done.popitem(last=False)
            number_of_old = self._numbers.pop(old, None)
            if number_of_old is not None and self._send is not None:
                self._send(kitty.deletion(number_of_old))


def _asked(metadata: Mapping[str, object], media_type: str) -> tuple[int, int] | None:
    """Width and height in pixels from the output's metadata, when both are sane."""
    entry = metadata.get(media_type)
    if not isinstance(entry, Mapping):
        return None
    width, height = entry.get("width"), entry.get("height")
    if (
        isinstance(width, int | float)
        and isinstance(height, int | float)
        and 0 < width < 1e5
        and 0 < height < 1e5
    ):
        return max(1, int(width)), max(1, int(height))
    return None
