"""runt: a notebook that lives in a daemon and is driven from a terminal."""

__version__ = "0.1.0"
