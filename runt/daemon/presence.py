"""Who is in a room, and where: what each peer last said about its caret.

It sends nothing. The invariant: an entry exists only for a connected peer, and its name and peer id are the
ones that the daemon knows, never what the peer claims.
"""

from __future__ import annotations

from msgspec.structs import replace

from runt.protocol.messages import Presence

GONE_AFTER_S = 45.0  # three missed heartbeats of an editor
MAX_NAME_CHARACTERS = 64


class PresenceTable:
    """The last presence of each peer of one room. Times are seconds of one monotonic clock."""

    def __init__(self) -> None:
        self._entries: dict[str, tuple[Presence, float]] = {}

    def update(self, peer: str, name: str, said: Presence, now: float) -> Presence:
        """Record what a peer said; returns it with the peer's id and name stamped on it."""
        stamped = replace(said, peer=peer, name=(name or said.name)[:MAX_NAME_CHARACTERS], left=False)
        self._entries[peer] = (stamped, now)
        return stamped

    def leave(self, peer: str) -> Presence | None:
        """Forget a peer; returns the message that says so, or None if it never showed itself."""
        entry = self._entries.pop(peer, None)
        return Presence(peer=peer, name=entry[0].name, left=True) if entry is not None else None

    def expire(self, now: float) -> list[Presence]:
        """Forget the peers whose heartbeat stopped; returns the messages that say so."""
        silent = [peer for peer, (_, seen) in self._entries.items() if now - seen > GONE_AFTER_S]
        return [left for peer in silent if (left := self.leave(peer)) is not None]

    def others(self, peer: str) -> list[Presence]:
        """What a newcomer should see."""
        return [presence for other, (presence, _) in self._entries.items() if other != peer]

    def __len__(self) -> int:
        return len(self._entries)
