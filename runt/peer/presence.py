"""Where we are and where the others are: carets, focused cells, names.

Ephemeral: nothing of it is kept or acknowledged. The invariant: what is sent is the newest state, at most 15
times a second, and a heartbeat only while an editor is attached (so that an idle client wakes nobody).
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Final

from runt.protocol.messages import Presence

MIN_INTERVAL_S: Final = 1 / 15
HEARTBEAT_S: Final = 15.0
"""The daemon forgets an editor that was silent for 45 s."""


class PresenceBoard:
    """``send`` gets our presence when it is to be sent; ``changed`` the peer that moved or left (None)."""

    def __init__(
        self, send: Callable[[Presence], None], changed: Callable[[str, Presence | None], None], name: str
    ) -> None:
        self._send = send
        self._changed = changed
        self._loop = asyncio.get_running_loop()
        self._own = Presence(name=name)
        self._shown = False
        self._sent_at = float("-inf")
        self._timer: asyncio.TimerHandle | None = None
        self._heartbeat: asyncio.TimerHandle | None = None
        self.others: dict[str, Presence] = {}

    def set(self, presence: Presence) -> None:
        """Show this from now on. A ``head`` means that an editor is attached."""
        if presence == self._own and self._shown:
            return
        self._own, self._shown = presence, True
        if self._timer is None:
            wait = self._sent_at + MIN_INTERVAL_S - self._loop.time()
            if wait <= 0:
                self._send_now()
            else:
                self._timer = self._loop.call_later(wait, self._send_now)

    def received(self, presence: Presence) -> None:
        """Another peer's presence, stamped by the daemon."""
        if presence.left:
            if self.others.pop(presence.peer, None) is not None:
                self._changed(presence.peer, None)
            return
        self.others[presence.peer] = presence
        self._changed(presence.peer, presence)

    def connected(self) -> None:
        """Show ourselves on a new connection."""
        if self._shown:
            self._send_now()

    def disconnected(self) -> None:
        """Nobody is visible without a connection."""
        self.close()
        others, self.others = self.others, {}
        for peer in others:
            self._changed(peer, None)

    def close(self) -> None:
        """Stop the timers."""
        for timer in (self._timer, self._heartbeat):
            if timer is not None:
                timer.cancel()
        self._timer = self._heartbeat = None

    def _send_now(self) -> None:
        self.close()
        self._sent_at = self._loop.time()
        self._send(self._own)
        if self._own.head is not None:
            self._heartbeat = self._loop.call_later(HEARTBEAT_S, self._send_now)
