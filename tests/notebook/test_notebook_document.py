"""The notebook document: cells, order, fields, changes, and what a faulty peer may have written."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pycrdt import Map, Text

from runt.errors import LocalProtocolError
from runt.notebook import cell_order, text
from runt.notebook.notebook_document import (
    CellKey,
    NewCell,
    NotebookChange,
    NotebookDocument,
    source_hash,
)


def make(*sources: str) -> NotebookDocument:
    document = NotebookDocument.create("room")
    document.insert_cells(0, [NewCell(source=source) for source in sources], "load")
    return document


def replica(document: NotebookDocument) -> NotebookDocument:
    other = NotebookDocument()
    other.apply(document.update_since())
    return other


def sources(document: NotebookDocument) -> list[str]:
    return [document.cell(key).source for key in document]


def changes_of(document: NotebookDocument) -> list[NotebookChange]:
    collected: list[NotebookChange] = []
    document.observe(collected.append)
    return collected


def raw_cells(document: NotebookDocument) -> Map[Any]:
    return document.doc.get("cells", type=Map)


def raw_write(document: NotebookDocument, key: str, **fields: Any) -> None:
    """Write fields past every check, as a faulty or newer peer would."""
    with document.transaction("foreign"):
        cell = raw_cells(document)[key]
        for name, value in fields.items():
            if value is None:
                del cell[name]
            else:
                cell[name] = value


class TestCreation:
    def test_a_new_notebook(self) -> None:
        """A new notebook is empty and says what it is."""
        document = NotebookDocument.create(
            "room", metadata={"kernelspec": {"name": "python3"}}, extra={"x": 1}
        )
        assert (document.schema, document.notebook_id, document.nbformat) == ("1", "room", "4.5")
        assert document.metadata == {"kernelspec": {"name": "python3"}}
        assert document.extra == {"x": 1}
        assert document.keys() == []
        assert len(document) == 0

    def test_epochs_are_random(self) -> None:
        """Two histories never share an epoch, even of one room."""
        assert NotebookDocument.create("room").epoch != NotebookDocument.create("room").epoch

    def test_a_replica_starts_empty(self) -> None:
        """A replica claims nothing before it is synced, and is equal afterwards."""
        document = make("a")
        other = NotebookDocument()
        assert (other.schema, other.epoch, other.metadata, other.keys()) == ("", "", {}, [])
        assert len(other.update_since()) <= 2
        other.apply(document.update_since())
        assert other.epoch == document.epoch
        assert sources(other) == ["a"]


class TestOrder:
    def test_insertion_at_any_place(self) -> None:
        """An index counts live cells; the length inserts at the end."""
        document = make("a", "c")
        document.insert_cell(1, "markdown", "b", origin="me")
        document.insert_cell(3, source="d", origin="me")
        document.insert_cell(0, source="0", origin="me")
        assert sources(document) == ["0", "a", "b", "c", "d"]

    @pytest.mark.parametrize("index", [-1, 3])
    def test_insertion_outside_is_refused(self, index: int) -> None:
        """An index outside raises IndexError and changes nothing."""
        document = make("a", "b")
        with pytest.raises(IndexError):
            document.insert_cell(index, origin="me")
        assert sources(document) == ["a", "b"]

    def test_a_batch_is_one_update(self) -> None:
        """Many cells are inserted in order by one transaction."""
        document = make("a", "z")
        updates: list[bytes] = []
        document.observe_updates(lambda update, origin: updates.append(update))
        keys = document.insert_cells(1, [NewCell(source=str(number)) for number in range(100)], "me")
        assert sources(document) == ["a", *map(str, range(100)), "z"]
        assert document.keys()[1:-1] == keys
        assert len(updates) == 1

    @given(st.lists(st.tuples(st.sampled_from("imdr"), st.integers(0, 50), st.integers(0, 50)), max_size=30))
    def test_like_a_list(self, steps: list[tuple[str, int, int]]) -> None:
        """Insert, move, delete and restore do to the document what they do to a list."""
        document = make("a", "b", "c")
        model = document.keys()
        for action, first, second in steps:
            if action == "i" or not model:
                place = first % (len(model) + 1)
                model.insert(place, document.insert_cell(place, origin="me"))
                continue
            key = model.pop(first % len(model))
            if action == "m":
                model.insert(second % (len(model) + 1), key)
                document.move_cell(key, model.index(key), "me")
            elif action == "d":
                document.delete_cell(key, "me")
            else:
                model.insert(first % (len(model) + 1), key)
                document.delete_cell(key, "me")
                document.restore_cell(key, "me")
            assert document.keys() == model
            assert [document.index(key) for key in model] == list(range(len(model)))
        assert replica(document).keys() == model

    @pytest.mark.parametrize("index", [0, 1, 2])
    def test_moving_to_an_index(self, index: int) -> None:
        """A moved cell stands at the index it was moved to, from either side."""
        for start in range(3):
            document = make("a", "b", "c")
            key = document.keys()[start]
            document.move_cell(key, index, "me")
            assert document.keys()[index] == key
            assert document.index(key) == index

    def test_moving_nowhere_writes_nothing(self) -> None:
        """A move to where the cell stands makes no update."""
        document = make("a", "b")
        changes = changes_of(document)
        document.move_cell(document.keys()[1], 1, "me")
        assert changes == []

    def test_a_move_is_one_small_write(self) -> None:
        """Moving a big cell sends its new place only."""
        document = make("x" * 100_000, "b", "c")
        sizes: list[int] = []
        document.observe_updates(lambda update, origin: sizes.append(len(update)))
        document.move_cell(document.keys()[0], 2, "me")
        assert sum(sizes) < 80

    def test_iteration_and_truth(self) -> None:
        """Iterating gives the live keys in order; an empty notebook is still a notebook (true)."""
        document = make("a", "b")
        assert list(document) == document.keys()
        assert make()

    def test_a_returned_order_is_a_copy(self) -> None:
        """The caller may change the list it got."""
        document = make("a", "b")
        document.keys().clear()
        assert len(document) == 2

    def test_equal_positions_are_told_apart(self) -> None:
        """Where two peers chose one position, cells stay in key order, and a cell can be put between them."""
        document = make("a", "b", "c", "d")
        first, second, third, fourth = document.keys()
        raw_write(document, second, pos=document.cell(first).pos)
        raw_write(document, third, pos=document.cell(first).pos)
        tied = sorted([first, second, third])
        assert document.keys() == [*tied, fourth]
        new = document.insert_cell(1, origin="me")
        assert document.keys() == [tied[0], new, *tied[1:], fourth]
        assert replica(document).keys() == document.keys()

    def test_moves_within_one_transaction(self) -> None:
        """Inside a transaction every step sees the order that the steps before made."""
        document = make("a", "b", "c")
        with document.transaction("me"):
            new = document.insert_cell(0, source="0", origin="me")
            document.move_cell(new, 2, "me")
            document.insert_cell(2, source="1", origin="me")
            document.delete_cell(document.keys()[0], "me")
            assert sources(document) == ["b", "1", "0", "c"]
        assert sources(document) == ["b", "1", "0", "c"]

    def test_remote_changes_reach_the_cached_order(self) -> None:
        """The order follows every kind of remote change: insertion, move, deletion, restoration."""
        one = make("a", "b", "c")
        two = replica(one)
        assert two.keys() == one.keys()
        one.observe_updates(lambda update, origin: two.apply(update) and None)
        key = one.insert_cell(1, origin="me")
        assert two.keys() == one.keys()
        one.move_cell(key, 3, "me")
        assert two.keys() == one.keys()
        one.delete_cell(key, "me")
        assert two.keys() == one.keys()
        assert key not in two
        one.restore_cell(key, "me")
        assert two.keys() == one.keys()
        one.insert_cells(0, [NewCell()] * 100, "me")
        assert two.keys() == one.keys()


class TestCells:
    def test_fields(self) -> None:
        """Everything that was given to a new cell can be read, here and on another replica."""
        document = make()
        key = document.insert_cell(
            0,
            "markdown",
            "# é",
            metadata={"tags": ["x"], "n": 2**60},
            attachments={"a.png": {"image/png": "AA=="}},
            file_id="not valid!",
            extra={"unknown": None},
            origin="me",
        )
        for cell in (document.cell(key), replica(document).cell(key)):
            assert (cell.key, cell.type, cell.source, cell.deleted) == (key, "markdown", "# é", False)
            assert cell.metadata == {"n": 2**60, "tags": ["x"]}
            assert cell.attachments == {"a.png": {"image/png": "AA=="}}
            assert cell.file_id == "not valid!"
            assert cell.extra == {"unknown": None}

    def test_optional_fields_are_absent(self) -> None:
        """A plain cell has no attachments, no file id and no extra, and does not pay for them."""
        document = make("x")
        cell = document.cell(document.keys()[0])
        assert (cell.attachments, cell.file_id, cell.metadata, cell.extra) == (None, None, {}, {})
        assert set(raw_cells(document)[cell.key].keys()) == {"pos", "type", "source", "metadata"}

    def test_unknown_key(self) -> None:
        """A key that never existed raises KeyError everywhere."""
        document = make("a")
        unknown = CellKey("nope")
        assert unknown not in document
        assert 3 not in document
        for call in (
            lambda: document.cell(unknown),
            lambda: document.index(unknown),
            lambda: document.delete_cell(unknown, "me"),
            lambda: document.move_cell(unknown, 0, "me"),
            lambda: document.set_cell_type(unknown, "raw", "me"),
            lambda: document.set_cell_metadata(unknown, "a", 1, "me"),
        ):
            with pytest.raises(KeyError):
                call()

    def test_keys_are_never_reused(self) -> None:
        """The key of a live or deleted cell cannot be given to a new one."""
        document = make("a")
        key = document.keys()[0]
        document.delete_cell(key, "me")
        with pytest.raises(ValueError, match="used already"):
            document.insert_cell(0, key=key, origin="me")
        with pytest.raises(ValueError, match="used already"):
            document.insert_cells(0, [NewCell(key=CellKey("same")), NewCell(key=CellKey("same"))], "me")

    def test_nothing_is_inserted_when_one_cell_is_wrong(self) -> None:
        """A batch with one impossible cell is refused as a whole."""
        document = make("a")
        for wrong in (
            NewCell(type="sql"),
            NewCell(metadata={"x": float("nan")}),
            NewCell(extra={"x": object()}),
        ):  # type: ignore[arg-type]
            with pytest.raises((ValueError, TypeError)):
                document.insert_cells(0, [NewCell(), wrong], "me")
        assert len(document) == 1

    def test_deletion_keeps_the_text(self) -> None:
        """A deleted cell can be read and typed in, and comes back to its place with the typing."""
        document = make("a", "b", "c")
        key = document.keys()[1]
        document.delete_cell(key, "me")
        assert sources(document) == ["a", "c"]
        assert document.deleted_keys() == [key]
        assert document.cell(key).deleted
        document.cell(key).splice(1, 1, "!", "other")
        document.restore_cell(key, "me")
        assert sources(document) == ["a", "b!", "c"]
        assert document.deleted_keys() == []

    def test_type_and_metadata(self) -> None:
        """Type and single metadata entries are set and removed one by one."""
        document = make("a")
        key = document.keys()[0]
        document.set_cell_type(key, "raw", "me")
        document.set_cell_metadata(key, "tags", ["a"], "me")
        document.set_cell_metadata(key, "collapsed", True, "me")
        document.set_cell_metadata(key, "tags", None, "me")
        document.set_cell_metadata(key, "never", None, "me")
        cell = document.cell(key)
        assert (cell.type, cell.metadata) == ("raw", {"collapsed": True})
        with pytest.raises(ValueError, match="unknown cell type"):
            document.set_cell_type(key, "heading", "me")  # type: ignore[arg-type]

    def test_other_fields(self) -> None:
        """Attachments, file id and extra can be set and removed."""
        document = make("a")
        key = document.keys()[0]
        cell = document.cell(key)
        document.set_cell_attachments(key, {"a": {"text/plain": "x"}}, "me")
        document.set_cell_file_id(key, "id-1", "me")
        document.set_cell_extra(key, "e", 1, "me")
        assert (cell.attachments, cell.file_id, cell.extra) == ({"a": {"text/plain": "x"}}, "id-1", {"e": 1})
        document.set_cell_attachments(key, None, "me")
        document.set_cell_file_id(key, None, "me")
        document.set_cell_extra(key, "e", None, "me")
        assert (cell.attachments, cell.file_id, cell.extra) == (None, None, {})

    def test_writing_the_same_value_is_no_update(self) -> None:
        """Setting what is there already makes no update."""
        document = make("a")
        key = document.keys()[0]
        document.set_cell_metadata(key, "a", {"x": [1]}, "me")
        changes = changes_of(document)
        document.set_cell_type(key, "code", "me")
        document.set_cell_metadata(key, "a", {"x": [1]}, "me")
        document.cell(key).set_source("a", "me")
        assert changes == []

    def test_source_edits(self) -> None:
        """`splice` and `set_source` edit the text in code points under the given origin."""
        document = make("é😀x")
        changes = changes_of(document)
        cell = document.cell(document.keys()[0])
        cell.splice(1, 2, "ab", "me")
        assert cell.source == "éabx"
        cell.set_source("éabx\n", "formatter")
        assert cell.source == "éabx\n"
        assert [change.origin for change in changes] == ["me", "formatter"]
        with pytest.raises(IndexError):
            cell.splice(0, 99, "", "me")

    def test_surrogates_in_every_string(self) -> None:
        """Lone surrogates make no panic: names and text lose them, JSON values keep them."""
        document = make()
        key = document.insert_cell(
            0,
            source="\ud800",
            metadata={"\udfff": "\ud800"},
            file_id="\ud800",
            extra={"\ud801": 1},
            origin="me",
        )
        document.set_metadata("\ud800", "\ud800", "me")
        cell = document.cell(key)
        assert (cell.source, cell.file_id) == ("\ufffd", "\ufffd")
        assert cell.metadata == {"\ufffd": "\ud800"}
        assert document.metadata == {"\ufffd": "\ud800"}

    def test_a_repr_names_the_cell(self) -> None:
        """A cell's repr holds key and type."""
        document = make()
        key = document.insert_cell(0, key=CellKey("k1"), origin="me")
        assert repr(document.cell(key)) == "<Cell k1 code>"


