"""Lost connections: what mends itself, what waits for a person, what survives another epoch."""

from __future__ import annotations

import asyncio

import pytest

from runt.errors import ConnectionLost, DaemonUnavailable
from runt.notebook.notebook_document import NotebookDocument
from runt.notebook.runtime_document import RuntimeDocument
from runt.notebook.runtime_writer import RuntimeWriter
from runt.peer.events import DocumentReplaced, PeerEvent, StatusChanged
from runt.peer.notebook import Notebook
from runt.protocol.messages import Hello, Request
from runt.protocol.ysync import SyncKind
from tests.peer.small_daemon import Scene, SmallConnection, SmallRoom, until


def sources(notebook: Notebook) -> list[str]:
    return [cell.source for cell in notebook.cells]


def events_of(notebook: Notebook) -> list[PeerEvent]:
    seen: list[PeerEvent] = []
    notebook.observe(seen.append)
    return seen


def states(seen: list[PeerEvent]) -> list[str]:
    return [event.status.state for event in seen if isinstance(event, StatusChanged)]


def rebuilt(room: SmallRoom, sources: list[str], keys: list[str] | None = None) -> None:
    """Give the room a document of another epoch with these cells."""
    room.document = NotebookDocument.create(room.id)
    for index, source in enumerate(sources):
        key = keys[index] if keys else None
        room.document.insert_cell(index, "code", source, key=key, origin="load")  # type: ignore[arg-type]
    room.watch()


async def test_a_lost_daemon_is_started_again(scene: Scene) -> None:
    """After a sudden end the client says so, starts the daemon, and goes on; edits made meanwhile arrive."""
    room = scene.daemon.add_room(sources=("a",))
    notebook = await scene.open()
    seen = events_of(notebook)
    await scene.daemon.kill()
    await until(lambda: "reconnecting" in states(seen), "the loss to be noticed")
    await notebook.cells.create("written while away")
    assert notebook.status.waiting == 1
    await until(
        lambda: notebook.status.state == "connected" and not notebook.status.waiting, "the connection"
    )
    assert room.sources() == ["a", "written while away"]
    assert list(dict.fromkeys(states(seen))) == ["reconnecting", "connected"]
    away = [event.status.waiting for event in seen if isinstance(event, StatusChanged)]
    assert 1 in away
    assert scene.daemon.starts == 2
    assert scene.daemon.hellos[-1].id == room.id


async def test_what_was_not_acknowledged_waits_for_the_new_sync(scene: Scene) -> None:
    """Edits that the old connection carried but nobody acknowledged count until the new STEP2 is
    journaled.
    """
    room = scene.daemon.add_room(sources=("a",))
    notebook = await scene.open()
    seen = events_of(notebook)
    await notebook.synced()
    room.hold_acks = True
    await notebook.cells.create("b")
    await until(lambda: room.sources() == ["a", "b"], "the edit")
    scene.daemon.connections[0].transport.abort()
    await until(lambda: "reconnecting" in states(seen), "the loss")
    await until(lambda: notebook.status.state == "connected", "the new connection")
    assert notebook.status.waiting == 1
    scene.daemon.connections[0].acknowledge()
    await until(lambda: notebook.status.waiting == 0, "the acknowledgement")


async def test_an_unanswered_request_is_sent_again_with_its_id(scene: Scene) -> None:
    """A request that the lost connection did not answer is repeated, and its caller gets the answer."""
    room = scene.daemon.add_room()
    notebook = await scene.open()
    room.answer = None
    waiting = asyncio.ensure_future(notebook.request("something", value=1))
    await until(lambda: room.requests, "the request")
    await scene.daemon.kill()
    room.answer = lambda request: {"value": request.params["value"]}
    assert await waiting == {"value": 1}
    first, second = (request for request in room.requests if request.method == "something")
    assert first.id == second.id


async def test_synced_is_asked_again_in_the_numbers_of_the_new_connection(scene: Scene) -> None:
    """A `synced` that was under way when the connection was lost names a frame of the new connection."""
    room = scene.daemon.add_room()
    notebook = await scene.open()
    for _ in range(5):
        await notebook.cells.create("x")
    room.answer = None
    waiting = asyncio.ensure_future(notebook.synced())
    await until(lambda: room.requests, "the request")
    await scene.daemon.kill()

    def answer(request: Request) -> object:
        assert request.params["n"] <= scene.daemon.connections[0].session.received_n
        return {}

    room.answer = answer
    await waiting
    assert [request.params["n"] for request in room.requests] == [6, 1]
    assert notebook.status.waiting == 0


