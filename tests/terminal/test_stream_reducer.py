"""The reducer keeps what was printed, folds motion as a terminal does, and does not care about chunks."""

from __future__ import annotations

import io
import json
from itertools import pairwise
from random import Random

import pyte
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from rich.console import Console
from rich.progress import Progress
from tqdm import tqdm

from runt.terminal.sgr import ansi_lines
from runt.terminal.stream_reducer import COLUMN_REACH, ROW_REACH, StreamReducer

PIECES = [
    "a",
    "bc",
    "hello world",
    "é",
    "漢字",
    "e\u0301",
    "\u0301",
    "👩\u200d🚀",
    "█▌ ",
    "\t",
    "\n",
    "\n\n",
    "\r",
    "\r\n",
    "\r\r\n",
    "\b",
    "\x07",
    "\x00",
    "\x9b",
    "\x1b",
    "\x1b[",
    "\x1b[A",
    "\x1b[2A",
    "\x1b[B",
    "\x1b[3C",
    "\x1b[D",
    "\x1b[4D",
    "\x1b[5G",
    "\x1b[G",
    "\x1b[E",
    "\x1b[F",
    "\x1b[K",
    "\x1b[1K",
    "\x1b[2K",
    "\x1b[J",
    "\x1b[1J",
    "\x1b[2J",
    "\x1b[31m",
    "\x1b[1;38;2;1;2;3m",
    "\x1b[0m",
    "\x1b[m",
    "\x1b[?25l",
    "\x1b[H",
    "\x1b(B",
    "\x1b]0;title\x07",
    "\x1b]8;;http://x\x1b\\",
    "\x1b]0;open",
    "\x1bPq\x1b\\",
    "\x1b\\",
]

streams = st.lists(st.sampled_from(PIECES), max_size=40).map("".join)
still_text = st.text(st.characters(exclude_characters="\r\b\x1b")).map(str)


def fed(*chunks: str) -> str:
    reducer = StreamReducer()
    for chunk in chunks:
        reducer.feed(chunk)
    reducer.finish()
    return reducer.tail


def cut(text: str, places: list[int]) -> list[str]:
    edges = [0, *sorted(place % (len(text) + 1) for place in places), len(text)]
    return [text[start:stop] for start, stop in pairwise(edges)]


def shown(text: str) -> list[str]:
    """Lines as they look, without colours and without blanks at their ends."""
    lines = ["".join(span.text for span in line).rstrip() for line in ansi_lines(text)]
    while lines and not lines[-1]:
        lines.pop()
    return lines


def on_a_terminal(text: str, columns: int = 200, rows: int = 60) -> list[str]:
    screen = pyte.Screen(columns, rows)
    screen.set_mode(pyte.modes.LNM)
    pyte.Stream(screen).feed(text)
    lines = [line.rstrip() for line in screen.display]
    while lines and not lines[-1]:
        lines.pop()
    return lines


@given(streams, st.lists(st.integers(0, 10_000), max_size=12))
@settings(max_examples=600, deadline=None)
@example("\r\x1b[31mab\x1b[0mc\n", [3])
@example("ab\r\u0301x", [3])
@example("a\x1b]0;open\x1b\\b", [9])
def test_chunks_do_not_matter(text: str, places: list[int]) -> None:
    """Any cut of a stream into chunks gives the same text."""
    assert fed(*cut(text, places)) == fed(text)


@given(st.lists(streams, max_size=8))
@settings(max_examples=300, deadline=None)
def test_changes_replay_to_the_tail(chunks: list[str]) -> None:
    """Applying each change to the tail before gives the tail after."""
    reducer = StreamReducer()
    tail = ""
    for chunk in chunks:
        change = reducer.feed(chunk)
        assert 0 <= change.keep <= len(tail)
        tail = tail[: change.keep] + change.new
        assert tail == reducer.tail
        assert len(reducer) == len(tail)


