"""The table of commands.

It holds no behaviour: each command calls one function of a sibling module, imported when it is used. Invariant:
importing this module loads neither Textual nor the daemon.
"""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated

import typer

from runt.cli.reporting import reporting_errors, say

app = typer.Typer(
    name="runt",
    help="A notebook that lives in a daemon and is driven from a terminal. `runt FILE` opens a notebook.",
    no_args_is_help=True,
    add_completion=True,
    rich_markup_mode=None,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)
daemon_app = typer.Typer(
    help="The daemon that holds notebooks and kernels.", no_args_is_help=True, rich_markup_mode=None
)
app.add_typer(daemon_app, name="daemon")

AsJson = Annotated[bool, typer.Option("--json", help="Print JSON.")]
Notebook = Annotated[str, typer.Argument(metavar="PATH", help="The notebook (.ipynb may be left out).")]


def show_version(wanted: bool) -> None:
    """Print the version and stop."""
    if wanted:
        from runt import __version__

        say(f"runt {__version__}")
        raise typer.Exit


@app.callback()
def main(
    version: Annotated[
        bool, typer.Option("--version", callback=show_version, is_eager=True, help="Print the version.")
    ] = False,
) -> None:
    """A notebook that lives in a daemon and is driven from a terminal. `runt FILE` opens a notebook."""


@app.command("open")
def open_(path: Notebook) -> None:
    """Open a notebook in the terminal (the same as `runt PATH`)."""
    from runt.cli.opening import open_in_terminal

    with reporting_errors():
        sys.exit(open_in_terminal(path))


@app.command()
def new(
    path: Annotated[str | None, typer.Argument(metavar="[PATH]", help="Where to; untitled without.")] = None,
) -> None:
    """Make a notebook and open it. Without a path it is untitled until it is saved."""
    from runt.cli.opening import new_in_terminal

    with reporting_errors():
        sys.exit(new_in_terminal(path))


@app.command()
def ls(as_json: AsJson = False) -> None:
    """List open notebooks, their kernels and who is there."""
    from runt.cli.listing import list_notebooks

    with reporting_errors():
        sys.exit(list_notebooks(as_json=as_json))


@app.command()
def run(
    path: Notebook,
    output: Annotated[
        Path | None,
        typer.Option("-o", "--output", metavar="OUT", help="Write the result there; PATH stays as it is."),
    ] = None,
    as_json: AsJson = False,
    allow_errors: Annotated[
        bool, typer.Option("--allow-errors", help="Go on after a cell that fails.")
    ] = False,
) -> None:
    """Run all cells without a screen, showing their output. Exit status: 1 if a cell failed, 2 for bad input."""
    from runt.cli.running import run_headless

    with reporting_errors():
        sys.exit(run_headless(path, output=output, as_json=as_json, allow_errors=allow_errors))


@app.command()
def cat(path: Notebook, as_json: AsJson = False) -> None:
    """Print a notebook as text. Works without a daemon; shows unsaved changes if one has the notebook open."""
    from runt.cli.printing import print_notebook

    with reporting_errors():
        sys.exit(print_notebook(path, as_json=as_json))


@app.command()
def status(as_json: AsJson = False) -> None:
    """Show the daemon: pid, version, uptime, notebooks and kernels. Exit status 1 if none runs."""
    from runt.cli.listing import show_status

    with reporting_errors():
        sys.exit(show_status(as_json=as_json))


@app.command()
def stop(path: Notebook) -> None:
    """Stop the kernel of a notebook. Its document and outputs stay."""
    from runt.cli.daemon import stop_kernel

    with reporting_errors():
        sys.exit(stop_kernel(path))


@daemon_app.command("start")
def daemon_start() -> None:
    """Start the daemon if none runs."""
    from runt.cli.daemon import start

    with reporting_errors():
        sys.exit(start())


@daemon_app.command("stop")
def daemon_stop(
    kernels: Annotated[bool, typer.Option("--kernels", help="End the kernels too.")] = False,
) -> None:
    """Stop the daemon. Kernels go on and the next daemon finds them, unless --kernels is given."""
    from runt.cli.daemon import stop

    with reporting_errors():
        sys.exit(stop(kernels=kernels))


@daemon_app.command("restart")
def daemon_restart() -> None:
    """Stop the daemon and start it again. Kernels go on."""
    from runt.cli.daemon import restart

    with reporting_errors():
        sys.exit(restart())


@daemon_app.command("status")
def daemon_status(as_json: AsJson = False) -> None:
    """The same as `runt status`."""
    status(as_json=as_json)


@daemon_app.command("logs")
def daemon_logs(
    follow: Annotated[bool, typer.Option("-f", "--follow", help="Go on printing what arrives.")] = False,
) -> None:
    """Print the end of the daemon's log."""
    from runt.cli.daemon import logs

    with reporting_errors():
        sys.exit(logs(follow=follow))


@daemon_app.command("ping")
def daemon_ping() -> None:
    """Ask the daemon for an answer. Exit status 1 if there is none."""
    from runt.cli.daemon import ping

    with reporting_errors():
        sys.exit(ping())
