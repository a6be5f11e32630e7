"""The pager: everything that a cell printed, a screenful at a time, with search."""

from __future__ import annotations

import json

import pytest

from runt.notebook.manifests import BlobRef, ContentRef, ErrorManifest, ResultManifest, StreamManifest, encode
from runt.notebook.notebook_document import CellKey
from runt.notebook.runtime_document import LiveStream, blob_ref_text
from runt.terminal.sgr import PLAIN
from runt.tui.bar_line import BarLine
from runt.tui.pager import text as pager_text
from runt.tui.pager.screen import Pager, PagerBody
from runt.tui.pager.text import OutputReader, PagedText
from tests.tui import grids
from tests.tui.notebooks import DictBlobs
from tests.tui.test_app import Screen, opened


def lines(text: PagedText) -> list[str]:
    return [part.lines[at] for part, at in map(text.place, range(len(text)))]


def stream(text: str, name: str = "stdout") -> StreamManifest:
    return StreamManifest(name=name, text=ContentRef(inline=text))


# -- the text -------------------------------------------------------------------


def test_outputs_follow_each_other_as_in_the_notebook() -> None:
    """Streams stand close; a value and a traceback have a blank line above; tracebacks are complete."""
    traceback = [f"frame {number}" for number in range(30)]
    entries = [
        stream("out\n"),
        stream("err", "stderr"),
        ResultManifest(data={"text/plain": ContentRef(inline="42")}, execution_count=1),
        ErrorManifest("E", "why", ContentRef(inline=json.dumps(traceback))),
    ]
    text = OutputReader(DictBlobs()).read(entries)
    assert lines(text) == ["out", "err", "", "42", "", *traceback]
    assert text.place(1)[0].stderr
    assert not text.live


def test_a_growing_stream_reads_each_sealed_piece_once() -> None:
    """What is added is read; what was read is kept. Pieces need not end with a line."""
    blobs = DictBlobs()
    reader = OutputReader(blobs)
    pieces: list[BlobRef] = []
    for number in range(10):
        pieces.append(blobs.put(f"{number} a\n{number} ".encode()))
        text = reader.read([LiveStream("stdout", tuple(pieces), "tail\n")])
        assert text.live
    assert blobs.reads == 10
    assert lines(text)[:3] == ["0 a", "0 1 a", "1 2 a"]
    assert lines(text)[-1] == "9 tail"
    assert lines(reader.read([LiveStream("stdout", (), "new")])) == ["new"]


def test_a_colour_goes_on_into_the_lines_below() -> None:
    """A line that is painted alone begins with the look that the text before left."""
    text = OutputReader(DictBlobs()).read([stream("\x1b[31mred\nstill\x1b[0m plain\nplain")])
    part, _ = text.place(1)
    assert part.looks[1].fg == 1
    assert part.looks.get(2, PLAIN) == PLAIN


def test_a_table_has_all_its_rows() -> None:
    """The notebook shows the first sixty; here are all of them, before the plain text that pandas cut."""
    rows = "".join(f"<tr><td>{number}</td></tr>" for number in range(500))
    html = f"<table><thead><tr><th>n</th></tr></thead><tbody>{rows}</tbody></table>"
    data = {"text/html": ContentRef(inline=html), "text/plain": ContentRef(inline="0 ... 499")}
    text = OutputReader(DictBlobs()).read([ResultManifest(data=data, execution_count=1)])
    assert [line.strip() for line in lines(text)][-1] == "499"
    assert len(text) >= 501


def test_json_is_laid_out() -> None:
    """A value on one line becomes one line for each of its members."""
    data = {"application/json": ContentRef(inline='{"a": [1, 2]}'), "text/plain": ContentRef(inline="<JSON>")}
    text = OutputReader(DictBlobs()).read([ResultManifest(data=data, execution_count=1)])
    assert lines(text)[1] == '  "a": ['


def test_lost_content_says_so() -> None:
    """A blob that is gone is one line; the other outputs are there."""
    lost = StreamManifest(name="stdout", text=ContentRef(blob="0" * 64, size=10))
    text = OutputReader(DictBlobs()).read([lost, stream("here")])
    assert lines(text) == ["lost output", "here"]