@given(st.lists(still_text, max_size=5), st.booleans())
def test_text_without_motion_is_kept_byte_for_byte(chunks: list[str], windows: bool) -> None:
    """Tabs, trailing spaces, control characters: nothing is lost. CR LF is a newline."""
    text = "".join(chunks)
    if windows:
        chunks = [chunk.replace("\n", "\r\n") for chunk in chunks]
    assert fed(*chunks) == text


@given(
    st.lists(
        st.sampled_from(
            [p for p in PIECES if p.startswith("\x1b") and p[-1] not in "ABCDEFGJK" and len(p) > 2]
        )
        | still_text,
        max_size=20,
    )
)
@example(["\x1b[31m", "x\n", "\x1b]0;title\x07", "\x1b[?25l", "y"])
def test_escapes_without_motion_are_kept(pieces: list[str]) -> None:
    """Colours, titles, links and modes stay in the text as they came."""
    text = "".join(pieces)
    if "\x1b]0;open" not in text:
        assert fed(text) == text


@given(st.lists(streams, min_size=1, max_size=6))
@settings(max_examples=300, deadline=None)
@example(["\x1b[31m\x1b[5G\u0301", "\na"])
def test_state_survives_a_restart(chunks: list[str]) -> None:
    """A reducer that is written out as JSON after each chunk goes on as if nothing had happened."""
    straight = StreamReducer()
    restarted = StreamReducer()
    for chunk in chunks:
        straight.feed(chunk)
        restarted.feed(chunk)
        restarted = StreamReducer(restarted.tail, json.loads(json.dumps(restarted.state())))
        assert restarted.tail == straight.tail
        assert restarted.state() == straight.state()


@given(st.lists(streams, min_size=1, max_size=6), st.lists(st.integers(0, 60), min_size=1, max_size=6))
@settings(max_examples=300, deadline=None)
def test_dropped_text_is_out_of_reach(chunks: list[str], drops: list[int]) -> None:
    """After a drop the tail is the rest, and changes replay on it; the state can still be written out."""
    reducer = StreamReducer()
    tail = ""
    for chunk, dropped in zip(chunks, drops, strict=False):
        change = reducer.feed(chunk)
        tail = (tail[: change.keep] + change.new)[dropped:]
        reducer.drop(dropped)
        assert reducer.tail == tail
        assert len(reducer) == len(tail)
        again = StreamReducer(tail, json.loads(json.dumps(reducer.state())))
        assert again.feed(chunk) == StreamReducer(tail, reducer.state()).feed(chunk)


@pytest.mark.parametrize(
    ("stream", "text"),
    [
        ("10%\r20%", "20%"),
        ("long line\rshort", "shortline"),
        ("a\r\nb\r\n", "a\nb\n"),
        ("abc\r\n", "abc\n"),
        ("abc\rX\n", "Xbc\n"),
        ("abc\b\bX", "aXc"),
        ("ab\b \b", "a "),
        ("one\ntwo\x1b[A\rONE", "ONE\ntwo"),
        ("one\ntwo\n\x1b[2A\x1b[2KONE\n", "ONE\ntwo\n"),
        ("one\ntwo\n\x1b[2A\x1b[J", ""),
        ("one\ntwo\n\x1b[1A\x1b[J", "one\n"),
        ("abc\x1b[1K", "   "),
        ("abcdef\x1b[3D\x1b[K", "abc"),
        ("abc\x1b[2G\x1b[1K", "  c"),
        ("abc\x1b[10Gx", "abc      x"),
        ("a\x1b[3Cb", "a   b"),
        ("a\tb\r\tc", "a\tc"),
        ("漢字\rx", "x 字"),
        ("a漢\x1b[2Gx", "ax "),
        ("a漢\x1b[3Gx", "a x"),
        ("\x1b[31mred\x1b[0m plain\rR", "\x1b[0mR\x1b[31med\x1b[0m plain"),
        ("abc\x1b[2J", ""),
        ("one\ntwo\x1b[2Jx", "x"),
        ("a\nb\n\x1b[99Ax", "x\nb\n"),
        ("ab\x1b[99D\x1b[Cx", "ax"),
        ("a\x1b[Bb", "ab"),
        ("x\x1b[2;5Ay", "xy"),
    ],
)
def test_motion(stream: str, text: str) -> None:
    """Each motion does on the tail what it does on a terminal."""
    if stream.startswith("\x1b[31m"):
        text = "R\x1b[31med\x1b[0m plain"
    assert fed(stream) == text


