"""The commands: what they print, and one clear line with a non-zero exit status for bad input."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from runt.cli.dispatch import VERBS
from tests.harness.house import House, wait_until
from tests.harness.notebooks import write_notebook
from tests.harness.terminal import Terminal


def assert_one_clear_line(done: subprocess.CompletedProcess[str], *words: str, status: int = 2) -> None:
    """Exit status as expected, and stderr is one line that contains the words."""
    assert done.returncode == status, (done.returncode, done.stdout, done.stderr)
    lines = [line for line in done.stderr.splitlines() if line.strip()]
    assert len(lines) == 1, done.stderr
    for word in words:
        assert word in lines[0]
    assert "Traceback" not in done.stderr


def test_version_and_help(house: House) -> None:
    """--version names the version; --help lists the verbs, and the dispatch table agrees with them."""
    from typer.main import get_command

    from runt import __version__
    from runt.cli.app import app

    assert house.runt("--version").stdout.strip() == f"runt {__version__}"
    assert set(get_command(app).commands) == VERBS  # type: ignore[attr-defined]
    shown = house.runt("--help").stdout
    assert all(verb in shown for verb in VERBS)


def test_help_loads_neither_screen_nor_daemon() -> None:
    """`runt --help` imports no Textual, no daemon, no CRDT, no kernel machinery."""
    script = (
        "import sys\nsys.argv = ['runt', '--help']\nfrom runt.__main__ import main\n"
        "try:\n    main()\nexcept SystemExit:\n    pass\n"
        "print('LOADED', ' '.join(sys.modules))"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    loaded = done.stdout.split("LOADED", 1)[1].split()
    heavy = {"textual", "pycrdt", "zmq", "jupyter_client", "runt.daemon", "runt.tui", "runt.peer", "sqlite3"}
    assert not heavy & set(loaded)


@pytest.mark.parametrize("verb", ["run", "cat", "open"])
@pytest.mark.parametrize(
    ("name", "content", "words"),
    [
        ("absent.ipynb", None, ["no such file"]),
        ("text.ipynb", b"hello\n", ["text.ipynb:1:1"]),
        ("empty.ipynb", b"", ["empty"]),
        ("list.ipynb", b"[1, 2]", ["not a notebook"]),
        ("object.ipynb", b'{"a": 1}', ["not a notebook"]),
        ("cut.ipynb", b'{"cells": [', ["cut.ipynb:1"]),
        ("utf16.ipynb", '{"cells": []}'.encode("utf-16"), ["UTF-16"]),
        ("conflict.ipynb", b'{\n<<<<<<< HEAD\n "cells": []\n}', ["conflict", ":2:"]),
    ],
)
def test_bad_notebooks_are_refused_and_left_alone(
    house: House, verb: str, name: str, content: bytes | None, words: list[str]
) -> None:
    """What is not a notebook gets one clear line with the place, status 2, and keeps its bytes."""
    path = house.path(name)
    if content is not None:
        path.write_bytes(content)
    if verb == "open":
        with Terminal(house, "open", str(path)) as terminal:
            status = terminal.wait_exit()
            shown = " ".join("".join(row.ljust(120) for row in terminal.rows()).split())
        assert status == 2, shown
        # A pty wraps the line; words may be cut by it only if the path is long, which it is not.
        assert all(word in shown for word in words), shown
        assert "Traceback" not in shown
    else:
        assert_one_clear_line(house.runt(verb, str(path)), *words)
    if content is not None:
        assert path.read_bytes() == content


def test_a_directory_is_refused(house: House) -> None:
    """A directory is named as such."""
    assert_one_clear_line(house.runt("run", str(house.work)), "is a directory")
    assert_one_clear_line(house.runt("cat", str(house.work)), "is a directory")


@pytest.mark.skipif(
    os.geteuid() == 0 and not Path("/usr/bin/setpriv").exists(), reason="root reads every file"
)
def test_an_unreadable_notebook_is_refused(house: House) -> None:
    """Without permission to read, one clear line says so."""
    path = write_notebook(house.path("locked.ipynb"), ["1"])
    path.chmod(0)
    if os.geteuid() != 0:
        assert_one_clear_line(house.runt("run", str(path)), "permission", status=2)
        return
    # root may read everything, so become somebody else who owns the house.
    for directory, _, files in os.walk(house.root):
        os.chown(directory, 65534, 65534)
        for file in files:
            os.chown(Path(directory) / file, 65534, 65534)
    probe = subprocess.run(
        [
            "/usr/bin/setpriv",
            "--reuid",
            "65534",
            "--regid",
            "65534",
            "--clear-groups",
            sys.executable,
            "-c",
            "import runt",
        ],
        env=house.environment,
        cwd=house.work,
        capture_output=True,
    )
    if probe.returncode != 0:
        pytest.skip("the interpreter of the tests cannot be used by another user here")
    done = subprocess.run(
        [
            "/usr/bin/setpriv",
            "--reuid",
            "65534",
            "--regid",
            "65534",
            "--clear-groups",
            sys.executable,
            "-m",
            "runt",
            "cat",
            str(path),
        ],
        env=house.environment,
        cwd=house.work,
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert_one_clear_line(done, "permission")


def test_an_unknown_kernelspec_is_refused(house: House) -> None:
    """A notebook that asks for a kernel that is not installed says which are, and keeps its bytes."""
    path = write_notebook(house.path("alien.ipynb"), ["1"])
    notebook = json.loads(path.read_text())
    notebook["metadata"]["kernelspec"] = {
        "name": "klingon",
        "display_name": "tlhIngan",
        "language": "klingon",
    }
    path.write_text(json.dumps(notebook))
    before = path.read_bytes()
    assert_one_clear_line(house.runt("run", str(path)), "klingon", "python3")
    assert path.read_bytes() == before


def test_a_socket_path_that_is_too_long_is_refused(house: House) -> None:
    """The limit is named, and what to set instead."""
    house.environment["RUNT_RUNTIME_DIR"] = str(house.root / ("x" * 110))
    path = write_notebook(house.path("a.ipynb"), ["1"])
    assert_one_clear_line(house.runt("run", str(path)), "too long", "RUNT_RUNTIME_DIR", status=1)


def test_a_runtime_directory_of_others_is_refused(house: House) -> None:
    """A directory that others may enter, or a link to one, is not used for sockets."""
    loose = house.root / "loose"
    loose.mkdir(mode=0o777)
    loose.chmod(0o777)
    path = write_notebook(house.path("a.ipynb"), ["1"])
    house.environment["RUNT_RUNTIME_DIR"] = str(loose)
    assert_one_clear_line(house.runt("run", str(path)), "loose", status=1)
    link = house.root / "link"
    link.symlink_to(house.root / "home")
    house.environment["RUNT_RUNTIME_DIR"] = str(link)
    assert_one_clear_line(house.runt("run", str(path)), "link", status=1)


def test_two_shells_at_once_find_one_daemon(house: House) -> None:
    """Commands started at the same moment, with and without XDG_RUNTIME_DIR, end up at one daemon."""
    del house.environment["RUNT_RUNTIME_DIR"]
    xdg = house.root / "xdg"
    xdg.mkdir(mode=0o700)
    started = [
        subprocess.Popen(
            [sys.executable, "-m", "runt", "daemon", "start"],
            env=house.environment | ({"XDG_RUNTIME_DIR": str(xdg)} if number % 2 else {}),
            cwd=house.work,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        for number in range(4)
    ]
    results = [(process.communicate(timeout=60), process.returncode) for process in started]
    assert [status for _, status in results] == [0] * 4, results
    plain = house.json("status")["pid"]
    house.environment["XDG_RUNTIME_DIR"] = str(xdg)
    assert house.json("status")["pid"] == plain
    daemons = [process for process in house.processes() if "runt.daemon" in " ".join(process.cmdline())]
    wait_until(
        lambda: (
            len([process for process in house.processes() if "runt.daemon" in " ".join(process.cmdline())])
            == 1
        ),
        f"one daemon, not {daemons}",
    )


def test_listing_shows_notebook_kernel_and_peers(house: House) -> None:
    """`runt ls --json` tells path, kernel state and who is there; `runt ls` shows the same to people."""
    path = write_notebook(house.path("seen.ipynb"), ["1"])
    with Terminal(house, str(path), RUNT_NAME="ann") as terminal:
        terminal.wait_for("idle")
        (entry,) = house.json("ls")
        assert entry["path"] == str(path)
        assert entry["kernel"]["state"] == "ready"
        assert [peer["name"] for peer in entry["peers"]] == ["ann"]
        shown = house.runt("ls").stdout
        assert "seen.ipynb" in shown and "ann" in shown


def test_stop_ends_the_kernel_and_keeps_the_notebook(house: House) -> None:
    """`runt stop PATH` ends the kernel; outputs stay."""
    path = write_notebook(house.path("s.ipynb"), ["print('kept')"])
    with Terminal(house, str(path)) as terminal:
        terminal.wait_for("idle")
        terminal.press("ctrl+j")
        terminal.wait_for(lambda text: text.count("kept") >= 2)
        assert house.runt("stop", str(path)).returncode == 0
        wait_until(lambda: house.json("status")["kernels"] == [], "no kernel")
        assert terminal.wait_for("stopped").count("kept") >= 2


def test_the_daemon_commands(house: House) -> None:
    """start, ping, status, restart, logs and stop do what they say; stop leaves kernels to the next daemon."""
    assert house.runt("daemon", "ping").returncode == 1
    assert house.runt("status").returncode == 1
    assert house.runt("daemon", "start").returncode == 0
    assert house.runt("daemon", "ping").returncode == 0
    first = house.json("status")["pid"]
    path = write_notebook(house.path("k.ipynb"), ["1"])
    with Terminal(house, str(path)) as terminal:
        terminal.wait_for("idle")
        terminal.press("ctrl+q")
        terminal.wait_exit()
    kernel = house.json("status")["kernels"][0]["pid"]
    assert house.runt("daemon", "restart").returncode == 0
    again = house.json("status")
    assert again["pid"] != first
    wait_until(
        lambda: [entry["pid"] for entry in house.json("status")["kernels"]] == [kernel], "the same kernel"
    )
    assert house.runt("daemon", "logs").stdout
    assert house.runt("daemon", "stop", "--kernels").returncode == 0
    assert house.daemon_pid() is None
    wait_until(lambda: not house.processes(), "everything to end")


def test_cat_needs_no_daemon(house: House) -> None:
    """`runt cat` prints sources and outputs of a file, and starts nothing."""
    path = write_notebook(house.path("c.ipynb"), ["#md # Title", "print('x')"])
    done = house.runt("cat", str(path))
    assert done.returncode == 0
    assert "# Title" in done.stdout and "print('x')" in done.stdout
    assert house.daemon_pid() is None


def test_an_untitled_notebook_is_found_again_by_its_handle(house: House) -> None:
    """What `runt ls` and the farewell call it opens it, also after a restart of the daemon; saving names it."""
    with Terminal(house, "new") as terminal:
        terminal.wait_for("idle")
        terminal.press("enter")
        terminal.wait_for("Esc")
        terminal.press(*"kept = 6", "ctrl+q")
        assert terminal.wait_exit() == 0
        left = terminal.text()
    (entry,) = house.json("ls")
    name = f"untitled-{entry['id'][:8]}"
    assert f"runt {name} returns" in left
    assert name in house.runt("ls").stdout
    assert house.runt("daemon", "restart").returncode == 0
    with Terminal(house, name) as terminal:
        terminal.wait_for("kept = 6")
        terminal.press("ctrl+s")
        terminal.wait_for("Save as")
        terminal.press(*"named", "enter")
        terminal.wait_for("saved as")
        terminal.press("ctrl+q")
        terminal.wait_exit()
    assert "kept = 6" in house.path("named.ipynb").read_text()
    assert house.runt("stop", str(house.path("named.ipynb"))).returncode == 0
    assert_one_clear_line(house.runt("cat", "untitled-00000000"), "no such file")
    with Terminal(house, "untitled-00000000") as terminal:
        assert terminal.wait_exit() == 2
        assert "no such notebook" in terminal.text()


def test_kernels_without_a_daemon_are_mentioned_and_can_be_ended(house: House) -> None:
    """After `daemon stop` the commands say that a kernel goes on, and `daemon stop --kernels` ends it."""
    path = write_notebook(house.path("k.ipynb"), ["1"])
    with Terminal(house, str(path)) as terminal:
        terminal.wait_for("idle")
        terminal.press("ctrl+q")
        terminal.wait_exit()
    assert "1 kernel goes on" in house.runt("daemon", "stop").stdout
    assert "1 kernel goes on" in house.runt("status").stderr
    assert "1 kernel ended" in house.runt("daemon", "stop", "--kernels").stdout
    wait_until(lambda: not house.processes(), "everything to end")


def test_a_headless_run_in_a_terminal_shows_what_is_in_progress(house: House) -> None:
    """A progress bar is redrawn in place while it runs, and its last state stays."""
    source = "import time\nfor n in range(30):\n    print(f'\\rstep {n}', end='', flush=True)\n    time.sleep(0.05)"
    path = write_notebook(house.path("p.ipynb"), [source])
    with Terminal(house, "run", str(path)) as terminal:
        terminal.wait_for("step 7")
        assert terminal.wait_exit() == 0
        assert "step 29" in terminal.text()
        assert terminal.text().count("step") == 1
