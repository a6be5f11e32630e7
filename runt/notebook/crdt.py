"""The fence around a pycrdt ``Doc``: transactions, updates, observers, damage.

It knows nothing of notebooks. What it adds to pycrdt: a Rust panic (a ``BaseException``) from a malformed
update becomes `DamagedUpdate` and marks the document; observers are called *after* the transaction, when
documents can be read and written again; origins are the objects that were given.

Invariant: once an update has made pycrdt panic, ``poisoned`` is True, nothing of that update was reported to
an observer, and the document accepts no further change. Its owner drops it and builds another from what was
reported.

Rules for callers: never await inside a transaction; a failing transaction is not rolled back (validate first,
then change); one document belongs to one thread.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Hashable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from enum import Enum
from functools import partial
from typing import Any, TypeAlias

import msgspec
from pycrdt import Array, Doc, Map, Text, get_update
from pycrdt._pycrdt import Map as _RawMap
from pycrdt._pycrdt import MapEvent as _RawMapEvent
from pycrdt._pycrdt import TextEvent as _RawTextEvent

from runt.errors import DamagedUpdate, LocalProtocolError, RemoteProtocolError
from runt.notebook.observers import Observers, Subscription
from runt.notebook.state_vector import covers, decode_state

Origin: TypeAlias = Hashable | None
"""Who made a transaction; None when pycrdt opened it outside `CrdtDocument`."""

REMOTE = "remote"

# More updates than this out of order at once are left to a state exchange: retrying costs the square.
_MAX_WAITING = 64


class Applied(Enum):
    """What an update did."""

    CHANGED = "changed"
    NOTHING_NEW = "nothing new"
    """Known already, or waiting for an earlier update that is missing: a state exchange heals that."""


class Event(msgspec.Struct, frozen=True):
    """What a transaction did to one map, array or text.

    Attributes:
        path: keys and indexes from the root to it.
        keys: the names set or removed, if it is a map; None when it cannot be told: look at all of it again.
        delta: the changes in UTF-8 bytes, if it is a text.
    """

    path: list[Any]
    keys: frozenset[str] | None = None
    delta: list[dict[str, Any]] = msgspec.field(default_factory=list)


class CrdtDocument:
    """A pycrdt document with declared roots.

    Attributes:
        doc: the pycrdt document, with a random client id that no other object shares.
        poisoned: an update made pycrdt panic; the document must be rebuilt.
    """

    def __init__(self, roots: Mapping[str, type[Map[Any] | Array[Any] | Text]]) -> None:
        self.doc: Doc[Any] = Doc()
        self.poisoned = False
        # Wrappers and subscriptions are kept: pycrdt's observers die with the wrapper object.
        self._roots = {name: self.doc.get(name, type=kind) for name, kind in roots.items()}
        self._update_observers: Observers[tuple[bytes, Origin]] = Observers()
        self._origin: Origin = None
        self._depth = 0
        self._updates: list[bytes] = []
        self._waiting: deque[bytes] = deque(maxlen=_MAX_WAITING)
        self._doubtful = False  # whether pycrdt's events of the current change may be incomplete
        self._deliveries: deque[Callable[[], None]] = deque()
        self._delivering = False
        self._subscriptions: list[Any] = [self.doc.observe(self._committed)]

    # changes

    @contextmanager
    def transaction(self, origin: Origin) -> Iterator[None]:
        """Group changes into one update. Observers are called when the outermost transaction has ended.

        Nested transactions must have the same origin (or None, which joins any).

        Raises:
            LocalProtocolError: another origin's transaction is open, or the document is poisoned.
        """
        if self._depth:
            if origin is not None and origin != self._origin:
                raise LocalProtocolError(f"a transaction of {origin!r} inside one of {self._origin!r}")
            yield
            return
        if self.poisoned:
            raise LocalProtocolError("the document is poisoned and must be rebuilt")
        with self.attributed(origin):
            try:
                with self.doc.transaction(origin=origin):
                    yield
            except BaseException as error:
                if not _is_panic(error):
                    raise
                self.poisoned = True
                self._updates.clear()
                raise LocalProtocolError(
                    "pycrdt panicked in a local change: the document is poisoned"
                ) from error

    @contextmanager
    def attributed(self, origin: Origin) -> Iterator[None]:
        """Name the origin of the transactions that pycrdt opens by itself meanwhile (an ``UndoManager``)."""
        if self._depth:
            raise LocalProtocolError("a transaction is open already")
        self._origin, self._depth = origin, 1
        try:
            yield
        finally:
            self._origin, self._depth = None, 0
            if not self.poisoned:
                self._settle(origin)

    def apply(self, update: bytes, origin: Origin = REMOTE) -> Applied:
        """Apply another replica's update.

        One that depends on updates which have not arrived waits for them. (Peers that get updates in the
        order in which their hub applied them never see that.)

        Raises:
            DamagedUpdate: the bytes are not an update (the document is as before), or they broke the document
                (``poisoned``).
            LocalProtocolError: called inside a transaction.
        """
        if self.poisoned:
            raise DamagedUpdate("the document is poisoned and must be rebuilt")
        if self._depth:
            raise LocalProtocolError("an update cannot be applied inside a transaction")
        self._origin, self._depth = origin, 1
        try:
            self._integrate(update, origin)
            changed = bool(self._updates)
            if self._updates != [update] and update not in self._waiting and self.lacks(update):
                self._waiting.append(update)
            if changed and self._waiting:
                self._doubtful = True
                self._retry(origin)
        except BaseException as error:
            if isinstance(error, ValueError) and not self._updates:
                raise DamagedUpdate(f"an update of {len(update)} bytes cannot be decoded: {error}") from error
            # A RuntimeError comes from the middle of the integration: half an update is worse than none.
            if not isinstance(error, ValueError | RuntimeError) and not _is_panic(error):
                raise
            self.poisoned = True
            self._updates.clear()
            raise DamagedUpdate(f"an update of {len(update)} bytes broke the document") from error
        finally:
            self._origin, self._depth = None, 0
        self._settle(origin)
        return Applied.CHANGED if changed else Applied.NOTHING_NEW

    @property
    def waiting(self) -> int:
        """How many applied updates wait for earlier ones; a state exchange brings those."""
        return len(self._waiting)

    def _integrate(self, update: bytes, origin: Origin) -> None:
        with self.doc.transaction(origin=origin):
            self.doc.apply_update(update)

    def lacks(self, update: bytes) -> bool:
        """Whether operations of an update are missing here (deletions aside).

        After `apply` that means: it waits for earlier updates, and `update_since` does not have it.
        """
        return get_update(update, self.doc.get_state())[0] != 0  # this byte of the rest counts writers

    def _retry(self, origin: Origin) -> None:
        """Apply the waiting updates again while that gets further.

        yrs 0.28 keeps them, too, but forgets some when updates of several writers wait: of 200 random orders
        of delivery 162 ended incomplete (November 2026).
        """
        progress = True
        while progress and self._waiting:
            reported = len(self._updates)
            for update in self._waiting:
                self._integrate(update, origin)
            progress = len(self._updates) > reported
            self._waiting = deque((u for u in self._waiting if self.lacks(u)), _MAX_WAITING)

    def close(self) -> None:
        """Stop observing, so that the memory can be freed; the document must not be changed any more.

        pycrdt's subscriptions hold the document that holds them, in a cycle that Python's collector cannot see
        (measured: 10 MB per scratch copy of a notebook of 3 MB, November 2026).
        """
        for subscription in self._subscriptions:
            subscription.drop()
        self._subscriptions.clear()

    # states

    def state(self) -> bytes:
        """The state vector: what this replica has seen of each writer. It does not see deletions."""
        return self.doc.get_state()

    def update_since(self, state: bytes | None = None) -> bytes:
        """Everything that a replica with that state vector lacks; everything, without one.

        Updates that wait for a missing one are not in it.

        Raises:
            RemoteProtocolError: ``state`` is not a state vector.
        """
        if state is None:
            return self.doc.get_update()
        decode_state(state)
        try:
            return self.doc.get_update(state)
        except ValueError as error:
            raise RemoteProtocolError(f"not a state vector: {error}") from error

    def contains(self, state: bytes) -> bool:
        """Whether this replica has seen everything that the state vector counts (deletions aside).

        Raises:
            RemoteProtocolError: ``state`` is not a state vector.
        """
        return covers(self.state(), state)

    # observers

    def observe_updates(self, callback: Callable[[bytes, Origin], None]) -> Subscription:
        """Call back with each committed change, own or remote, as one complete update, and its origin.

        An update that had to wait is reported together with the one it waited for. Outside `transaction`,
        `attributed` and `apply` the callback runs inside pycrdt's commit, where the document cannot be read,
        and the origin is None.
        """
        return self._update_observers.add(lambda pair: callback(*pair))

    def _watch(self, root: str, collect: Callable[[list[Event]], None]) -> None:
        """Give each transaction's events on a root and below it to ``collect``, which only gathers.

        Past pycrdt's own wrapper of events, which converts all of every event (it doubles the time that 5000
        cells take to load) and lets the panic out that `_event` meets.
        """

        def observe(events: list[Any]) -> None:
            collect([_event(event) for event in events])
            if not self._depth:  # pycrdt's own transaction: nobody will settle it later
                with self.doc._read_transaction(events[0].transaction):
                    self._settle(None)

        self._subscriptions.append(self._roots[root].integrated.observe_deep(observe))

    def _take_change(self, origin: Origin) -> Callable[[], None] | None:
        """Turn what `_watch` gathered into one delivery; for subclasses.

        When ``_doubtful``, pycrdt may have kept silent about something: everything may have changed.
        """
        return None

    def _committed(self, event: Any) -> None:
        """pycrdt's commit of any transaction that changed something."""
        self._updates.append(event.update)
        if not self._depth:
            self._settle(None)

    def _settle(self, origin: Origin) -> None:
        """Deliver what the ended transaction changed, after what earlier ones changed."""
        updates, self._updates = self._updates, []
        self._deliveries.extend(
            partial(self._update_observers.deliver, (update, origin)) for update in updates
        )
        change = self._take_change(origin)
        self._doubtful = False
        if change is not None:
            self._deliveries.append(change)
        if self._delivering:  # a callback changed the document: the outer loop goes on with it
            return
        failures: list[Exception] = []
        self._delivering = True
        try:
            while self._deliveries:
                try:
                    self._deliveries.popleft()()
                except Exception as error:  # noqa: BLE001 - the rest must still be told; raised below
                    failures.append(error)
        finally:
            self._delivering = False
        if len(failures) == 1:
            raise failures[0]
        if failures:
            raise ExceptionGroup("observers failed", failures)


