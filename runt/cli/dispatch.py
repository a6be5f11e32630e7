"""Which words on the command line are verbs, and which are paths.

It is not the commands themselves. Invariant: ``VERBS`` equals the names that ``runt.cli.app`` registers (a test
compares them), so that ``runt FILE`` can be told from ``runt VERB`` without importing any command.
"""

from __future__ import annotations

VERBS = frozenset({"open", "new", "ls", "run", "cat", "status", "stop", "daemon"})


def is_path(word: str) -> bool:
    """Whether the first word of a command line means a notebook: neither a verb nor an option.

    A file whose name is a verb is opened by ``runt open NAME`` or ``runt ./NAME``.
    """
    return word not in VERBS and not word.startswith("-")
