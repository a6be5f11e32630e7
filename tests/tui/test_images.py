"""Pictures: sizes, half blocks, the kitty protocol, caps, and finding out what the terminal can show."""

from __future__ import annotations

import base64
import io
import os
import pty
import re
import struct
import threading
import zlib

import pytest
from PIL import Image
from rich.cells import cell_len

from runt.tui.images import kitty
from runt.tui.images.detection import QUERY, ImageSupport, ask_descriptor, detect_images
from runt.tui.images.modes import ImageMode
from runt.tui.images.pictures import PictureStore
from runt.tui.images.pixels import (
    MAX_ROWS,
    Box,
    PictureInfo,
    UnreadablePicture,
    box_for,
    half_blocks,
    picture_info,
)
from runt.tui.outputs.block import plain
from runt.tui.outputs.rendering import OutputContext, render_output
from tests.tui.grids import ViewApp, screen_lines, settled
from tests.tui.notebooks import MemoryNotebook


def picture(
    width: int = 40, height: int = 40, color: object = (200, 40, 40), format: str = "PNG", mode: str = "RGB"
) -> bytes:
    """A picture of one colour."""
    out = io.BytesIO()
    Image.new(mode, (width, height), color).save(out, format)  # type: ignore[arg-type]
    return out.getvalue()


def huge_header(side: int = 50_000) -> bytes:
    """A PNG whose header says that it has ``side`` × ``side`` pixels."""
    chunks = [
        (b"IHDR", struct.pack(">IIBBBBB", side, side, 8, 2, 0, 0, 0)),
        (b"IDAT", zlib.compress(b"")),
        (b"IEND", b""),
    ]
    parts = [
        struct.pack(">I", len(body)) + name + body + struct.pack(">I", zlib.crc32(name + body))
        for name, body in chunks
    ]
    return b"\x89PNG\r\n\x1a\n" + b"".join(parts)


@pytest.mark.parametrize(
    ("size", "available", "expected"),
    [
        ((640, 480), 100, Box(64, 24)),
        ((640, 480), 32, Box(32, 12)),
        ((10, 20), 100, Box(1, 1)),
        ((1, 1), 100, Box(1, 1)),
        ((400, 4000), 100, Box(6, MAX_ROWS)),
        ((4000, 10), 80, Box(80, 1)),
    ],
)
def test_a_picture_fits_and_keeps_its_proportions(
    size: tuple[int, int], available: int, expected: Box
) -> None:
    """Never larger than itself, than the place, than a screen."""
    assert box_for(PictureInfo(*size, "PNG"), available, (10, 20)) == expected


def test_half_blocks_have_the_colours_of_the_pixels() -> None:
    """A red picture is red cells, in one run per row."""
    lines = half_blocks(picture(), Box(10, 3), (0, 0, 0))
    assert len(lines) == 3
    for line in lines:
        assert len(line) == 1
        assert line[0].text == " " * 10
        style = line[0].style
        assert style is not None
        assert style.bgcolor is not None
        assert style.bgcolor.triplet is not None
        red, green, blue = style.bgcolor.triplet
        assert abs(red - 200) < 9
        assert abs(green - 40) < 9
        assert abs(blue - 40) < 9


def test_dark_drawings_without_background_get_paper() -> None:
    """Black axes on nothing would be invisible in a dark theme."""
    data = picture(mode="RGBA", color=(0, 0, 0, 128))
    style = half_blocks(data, Box(4, 2), (18, 18, 18))[0][0].style
    assert style is not None
    assert style.bgcolor is not None
    assert style.bgcolor.triplet is not None
    assert min(style.bgcolor.triplet) > 100


@pytest.mark.parametrize("data", [b"", b"nonsense", picture()[:60], huge_header()])
def test_bad_pictures_are_refused(data: bytes) -> None:
    """Damaged or too large: an error of ours, and nothing huge is decoded."""
    with pytest.raises(UnreadablePicture):
        half_blocks(data, Box(4, 2), (0, 0, 0)) if picture_info(data) else None


@pytest.mark.parametrize("side", [5_000, 12_000, 50_000])
def test_a_bad_picture_is_one_line(side: int) -> None:
    """The cell says what is wrong."""
    notebook = MemoryNotebook()
    context = OutputContext(60, notebook.blobs, pictures=PictureStore(ImageMode.HALF))
    block = render_output(notebook.display({"image/png": huge_header(side)}), context)
    assert plain(block.lines) == ["[image/png: too many pixels to show]"]


