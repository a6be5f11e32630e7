"""RuntimeDocument: what the daemon says about execution: kernel, queue, current executions, the file.

::

    meta   : Map { schema, epoch, owner }
    kernel : Map { state, activity, name, language, env_source, supervisor, error, question: json text
    {request, execution, cell, prompt, password} }
    queue  : Array<json text {execution, cell, source_hash, by, request}>
    current: Map { <cell key>: Map { id, status, count?, source_hash, by, queued, started, ended, outputs:
    Array } } comms, env, trust: Map                                                   declared, not used yet
    file   : Map { path, saved_seq_n, saved_seq_r, saved_at, disk_hash, conflict, error, unsaved }

An entry of ``outputs`` is a manifest as JSON text, the 64-hex hash of a stored manifest, or, while a stream
is live, ``Map {type: "stream", name, sealed: Array<blob ref as json text>, tail: Text}``. Numbers are text
(pycrdt returns integers as floats).

This is the reading side; only the owning daemon writes, through `runtime_writer`. Invariant: reading never
fails and never changes the document, whatever is missing.
"""

from __future__ import annotations

import re
import uuid
from collections.abc import Callable, Mapping
from functools import partial
from typing import Any, Literal, TypeAlias, cast

import msgspec
from pycrdt import Array, Map, Text

from runt.notebook import json_text, manifests
from runt.notebook.cell import CellKey
from runt.notebook.crdt import CrdtDocument, Event, Origin
from runt.notebook.manifests import BlobRef, ContentRef, ErrorManifest, Manifest
from runt.notebook.observers import Observers, Subscription

SCHEMA = "1"

KernelState = Literal["none", "starting", "ready", "restarting", "stopped", "dead"]
KernelActivity = Literal["idle", "busy", ""]
ExecutionStatus = Literal["loaded", "running", "ok", "error", "cancelled"]

_HASH = re.compile("[0-9a-f]{64}")


class KernelQuestion(msgspec.Struct, frozen=True):
    """What the kernel waits for a person to type (``input()``, ``getpass``). An answer names ``request``."""

    request: str
    execution: str
    cell: CellKey
    prompt: str = ""
    password: bool = False


class KernelView(msgspec.Struct, frozen=True):
    """The kernel of the notebook. ``error`` says why it is dead or could not start."""

    state: KernelState = "none"
    activity: KernelActivity = ""
    name: str = ""
    language: str = ""
    env_source: str = ""
    supervisor: str = ""
    error: str = ""
    question: KernelQuestion | None = None


class QueueEntry(msgspec.Struct, frozen=True):
    """A run that waits. ``by`` is who asked, ``request`` groups runs that were asked for together."""

    execution: str
    cell: CellKey
    source_hash: str
    by: str = ""
    request: str = ""


class ExecutionView(msgspec.Struct, frozen=True):
    """The current execution of a cell. Times are unix seconds."""

    id: str
    status: ExecutionStatus
    count: int | None
    source_hash: str
    by: str
    queued: float | None
    started: float | None
    ended: float | None


class ManifestHash(str):
    """SHA-256 (64 hex digits) of a manifest that is stored as a blob."""

    __slots__ = ()


class LiveStream(msgspec.Struct, frozen=True):
    """A stream that still grows: its text is that of the sealed blobs, in order, then ``tail``."""

    name: str
    sealed: tuple[BlobRef, ...]
    tail: str


OutputEntry: TypeAlias = Manifest | ManifestHash | LiveStream


class FileView(msgspec.Struct, frozen=True):
    """The file (no ``path``: untitled), up to which journal numbers it is saved, when (unix seconds)."""

    path: str = ""
    saved_seq_n: int | None = None
    saved_seq_r: int | None = None
    saved_at: float | None = None
    disk_hash: str = ""
    conflict: str = ""
    error: str = ""
    unsaved: bool = False


class RuntimeChange(msgspec.Struct, frozen=True):
    """What one transaction changed.

    Attributes:
        executions: cells whose execution or outputs changed in any way, their tails included.
        tails: byte deltas (for `text.delta_edits`) of the tails of live streams, by cell and index in its
        outputs; not
            those of streams that are new.
        tails_only: the cells of ``executions`` of which nothing but tails changed.
    """

    origin: Origin
    kernel: bool
    queue: bool
    file: bool
    executions: frozenset[CellKey]
    tails: Mapping[tuple[CellKey, int], list[dict[str, Any]]]
    tails_only: frozenset[CellKey]


