"""The ``runt`` command.

It is not where commands live (``runt.cli``). Invariant: opening a notebook by its path imports neither Typer nor
any command, because start-up is what a person waits for.
"""

from __future__ import annotations

import sys


def main() -> None:
    """Run the command line and leave with its exit status (0 done, 1 a cell failed, 2 bad input)."""
    from runt.cli.dispatch import is_path

    arguments = sys.argv[1:]
    if len(arguments) == 1 and is_path(arguments[0]):
        from runt.cli.opening import open_in_terminal
        from runt.cli.reporting import reporting_errors

        with reporting_errors():
            sys.exit(open_in_terminal(arguments[0]))
    from runt.cli.app import app

    app(prog_name="runt")


if __name__ == "__main__":
    main()
