"""Making a room ready: journal, file, clients' pending edits, and the kernel that may still run.

It keeps no list of rooms (``rooms`` does) and runs nothing heavy on the loop. The invariants: a damaged
journal never becomes an empty notebook: what could be salvaged is used, else the file is read again, and
the peers are told; a client's pending edits are deleted only after they are journaled.
"""

from __future__ import annotations

import asyncio
import logging
import uuid
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import msgspec

from runt.daemon.kernel_remains import remove_kernel
from runt.daemon.kernel_room import KernelRoom
from runt.daemon.refusals import RequestRefused
from runt.daemon.room import Room
from runt.daemon.room_file import RoomFile
from runt.daemon.room_loading import (
    DiskMerge,
    LoadedDocuments,
    contains,
    import_file,
    merge_disk,
    new_room,
    notebook_at,
    restore,
    salvage,
)
from runt.daemon.saved_state import BASES, ChangeCounts, SavedState
from runt.errors import DamagedUpdate, StoreError
from runt.notebook.ipynb import FileNotebook
from runt.notebook.manifests import BlobRef
from runt.notebook.notebook_document import SCHEMA, NotebookDocument
from runt.notebook.runtime_document import RuntimeDocument
from runt.store.atomic_file import clear_interrupted, read_file
from runt.store.blobs import BlobStore
from runt.store.journal import RoomContents, RoomDamaged, RoomJournal
from runt.store.journal_database import replace_room
from runt.store.journal_writer import JournalWriter
from runt.store.places import Places

if TYPE_CHECKING:
    from runt.daemon.lifecycle import Daemon
    from runt.daemon.rooms import Rooms
    from runt.daemon.settings import Settings

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class _OnDisk:
    """The file as read at opening."""

    data: bytes
    disk_hash: str


@dataclass(frozen=True, slots=True)
class _Opened:
    """What a worker thread made of journal and file. ``fresh``: not in the journal yet."""

    documents: LoadedDocuments
    fresh: bool
    saved: SavedState
    counts: ChangeCounts
    base: bytes | None
    parsed: FileNotebook | None = None
    merge: DiskMerge | None = None


