"""Nothing from outside acts on the terminal: every known attack comes out as something to read."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from runt.terminal.sanitise import BAD, display_text
from runt.terminal.sgr import parse_ansi

ATTACKS = {
    **{f"C0 {code:02x}": f"a{chr(code)}b" for code in range(0x20)},
    **{f"C1 {code:02x}": f"a{chr(code)}b" for code in range(0x80, 0xA0)},
    "DEL": "a\x7fb",
    "BEL": "a\x07\x07b",
    "title": "\x1b]0;owned\x07",
    "title with ST": "\x1b]2;owned\x1b\\",
    "hyperlink": "\x1b]8;;javascript:alert(1)\x1b\\click\x1b]8;;\x1b\\",
    "clipboard": "\x1b]52;c;cm0gLXJmIH4K\x07",
    "clipboard query": "\x1b]52;c;?\x07",
    "iTerm file": "\x1b]1337;File=name=eA==:AAAA\x07",
    "C1 OSC": "\x9d52;c;cm0=\x9c",
    "C1 CSI": "\x9b2J\x9b?1049h",
    "C1 DCS": "\x90$qm\x9c",
    "DECRQSS": "\x1bP$q\x1b\\",
    "DCS": "\x1bPq#0;2;0;0;0\x1b\\",
    "tmux passthrough": "\x1bPtmux;\x1b\x1b]52;c;eA==\x07\x1b\\",
    "kitty image": "\x1b_Ga=T,f=100;AAAA\x1b\\",
    "privacy message": "\x1b^secret\x1b\\",
    "start of string": "\x1bXsecret\x1b\\",
    "clear": "\x1b[2J\x1b[H",
    "alternate screen": "\x1b[?1049h",
    "cursor report": "\x1b[6n",
    "device attributes": "\x1b[c",
    "window title report": "\x1b[21t",
    "insert lines": "\x1b[99L",
    "paste mode off": "\x1b[?2004l",
    "mouse on": "\x1b[?1003h",
    "scroll region": "\x1b[1;1r",
    "repeat": "x\x1b[1000000000b",
    "charset": "\x1b(0\x0elqqk\x0f",
    "reset": "\x1bc",
    "reverse index": "\x1bM",
    "answerback": "\x05",
    "endless CSI": "\x1b[" + "1;" * 5000,
    "endless OSC": "\x1b]0;" + "x" * 10_000,
    "CSI in CSI": "\x1b[\x1b[2J2J",
    "CSI with a newline": "\x1b[2\nJ",
    "SGR with too much": "\x1b[" + ";".join(["1"] * 500) + "m",
    "trojan source": "if x:\u202e \u2066# admin\u2069\u2066",
    "directions": "\u061c\u200e\u200f\u202a\u202b\u202c\u202d\u202e\u2066\u2067\u2068\u2069",
    "line separators": "a\u2028b\u2029c\x85d",
    "lone surrogates": "a\ud800b\udfffc",
    "carriage return": "harmless\rrm -rf ~",
    "backspaces": "rm -rf ~\b\b\b\b\b\b\b\bharmless",
}


@pytest.mark.parametrize("attack", ATTACKS.values(), ids=ATTACKS.keys())
def test_attacks_are_harmless(attack: str) -> None:
    """Neither as plain text nor as coloured lines does anything of it act, and it can be encoded."""
    for text in (display_text(attack), display_text(attack, keep_newlines=True)):
        assert BAD.search(text) is None
        text.encode()
    assert "\n" not in display_text(attack)
    assert "\t" not in display_text(attack)
    lines, _ = parse_ansi(attack)
    for line in lines:
        for span in line:
            assert BAD.search(span.text) is None
            assert "\n" not in span.text
            assert "\t" not in span.text


@given(st.text(st.characters(exclude_categories=())), st.booleans())
@settings(deadline=None)
def test_any_text_is_harmless(text: str, keep_newlines: bool) -> None:
    """Whatever comes in, nothing that acts comes out, and what was harmless is unchanged."""
    shown = display_text(text, keep_newlines=keep_newlines)
    assert BAD.search(shown) is None
    if BAD.search(text) is None and (keep_newlines or not set("\t\n") & set(text)):
        assert shown == text


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("\x1b[31m", "␛[31m"),
        ("a\nb\tc", "a␊b␉c"),
        ("\x7f", "␡"),
        ("\x9b", "<U+009B>"),
        ("\u202e", "<U+202E>"),
        ("\ud800", "<U+D800>"),
        ("plain é 漢 👩\u200d🚀", "plain é 漢 👩\u200d🚀"),
    ],
)
def test_controls_become_readable(text: str, shown: str) -> None:
    """A person sees what was there."""
    assert display_text(text) == shown


def test_kept_newlines_are_line_feeds() -> None:
    """Text of several lines keeps them, whatever program wrote it; a lone CR is shown."""
    assert display_text("a\r\nb\tc\rd\n", keep_newlines=True) == "a\nb\tc␍d\n"
