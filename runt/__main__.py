"""The ``runt`` command.

It is not where commands live (``runt.cli``). Invariant: opening a notebook by its path imports neither Typer nor
any command, because start-up is what a person waits for.
"""

from __future__ import annotations

import sys
from contextlib import nullcontext

from runt.cli.dispatch import is_path, shows_screen


def main() -> None:
    """Run the command line and leave with its exit status (0 done, 1 a cell failed, 2 bad input)."""
    arguments = sys.argv[1:]
    if not shows_screen(arguments):
        _run(arguments)
        return
    from runt.tui.type_ahead import type_ahead

    # First of all: who knows the notebook types on while it opens.
    with type_ahead() if sys.stdin.isatty() else nullcontext():
        _run(arguments)


def _run(arguments: list[str]) -> None:
    if len(arguments) == 1 and is_path(arguments[0]):
        from runt.cli.opening import open_in_terminal
        from runt.cli.reporting import reporting_errors

        with reporting_errors():
            sys.exit(open_in_terminal(arguments[0]))
    from runt.cli.app import app

    app(prog_name="runt")


if __name__ == "__main__":
    main()
