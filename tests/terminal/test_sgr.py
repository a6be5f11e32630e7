"""SGR sequences become values; everything else in the text is dropped or shown."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from runt.terminal.sanitise import BAD
from runt.terminal.sgr import PLAIN, Sgr, Span, ansi_lines, apply_parameters, parse_ansi, transition

colours = st.none() | st.integers(0, 255) | st.tuples(*[st.integers(0, 255)] * 3)
flags = st.booleans()
looks = st.builds(Sgr, colours, colours, flags, flags, flags, flags, flags, flags)


@pytest.mark.parametrize(
    ("parameters", "sgr"),
    [
        ("", PLAIN),
        ("0", PLAIN),
        ("1", Sgr(bold=True)),
        ("2;3;4;7;9", Sgr(dim=True, italic=True, underline=True, reverse=True, strike=True)),
        ("21", Sgr(underline=True)),
        ("4:3", Sgr(underline=True)),
        ("4;4:0", PLAIN),
        ("1;22", PLAIN),
        ("31;42", Sgr(fg=1, bg=2)),
        ("91;102", Sgr(fg=9, bg=10)),
        ("38;5;208", Sgr(fg=208)),
        ("48;2;1;2;3", Sgr(bg=(1, 2, 3))),
        ("38;2;1;2;3;1", Sgr(fg=(1, 2, 3), bold=True)),
        ("38:2::1:2:3", Sgr(fg=(1, 2, 3))),
        ("38:2:1:2:3", Sgr(fg=(1, 2, 3))),
        ("48:5:17", Sgr(bg=17)),
        ("31;39;41;49", PLAIN),
        ("5;8;10;53;73", PLAIN),
        ("38;5;999", PLAIN),
        ("38;2;1;2;300", PLAIN),
        ("38", PLAIN),
        ("38;5", PLAIN),
        ("38;9;1", PLAIN),
        (";;1;", PLAIN),
        (";".join(["1"] * 33), PLAIN),
    ],
)
def test_parameters(parameters: str, sgr: Sgr) -> None:
    """Each parameter means what it means on a terminal; what is out of range or unknown means nothing."""
    assert apply_parameters(PLAIN, parameters) == sgr


@given(looks, looks)
@settings(deadline=None)
def test_transition_leads_from_look_to_look(before: Sgr, after: Sgr) -> None:
    """The sequence between two looks, read again, leads from one to the other."""
    lines, end = parse_ansi(transition(before, after), before)
    assert lines == [[]]
    assert end == after


@pytest.mark.parametrize(
    ("text", "lines"),
    [
        ("", [[]]),
        ("a\nb\n", [["a"], ["b"], []]),
        ("a\r\nb", [["a"], ["b"]]),
        ("a\rb", [["a␍b"]]),
        ("\x1b[2Ja\x1b[Kb\x1b]0;t\x07c\x1b(Bd", [["abcd"]]),
        ("\x1b]8;;http://x\x1b\\link\x1b]8;;\x1b\\", [["link"]]),
        ("\x1b]0;never ends", [["␛]0;never ends"]]),
        ("\x1b", [["␛"]]),
        ("a\tb\t\tc", [["a       b               c"]]),
        ("漢\tb", [["漢      b"]]),
        ("a\x00b\x9bc", [["a␀b<U+009B>c"]]),
        ("\x1b[1mab\x1b[0mcd", [["ab", "cd"]]),
        ("\x1b[1m\x1b[22mab\x1b[mcd", [["abcd"]]),
    ],
)
def test_lines(text: str, lines: list[list[str]]) -> None:
    """Lines end at newlines, tabs go to stops of 8 cells, sequences are dropped and controls shown."""
    assert [[span.text for span in line] for line in ansi_lines(text)] == lines


def test_look_goes_on_over_lines() -> None:
    """A colour holds until it is changed, over the ends of lines and of pieces."""
    red = Sgr(fg=1)
    assert parse_ansi("\x1b[31ma\nb") == ([[Span("a", red)], [Span("b", red)]], red)
    assert parse_ansi("c\x1b[0md", red) == ([[Span("c", red), Span("d", PLAIN)]], PLAIN)


@given(st.text(st.characters(exclude_categories=())), looks)
@settings(deadline=None)
def test_spans_are_safe(text: str, start: Sgr) -> None:
    """No span has anything that acts, a tab, a newline, or nothing in it."""
    lines, _ = parse_ansi(text, start)
    assert lines
    for line in lines:
        for span in line:
            assert span.text
            assert BAD.search(span.text) is None
            assert not set("\t\n") & set(span.text)


@given(st.lists(st.text(st.characters(exclude_characters="\x1b\r")), max_size=4))
@settings(deadline=None)
def test_pieces_at_line_ends_join(pieces: list[str]) -> None:
    """Text that is parsed line by line, each from the look before, gives the same lines as at once."""
    text = "\x1b[31;1m" + "\n\x1b[2m".join(pieces)
    sgr = PLAIN
    found = []
    for line in text.split("\n"):
        lines, sgr = parse_ansi(line, sgr)
        found += lines
    assert (found, sgr) == parse_ansi(text)