def _event(event: Any) -> Event:
    """Read one of pycrdt's raw events."""
    kind = type(event)
    if kind is _RawTextEvent:
        return Event(event.path, delta=event.delta)
    if kind is not _RawMapEvent:
        return Event(event.path)
    try:
        return Event(event.path, frozenset(event.keys) or None)
    except BaseException as error:
        # yrs 0.28 panics here when a key was deleted before the update that had set it arrived, which
        # is no damage: the document is right, only the list of names cannot be had.
        if not _is_panic(error):
            raise
        return Event(event.path)


def _is_panic(error: BaseException) -> bool:
    """Whether a Rust panic came through; its class cannot be imported."""
    return type(error).__name__ == "PanicException"


def read_fields(
    parent: Map[Any], keys: Iterable[str], names: tuple[str, ...]
) -> list[tuple[Any, ...] | None]:
    """Read plain fields of many child maps at once; None for a missing field, or a child that is no map.

    Through pycrdt's accessors, which check each key twice and wrap each child, 5000 cells × 2 fields took 36
    ms; this way 8 ms (November 2026), and this is what a notebook waits for when it opens.
    """
    rows: list[tuple[Any, ...] | None] = []
    with parent.doc.transaction() as transaction:
        inner: Any = transaction._txn
        children = parent.integrated
        for key in keys:
            child = children.get(inner, key) if children.has(inner, key) else None
            if not isinstance(child, _RawMap):
                rows.append(None)
            else:
                rows.append(
                    tuple(child.get(inner, name) if child.has(inner, name) else None for name in names)
                )
    return rows
