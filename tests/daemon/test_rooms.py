"""Rooms: opening, editing together, journals, closing. Real daemon, raw clients."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path

import pytest

from runt.protocol.messages import Presence
from runt.protocol.ysync import SyncKind
from tests.daemon.daemon_in_loop import DaemonInLoop, until
from tests.daemon.raw_client import RawClient, RefusedError


async def test_a_notebook_is_shown_as_it_is_in_the_file(here: DaemonInLoop) -> None:
    """Sources, order, and outputs as executions of status loaded."""
    path = here.notebook("a.ipynb", "a = 1", "#md # Title")
    client = await here.join(path)
    assert client.sources() == ["a = 1", "# Title"]
    assert client.welcome is not None
    assert client.welcome.path == str(path)
    assert client.runtime.file.path == str(path)


async def test_outputs_of_the_file_are_loaded_executions(here: DaemonInLoop) -> None:
    """The execution of a file's outputs has an id that follows from room, file and cell."""
    path = here.notebook("a.ipynb", "1 + 1")
    content = here.file(path)
    content["cells"][0]["execution_count"] = 7
    content["cells"][0]["outputs"] = [{"output_type": "stream", "name": "stdout", "text": ["hello\n"]}]
    path.write_text(json.dumps(content))
    client = await here.join(path)
    (key,) = client.keys()
    view = client.runtime.execution(key)
    assert view is not None
    assert (view.status, view.count, view.id[:5]) == ("loaded", 7, "file:")
    assert client.printed(key) == "hello\n"


async def test_two_clients_see_each_others_typing(here: DaemonInLoop) -> None:
    """What one types arrives at the other, and the writer learns that it is journaled."""
    path = here.notebook("a.ipynb", "x")
    one, two = await here.join(path), await here.join(path)
    key = one.keys()[0]
    one.type(key, "a")
    await two.until(lambda: two.sources() == ["ax"], "the character")
    two.type(key, "b", 2)
    await one.until(lambda: one.sources() == ["axb"], "the other's character")
    await one.until(lambda: one.status.journaled_n == one.session.sent_n, "the acknowledgement")


async def test_one_file_is_one_room_whatever_it_is_called(here: DaemonInLoop) -> None:
    """A symbolic link, a path with dots, and a path without suffix all lead to the same room."""
    path = here.notebook("a.ipynb", "x")
    link = here.work / "link.ipynb"
    link.symlink_to(path)
    clients = [
        await here.join(name)
        for name in (path, link, here.work / "." / "a.ipynb", str(path)[: -len(".ipynb")])
    ]
    assert len({client.welcome.room for client in clients if client.welcome}) == 1
    assert {client.welcome.path for client in clients if client.welcome} == {str(path)}


@pytest.mark.parametrize(
    ("name", "code", "words"),
    [
        ("relative.ipynb", "bad_request", "absolute"),
        ("{work}/absent.ipynb", "not_found", "no such file"),
        ("{work}", "is_directory", "is a directory"),
        ("{work}/text.ipynb", "not_a_notebook", "text.ipynb:1"),
        ("{work}/a.ipynb/b.ipynb", "not_found", "not a directory"),
    ],
)
async def test_what_cannot_be_opened_is_refused_by_a_code_and_a_line(
    here: DaemonInLoop, name: str, code: str, words: str
) -> None:
    """Each kind of bad path has its own code; the file is left alone and gets no room."""
    here.notebook("a.ipynb", "x")
    text = here.work / "text.ipynb"
    text.write_text("hello")
    with pytest.raises(RefusedError, match=words) as caught:
        await here.connect(path=name.format(work=here.work))
    assert caught.value.code == code
    assert text.read_text() == "hello"
    assert (await here.control("list")) == []


async def test_a_new_notebook_is_made_where_there_is_none(here: DaemonInLoop) -> None:
    """``new`` with a path makes the file; a missing suffix is added."""
    client = await here.join(here.work / "fresh", new=True)
    path = here.work / "fresh.ipynb"
    assert client.welcome is not None
    assert client.welcome.path == str(path)
    await client.request("save")
    assert here.file(path)["cells"] == []


