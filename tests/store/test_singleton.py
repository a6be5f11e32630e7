"""The daemon's lock and its record."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

from runt.store.daemon_record import DaemonRecord
from runt.store.safe_directory import write_private_file
from runt.store.singleton import SingletonLock

RACER = """
import sys
from runt.store.singleton import SingletonLock
sys.stdin.readline()
lock = SingletonLock.acquire(sys.argv[1])
print("won" if lock else "lost", flush=True)
sys.stdin.readline()
"""


def test_one_of_many_wins(tmp_path: Path) -> None:
    """Of processes that race for the lock exactly one gets it, and its death frees it at once."""
    path = tmp_path / "daemon.lock"
    racers = [
        subprocess.Popen(
            [sys.executable, "-c", RACER, str(path)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            bufsize=1,
        )
        for _ in range(4)
    ]
    try:
        for racer in racers:
            assert racer.stdin is not None
            racer.stdin.write("go\n")
        answers = [racer.stdout.readline().strip() for racer in racers if racer.stdout is not None]
        assert sorted(answers) == ["lost", "lost", "lost", "won"]
        assert SingletonLock.acquire(path) is None
        winner = racers[answers.index("won")]
        winner.kill()
        winner.wait()
        lock = SingletonLock.acquire(path)
        assert lock is not None
        lock.release()
    finally:
        for racer in racers:
            racer.kill()
            racer.communicate()


def test_release_and_take_again(tmp_path: Path) -> None:
    """A released lock can be taken again; releasing twice does no harm."""
    path = tmp_path / "daemon.lock"
    lock = SingletonLock.acquire(path)
    assert lock is not None
    assert lock.still_names_file()
    assert SingletonLock.acquire(path) is None
    lock.release()
    lock.release()
    again = SingletonLock.acquire(path)
    assert again is not None
    again.release()


def test_removed_lock_file_is_noticed(tmp_path: Path) -> None:
    """When somebody removes the file, the holder can tell that another daemon could start."""
    path = tmp_path / "daemon.lock"
    lock = SingletonLock.acquire(path)
    assert lock is not None
    path.unlink()
    assert not lock.still_names_file()
    lock.release()


def test_inherited_lock_stays_held(tmp_path: Path) -> None:
    """A successor that got the descriptor holds the lock after the predecessor let go."""
    path = tmp_path / "daemon.lock"
    lock = SingletonLock.acquire(path)
    assert lock is not None
    successor = SingletonLock.inherit(path, os.dup(lock.fileno))
    lock.release()
    assert SingletonLock.acquire(path) is None
    assert not os.get_inheritable(successor.fileno)
    successor.release()
    again = SingletonLock.acquire(path)
    assert again is not None
    again.release()


def record(pid: int) -> DaemonRecord:
    return DaemonRecord(
        endpoint="/tmp/s/d.sock", pid=pid, boot_id="b", version="0.1", protocol=1, started_at=1.5
    )


def test_record_round_trip(tmp_path: Path) -> None:
    """What is written is read; without a file there is no record."""
    path = tmp_path / "daemon.json"
    assert DaemonRecord.read(path) is None
    record(1).write(path)
    assert DaemonRecord.read(path) == record(1)
    assert path.stat().st_mode & 0o777 == 0o600


def test_unbelievable_records(tmp_path: Path) -> None:
    """A damaged record, one that others may write, and a link count as none."""
    path = tmp_path / "daemon.json"
    write_private_file(path, b'{"endpoint": 1')
    assert DaemonRecord.read(path) is None
    record(1).write(path)
    path.chmod(0o666)
    assert DaemonRecord.read(path) is None
    path.chmod(0o600)
    path.rename(tmp_path / "moved")
    path.symlink_to(tmp_path / "moved")
    assert DaemonRecord.read(path) is None


def test_remove_spares_the_successors_record(tmp_path: Path) -> None:
    """A daemon that ends removes its own record, not the one that its successor has written."""
    path = tmp_path / "daemon.json"
    record(2).write(path)
    DaemonRecord.remove(path, pid=1)
    assert DaemonRecord.read(path) == record(2)
    DaemonRecord.remove(path, pid=2)
    assert not path.exists()
    DaemonRecord.remove(path)