class TestMetadata:
    def test_set_and_remove(self) -> None:
        """Entries of the notebook's metadata and extra change one by one."""
        document = make()
        document.set_metadata("kernelspec", {"name": "ir"}, "me")
        document.set_metadata("gone", 1, "me")
        document.set_metadata("gone", None, "me")
        document.set_extra("top", [1], "me")
        assert document.metadata == {"kernelspec": {"name": "ir"}}
        assert document.extra == {"top": [1]}

    def test_concurrent_entries_both_stay(self) -> None:
        """Two peers who set different entries keep both."""
        one = make("a")
        two = replica(one)
        key = one.keys()[0]
        one.set_cell_metadata(key, "a", 1, "me")
        two.set_cell_metadata(key, "b", 2, "me")
        one.apply(two.update_since())
        assert one.cell(key).metadata == {"a": 1, "b": 2}

    def test_values_that_are_not_json_are_refused(self) -> None:
        """NaN and objects raise before anything is written."""
        document = make()
        with pytest.raises(ValueError, match="JSON"):
            document.set_metadata("x", float("inf"), "me")
        with pytest.raises(TypeError):
            document.set_metadata("x", object(), "me")
        assert document.metadata == {}


class TestChanges:
    def test_typing(self) -> None:
        """A keystroke is one change with the byte delta of one source, and nothing else."""
        document = make("é", "b")
        changes = changes_of(document)
        key = document.keys()[0]
        document.cell(key).splice(1, 1, "x", "me")
        [change] = changes
        assert change == NotebookChange(
            "me", False, {key: [{"retain": 2}, {"insert": "x"}]}, frozenset(), False
        )
        assert text.delta_edits("é", change.sources[key]) == [text.Edit(1, 0, "x")]

    def test_a_new_cell_with_text_typed_at_once(self) -> None:
        """Types created and edited in one transaction are one change: a new cell, no delta of it."""
        document = make("a")
        changes = changes_of(document)
        with document.transaction("me"):
            key = document.insert_cell(1, source="b", origin="me")
            document.cell(key).splice(1, 1, "!", "me")
            document.set_cell_metadata(key, "m", 1, "me")
        [change] = changes
        assert change == NotebookChange("me", True, {}, frozenset({key}), False)

    def test_one_change_for_everything_of_a_transaction(self) -> None:
        """Structure, text, fields and metadata changed together arrive together."""
        document = make("a", "b", "c")
        first, second, third = document.keys()
        changes = changes_of(document)
        with document.transaction("agent"):
            document.move_cell(first, 2, "agent")
            document.cell(second).splice(0, 1, "B", "agent")
            document.set_cell_metadata(third, "m", 1, "agent")
            document.set_cell_type(first, "raw", "agent")
            document.set_metadata("m", 1, "agent")
        [change] = changes
        assert (change.origin, change.structure, change.meta) == ("agent", True, True)
        assert change.cells == {first, third}
        assert set(change.sources) == {second}

    @pytest.mark.parametrize("action", ["delete_cell", "restore_cell"])
    def test_deletion_is_structure(self, action: str) -> None:
        """Deleting and restoring change the structure, not the cell."""
        document = make("a", "b")
        key = document.keys()[0]
        if action == "restore_cell":
            document.delete_cell(key, "me")
        changes = changes_of(document)
        getattr(document, action)(key, "me")
        assert changes == [NotebookChange("me", True, {}, frozenset(), False)]

    def test_remote_changes_are_the_same(self) -> None:
        """A change that `apply` brings is reported with its origin, whoever made it."""
        one = make("a")
        two = replica(one)
        changes = changes_of(two)
        one.cell(one.keys()[0]).splice(1, 1, "b", "me")
        two.apply(one.update_since(two.state()))
        [change] = changes
        assert change.origin == "remote"
        assert change.sources == {one.keys()[0]: [{"retain": 1}, {"insert": "b"}]}

    def test_initial_sync_is_one_change(self) -> None:
        """The first sync of a watched empty replica is one change that names every cell."""
        document = make("a", "b")
        other = NotebookDocument()
        changes = changes_of(other)
        other.apply(document.update_since())
        [change] = changes
        assert change.structure
        assert change.meta
        assert change.cells == set(document.keys())

    def test_updates_out_of_order(self) -> None:
        """After updates that came against causality, observers are told to read everything anew."""
        one = make("a", "b")
        two = replica(one)
        late = replica(one)
        changes = changes_of(late)
        assert len(late.keys()) == 2
        sent: list[bytes] = []
        for document, other in ((one, two), (two, one)):
            document.observe_updates(
                lambda update, origin, other=other: (
                    origin == "me" and (sent.append(update), other.apply(update))
                )  # type: ignore[misc]
            )
        key = one.keys()[0]
        one.insert_cell(2, source="c", origin="me")
        for document in (one, two, one, two):
            document.move_cell(key, (document.index(key) + 2) % 3, "me")
            document.cell(key).splice(0, 0, "x", "me")
        for update in reversed(sent):
            late.apply(update)
        assert late.keys() == one.keys()
        assert sources(late) == sources(one)
        assert changes[-1].structure
        assert changes[-1].cells == set(one.keys())
        assert changes[-1].sources == {}

    def test_a_callback_sees_the_document_after(self) -> None:
        """In the callback the document reads as after the transaction."""
        document = make("a")
        seen: list[list[str]] = []
        document.observe(lambda change: seen.append(sources(document)))
        document.insert_cell(1, source="b", origin="me")
        assert seen == [["a", "b"]]

    def test_updates_come_before_changes(self) -> None:
        """Whoever sends updates is told before whoever paints."""
        document = make("a")
        order: list[str] = []
        document.observe(lambda change: order.append("change"))
        document.observe_updates(lambda update, origin: order.append("update"))
        document.insert_cell(0, origin="me")
        assert order == ["update", "change"]

    def test_closed(self) -> None:
        """A closed subscription is silent."""
        document = make("a")
        collected: list[NotebookChange] = []
        document.observe(collected.append).close()
        document.insert_cell(0, origin="me")
        assert collected == []

    def test_changes_past_the_fence(self) -> None:
        """An edit through pycrdt alone is reported, without origin, and readable in the callback."""
        document = make("a")
        key = document.keys()[0]
        seen: list[tuple[object, str]] = []
        document.observe(lambda change: seen.append((change.origin, document.cell(key).source)))
        text.append(document.cell(key).text, "b")
        assert seen == [(None, "ab")]

    def test_a_transaction_of_another_origin_is_refused(self) -> None:
        """A cell edited under another origin than the open transaction's is our bug."""
        document = make("a")
        with document.transaction("me"), pytest.raises(LocalProtocolError):
            document.insert_cell(0, origin="you")
        assert len(document) == 1