class RoomOpener:
    """Opens rooms for one daemon. ``rooms`` is set once both exist."""

    rooms: Rooms

    def __init__(
        self,
        places: Places,
        journals: JournalWriter,
        blobs: BlobStore,
        settings: Settings,
        owner: str,
        daemon: Daemon,
    ) -> None:
        self._places = places
        self._journals = journals
        self._blobs = blobs
        self._settings = settings
        self._owner = owner
        self._daemon = daemon

    def put(self, data: bytes, media_type: str) -> BlobRef:
        """Store a blob. Blocks for big data."""
        hash_, size = self._blobs.put(data, media_type)
        return BlobRef(hash_, size)

    # -- opening ----------------------------------------------------------------------------------

    async def open(self, id_: str, path: Path | None, metadata: dict[str, Any] | None) -> Room:
        """Load a room. Raises RequestRefused, NotebookFileError, StoreError, OSError."""
        journal, notice = await self._open_journal(id_)
        try:
            try:
                opened = await asyncio.to_thread(self._load, id_, path, metadata, journal.contents)
            except DamagedUpdate as error:
                log.exception("room %s: the journal cannot be used", id_)
                kept_as = await self._start_over(journal, path)
                journal = await self._journals.open(journal.path)
                opened = await asyncio.to_thread(self._load, id_, path, metadata, journal.contents)
                notice = (
                    f"the notebook's journal was damaged ({error.message}); what could be read was recovered, "
                    f"the old one is kept as {kept_as}"
                )
            side = dict(journal.contents.side)
            journal.release()
            room = self._build(id_, path, journal, opened)
        except BaseException:
            await journal.close()
            raise
        try:
            await self._settle(room, opened, side)
        except BaseException:
            await room.close(save=False)
            raise
        if notice:
            log.error("room %s: %s", id_, notice)
            room.opening_notice = notice
        return room

    async def _open_journal(self, id_: str) -> tuple[RoomJournal, str]:
        path = self._places.rooms / f"{id_}.db"
        try:
            return await self._journals.open(path), ""
        except RoomDamaged as error:
            journal = await self._journals.open(path)
            return (
                journal,
                f"the notebook's journal was damaged; what could be read was recovered ({error.hint})",
            )

    async def _start_over(self, journal: RoomJournal, path: Path | None) -> Path:
        """Put a new database in the place of one that does not lead to a notebook, with what can be used of
        it. Returns where the old one is kept. Raises StoreError, OSError.
        """
        contents = journal.contents
        await journal.close()
        documents, side = await asyncio.to_thread(_salvaged, contents, path, self._owner)
        return await asyncio.to_thread(replace_room, journal.path, documents, side)

    def _load(
        self, id_: str, path: Path | None, metadata: dict[str, Any] | None, contents: RoomContents
    ) -> _Opened:
        """Runs in a worker thread."""
        on_disk = None
        if path is not None:
            _clear_killed_save(path, contents.side)
            try:
                on_disk = _OnDisk(*read_file(path))
            except FileNotFoundError:
                on_disk = None
        restored = None
        if not contents.is_empty:
            restored = restore(contents.snapshots, contents.updates, self._owner)
        if restored is not None:
            return self._restored(id_, path, restored, contents, on_disk)
        if on_disk is not None:
            documents, parsed = import_file(
                on_disk.data, str(path), on_disk.disk_hash, id_, self._owner, self.put
            )
            saved = SavedState(disk_hash=on_disk.disk_hash)
            return _Opened(documents, True, saved, ChangeCounts(), documents.notebook, parsed)
        if path is not None and metadata is None:
            # Neither journal nor file: an empty notebook in its place would be written to the path.
            raise RequestRefused("not_found", f"{path}: no such file", hint="check the path")
        documents = new_room(id_, metadata or {}, self._owner)
        return _Opened(documents, True, SavedState(), ChangeCounts(), None)

    def _restored(
        self,
        id_: str,
        path: Path | None,
        documents: LoadedDocuments,
        contents: RoomContents,
        on_disk: _OnDisk | None,
    ) -> _Opened:
        side = contents.side
        saved = msgspec.json.decode(side["saved"], type=SavedState) if "saved" in side else SavedState()
        counts = ChangeCounts.decode(side["counts"]) if "counts" in side else ChangeCounts()
        saving = msgspec.json.decode(side["saving"], type=SavedState) if "saving" in side else None
        if saving is not None and on_disk is not None and on_disk.disk_hash == saving.disk_hash:
            saved = saving  # the daemon was killed between the write and its note
        base = base_of(contents, saved, documents)
        if base is None and saved.mark and on_disk is not None:
            # An older state than the file's. Going on from there would write it over the file.
            raise DamagedUpdate("changes that were saved are missing")
        merge = None
        if on_disk is not None and on_disk.disk_hash != saved.disk_hash:
            merge = merge_disk(
                documents.notebook, base, on_disk.data, str(path), on_disk.disk_hash, id_, self.put
            )
        return _Opened(documents, False, saved, counts, base, None, merge)

    def _build(self, id_: str, path: Path | None, journal: RoomJournal, opened: _Opened) -> Room:
        notebook, runtime = NotebookDocument(), RuntimeDocument()
        notebook.apply(opened.documents.notebook, "journal")
        runtime.apply(opened.documents.runtime, "journal")
        if notebook.schema != SCHEMA:
            raise RequestRefused(
                "newer_schema",
                f"the notebook was made by a newer runt (schema {notebook.schema})",
                hint="update runt",
            )
        room = Room(
            id_, notebook, runtime, journal, on_left=self.rooms.linger, on_poisoned=self.rooms.discard
        )
        room.file = RoomFile(
            room=room,
            blobs=self._blobs,
            put=self.put,
            path=path,
            saved=opened.saved,
            counts=opened.counts,
            base=opened.base,
            claim=self.rooms.claim,
            written=self.rooms.written,
            settings=self._settings,
            new_mode=0o666 & ~self._daemon.umask,
            parsed=opened.parsed,
            mode_new=not opened.saved.disk_hash,
        )
        room.kernel = KernelRoom(room, self._places, self._blobs, self.put, self._settings)
        if opened.fresh:
            room.log.update("n", opened.documents.notebook)
            room.log.update("r", opened.documents.runtime)
            room.file.remember_first()
        return room

    async def _settle(self, room: Room, opened: _Opened, side: dict[str, bytes]) -> None:
        """What is done on the loop before anybody joins."""
        if opened.merge is not None:
            room.file.take_disk(opened.merge)
        elif "saving" in side:
            room.file.remember()
        with room.runtime_changes() as writer:
            writer.set_file(
                path=str(room.file.path) if room.file.path else None,
                disk_hash=room.file.saved.disk_hash or None,
            )
        await self.merge_pending(room)
        await room.kernel.restore(side)
        room.file.start()
        room.log.flush()

    # -- pending edits of clients -----------------------------------------------------------------

    async def merge_pending(self, room: Room) -> None:
        """Take in the edits that clients could not deliver, if they belong to this history of the
        notebook.
        """
        from runt.store.pending import PendingFile

        directory = self._places.pending / room.id
        files = await asyncio.to_thread(PendingFile.list, directory)
        merged = []
        for file in files:
            if file.epoch != room.notebook.epoch:
                continue  # of another history: kept until a client merges it
            updates = await asyncio.to_thread(file.read)
            if room.closing:
                return  # perhaps nothing is recorded any more: the next opening takes them
            for update in updates:
                try:
                    room.notebook.apply(update, "pending")
                except DamagedUpdate as error:
                    log.warning("room %s: a pending edit is damaged: %s", room.id, error.message)
                    room.check_poisoned()
                    return
            if any(map(room.notebook.lacks, updates)):
                log.warning("room %s: pending edits wait for earlier ones: %s stays", room.id, file.path.name)
            else:
                merged.append(file)
        if merged:
            log.info("room %s: merged %d pending files", room.id, len(merged))
            room.log.flush()
            try:
                await room.journal.flush(durable=True)
            except StoreError as error:
                log.warning("room %s: pending edits stay: %s", room.id, error)
                return
            if room.closing:
                return
            for file in merged:
                await asyncio.to_thread(file.remove)

    # -- kernels that run -------------------------------------------------------------------------

    async def adopt_all(self) -> None:
        """Open the room of every supervisor that runs, so that its kernel's output is taken in.

        One that its room does not know is left from a daemon that was killed while it removed it, or the
        room's journal was damaged.
        """
        if not self._places.supervisors.is_dir():
            return
        names = await asyncio.to_thread(_directory_names, self._places.supervisors)
        for name in names:
            id_ = name.partition(".")[0]
            try:
                room = await self.rooms.open_id(str(uuid.UUID(id_)))
                if not room.kernel.owns(name):
                    log.warning("kernel directory %s: no notebook knows this kernel, so it is ended", name)
                    directory = self._places.supervisors / name
                    await asyncio.to_thread(remove_kernel, directory, self._places.kernel_sockets)
            except (RequestRefused, ValueError, StoreError, OSError) as error:
                log.warning("kernel directory %s cannot be adopted: %s", name, error)
            except Exception:
                log.exception("kernel directory %s cannot be adopted", name)

    async def stop_all_kernels(self) -> None:
        """End every kernel, also those whose rooms were not opened yet."""
        await self.adopt_all()
        results = await asyncio.gather(
            *(
                room.kernel.shutdown()
                for room in self.rooms
                if room.kernel.alive or room.kernel.has_supervisor
            ),
            return_exceptions=True,
        )
        for error in results:
            if isinstance(error, BaseException):
                log.error("a kernel could not be stopped: %r", error)


