"""One daemon per data directory, whatever happens to starters, lock and record."""

from __future__ import annotations

import asyncio
import fcntl
import shutil
import signal
import subprocess
import sys
import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import cast

import nbformat
import psutil

from runt.daemon import only_one
from runt.store.places import Places
from runt.store.singleton import SingletonLock
from tests.daemon.daemon_in_loop import until
from tests.daemon.daemon_process import DaemonProcess, read_line
from tests.harness.house import House

STARTS = 8


def daemons(house: House) -> list[psutil.Process]:
    return [process for process in house.processes() if "runt.daemon" in " ".join(process.cmdline())]


def race(house: House, environments: list[dict[str, str]]) -> None:
    """Start one client for each environment at once: all reach the same daemon, which is the only one."""
    clients = [
        subprocess.Popen(
            [sys.executable, "-m", "runt", "daemon", "start"],
            env={name: value for name, value in (house.environment | environment).items() if value},
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
        )
        for environment in environments
    ]
    for client in clients:
        said, _ = client.communicate(timeout=60)
        assert client.returncode == 0, said.decode()
    assert len(daemons(house)) == 1
    assert daemons(house)[0].pid == house.daemon_pid()


def test_eight_starts_make_one_daemon(house: House) -> None:
    """All of them reach it, and reach it again after it was killed."""
    race(house, [{}] * STARTS)
    house.kill_daemon()
    race(house, [{}] * STARTS)


def test_eight_starts_with_different_directories_for_sockets_make_one_daemon(house: House) -> None:
    """Half of the shells have an XDG_RUNTIME_DIR, half have not: the lock is beside the data."""
    runtime = house.root / "xdg"
    runtime.mkdir(mode=0o700)
    with_it = {"RUNT_RUNTIME_DIR": "", "XDG_RUNTIME_DIR": str(runtime)}
    without = {"RUNT_RUNTIME_DIR": "", "XDG_RUNTIME_DIR": ""}
    elsewhere = {"RUNT_RUNTIME_DIR": str(house.root / "other")}
    race(house, [with_it, without, elsewhere, {}] * (STARTS // 4))


class WatchedPlaces:
    """Places that tell when a starter has found the lock taken: then it looks for the winner's record."""

    def __init__(self, places: Places) -> None:
        self.daemon_lock = places.daemon_lock
        self.lost = threading.Event()
        self._record = places.daemon_json

    @property
    def daemon_json(self) -> Path:
        self.lost.set()
        return self._record


def test_a_starter_takes_over_when_the_winner_dies(tmp_path: Path) -> None:
    """The loser of a race gets the lock, when whoever won it is killed before it answered."""
    places = Places.under(tmp_path)
    places.prepare()
    winner = SingletonLock.acquire(places.daemon_lock)
    assert winner is not None
    watched = WatchedPlaces(places)
    with ThreadPoolExecutor(1) as pool:
        loser = pool.submit(only_one.take_lock, cast(Places, watched))
        assert watched.lost.wait(30)
        winner.release()
        lock = loser.result(30)
    assert lock is not None
    lock.release()


async def test_a_lock_that_is_held_by_a_stranger_is_told() -> None:
    """No daemon and a locked file: one line that names the file, and no endless wait."""
    async with DaemonProcess() as daemon:
        await daemon.control("shutdown")
        await asyncio.to_thread(daemon.process.wait, 30)
        with daemon.places.daemon_lock.open() as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            line = await daemon.start()
            assert line.startswith("error ")
            assert str(daemon.places.daemon_lock) in line
            assert await asyncio.to_thread(daemon.process.wait, 30) == 1
    assert only_one.WINNER_PATIENCE_S < 20, "a client waits 20 s for the line"


async def test_a_lost_or_false_record_is_written_again() -> None:
    """Somebody removes daemon.json, or an old one comes back from a backup: clients find the daemon again."""
    async with DaemonProcess() as daemon:
        record = daemon.record()
        daemon.places.daemon_json.unlink()
        await until(daemon.places.daemon_json.exists, "the record")
        false = daemon.places.daemon_json.read_text().replace("d.sock", "no.sock")
        daemon.places.daemon_json.write_text(false)
        await until(lambda: daemon.record() == record, "the true record")


async def test_a_daemon_whose_data_was_removed_saves_and_ends() -> None:
    """It must not serve beside the one that starts next; text goes into the notebook's file, kernels end."""
    async with DaemonProcess() as daemon:
        path = daemon.notebook("a.ipynb", "import os; print(os.getpid())")
        client = await daemon.join(path)
        key = client.keys()[0]
        assert await client.run(key) == ["ok"]
        kernel = int(client.printed(key))
        shutil.rmtree(daemon.places.data)
        client.type(key, "# typed\n", 0)
        assert await asyncio.to_thread(daemon.process.wait, 30) == 0
        assert nbformat.read(path, as_version=4).cells[0].source.startswith("# typed\n")
        assert not psutil.pid_exists(kernel) or psutil.Process(kernel).status() == psutil.STATUS_ZOMBIE
        await client.until(lambda: client.lost, "the farewell")
        daemon.places.prepare()
        assert await daemon.start() == "ready"
        again = await daemon.join(path)
        assert again.sources()[0].startswith("# typed\n")


async def test_a_stopped_process_that_holds_the_lock_is_not_replaced() -> None:
    """SIGSTOP: the daemon does not answer, but it is one; a second one would write the same journals."""
    async with DaemonProcess() as daemon:
        holder = daemon.process
        holder.send_signal(signal.SIGSTOP)
        try:
            other, reading = daemon.spawn()
            assert await asyncio.to_thread(read_line, reading) == ""
            assert await asyncio.to_thread(other.wait, 30) == 0
        finally:
            holder.send_signal(signal.SIGCONT)
        await daemon.control("ping")
        daemon._started.remove(other)
