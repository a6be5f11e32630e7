"""Notebook files for tests: generated notebooks, in the spellings of the programs that write them."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

from hypothesis import strategies as st

# Strings in JSON files: anything but lone surrogates, which have tests of their own.
texts = st.text(st.characters(exclude_categories=("Cs",)), max_size=20) | st.sampled_from(
    ["", "x = 1\ny = 2\n", "é漢😀", '"\\\n\t\x1b[31m\x7f', "a\r\nb", "\u2028", "x\x0cy\n", "\x85"]
)
numbers = st.integers() | st.floats(allow_nan=False, allow_infinity=False)
values = st.recursive(
    st.none() | st.booleans() | numbers | texts,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(texts, inner, max_size=3),
    max_leaves=5,
)
metadata = st.dictionaries(texts, values, max_size=3)
lines = texts.map(lambda text: text.splitlines(True))

data = st.fixed_dictionaries(
    {},
    optional={
        "text/plain": lines,
        "text/html": lines,
        "image/png": st.sampled_from(["aGVsbG8=", "aGVsbG8=\n"]),
        "image/svg+xml": lines,
        "application/json": values,
    },
)
outputs = st.one_of(
    st.fixed_dictionaries(
        {"name": st.sampled_from(["stdout", "stderr"]), "output_type": st.just("stream"), "text": lines}
    ),
    st.fixed_dictionaries({"data": data, "metadata": metadata, "output_type": st.just("display_data")}),
    st.fixed_dictionaries(
        {
            "data": data,
            "execution_count": st.none() | st.integers(1, 99),
            "metadata": metadata,
            "output_type": st.just("execute_result"),
        }
    ),
    st.fixed_dictionaries(
        {
            "ename": texts,
            "evalue": texts,
            "output_type": st.just("error"),
            "traceback": st.lists(texts, max_size=3),
        }
    ),
)


@st.composite
def cells(draw: st.DrawFn, minor: int) -> dict[str, Any]:
    kind = draw(st.sampled_from(["code", "markdown", "raw"]))
    cell: dict[str, Any] = {"cell_type": kind}
    if kind == "code":
        cell["execution_count"] = draw(st.none() | st.integers(1, 99))
        cell["outputs"] = draw(st.lists(outputs, max_size=3))
    elif minor > 0 and draw(st.booleans()):
        cell["attachments"] = {"a.png": {"image/png": "aGVsbG8=", "text/plain": ["a\n", "b"]}}
    if minor >= 5:
        cell["id"] = draw(st.text("abcXYZ019-_", min_size=1, max_size=64))
    cell["metadata"] = draw(metadata.filter(lambda entries: valid_metadata(entries)))
    cell["source"] = draw(lines)
    return dict(sorted(cell.items()))


def valid_metadata(entries: dict[str, Any]) -> bool:
    """Without the names that nbformat has rules for."""
    return not {"name", "tags", "jupyter", "collapsed", "scrolled", "format", "trusted"} & set(entries)


@st.composite
def notebooks(draw: st.DrawFn, minors: st.SearchStrategy[int] = st.integers(0, 5)) -> dict[str, Any]:  # noqa: B008
    """The JSON of a notebook as nbformat has it in files: keys sorted, text in lists of lines, unique ids."""
    minor = draw(minors)
    return {
        "cells": draw(st.lists(cells(minor), max_size=4, unique_by=lambda cell: cell.get("id", id(cell)))),
        "metadata": {
            "kernelspec": {"display_name": draw(texts), "name": "python3"},
            "zz": draw(values),
        },
        "nbformat": 4,
        "nbformat_minor": minor,
    }


def by_nbformat(notebook: dict[str, Any]) -> bytes:
    """As `nbformat.write` does it."""
    text = json.dumps(notebook, indent=1, sort_keys=True, separators=(",", ": "), ensure_ascii=False)
    return (text + "\n").encode()


def _reordered(notebook: dict[str, Any], top: list[str], cell_keys: list[str]) -> dict[str, Any]:
    ordered = {name: notebook[name] for name in top}
    ordered["cells"] = [
        {name: cell[name] for name in [*cell_keys, *cell] if name in cell} for cell in notebook["cells"]
    ]
    return ordered


def by_vscode(notebook: dict[str, Any]) -> bytes:
    """Indented by one space, cells in an order of their own, no newline at the end."""
    ordered = _reordered(
        notebook,
        ["cells", "metadata", "nbformat", "nbformat_minor"],
        ["cell_type", "execution_count", "id", "metadata", "outputs", "source"],
    )
    return json.dumps(ordered, indent=1, ensure_ascii=False).encode()


def by_colab(notebook: dict[str, Any]) -> bytes:
    """Indented by two, the version first and the cells last."""
    ordered = _reordered(
        notebook,
        ["nbformat", "nbformat_minor", "metadata", "cells"],
        ["cell_type", "source", "metadata", "id", "execution_count", "outputs"],
    )
    return json.dumps(ordered, indent=2, ensure_ascii=False).encode()


def with_string_sources(notebook: dict[str, Any]) -> bytes:
    """Sources and texts as single strings, as some converters write them."""
    changed = json.loads(json.dumps(notebook))
    for cell in changed["cells"]:
        cell["source"] = "".join(cell["source"])
    return by_nbformat(changed)


SPELLINGS: dict[str, Callable[[dict[str, Any]], bytes]] = {
    "nbformat": by_nbformat,
    "vscode": by_vscode,
    "colab": by_colab,
    "string sources": with_string_sources,
    "no final newline": lambda notebook: by_nbformat(notebook).rstrip(b"\n"),
    "blank lines at the end": lambda notebook: by_nbformat(notebook) + b"\n \n",
    "crlf": lambda notebook: by_nbformat(notebook).replace(b"\n", b"\r\n"),
    "byte order mark": lambda notebook: b"\xef\xbb\xbf" + by_nbformat(notebook),
    "four spaces": lambda notebook: json.dumps(notebook, indent=4).encode(),
    "tabs": lambda notebook: json.dumps(notebook, indent="\t", ensure_ascii=False).encode(),
    "no indentation": lambda notebook: json.dumps(notebook, indent=0, ensure_ascii=False).encode(),
    "one line": lambda notebook: json.dumps(notebook).encode(),
    "compact": lambda notebook: json.dumps(notebook, separators=(",", ":"), ensure_ascii=False).encode(),
    "escaped": lambda notebook: json.dumps(notebook, indent=1, ensure_ascii=True).encode() + b"\n",
}
