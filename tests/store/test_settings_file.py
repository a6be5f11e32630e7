"""settings.json: read whatever it holds, written without losing a key."""

from __future__ import annotations

import ast
import inspect
import json
from pathlib import Path

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from runt.errors import StoreError
from runt.store import settings_file
from runt.store.settings_file import AutosaveSettings, Settings, read_settings, write_settings


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "settings.json"


def test_defaults(path: Path) -> None:
    """Without a file everything has its default, and none is made."""
    found, problems = read_settings(path)
    assert problems == []
    assert (found.theme, found.default_runtime, found.default_python_env) == ("system", "python", "uv")
    assert found.autosave == AutosaveSettings(enabled=True, delay_s=2.0, max_delay_s=10.0)
    assert not path.exists()


def test_a_bad_value_costs_one_default(path: Path) -> None:
    """Each bad value is reported by its key path with the default that is used; the others count."""
    text = json.dumps(
        {
            "theme": "purple",
            "images": "half",
            "autosave": {"delay_s": "soon", "max_delay_s": 20},
            "stop_on_error": 1,
            "name": 7,
        }
    )
    path.write_text(text)
    found, problems = read_settings(path)
    assert found.images == "half"
    assert found.theme == "system"
    assert found.autosave == AutosaveSettings(max_delay_s=20.0)
    assert found.stop_on_error is True
    assert [line.split(":")[0] for line in problems] == ["theme", "name", "stop_on_error", "autosave.delay_s"]
    assert 'the default "system" is used' in problems[0]
    assert path.read_text() == text


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (b'{"theme": }', "line 1, column 11"),
        (b"[1]", "not a JSON object"),
        (b'{"autosave": {"delay_s": NaN}}', "NaN is not JSON"),
        (b"\xff", "not UTF-8"),
        (b"[" * 100_000, "nested too deeply"),
    ],
)
def test_not_json(path: Path, content: bytes, reason: str) -> None:
    """A file that is not JSON is reported with the place, left alone, and not overwritten either."""
    path.write_bytes(content)
    found, problems = read_settings(path)
    assert found == Settings()
    assert len(problems) == 1
    assert reason in problems[0]
    with pytest.raises(StoreError, match=str(path)):
        write_settings(path, Settings(theme="dark"))
    assert path.read_bytes() == content


def test_unreadable(path: Path) -> None:
    """A directory in the place of the file is a problem, not a crash."""
    path.mkdir()
    found, problems = read_settings(path)
    assert found == Settings()
    assert len(problems) == 1


def test_writing_keeps_what_it_does_not_know(path: Path) -> None:
    """Unknown keys, their order, and known values that were written out stay; only changes are added."""
    path.write_text('{"future": {"x": [1]}, "theme": "dark", "autosave": {"later": 1}, "name": ""}')
    found, _ = read_settings(path)
    write_settings(path, msgspec.structs.replace(found, theme="light", images="off"))
    written = json.loads(path.read_text())
    assert list(written) == ["future", "theme", "autosave", "name", "images"]
    assert written["future"] == {"x": [1]}
    assert written["autosave"] == {"later": 1}
    assert (written["theme"], written["name"], written["images"]) == ("light", "", "off")


def test_new_file(tmp_path: Path) -> None:
    """The first write makes directory and file, private, with only what differs from the defaults."""
    path = tmp_path / "config" / "settings.json"
    write_settings(path, Settings(theme="dark"))
    assert json.loads(path.read_text()) == {"theme": "dark"}
    assert path.stat().st_mode & 0o777 == 0o600


json_values = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=6,
)
names = st.sampled_from([*Settings.__struct_fields__, "unknown"])


@given(raw=st.dictionaries(names, json_values))
@settings(max_examples=200, deadline=None)
def test_any_json_is_read(tmp_path_factory: pytest.TempPathFactory, raw: dict[str, object]) -> None:
    """Whatever JSON the file holds, reading gives valid settings, and writing them changes nothing read."""
    path = tmp_path_factory.mktemp("s") / "settings.json"
    path.write_text(json.dumps(raw))
    found, _ = read_settings(path)
    msgspec.convert(msgspec.to_builtins(found), Settings)
    write_settings(path, found)
    again, problems = read_settings(path)
    assert again == found
    assert problems == []
    if "unknown" in raw:
        assert json.dumps(json.loads(path.read_text())["unknown"]) == json.dumps(raw["unknown"])


def test_every_field_is_explained() -> None:
    """Each setting has a docstring under it: the reference page is made from these."""
    tree = ast.parse(inspect.getsource(settings_file))
    for node in tree.body:
        if not (isinstance(node, ast.ClassDef) and node.name.endswith("Settings")):
            continue
        for field, following in zip(node.body, [*node.body[1:], None], strict=True):
            if isinstance(field, ast.AnnAssign):
                assert isinstance(following, ast.Expr), f"{node.name}: a field without a docstring"
                assert isinstance(following.value, ast.Constant)
