"""What is not a notebook is refused with the place and what to do, and never with another error."""

from __future__ import annotations

import json

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from runt.errors import NotebookFileError
from runt.notebook.ipynb import read_ipynb
from tests.notebook.notebook_files import by_nbformat, notebooks

CONFLICT = b"""{
 "cells": [],
<<<<<<< HEAD
 "metadata": {},
=======
 "metadata": {"a": 1},
>>>>>>> branch
 "nbformat": 4,
 "nbformat_minor": 5
}
"""

REFUSED = [
    ("empty", b"", "the file is empty", None, None, "delete it"),
    ("blank", b" \n\n", "the file is empty", None, None, "delete it"),
    ("utf-16 with a mark", '{"cells": []}'.encode("utf-16"), "UTF-16", None, None, "UTF-8"),
    ("utf-16 without", '{"cells": []}'.encode("utf-16-le"), "UTF-16", None, None, "UTF-8"),
    ("latin-1", '{"cells": [],\n "x": "é"}'.encode("latin-1"), "not UTF-8", 2, 8, "UTF-8"),
    ("conflict", CONFLICT, "unresolved merge conflicts", 3, 1, "resolve the merge conflict first"),
    ("cut off", b'{\n "cells": [', "not valid JSON", 2, 12, ""),
    ("word", '{"é": 1,\n "cells": [é]}'.encode(), "not valid JSON", 2, 12, ""),
    ("NaN", '{"cells": [],\n "é NaN": "NaN", "x": NaN}'.encode(), "NaN is not", 2, 23, "null"),
    ("Infinity", b'{"cells": [], "x": -Infinity}', "-Infinity is not", 1, 20, "null"),
    ("too large", b'{"cells": [], "x": 1e999}', "1e999 is not", 1, 20, "null"),
    ("list", b"[1]", "not an object", None, None, ""),
    ("text", b'"x"', "not an object", None, None, ""),
    ("null", b"null", "not an object", None, None, ""),
    ("prose", b"hello", "not valid JSON", 1, 1, ""),
    ("other JSON", b'{"name": "package"}', "no cells", None, None, ""),
    ("no version number", b'{"cells": [], "nbformat": "x"}', "no nbformat version", None, None, ""),
    ("version 2", b'{"nbformat": 2, "worksheets": []}', "nbformat 2 is too old", None, None, "nbconvert"),
    ("version 3", b'{"nbformat": 3, "worksheets": []}', "nbformat 3 is too old", None, None, "nbconvert"),
    ("worksheets", b'{"worksheets": []}', "nbformat 3 is too old", None, None, "nbconvert"),
    ("version 5", b'{"nbformat": 5, "cells": []}', "nbformat 5 is newer", None, None, "update"),
    ("minor", b'{"nbformat": 4, "nbformat_minor": "5", "cells": []}', "nbformat_minor", None, None, ""),
    ("cells", b'{"nbformat": 4, "cells": {}}', "cells are not a list", None, None, ""),
    ("metadata", b'{"nbformat": 4, "cells": [], "metadata": []}', "metadata is not", None, None, ""),
    ("cell", b'{"nbformat": 4, "cells": [1]}', "cell 1: not an object", None, None, ""),
    ("type", b'{"nbformat": 4, "cells": [{"cell_type": "heading"}]}', "cell 1: unknown", None, None, ""),
    ("source", b'{"cells": [{"cell_type": "raw", "source": 3}]}', "cell 1: its source", None, None, ""),
    ("outputs", b'{"cells": [{"cell_type": "code", "outputs": 3}]}', "its outputs", None, None, ""),
    ("output", b'{"cells": [{"cell_type": "code", "outputs": [3]}]}', "one of its outputs", None, None, ""),
    ("deep", b'{"cells": ' + b"[" * 100_000, "not", None, None, ""),
]


@pytest.mark.parametrize(
    ("data", "reason", "line", "column", "hint"),
    [row[1:] for row in REFUSED],
    ids=[row[0] for row in REFUSED],
)
def test_refusals(data: bytes, reason: str, line: int | None, column: int | None, hint: str) -> None:
    """The reason, the place (from 1, in code points) and the way out are named."""
    with pytest.raises(NotebookFileError) as caught:
        read_ipynb(data, "dir/a.ipynb")
    assert reason in caught.value.reason
    assert caught.value.path == "dir/a.ipynb"
    assert hint in caught.value.hint
    if line is not None:
        assert (caught.value.line, caught.value.column) == (line, column)
        assert f"dir/a.ipynb:{line}:{column}: " in str(caught.value)


def test_conflict_markers_in_a_source_are_text() -> None:
    """A cell may be about merge conflicts."""
    notebook = {
        "cells": [{"cell_type": "raw", "metadata": {}, "source": ["<<<<<<< HEAD\n", "=======\n"]}],
        "metadata": {},
        "nbformat": 4,
        "nbformat_minor": 4,
    }
    assert read_ipynb(by_nbformat(notebook), "a").cells[0].source == "<<<<<<< HEAD\n=======\n"


@given(notebooks(), st.data())
@settings(max_examples=200, deadline=None)
def test_damaged_files_are_refused_or_read(notebook: dict[str, object], data: st.DataObject) -> None:
    """Whatever happened to the bytes, the answer is a notebook or a NotebookFileError."""
    damaged = bytearray(by_nbformat(notebook))
    for _ in range(data.draw(st.integers(1, 3))):
        at = data.draw(st.integers(0, len(damaged) - 1))
        stop = data.draw(st.integers(at, min(at + 4, len(damaged))))
        damaged[at:stop] = data.draw(
            st.binary(max_size=4) | st.sampled_from([b"NaN", b'"', b"{", b"]", b"null"])
        )
    try:
        read_ipynb(bytes(damaged), "a.ipynb")
    except NotebookFileError as error:
        line = error.line
    else:
        line = None
    assert line is None or line >= 1


@given(
    st.recursive(st.none() | st.integers() | st.text(), lambda i: st.lists(i) | st.dictionaries(st.text(), i))
)
@settings(deadline=None)
def test_any_json_is_refused_or_read(value: object) -> None:
    """JSON of any shape, also in the place of the cells, never raises another error."""
    for shape in (
        value,
        {"cells": value},
        {"nbformat": 4, "cells": [value]},
        {"nbformat": value, "cells": []},
    ):
        try:
            read_ipynb(json.dumps(shape).encode(), "a.ipynb")
        except NotebookFileError:
            continue
