"""The settings document: JSON values by name, merged between peers."""

from __future__ import annotations

import pytest
from pycrdt import Map

from runt.notebook.settings_document import SettingsChange, SettingsDocument


def test_values_keep_their_type() -> None:
    """Numbers, lists and null come back as they were set, on every replica."""
    document, other = SettingsDocument(), SettingsDocument()
    values = {"theme": "system", "keep": 20, "ratio": 0.5, "packages": ["numpy"], "none": None, "on": True}
    document.update(values, "me")
    other.apply(document.update_since())
    for settings in (document, other):
        assert settings.all() == dict(sorted(values.items()))
        assert type(settings.get("keep")) is int
        assert settings.get("missing", 5) == 5


def test_changes_name_what_changed() -> None:
    """One transaction is one change with the names that were set or removed."""
    document = SettingsDocument()
    document.set("a", 1, "file")
    changes: list[SettingsChange] = []
    subscription = document.observe(changes.append)
    document.update({"a": 1, "b": 2}, "me")
    document.remove("a", "me")
    document.remove("a", "me")
    document.set("b", 2, "me")
    assert changes == [SettingsChange("me", frozenset({"b"})), SettingsChange("me", frozenset({"a"}))]
    subscription.close()
    document.set("c", 1, "me")
    assert len(changes) == 2


def test_concurrent_settings_both_stay() -> None:
    """Two peers who set different names keep both; one name converges to one value."""
    one, two = SettingsDocument(), SettingsDocument()
    one.update({"a": 1, "c": 1}, "me")
    two.update({"b": 2, "c": 2}, "me")
    one.apply(two.update_since())
    two.apply(one.update_since())
    assert one.all() == two.all()
    assert (one.get("a"), one.get("b")) == (1, 2)
    assert one.get("c") in (1, 2)


def test_what_is_not_json_is_refused() -> None:
    """A value that is not JSON raises and sets nothing, not even its valid neighbours."""
    document = SettingsDocument()
    with pytest.raises(TypeError):
        document.update({"a": 1, "b": object()}, "me")
    assert document.all() == {}


def test_foreign_values_are_left_out() -> None:
    """What another version wrote that is not JSON text reads as not set."""
    document = SettingsDocument()
    with document.transaction("foreign"):
        document.doc.get("settings", type=Map)["odd"] = 5
        document.doc.get("settings", type=Map)["damaged"] = "{"
    assert document.get("odd", "default") == "default"
    assert document.all() == {}