def _clear_killed_save(path: Path, side: dict[str, bytes]) -> None:
    """If the last daemon was killed over a save, remove its temporary file. Blocks."""
    if "saving" not in side:
        return
    saving = msgspec.json.decode(side["saving"], type=SavedState)
    saved = msgspec.json.decode(side["saved"], type=SavedState) if "saved" in side else SavedState()
    try:
        clear_interrupted(path, saving.disk_hash, saved.disk_hash)
    except OSError as error:
        log.warning("%s: what a killed save left cannot be removed: %s", path, error)


def base_of(contents: RoomContents, saved: SavedState, now: LoadedDocuments) -> bytes | None:
    """N as it was saved, as far as the journal can tell; ``now`` is what the journal leads to."""
    if saved.mark:
        return notebook_at(contents.snapshots, contents.updates, saved.mark, now)
    return contents.side.get(saved.base)


def _salvaged(
    contents: RoomContents, path: Path | None, owner: str
) -> tuple[dict[str, bytes], dict[str, bytes]]:
    """Documents and side values for a new database. Nothing, where the file has more than can be salvaged:
    then the notebook is made of the file, under a new history, and clients bring what they have into that.
    """
    documents = salvage(contents.snapshots, contents.updates, owner)
    if documents is None:
        return {}, {}
    saved = (
        msgspec.json.decode(contents.side["saved"], type=SavedState)
        if "saved" in contents.side
        else SavedState()
    )
    base = base_of(contents, saved, documents)
    usable = base is not None and contains(documents.notebook, base)
    if saved.disk_hash and not usable and path is not None and path.exists():
        return {}, {}
    side = {name: data for name, data in contents.side.items() if name not in (*BASES, "saving")}
    saved = msgspec.structs.replace(saved, mark="")
    side["saved"] = msgspec.json.encode(saved)
    if base is not None and usable:
        side[saved.base] = base
    return {"n": documents.notebook, "r": documents.runtime}, side


def _directory_names(directory: Path) -> list[str]:
    return sorted(entry.name for entry in directory.iterdir() if entry.is_dir())