def test_without_pictures_one_line_says_what_it_is() -> None:
    """Mode off."""
    notebook = MemoryNotebook()
    context = OutputContext(60, notebook.blobs, pictures=PictureStore(ImageMode.OFF))
    data = picture()
    block = render_output(notebook.display({"image/png": data, "text/plain": "<Figure>"}), context)
    assert plain(block.lines) == [f"[image/png, {len(data)} bytes]"]


def test_kitty_bytes_hold_the_picture() -> None:
    """The chunks joined are the PNG; every sequence asks for silence and says whether more follows."""
    png = picture(300, 300, format="PNG") + bytes(9000)
    sent = kitty.transmission(png, 65793, Box(30, 15)).decode()
    commands = re.findall("\x1b_G([^;]*);([^\x1b]*)\x1b\\\\", sent)
    assert "".join(f"\x1b_G{keys};{data}\x1b\\" for keys, data in commands) == sent
    assert base64.b64decode("".join(data for _, data in commands)) == png
    assert all("q=2" in keys and len(data) <= kitty.CHUNK_BYTES for keys, data in commands)
    assert [keys.rpartition("m=")[2][0] for keys, _ in commands] == ["1"] * (len(commands) - 1) + ["0"]
    assert {"a=T", "U=1", "f=100", "i=65793", "c=30", "r=15"} <= set(commands[0][0].split(","))


def test_kitty_placeholders() -> None:
    """One cell each, the row's mark on the first, the number as colour."""
    lines = kitty.placeholders(0x010203, Box(5, 3))
    assert len(lines) == 3
    for row, line in enumerate(lines):
        text = line[0].text
        assert cell_len(text) == 5
        assert text.count(kitty.PLACEHOLDER) == 5
        assert text[1] == kitty.ROW_MARKS[row]
        style = line[0].style
        assert style is not None
        assert style.color is not None
        assert style.color.triplet == (1, 2, 3)


async def test_a_picture_is_decoded_beside_the_screen() -> None:
    """First its rows are held free, then it is painted, without a change of height."""
    notebook = MemoryNotebook()
    key = notebook.add("plot()")
    notebook.ran(key, 1, notebook.display({"image/png": picture(140, 140)}))
    notebook.add("after = 1")
    app = ViewApp(notebook)
    async with app.run_test(size=(80, 30)) as pilot:
        while not app.view.lines_painted:
            await pilot.pause()
        after = next(y for y, line in enumerate(screen_lines(app)) if "after" in line)
        await settled(pilot)
        assert next(y for y, line in enumerate(screen_lines(app)) if "after" in line) == after
        strip = app.view.render_line(4)
        colours = {
            s.style.bgcolor.triplet for s in strip if s.style and s.style.bgcolor and s.style.bgcolor.triplet
        }
        assert any(colour[0] > 150 and colour[1] < 60 for colour in colours)


async def test_kitty_pictures_are_sent_once() -> None:
    """Scrolling and repainting send nothing; a smaller screen sends a smaller picture; leaving frees them."""
    notebook = MemoryNotebook()
    key = notebook.add("plot()")
    notebook.ran(key, 1, notebook.display({"image/png": picture(640, 480)}))
    notebook.add_many(["x = 1"] * 40)
    app = ViewApp(notebook, ImageMode.KITTY)
    async with app.run_test(size=(100, 30)) as pilot:
        await settled(pilot)
        assert len(app.sent) == 1
        assert kitty.PLACEHOLDER in "".join(screen_lines(app))
        app.view.scroll_relative(y=10, animate=False)
        await settled(pilot)
        app.view.scroll_home(animate=False)
        app.theme = "nord"
        await settled(pilot)
        app.theme = "textual-dark"
        await settled(pilot)
        first = len(app.sent)
        app.view.scroll_relative(y=3, animate=False)
        await settled(pilot)
        assert len(app.sent) == first
        await pilot.resize_terminal(40, 30)
        await settled(pilot)
        assert len(app.sent) == first + 1
    assert any(b"a=d,d=I" in sent for sent in app.sent)


def test_kitty_without_a_way_to_send_is_half_blocks() -> None:
    """No callback, no kitty."""
    assert PictureStore(ImageMode.KITTY).mode is ImageMode.HALF