async def test_an_untitled_notebook_gets_a_file_by_save_as(here: DaemonInLoop) -> None:
    """Untitled: no file, saving is refused; after save_as it is that file's room."""
    client = await here.join(new=True)
    assert client.welcome is not None
    assert client.welcome.path is None
    client.document.insert_cell(0, "code", "x = 1", origin="me")
    with pytest.raises(RefusedError):
        await client.request("save")
    answer = await client.request("save_as", path=str(here.work / "named"))
    path = Path(answer["path"])
    assert path == here.work / "named.ipynb"
    assert "".join(here.file(path)["cells"][0]["source"]) == "x = 1"
    other = await here.join(path)
    assert other.welcome is not None
    assert other.welcome.room == client.welcome.room


async def test_save_as_never_overwrites_another_notebook(here: DaemonInLoop) -> None:
    """A path that is taken is refused, and the file there keeps its bytes."""
    taken = here.notebook("taken.ipynb", "keep")
    before = taken.read_bytes()
    client = await here.join(here.notebook("a.ipynb", "x"))
    with pytest.raises(RefusedError) as caught:
        await client.request("save_as", path=str(taken))
    assert caught.value.code == "path_in_use"
    assert taken.read_bytes() == before


async def test_opening_and_leaving_does_not_touch_the_file(here: DaemonInLoop) -> None:
    """No save happens without a change, not even a requested one."""
    path = here.notebook("a.ipynb", "x")
    before = path.stat()
    client = await here.join(path)
    await client.request("save")
    client.close()
    await here.stop()
    after = path.stat()
    assert (before.st_ino, before.st_mtime_ns) == (after.st_ino, after.st_mtime_ns)
    await here.start()


async def test_an_edit_is_in_the_file_by_itself(here: DaemonInLoop) -> None:
    """Autosave brings it there without a request."""
    path = here.notebook("a.ipynb", "x")
    client = await here.join(path)
    client.type(client.keys()[0], "typed ")
    await until(lambda: "typed x" in path.read_text(), "the autosave")
    assert client.runtime.file.error == ""


async def test_edits_survive_an_orderly_restart(here: DaemonInLoop) -> None:
    """The next daemon has the text, under the same epoch, and the file has it too."""
    path = here.notebook("a.ipynb", "x")
    client = await here.join(path)
    client.type(client.keys()[0], "kept ")
    await client.request("synced", n=client.session.sent_n)
    epoch = client.document.epoch
    await here.restart()
    again = await here.join(path)
    assert again.sources() == ["kept x"]
    assert again.document.epoch == epoch
    assert "kept x" in path.read_text()


async def test_a_file_that_changed_while_the_room_was_closed_is_merged(here: DaemonInLoop) -> None:
    """Without unsaved changes the room says what the file says, under its old keys."""
    path = here.notebook("a.ipynb", "one", "two")
    client = await here.join(path)
    keys = client.keys()
    await here.stop()
    content = here.file(path)
    content["cells"][0]["source"] = ["one changed"]
    path.write_text(json.dumps(content, indent=1))
    await here.start()
    again = await here.join(path)
    assert again.sources() == ["one changed", "two"]
    assert again.keys() == keys
    assert "one changed" in path.read_text()


async def test_a_file_that_changed_under_unsaved_edits_is_merged_with_them(here: DaemonInLoop) -> None:
    """The save finds another version on disk and takes both sides' lines."""
    path = here.notebook("a.ipynb", "line1\nline2\nline3\n")
    client = await here.join(path)
    content = here.file(path)
    content["cells"][0]["source"] = ["line1 disk\n", "line2\n", "line3\n"]
    path.write_text(json.dumps(content, indent=1))
    client.type(client.keys()[0], "line4", len("line1\nline2\nline3\n"))
    await client.request("save")
    await client.until(lambda: client.sources() == ["line1 disk\nline2\nline3\nline4"], "the merge")
    assert "".join(here.file(path)["cells"][0]["source"]) == "line1 disk\nline2\nline3\nline4"