def test_colours_below_an_edited_line_stay() -> None:
    """A line that is overwritten keeps the look that the line below begins with."""
    text = fed("\x1b[31mred\nalso red\x1b[0m\n\x1b[2A\x1b[0mplain\n")
    assert [[(span.text, span.sgr.fg) for span in line] for line in ansi_lines(text)] == [
        [("plain", None)],
        [("also red", 1)],
        [],
    ]


def test_colour_changed_while_the_cursor_was_inside() -> None:
    """Text that is appended after a coloured overwrite has the colour that was set last."""
    text = fed("abc\r\x1b[32mX\x1b[0m\ndef")
    assert [[(span.text, span.sgr.fg) for span in line] for line in ansi_lines(text)] == [
        [("X", 2), ("bc", None)],
        [("def", None)],
    ]


def tqdm_stream() -> str:
    out = io.StringIO()
    for _ in tqdm(range(300), file=out, mininterval=0, ascii=False, desc="épreuve", ncols=80):
        pass
    print("done", file=out)
    with tqdm(total=7, file=out, mininterval=0, ascii=True, leave=False, ncols=60) as bar:
        for _ in range(7):
            bar.update()
    outer = tqdm(total=3, file=out, mininterval=0, position=0, ncols=70)
    inner = tqdm(total=20, file=out, mininterval=0, position=1, ncols=70)
    for _ in range(3):
        outer.update()
        for _ in range(5):
            inner.update()
    inner.close()
    outer.close()
    return out.getvalue()


def rich_stream() -> str:
    out = io.StringIO()
    console = Console(
        file=out,
        force_terminal=True,
        force_interactive=True,
        color_system="truecolor",
        width=80,
        legacy_windows=False,
    )
    console.print("[bold red]before[/] the bars")
    with Progress(console=console, auto_refresh=False) as progress:
        one = progress.add_task("one", total=100)
        two = progress.add_task("two ═ 漢", total=100)
        for step in range(100):
            progress.advance(one)
            progress.advance(two, 0.5)
            if step == 50:
                progress.console.print("half way")
            progress.refresh()
    console.print("after")
    return out.getvalue()


@pytest.mark.parametrize("make", [tqdm_stream, rich_stream])
def test_progress_bars_look_as_on_a_terminal(make: object) -> None:
    """tqdm (nested too) and rich.progress end as a terminal emulator shows them, in few lines."""
    stream = make()  # type: ignore[operator]
    text = fed(stream)
    assert shown(text) == on_a_terminal(stream)
    assert len(text) < len(stream) / 10


@given(
    st.lists(
        st.sampled_from(
            [p for p in PIECES if p.isascii() and p.isprintable()]
            + ["é", "\n", "\r", "\b", "\x1b[A", "\x1b[2A", "\x1b[B", "\x1b[D", "\x1b[2C", "\x1b[5G"]
            + ["\x1b[K", "\x1b[1K", "\x1b[2K", "\x1b[J", "\x1b[31m", "\x1b[0m"]
        ),
        max_size=40,
    )
)
@settings(max_examples=500, deadline=None)
def test_folding_agrees_with_a_terminal(pieces: list[str]) -> None:
    """For text on a screen that is large enough, the folded text looks like the screen.

    One difference is wanted: a terminal has empty lines below the text, to which CUD can go.
    """
    stream = "".join(pieces)
    rows = lowest = 0
    for piece in pieces:
        rows += piece == "\n"
        rows -= {"\x1b[A": 1, "\x1b[2A": 2}.get(piece, 0)
        rows = max(rows, 0)
        if piece == "\x1b[B":
            if rows == lowest:
                return
            rows += 1
        if piece == "\x1b[J":
            lowest = rows
        lowest = max(lowest, rows)
    assert shown(fed(stream)) == on_a_terminal(stream)


