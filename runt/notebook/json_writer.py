"""A JSON writer with a style: values, and pieces of JSON that are there already, to text.

It knows nothing of notebooks. The invariant: with the default style and no old bytes it writes exactly what
``json.dumps(value, indent=1, sort_keys=True, ensure_ascii=False)`` writes, several times faster.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from json.encoder import encode_basestring, encode_basestring_ascii
from typing import Any

import msgspec

from runt.notebook.file_notebook import FileStyle

_as_value = msgspec.json.Decoder()


def same_json(one: object, other: object) -> bool:
    """Whether two values are the same JSON. Unlike ``==``, true is not 1 and 1 is not 1.0."""
    if one is other:
        return True
    if type(one) is not type(other):
        return False
    if isinstance(one, dict) and isinstance(other, dict):
        return len(one) == len(other) and all(
            key in other and same_json(value, other[key]) for key, value in one.items()
        )
    if isinstance(one, list) and isinstance(other, list):
        return len(one) == len(other) and all(map(same_json, one, other))
    return one == other


class JsonWriter:
    """Writes in one style. A level is the depth of the value itself: 0 for the whole file."""

    def __init__(self, style: FileStyle) -> None:
        self._style = style
        self._string = encode_basestring_ascii if style.ascii else encode_basestring

    def _layout(self, level: int) -> tuple[str, str, str]:
        """What stands before the first item, between two, and after the last one, of a container."""
        style = self._style
        if style.indent is None:
            return "", style.item_separator, ""
        inner = style.newline + style.indent * (level + 1)
        return inner, style.item_separator + inner, style.newline + style.indent * level

    def join_array(self, items: Iterable[str], level: int) -> str:
        """An array of JSON texts."""
        before, between, after = self._layout(level)
        text = between.join(items)
        return f"[{before}{text}{after}]" if text else "[]"

    def join_object(self, fields: Mapping[str, str], level: int) -> str:
        """An object of JSON texts, in their order."""
        if not fields:
            return "{}"
        before, between, after = self._layout(level)
        separator = self._style.key_separator
        text = between.join(self._string(key) + separator + value for key, value in fields.items())
        return f"{{{before}{text}{after}}}"

    def names(self, values: Mapping[str, Any], model: Sequence[str] = ()) -> list[str]:
        """The keys of ``values`` in the order to write: that of ``model``, if that had one of its own."""
        if model and list(model) != sorted(model):
            return [name for name in model if name in values] + [name for name in values if name not in model]
        return sorted(values) if self._style.sort_keys or model else list(values)

    def value(self, value: Any, level: int, model: object = None) -> str:
        """A value; where ``model`` is an object at the same place, its keys give the order.

        Raises:
            ValueError: it holds NaN or an infinity.
            TypeError: it is not made of JSON types.
        """
        if isinstance(value, str):
            return self._string(value)
        if value is None:
            return "null"
        if value is True:
            return "true"
        if value is False:
            return "false"
        if isinstance(value, int):
            return int.__repr__(value)
        if isinstance(value, float):
            if not math.isfinite(value):
                raise ValueError(f"{value} is not a JSON number")
            return float.__repr__(value)
        if isinstance(value, Mapping):
            old = model if isinstance(model, dict) else {}
            return self.join_object(
                {
                    name: self.value(value[name], level + 1, old.get(name))
                    for name in self.names(value, list(old))
                },
                level,
            )
        if isinstance(value, list | tuple):
            return self.join_array([self.value(item, level + 1) for item in value], level)
        raise TypeError(f"{type(value).__name__} is not a JSON type")

    def again(self, value: Any, raw: bytes | None, level: int) -> str:
        """A value whose bytes were ``raw``: those bytes, if they say the same."""
        if raw is None:
            return self.value(value, level)
        old = _as_value.decode(raw)
        return raw.decode() if same_json(old, value) else self.value(value, level, old)
