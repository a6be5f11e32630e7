"""Edits that a client left in files for the daemon: taken in once, and kept until they are."""

from __future__ import annotations

from runt.store.pending import PendingFile
from tests.daemon.daemon_in_loop import DaemonInLoop, until


async def test_pending_edits_stay_until_what_they_build_on_is_there(here: DaemonInLoop) -> None:
    """An edit whose predecessor is missing cannot be journaled: its file goes only when it is merged."""
    path = here.notebook("a.ipynb", "x")
    client = await here.join(path)
    key = client.keys()[0]
    client.send_edits = False
    updates: list[bytes] = []
    subscription = client.document.observe_updates(lambda update, _: updates.append(update))
    client.type(key, "one ")
    client.type(key, "two ", 4)
    subscription.close()
    assert client.welcome is not None
    assert client.welcome.epochs is not None
    place = (here.places.pending, client.welcome.room or "", client.welcome.epochs.n)
    second = PendingFile.create(*place)
    second.append(updates[1])
    for _ in range(3):
        assert (await here.join(path)).sources() == ["x"]
    assert second.path.exists()
    assert next(iter(here.daemon.rooms)).notebook.waiting == 1
    first = PendingFile.create(*place)
    first.append(updates[0])
    assert (await here.join(path)).sources() == ["one two x"]
    await here.join(path)
    await until(lambda: not first.path.exists() and not second.path.exists(), "the end of the files")
    await here.restart()
    assert (await here.join(path)).sources() == ["one two x"]


async def test_a_room_that_closes_leaves_pending_edits_to_the_next_opening(here: DaemonInLoop) -> None:
    """What it could not record any more must not be removed."""
    path = here.notebook("a.ipynb", "x")
    client = await here.join(path)
    key = client.keys()[0]
    client.send_edits = False
    updates: list[bytes] = []
    client.document.observe_updates(lambda update, _: updates.append(update))
    client.type(key, "kept ")
    assert client.welcome is not None
    assert client.welcome.epochs is not None
    file = PendingFile.create(here.places.pending, client.welcome.room or "", client.welcome.epochs.n)
    file.append(updates[0])
    room = next(iter(here.daemon.rooms))
    opener = here.daemon.opener
    await here.stop()
    await opener.merge_pending(room)
    assert file.path.exists()
    await here.start()
    assert (await here.join(path)).sources() == ["kept x"]
