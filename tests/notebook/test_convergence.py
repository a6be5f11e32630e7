"""Peers that edit one notebook at once, with partial and delayed delivery, end with one notebook.

A star as in the product: peers talk to a hub that applies and relays what its own document reports. Every
edit inserts a unique token into a cell, so that a lost or doubled edit shows in the final text.
"""

from __future__ import annotations

from collections import Counter, deque
from functools import partial
from random import Random

import pytest

from runt.notebook.notebook_document import CellKey, CellType, NewCell, NotebookDocument

PEERS = 3
HUB = 0
TYPES: tuple[CellType, ...] = ("code", "markdown", "raw")
ORNAMENTS = ("", "é", "😀", "e\u0301", "👩\u200d👩\u200d👧", "日本", "\n", "\u2028", "\r\n")


class Star:
    """A hub and its peers, with a queue of updates in each direction of each link."""

    def __init__(self, random: Random) -> None:
        self.random = random
        self.documents = [NotebookDocument.create("room")]
        self.documents[HUB].insert_cells(0, [NewCell(source="") for _ in range(3)], "load")
        for _ in range(PEERS):
            self.documents.append(NotebookDocument())
            self.documents[-1].apply(self.documents[HUB].update_since())
        self.links: dict[tuple[int, int], deque[bytes]] = {}
        for peer in range(1, PEERS + 1):
            self.links[peer, HUB] = deque()
            self.links[HUB, peer] = deque()
        for number, document in enumerate(self.documents):
            document.observe_updates(partial(self._send, number))
            document.keys()  # so that the cached order follows every later change
        self.created = Counter(self.documents[HUB].keys())
        self.deleted: set[CellKey] = set()
        self.tokens: dict[str, CellKey] = {}
        self.removed: set[str] = set()

    def _send(self, number: int, update: bytes, origin: object) -> None:
        """Queue what a document reported: a peer's own edits to the hub, the hub's to all but the sender."""
        if number != HUB:
            if origin == "me":
                self.links[number, HUB].append(update)
            return
        for peer in range(1, PEERS + 1):
            if origin != peer:
                self.links[HUB, peer].append(update)

    def deliver(self, source: int, target: int, count: int) -> None:
        """Let up to ``count`` updates of one direction of a link arrive."""
        link = self.links[source, target]
        for _ in range(min(count, len(link))):
            self.documents[target].apply(link.popleft(), origin=source if target == HUB else "remote")

    def deliver_all(self) -> None:
        """Let everything arrive."""
        while any(self.links.values()):
            for source, target in self.links:
                self.deliver(source, target, 1 << 30)

    def act(self) -> None:
        """One edit of one peer (or of the daemon) on what it sees now."""
        number = self.random.randrange(PEERS + 1)
        document = self.documents[number]
        origin = "me"
        keys = document.keys()
        choice = self.random.random()
        if choice < 0.15 or not keys:
            count = self.random.choice((1, 1, 3))
            new = document.insert_cells(self.random.randrange(len(keys) + 1), [NewCell()] * count, origin)
            self.created.update(new)
            return
        key = self.random.choice(keys)
        if choice < 0.4:
            document.move_cell(key, self.random.randrange(len(keys)), origin)
        elif choice < 0.45:
            document.delete_cell(key, origin)
            self.deleted.add(key)
        elif choice < 0.55:
            document.set_cell_type(key, self.random.choice(TYPES), origin)
            document.set_cell_metadata(key, "by", number, origin)
        elif choice < 0.85:
            self._insert_token(document, key)
        elif choice < 0.95:
            self._remove_token(document, key)
        else:
            self._rewrite(document, key)

    def _insert_token(self, document: NotebookDocument, key: CellKey) -> None:
        cell = document.cell(key)
        token = f"<{len(self.tokens)}{self.random.choice(ORNAMENTS)}>"
        place = self.random.choice(boundaries(cell.source))
        cell.splice(place, place, token, "me")
        self.tokens[token] = key

    def _remove_token(self, document: NotebookDocument, key: CellKey) -> None:
        cell = document.cell(key)
        source = cell.source
        starts = [index for index, character in enumerate(source) if character == "<"]
        if starts:
            start = self.random.choice(starts)
            stop = source.index(">", start) + 1
            self.removed.add(source[start:stop])
            cell.splice(start, stop, "", "me")

    def _rewrite(self, document: NotebookDocument, key: CellKey) -> None:
        """A formatter's edit: the whole text is given, some lines of it are new."""
        cell = document.cell(key)
        token = f"<{len(self.tokens)}>"
        cell.set_source(f"{token}\n{cell.source}", "me")
        self.tokens[token] = key

    def check(self) -> None:
        """All documents are equal, each cell is there once, each token is where it was put, once."""
        for document in self.documents:
            rebuilt = NotebookDocument()
            rebuilt.apply(document.update_since())
            assert picture(rebuilt) == picture(document), "the cached order is not that of the document"
            assert picture(document) == picture(self.documents[HUB]), "diverged"
        hub = self.documents[HUB]
        keys = hub.keys()
        assert len(keys) == len(set(keys))
        assert set(keys) == set(self.created) - self.deleted
        assert max(self.created.values()) == 1
        text = {key: hub.cell(key).source for key in self.created}
        for token, key in self.tokens.items():
            expected = 0 if token in self.removed else 1
            assert text[key].count(token) == expected, (
                f"{token} is {text[key].count(token)} times in its cell"
            )
            assert sum(source.count(token) for source in text.values()) == expected