class TestTolerance:
    def test_cells_without_a_position_come_last(self) -> None:
        """A cell whose position is missing or unusable stands last, and one can be inserted around it."""
        document = make("a", "b", "c", "d")
        first, second, third, fourth = document.keys()
        raw_write(document, first, pos=None)
        raw_write(document, second, pos="!!")
        last = sorted([first, second])
        assert document.keys() == [third, fourth, *last]
        assert document.cell(first).pos is None
        end = document.insert_cell(4, source="end", origin="me")
        assert document.keys() == [third, fourth, *last, end]
        assert document.cell(first).pos is not None
        assert replica(document).keys() == document.keys()

    def test_between_cells_without_a_position(self) -> None:
        """An insertion between two cells without positions comes out there."""
        document = make("a", "b")
        for key in document:
            raw_write(document, key, pos=None)
        before = document.keys()
        new = document.insert_cell(1, origin="me")
        assert document.keys() == [before[0], new, before[1]]

    def test_missing_fields_read_as_empty(self) -> None:
        """A cell entry without any field is an empty code cell."""
        document = make("a")
        with document.transaction("foreign"):
            raw_cells(document)["bare"] = Map({})
        cell = document.cell(CellKey("bare"))
        assert document.keys()[-1] == "bare"
        assert (cell.type, cell.source, cell.metadata, cell.pos, cell.deleted) == (
            "code",
            "",
            {},
            None,
            False,
        )
        with pytest.raises(KeyError, match="no source"):
            cell.splice(0, 0, "x", "me")
        cell.set_source("x", "me")
        document.set_cell_metadata(cell.key, "a", 1, "me")
        assert (cell.source, cell.metadata) == ("x", {"a": 1})

    @pytest.mark.parametrize("value", [3, 1.5, True, "text", [1], {"a": 1}, b"x"])
    def test_wrong_types_read_as_missing(self, value: Any) -> None:
        """Fields of a wrong type never raise while reading."""
        document = make("a", "b")
        key = document.keys()[0]
        fields = ("type", "source", "metadata", "attachments", "file_id", "extra")
        raw_write(document, key, pos=value, **dict.fromkeys(fields, value))
        cell = document.cell(key)
        assert cell.source == ""
        assert cell.type in ("raw", "code")
        assert (cell.metadata, cell.attachments, cell.extra) == ({}, None, {})
        assert document.keys()[-1] == key

    def test_entries_that_are_no_cells(self) -> None:
        """A foreign value in the place of a cell is not a cell."""
        document = make("a")
        with document.transaction("foreign"):
            raw_cells(document)["x"] = "not a map"
            raw_cells(document)["y"] = Text("not a map")
        assert len(document) == 1
        with pytest.raises(KeyError):
            document.cell(CellKey("x"))

    def test_damaged_metadata(self) -> None:
        """Metadata that is not JSON is left out, the rest is read."""
        document = make("a")
        key = document.keys()[0]
        document.set_cell_metadata(key, "good", 1, "me")
        with document.transaction("foreign"):
            raw_cells(document)[key]["metadata"]["bad"] = "{"
            raw_cells(document)[key]["metadata"]["worse"] = 5
        assert document.cell(key).metadata == {"good": 1}

    def test_a_replaced_cell_is_read_anew(self) -> None:
        """Even if a faulty peer replaces an entry, order and content follow."""
        document = make("a", "b")
        key = document.keys()[0]
        with document.transaction("foreign"):
            raw_cells(document)[key] = Map({"pos": "z" + "z" * 26, "source": Text("other"), "type": "raw"})
        assert document.keys()[-1] == key
        assert document.cell(key).source == "other"


