"""A connection to a daemon and a live replica of its documents; the public Python API."""
