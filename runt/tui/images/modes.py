"""How pictures are drawn. A choice, made once before the app starts (`detection`)."""

from __future__ import annotations

import enum
from typing import Final

DEFAULT_CELL_PIXELS: Final = (10, 20)
"""Width and height of a cell of a terminal that does not tell."""


class ImageMode(enum.Enum):
    """What the terminal can show."""

    KITTY = "kitty"
    """Real pixels, by the kitty graphics protocol with Unicode placeholders."""
    HALF = "half"
    """Two pixels per cell, by half blocks. Works wherever there are colours."""
    OFF = "off"
    """One line that says what the picture is."""
