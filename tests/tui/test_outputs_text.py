"""Streams, plain text, values: rows, limits, costs, safety."""

from __future__ import annotations

import json

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from rich.cells import cell_len

from runt.notebook.manifests import ContentRef, ErrorManifest, StreamManifest, UnknownManifest
from runt.notebook.runtime_document import LiveStream, ManifestHash
from runt.terminal.sanitise import BAD
from runt.tui.outputs.block import Block, fold, plain
from runt.tui.outputs.rendering import OutputContext, render_output
from runt.tui.outputs.streams import STDERR_EDGE
from runt.tui.outputs.text_lines import HEAD_ROWS, TAIL_ROWS, grouped, size_words
from tests.tui.notebooks import DictBlobs, MemoryNotebook


def context(width: int = 60, blobs: DictBlobs | None = None, **fields: object) -> OutputContext:
    """A place to draw without pictures."""
    return OutputContext(width=width, blobs=blobs or DictBlobs(), **fields)  # type: ignore[arg-type]


def stream(text: str, width: int = 60, name: str = "stdout") -> Block:
    """A finished stream, drawn."""
    return render_output(StreamManifest(name=name, text=ContentRef(inline=text)), context(width))


def numbered(count: int) -> str:
    """``line 0`` and so on."""
    return "".join(f"line {i}\n" for i in range(count))


def test_a_short_stream_is_shown_whole() -> None:
    """No final empty row, no gap, colours kept."""
    block = stream("one\n\x1b[31mtwo\x1b[0m three\n")
    assert plain(block.lines) == ["one", "two three"]
    assert not block.gap
    assert not block.hidden
    assert block.lines[1][0].style is not None
    assert block.lines[1][0].style.color is not None


def test_stderr_has_an_edge() -> None:
    """Told apart without colour, and without moving the text."""
    assert stream("x\n", name="stderr").edge == STDERR_EDGE
    assert stream("x\n").edge == ""


@pytest.mark.parametrize("count", [60, 61, 10_000])
def test_a_long_stream_shows_both_ends(count: int) -> None:
    """Sixty rows and how many lines are between them."""
    block = stream(numbered(count))
    lines = plain(block.lines)
    if count == 60:
        assert lines == numbered(60).split("\n")[:-1]
        assert not block.hidden
        return
    hidden = count - HEAD_ROWS - TAIL_ROWS
    assert lines[:HEAD_ROWS] == [f"line {i}" for i in range(HEAD_ROWS)]
    assert lines[-TAIL_ROWS:] == [f"line {i}" for i in range(count - TAIL_ROWS, count)]
    assert lines[HEAD_ROWS] == f"⋯ {grouped(hidden)} more line{'s' if hidden > 1 else ''} — o to view"
    assert block.hidden == hidden


def test_one_endless_line_is_cut() -> None:
    """A line of a megabyte costs as many rows as any long output."""
    block = stream("x" * 1_000_000, width=50)
    assert len(block.lines) == HEAD_ROWS + TAIL_ROWS + 1
    assert block.hidden


@settings(max_examples=80, deadline=None)
@given(
    st.text(alphabet=st.sampled_from("ab \n\t\x1b[31m;漢é😀\r\x07\u202e\x9b" + "x\n" * 4), max_size=600),
    st.integers(min_value=4, max_value=40),
)
def test_no_row_is_too_wide_and_nothing_acts(text: str, width: int) -> None:
    """Whatever a program prints: rows fit, no control character comes out, at most sixty-one rows."""
    block = stream(text, width)
    assert len(block.lines) <= HEAD_ROWS + TAIL_ROWS + 1
    for line in plain(block.lines):
        assert cell_len(line) <= max(width, 2)
        assert not BAD.search(line)