class TestScale:
    def test_the_order_is_read_field_by_field(self, monkeypatch: pytest.MonkeyPatch) -> None:
        """No read converts the whole document: not keys, not one cell, not after a change."""
        document = make(*map(str, range(50)))

        def refuse(self: object) -> None:
            raise AssertionError("the whole document was converted")

        monkeypatch.setattr(Map, "to_py", refuse)
        monkeypatch.setattr(Map, "__str__", refuse)
        other = replica(document)
        assert len(other.keys()) == 50
        key = other.insert_cell(10, source="x", origin="me")
        other.cell(key).splice(0, 1, "y", "me")
        assert other.cell(key).metadata == {}
        assert len(other.keys()) == 51

    def test_the_order_is_kept_while_typing(self, monkeypatch: pytest.MonkeyPatch) -> None:
        """Typing does not read the order again; a move reads one cell again."""
        document = make(*map(str, range(200)))
        document.keys()
        read: list[int] = []
        original = cell_order.read_fields

        def counting(parent: Any, keys: Any, names: Any) -> Any:
            rows = original(parent, keys, names)
            read.append(len(rows))
            return rows

        monkeypatch.setattr(cell_order, "read_fields", counting)
        document.cell(document.keys()[5]).splice(0, 0, "x", "me")
        document.keys()
        assert read == []
        document.move_cell(document.keys()[5], 100, "me")
        document.keys()
        assert 1 <= sum(read) <= 2

    def test_five_thousand_cells(self) -> None:
        """A notebook of 5000 cells is one update of under 250 bytes a cell, and comes out in order."""
        document = NotebookDocument.create("room")
        document.insert_cells(0, [NewCell(source=f"print({n})\n" * 5) for n in range(5000)], "load")
        update = document.update_since()
        assert len(update) < 5000 * 250
        other = replica(document)
        assert [other.cell(key).source for key in other.keys()[:3]] == [
            "print(0)\n" * 5,
            "print(1)\n" * 5,
            "print(2)\n" * 5,
        ]
        assert other.keys() == document.keys()

    def test_a_keystroke_is_a_small_update(self) -> None:
        """A typed character costs under 60 bytes in a big notebook."""
        document = make(*("x" * 1000 for _ in range(100)))
        sizes: list[int] = []
        document.observe_updates(lambda update, origin: sizes.append(len(update)))
        cell = document.cell(document.keys()[50])
        for offset in range(20):
            cell.splice(500 + offset, 500 + offset, "é", "me")
        assert max(sizes) < 60


class TestSourceHash:
    def test_is_sha256_of_utf8(self) -> None:
        """The hash is the SHA-256 of the text's UTF-8 bytes."""
        assert source_hash("é") == "4a99557e4033c3539de2eb65472017cad5f9557f7a0625a09f1c3f6e2ba69c4c"

    def test_of_a_lone_surrogate(self) -> None:
        """What the document makes of a text has the same hash as the text."""
        assert source_hash("a\ud83d\ude00b\ud800") == source_hash(text.clean("a\ud83d\ude00b\ud800"))
