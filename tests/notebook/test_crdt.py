"""The fence around pycrdt: damage, pending updates, origins, observers, state vectors."""

from __future__ import annotations

from collections.abc import Callable
from random import Random
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pycrdt import Array, Map, Text, UndoManager

from runt.errors import DamagedUpdate, LocalProtocolError, RemoteProtocolError
from runt.notebook import text
from runt.notebook.crdt import Applied, CrdtDocument

FUZZ_ROUNDS = 3000


def make() -> CrdtDocument:
    return CrdtDocument({"t": Text, "m": Map, "a": Array})


def write(document: CrdtDocument, value: str, origin: str = "me") -> None:
    with document.transaction(origin):
        text.append(document.doc.get("t", type=Text), value)


def read(document: CrdtDocument) -> str:
    return str(document.doc.get("t", type=Text))


def updates_of(document: CrdtDocument) -> list[tuple[bytes, object]]:
    """The list that collects what `observe_updates` reports."""
    collected: list[tuple[bytes, object]] = []
    document.observe_updates(lambda update, origin: collected.append((update, origin)))
    return collected


class TestIdentity:
    def test_client_ids_are_random(self) -> None:
        """Each document has its own client id: two with the same one would diverge in silence."""
        ids = {make().doc.client_id for _ in range(50)}
        assert len(ids) == 50
        assert max(ids) > 2**40


class TestUpdates:
    def test_own_changes_are_reported_with_their_origin(self) -> None:
        """A transaction is reported as one update, with the object given as its origin."""
        document, origin = make(), ("tui", 7)
        collected = updates_of(document)
        with document.transaction(origin):
            write(document, "a", origin)  # type: ignore[arg-type]
            write(document, "b", origin)  # type: ignore[arg-type]
        [(update, reported)] = collected
        assert reported == origin
        other = make()
        assert other.apply(update) is Applied.CHANGED
        assert read(other) == "ab"

    def test_applied_changes_are_reported_with_their_origin(self) -> None:
        """What `apply` brings in is reported too, with the origin of that call."""
        source, document = make(), make()
        write(source, "x")
        collected = updates_of(document)
        document.apply(source.update_since(), origin="disk")
        assert [origin for _, origin in collected] == ["disk"]

    @pytest.mark.parametrize("origin", [-1, 0, "", (), "é", None])
    def test_any_hashable_is_an_origin(self, origin: Any) -> None:
        """Origins that are falsy, or whose hash is negative, come through as they are."""
        document = make()
        collected = updates_of(document)
        write(document, "x", origin)
        assert [reported for _, reported in collected] == [origin]

    def test_known_updates_are_nothing_new(self) -> None:
        """An update applied again changes and reports nothing."""
        source, document = make(), make()
        write(source, "x")
        update = source.update_since()
        document.apply(update)
        collected = updates_of(document)
        assert document.apply(update) is Applied.NOTHING_NEW
        assert collected == []

    def test_a_deletion_is_a_change(self) -> None:
        """An update that only deletes counts as a change, though no state vector shows it."""
        source, document = make(), make()
        write(source, "abc")
        document.apply(source.update_since())
        state = document.state()
        with source.transaction("me"):
            text.splice(source.doc.get("t", type=Text), 0, 3, "")
        assert document.apply(source.update_since(state)) is Applied.CHANGED
        assert document.state() == state
        assert read(document) == ""

    def test_reading_reports_nothing(self) -> None:
        """No read of a document makes an update."""
        document = make()
        write(document, "x")
        collected = updates_of(document)
        assert read(document) == "x"
        document.state()
        document.update_since()
        assert collected == []


