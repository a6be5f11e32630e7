"""The themes: quiet colours for dark and light terminals, and the terminal's own sixteen.

A theme names colours; which part of the screen uses which is in the widgets' CSS. The invariant: nothing on
the screen is told by colour alone.
"""

from __future__ import annotations

from collections.abc import Mapping

from textual.theme import Theme

DARK = Theme(
    name="runt-dark",
    primary="#7aa2d6",
    secondary="#6fb3b8",
    accent="#b59ad6",
    warning="#d6b06f",
    error="#e07a78",
    success="#8fbf7f",
    foreground="#d4d4d0",
    background="#16181b",
    surface="#1b1e22",
    panel="#22262b",
    dark=True,
    variables={
        "text-primary": "#86ace0",
        "text-secondary": "#79bcc1",
        "text-accent": "#bda6dc",
        "text-warning": "#d9b679",
        "text-error": "#e88987",
        "text-success": "#99c58a",
    },
)

LIGHT = Theme(
    name="runt-light",
    primary="#2f67ad",
    secondary="#1f7379",
    accent="#7247a8",
    warning="#8f6206",
    error="#b3312f",
    success="#3d7a2c",
    foreground="#2b2d30",
    background="#fbfaf8",
    surface="#f4f2ee",
    panel="#eae7e1",
    dark=False,
    variables={
        "text-primary": "#2c60a2",
        "text-secondary": "#1d6a70",
        "text-accent": "#6a429d",
        "text-warning": "#855b05",
        "text-error": "#a92e2c",
        "text-success": "#397329",
    },
)

# Textual's own: the terminal's colours, whatever they are, and fewer bytes.
ANSI = "ansi-dark"
ANSI_LIGHT = "ansi-light"

THEMES = (DARK, LIGHT)
CYCLE = (DARK.name, LIGHT.name, ANSI)

# Backgrounds of COLORFGBG that are light.
_LIGHT_BACKGROUNDS = ("7", "15")
_FULL_COLOR = ("truecolor", "24bit")


def initial_theme(environ: Mapping[str, str], setting: str = "system") -> str:
    """Return the theme for a terminal: ``RUNT_THEME`` (dark, light, ansi), else the setting, else what the
    terminal says about itself."""
    chosen = environ.get("RUNT_THEME") or setting
    named = {"dark": DARK.name, "light": LIGHT.name, "ansi": ANSI, "ansi-light": ANSI_LIGHT}
    if chosen in named:
        return named[chosen]
    light = environ.get("COLORFGBG", "").rpartition(";")[2] in _LIGHT_BACKGROUNDS
    if environ.get("COLORTERM", "").lower() not in _FULL_COLOR and "256color" not in environ.get("TERM", ""):
        return ANSI_LIGHT if light else ANSI
    return LIGHT.name if light else DARK.name


def next_theme(name: str) -> str:
    """Return the theme after ``name`` in the cycle."""
    return CYCLE[(CYCLE.index(name) + 1) % len(CYCLE)] if name in CYCLE else CYCLE[0]
