"""What the view needs from a peer: two documents and a place to read blobs from.

It is not a connection: the view only reads. `runt.peer` notebooks satisfy it, and so do two in-memory
documents and a dict in a test.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from runt.notebook.notebook_document import NotebookDocument
    from runt.notebook.runtime_document import RuntimeDocument


class BlobSource(Protocol):
    """Where the bytes of an output are. Raises `runt.errors.BlobMissing` (or `KeyError`) for what is lost."""

    def get(self, hash_: str, /) -> bytes:
        """The whole blob."""
        ...


class NotebookSource(Protocol):
    """A notebook to show. The documents may be replaced as a whole: tell the view with `set_source`."""

    @property
    def document(self) -> NotebookDocument:
        """Cells and their text."""
        ...

    @property
    def runtime(self) -> RuntimeDocument:
        """Executions, queue and outputs. Read-only here."""
        ...

    @property
    def blobs(self) -> BlobSource:
        """Content that was too large to be kept inside the runtime document."""
        ...