@settings(max_examples=60, deadline=None)
@given(st.text(alphabet="ab漢é😀 ", max_size=60), st.integers(min_value=2, max_value=20))
def test_folding_loses_nothing(text: str, width: int) -> None:
    """The rows of a folded line, joined, are the line."""
    from rich.segment import Segment

    half = len(text) // 2
    rows = fold([Segment(text[:half]), Segment(text[half:])], width)
    assert "".join(segment.text for row in rows for segment in row) == text
    assert all(cell_len("".join(segment.text for segment in row)) <= width for row in rows)


def test_a_blob_is_read_for_both_ends() -> None:
    """The text of a large stream is in a blob."""
    notebook = MemoryNotebook()
    manifest = notebook.stream(numbered(5000))
    assert manifest.text.blob is not None
    lines = plain(render_output(manifest, context(blobs=notebook.blobs)).lines)
    assert lines[0] == "line 0"
    assert lines[-1] == "line 4999"
    assert grouped(5000 - 60) in lines[HEAD_ROWS]


class RangedBlobs(DictBlobs):
    """Blobs that can be read in pieces, and must be."""

    def get(self, hash_: str, /) -> bytes:
        """Not for this one."""
        raise AssertionError("a huge blob was read whole")

    def read_range(self, hash_: str, start: int, stop: int) -> bytes:
        """A piece."""
        return self.content[hash_][start:stop]


def test_a_huge_stream_is_read_at_both_ends_only() -> None:
    """Beyond the limit the size of the middle is told, not its lines."""
    blobs = RangedBlobs()
    ref = blobs.put(numbered(900_000).encode())
    manifest = StreamManifest(name="stdout", text=ContentRef(blob=ref.hash, size=ref.size))
    lines = plain(render_output(manifest, context(blobs=blobs)).lines)
    assert lines[0] == "line 0"
    assert lines[-1] == "line 899999"
    assert "MB more — o to view" in lines[HEAD_ROWS]


def test_lost_content_is_said() -> None:
    """A missing blob draws as lost output and never raises, in every kind of output."""
    lost = ContentRef(blob="0" * 64, size=9)
    notebook = MemoryNotebook()
    for entry in (
        StreamManifest(name="stdout", text=lost),
        notebook.display({}).__class__(data={"text/html": lost}),
        notebook.display({}).__class__(data={"text/plain": lost}),
        ManifestHash("0" * 64),
    ):
        assert plain(render_output(entry, context()).lines) == ["lost output"]
    error = render_output(ErrorManifest(ename="E", evalue="v", traceback=lost), context())
    assert plain(error.lines) == ["E: v"]


def test_a_live_stream_grows_at_its_end() -> None:
    """Sealed pieces and tail are one text."""
    blobs = DictBlobs()
    pieces = tuple(blobs.put(numbered(10).encode()) for _ in range(2))
    lines = plain(render_output(LiveStream("stdout", pieces, "tail"), context(blobs=blobs)).lines)
    assert lines == [*numbered(10).split("\n")[:-1], *numbered(10).split("\n")[:-1], "tail"]


def test_a_growing_live_stream_reads_each_piece_once() -> None:
    """A tick of a stream with many sealed pieces reads no blob again: its cost is the cost of its end."""
    blobs = DictBlobs()
    text = numbered(8000)
    pieces = tuple(blobs.put((f"piece {i}\n" + text).encode()) for i in range(12))
    place = context(blobs=blobs)
    first = render_output(LiveStream("stdout", pieces, "a\n"), place)
    assert blobs.reads == len(pieces)
    second = render_output(LiveStream("stdout", pieces, "a\nb\n"), place)
    assert blobs.reads == len(pieces)
    assert plain(first.lines)[-1] == "a"
    assert plain(second.lines)[-2:] == ["a", "b"]
    assert second.hidden == first.hidden + 1 == 12 * 8001 + 2 - HEAD_ROWS - TAIL_ROWS
    assert len(second.lines) == HEAD_ROWS + TAIL_ROWS + 1


