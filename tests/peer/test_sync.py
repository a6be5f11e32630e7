"""The replica over real sockets: content, edits both ways, acknowledgement, congestion."""

from __future__ import annotations

import asyncio
import random

import pytest

from runt.errors import RequestError
from runt.peer.notebook import Notebook
from tests.peer.small_daemon import Scene, until


def sources(notebook: Notebook) -> list[str]:
    return [cell.source for cell in notebook.cells]


async def test_opening_brings_the_content(scene: Scene) -> None:
    """An opened notebook has cells, epochs, path and room at once."""
    room = scene.daemon.add_room(sources=("a = 1", "π = 3"))
    notebook = await scene.open()
    assert sources(notebook) == ["a = 1", "π = 3"]
    assert (notebook.room, notebook.path) == (room.id, "/notebooks/a.ipynb")
    assert notebook.status.state == "connected"
    assert notebook.document.epoch == room.document.epoch
    assert notebook.runtime.epoch == room.runtime.epoch


async def test_a_refused_notebook_says_why(scene: Scene) -> None:
    """A refusal is a RequestError with its code, and leaves no connection behind."""
    with pytest.raises(RequestError) as caught:
        await scene.open("/notebooks/absent.ipynb")
    assert caught.value.code == "not_found"
    await until(lambda: not scene.daemon.connections, "the connection to end")


async def test_edits_travel_between_clients(scene: Scene) -> None:
    """What one client writes appears at the daemon and at the other client, and the other way round."""
    room = scene.daemon.add_room(sources=("one",))
    first, second = await scene.open(name="a"), await scene.open(name="b")
    cell = await first.cells.create("two")
    await cell.append(" ü")
    await until(lambda: sources(second) == ["one", "two ü"], "the edit at the other client")
    await second.cells.get_by_index(0).splice(0, 0, "# ")
    await until(lambda: sources(first) == ["# one", "two ü"], "the answer at the first")
    assert room.sources() == ["# one", "two ü"]


async def test_changes_wait_until_they_are_journaled(scene: Scene) -> None:
    """``waiting`` counts local changes until the daemon acknowledges their frames."""
    room = scene.daemon.add_room(sources=("x",))
    notebook = await scene.open()
    await until(lambda: scene.daemon.connections[0].session.received_n, "our STEP2")
    room.hold_acks = True
    cell = notebook.cells.get_by_index(0)
    for _ in range(3):
        await cell.append("y")
    assert notebook.status.waiting == 3
    await until(lambda: room.sources() == ["xyyy"], "the edits")
    assert notebook.status.waiting == 3
    scene.daemon.connections[0].acknowledge()
    await until(lambda: notebook.status.waiting == 0, "the acknowledgement")


async def test_synced_names_the_frames_that_were_sent(scene: Scene) -> None:
    """`synced` asks for the number of the last content frame of this connection."""
    room = scene.daemon.add_room()
    notebook = await scene.open()
    await notebook.cells.create("a")
    await notebook.cells.create("b")
    await notebook.synced()
    assert room.requests[-1].method == "synced"
    # Our STEP2 is the first content frame.
    assert room.requests[-1].params == {"n": 3}
    assert scene.daemon.connections[0].session.received_n == 3


async def test_a_request_says_what_text_it_speaks_of(scene: Scene) -> None:
    """A save carries epoch and state vector of the notebook as the requester has it."""
    room = scene.daemon.add_room()
    notebook = await scene.open()
    await notebook.cells.create("a")
    await notebook.save()
    request = room.requests[-1]
    assert request.epoch == room.document.epoch
    assert request.needs is not None
    assert room.document.contains(request.needs)


async def test_a_daemon_that_does_not_read_delays_nothing_and_loses_nothing(scene: Scene) -> None:
    """While the daemon does not read, edits stay in the log; afterwards all arrive."""
    room = scene.daemon.add_room(sources=("",))
    notebook = await scene.open()
    peer = scene.daemon.connections[0]
    await until(lambda: peer.session.received_n == 1, "our STEP2")
    peer.transport.pause_reading()
    key = notebook.cells.ids[0]
    block = "x" * 65_536
    count = 0
    while notebook._session.link.connection is not None and not notebook._session.link.connection.congested:
        notebook.document.cell(key).splice(0, 0, block, "test")
        count += 1
    for _ in range(20):
        notebook.document.cell(key).splice(0, 0, "y", "test")
        count += 1
    writing = asyncio.ensure_future(notebook.cells.create("late"))
    assert notebook.status.waiting == count
    assert notebook._session.replica.local.unsent()
    peer.transport.resume_reading()
    await writing
    await until(lambda: len(room.sources()) == 2 and len(room.sources()[0]) > len(block), "the edits")
    await until(lambda: notebook.status.waiting == 0, "the acknowledgements")
    assert room.sources() == sources(notebook)


