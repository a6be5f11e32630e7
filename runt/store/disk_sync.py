"""Making the content of a file durable, in the way that the system means it.

Directories are `safe_directory.sync_directory`'s. The invariant: on return the bytes are on the
medium, as far as the system can tell.
"""

from __future__ import annotations

import fcntl
import os
import sys

if sys.platform == "darwin":

    def sync_data(descriptor: int) -> None:
        """Raises `OSError`."""
        # fsync on macOS only reaches the drive's cache.
        fcntl.fcntl(descriptor, fcntl.F_FULLFSYNC)

else:

    def sync_data(descriptor: int) -> None:
        """Raises `OSError`."""
        os.fdatasync(descriptor)