def test_small_appends_do_not_touch_the_tail() -> None:
    """A flood of small chunks makes changes of the size of the chunks, however long the tail is."""
    reducer = StreamReducer("x" * 65536 + "\n")
    sent = 0
    for number in range(5000):
        change = reducer.feed(f"{number}\n")
        assert change.keep == 65537 + sent
        sent += len(change.new)
    change = reducer.feed("\x1b[1mbold\x1b[0m")
    assert change.new == "\x1b[1mbold\x1b[0m"


def test_progress_below_a_long_tail_changes_one_line() -> None:
    """A bar that is redrawn below much text sends what changed in its own line and nothing else."""
    reducer = StreamReducer("line\n" * 10_000)
    reducer.feed("Epoch   0%")
    for percent in range(1, 10):
        assert reducer.feed(f"\rEpoch {percent:3}%") == (50_008, f"{percent}%")
        assert reducer.feed("\rEpoch") == (50_010, "")
        assert reducer.feed(f"\x1b[K \x1b[32m{percent:3}%\x1b[0m") == (
            50_005,
            f" \x1b[32m{percent:3}%\x1b[0m",
        )
        assert reducer.feed(f"\x1b[2K\rEpoch {percent:3}%") == (50_000, f"Epoch {percent:3}%")


def test_a_spinner_at_the_end_of_a_long_line_changes_one_character() -> None:
    """What a backspace leaves alone is not sent again."""
    reducer = StreamReducer("x" * 60_000)
    assert reducer.feed("\b/") == (59_999, "/")
    assert reducer.feed("\b") == (60_000, "")
    assert reducer.feed("-") == (59_999, "-")


def test_reach_is_bounded() -> None:
    """A few bytes can neither address millions of lines nor make millions of spaces."""
    reducer = StreamReducer("line\n" * 10_000)
    change = reducer.feed("\x1b[999999Ax")
    assert change.keep == 5 * (10_000 - ROW_REACH)
    assert len(fed("\x1b[999999Cx")) == COLUMN_REACH + 1
    assert len(fed("\x1b[999999Gx")) == COLUMN_REACH + 1
    assert len(fed("\r" + "\t" * 10_000 + "x")) == 10_001
    assert len(fed("ab\r" + "\t" * 10_000 + "x")) == COLUMN_REACH + 1


def test_endless_escape_is_not_held() -> None:
    """A sequence that never ends becomes text again, and what is held between chunks is bounded."""
    reducer = StreamReducer()
    body = "x" * 1000
    reducer.feed("\x1b]52;c;")
    for _ in range(100):
        reducer.feed(body)
    assert reducer.tail == "\x1b]52;c;" + body * 100
    assert reducer.state()["held"] == ""


def test_escape_at_the_end_of_a_stream_becomes_text() -> None:
    """What was held back for its other half is in the text when the stream ends."""
    reducer = StreamReducer()
    assert reducer.feed("text\x1b[3").new == "text"
    assert reducer.finish() == (4, "\x1b[3")
    assert reducer.tail == "text\x1b[3"


def test_random_bytes_do_not_break_it() -> None:
    """Binary garbage printed to stdout is folded without an error, and replays."""
    random = Random(3)
    reducer = StreamReducer()
    tail = ""
    for _ in range(300):
        change = reducer.feed(bytes(random.randrange(256) for _ in range(200)).decode("latin-1"))
        tail = tail[: change.keep] + change.new
    assert tail == reducer.tail