async def test_a_deliberate_stop_waits_for_a_person(scene: Scene) -> None:
    """After ``stopping`` nothing is started; calls fail, edits wait, and `reconnect` goes on."""
    room = scene.daemon.add_room()
    notebook = await scene.open()
    room.answer = None
    waiting = asyncio.ensure_future(notebook.request("something"))
    await until(lambda: room.requests, "the request")
    await scene.daemon.stop()
    await until(lambda: notebook.status.state == "stopped", "the stop")
    with pytest.raises(ConnectionLost):
        await waiting
    with pytest.raises(ConnectionLost):
        await notebook.request("something")
    await notebook.cells.create("written after the stop")
    assert scene.daemon.starts == 1
    room.answer = lambda request: {}
    await notebook.reconnect()
    await until(lambda: not notebook.status.waiting, "the edit")
    assert scene.daemon.starts == 2
    assert room.sources() == ["written after the stop"]


async def test_a_restart_is_awaited_not_made(scene: Scene) -> None:
    """After ``stopping {reason: restart}`` the client waits for the successor and starts none itself."""
    scene.daemon.add_room()
    notebook = await scene.open()
    seen = events_of(notebook)
    await scene.daemon.stop("restart")
    await until(lambda: "reconnecting" in states(seen), "the loss")
    assert scene.daemon.starts == 1
    await scene.daemon.start()
    await until(lambda: notebook.status.state == "connected", "the successor")
    assert scene.daemon.starts == 2


