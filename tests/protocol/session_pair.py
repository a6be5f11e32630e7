"""Two real sessions joined by a link that hands over the bytes in pieces of any size."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from runt.protocol.events import SessionEvent
from runt.protocol.frames import PROTOCOL_VERSION
from runt.protocol.messages import Channel, Epochs, Hello, Welcome
from runt.protocol.session import ClientSession, ServerSession


def pieces(data: bytes, sizes: Iterable[int]) -> Iterator[bytes]:
    """Cut ``data`` into pieces of the given sizes (bytes), the last takes the rest."""
    at = 0
    for size in sizes:
        if at >= len(data):
            return
        yield data[at : at + size]
        at += size
    if at < len(data):
        yield data[at:]


class SessionPair:
    """A client and a server session. ``to_server`` and ``to_client`` deliver bytes cut as ``sizes`` says."""

    def __init__(self, sizes: Iterable[int] = ()) -> None:
        self.client = ClientSession()
        self.server = ServerSession()
        self._sizes = list(sizes)

    @classmethod
    def opened(cls, channel: Channel = "notebook", sizes: Iterable[int] = ()) -> SessionPair:
        """A pair whose handshake is done."""
        pair = cls(sizes)
        pair.to_server(pair.client.hello(Hello(protocol=PROTOCOL_VERSION, channel=channel, path="/a.ipynb")))
        pair.to_client(pair.server.preamble())
        pair.to_client(pair.server.welcome(Welcome(peer="p1", room="r1", epochs=Epochs(n="en", r="er"))))
        return pair

    def to_server(self, data: bytes) -> list[SessionEvent]:
        return [event for piece in pieces(data, self._sizes) for event in self.server.receive(piece)]

    def to_client(self, data: bytes) -> list[SessionEvent]:
        return [event for piece in pieces(data, self._sizes) for event in self.client.receive(piece)]
