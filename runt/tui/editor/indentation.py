"""What Enter, Tab and the comment key do to lines of code. Pure: strings in, strings out; knows no editor."""

from __future__ import annotations

import re
from collections.abc import Sequence

# Statements after which the next line stands one level further left (Python).
_LEAVES_BLOCK = re.compile(r"\s*(return|pass|break|continue|raise)\b")
_LINE_COMMENT = {
    "python": "# ",
    "r": "# ",
    "julia": "# ",
    "bash": "# ",
    "sql": "-- ",
    "javascript": "// ",
    "typescript": "// ",
}


def indent_after(before: str, width: int, language: str | None) -> str:
    """Return the whitespace for a new line after ``before`` (the line's text left of the cursor); ``width``
    in columns."""
    leading = before[: len(before) - len(before.lstrip(" \t"))]
    if language is None or language == "markdown":
        return leading
    code = before.split("#", 1)[0].rstrip() if language == "python" else before.rstrip()
    opens_block = code.endswith(":") and language == "python"
    if opens_block or code.endswith(("(", "[", "{")):
        return leading + " " * width
    if language == "python" and _LEAVES_BLOCK.match(code):
        return leading[: max(0, len(leading) - width)]
    return leading


def indented(lines: Sequence[str], width: int) -> list[str]:
    """Return the lines one level further right; blank lines stay blank."""
    return [" " * width + line if line.strip() else line for line in lines]


def dedented(lines: Sequence[str], width: int) -> list[str]:
    """Return the lines one level (or what there is of one) further left."""
    result = []
    for line in lines:
        spaces = len(line) - len(line.lstrip(" "))
        result.append(line[1:] if line.startswith("\t") else line[min(width, spaces) :])
    return result


def commented(lines: Sequence[str], language: str | None) -> list[str] | None:
    """Return the lines with comment signs added, or taken away if all have one; None when the language has no
    line comments."""
    sign = _LINE_COMMENT.get(language or "")
    if sign is None:
        return None
    mark = sign.rstrip()
    full = [line for line in lines if line.strip()]
    if full and all(line.lstrip().startswith(mark) for line in full):
        return [re.sub(rf"^(\s*){re.escape(mark)} ?", r"\1", line) for line in lines]
    column = min((len(line) - len(line.lstrip()) for line in full), default=0)
    return [line[:column] + sign + line[column:] if line.strip() else line for line in lines]