class RuntimeDocument(CrdtDocument):
    """The runtime state. The constructor makes an empty replica; `create` is for the owner."""

    def __init__(self) -> None:
        maps = ("meta", "kernel", "current", "comms", "env", "trust", "file")
        super().__init__({"queue": Array, **dict.fromkeys(maps, Map)})
        self._meta: Map[Any] = self._roots["meta"]
        self._kernel: Map[Any] = self._roots["kernel"]
        self._queue: Array[Any] = self._roots["queue"]
        self._current: Map[Any] = self._roots["current"]
        self._file: Map[Any] = self._roots["file"]
        self._observers: Observers[RuntimeChange] = Observers()
        self._watching = False
        self._begin_change()

    @classmethod
    def create(cls, owner: str) -> RuntimeDocument:
        """Make the state of a room that the daemon of machine ``owner`` runs, under a new random epoch."""
        document = cls()
        with document.transaction("create"):
            document._meta["schema"] = SCHEMA
            document._meta["epoch"] = uuid.uuid4().hex
            document._meta["owner"] = owner
        return document

    @property
    def schema(self) -> str:
        """The schema that the document was made with; empty in a replica that is not synced yet."""
        return _text(self._meta, "schema")

    @property
    def epoch(self) -> str:
        """The random name of this history; a replica of another epoch must be discarded."""
        return _text(self._meta, "epoch")

    @property
    def owner(self) -> str:
        """The machine id of the daemon that writes."""
        return _text(self._meta, "owner")

    @property
    def kernel(self) -> KernelView:
        """The kernel."""
        fields = self._kernel
        name, language, env_source, supervisor, error = (
            _text(fields, name) for name in ("name", "language", "env_source", "supervisor", "error")
        )
        return KernelView(
            state=cast(KernelState, _text(fields, "state") or "none"),
            activity=cast(KernelActivity, _text(fields, "activity")),
            name=name,
            language=language,
            env_source=env_source,
            supervisor=supervisor,
            error=error,
            question=_question(fields),
        )

    @property
    def queue(self) -> list[QueueEntry]:
        """The waiting runs, next first."""
        return [entry for value in self._queue if (entry := _queue_entry(value)) is not None]

    @property
    def file(self) -> FileView:
        """The file."""
        fields = self._file
        return FileView(
            path=_text(fields, "path"),
            saved_seq_n=_integer(fields, "saved_seq_n"),
            saved_seq_r=_integer(fields, "saved_seq_r"),
            saved_at=_number(fields, "saved_at"),
            disk_hash=_text(fields, "disk_hash"),
            conflict=_text(fields, "conflict"),
            error=_text(fields, "error"),
            unsaved=bool(_text(fields, "unsaved")),
        )

    def execution_keys(self) -> list[CellKey]:
        """The cells that have a current execution, in no particular order."""
        return list(map(CellKey, self._current.keys()))

    def execution(self, key: CellKey) -> ExecutionView | None:
        """The current execution of a cell, None when it has none."""
        fields = self._current.get(key)
        if not isinstance(fields, Map):
            return None
        return ExecutionView(
            id=_text(fields, "id"),
            status=cast(ExecutionStatus, _text(fields, "status") or "loaded"),
            count=_integer(fields, "count"),
            source_hash=_text(fields, "source_hash"),
            by=_text(fields, "by"),
            queued=_number(fields, "queued"),
            started=_number(fields, "started"),
            ended=_number(fields, "ended"),
        )

    def outputs(self, key: CellKey) -> list[OutputEntry]:
        """The outputs of a cell's current execution, in order; empty when it has none."""
        return [_output_entry(entry) for entry in self._outputs_array(key) or ()]

    def output_count(self, key: CellKey) -> int:
        """How many outputs there are, without reading them."""
        entries = self._outputs_array(key)
        return len(entries) if entries is not None else 0

    def output(self, key: CellKey, index: int) -> OutputEntry:
        """One output.

        Raises:
            IndexError: there is none at ``index``.
        """
        entries = self._outputs_array(key)
        if entries is None or not 0 <= index < len(entries):
            raise IndexError(f"cell {key} has no output {index}")
        return _output_entry(entries[index])

    def observe(self, callback: Callable[[RuntimeChange], None]) -> Subscription:
        """Call back once per transaction that changed something, after it has ended."""
        if not self._watching:
            self._watching = True
            self._watch("current", self._collect_current)
            for root in ("kernel", "queue", "file"):
                self._watch(root, partial(self._collect_root, root))
        return self._observers.add(callback)

    def _outputs_array(self, key: CellKey) -> Array[Any] | None:
        fields = self._current.get(key)
        entries = fields.get("outputs") if isinstance(fields, Map) else None
        return entries if isinstance(entries, Array) else None

    def _begin_change(self) -> None:
        self._everything = False
        self._roots_changed: set[str] = set()
        self._others: set[CellKey] = set()
        self._tails: dict[tuple[CellKey, int], list[dict[str, Any]]] = {}

    def _collect_root(self, root: str, events: list[Event]) -> None:
        self._roots_changed.add(root)

    def _collect_current(self, events: list[Event]) -> None:
        for event in events:
            path = event.path
            if not path:
                self._everything = self._everything or event.keys is None
                self._others.update(map(CellKey, event.keys or ()))
            elif len(path) == 4 and path[1] == "outputs" and path[3] == "tail":
                self._tails[CellKey(path[0]), path[2]] = event.delta
            else:
                self._others.add(CellKey(path[0]))

    def _take_change(self, origin: Origin) -> Callable[[], None] | None:
        if self._everything or self._doubtful:
            self._roots_changed.update(("kernel", "queue", "file"))
            self._tails = {}
            self._others.update(self.execution_keys())
        if not (self._roots_changed or self._others or self._tails):
            return None
        with_tails = {key for key, _ in self._tails}
        change = RuntimeChange(
            origin=origin,
            kernel="kernel" in self._roots_changed,
            queue="queue" in self._roots_changed,
            file="file" in self._roots_changed,
            executions=frozenset(self._others | with_tails),
            tails=self._tails,
            tails_only=frozenset(with_tails - self._others),
        )
        self._begin_change()
        return partial(self._observers.deliver, change)


