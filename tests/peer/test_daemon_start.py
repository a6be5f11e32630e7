"""Finding and starting the daemon: races, deaths, refusals, strangers. A script stands in for Python and its
daemon.
"""

from __future__ import annotations

import os
import socket
import stat
import sys
from pathlib import Path

import pytest

from runt.errors import DaemonUnavailable, SocketPathTooLong, UnsafeDirectory
from runt.peer import credentials
from runt.peer.daemon_start import DaemonStart
from runt.store.daemon_record import DaemonRecord
from runt.store.places import Places
from tests.peer.small_daemon import Scene


def stand_in(scene: Scene, monkeypatch: pytest.MonkeyPatch, body: str) -> Path:
    """Make a "Python" that runs ``body`` (shell); $4 is the number of the ready pipe. Returns a file to count
    starts.
    """
    counter = scene.places.data.parent / "starts"
    script = scene.places.data.parent / "python"
    script.write_text(f"#!/bin/sh\necho start >> {counter}\n{body}\n")
    script.chmod(0o700)
    monkeypatch.setattr(sys, "executable", str(script))
    monkeypatch.setattr("runt.peer.daemon_start.BACK_OFF_S", (0.0, 0.0, 0.0))
    return counter


async def test_a_running_daemon_is_found_not_started(scene: Scene) -> None:
    """A connection to a daemon that runs needs no process."""
    connected = await DaemonStart(scene.places).connect()
    connected.close()
    assert scene.daemon.starts == 1


async def test_an_error_of_the_start_is_told(scene: Scene, monkeypatch: pytest.MonkeyPatch) -> None:
    """``error <message>`` on the ready pipe is the message of the exception, after one start."""
    await scene.daemon.kill()
    counter = stand_in(scene, monkeypatch, "echo error the moon is full > /dev/fd/$4")
    with pytest.raises(DaemonUnavailable, match="the moon is full"):
        await DaemonStart(scene.places).connect()
    assert counter.read_text().count("start") == 1


async def test_three_deaths_end_the_trying_and_show_the_log(
    scene: Scene, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A daemon that dies at each start is started three times; the error ends with its log."""
    await scene.daemon.kill()
    counter = stand_in(scene, monkeypatch, "echo something is broken >&2\nexit 3")
    with pytest.raises(DaemonUnavailable, match="something is broken"):
        await DaemonStart(scene.places).connect()
    assert counter.read_text().count("start") == 3


async def test_the_loser_of_a_race_connects_to_the_winner(
    scene: Scene, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A daemon that exits 0 without a word has left the field: its client connects to the other one."""
    counter = stand_in(scene, monkeypatch, "exit 0")
    start = DaemonStart(scene.places)
    await start._start()
    connected = await start.connect()
    connected.close()
    assert counter.read_text().count("start") == 1


async def test_a_daemon_of_another_user_is_refused_before_anything_is_sent(
    scene: Scene, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The uid of the other end is checked first; a stranger gets no byte."""
    monkeypatch.setattr(credentials, "_peer_uid", lambda connected: os.geteuid() + 1)
    with pytest.raises(DaemonUnavailable, match="another user"):
        await scene.client().ping()
    assert not scene.daemon.hellos


def test_the_other_end_of_a_pair_is_ours() -> None:
    """The check works on a real socket, and an answer that cannot be had counts as no."""
    one, other = socket.socketpair()
    with one, other:
        assert credentials.is_our_own(one)
    assert not credentials.is_our_own(one)


async def test_a_record_that_points_nowhere_counts_as_no_daemon(scene: Scene) -> None:
    """A daemon.json of a daemon that died without removing it is not believed."""
    await scene.daemon.kill()
    assert DaemonRecord.read(scene.places.daemon_json) is not None
    assert await DaemonStart(scene.places).find() is None


async def test_unsafe_places_are_refused_before_a_start(scene: Scene) -> None:
    """A socket directory that others may enter, or with too long a name, is an error, and nothing is
    started.
    """
    await scene.daemon.kill()
    scene.places.sockets.chmod(0o777)
    with pytest.raises(UnsafeDirectory):
        await DaemonStart(scene.places).connect()
    scene.places.sockets.chmod(0o700)
    long = Places.under(scene.places.data.parent / ("x" * 110))
    with pytest.raises(SocketPathTooLong):
        await DaemonStart(long).connect()


async def test_the_log_is_private(scene: Scene, monkeypatch: pytest.MonkeyPatch) -> None:
    """What the daemon says before it can log goes to a file that only we can read."""
    await scene.daemon.kill()
    stand_in(scene, monkeypatch, "exit 1")
    with pytest.raises(DaemonUnavailable):
        await DaemonStart(scene.places).connect()
    assert stat.S_IMODE(scene.places.log.stat().st_mode) == 0o600