KITTY_ANSWER = b"\x1bP>|kitty(0.32.2)\x1b\\\x1b_Gi=31;OK\x1b\\\x1b[6;22;11t\x1b[?62;c"
WEZTERM_ANSWER = b"\x1bP>|WezTerm 2024\x1b\\\x1b_Gi=31;OK\x1b\\\x1b[6;20;9t\x1b[?65;4c"
XTERM = {"TERM": "xterm-256color"}


@pytest.mark.parametrize(
    ("environ", "setting", "answer", "mode", "pixels"),
    [
        (XTERM, "auto", KITTY_ANSWER, ImageMode.KITTY, (11, 22)),
        ({"TERM": "xterm-ghostty"}, "auto", b"\x1b_Gi=31;OK\x1b\\\x1b[?62c", ImageMode.KITTY, (10, 20)),
        (XTERM, "auto", WEZTERM_ANSWER, ImageMode.HALF, (9, 20)),
        (XTERM, "auto", b"\x1b[?62;c", ImageMode.HALF, (10, 20)),
        (XTERM, "auto", b"", ImageMode.HALF, (10, 20)),
        (
            XTERM,
            "auto",
            b"\x1bP>|kitty(0.1)\x1b\\\x1b_Gi=31;ENOTSUPPORTED\x1b\\\x1b[?62c",
            ImageMode.HALF,
            (10, 20),
        ),
        (XTERM, "auto", b"\x1b[6;0;0t\x1b[?62c", ImageMode.HALF, (10, 20)),
    ],
)
def test_detection_by_asking(
    environ: dict[str, str], setting: str, answer: bytes, mode: ImageMode, pixels: tuple[int, int]
) -> None:
    """kitty only when the terminal says OK and is known to have placeholders; else half blocks."""
    found = detect_images(environ, setting, ask=lambda timeout: answer)
    assert (found.mode, found.cell_pixels) == (mode, pixels)


@pytest.mark.parametrize(
    ("environ", "setting", "mode"),
    [
        ({**XTERM, "TMUX": "/tmp/x"}, "auto", ImageMode.HALF),
        ({"TERM": "tmux-256color"}, "auto", ImageMode.HALF),
        ({"TERM": "dumb"}, "auto", ImageMode.OFF),
        ({**XTERM, "NO_COLOR": "1"}, "auto", ImageMode.OFF),
        ({**XTERM, "RUNT_IMAGES": "kitty"}, "off", ImageMode.KITTY),
        ({**XTERM, "RUNT_IMAGES": "nonsense"}, "off", ImageMode.OFF),
        ({**XTERM, "TERM_PROGRAM": "Apple_Terminal"}, "auto", ImageMode.HALF),
    ],
)
def test_detection_without_asking(environ: dict[str, str], setting: str, mode: ImageMode) -> None:
    """The user's word and the environment decide; the terminal is not asked."""

    def never(timeout: float) -> bytes:
        raise AssertionError("the terminal was asked")

    assert detect_images(environ, setting, ask=never).mode is mode


def test_the_round_trip_on_a_terminal() -> None:
    """The query goes out, the answer is read to its end, nothing is left to be typed, modes are restored."""
    import termios

    main, terminal = pty.openpty()
    before = termios.tcgetattr(terminal)

    def answer() -> None:
        seen = b""
        while len(seen) < len(QUERY):
            seen += os.read(main, 100)
        assert seen == QUERY
        os.write(main, KITTY_ANSWER[:10])
        os.write(main, KITTY_ANSWER[10:])

    thread = threading.Thread(target=answer)
    thread.start()
    try:
        assert ask_descriptor(terminal, 10.0) == KITTY_ANSWER
        thread.join()
        assert termios.tcgetattr(terminal) == before
        os.set_blocking(terminal, False)
        with pytest.raises(BlockingIOError):
            os.read(terminal, 10)
    finally:
        os.close(main)
        os.close(terminal)


def test_a_silent_terminal_is_not_waited_for_long() -> None:
    """No answer within the time: empty, and half blocks."""
    main, terminal = pty.openpty()
    try:
        assert ask_descriptor(terminal, 0.01) == b""
    finally:
        os.close(main)
        os.close(terminal)
    assert detect_images(XTERM, ask=lambda timeout: b"") == ImageSupport(
        ImageMode.HALF, (10, 20), "no answer"
    )
