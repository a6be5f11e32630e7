"""Colours of source: names, offsets, and that the editor's window gives the same as the whole."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from rich.style import Style
from tree_sitter import Parser

from runt.tui import highlighting

SOURCE = [
    "@cache",
    "class A(Base):",
    '    """é 漢字"""',
    "    def f(self, x: int = 3) -> str:",
    '        return f"é {x + 1!r} {len(x)}\\n" or None  # hi 😀',
]


def named(lines: list[str], language: str) -> list[list[tuple[str, str]]]:
    """(name, text) runs of each line, plain ones left out."""
    result = []
    for line, names in zip(lines, highlighting.highlight(lines, language), strict=True):
        runs: list[tuple[str, str]] = []
        for char, name in zip(line, names, strict=False):
            if runs and runs[-1][0] == name:
                runs[-1] = (name, runs[-1][1] + char)
            else:
                runs.append((name, char))
        result.append([(name, text) for name, text in runs if name])
    return result


def test_python() -> None:
    """Keywords, names, types, strings with fields in them, comments; offsets are code points."""
    rows = named(SOURCE, "python")
    assert ("decorator", "@cache") in rows[0]
    assert rows[1][:2] == [("keyword", "class"), ("definition", "A")]
    assert rows[2] == [("string", '"""é 漢字"""')]
    assert ("definition", "f") in rows[3]
    assert ("type", "int") in rows[3]
    assert ("builtin", "len") in rows[4]
    assert ("escape", "\\n") in rows[4]
    assert ("constant", "None") in rows[4]
    assert rows[4][-1] == ("comment", "# hi 😀")


@pytest.mark.parametrize(
    ("language", "line", "expected"),
    [
        ("bash", "for x in a; do echo $x; done", ("keyword", "for")),
        ("json", '{"a": 1}', ("property", '"a"')),
        ("sql", "select 1", ("keyword", "select")),
        ("markdown", "# Title", ("heading", " Title")),
    ],
)
def test_other_languages(language: str, line: str, expected: tuple[str, str]) -> None:
    """Each grammar that is installed colours something."""
    assert expected in named([line, ""], language)[0]


def test_names_of_languages() -> None:
    """Kernel languages and fences find their grammar; unknown ones have none."""
    assert highlighting.language_of("IPython") == "python"
    assert highlighting.language_of("sh") == "bash"
    assert highlighting.language_of("julia") is None


@settings(max_examples=40, deadline=None)
@given(st.text(alphabet="abf(){}[]'\"#:= \n\té漢😀", max_size=120), st.integers(0, 4), st.integers(0, 4))
def test_a_window_has_the_colours_of_the_whole(text: str, first: int, extra: int) -> None:
    """Querying only some rows, as the editor does, gives those rows the same spans."""
    root = Parser(highlighting.grammar("python")).parse(text.encode()).root_node
    last = first + extra
    whole = highlighting.row_spans("python", root)
    window = highlighting.row_spans("python", root, first, last)
    for row in range(first, last + 1):
        assert window.get(row, []) == whole.get(row, [])


def test_the_editor_gets_the_same_table() -> None:
    """The editor's theme holds the styles it is given, under the same names."""
    theme = highlighting.text_area_theme({"keyword": Style(color="blue")})
    assert theme.syntax_styles == {"keyword": Style(color="blue")}
    assert theme.get_highlight("keyword") == Style(color="blue")


def test_the_query_is_compiled_once() -> None:
    """Compiling costs milliseconds: it is kept."""
    assert highlighting.query("python") is highlighting.query("python")
