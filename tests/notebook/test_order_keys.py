"""Order keys: always room between two, short when appending, no interleaving of pastes."""

from __future__ import annotations

from bisect import bisect_left
from random import Random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from runt.notebook.order_keys import is_valid, key_between, keys_between


@given(st.lists(st.integers(0, 10_000), max_size=60), st.randoms(use_true_random=False))
def test_any_insertion_order_keeps_the_order(places: list[int], random: Random) -> None:
    """Whatever the places of the insertions, each key lies strictly between its neighbours and is valid."""
    keys: list[str] = []
    for number in places:
        place = number % (len(keys) + 1)
        low = keys[place - 1] if place else None
        high = keys[place] if place < len(keys) else None
        key = key_between(low, high, random)
        assert is_valid(key)
        assert low is None or low < key
        assert high is None or key < high
        keys.insert(place, key)


@pytest.mark.parametrize("place", ["front", "end"])
def test_growth_at_an_end_is_logarithmic(place: str) -> None:
    """Ten thousand insertions at one end leave keys of at most 12 characters."""
    random = Random(1)
    keys = [key_between(None, None, random)]
    for _ in range(10_000):
        key = key_between(keys[-1], None, random) if place == "end" else key_between(None, keys[-1], random)
        keys.append(key)
    assert keys == sorted(keys, reverse=place == "front")
    assert max(map(len, keys)) <= 12


def test_growth_at_one_point_is_bounded() -> None:
    """A thousand insertions after the same cell, the worst case, leave keys under 400 characters."""
    random = Random(2)
    low, high = "a0", None
    for _ in range(1000):
        high = key_between(low, high, random)
    assert high is not None
    assert len(high) < 400


@given(st.integers(0, 300), st.randoms(use_true_random=False), st.lists(st.integers(0, 5), max_size=30))
def test_a_batch_fits_anywhere(count: int, random: Random, cuts: list[int]) -> None:
    """A batch between any two neighbours is ascending, valid, strictly inside and a few characters longer."""
    low: str | None = None
    high: str | None = None
    for cut in cuts:  # walk into ever narrower gaps, towards either side
        key = key_between(low, high, random)
        low, high = (key, high) if cut < 3 else (low, key)
    keys = keys_between(low, high, count, random)
    assert len(keys) == count
    assert keys == sorted(set(keys))
    assert all(map(is_valid, keys))
    if keys:
        assert low is None or low < keys[0]
        assert high is None or keys[-1] < high
        assert max(map(len, keys)) <= max(len(low or ""), len(high or ""), 2) + 12


@given(st.randoms(use_true_random=False), st.integers(2, 40))
def test_concurrent_batches_do_not_interleave(random: Random, count: int) -> None:
    """Two pastes into one gap stay contiguous unless they drew the same prefix."""
    ours, theirs = (keys_between("a0", "a1", count, random) for _ in range(2))
    if ours[0] != theirs[0]:
        assert bisect_left(ours, theirs[0]) in (0, count)
        assert bisect_left(ours, theirs[-1]) in (0, count)


def test_a_batch_of_thousands_is_short() -> None:
    """Five thousand keys at once have at most ten characters (one by one they would reach hundreds)."""
    keys = keys_between(None, None, 5000, Random(3))
    assert max(map(len, keys)) <= 10


def test_independent_choices_differ() -> None:
    """Two peers who insert into one gap rarely draw the same key."""
    random = Random(4)
    chosen = [key_between("a0", "a1", random) for _ in range(1000)]
    assert len(set(chosen)) > 800


@pytest.mark.parametrize(("low", "high"), [("a1", "a1"), ("a2", "a1"), ("a0", "")])
def test_no_room_is_refused(low: str, high: str) -> None:
    """Equal or reversed bounds raise ValueError."""
    with pytest.raises(ValueError, match="no room"):
        key_between(low, high, Random(5))


@pytest.mark.parametrize(
    "key", ["", "a", "0", "a00", "a0V0", "b0", "a0é", "a0~", "c", None, 3, 1.5, b"a0", "a0\n", "A" + "0" * 26]
)
def test_foreign_values_are_not_valid(key: object) -> None:
    """What a faulty peer may write as a position is recognised, so that it never serves as a bound."""
    assert not is_valid(key)
    if isinstance(key, str) and key:
        with pytest.raises(ValueError, match=r"order key|no room"):
            key_between(key, None, Random(6))


def test_the_ends_of_the_number_line_have_room() -> None:
    """Below the smallest and above the largest integer part there still are keys."""
    random = Random(7)
    smallest = "A" + "0" * 26 + "1"
    largest = "z" + "z" * 26
    assert key_between(None, smallest, random) < smallest
    assert key_between(largest, None, random) > largest
