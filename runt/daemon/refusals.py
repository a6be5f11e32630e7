"""Refusals: why a request or a Hello is not done, as errors with a code for programs and one line for people.

Values only. The invariant: every code that leaves the daemon is one of those listed here.
"""

from __future__ import annotations

from typing import Any, Literal

from runt.errors import RequestError

Code = Literal[
    "not_found",
    "not_a_notebook",
    "is_directory",
    "permission",
    "path_in_use",
    "bad_request",
    "source_changed",
    "needs_unmet",
    "role",
    "kernel_not_found",
    "no_kernel",
    "kernel_dead",
    "unsafe",
    "newer_schema",
    "stopping",
    "io_error",
    "file_changed",
    "no_space",
    "busy",
    "unknown_method",
]


class RequestRefused(RequestError):
    """A request that is not done. ``data`` holds what the code speaks of (the cell of ``source_changed``)."""

    def __init__(
        self, code: Code, message: str, *, hint: str = "", data: dict[str, Any] | None = None
    ) -> None:
        super().__init__(code, message, hint=hint)
        self.data = data or {}


def bad_request(message: str) -> RequestRefused:
    """The parameters do not say what the method needs."""
    return RequestRefused("bad_request", message)


def role_refused(role: str, needed: str) -> RequestRefused:
    """The connection's role does not allow it."""
    return RequestRefused("role", f"this connection may only {role}", hint=f"connect with role {needed!r}")
