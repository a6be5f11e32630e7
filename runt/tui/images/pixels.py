"""Pixels into cells: header first, then decoding under caps, then half blocks or a PNG of the right size.

Runs in a worker thread; touches no widget. Pillow is imported on first use. Invariant: nothing is decoded
whose header says more than ``MAX_PIXELS``, and every byte that goes on is encoded by us.
"""

from __future__ import annotations

import io
import warnings
from collections.abc import Sequence
from functools import lru_cache
from typing import TYPE_CHECKING

import msgspec
from rich.color import Color
from rich.segment import Segment
from rich.style import Style

from runt.tui.outputs.block import Line

if TYPE_CHECKING:
    from PIL.Image import Image

MAX_PIXELS = 20_000_000
"""80 MB when decoded: more than any screen shows."""

MAX_ROWS = 30
"""Rows of a picture: it should fit on a screen with its code."""

_FORMATS = ("PNG", "JPEG", "WEBP", "GIF")


class UnreadablePicture(Exception):
    """Not a picture we decode, damaged, or too large; the text says which."""


class PictureInfo(msgspec.Struct, frozen=True):
    """What the header says. Pixels."""

    width: int
    height: int
    format: str


class Box(msgspec.Struct, frozen=True):
    """Size on the screen, in cells and rows."""

    columns: int
    rows: int


def _open(data: bytes) -> Image:
    from PIL import Image

    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", Image.DecompressionBombWarning)  # our own cap is lower
            image = Image.open(io.BytesIO(data), formats=_FORMATS)
    except Image.DecompressionBombError as error:
        raise UnreadablePicture("too many pixels to show") from error
    except Exception as error:
        raise UnreadablePicture("not a readable picture") from error
    return image


def picture_info(data: bytes) -> PictureInfo:
    """Reads the header only."""
    image = _open(data)
    width, height = image.size
    if width < 1 or height < 1:
        raise UnreadablePicture("an empty picture")
    if width * height > MAX_PIXELS:
        raise UnreadablePicture("too many pixels to show")
    return PictureInfo(width, height, image.format or "")


def box_for(
    info: PictureInfo, available: int, cell_pixels: tuple[int, int], wanted: tuple[int, int] | None = None
) -> Box:
    """The size of a picture in cells: its own size in pixels, or the one wanted, made smaller to fit; never
    larger.

    Args:
        available: Cells.
        wanted: Width and height in pixels that the notebook asks for.
    """
    cell_width, cell_height = cell_pixels
    width, height = wanted or (info.width, info.height)
    columns = max(1, min(available, round(width / cell_width)))
    rows = max(1, round(columns * cell_width * height / width / cell_height))
    if rows > MAX_ROWS:
        rows = MAX_ROWS
        columns = max(1, min(available, round(rows * cell_height * width / height / cell_width)))
    return Box(columns, rows)


def _decoded(data: bytes, size: tuple[int, int], background: tuple[int, int, int]) -> Image:
    """RGB pixels of at most ``size``, transparent parts on ``background`` (or on white, when what is drawn is
    dark).
    """
    from PIL import Image

    image = _open(data)
    try:
        if image.format == "JPEG":
            image.draft("RGB", size)
        image.load()
        has_alpha = image.mode in ("RGBA", "LA", "PA") or "transparency" in image.info
        converted = image.convert("RGBA" if has_alpha else "RGB")
    except Exception as error:
        raise UnreadablePicture("a damaged picture") from error
    resized = converted.resize(size, Image.Resampling.LANCZOS, reducing_gap=2.0)
    if not has_alpha:
        return resized
    if sum(background) < 3 * 128 and _is_dark(resized):
        background = (255, 255, 255)
    backing = Image.new("RGBA", size, (*background, 255))
    return Image.alpha_composite(backing, resized).convert("RGB")


def _is_dark(image: Image) -> bool:
    """Whether the opaque parts are mostly dark, as axes and labels drawn for paper are."""
    raw = image.resize((32, 32)).tobytes()
    opaque = [sum(raw[at : at + 3]) for at in range(0, len(raw), 4) if raw[at + 3] > 64]
    return bool(opaque) and sum(opaque) / len(opaque) < 3 * 110


@lru_cache(maxsize=8192)
def _style(top: tuple[int, int, int], bottom: tuple[int, int, int]) -> Style:
    return Style(color=Color.from_rgb(*top), bgcolor=Color.from_rgb(*bottom))


def half_blocks(data: bytes, box: Box, background: tuple[int, int, int]) -> list[Line]:
    """Two pixels per cell, runs of equal cells joined. Five bits per colour: runs are longer, the eye does
    not see it.
    """
    image = _decoded(data, (box.columns, box.rows * 2), background)
    raw = image.tobytes()
    stride = box.columns * 3
    lines: list[Line] = []
    for row in range(box.rows):
        top, bottom = (
            raw[2 * row * stride : (2 * row + 1) * stride],
            raw[(2 * row + 1) * stride : (2 * row + 2) * stride],
        )
        segments: list[Segment] = []
        previous: tuple[tuple[int, int, int], tuple[int, int, int]] | None = None
        count = 0
        for at in range(0, stride, 3):
            pair = (_rounded(top, at), _rounded(bottom, at))
            if pair != previous:
                if previous is not None:
                    segments.append(_run(previous, count))
                previous, count = pair, 0
            count += 1
        if previous is not None:
            segments.append(_run(previous, count))
        lines.append(tuple(segments))
    return lines


def _rounded(raw: bytes, at: int) -> tuple[int, int, int]:
    red, green, blue = raw[at], raw[at + 1], raw[at + 2]
    return (red & 0xF8 | red >> 5, green & 0xF8 | green >> 5, blue & 0xF8 | blue >> 5)


def _run(pair: tuple[tuple[int, int, int], tuple[int, int, int]], count: int) -> Segment:
    top, bottom = pair
    return Segment((" " if top == bottom else "▀") * count, _style(top, bottom))


def png_for(
    data: bytes, box: Box, cell_pixels: tuple[int, int], info: PictureInfo, background: tuple[int, int, int]
) -> bytes:
    """A PNG of ours, no larger than the box in pixels."""
    width, height = box.columns * cell_pixels[0], box.rows * cell_pixels[1]
    scale = min(1.0, width / info.width, height / info.height)
    size = (max(1, round(info.width * scale)), max(1, round(info.height * scale)))
    out = io.BytesIO()
    _decoded(data, size, background).save(out, "PNG", compress_level=6)
    return out.getvalue()


def joined(lines: Sequence[Line]) -> str:
    """The text of some rows, for tests."""
    return "\n".join("".join(segment.text for segment in line) for line in lines)