def test_of_what_is_enormous_the_end_is_read(monkeypatch: pytest.MonkeyPatch) -> None:
    """Beyond the limit whole pieces are left out from the start, and it is said."""
    monkeypatch.setattr(pager_text, "MAX_BYTES", 100)
    blobs = DictBlobs()
    pieces = tuple(blobs.put(f"{number:<39}\n".encode()) for number in range(5))
    text = OutputReader(blobs).read([LiveStream("stdout", pieces, "end")])
    assert [line.strip() for line in lines(text)] == ["⋯ 120 bytes before this are left out", "3", "4", "end"]


def test_search_goes_both_ways_and_round() -> None:
    """Small letters find any case, capitals only themselves; colours between letters do not matter."""
    text = OutputReader(DictBlobs()).read([stream("alpha\nBe\x1b[1mta\ngamma\nbeta")])
    assert text.find("beta", 0, 1) == 1
    assert text.find("beta", 2, 1) == 3
    assert text.find("beta", 0, -1) == 3
    assert text.find("Beta", 2, 1) == 1
    assert text.find("delta", 0, 1) is None


# -- the screen -----------------------------------------------------------------


def key(screen: Screen) -> CellKey:
    return screen.session.document.keys()[0]


def body(screen: Screen) -> PagerBody:
    return screen.app.screen.query_one(PagerBody)


def bar(screen: Screen) -> str:
    return screen.app.screen.query_one(BarLine).plain


async def paged(screen: Screen, text: str) -> None:
    screen.session.run(key(screen), text)
    await screen.press("o")
    await screen.until(lambda: isinstance(screen.app.screen, Pager) and len(body(screen).text))
    await screen.press()


def numbers(count: int) -> str:
    return "".join(f"line {number}\n" for number in range(1, count + 1))


async def test_o_opens_and_q_closes() -> None:
    """The whole text from its start; the position is the last line that is seen."""
    async with opened() as screen:
        await paged(screen, numbers(1000))
        rows = grids.screen_lines(screen.app)
        assert rows[0] == " line 1"
        assert rows[28] == " line 29"
        assert "line 29 of 1 000" in bar(screen)
        await screen.press("q")
        assert not isinstance(screen.app.screen, Pager)
        assert screen.sources == ["a = 1", "b = 2", "c = 3"]


@pytest.mark.parametrize(
    ("keys", "first"),
    [
        (["j"], 2),
        (["down", "down", "up"], 2),
        (["space"], 29),
        (["pagedown", "pagedown", "pageup"], 29),
        (["G"], 972),
        (["G", "g"], 1),
        (["end", "k"], 971),
        (["k"], 1),
    ],
)
async def test_keys_move(keys: list[str], first: int) -> None:
    """Lines, pages, ends; never beyond them."""
    async with opened() as screen:
        await paged(screen, numbers(1000))
        await screen.press(*keys)
        assert grids.screen_lines(screen.app)[0] == f" line {first}"


async def test_only_what_is_seen_is_painted() -> None:
    """200 000 lines: opening and going to the end parses a few screens."""
    async with opened() as screen:
        await paged(screen, numbers(200_003))
        await screen.press("G")
        assert grids.screen_lines(screen.app)[28] == " line 200003"
        assert "line 200 003 of 200 003" in bar(screen)
        assert body(screen).lines_painted < 400


async def test_search_shows_and_marks_what_it_finds() -> None:
    """/ types, Enter goes there, n and N go on, round the end; what is not there is said."""
    async with opened() as screen:
        await paged(screen, numbers(1000))
        await screen.press("/", *"99", "enter")
        await screen.until(lambda: "found on line 99" in bar(screen))
        assert any(row == " line 99" for row in grids.screen_lines(screen.app))
        await screen.press("n")
        await screen.until(lambda: "found on line 199" in bar(screen))
        await screen.press("N", "N")
        await screen.until(lambda: "went round" in bar(screen))
        await screen.press("/", *"nowhere", "enter")
        await screen.until(lambda: "nothing found: nowhere" in bar(screen))
        await screen.press("/", "q", "escape", "q")
        assert not isinstance(screen.app.screen, Pager)


