"""Text edits in code points, and the traps of pycrdt's offsets that `runt.notebook.text` closes."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pycrdt import Doc, Text

from runt.notebook import text
from runt.notebook.text import Edit

FAMILY = "👩\u200d👩\u200d👧"  # five code points joined by ZWJ
TRICKY = "ab\n😀e\u0301日\u200d👩 \r\x0b\x0c\x1c\x85\u2028\u2029\x00"

tricky_text = st.text(alphabet=TRICKY, max_size=40) | st.text(max_size=20)


def make(initial: str = "") -> Text:
    document: Doc[Text] = Doc()
    document["t"] = Text(initial)
    return document["t"]


def make_observed(initial: str) -> tuple[Text, list[list[dict[str, object]]], object]:
    """A text, the deltas of its transactions, and what keeps the observer alive."""
    value = make(initial)
    deltas: list[list[dict[str, object]]] = []
    subscription = value.observe(lambda event: deltas.append(event.delta))
    return value, deltas, subscription


def apply(before: str, edits: list[Edit], *, sequential: bool) -> str:
    for edit in edits if sequential else reversed(edits):
        before = before[: edit.at] + edit.inserted + before[edit.at + edit.removed :]
    return before


class TestOffsetUnit:
    def test_pycrdt_counts_bytes(self) -> None:
        """pycrdt still measures a Text in UTF-8 bytes: if not, all of `text` must be looked at again."""
        assert len(make("é")) == 2

    def test_pycrdt_misplaces_an_insertion_inside_a_character(self) -> None:
        """The trap is real: an offset inside a character is not refused, it edits another place."""
        value = make("éab")
        value.insert(1, "X")
        assert str(value) == "éabX"

    def test_our_offsets_are_code_points(self) -> None:
        """The same offset through `splice` means the place after the first character."""
        value = make("éab")
        text.splice(value, 1, 1, "X")
        assert str(value) == "éXab"


class TestSplice:
    @given(tricky_text, tricky_text, st.data())
    def test_agrees_with_slicing(self, old: str, new: str, data: st.DataObject) -> None:
        """Every offset within any text edits exactly that place, so no edit can fall inside a character."""
        value = make(old)
        start = data.draw(st.integers(0, len(old)))
        stop = data.draw(st.integers(start, len(old)))
        text.splice(value, start, stop, new)
        assert str(value) == old[:start] + new + old[stop:]

    @pytest.mark.parametrize(("start", "stop"), [(0, 4), (4, 4), (-1, 1), (2, 1), (0, 2**40)])
    def test_outside_is_an_index_error(self, start: int, stop: int) -> None:
        """A range outside the text raises IndexError, not a panic, and changes nothing."""
        value = make("é😀x")
        with pytest.raises(IndexError):
            text.splice(value, start, stop, "!")
        assert str(value) == "é😀x"

    def test_deleting_part_of_a_cluster(self) -> None:
        """A grapheme of several code points can be taken apart, and what stays is as in Python."""
        value = make(f"<{FAMILY}>")
        text.splice(value, 2, 4, "")
        assert str(value) == "<👩\u200d👧>"

    def test_line_endings_stay(self) -> None:
        """Nothing normalises line endings."""
        value = make("a\r\nb")
        text.splice(value, 1, 1, "\r")
        assert str(value) == "a\r\r\nb"

    def test_an_empty_splice_is_no_transaction(self) -> None:
        """Replacing nothing by nothing reports nothing."""
        value, deltas, _keep = make_observed("abc")
        text.splice(value, 1, 1, "")
        assert deltas == []


class TestSurrogates:
    @pytest.mark.parametrize("write", [text.append, text.replace_all, lambda t, s: text.splice(t, 0, 0, s)])
    def test_lone_ones_are_replaced(self, write: object) -> None:
        """A lone surrogate reaches the document as U+FFFD through every way of writing."""
        value = make()
        write(value, "a\ud800b\udfff")  # type: ignore[operator]
        assert str(value) == "a\ufffdb\ufffd"

    def test_clean_leaves_text_alone(self) -> None:
        """Text without lone surrogates is returned as it is, astral characters too."""
        assert text.clean(FAMILY) == FAMILY


class TestAppend:
    def test_is_one_insertion(self) -> None:
        """A big append is one insertion: pieces in one transaction cost the square of their number."""
        value, deltas, _keep = make_observed("é")
        big = "x" * 1_000_000
        text.append(value, big)
        assert deltas == [[{"retain": 2}, {"insert": big}]]

    def test_nothing_is_no_transaction(self) -> None:
        """Appending the empty string reports nothing."""
        value, deltas, _keep = make_observed("a")
        text.append(value, "")
        assert deltas == []


class TestMinimalEdits:
    @given(tricky_text, tricky_text)
    def test_turn_old_into_new(self, old: str, new: str) -> None:
        """The edits are ascending, do not overlap, and turn the old text into the new one."""
        edits = text.minimal_edits(old, new)
        end = 0
        for edit in edits:
            assert edit.at >= end
            end = edit.at + edit.removed
        assert apply(old, edits, sequential=False) == new

    @given(
        st.lists(st.sampled_from("abcdé😀"), max_size=12), st.lists(st.sampled_from("abcdé😀"), max_size=12)
    )
    def test_lines_in_any_order(self, old: list[str], new: list[str]) -> None:
        """Inserted, removed and moved lines come out right, with and without a last newline."""
        before, after = "\n".join(old), "\n".join(new) + "\n"
        assert apply(before, text.minimal_edits(before, after), sequential=False) == after

    def test_equal_texts_need_none(self) -> None:
        """Equal texts give no edit."""
        assert text.minimal_edits("a\nb", "a\nb") == []

    def test_far_apart_changes_stay_apart(self) -> None:
        """Two changed words in a long text are two small edits, not one big one."""
        old = "".join(f"value_{i} = compute_{i}(df)\n" for i in range(200))
        new = old.replace("value_7 ", "value_seven ").replace("compute_150", "calc_150")
        edits = text.minimal_edits(old, new)
        assert len(edits) == 2
        assert sum(edit.removed + len(edit.inserted) for edit in edits) < 20

    @pytest.mark.parametrize("separator", ["\x0b", "\x0c", "\x1c", "\x85", "\u2028", "\u2029", "\r"])
    def test_only_newline_ends_a_line(self, separator: str) -> None:
        """Characters that `str.splitlines` splits at are part of their line, which is edited once."""
        old = f"first{separator}second of many words\n"
        new = f"First{separator}Second of many words\n"
        assert text.minimal_edits(old, new) == [Edit(0, 7, f"First{separator}S")]

    def test_a_mostly_new_line_is_replaced_whole(self) -> None:
        """A line of which less than half stays is replaced whole: nobody's insertion splits new text."""
        assert text.minimal_edits("x = a\nkeep\n", "x = something_else(1, 2)\nkeep\n") == [
            Edit(0, 6, "x = something_else(1, 2)\n")
        ]

    def test_repetitive_text_is_bounded(self) -> None:
        """Thousands of equal lines do not set difflib counting pairs; unique lines still anchor the edit."""
        old = "\n" * 20_000 + "anchor\n" + "\n" * 20_000
        new = "top\n" + "\n" * 19_000 + "anchor\n" + "\n" * 21_000 + "end\n"
        edits = text.minimal_edits(old, new)
        assert apply(old, edits, sequential=False) == new
        assert all(not (edit.at <= 20_000 < edit.at + edit.removed) for edit in edits)