async def test_a_damaged_journal_is_never_an_empty_notebook(here: DaemonInLoop) -> None:
    """The room is made from what could be salvaged or from the file, and the peers are told."""
    path = here.notebook("a.ipynb", "in the file")
    client = await here.join(path)
    room = client.welcome.room if client.welcome else ""
    await here.stop()
    database = here.places.rooms / f"{room}.db"
    database.write_bytes(b"\x00garbage" * 4096)
    await here.start()
    again = await here.join(path)
    assert again.sources() == ["in the file"]
    await again.until(lambda: any("damaged" in str(event.data) for event in again.events), "the notice")
    assert list(here.places.rooms.glob("*.corrupt*"))


async def test_garbage_drops_one_client_and_no_other(here: DaemonInLoop) -> None:
    """Random bytes, a malformed update and a frame of the wrong kind each close only their sender."""
    path = here.notebook("a.ipynb", "x")
    good, bad, worse = [await here.join(path) for _ in range(3)]
    bad.transport.write(b"\xff" * 100)
    worse.sync("n", SyncKind.UPDATE, b"\x01\x02garbage")
    await bad.until(lambda: bad.lost, "the end of the garbage client")
    await worse.until(lambda: worse.lost, "the end of the client with a bad update")
    good.type(good.keys()[0], "still ")
    other = await here.join(path)
    await other.until(lambda: other.sources() == ["still x"], "the good client's edit")


async def test_a_document_that_broke_is_loaded_again_from_the_journal(here: DaemonInLoop) -> None:
    """Its peers are disconnected, and who connects again finds everything that was acknowledged."""
    path = here.notebook("a.ipynb", "x")
    one, two = await here.join(path), await here.join(path)
    one.type(one.keys()[0], "kept ")
    await one.request("synced", n=one.session.sent_n)
    room = next(iter(here.daemon.rooms))
    room.notebook.poisoned = True  # what pycrdt's panic leaves behind
    one.type(one.keys()[0], "lost ")
    await two.until(lambda: two.lost, "the end of the other connection")
    again = await here.join(path)
    assert again.sources() == ["kept x"]
    assert next(iter(here.daemon.rooms)) is not room


async def test_a_room_whose_journal_and_file_are_gone_is_not_found(here: DaemonInLoop) -> None:
    """No empty notebook is put in the place of a file that was deleted."""
    path = here.notebook("a.ipynb", "x")
    client = await here.join(path)
    room = client.welcome.room if client.welcome else ""
    await here.stop()
    path.unlink()
    for file in here.places.rooms.glob(f"{room}*"):
        file.unlink()
    await here.start()
    with pytest.raises(RefusedError) as caught:
        await here.connect(id=room)
    assert caught.value.code == "not_found"
    assert not path.exists()


async def test_without_autosave_only_a_request_writes(here: DaemonInLoop) -> None:
    """The setting is off: the edit waits in the journal until somebody saves."""
    here.places.settings_json.parent.mkdir(exist_ok=True)
    here.places.settings_json.write_text('{"autosave": {"enabled": false}}')
    await here.restart()
    path = here.notebook("a.ipynb", "x")
    client = await here.join(path)
    client.type(client.keys()[0], "y")
    await client.request("synced", n=client.session.sent_n)
    assert next(iter(here.daemon.rooms)).file._timer is None
    await client.request("save")
    assert "yx" in path.read_text()


async def test_presence_goes_to_the_others_with_the_daemons_stamp(here: DaemonInLoop) -> None:
    """A peer's claim about its id is replaced; leaving is told."""
    path = here.notebook("a.ipynb", "x")
    one, two = await here.join(path), await here.join(path)
    one.transport.write(one.session.presence(Presence(peer="forged", name="forged", cell="c", head=3)))
    await two.until(lambda: two.presences, "the presence")
    assert one.welcome is not None
    shown = two.presences[0]
    assert shown.peer == one.welcome.peer
    assert shown.name != "forged"
    assert shown.head == 3
    late = await here.join(path)
    await late.until(lambda: late.presences, "the presence of who was there before")
    one.vanish()
    await two.until(lambda: two.presences[-1].left, "the leave")