async def test_a_stream_is_followed_at_its_end_only() -> None:
    """New lines scroll in while the end is on the screen; after going up nothing moves until G."""
    async with opened() as screen:
        session = screen.session
        session.run(key(screen), "")
        with session.runtime.transaction("daemon"):
            index = session.writer.open_stream(key(screen), "stdout")
            session.writer.edit_tail(key(screen), index, 0, numbers(100))
        await screen.press("o")
        await screen.until(lambda: isinstance(screen.app.screen, Pager) and "follows" in bar(screen))
        assert "line 100 of 100" in bar(screen)

        def grow(count: int) -> None:
            with session.runtime.transaction("daemon"):
                session.writer.edit_tail(key(screen), index, 0, numbers(count))

        grow(150)
        await screen.until(lambda: "line 150 of 150" in bar(screen))
        await screen.press("k", "k")
        grow(200)
        await screen.until(lambda: "line 148 of 200" in bar(screen))
        await screen.press("G")
        grow(250)
        await screen.until(lambda: "line 250 of 250" in bar(screen))


async def test_sealed_pieces_and_finished_blobs_are_read() -> None:
    """The text is the same whether it is in the document, in sealed pieces or in one blob."""
    async with opened() as screen:
        session = screen.session
        session.blobs["b" * 64] = numbers(300).encode()
        session.run(key(screen), "")
        with session.runtime.transaction("daemon"):
            index = session.writer.open_stream(key(screen), "stdout")
            session.writer.seal(key(screen), index, blob_ref_text(BlobRef("b" * 64, 3000)), 0)
        await screen.press("o")
        await screen.until(lambda: isinstance(screen.app.screen, Pager) and "of 300 · follows" in bar(screen))
        whole = StreamManifest(name="stdout", text=ContentRef(blob="b" * 64, size=3000))
        with session.runtime.transaction("daemon"):
            session.writer.finish_stream(key(screen), index, encode(whole))
        await screen.until(lambda: bar(screen).split("   ")[1].strip() == "line 300 of 300")


async def test_nothing_from_the_output_reaches_the_terminal_raw() -> None:
    """Colours are colours; everything else that acts is dropped or shown."""
    async with opened() as screen:
        await paged(screen, "\x1b[31mred\x1b[0m\x1b]0;title\x07 \x1b[2J\u202eabc\x9b31m\ttab\n")
        row = grids.screen_lines(screen.app)[0]
        assert row.startswith(" red ")
        assert not any(ord(char) < 32 or char in "\u202e\x9b" for char in row)
        await screen.press("/", *"red", "enter")
        await screen.until(lambda: "found on line 1" in bar(screen))


async def test_long_lines_go_sideways() -> None:
    """A line that goes on says so at the right edge; arrows move along it."""
    async with opened(size=(40, 12)) as screen:
        await paged(screen, "".join(f"{number:05d}" for number in range(2000)))
        assert grids.screen_lines(screen.app)[0].endswith("›")
        await screen.press("right")
        assert grids.screen_lines(screen.app)[0].startswith(" 0003000040")
        await screen.press("left", "left")
        assert grids.screen_lines(screen.app)[0].startswith(" 0000000001")


async def test_keys_after_q_are_the_notebooks() -> None:
    """What is typed in one burst reaches pager and notebook in its order."""
    async with opened() as screen:
        await paged(screen, numbers(100))
        for pressed in ("j", "q", "j", "j", "o", "k", "d", "d"):
            screen.app.simulate_key(pressed)
        await screen.until(lambda: screen.sources == ["a = 1", "c = 3"])
        assert not isinstance(screen.app.screen, Pager)


async def test_a_cell_without_output_says_so() -> None:
    """Nothing is opened."""
    async with opened() as screen:
        await screen.press("o")
        assert "no output" in screen.status
        assert not isinstance(screen.app.screen, Pager)
