"""The user's settings: read from settings.json, shown to every peer as a document, written back when one
changes them.

It explains no setting (``store.settings_file`` does). The invariant: ``current`` is always valid; a peer's
change that is not is undone in the document and never reaches the file.
"""

from __future__ import annotations

import asyncio
import logging
from pathlib import Path
from typing import Any

import msgspec

from runt.daemon.connection import Connection
from runt.daemon.owned_tasks import OwnedTasks
from runt.daemon.refusals import RequestRefused
from runt.daemon.scratch_documents import release
from runt.errors import DamagedUpdate, RemoteProtocolError, StoreError
from runt.notebook.crdt import Origin
from runt.notebook.settings_document import SettingsDocument
from runt.protocol.events import RequestReceived, SessionEvent, SyncReceived
from runt.protocol.session import State
from runt.protocol.ysync import SyncKind
from runt.store.settings_file import Settings as Values
from runt.store.settings_file import read_settings, write_settings

log = logging.getLogger(__name__)

MAX_UPDATE_BYTES = (
    1 << 20
)  # settings are a few kilobytes; a peer that sends more is not talking about settings


class Settings:
    """All settings of this daemon."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.current, problems = read_settings(path)
        for problem in problems:
            log.warning("settings: %s", problem)
        self.problems = problems
        self.channels: set[SettingsChannel] = set()
        self._tasks = OwnedTasks("settings")
        self._write_again = False
        self._writing = False
        self._make_document()

    def _make_document(self) -> None:
        self.document = SettingsDocument()
        self.document.update(self._builtins(self.current), "daemon")
        self._subscription = self.document.observe_updates(self._changed)

    def apply(self, update: bytes, peer: str) -> None:
        """Take a peer's change. Raises DamagedUpdate."""
        try:
            self.document.apply(update, peer)
        except DamagedUpdate:
            if self.document.poisoned:
                log.error("settings: an update broke the document, it is made anew")  # noqa: TRY400 - one line
                release(self.document)
                self._make_document()
                for channel in list(self.channels):
                    channel.document_replaced()
            raise

    async def close(self) -> None:
        self._subscription.close()
        await self._tasks.close()

    @staticmethod
    def _builtins(values: Values) -> dict[str, Any]:
        built: dict[str, Any] = msgspec.to_builtins(values)
        return built

    def _changed(self, update: bytes, origin: Origin) -> None:
        for channel in self.channels:
            if channel.peer != origin:
                channel.send(SyncKind.UPDATE, update)
        if origin != "daemon":
            self._take()

    def _take(self) -> None:
        """Make the document's values ours, one by one; those that are not valid are set back."""
        values = self._builtins(self.current)
        refused: dict[str, Any] = {}
        for name, value in self.document.all().items():
            if name not in values or value == values[name]:
                continue
            try:
                msgspec.convert({**values, name: value}, Values)
            except msgspec.ValidationError as error:
                log.warning("settings: a peer's %s was refused: %s", name, error)
                refused[name] = values[name]
            else:
                values[name] = value
        changed = msgspec.convert(values, Values)
        if refused:
            self.document.update(refused, "daemon")
        if changed != self.current:
            self.current = changed
            self._write_soon()

    def _write_soon(self) -> None:
        self._write_again = True
        if not self._writing:
            self._writing = True
            self._tasks.start(self._write(), "write")

    async def _write(self) -> None:
        try:
            while self._write_again:
                self._write_again = False
                try:
                    await asyncio.to_thread(write_settings, self.path, self.current)
                except StoreError as error:
                    log.warning("settings could not be written: %s", error)
        finally:
            self._writing = False


class SettingsChannel:
    """One peer that reads and writes settings. Created after the Welcome was sent."""

    def __init__(self, settings: Settings, connection: Connection, peer: str) -> None:
        self.peer = peer
        self._settings = settings
        self._connection = connection
        settings.channels.add(self)
        self.send(SyncKind.STEP1, settings.document.state())

    def send(self, kind: SyncKind, data: bytes) -> None:
        session = self._connection.session
        if session.state is State.OPEN:
            self._connection.send(session.sync("s", kind, data))

    def document_replaced(self) -> None:
        """Whoever holds the old document brings it along at the next connection."""
        self._settings.channels.discard(self)
        self._connection.close("settings made anew")

    def receive(self, event: SessionEvent) -> None:
        match event:
            case SyncReceived(kind=SyncKind.STEP1, data=state):
                self.send(SyncKind.STEP2, self._settings.document.update_since(state))
            case SyncReceived(data=data):
                if len(data) > MAX_UPDATE_BYTES:
                    raise RemoteProtocolError(f"a settings update of {len(data)} bytes")
                self._settings.apply(data, self.peer)
            case RequestReceived(request=request):
                self._connection.fail(
                    request.id, RequestRefused("unknown_method", f"no method {request.method!r} for settings")
                )
            case _:
                raise RemoteProtocolError(f"unexpected {type(event).__name__}")

    def burst_ended(self) -> None:
        pass

    def slowed(self) -> None:
        pass  # settings are small: nothing worth dropping

    def resumed(self) -> None:
        pass

    def closed(self) -> None:
        self._settings.channels.discard(self)
