"""A room's .ipynb: when it is saved, what is written, and what is said when that fails.

It formats nothing and merges nothing itself; worker threads do (``notebook_writing``, ``room_loading``).
The invariants: a save never loses an edit made meanwhile; a save that would not change the file writes
nothing; a failure stays visible in R until a save succeeds.
"""

from __future__ import annotations

import asyncio
import logging
import os
import secrets
import time
from collections.abc import Callable
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

import msgspec

from runt.daemon.autosave import SaveSchedule
from runt.daemon.notebook_writing import Formatted, format_notebook
from runt.daemon.refusals import RequestRefused
from runt.daemon.room_loading import MARKS, DiskMerge, Put, encode_mark, merge_disk
from runt.daemon.saved_state import BASES, ChangeCounts, SavedState
from runt.errors import FileChanged, NotebookFileError, StoreError
from runt.notebook.ipynb import FileNotebook
from runt.store.atomic_file import read_file, write_file
from runt.store.blobs import BlobStore

if TYPE_CHECKING:
    from runt.daemon.room import Room
    from runt.daemon.settings import Settings

log = logging.getLogger(__name__)

MERGE_ATTEMPTS = 3  # a file that changes again during each merge is left for the next save


@dataclass(slots=True, eq=False, repr=False)
class RoomFile:
    """The file of one room, or the lack of one (``path`` None: untitled)."""

    room: Room
    blobs: BlobStore
    put: Put
    path: Path | None
    saved: SavedState
    counts: ChangeCounts
    base: bytes | None  # N as last saved, for merges
    # Keeps another path for this room while it is written; for save_as.
    claim: Callable[[Room, str], AbstractAsyncContextManager[Path]]
    written: Callable[[Room, Path], None]  # to be told that this room wrote the file at a path
    settings: Settings
    new_mode: int  # permission bits of a file that does not exist yet
    parsed: FileNotebook | None = None  # the file as last read or written: its style
    mode_new: bool = False  # nothing is at the path yet
    schedule: SaveSchedule = field(init=False)
    # The last attempt to save that is not known to have ended well, and N as it was then.
    _saving: tuple[SavedState, bytes] | None = None
    _lock: asyncio.Lock = field(default_factory=asyncio.Lock)
    _timer: asyncio.TimerHandle | None = None
    _unsaved_shown: bool = False
    _closed: bool = False

    def __post_init__(self) -> None:
        autosave = self.settings.current.autosave
        self.schedule = SaveSchedule(quiet_s=autosave.delay_s, max_delay_s=autosave.max_delay_s)

    # -- changes ----------------------------------------------------------------------------------

    @property
    def unsaved(self) -> bool:
        """There is a file, and it lacks something."""
        return self.path is not None and (self.counts.n, self.counts.r) != (self.saved.n, self.saved.r)

    def is_at(self, path: str) -> bool:
        """Whether this is the file of that (absolute) path."""
        return self.path is not None and os.path.realpath(path) == str(self.path)

    def remember(self) -> None:
        """Put into the journal how far the file is, and N as saved where no mark says it."""
        self.room.log.side("saved", msgspec.json.encode(self.saved))
        self.room.log.side("counts", self.counts.encode())
        if not self.saved.mark:
            self.room.log.side(self.saved.base, self.base)
        self._saving = None
        self.room.log.side("saving", None)

    def remember_first(self) -> None:
        """As `remember`, for a room that was just made of its file: N as recorded up to now is as saved."""
        if self.base is not None:
            self.saved = msgspec.structs.replace(self.saved, mark=self._set_mark())
        self.remember()

    def _set_mark(self) -> str:
        """Mark the place in the journal behind all changes of N up to now; returns its name.

        Small: N itself (megabytes, for a big notebook) must not be written at each save.
        """
        mark = secrets.token_hex(8)
        self.room.log.update(MARKS, encode_mark(mark, self.room.notebook.state()))
        return mark

    def keep_bases(self) -> None:
        """The journal is about to forget single updates, and marks with them: put what they stand for there
        as it is.
        """
        if self.saved.mark and self.base is not None:
            self.saved = msgspec.structs.replace(self.saved, mark="")
            self.room.log.side(self.saved.base, self.base)
            self.room.log.side("saved", msgspec.json.encode(self.saved))
        if self._saving is not None and self._saving[0].mark:
            saving, base = self._saving
            saving = msgspec.structs.replace(saving, mark="")
            self._saving = saving, base
            self.room.log.side(saving.base, base)
            if saving.disk_hash:
                self.room.log.side("saving", msgspec.json.encode(saving))

    def take_disk(self, merged: DiskMerge) -> None:
        """At opening: take in what was written to the file while the room was closed."""
        clean = not self.unsaved
        self.take_merge(merged, outputs_unsaved=self.counts.r != self.saved.r)
        if clean:
            # Room and file say the same now.
            self.saved = msgspec.structs.replace(self.saved, n=self.counts.n, r=self.counts.r)
            self.remember()

    def _show_unsaved(self) -> None:
        """Let the peers know when the file begins or ceases to lack something; not at every change."""
        if self.unsaved != self._unsaved_shown:
            self._unsaved_shown = self.unsaved
            with self.room.runtime_changes() as writer:
                writer.set_file(unsaved=self.unsaved)

    def start(self) -> None:
        """Begin to watch the clock; a room that was restored with unsaved changes saves them soon."""
        self._unsaved_shown = self.room.runtime.file.unsaved
        self._show_unsaved()
        if self.unsaved or (self.mode_new and self.path is not None):
            self.schedule.changed(self.room.loop.time())
            self._set_timer()

    def notebook_changed(self) -> None:
        self.counts.n += 1
        self.room.log.side("counts", self.counts.encode())
        self._show_unsaved()
        self.schedule.changed(self.room.loop.time())
        self._set_timer()

    def outputs_changed(self, *, ended: bool = False) -> None:
        """An execution wrote output; ``ended``: and is complete."""
        self.counts.r += 1
        self.room.log.side("counts", self.counts.encode())
        self._show_unsaved()
        now = self.room.loop.time()
        if ended:
            self.schedule.execution_ended(now)
        else:
            self.schedule.output(now)
        self._set_timer()

    def _set_timer(self) -> None:
        due = self.schedule.due()
        if due is None or self.path is None or self._closed or not self.settings.current.autosave.enabled:
            return
        if self._timer is not None:
            if self._timer.when() <= due:
                return  # it fires earlier, looks again and waits for the rest
            self._timer.cancel()
        self._timer = self.room.loop.call_at(due, self._due)

    def _due(self) -> None:
        self._timer = None
        due = self.schedule.due()
        if due is None or self._closed:
            return
        if due > self.room.loop.time() + 0.001:
            self._set_timer()
        elif not self._lock.locked():
            self.room.tasks.start(self._autosave(), "autosave")
        else:
            self._timer = self.room.loop.call_later(0.1, self._due)

    async def _autosave(self) -> None:
        try:
            await self.save()
        except (StoreError, OSError, NotebookFileError) as error:
            log.warning("room %s: autosave failed: %s", self.room.id, error)
        except Exception:
            # A bug of ours: R says so, and the room must still be able to close.
            log.exception("room %s: autosave failed", self.room.id)

    # -- saving -----------------------------------------------------------------------------------

    async def save(self, *, explicit: bool = False) -> None:
        """Bring the file up to date.

        Raises:
            RequestRefused: untitled (only when explicit).
            StoreError, OSError, NotebookFileError: it failed; R says so until a save succeeds.
        """
        async with self._lock:
            if self.path is None:
                if explicit:
                    raise RequestRefused(
                        "bad_request", "the notebook has no file yet", hint="save it under a name"
                    )
                return
            clean = not self.unsaved and not self.mode_new and not self.room.runtime.file.error
            if clean and (not explicit or await asyncio.to_thread(self.path.exists)):
                self.schedule.begun()
                return
            try:
                await self._save_to(self.path, self.saved.disk_hash or None, unnoted=explicit)
            except Exception as error:
                # Not only what a disk does: also a bug of ours in one output must be seen and tried again.
                self.schedule.failed(self.room.loop.time())
                self._show_error(_one_line(error))
                self._set_timer()
                raise

    async def _save_to(self, path: Path, expected: str | None, *, unnoted: bool = True) -> None:
        for attempt in range(MERGE_ATTEMPTS):
            try:
                await self._write(path, expected, unnoted=unnoted)
                return
            except FileChanged:
                if attempt == MERGE_ATTEMPTS - 1:
                    raise
                changed = await self._merge_disk(path)
                expected = changed or None

    async def _write(self, path: Path, expected: str | None, *, unnoted: bool = True) -> None:
        began = time.monotonic()
        notebook = self.room.notebook.update_since()
        runtime = self.room.runtime.update_since()
        self._saving = self._capture(notebook), notebook
        self.schedule.begun()
        formatted: Formatted = await asyncio.to_thread(
            format_notebook, path, notebook, runtime, self.parsed, expected, self.blobs
        )
        self._saving = msgspec.structs.replace(self._saving[0], disk_hash=formatted.disk_hash), notebook
        if not formatted.unchanged:
            await self._announce(self._saving[0], unnoted=unnoted)
            await asyncio.to_thread(
                write_file, path, formatted.data, expected_sha256=expected, mode=self.new_mode
            )
            self.written(self.room, path)
        now = self.room.loop.time()
        self.schedule.succeeded(now, time.monotonic() - began)
        self.parsed = formatted.parsed
        self._set_saved(*self._saving)
        if not formatted.unchanged:
            log.info("room %s: saved %d bytes", self.room.id, len(formatted.data))
        self._set_timer()

    def _capture(self, notebook: bytes) -> SavedState:
        """How far the file is to be, and where N is as it is now."""
        now = msgspec.structs.replace(self.saved, disk_hash="", n=self.counts.n, r=self.counts.r)
        if notebook == self.base:
            return now
        other = BASES[1] if self.saved.base == BASES[0] else BASES[0]
        return msgspec.structs.replace(now, base=other, mark=self._set_mark())

    async def _announce(self, saving: SavedState, *, unnoted: bool) -> None:
        """Put into the journal what is about to be in the file.

        Else a daemon that is killed after the write would find a version that it does not know, and merge its
        own cells and text into the notebook a second time.
        """
        self.room.log.side("saving", msgspec.json.encode(saving))
        self.room.log.flush()
        try:
            await self.room.journal.flush()
        except StoreError as error:
            # What the journal lacks the clients keep: by itself it need not go into the file, where after a
            # kill it would count as somebody else's. For a person the file is the safest place that is left.
            if not unnoted:
                raise
            log.warning("room %s: saved without a note in the journal: %s", self.room.id, error)

    def _set_saved(self, saved: SavedState, base: bytes) -> None:
        self.mode_new = False
        if saved.mark and not self.saved.mark:
            self.room.log.side(self.saved.base, None)
        self.base = base
        self.saved = saved
        self._saving = None
        self.room.log.side("saved", msgspec.json.encode(self.saved))
        self.room.log.side("saving", None)
        with self.room.runtime_changes() as writer:
            writer.set_file(
                path=str(self.path),
                saved_at=time.time(),
                disk_hash=saved.disk_hash,
                saved_seq_n=saved.n,
                saved_seq_r=saved.r,
                error=None,
            )
        self._show_unsaved()

    def _show_error(self, text: str) -> None:
        if self.room.runtime.file.error != text:
            with self.room.runtime_changes() as writer:
                writer.set_file(error=text)

    async def _merge_disk(self, path: Path) -> str:
        """Take in what somebody else wrote to the file; returns its hash ("" if the file is gone)."""
        try:
            data, disk_hash = await asyncio.to_thread(read_file, path)
        except FileNotFoundError:
            return ""
        log.info("room %s: the file changed on disk, merging", self.room.id)
        merged = await asyncio.to_thread(
            merge_disk,
            self.room.notebook.update_since(),
            self.base,
            data,
            str(path),
            disk_hash,
            self.room.id,
            self.put,
        )
        outputs_unsaved = self.counts.r != self.saved.r
        self.take_merge(merged, outputs_unsaved=outputs_unsaved)
        self.room.notice("the file was changed by another program: both versions were merged")
        return disk_hash

    def take_merge(self, merged: DiskMerge, *, outputs_unsaved: bool) -> None:
        """Apply a merge with the file: text as an update; outputs where the file's are newer than ours.

        In one burst of the journal with the note that this version of the file is in: it must not be merged
        twice.
        """
        self.room.notebook.apply(merged.notebook, "disk")
        self.parsed = merged.parsed
        # What the file says is no state that the room ever had: no place in the journal stands for it.
        self.saved = msgspec.structs.replace(self.saved, disk_hash=merged.disk_hash, mark="")
        self.base = merged.base
        self.remember()
        with self.room.runtime_changes() as writer:
            for entry in merged.outputs:
                current = self.room.runtime.execution(entry.cell)
                if current is not None and current.status == "running":
                    continue
                if current is None or entry.source_changed or not outputs_unsaved:
                    if current is not None and _same_outputs(self.room, entry.cell, entry.outputs):
                        continue
                    writer.load(entry.cell, entry.id, entry.count, list(entry.outputs))

    # -- another path -----------------------------------------------------------------------------

    async def save_as(self, path: str) -> Path:
        """Write to another path and stay there. Raises RequestRefused, StoreError, OSError."""
        async with self._lock:
            old = self.path
            try:
                async with self.claim(self.room, path) as target:
                    if target == old:
                        await self._save_to(target, self.saved.disk_hash or None)
                    else:
                        self.path = target
                        await self._write(target, None)
            except BaseException:
                self.path = old
                raise
            return target

    async def close(self, *, save: bool) -> None:
        """Stop the clock; save once more what is unsaved. A failure leaves it in the journal, and so does
        a user who wants no autosave.
        """
        if self._timer is not None:
            self._timer.cancel()
        self._closed = True
        wanted = save and self.settings.current.autosave.enabled
        if wanted and (self.unsaved or (self.mode_new and self.path is not None)):
            await self._autosave()


def _same_outputs(room: Room, cell: str, outputs: tuple[str, ...]) -> bool:
    """Whether R shows exactly these manifests already."""
    from runt.notebook.cell import CellKey
    from runt.notebook.manifests import encode
    from runt.notebook.runtime_document import LiveStream, ManifestHash

    shown = room.runtime.outputs(CellKey(cell))
    if len(shown) != len(outputs) or any(isinstance(entry, LiveStream | ManifestHash) for entry in shown):
        return False
    return all(encode(entry) == text for entry, text in zip(shown, outputs, strict=True))  # type: ignore[arg-type]


def _one_line(error: Exception) -> str:
    if isinstance(error, StoreError | NotebookFileError):
        return str(error)
    if isinstance(error, OSError) and error.strerror:
        return f"{error.filename or 'file'}: {os.strerror(error.errno or 0)}"
    return repr(error)
