"""Which words on the command line are verbs, and which are paths.

It is not the commands themselves. Invariant: ``VERBS`` equals the names that ``runt.cli.app`` registers (a test
compares them), so that ``runt FILE`` can be told from ``runt VERB`` without importing any command.
"""

from __future__ import annotations

from collections.abc import Sequence

VERBS = frozenset({"open", "new", "ls", "run", "cat", "status", "stop", "daemon"})
SCREEN_VERBS = frozenset({"open", "new"})


def is_path(word: str) -> bool:
    """Whether the first word of a command line means a notebook: neither a verb nor an option.

    A file whose name is a verb is opened by ``runt open NAME`` or ``runt ./NAME``.
    """
    return word not in VERBS and not word.startswith("-")


def shows_screen(arguments: Sequence[str]) -> bool:
    """Whether a command line (without the program's name) ends up in the notebook's screen."""
    return bool(arguments) and (is_path(arguments[0]) or arguments[0] in SCREEN_VERBS)
