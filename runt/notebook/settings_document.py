"""SettingsDocument: one user's settings as every peer sees them.

It knows no setting: names, types and defaults belong to the settings file. Invariant: every value is JSON.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import partial
from typing import Any

import msgspec
from pycrdt import Map

from runt.notebook import json_text, text
from runt.notebook.cell import json_map
from runt.notebook.crdt import CrdtDocument, Event, Origin
from runt.notebook.observers import Observers, Subscription


class SettingsChange(msgspec.Struct, frozen=True):
    """The names that one transaction set or removed."""

    origin: Origin
    names: frozenset[str]


class SettingsDocument(CrdtDocument):
    """Settings by name; the daemon fills it from the settings file."""

    def __init__(self) -> None:
        super().__init__({"settings": Map})
        self._settings: Map[Any] = self._roots["settings"]
        self._observers: Observers[SettingsChange] = Observers()
        self._names: set[str] = set()
        self._everything = False
        self._watch("settings", self._collect)

    def get(self, name: str, default: Any = None) -> Any:
        """The value of a setting, ``default`` when it is not set or not JSON."""
        return json_text.decode(self._settings.get(name), default)

    def all(self) -> dict[str, Any]:
        """All settings as a new dict, names sorted."""
        return json_map(self._settings)

    def set(self, name: str, value: Any, origin: Origin) -> None:
        """Set a setting to a JSON value. Does nothing when it has that value.

        Raises:
            ValueError, TypeError: the value is not JSON.
        """
        self.update({name: value}, origin)

    def update(self, values: Mapping[str, Any], origin: Origin) -> None:
        """Set several settings in one transaction; those that have their value already are left alone."""
        encoded = {text.clean(name): json_text.encode(value) for name, value in values.items()}
        changed = {name: value for name, value in encoded.items() if self._settings.get(name) != value}
        if changed:
            with self.transaction(origin):
                for name, value in changed.items():
                    self._settings[name] = value

    def remove(self, name: str, origin: Origin) -> None:
        """Remove a setting, so that its default holds. Does nothing when it is not set."""
        if name in self._settings:
            with self.transaction(origin):
                del self._settings[name]

    def observe(self, callback: Callable[[SettingsChange], None]) -> Subscription:
        """Call back once per transaction that changed something, after it has ended."""
        return self._observers.add(callback)

    def _collect(self, events: list[Event]) -> None:
        for event in events:
            self._everything = self._everything or (not event.path and event.keys is None)
            self._names.update(event.path[:1] or event.keys or ())

    def _take_change(self, origin: Origin) -> Callable[[], None] | None:
        if self._everything or self._doubtful:
            self._everything = False
            self._names.update(self._settings.keys())
        if not self._names:
            return None
        change, self._names = SettingsChange(origin, frozenset(self._names)), set()
        return partial(self._observers.deliver, change)
