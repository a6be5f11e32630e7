"""``settings.json``: what a user can set, with types, defaults and an explanation of each.

It applies nothing. The invariant: reading never fails and never changes the file: a value that cannot be used
is reported and its default used; writing keeps every key that it does not know.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated, Any, Literal, TypeVar, get_type_hints

import msgspec
from msgspec import Meta

from runt.errors import StoreError
from runt.store.atomic_file import read_file, write_file
from runt.store.disk_errors import from_os_error
from runt.store.safe_directory import ensure_private_directory

Seconds = Annotated[float, Meta(ge=0.1, le=86_400.0)]
_S = TypeVar("_S", bound=msgspec.Struct)
Name = Annotated[str, Meta(max_length=64)]


class AutosaveSettings(msgspec.Struct, frozen=True):
    enabled: bool = True
    """Write the notebook's file by itself after changes."""

    delay_s: Seconds = 2.0
    """Seconds without a change after which the file is written."""

    max_delay_s: Seconds = 10.0
    """Seconds after which it is written at the latest, while changes go on."""


class Settings(msgspec.Struct, frozen=True):
    theme: Literal["system", "dark", "light"] = "system"
    """Colours of the screen; "system" asks the terminal for its background."""

    images: Literal["auto", "kitty", "half", "off"] = "auto"
    """How images are drawn: by the kitty protocol, by half blocks, not at all; "auto" asks the terminal."""

    name: Name = ""
    """What other people in a notebook see; empty: the login name."""

    default_runtime: Name = "python"
    """Language of a new notebook."""

    default_python_env: Literal["uv", "conda"] = "uv"
    """What manages the packages of a Python notebook that does not say."""

    stop_on_error: bool = True
    """When a cell of "run all" fails, cancel the rest."""

    autosave: AutosaveSettings = AutosaveSettings()
    """When the file is written by itself."""


def read_settings(path: Path) -> tuple[Settings, list[str]]:
    """The settings, and one line per problem ("autosave.delay_s: …"). No file: defaults, no problem."""
    try:
        data, _ = read_file(path)
    except FileNotFoundError:
        return Settings(), []
    except (OSError, StoreError) as error:
        return Settings(), [f"{path}: cannot be read: {error}"]
    try:
        raw = _parse(data)
    except ValueError as error:
        return Settings(), [f"{path}: {error}; all settings have their defaults"]
    problems: list[str] = []
    return _convert(raw, Settings, "", problems), problems


def write_settings(path: Path, settings: Settings) -> None:
    """Bring the file up to date. Unknown keys, and values that are the default and were not written, stay so.

    Raises `StoreError`: the disk refused, the file changed meanwhile, or it is not valid JSON (left alone).
    """
    if not path.parent.exists():
        ensure_private_directory(path.parent)
    raw: dict[str, Any] = {}
    expected: str | None = None
    try:
        data, expected = read_file(path)
        raw = _parse(data)
    except FileNotFoundError:
        pass
    except OSError as error:
        raise from_os_error(error, path, "read") from error
    except ValueError as error:
        raise StoreError(f"{path}: {error}", hint="correct or remove the file, then try again") from error
    _merge(raw, settings)
    text = json.dumps(raw, indent=2, ensure_ascii=False) + "\n"
    write_file(path, text.encode(), expected_sha256=expected, mode=0o600 if expected is None else None)


def _parse(data: bytes) -> dict[str, Any]:
    """Raises `ValueError` with one readable line."""
    try:
        raw = json.loads(data.decode("utf-8"), parse_constant=_refuse_constant) if data.strip() else {}
    except json.JSONDecodeError as error:
        raise ValueError(f"line {error.lineno}, column {error.colno}: {error.msg}") from error
    except UnicodeDecodeError as error:
        raise ValueError(f"not UTF-8 (byte {error.start})") from error
    except RecursionError as error:
        raise ValueError("nested too deeply") from error
    if not isinstance(raw, dict):
        raise ValueError("not a JSON object")
    return raw


def _refuse_constant(name: str) -> None:
    raise ValueError(f"{name} is not JSON")


def _convert(raw: dict[str, Any], kind: type[_S], where: str, problems: list[str]) -> _S:
    """Each field by itself, so that one bad value costs one default."""
    values: dict[str, Any] = {}
    hints = get_type_hints(kind, include_extras=True)
    for name in kind.__struct_fields__:
        if name not in raw:
            continue
        value, field_type = raw[name], hints[name]
        if isinstance(field_type, type) and issubclass(field_type, msgspec.Struct):
            if isinstance(value, dict):
                values[name] = _convert(value, field_type, f"{where}{name}.", problems)
            else:
                problems.append(f"{where}{name}: expected an object; its defaults are used")
            continue
        try:
            values[name] = msgspec.convert(value, field_type)
        except msgspec.ValidationError as error:
            default = json.dumps(getattr(kind(), name))
            reason = str(error).split(" - at `$")[0]
            problems.append(f"{where}{name}: {reason[:1].lower()}{reason[1:]}; the default {default} is used")
    return kind(**values)


def _merge(raw: dict[str, Any], settings: msgspec.Struct) -> None:
    defaults = type(settings)()
    for name in settings.__struct_fields__:
        value = getattr(settings, name)
        if isinstance(value, msgspec.Struct):
            inner = raw.get(name)
            merged = dict(inner) if isinstance(inner, dict) else {}
            _merge(merged, value)
            if merged or name in raw:
                raw[name] = merged
        elif name in raw or value != getattr(defaults, name):
            raw[name] = value
