"""A private place for one test: its own directories, its own daemon, and proof that nothing of it remains.

It is not a mock: it only sets the ``RUNT_*_DIR`` variables and runs the real command. Invariant: after
``close()`` no process that carries this house's mark in its environment is alive, and its directory is gone.
"""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import psutil

MARK = "RUNT_TEST_HOUSE"
# Generous: the machine may be shared; a condition that holds is seen at the next poll, not at the end.
PATIENCE_S = 40.0
POLL_S = 0.02


def wait_until(condition: Callable[[], Any], what: str, patience_s: float = PATIENCE_S) -> Any:
    """Poll until the condition is true and return its value; fail with ``what`` after ``patience_s`` seconds."""
    end = time.monotonic() + patience_s
    while time.monotonic() < end:
        value = condition()
        if value:
            return value
        time.sleep(POLL_S)
    raise AssertionError(f"waited {patience_s:.0f} s in vain for {what}")


class House:
    """Directories and environment of one test. Paths are short, so that sockets fit into ``sun_path``."""

    def __init__(self, **environment: str) -> None:
        self.root = Path(tempfile.mkdtemp(prefix="rt", dir="/tmp"))
        self.work = self.root / "w"
        self.home = self.root / "home"
        for directory in (self.work, self.home):
            directory.mkdir()
        kept = {
            name: value
            for name, value in os.environ.items()
            if not name.startswith(("RUNT_", "XDG_", "PYTHONDONTWRITE", "TMUX", "TEXTUAL"))
            # Tests that run side by side are given the size of the runner's terminal; a terminal of ours has its own.
            and name not in ("COLUMNS", "LINES")
        }
        self.environment = kept | {
            MARK: self.root.name,
            "HOME": str(self.home),
            "RUNT_DATA_DIR": str(self.root / "data"),
            "RUNT_CACHE_DIR": str(self.root / "cache"),
            "RUNT_CONFIG_DIR": str(self.root / "config"),
            "RUNT_STATE_DIR": str(self.root / "state"),
            "RUNT_RUNTIME_DIR": str(self.root / "run"),
            "LANG": "C.UTF-8",
            "IPYTHONDIR": str(self.root / "ipython"),
            "MPLCONFIGDIR": str(self.root / "mpl"),
            **environment,
        }

    def __enter__(self) -> House:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def path(self, name: str) -> Path:
        """A path in the working directory of the test."""
        return self.work / name

    def runt(
        self, *arguments: str, timeout: float = 120, check: bool = False, cwd: Path | None = None
    ) -> subprocess.CompletedProcess[str]:
        """Run one command to its end and return it with its output as text."""
        return subprocess.run(
            [sys.executable, "-m", "runt", *arguments],
            env=self.environment,
            cwd=cwd or self.work,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=timeout,
            check=check,
        )

    def json(self, *arguments: str) -> Any:
        """Run a command with ``--json`` and decode what it printed."""
        done = self.runt(*arguments, "--json")
        assert done.returncode == 0, done.stderr
        return json.loads(done.stdout)

    def daemon_pid(self) -> int | None:
        """The pid of this house's daemon according to ``daemon.json``, if that process is alive."""
        for record in (self.root / "data").glob("*/daemon.json"):
            with contextlib.suppress(FileNotFoundError, ValueError):
                pid = int(json.loads(record.read_text())["pid"])
                if self._alive(pid):
                    return pid
        return None

    def kill_daemon(self) -> int:
        """``kill -9`` the daemon and wait until it is gone. Returns its pid."""
        pid = self.daemon_pid()
        assert pid is not None, "no daemon to kill"
        os.kill(pid, signal.SIGKILL)
        wait_until(lambda: not self._alive(pid), f"daemon {pid} to die")
        return pid

    @staticmethod
    def _alive(pid: int) -> bool:
        try:
            return bool(psutil.Process(pid).status() != psutil.STATUS_ZOMBIE)
        except psutil.NoSuchProcess:
            return False

    def processes(self) -> list[psutil.Process]:
        """Every living process that was started in this house."""
        found = []
        for process in psutil.process_iter():
            with contextlib.suppress(psutil.Error):
                if process.pid != os.getpid() and process.status() != psutil.STATUS_ZOMBIE:
                    environment = process.environ()
                    if environment.get(MARK) == self.root.name or environment.get("RUNT_DATA_DIR") == str(
                        self.root / "data"
                    ):
                        found.append(process)
        return found

    def close(self) -> None:
        """Stop daemon and kernels the way a user does; fail if something is left after that."""
        if self.daemon_pid() is not None:
            self.runt("daemon", "stop", "--kernels")
        left: list[psutil.Process] = []
        try:
            wait_until(lambda: not self.processes(), "all processes to end", 15)
        except AssertionError:
            left = self.processes()
        described = [self._describe(process) for process in left]
        for process in left:
            with contextlib.suppress(psutil.Error):
                process.kill()
        log = next((self.root / "state").glob("log/*.log"), None)
        tail = log.read_text(errors="replace")[-3000:] if log and described else ""
        shutil.rmtree(self.root, ignore_errors=True)
        assert not described, f"processes left behind: {described}\n{tail}"

    @staticmethod
    def _describe(process: psutil.Process) -> str:
        with contextlib.suppress(psutil.Error):
            return f"{process.pid} {' '.join(process.cmdline())[:160]}"
        return str(process.pid)
