"""How far a room's file is: values that the journal keeps beside the documents.

No I/O and no decisions (``room_file`` makes them). The invariant: with what is kept here, a daemon that was
killed at any moment knows whether a version on disk is its own, and what the notebook was then.
"""

from __future__ import annotations

from dataclasses import dataclass

import msgspec

# Side values: N as it was last saved, and as it is being saved.
BASES = ("base", "base2")


class SavedState(msgspec.Struct, frozen=True):
    """How far the file is, as kept in the journal. ``n`` and ``r`` count changes of this room's life.

    ``mark`` names the place in the journal's updates up to which N is as saved. Without one, ``base`` names
    the side value that holds N as saved.
    """

    disk_hash: str = ""
    n: int = 0
    r: int = 0
    base: str = BASES[0]
    mark: str = ""


@dataclass(slots=True)
class ChangeCounts:
    """How many changes of the notebook and of outputs this room has seen; kept in the journal."""

    n: int = 0
    r: int = 0

    def encode(self) -> bytes:
        return b"%d %d" % (self.n, self.r)

    @classmethod
    def decode(cls, data: bytes) -> ChangeCounts:
        n, _, r = data.partition(b" ")
        return cls(int(n), int(r))