def _text(fields: Map[Any], name: str) -> str:
    value = fields.get(name)
    return value if isinstance(value, str) else ""


def _integer(fields: Map[Any], name: str) -> int | None:
    value = _text(fields, name)
    return int(value) if value.isdecimal() and len(value) < 20 else None


def _number(fields: Map[Any], name: str) -> float | None:
    try:
        return float(_text(fields, name))
    except ValueError:
        return None


def _queue_entry(value: object) -> QueueEntry | None:
    fields = json_text.decode(value)
    if not isinstance(fields, dict):
        return None
    execution, cell, source_hash, by, request = (
        str(fields.get(name) or "") for name in ("execution", "cell", "source_hash", "by", "request")
    )
    return QueueEntry(execution, CellKey(cell), source_hash, by, request)


def question_text(question: KernelQuestion) -> str:
    """A question as ``kernel`` holds it."""
    return json_text.encode(msgspec.to_builtins(question))


def _question(fields: Map[Any]) -> KernelQuestion | None:
    value = json_text.decode(fields.get("question"))
    try:
        return msgspec.convert(value, KernelQuestion) if value is not None else None
    except msgspec.ValidationError:
        return None


def _output_entry(entry: object) -> OutputEntry:
    if isinstance(entry, Map):
        sealed, tail = entry.get("sealed"), entry.get("tail")
        references = (_blob_ref(value) for value in sealed) if isinstance(sealed, Array) else ()
        return LiveStream(
            name=_text(entry, "name") or "stdout",
            sealed=tuple(reference for reference in references if reference is not None),
            tail=str(tail) if isinstance(tail, Text) else "",
        )
    if isinstance(entry, str):
        if _HASH.fullmatch(entry):
            return ManifestHash(entry)
        try:
            return manifests.decode(entry)
        except ValueError as error:
            return _damaged(str(error))
    return _damaged(f"an entry of type {type(entry).__name__}")


def _damaged(reason: str) -> Manifest:
    """What to show for an entry that cannot be read: it keeps its place, so that indexes stay true."""
    return ErrorManifest(ename="DamagedOutput", evalue=reason, traceback=ContentRef(inline="[]"))


def blob_ref_text(reference: BlobRef) -> str:
    """A blob reference as ``sealed`` holds it."""
    return json_text.encode({"blob": reference.hash, "size": reference.size})


def _blob_ref(value: object) -> BlobRef | None:
    match json_text.decode(value):
        case {"blob": str(hash_), "size": int(size)}:
            return BlobRef(hash_, size)
        case [str(hash_), int(size)]:  # what a generic JSON encoder makes of a `BlobRef`
            return BlobRef(hash_, size)
    return None