@pytest.mark.parametrize("seed", range(6))
async def test_clients_converge_whatever_is_cut(scene: Scene, seed: int) -> None:
    """Two clients edit at random while connections are cut at random: in the end all three agree, nothing is
    lost.
    """
    rng = random.Random(seed)
    room = scene.daemon.add_room(sources=("start",))
    clients = [await scene.open(name="a"), await scene.open(name="b")]
    tokens = []
    for step in range(120):
        notebook = rng.choice(clients)
        action = rng.random()
        if action < 0.1 and scene.daemon.connections:
            rng.choice(scene.daemon.connections).transport.abort()
        elif action < 0.2:
            await asyncio.sleep(0)
        else:
            token = f"<{step}é>"
            tokens.append(token)
            keys = notebook.document.keys()
            if action < 0.3 or not keys:
                notebook.document.insert_cell(rng.randint(0, len(keys)), "code", token, origin="test")
            else:
                cell = notebook.document.cell(rng.choice(keys))
                at = rng.randint(0, len(cell.source))
                while any(
                    cell.source[start:].startswith(t) and start < at < start + len(t)
                    for t in tokens
                    for start in range(max(0, at - 6), at)
                ):
                    at -= 1
                cell.splice(at, at, token, "test")
    for notebook in clients:
        await until(lambda: notebook.status.state == "connected" and not notebook.status.waiting, "the end")  # noqa: B023
    await until(lambda: sources(clients[0]) == sources(clients[1]) == room.sources(), "agreement")
    text = "".join(room.sources())
    assert all(text.count(token) == 1 for token in tokens)


async def test_an_idle_client_has_no_timer(scene: Scene) -> None:
    """Nothing wakes an idle client; with an editor attached it is the heartbeat alone."""
    scene.daemon.add_room(sources=("a",))
    notebook = await scene.open()
    await notebook.synced()

    def timers() -> list[asyncio.TimerHandle]:
        scheduled = asyncio.get_running_loop()._scheduled  # type: ignore[attr-defined]
        return [handle for handle in scheduled if not handle.cancelled()]

    assert timers() == []
    notebook.set_presence(cell=notebook.cells.ids[0])
    assert timers() == []
    notebook.set_presence(cell=notebook.cells.ids[0], head=1)
    await until(
        lambda: [handle for handle in timers() if handle.when() - asyncio.get_running_loop().time() > 10], ""
    )
    assert len(timers()) == 1


async def test_an_observer_that_fails_costs_no_sync(scene: Scene) -> None:
    """A bug in somebody's observer is reported to the loop; updates go on arriving on the same connection."""
    room = scene.daemon.add_room(sources=("a",))
    notebook = await scene.open()
    reported: list[object] = []
    asyncio.get_running_loop().set_exception_handler(
        lambda loop, context: reported.append(context["exception"])
    )

    def fail(change: object) -> None:
        raise ZeroDivisionError

    notebook.document.observe(fail)
    for number in range(3):
        room.document.insert_cell(0, "code", str(number), origin="test")
    await until(lambda: len(notebook.cells) == 4, "the cells")
    assert [type(error) for error in reported] == [ZeroDivisionError] * 3
    assert len(scene.daemon.hellos) == 1


async def test_who_only_looks_cannot_write(scene: Scene) -> None:
    """A notebook opened with the role ``view`` refuses to be written through the API."""
    scene.daemon.add_room(sources=("a",))
    notebook = await scene.client().open_notebook("/notebooks/a.ipynb", role="view")
    with pytest.raises(RequestError) as caught:
        await notebook.cells.create("b")
    assert caught.value.code == "role"
    assert sources(notebook) == ["a"]