class TestReplaceAll:
    @given(tricky_text, tricky_text)
    def test_result(self, old: str, new: str) -> None:
        """Afterwards the text is the new one, and the count says whether anything was edited."""
        value = make(old)
        count = text.replace_all(value, new)
        assert str(value) == new.encode("utf-16", "surrogatepass").decode("utf-16", "replace")
        assert (count == 0) == (old == new)

    def test_concurrent_typing_stays_in_place(self) -> None:
        """A formatter's rewrite of two lines leaves another peer's insertion between them where it was."""
        source = "".join(f"value_{i} = {i}\n" for i in range(50))
        mine, theirs = make(source), Doc()
        theirs_text = theirs.get("t", type=Text)
        theirs.apply_update(mine.doc.get_update())
        text.splice(theirs_text, source.index("value_20"), source.index("value_20"), "é_")
        text.replace_all(mine, source.replace("value_3 =", "value_three =").replace("value_40 =", "v40 ="))
        mine.doc.apply_update(theirs.get_update())
        assert "\né_value_20 = 20\n" in str(mine)

    def test_update_is_small(self) -> None:
        """Two far-apart changes in 11 kB make an update of under 150 bytes."""
        source = "".join(f"    value_{i} = compute_{i}(df['col{i}'])  # comment {i}\n" for i in range(200))
        value = make(source)
        sizes: list[int] = []
        _keep = value.doc.observe(lambda event: sizes.append(len(event.update)))
        text.replace_all(value, source.replace("value_7 ", "value_seven ").replace("compute_150", "calc_150"))
        assert sum(sizes) < 150