def boundaries(source: str) -> list[int]:
    """The offsets between tokens, in code points."""
    return [
        index
        for index in range(len(source) + 1)
        if index in (0, len(source)) or source[index - 1] == ">" or source[index] == "<"
    ]


def picture(document: NotebookDocument) -> list[tuple[object, ...]]:
    """All that a person sees."""
    cells = (document.cell(key) for key in document)
    return [(cell.key, cell.type, cell.source, cell.pos, cell.metadata) for cell in cells]


def run(random: Random, steps: int) -> None:
    star = Star(random)
    for _ in range(steps):
        star.act()
        for source, target in star.links:
            if random.random() < 0.2:
                star.deliver(source, target, random.randrange(1, 4))
    star.deliver_all()
    star.check()


@pytest.mark.parametrize("seed", range(40))
def test_star(seed: int) -> None:
    """Whatever three peers and the daemon do, all end with the same notebook and no edit is lost."""
    run(Random(seed), 60)


@pytest.mark.long
def test_star_long() -> None:
    """A thousand longer runs."""
    for seed in range(1000):
        run(Random(seed), 150)


@pytest.mark.parametrize("seed", range(20))
def test_absence(seed: int) -> None:
    """A peer that misses all for a while and then exchanges states loses nothing, of its own or of others."""
    random = Random(seed)
    star = Star(random)
    for _ in range(5):
        absent = random.randrange(1, PEERS + 1)
        for _ in range(12):
            star.act()
            for link in star.links:
                if absent not in link:
                    star.deliver(*link, 2)
        star.links[absent, HUB].clear()  # the connection died with what was on its way
        star.links[HUB, absent].clear()
        hub, peer = star.documents[HUB], star.documents[absent]
        peer.apply(hub.update_since(peer.state()))
        hub.apply(peer.update_since(hub.state()), origin=absent)
    star.deliver_all()
    star.check()


@pytest.mark.parametrize("seed", range(30))
def test_any_order_of_delivery(seed: int) -> None:
    """Updates of several peers converge in any order and with repetitions, even against causality."""
    random = Random(seed)
    base = NotebookDocument.create("room")
    base.insert_cells(0, [NewCell(source="é\n"), NewCell(source="😀")], "load")
    peers = [NotebookDocument() for _ in range(PEERS)]
    updates: list[bytes] = []
    for number, peer in enumerate(peers):
        peer.apply(base.update_since())
        peer.observe_updates(lambda update, origin: updates.append(update) if origin == "me" else None)
        for step in range(4):
            key = random.choice(peer.keys())
            peer.cell(key).splice(0, 0, f"<{number}.{step}>", "me")
            peer.move_cell(key, random.randrange(len(peer)), "me")
            peer.insert_cell(random.randrange(len(peer) + 1), source=f"{number}", origin="me")
    for peer in peers:
        for update in updates:
            peer.apply(update)
    for _ in range(2):
        order = [*updates, *random.sample(updates, 5)]
        random.shuffle(order)
        document = NotebookDocument()
        document.keys()
        for update in [*order[:3], base.update_since(), *order[3:]]:
            document.apply(update)
        assert document.waiting == 0
        peers.append(document)
    assert all(picture(peer) == picture(peers[0]) for peer in peers)
    assert len(peers[0]) == 2 + PEERS * 4