class TestPending:
    def test_out_of_order_updates_heal(self) -> None:
        """An early update is nothing new; when the missing one comes, all is there and reported complete."""
        source, document, relayed = make(), make(), make()
        sent = updates_of(source)
        for letter in "abcd":
            write(source, letter)
        first, second, third, fourth = (update for update, _ in sent)
        collected = updates_of(document)
        assert document.apply(first) is Applied.CHANGED
        assert document.apply(third) is Applied.NOTHING_NEW
        assert document.apply(fourth) is Applied.NOTHING_NEW
        assert read(document) == "a"
        assert document.apply(second) is Applied.CHANGED
        assert read(document) == "abcd"
        for update, _ in collected:
            relayed.apply(update)
        assert read(relayed) == "abcd"

    @given(st.permutations(range(8)))
    def test_every_order_of_delivery_converges(self, order: list[int]) -> None:
        """Eight dependent updates give the same text, and a complete relay, in whatever order they come."""
        source, document, relayed = make(), make(), make()
        sent = updates_of(source)
        for number in range(8):
            with source.transaction("me"):
                text.splice(source.doc.get("t", type=Text), number // 2, number // 2, f"{number}é")
        document.observe_updates(lambda update, origin: relayed.apply(update) and None)
        for index in order:
            document.apply(sent[index][0])
        assert read(document) == read(source) == read(relayed)

    @pytest.mark.parametrize("seed", range(30))
    def test_several_writers_in_any_order(self, seed: int) -> None:
        """Updates of several writers, delivered against causality and twice, are all there at the end."""
        random = Random(seed)
        hub, document, relayed = make(), make(), make()
        sent = updates_of(hub)
        writers = [make() for _ in range(3)]
        for number in range(24):
            writer = writers[number % 3]
            writer.apply(hub.update_since(writer.state()))
            with writer.transaction("me"):
                text.append(writer.doc.get("t", type=Text), f"<{number}>")
                writer.doc.get("m", type=Map)["last"] = str(number)
            hub.apply(writer.update_since(hub.state()))
        updates = [update for update, _ in sent] + random.sample([update for update, _ in sent], 5)
        random.shuffle(updates)
        document.observe_updates(lambda update, origin: relayed.apply(update) and None)
        for update in updates:
            document.apply(update)
        assert document.waiting == 0
        for other in (document, relayed):
            assert read(other) == read(hub)
            assert other.doc.get("m", type=Map)["last"] == "23"

    def test_what_waits_is_counted(self) -> None:
        """An early update counts as waiting until what it needs has come; a duplicate never does."""
        source, document = make(), make()
        sent = updates_of(source)
        for letter in "abc":
            write(source, letter)
        first, second, third = (update for update, _ in sent)
        document.apply(first)
        document.apply(third)
        assert document.waiting == 1
        document.apply(first)
        assert document.waiting == 1
        document.apply(second)
        assert document.waiting == 0

    def test_too_many_waiting_are_left_to_a_state_exchange(self) -> None:
        """However many updates come too early, few are kept, and a state exchange brings them all."""
        source, document = make(), make()
        sent = updates_of(source)
        for _ in range(500):
            write(source, "x")
        for update, _ in sent[1:]:
            document.apply(update)
        assert document.waiting < 100
        document.apply(source.update_since(document.state()))
        assert document.waiting == 0
        assert read(document) == read(source)

    def test_a_state_exchange_heals_a_gap(self) -> None:
        """After a lost update, asking with the state vector brings everything."""
        source, document = make(), make()
        sent = updates_of(source)
        for letter in "abc":
            write(source, letter)
        document.apply(sent[0][0])
        document.apply(sent[2][0])
        assert document.apply(source.update_since(document.state())) is Applied.CHANGED
        assert read(document) == "abc"


class TestTransactions:
    def test_nesting_with_another_origin_is_refused(self) -> None:
        """A transaction inside one of another origin is our bug, and says so."""
        document = make()
        with (
            document.transaction("a"),
            pytest.raises(LocalProtocolError, match="inside one"),
            document.transaction("b"),
        ):
            pass

    def test_applying_inside_a_transaction_is_refused(self) -> None:
        """`apply` inside a transaction would mix two origins, and is refused."""
        document = make()
        with document.transaction("a"), pytest.raises(LocalProtocolError, match="inside a transaction"):
            document.apply(b"\x00\x00")

    def test_a_failing_body_keeps_and_reports_what_it_did(self) -> None:
        """There is no rollback: what was done before the exception is there, and reported."""
        document = make()
        collected = updates_of(document)
        with pytest.raises(KeyError), document.transaction("me"):  # noqa: PT012 - the change is the point
            text.append(document.doc.get("t", type=Text), "x")
            raise KeyError
        assert read(document) == "x"
        assert len(collected) == 1
        write(document, "y")
        assert read(document) == "xy"

    def test_undo_is_attributed(self) -> None:
        """What pycrdt's UndoManager changes is reported with the origin named around it."""
        document = make()
        target = document.doc.get("t", type=Text)
        manager = UndoManager(scopes=[target], capture_timeout_millis=0)
        manager.include_origin("me")
        write(document, "abc", "me")
        write(document, "!", "other")
        collected = updates_of(document)
        with document.attributed("undo"):
            assert manager.undo()
        assert read(document) == "!"
        assert [origin for _, origin in collected] == ["undo"]

    def test_a_transaction_of_pycrdt_itself_is_reported(self) -> None:
        """A change made past the fence is reported all the same, without origin."""
        document = make()
        collected = updates_of(document)
        document.doc.get("t", type=Text).insert(0, "x")
        assert [origin for _, origin in collected] == [None]


class TestObservers:
    def test_the_document_can_be_read_and_changed_in_a_callback(self) -> None:
        """Callbacks run after the transaction; a change made in one is reported after the current one."""
        document = make()
        seen: list[tuple[str, str]] = []

        def first(update: bytes, origin: object) -> None:
            if read(document) == "a":
                write(document, "b", "reaction")

        document.observe_updates(first)
        document.observe_updates(lambda update, origin: seen.append((str(origin), read(document))))
        write(document, "a", "me")
        assert seen == [("me", "ab"), ("reaction", "ab")]

    def test_a_closed_subscription_is_silent(self) -> None:
        """After `close` (twice) no callback comes, and the others still do."""
        document = make()
        mine: list[bytes] = []
        subscription = document.observe_updates(lambda update, origin: mine.append(update))
        others = updates_of(document)
        subscription.close()
        subscription.close()
        write(document, "x")
        assert mine == []
        assert len(others) == 1

    def test_a_failing_callback_surfaces_and_hides_nothing(self) -> None:
        """A callback's exception reaches the writer after the others were called; the change stays."""
        document = make()

        def fail(update: bytes, origin: object) -> None:
            raise LookupError("a bug")

        document.observe_updates(fail)
        others = updates_of(document)
        with pytest.raises(LookupError, match="a bug"):
            write(document, "x")
        assert len(others) == 1
        assert read(document) == "x"

    def test_a_failing_callback_is_not_damage(self) -> None:
        """A ValueError of a callback during `apply` does not pass for a damaged update."""
        source, document = make(), make()
        write(source, "x")

        def fail(update: bytes, origin: object) -> None:
            raise ValueError("a bug")

        document.observe_updates(fail)
        with pytest.raises(ValueError, match="a bug"):
            document.apply(source.update_since())
        assert not document.poisoned

    def test_several_failures_come_as_a_group(self) -> None:
        """Two failing callbacks raise one ExceptionGroup."""
        document = make()
        for error in (KeyError("a"), KeyError("b")):

            def fail(update: bytes, origin: object, error: KeyError = error) -> None:
                raise error

            document.observe_updates(fail)
        with pytest.raises(ExceptionGroup):
            write(document, "x")


class TestStates:
    def test_containment(self) -> None:
        """A replica contains its own and older states, and not those with operations it lacks."""
        source, document = make(), make()
        empty = source.state()
        write(source, "x")
        assert source.contains(empty)
        assert source.contains(source.state())
        assert not document.contains(source.state())
        document.apply(source.update_since())
        assert document.contains(source.state())
        write(document, "y")
        assert document.contains(source.state())
        assert not source.contains(document.state())

    def test_update_since_is_a_difference(self) -> None:
        """What is known already is not sent again."""
        source, document = make(), make()
        write(source, "x" * 10_000)
        document.apply(source.update_since())
        write(source, "y")
        update = source.update_since(document.state())
        assert len(update) < 100
        document.apply(update)
        assert read(document) == read(source)

    @given(st.binary(max_size=40))
    def test_a_foreign_state_vector_is_only_ever_refused(self, state: bytes) -> None:
        """Any bytes as a state vector are either one or raise RemoteProtocolError."""
        document = make()
        write(document, "x")
        for use in (document.contains, document.update_since):
            try:
                use(state)
            except RemoteProtocolError:
                pass

    @pytest.mark.parametrize("state", [b"", b"\x01", b"\xff" * 20, b"\x7f\x01\x01", b"\x00\x00", b"\x01\x80"])
    def test_damaged_state_vectors_are_refused(self, state: bytes) -> None:
        """Truncated, overlong and padded state vectors raise RemoteProtocolError."""
        with pytest.raises(RemoteProtocolError):
            make().contains(state)


class TestDamage:
    @pytest.mark.parametrize("update", [b"", b"\x00", b"\xff\xff", b"garbage"])
    def test_garbage_leaves_the_document_usable(self, update: bytes) -> None:
        """What cannot be decoded raises DamagedUpdate and does no harm."""
        document = make()
        with pytest.raises(DamagedUpdate):
            document.apply(update)
        assert not document.poisoned
        write(document, "x")
        assert read(document) == "x"

    @pytest.mark.parametrize("make_panic", [True, False])
    def test_a_panic_poisons_and_reports_nothing(
        self, make_panic: bool, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """A Rust panic (or a failed integration) in `apply` marks the document; nothing of it is reported."""
        document = make()
        collected = updates_of(document)
        target = document.doc.get("t", type=Text)

        def panic(update: bytes) -> None:
            target.insert(0, "half an update")
            if make_panic:
                target.sticky_index(len(target))  # panics in Rust: a real one cannot be built by hand
            raise RuntimeError("block parent must be deleted or shared ref type")

        monkeypatch.setattr(document.doc, "apply_update", panic)
        with pytest.raises(DamagedUpdate):
            document.apply(b"whatever")
        assert document.poisoned
        assert collected == []
        with pytest.raises(DamagedUpdate, match="rebuilt"):
            document.apply(b"\x00\x00")
        with pytest.raises(LocalProtocolError, match="rebuilt"):
            write(document, "x")

    def test_a_panic_in_a_local_change_is_our_bug(self) -> None:
        """A panic in a local transaction becomes an ordinary error, so that it cannot end the process."""
        document = make()
        with pytest.raises(LocalProtocolError, match="panicked"), document.transaction("me"):
            document.doc.get("t", type=Text).sticky_index(0)
        assert document.poisoned

    @pytest.mark.parametrize("error", [KeyboardInterrupt, SystemExit, MemoryError])
    def test_other_exceptions_pass(self, error: type[BaseException], monkeypatch: pytest.MonkeyPatch) -> None:
        """What is not about the update is not disguised as damage."""
        document = make()

        def interrupt(update: bytes) -> None:
            raise error

        monkeypatch.setattr(document.doc, "apply_update", interrupt)
        with pytest.raises(error):
            document.apply(b"\x00\x00")
        monkeypatch.undo()
        assert not document.poisoned
        write(document, "x")
        assert read(document) == "x"

    def test_mutated_updates(self) -> None:
        """No mutated update does more than raise DamagedUpdate, and an unmarked document stays usable."""
        random = Random(20261120)
        corpus = fuzz_corpus()
        base = corpus[-1]
        outcomes = {"damaged": 0, "poisoned": 0, Applied.CHANGED: 0, Applied.NOTHING_NEW: 0}
        for _ in range(FUZZ_ROUNDS):
            document, relayed = make(), make()
            if random.random() < 0.5:
                document.apply(base)
                relayed.apply(base)
            collected = updates_of(document)
            try:
                outcomes[document.apply(mutate(random, corpus))] += 1
            except DamagedUpdate:
                outcomes["poisoned" if document.poisoned else "damaged"] += 1
            if document.poisoned:
                assert collected == []
                continue
            write(document, "é")
            assert "é" in read(document)
            document.contains(document.state())
            make().apply(document.update_since())
            for update, _origin in collected:
                relayed.apply(update)
            assert not relayed.poisoned
        assert outcomes["damaged"] > FUZZ_ROUNDS // 2
        assert outcomes[Applied.CHANGED] > 100


def fuzz_corpus() -> list[bytes]:
    """Updates with text, nested types, deletions and concurrency; the last is a whole document."""
    one, two = make(), make()
    collected = updates_of(one)
    write(one, "hello 😀 world")
    cells = one.doc.get("m", type=Map)
    for number in range(4):
        with one.transaction("me"):
            cells[f"c{number}"] = Map(
                {"source": Text(f"print({number})\n" * 3), "pos": f"a{number}", "outputs": Array(["ab" * 32])}
            )
    with one.transaction("me"):
        cells["c1"]["source"].insert(3, "zz")
        cells["c2"]["outputs"].clear()
        del cells["c3"]
    two.apply(one.update_since())
    write(two, "two")
    write(one, "one")
    one.apply(two.update_since(one.state()))
    return [update for update, _ in collected] + [one.update_since()]


def mutate(random: Random, corpus: list[bytes]) -> bytes:
    """Bytes near one of the corpus."""
    data = bytearray(random.choice(corpus))
    position = random.randrange(len(data))
    mutations: list[Callable[[], object]] = [
        lambda: data.__setitem__(position, data[position] ^ (1 << random.randrange(8))),
        lambda: data.__setitem__(position, random.choice([0, 1, 4, 7, 0x7F, 0x80, 0x84, 0xC4, 0xFF])),
        lambda: data.__delitem__(slice(position, None)),
        lambda: data.__delitem__(slice(position, position + random.randrange(1, 12))),
        lambda: data.__setitem__(slice(position, position), random.randbytes(random.randrange(1, 16))),
        lambda: data.__setitem__(slice(position, position), b"\xff\xff\xff\xff\x0f"),
        lambda: data.__setitem__(slice(position, None), random.choice(corpus)[position:]),
        lambda: data.__setitem__(slice(0, None), random.randbytes(random.randrange(100))),
    ]
    for _ in range(random.randrange(1, 4)):
        if data:
            position = random.randrange(len(data))
            random.choice(mutations)()
    return bytes(data)
