"""Order keys: strings between which there is always room for another, so that moving a cell is one write.

A key is ``<integer part><fraction>`` in base 62, ordered as ASCII. The head letter gives the length of the
integer part (``a`` = 2 characters, ``b`` = 3, …; ``Z`` = 2, ``Y`` = 3, … below zero), so appending at either
end grows the key with the logarithm of the count. Random bits keep two peers who insert at one place apart.

It is not a list: nothing here knows the cells. Invariant: every key returned is valid, lies strictly between
its bounds, and never ends its fraction in ``0`` (below such a key there would be no room).
"""

from __future__ import annotations

import re
from random import Random

_DIGITS = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"
_BASE = len(_DIGITS)
_VALUE = {digit: value for value, digit in enumerate(_DIGITS)}
_SMALLEST_INTEGER = "A" + "0" * 26
_JITTER_BITS = 12  # two peers inserting into one gap collide once in 4096; ties are broken by cell key
_MIDDLE = "V"  # digit 31: a fraction that leaves equal room on both sides
_CHARACTERS = re.compile("[A-Za-z][0-9A-Za-z]+")


def is_valid(key: object) -> bool:
    """Whether a value read from a document can serve as a bound. Others count as *no position*."""
    if not isinstance(key, str) or not _CHARACTERS.fullmatch(key):
        return False
    length = _integer_length(key[0])
    if len(key) == length:
        return key != _SMALLEST_INTEGER  # nothing fits below it
    return len(key) > length and key[-1] != "0"


def key_between(low: str | None, high: str | None, random: Random) -> str:
    """Return a key strictly between two keys; None means an open end.

    Raises:
        ValueError: ``low >= high``, or a bound is not a valid key.
    """
    key = _between(low, high)
    below = low if low is not None else _between(None, key)
    above = high if high is not None else _between(key, None)  # keeps appended keys within one integer step
    for _ in range(_JITTER_BITS):
        if random.getrandbits(1):
            below = key
        else:
            above = key
        key = _between(below, above)
    return key


def keys_between(low: str | None, high: str | None, count: int, random: Random) -> list[str]:
    """Return ``count`` ascending keys strictly between two keys, for one paste.

    They share a random private prefix, so two peers who paste at one place do not interleave, and they are
    spaced evenly (a sequence of single insertions would make the last key ``count / 5`` characters long).

    Raises:
        ValueError: as `key_between`; ``count`` is negative.
    """
    if count < 0:
        raise ValueError("count must not be negative")
    if count == 0:
        return []
    prefix = key_between(low, high, random)
    if count == 1:
        return [prefix]
    while high is not None and high.startswith(prefix):  # an extension of the prefix could reach `high`
        prefix = _between(prefix, high)
    width = 1
    while _BASE**width <= count:
        width += 1
    step = _BASE**width // (count + 1)
    return [prefix + _number((index + 1) * step, width) + _MIDDLE for index in range(count)]


def _number(value: int, width: int) -> str:
    digits = []
    for _ in range(width):
        value, digit = divmod(value, _BASE)
        digits.append(_DIGITS[digit])
    return "".join(reversed(digits))


def _integer_length(head: str) -> int:
    if "a" <= head <= "z":
        return ord(head) - ord("a") + 2
    return ord("Z") - ord(head) + 2


def _split(key: str) -> tuple[str, str]:
    """Integer part and fraction of a key."""
    if not is_valid(key):
        raise ValueError(f"not an order key: {key!r}")
    length = _integer_length(key[0])
    return key[:length], key[length:]


def _between(low: str | None, high: str | None) -> str:
    """The shortest convenient key between two keys, without randomness."""
    if low is not None and high is not None and low >= high:
        raise ValueError(f"no room: {low!r} is not below {high!r}")
    if low is None:
        if high is None:
            return "a0"
        integer, fraction = _split(high)
        if integer == _SMALLEST_INTEGER:
            return integer + _fraction_between("", fraction)
        if integer < high:
            return integer
        lower = _decrement(integer)
        return integer + _fraction_between("", fraction) if lower is None else lower
    low_integer, low_fraction = _split(low)
    if high is None:
        upper = _increment(low_integer)
        return low_integer + _fraction_between(low_fraction, None) if upper is None else upper
    high_integer, high_fraction = _split(high)
    if low_integer == high_integer:
        return low_integer + _fraction_between(low_fraction, high_fraction)
    upper = _increment(low_integer)
    if upper is not None and upper < high:
        return upper
    return low_integer + _fraction_between(low_fraction, None)


def _fraction_between(low: str, high: str | None) -> str:
    """A fraction strictly between two; ``""`` is zero, None is one."""
    result = []
    while True:
        if high is not None:
            common = 0
            while common < len(high) and (low[common] if common < len(low) else "0") == high[common]:
                common += 1
            if common:
                result.append(high[:common])
                low, high = low[common:], high[common:]
        low_digit = _VALUE[low[0]] if low else 0
        high_digit = _VALUE[high[0]] if high else _BASE
        if high_digit - low_digit > 1:
            result.append(_DIGITS[(low_digit + high_digit) // 2])
            return "".join(result)
        if high is not None and len(high) > 1:
            result.append(high[0])
            return "".join(result)
        result.append(_DIGITS[low_digit])
        low, high = low[1:], None


def _increment(integer: str) -> str | None:
    """The next integer part, None above the largest."""
    head, digits = integer[0], list(integer[1:])
    for index in reversed(range(len(digits))):
        value = _VALUE[digits[index]] + 1
        if value < _BASE:
            digits[index] = _DIGITS[value]
            return head + "".join(digits)
        digits[index] = "0"
    if head == "Z":
        return "a0"
    if head == "z":
        return None
    head = chr(ord(head) + 1)
    if head > "a":
        digits.append("0")
    else:
        digits.pop()
    return head + "".join(digits)


def _decrement(integer: str) -> str | None:
    """The previous integer part, None below the smallest."""
    head, digits = integer[0], list(integer[1:])
    for index in reversed(range(len(digits))):
        value = _VALUE[digits[index]] - 1
        if value >= 0:
            digits[index] = _DIGITS[value]
            return head + "".join(digits)
        digits[index] = "z"
    if head == "a":
        return "Zz"
    if head == "A":
        return None
    head = chr(ord(head) - 1)
    if head < "Z":
        digits.append("z")
    else:
        digits.pop()
    return head + "".join(digits)
