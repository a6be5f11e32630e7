"""Where things are: overrides, the platform's customs, and the directory of sockets."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from runt.errors import SocketPathTooLong, UnsafeDirectory, UsageError
from runt.store import places as places_module
from runt.store.places import SUN_PATH_BYTES, Places, longest_socket


@pytest.fixture
def runtime(tmp_path: Path) -> Path:
    """What pam_systemd makes: a private directory."""
    directory = tmp_path / "run"
    directory.mkdir(mode=0o700)
    return directory


@pytest.fixture
def environ(tmp_path: Path) -> dict[str, str]:
    return {"HOME": str(tmp_path)}


@pytest.fixture
def lingering(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(places_module, "lingers", lambda: True)


@pytest.fixture
def not_lingering(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(places_module, "lingers", lambda: False)


@pytest.fixture
def on_network(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(places_module, "is_network", lambda path: True)


def test_every_directory_can_be_set(tmp_path: Path) -> None:
    """Each RUNT_*_DIR variable names its directory, and `environment` gives them on to a child."""
    variables = {
        "RUNT_DATA_DIR": "/d/data",
        "RUNT_CACHE_DIR": "/d/cache",
        "RUNT_CONFIG_DIR": "/d/config",
        "RUNT_STATE_DIR": "/d/state",
        "RUNT_RUNTIME_DIR": "/d/s",
    }
    places = Places.from_environment(variables)
    assert places.environment() == variables
    assert places.host.parent == Path("/d/data")
    assert places.socket == Path("/d/s/d.sock")
    assert places.settings_json == Path("/d/config/settings.json")
    assert places.daemon_lock.parent == places.daemon_json.parent == places.host
    assert Places.from_environment(places.environment()) == places


def test_relative_override_is_refused() -> None:
    """A relative RUNT_*_DIR would mean another place in each shell: an error that names the variable."""
    with pytest.raises(UsageError, match="RUNT_DATA_DIR=data"):
        Places.from_environment({"RUNT_DATA_DIR": "data", "HOME": "/nonexistent"})


def test_relative_xdg_is_ignored(tmp_path: Path, environ: dict[str, str]) -> None:
    """The XDG specification wants relative paths ignored and absolute ones used."""
    plain = Places.from_environment(environ)
    assert Places.from_environment(environ | {"XDG_DATA_HOME": "relative"}).data == plain.data
    moved = Places.from_environment(environ | {"XDG_DATA_HOME": str(tmp_path / "x")})
    assert moved.data == tmp_path / "x" / "runt"


def test_two_shells_find_one_daemon(environ: dict[str, str], runtime: Path, lingering: None) -> None:
    """With and without XDG_RUNTIME_DIR the sockets may differ, but never the record and the lock."""
    with_it = Places.from_environment(environ | {"XDG_RUNTIME_DIR": str(runtime)})
    without = Places.from_environment(environ)
    assert with_it.sockets != without.sockets
    assert with_it.daemon_json == without.daemon_json
    assert with_it.daemon_lock == without.daemon_lock
    assert with_it.host == without.host


def test_runtime_directory_only_with_linger(
    environ: dict[str, str], runtime: Path, not_lingering: None
) -> None:
    """Without linger systemd deletes XDG_RUNTIME_DIR at the last logout: it is not used."""
    places = Places.from_environment(environ | {"XDG_RUNTIME_DIR": str(runtime)})
    assert not places.sockets.is_relative_to(runtime)


@pytest.mark.parametrize("mode", [0o755, 0o770])
def test_open_runtime_directory_is_not_used(
    environ: dict[str, str], runtime: Path, lingering: None, mode: int
) -> None:
    """An XDG_RUNTIME_DIR that others can enter is passed over."""
    runtime.chmod(mode)
    places = Places.from_environment(environ | {"XDG_RUNTIME_DIR": str(runtime)})
    assert not places.sockets.is_relative_to(runtime)


def test_sockets_in_the_data_directory(not_lingering: None) -> None:
    """Without a runtime directory the sockets live beside the data when that is local and short."""
    places = Places.from_environment({"HOME": "/h"})
    assert places.sockets == places.host / "run"


def test_long_home_falls_back_to_tmp(not_lingering: None) -> None:
    """When a supervisor's socket would not fit into sun_path, the sockets go to /tmp/runt-<uid>."""
    places = Places.from_environment({"HOME": "/" + "h" * 60})
    assert places.sockets.is_relative_to(f"/tmp/runt-{os.geteuid()}")
    assert len(os.fsencode(longest_socket(places.sockets))) <= SUN_PATH_BYTES


def test_network_home(environ: dict[str, str], on_network: None, not_lingering: None) -> None:
    """On a network file system neither sockets nor the lock are in the data directory; the record is."""
    places = Places.from_environment(environ)
    assert places.sockets.is_relative_to(f"/tmp/runt-{os.geteuid()}")
    assert places.daemon_lock.is_relative_to(f"/tmp/runt-{os.geteuid()}")
    assert places.daemon_json.is_relative_to(places.data)


def test_two_data_directories_never_share_sockets(
    tmp_path: Path, environ: dict[str, str], runtime: Path, lingering: None
) -> None:
    """Daemons of different data directories, one lock each, do not fight for one socket."""
    both = [
        Places.from_environment(
            environ | {"XDG_RUNTIME_DIR": str(runtime), "RUNT_DATA_DIR": str(tmp_path / name)}
        )
        for name in ("one", "two")
    ]
    assert both[0].socket != both[1].socket


def test_prepare_makes_private_directories(tmp_path: Path) -> None:
    """After `prepare` every directory is there, and those that hold secrets are closed to others."""
    places = Places.under(tmp_path)
    places.prepare()
    for directory in (places.host, places.state, places.sockets, places.kernel_sockets, places.rooms):
        assert directory.stat().st_mode & 0o777 == 0o700
    assert places.log.parent.is_dir()
    places.prepare()


def test_prepare_accepts_linked_config(tmp_path: Path) -> None:
    """A config directory that is a link into somebody's dotfiles is fine."""
    (tmp_path / "dotfiles").mkdir()
    places = Places.under(tmp_path)
    places.config.symlink_to(tmp_path / "dotfiles")
    places.prepare()
    assert places.config.is_symlink()


def test_prepare_refuses_open_state(tmp_path: Path) -> None:
    """A state directory that others can read is refused with the command that closes it."""
    places = Places.under(tmp_path)
    places.state.mkdir()
    places.state.chmod(0o755)
    with pytest.raises(UnsafeDirectory) as caught:
        places.prepare()
    assert caught.value.hint == f"chmod 700 {places.state}"


def test_prepare_refuses_long_sockets(tmp_path: Path) -> None:
    """A RUNT_RUNTIME_DIR in which a supervisor's socket would not fit is refused before anything is made."""
    places = Places.from_environment(
        Places.under(tmp_path).environment() | {"RUNT_RUNTIME_DIR": "/" + "s" * SUN_PATH_BYTES}
    )
    with pytest.raises(SocketPathTooLong) as caught:
        places.prepare()
    assert caught.value.limit == SUN_PATH_BYTES
    assert "RUNT_RUNTIME_DIR" in caught.value.hint
    assert not places.host.exists()
