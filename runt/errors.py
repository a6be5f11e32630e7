"""Every error that runt raises on purpose, in one tree.

It is not a place for behaviour. The invariant: each error says what happened, where, and (in ``hint``) what to do next.

::

    RuntError
    ├── UsageError                    the caller asked for something impossible        (exit status 2)
    │   ├── NotebookFileError         the file is not a notebook we can read           (path, line, column)
    │   └── KernelNotFound            no such kernelspec                               (name, known)
    ├── ProtocolError                 abstract: raise one of its two children
    │   ├── LocalProtocolError        we used the protocol wrongly: a bug of ours
    │   └── RemoteProtocolError       the other side did: close the connection
    │       └── DamagedUpdate         a CRDT update that cannot be applied
    ├── RequestError                  the daemon refused a request                     (code)
    ├── ConnectionLost                the daemon went away while we waited
    ├── DaemonUnavailable             no daemon runs and none could be started
    ├── KernelDied                    the kernel ended while something waited for it
    └── StoreError                    durable I/O
        ├── UnsafeDirectory           a directory is not ours alone                    (path)
        ├── SocketPathTooLong         longer than sun_path allows                      (path, limit)
        ├── JournalDamaged            a room's database failed its check               (path, kept_as)
        ├── NoSpace                   the disk is full
        ├── FileChanged               the version on disk is not the expected one      (path)
        └── BlobMissing               no blob of that hash, or a damaged one           (hash)
"""

from __future__ import annotations

from collections.abc import Sequence


class RuntError(Exception):
    """Base of all. ``message`` is one line for a person; ``hint`` says what to do next (may be empty)."""

    def __init__(self, message: str, *, hint: str = "") -> None:
        super().__init__(message)
        self.message = message
        self.hint = hint

    def __str__(self) -> str:
        return f"{self.message} — {self.hint}" if self.hint else self.message


class UsageError(RuntError):
    """The caller asked for something impossible. Command line: exit status 2."""


class NotebookFileError(UsageError):
    """A file is not a notebook that can be read. ``line`` and ``column`` count from 1 (code points), or are None."""

    def __init__(
        self, path: str, reason: str, *, line: int | None = None, column: int | None = None, hint: str = ""
    ) -> None:
        where = f"{path}:{line}:{column}" if line is not None else path
        super().__init__(f"{where}: {reason}", hint=hint)
        self.path = path
        self.reason = reason
        self.line = line
        self.column = column


class KernelNotFound(UsageError):
    """No kernelspec of that name (or language). ``known`` lists the names that exist."""

    def __init__(self, name: str, known: Sequence[str] = (), *, hint: str = "") -> None:
        listed = ", ".join(known) or "none"
        super().__init__(f"no kernel named {name!r}", hint=hint or f"installed kernels: {listed}")
        self.name = name
        self.known = tuple(known)


class ProtocolError(RuntError):
    """Abstract: constructing it is an error. Raise the child that says who is to blame."""

    def __init__(self, message: str, *, hint: str = "") -> None:
        if type(self) is ProtocolError:
            raise TypeError("ProtocolError is abstract: raise LocalProtocolError or RemoteProtocolError")
        super().__init__(message, hint=hint)


class LocalProtocolError(ProtocolError):
    """We used the protocol wrongly. A bug of ours."""


class RemoteProtocolError(ProtocolError):
    """The other side broke the protocol. The connection must be closed."""


class DamagedUpdate(RemoteProtocolError):
    """A CRDT update could not be applied. If the document says ``poisoned``, it must be rebuilt."""


class RequestError(RuntError):
    """The daemon refused a request. ``code`` is stable and meant for programs (``source_changed``, …)."""

    def __init__(self, code: str, message: str, *, hint: str = "") -> None:
        super().__init__(message, hint=hint)
        self.code = code


class ConnectionLost(RuntError):
    """The daemon went away while something waited for it."""


class DaemonUnavailable(RuntError):
    """No daemon runs and none could be started."""


class KernelDied(RuntError):
    """The kernel ended while something waited for it."""


class StoreError(RuntError):
    """Durable I/O failed. The data in memory and the old file are intact."""


class UnsafeDirectory(StoreError):
    """A directory that must be ours alone (owner, mode 0700, no symlink) is not."""

    def __init__(self, path: str, reason: str, *, hint: str = "") -> None:
        super().__init__(f"{path}: {reason}", hint=hint)
        self.path = path


class SocketPathTooLong(StoreError):
    """A socket's path does not fit into ``sun_path``. ``limit`` is in bytes."""

    def __init__(self, path: str, limit: int) -> None:
        super().__init__(
            f"socket path too long ({len(path.encode())} bytes, the limit is {limit}): {path}",
            hint="set RUNT_RUNTIME_DIR to a shorter directory",
        )
        self.path = path
        self.limit = limit


class JournalDamaged(StoreError):
    """A room's database failed its check; it was kept under another name (``kept_as``)."""

    def __init__(self, path: str, reason: str, *, kept_as: str = "", hint: str = "") -> None:
        super().__init__(f"{path}: {reason}", hint=hint or (f"kept as {kept_as}" if kept_as else ""))
        self.path = path
        self.kept_as = kept_as


class NoSpace(StoreError):
    """The disk (or quota) is full."""


class FileChanged(StoreError):
    """The version on disk is not the one that was expected. Nothing was written."""

    def __init__(self, path: str, *, hint: str = "") -> None:
        super().__init__(f"{path}: changed on disk since it was read", hint=hint)
        self.path = path


class BlobMissing(StoreError):
    """No blob of that hash, or its content does not match its name."""

    def __init__(self, hash_: str) -> None:
        super().__init__(f"lost output: blob {hash_[:12]}… is missing or damaged")
        self.hash = hash_