async def test_a_viewer_cannot_edit(here: DaemonInLoop) -> None:
    """An edit of a view connection is not taken, and it is told so."""
    path = here.notebook("a.ipynb", "x")
    viewer, other = await here.join(path, role="view"), await here.join(path)
    viewer.type(viewer.keys()[0], "no ")
    await viewer.until(lambda: viewer.events, "the notice")
    other.type(other.keys()[0], "yes ")
    await viewer.request("synced", n=viewer.session.sent_n)
    assert other.sources() == ["yes x"]
    with pytest.raises(RefusedError) as caught:
        await viewer.request("save")
    assert caught.value.code == "role"


async def test_an_unused_room_closes_and_opens_again(monkeypatch: pytest.MonkeyPatch) -> None:
    """Without peers, kernel and unsaved changes a room goes; joining again gets the same contents."""
    monkeypatch.setenv("RUNT_ROOM_LINGER_S", "0.05")
    async with DaemonInLoop() as here:
        path = here.notebook("a.ipynb", "x")
        client = await here.join(path)
        client.type(client.keys()[0], "once ")
        await client.request("save")
        client.close()
        await until(lambda: not list(here.daemon.rooms), "the room to close")
        again = await here.join(path)
        assert again.sources() == ["once x"]


async def test_many_clients_opening_at_once_share_one_load(here: DaemonInLoop) -> None:
    """Concurrent opens of one path give one room."""
    path = here.notebook("a.ipynb", "x")
    clients = await asyncio.gather(*(here.join(path) for _ in range(8)))
    assert len({client.welcome.room for client in clients if client.welcome}) == 1
    assert len(list(here.daemon.rooms)) == 1


async def test_a_slow_reader_gets_one_state_instead_of_its_backlog(here: DaemonInLoop) -> None:
    """A client that stops reading loses no text, and others are not held up by it."""
    path = here.notebook("a.ipynb", "")
    fast, slow = await here.join(path), await here.join(path)
    slow.transport.pause_reading()
    key = fast.keys()[0]
    for number in range(200):
        fast.type(key, f"{number:04d}" * 5000)
        if number % 20 == 0:  # what is still in flight when the daemon notices is sent all the same
            await fast.request("synced", n=fast.session.sent_n)
    await fast.request("synced", n=fast.session.sent_n)
    slow.transport.resume_reading()
    await slow.until(lambda: slow.sources() == fast.sources(), "the same text")
    assert slow.order.count("sync n") < 200


async def test_the_control_channel_tells_what_is_open(here: DaemonInLoop) -> None:
    """Status and list name the room, its path and its peers."""
    path = here.notebook("a.ipynb", "x")
    client = await here.join(path)
    status = await here.control("status")
    assert status["version"]
    assert [room["path"] for room in status["rooms"]] == [str(path)]
    assert status["kernels"] == []
    (entry,) = await here.control("list")
    assert entry["path"] == str(path)
    assert entry["kernel"]["state"] == "none"
    assert len(entry["peers"]) == 1
    with pytest.raises(RefusedError) as caught:
        await here.control("dance")
    assert caught.value.code == "unknown_method"
    assert isinstance(client, RawClient)


async def test_peers_are_told_that_the_daemon_stops(here: DaemonInLoop) -> None:
    """A shutdown says why before the connection ends, and leaves neither socket nor record."""
    client = await here.join(here.notebook("a.ipynb", "x"))
    await here.control("shutdown", reason="restart")
    await client.until(lambda: client.lost, "the end of the connection")
    assert client.events[-1].name == "stopping"
    assert client.events[-1].data == {"reason": "restart"}
    await until(
        lambda: not here.places.socket.exists() and not here.places.daemon_json.exists(), "a clean end"
    )