def test_plain_results_and_unknown_types() -> None:
    """text/plain is text; what cannot be drawn says what it is and how large."""
    notebook = MemoryNotebook()
    assert plain(render_output(notebook.result({"text/plain": "42"}), context()).lines) == ["42"]
    other = notebook.display({"application/x-thing\x1b": "{}" * 600})
    assert plain(render_output(other, context()).lines) == ["[application/x-thing␛, 1.2 kB]"]
    unknown = UnknownManifest(output=ContentRef(inline="{}"))
    assert plain(render_output(unknown, context()).lines) == ["unknown output"]


def test_html_without_a_table_falls_back() -> None:
    """text/plain when there is one, else the words of the HTML."""
    notebook = MemoryNotebook()
    both = notebook.display({"text/html": "<b>bold</b>", "text/plain": "plain"})
    assert plain(render_output(both, context()).lines) == ["plain"]
    html = notebook.display({"text/html": "<style>x</style><p>one</p><p>two <i>soft</i></p>"})
    assert "one" in plain(render_output(html, context()).lines)


def test_json_is_laid_out() -> None:
    """Short containers stand on one line."""
    notebook = MemoryNotebook()
    value = {"name": "runt", "list": [1, 2, 3], "deep": {"a": {"b": "x" * 60}}}
    block = render_output(notebook.display({"application/json": json.dumps(value)}), context(80))
    assert plain(block.lines) == [
        "{",
        '  "name": "runt",',
        '  "list": [1, 2, 3],',
        '  "deep": {',
        '    "a": {',
        f'      "b": "{"x" * 60}"',
        "    }",
        "  }",
        "}",
    ]


@settings(max_examples=50, deadline=None)
@given(
    st.recursive(
        st.none() | st.booleans() | st.integers(-9, 9) | st.text(alphabet="ab\u202e", max_size=9),
        lambda inner: (
            st.lists(inner, max_size=5) | st.dictionaries(st.text("xy", max_size=3), inner, max_size=5)
        ),
        max_leaves=30,
    )
)
def test_json_stays_the_same_value(value: object) -> None:
    """Laid out without folding, it is still that JSON."""
    from runt.tui.outputs.values import _layout

    assert json.loads("\n".join(_layout(value, None, 80, "", ""))) == value


def test_long_json_is_folded() -> None:
    """Below the second level only counts are shown, until it is unfolded."""
    notebook = MemoryNotebook()
    value = {f"key{i}": {"v": list(range(100, 140))} for i in range(10)}
    manifest = notebook.display({"application/json": json.dumps(value)})
    folded = render_output(manifest, context(80))
    assert folded.toggle == 0
    assert plain(folded.lines)[0].startswith("▸ object, 10 keys")
    assert '  "key0": {"v": [… 40]},' in plain(folded.lines)
    unfolded = render_output(manifest, context(80, expanded=True))
    assert plain(unfolded.lines)[0].startswith("▾")
    assert any("139" in line for line in plain(unfolded.lines))


def test_latex() -> None:
    """The kernel's drawing when it has several lines, else the source without dollars."""
    notebook = MemoryNotebook()
    drawn = notebook.display({"text/latex": "$\\displaystyle x^2$", "text/plain": " 2\nx "})
    assert plain(render_output(drawn, context()).lines) == [" 2", "x"]
    source = notebook.display({"text/latex": "$\\displaystyle x^2$", "text/plain": "x**2"})
    assert plain(render_output(source, context()).lines) == ["x^2"]


@pytest.mark.parametrize(
    ("size", "words"),
    [
        (0, "0 bytes"),
        (999, "999 bytes"),
        (1200, "1.2 kB"),
        (99_600, "100 kB"),
        (3_400_000, "3.4 MB"),
        (2_000_000_000, "2.0 GB"),
    ],
)
def test_sizes(size: int, words: str) -> None:
    """Sizes for people."""
    assert size_words(size) == words


def test_deeply_nested_json_is_text() -> None:
    """What is nested too deep to lay out is shown as it came."""
    notebook = MemoryNotebook()
    text = "[" * 30_000 + "]" * 30_000
    block = render_output(notebook.display({"application/json": text}), context(80, notebook.blobs))
    assert plain(block.lines)[0] == "[" * 80