async def test_after_three_deaths_it_gives_up_and_says_so(
    scene: Scene, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A daemon that dies three times in a minute is not started a fourth time."""
    monkeypatch.setattr("runt.peer.daemon_start.BACK_OFF_S", (0.0, 0.0, 0.0))
    scene.daemon.add_room()
    notebook = await scene.open()
    for starts in (2, 3):
        await scene.daemon.kill()
        await until(
            lambda: scene.daemon.starts == starts and notebook.status.state == "connected",  # noqa: B023
            "the connection",
        )
    await scene.daemon.kill()
    await until(lambda: notebook.status.state == "failed", "the end")
    assert "3 times" in notebook.status.detail
    with pytest.raises(ConnectionLost):
        await notebook.request("something")
    await notebook.reconnect()
    await until(lambda: notebook.status.state == "connected", "another try")


async def test_the_runtime_of_another_epoch_replaces_the_replica(scene: Scene) -> None:
    """When R's epoch differs after a reconnect, the client drops its replica and says so."""
    room = scene.daemon.add_room()
    with room.runtime_change() as writer:
        writer.set_kernel(name="old")
    notebook = await scene.open()
    old = notebook.runtime
    seen = events_of(notebook)
    await scene.daemon.kill()
    room.runtime = RuntimeDocument.create("test")
    room.writer = RuntimeWriter(room.runtime)
    room.watch()
    with room.runtime_change() as writer:
        writer.set_kernel(name="new")
    await until(lambda: DocumentReplaced("r") in seen, "the replacement")
    assert notebook.runtime is not old
    assert notebook.runtime.kernel.name == "new"
    await until(lambda: notebook.status.state == "connected", "the connection")
    with room.runtime_change() as writer:
        writer.set_kernel(name="newer")
    await until(lambda: notebook.runtime.kernel.name == "newer", "further changes")


async def test_another_epoch_of_the_notebook_gets_our_edits(scene: Scene) -> None:
    """Unacknowledged text, cells and deletions are made again in the new epoch; acknowledged content is not
    doubled.
    """
    room = scene.daemon.add_room(sources=("a = 1\nb = 2\n", "gone", "c = 3"))
    notebook = await scene.open()
    await notebook.synced()
    keys = list(notebook.cells.ids)
    seen = events_of(notebook)
    await scene.daemon.kill()
    await notebook.cells.get_by_index(0).splice(0, 0, "# mine\n")
    await notebook.cells.get_by_index(1).delete()
    await notebook.cells.insert_at(1, "new")
    rebuilt(room, ["a = 1\nb = 22\n", "gone", "c = 3"], keys)
    await until(lambda: DocumentReplaced("n") in seen, "the replacement")
    await until(lambda: notebook.status.state == "connected" and not notebook.status.waiting, "the edits")
    assert sources(notebook) == ["# mine\na = 1\nb = 22\n", "new", "c = 3"]
    assert room.sources() == sources(notebook)
    await notebook.cells.create("later")
    await until(lambda: room.sources()[-1] == "later", "further edits")


async def test_another_epoch_without_edits_of_ours_is_just_taken(scene: Scene) -> None:
    """With nothing unacknowledged the new document is taken as it is, and nothing is written to it."""
    room = scene.daemon.add_room(sources=("old",))
    notebook = await scene.open()
    await notebook.synced()
    seen = events_of(notebook)
    await scene.daemon.kill()
    rebuilt(room, ["new"])
    before = room.document.state()
    await until(
        lambda: notebook.status.state == "connected" and DocumentReplaced("n") in seen, "the replacement"
    )
    assert sources(notebook) == ["new"]
    assert room.document.state() == before


async def test_a_room_that_is_unknown_by_id_is_found_by_path(scene: Scene) -> None:
    """When the daemon does not know the room's id any more, the client asks by path."""
    first = scene.daemon.add_room(sources=("old",))
    notebook = await scene.open()
    await notebook.synced()
    await scene.daemon.kill()
    scene.daemon.rooms.remove(first)
    second = scene.daemon.add_room(sources=("new",))
    await until(lambda: notebook.room == second.id and notebook.status.state == "connected", "the other room")
    assert sources(notebook) == ["new"]
    assert [(hello.id, hello.path) for hello in scene.daemon.hellos[-2:]] == [
        (first.id, None),
        (None, second.path),
    ]


async def test_a_damaged_update_costs_a_connection_and_no_edit(scene: Scene) -> None:
    """What cannot be applied ends the connection; the next one has everything, ours included."""
    room = scene.daemon.add_room(sources=("a",))
    notebook = await scene.open()
    seen = events_of(notebook)
    await notebook.synced()
    room.hold_acks = True
    await notebook.cells.create("mine")
    peer = scene.daemon.connections[0]
    peer.send(peer.session.sync("n", SyncKind.UPDATE, b"\xff\xff\xff"))
    await until(lambda: "reconnecting" in states(seen), "the loss")
    room.hold_acks = False
    await until(
        lambda: notebook.status.state == "connected" and not notebook.status.waiting, "the connection"
    )
    assert sources(notebook) == ["a", "mine"] == room.sources()


async def test_a_poisoned_replica_is_rebuilt_with_our_edits(scene: Scene) -> None:
    """A document that pycrdt gave up is replaced by a sound one of the same epoch, with what nobody
    acknowledged.
    """
    room = scene.daemon.add_room(sources=("a",))
    notebook = await scene.open()
    await notebook.synced()
    seen = events_of(notebook)
    room.hold_acks = True
    peer = scene.daemon.connections[0]
    peer.transport.pause_reading()
    await notebook.cells.create("mine")
    notebook.document.poisoned = True
    peer.transport.abort()
    room.hold_acks = False
    await until(lambda: DocumentReplaced("n") in seen, "the replacement")
    await until(lambda: not notebook.status.waiting, "the edit")
    assert sources(notebook) == ["a", "mine"] == room.sources()


async def test_a_daemon_that_cannot_be_started_is_an_error_at_once(scene: Scene) -> None:
    """Without a daemon and without leave to start one, the question fails clearly."""
    await scene.daemon.kill()
    with pytest.raises(DaemonUnavailable):
        await scene.client().status(start=False)


async def test_a_living_daemon_that_closes_hellos_is_not_called_dead(
    scene: Scene, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Connections that are closed before the welcome, by a daemon that still answers, are no deaths of it."""
    room = scene.daemon.add_room(sources=("a",))
    closed = 0
    welcome = SmallConnection.welcome

    def close_the_first(self: SmallConnection, hello: Hello) -> None:
        nonlocal closed
        if closed < 4:
            closed += 1
            self.transport.abort()
        else:
            welcome(self, hello)

    monkeypatch.setattr(SmallConnection, "welcome", close_the_first)
    notebook = await scene.open()
    assert closed == 4
    assert sources(notebook) == room.sources()
    seen = events_of(notebook)
    await scene.daemon.kill()  # one death, not five
    await until(lambda: "reconnecting" in states(seen), "the loss to be noticed")
    await until(lambda: notebook.status.state != "reconnecting", "the outcome")
    assert notebook.status.state == "connected"
    assert scene.daemon.starts == 2


async def test_a_daemon_that_never_answers_a_hello_is_given_up(
    scene: Scene, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A daemon that lives and closes every connection is tried a few times, then said to do so."""
    monkeypatch.setattr("runt.peer.link.MAX_REPEAT_DELAY_S", 0.05)
    monkeypatch.setattr(SmallConnection, "welcome", lambda self, hello: self.transport.abort())
    with pytest.raises(DaemonUnavailable, match="without an answer"):
        await scene.open()