class TestEmbeds:
    def test_foreign_objects_do_not_shift_edits(self) -> None:
        """A foreign peer's embedded object, which counts as a byte but is in no string, goes at an edit."""
        value = make("aéb")
        value.insert_embed(1, {"x": 1})
        text.splice(value, 2, 3, "c")
        assert str(value) == "aéc"
        assert len(value) == 4


class TestDeltaEdits:
    @given(tricky_text, tricky_text)
    def test_replay_an_event(self, old: str, new: str) -> None:
        """The edits of an event's byte delta turn the text before into the text after."""
        value, deltas, _keep = make_observed(old)
        text.replace_all(value, new)
        after = str(value)
        edits = [edit for delta in deltas for edit in text.delta_edits(old, delta)]
        assert apply(old, edits, sequential=True) == after

    @given(tricky_text, st.data())
    def test_replay_several_splices_of_one_transaction(self, old: str, data: st.DataObject) -> None:
        """One transaction of several edits is one delta that replays to the same text."""
        value, deltas, _keep = make_observed(old)
        with value.doc.transaction():
            for _ in range(data.draw(st.integers(1, 4))):
                length = len(str(value))
                start = data.draw(st.integers(0, length))
                stop = data.draw(st.integers(start, min(length, start + 5)))
                text.splice(value, start, stop, text.clean(data.draw(tricky_text)))
        edits = [edit for delta in deltas for edit in text.delta_edits(old, delta)]
        assert apply(old, edits, sequential=True) == str(value)

    def test_a_replacement_is_one_edit(self) -> None:
        """A deletion and an insertion at one place come as one edit, in code points."""
        before = f"a{FAMILY}b"
        size = len(FAMILY.encode())
        assert text.delta_edits(before, [{"retain": 1}, {"insert": "é"}, {"delete": size}]) == [
            Edit(1, 5, "é")
        ]

    @pytest.mark.parametrize(
        "delta",
        [[{"retain": 9}], [{"delete": 3}], [{"retain": 1}, {"insert": "x"}], [{"insert": {"embed": 1}}]],
    )
    def test_a_delta_that_does_not_fit_is_refused(self, delta: list[dict[str, object]]) -> None:
        """A delta that leaves the text, cuts a character or holds an object raises ValueError."""
        with pytest.raises(ValueError):  # noqa: PT011 - UnicodeDecodeError is one, too
            text.delta_edits("é", delta)


class TestShift:
    @pytest.mark.parametrize(
        ("offset", "edit", "expected"),
        [
            (5, Edit(2, 0, "xy"), 7),
            (2, Edit(2, 0, "xy"), 2),
            (1, Edit(2, 0, "xy"), 1),
            (5, Edit(2, 2, ""), 3),
            (3, Edit(2, 2, ""), 2),
            (4, Edit(2, 2, "abc"), 5),
            (3, Edit(2, 2, "abc"), 2),
        ],
    )
    def test_where_a_caret_goes(self, offset: int, edit: Edit, expected: int) -> None:
        """A caret keeps its neighbours; text inserted exactly at it stays right of it."""
        assert text.shift(offset, edit) == expected

    @given(tricky_text, st.data())
    def test_a_caret_stays_inside_the_text(self, old: str, data: st.DataObject) -> None:
        """No edit of the text moves a caret out of it."""
        at = data.draw(st.integers(0, len(old)))
        edit = Edit(at, data.draw(st.integers(0, len(old) - at)), data.draw(tricky_text))
        after = apply(old, [edit], sequential=True)
        assert 0 <= text.shift(data.draw(st.integers(0, len(old))), edit) <= len(after)


def test_sticky_indexes_are_not_used() -> None:
    """No module of runt uses pycrdt's StickyIndex: it counts bytes and panics at the end of a text."""
    from pathlib import Path

    import runt

    sources = Path(runt.__file__).parent.rglob("*.py")
    users = [
        path.name
        for path in sources
        if "sticky_index(" in path.read_text() or "StickyIndex" in path.read_text()
    ]
    assert users == []
