"""What the view tells the app. Messages only; deciding what to do about them is the app's."""

from __future__ import annotations

from textual.message import Message


class CellFocused(Message):
    """Another cell has the focus bar now. Only the newest matters."""

    def __init__(self, key: str | None) -> None:
        super().__init__()
        self.key = key

    def can_replace(self, message: Message) -> bool:
        """A newer focus supersedes one that nobody has handled."""
        return isinstance(message, CellFocused)


class CellActivated(Message):
    """The person wants to edit a cell: a click into its source, or a double click anywhere on it."""

    def __init__(self, key: str, location: tuple[int, int] | None) -> None:
        """``location``: line and column (code points, from 0) of the click in the source, or None."""
        super().__init__()
        self.key = key
        self.location = location
