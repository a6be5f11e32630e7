"""Presence: what others see, how often, and how it ends."""

from __future__ import annotations

from runt.peer.events import PresenceChanged
from runt.protocol.messages import Presence
from tests.peer.small_daemon import Scene, until


async def test_a_caret_is_seen_by_the_others_only(scene: Scene) -> None:
    """Another client sees cell, caret and name; we do not see ourselves."""
    scene.daemon.add_room(sources=("abc",))
    first, second = await scene.open(name="ann"), await scene.open(name="bob")
    seen: list[object] = []
    second.observe(seen.append)
    key = first.cells.ids[0]
    first.set_presence(cell=key, anchor=1, head=2, mode="edit")
    await until(lambda: second.peers, "the caret")
    [shown] = second.peers.values()
    assert (shown.name, shown.cell, shown.head) == ("ann", key, 2)
    assert any(isinstance(event, PresenceChanged) and event.presence == shown for event in seen)
    assert not first.peers


async def test_a_peer_that_left_is_gone(scene: Scene) -> None:
    """A ``left`` presence removes the peer, and so does losing the connection."""
    room = scene.daemon.add_room()
    notebook = await scene.open()
    peer = room.peers[0]
    peer.send(peer.session.presence(Presence(peer="x", name="x")))
    peer.send(peer.session.presence(Presence(peer="y", name="y")))
    await until(lambda: set(notebook.peers) == {"x", "y"}, "two peers")
    peer.send(peer.session.presence(Presence(peer="x", left=True)))
    await until(lambda: set(notebook.peers) == {"y"}, "one to leave")
    await scene.daemon.kill()
    await until(lambda: not notebook.peers, "nobody")


async def test_moves_are_coalesced_to_the_newest(scene: Scene) -> None:
    """Of many moves in one moment the first goes out at once and the last follows; those between do not."""
    room = scene.daemon.add_room()
    first = await scene.open(name="ann")
    second = await scene.open(name="bob")
    seen: list[int | None] = []
    second.observe(
        lambda event: seen.append(event.presence.head) if isinstance(event, PresenceChanged) else None
    )
    for head in range(50):
        first.set_presence(cell="c", head=head)
    await until(lambda: seen and seen[-1] == 49, "the last move")
    assert seen == [0, 49]
    assert room.peers


async def test_after_a_reconnect_we_show_ourselves_again(scene: Scene) -> None:
    """A new connection begins with our presence."""
    scene.daemon.add_room()
    first, second = await scene.open(name="ann"), await scene.open(name="bob")
    first.set_presence(cell="c", head=3)
    await until(lambda: second.peers, "the caret")
    await scene.daemon.kill()
    await until(lambda: not second.peers, "the loss")
    await until(lambda: [shown.head for shown in second.peers.values()] == [3], "the caret again")
