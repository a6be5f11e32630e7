"""How commands speak: results to stdout, everything else to stderr, errors in one clear line.

It does not decide what to say. Invariant: no text from outside reaches a terminal unsanitised; when stdout is not
a terminal, results are written as they are only where the caller asks for ``raw``.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, NoReturn

from runt.errors import NoSpace, RuntError, UsageError
from runt.terminal.sanitise import display_text

EXIT_FAILED = 1
EXIT_USAGE = 2
EXIT_INTERRUPTED = 130


def say(text: str = "") -> None:
    """Write one line (or several) of a result to stdout; control characters are shown, never sent."""
    sys.stdout.write(display_text(text, keep_newlines=True) + "\n")


def say_json(value: Any) -> None:
    """Write a value as JSON to stdout. JSON escapes control characters by itself."""
    sys.stdout.write(json.dumps(value, indent=2 if sys.stdout.isatty() else None, ensure_ascii=True) + "\n")


def note(text: str) -> None:
    """Write a diagnostic line to stderr."""
    sys.stderr.write(f"runt: {display_text(text)}\n")
    sys.stderr.flush()


def fail(text: str, status: int = EXIT_FAILED) -> NoReturn:
    """Say what went wrong and leave with ``status``."""
    note(text)
    sys.exit(status)


@contextmanager
def reporting_errors() -> Iterator[None]:
    """Turn the errors that runt raises on purpose into one line and an exit status.

    2 for bad input (``UsageError`` and refusals), 1 for everything else, 130 for Ctrl+C. Other exceptions are bugs and
    keep their traceback.
    """
    try:
        yield
    except UsageError as error:
        fail(str(error), EXIT_USAGE)
    except RuntError as error:
        fail(str(error), EXIT_USAGE if hasattr(error, "code") else EXIT_FAILED)
    except KeyboardInterrupt:
        sys.exit(EXIT_INTERRUPTED)
    except BrokenPipeError:
        # The reader of a pipe has seen enough (`runt cat … | head`). Python would complain again at exit.
        sys.stderr.close()
        sys.exit(EXIT_FAILED)
    except OSError as error:
        if error.filename is None and error.errno is None:
            raise
        kind = NoSpace if error.errno == 28 else RuntError
        fail(str(kind(f"{error.filename or 'input/output'}: {error.strerror}")), EXIT_FAILED)
