"""Only `runt/store` writes files: nobody else has to think of full disks, torn files and permissions.

Looks at the syntax, so it can be evaded; it is there to notice, not to prevent.
"""

from __future__ import annotations

import ast
from pathlib import Path

import pytest

PACKAGE = Path(__file__).resolve().parents[2] / "runt"
WRITING_METHODS = frozenset({"write_text", "write_bytes", "touch"})
"""Of `pathlib.Path`."""

WRITING_FUNCTIONS = frozenset(
    {"NamedTemporaryFile", "TemporaryFile", "mkstemp", "copyfile", "copy2", "copytree", "sqlite3.connect"}
)
WRITING_FLAGS = frozenset({"O_WRONLY", "O_RDWR", "O_CREAT", "O_APPEND", "O_TRUNC"})
DEVICES = ("os.devnull", "'/dev/null'", "'/dev/tty'", "os.ctermid()", "'/proc/")
"""How the names of things begin that are not files: nothing is stored there."""


def modules() -> list[Path]:
    return sorted(path for path in PACKAGE.rglob("*.py") if path.relative_to(PACKAGE).parts[0] != "store")


def writes(source: str) -> list[str]:
    """``line: call`` for each call that opens a file for writing."""
    found = []
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Call) and _opens_for_writing(node):
            found.append(f"{node.lineno}: {ast.unparse(node)}")
    return found


def _opens_for_writing(call: ast.Call) -> bool:
    name = ast.unparse(call.func)
    last = name.rsplit(".", 1)[-1]
    arguments = [ast.unparse(argument) for argument in call.args]
    if name in WRITING_FUNCTIONS or last in WRITING_FUNCTIONS - {"sqlite3.connect"}:
        return True
    if last in WRITING_METHODS and isinstance(call.func, ast.Attribute):
        return True
    if name in ("os.open", "posix.open"):
        flags = " ".join(arguments[1:2])
        return any(flag in flags for flag in WRITING_FLAGS) and not arguments[0].startswith(DEVICES)
    if last in ("open", "fdopen") and name != "webbrowser.open":
        is_path = isinstance(call.func, ast.Attribute) and name not in ("io.open", "os.fdopen")
        mode = call.args[0 if is_path else 1 : None if is_path else 2][:1]
        mode += [keyword.value for keyword in call.keywords if keyword.arg == "mode"]
        return any(
            isinstance(value, ast.Constant)
            and isinstance(value.value, str)
            and len(value.value) <= 3
            and bool(set(value.value) & set("wax+"))
            for value in mode
        )
    return False


@pytest.mark.parametrize("path", modules(), ids=lambda path: str(path.relative_to(PACKAGE)))
def test_only_store_writes(path: Path) -> None:
    """No other package opens a file for writing."""
    assert writes(path.read_text(encoding="utf-8")) == []


@pytest.mark.parametrize(
    "line",
    [
        "open(path, 'w')",
        "open(path, mode='ab')",
        "io.open(path, 'r+')",
        "path.open('x')",
        "path.write_text('')",
        "os.open(path, os.O_RDWR | os.O_CREAT)",
        "os.fdopen(fd, 'w')",
        "tempfile.mkstemp()",
        "shutil.copyfile(a, b)",
        "sqlite3.connect(path)",
    ],
)
def test_the_lint_finds(line: str) -> None:
    """The lint finds each ordinary way to write."""
    assert writes(line)


@pytest.mark.parametrize(
    "line",
    [
        "open(path)",
        "open(path, 'rb')",
        "path.open()",
        "os.open(path, os.O_RDONLY)",
        "os.open('/dev/tty', os.O_RDWR)",
        "os.open(os.devnull, os.O_RDWR)",
        "os.open('/proc/self/oom_score_adj', os.O_WRONLY)",
        "stream.write(data)",
        "client.open(path)",
        "connection.connect(path)",
    ],
)
def test_the_lint_lets_pass(line: str) -> None:
    """Reading, terminals and what only sounds like writing pass."""
    assert not writes(line)
