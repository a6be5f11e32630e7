"""A screen above the notebook that takes its keys from the app, in the order they came.

Textual would queue them for the screen, and what follows the key that closes it would be lost with it.
"""

from __future__ import annotations

from textual import events
from textual.screen import Screen


class KeyScreen(Screen[None]):
    """Abstract: say what keys and pastes do."""

    async def take_key(self, event: events.Key) -> bool:
        """Return whether the key was dealt with; False hands it to Textual."""
        raise NotImplementedError

    async def take_paste(self, event: events.Paste) -> bool:
        """Return whether the paste was dealt with; False hands it to Textual."""
        return True
