"""The supervisor with a real kernel: its whole life, and what must not get lost."""

from __future__ import annotations

import asyncio
import os
import signal
import socket
import stat
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest
import zmq

import runt
from runt.errors import ConnectionLost
from runt.runtime import supervisor_protocol as protocol
from runt.runtime.adoption import end_kernel, find_supervisors, last_records, remove
from runt.runtime.kernel import KernelProcess
from runt.runtime.kernel_file import read_kernel_file, socket_directory
from runt.runtime.kernelspecs import find_kernelspec
from runt.runtime.supervisor_directory import start_time
from runt.runtime.supervisor_protocol import LIFECYCLE, SENT
from tests.runtime.kernel_house import PATIENCE_S, KernelHouse

MEMORY_BUDGET_KB = 15 * 1024


async def gone(pid: int) -> None:
    async with asyncio.timeout(PATIENCE_S):
        while start_time(pid):  # noqa: ASYNC110 - zombies count as gone, so no pidfd
            await asyncio.sleep(0.01)


async def test_a_whole_life(kernels: KernelHouse) -> None:
    """Start, execute, restart, execute, shut down: the journal tells it in order and nothing remains."""
    kernel = await kernels.start()
    assert await kernel.run("e1", "x = 1; print('hello')") == "hello\n"
    old = read_kernel_file(kernels.kernels / "a")
    kernel.kernel.restart()
    await kernel.until(
        lambda: len([line for line in kernel.life if line.startswith("started")]) == 2, "restart"
    )
    assert await kernel.run("e2", "print('x' in globals())") == "False\n"
    new = read_kernel_file(kernels.kernels / "a")
    assert (new.supervisor_pid, new.kernel_pid) != (old.supervisor_pid, old.kernel_pid)
    kernel.kernel.shutdown()
    await kernel.kernel.wait_closed()
    assert kernel.lost
    assert kernel.life == [
        f"started {old.kernel_pid}", "stopping restart", "exited 0", "restarted",
        f"started {new.kernel_pid}", "stopping shutdown", "exited 0",
    ]  # fmt: skip
    await gone(new.supervisor_pid)
    await gone(new.kernel_pid)
    assert not socket_directory(kernels.kernels / "a", kernels.sockets).exists()


async def test_the_daemon_leaves_and_the_kernel_works_on(kernels: KernelHouse) -> None:
    """Output while nobody is attached is delivered to the next one, from its offset, each record once."""
    first = await kernels.start()
    await first.run("e1", "print(1)")
    offset = first.records[-1].end
    first.kernel.execute("e2", "import time\nfor i in range(50): print(i, flush=True); time.sleep(.005)")
    await first.until(lambda: first.of("e2", "stream"), "first output")
    first.kernel.close()
    second = await kernels.attach(offset=offset)
    await second.idle("e2")
    assert second.text("e2") == "".join(f"{i}\n" for i in range(50))
    assert not second.of("e1", "stream")
    assert first.kernel.hello is not None
    assert second.kernel.hello is not None
    assert first.kernel.hello.instance == second.kernel.hello.instance
    ends = [record.end for record in second.records]
    assert ends == sorted(set(ends))


async def test_the_newest_daemon_wins(kernels: KernelHouse) -> None:
    """A second attachment takes over; the first is told that its connection is lost."""
    first = await kernels.start()
    second = await kernels.attach()
    await first.until(lambda: first.lost, "the first to lose its connection")
    assert await second.run("e1", "print(2)") == "2\n"
    assert not first.kernel.send("x", protocol.SHELL, [])


async def test_a_send_id_counts_once(kernels: KernelHouse) -> None:
    """Repeating a send, also from another connection, reaches the kernel once and is recorded once."""
    first = await kernels.start()
    first.kernel.execute("e1", "print('once')")
    first.kernel.execute("e1", "print('once')")
    await first.idle("e1")
    second = await kernels.attach()
    second.kernel.execute("e1", "print('once')")
    await second.run("e2", "pass")
    assert second.text("e1") == "once\n"
    assert [r.frames for r in second.records if r.channel == SENT].count([b"e1"]) == 1
    sent = next(r.end for r in second.records if r.channel == SENT and r.frames == [b"e1"])
    assert sent < min(r.end for r in second.records if r.channel == protocol.SHELL and b"e1" in r.frames[3])


async def test_a_killed_kernel_is_told_at_once(kernels: KernelHouse) -> None:
    """The signal is in the journal, after the output; the supervisor stays and can restart the kernel."""
    kernel = await kernels.start()
    kernel.kernel.execute(
        "e1", "import os, time\nprint('before', flush=True)\ntime.sleep(.3)\nos.kill(os.getpid(), 9)"
    )
    await kernel.until(lambda: "killed 9" in kernel.life, "the kernel's death")
    assert kernel.text("e1") == "before\n"
    kernel.kernel.restart()
    assert await kernel.run("e2", "print('again')") == "again\n"


async def test_restart_of_a_busy_kernel_drops_what_was_queued(kernels: KernelHouse) -> None:
    """A kernel that does not leave is killed, and requests to the old one never reach the new one."""
    kernel = await kernels.start()
    kernel.kernel.execute(
        "e1",
        "import signal, time\nsignal.signal(signal.SIGTERM, signal.SIG_IGN)\nprint('busy', flush=True)\n"
        "while True:\n  try: time.sleep(60)\n  except BaseException: pass",
    )  # fmt: skip
    await kernel.until(lambda: kernel.text("e1"), "the busy cell")
    kernel.kernel.execute("e2", "print('must not run')")
    kernel.kernel.restart(0.2)
    kernel.kernel.execute("e3", "print('for the new one')")
    await kernel.idle("e3")
    assert "killed 9" in kernel.life
    assert kernel.text("e2") == ""
    assert kernel.text("e3") == "for the new one\n"


async def test_interrupt(kernels: KernelHouse) -> None:
    """SIGINT ends the running cell with KeyboardInterrupt; the kernel and the supervisor live on."""
    kernel = await kernels.start()
    kernel.kernel.execute("e1", "import time\nprint('on', flush=True)\ntime.sleep(60)")
    await kernel.until(lambda: kernel.text("e1"), "the cell to run")
    kernel.kernel.interrupt()
    await kernel.idle("e1")
    assert kernel.of("e1", "error")[0].content["ename"] == "KeyboardInterrupt"
    assert await kernel.run("e2", "print('alive')") == "alive\n"


async def test_interrupt_by_message(kernels: KernelHouse) -> None:
    """A kernel with message interrupts gets an interrupt_request."""
    kernel = await kernels.start(spec=replace(find_kernelspec(), interrupt_mode="message"))
    kernel.kernel.execute("e1", "import time\nprint('on', flush=True)\ntime.sleep(60)")
    await kernel.until(lambda: kernel.text("e1"), "the cell to run")
    kernel.kernel.interrupt()
    await kernel.idle("e1")
    assert kernel.of("e1", "error")[0].content["ename"] == "KeyboardInterrupt"


async def test_what_cannot_be_executed_says_why(kernels: KernelHouse) -> None:
    """A missing program and a missing directory are told by the journal, with the reason."""
    missing = replace(find_kernelspec(), argv=("/no/such/program", "{connection_file}"))
    kernel = await kernels.start("a", missing)
    await kernel.until(lambda: kernel.life, "the reason")
    assert kernel.life == ["failed cannot execute /no/such/program: No such file or directory"]
    kernel = await kernels.start("b", cwd="/no/such/directory")
    await kernel.until(lambda: kernel.life, "the reason")
    assert kernel.life == ["failed cannot change to /no/such/directory: No such file or directory"]
    kernel.kernel.shutdown()
    await kernel.kernel.wait_closed()


async def test_a_kernel_that_cannot_start_leaves_its_words(kernels: KernelHouse) -> None:
    """What a program wrote to its raw stderr before it ended can be read."""
    spec = replace(find_kernelspec(), argv=(sys.executable, "-c", "raise SystemExit('no such module')"))
    kernel = await kernels.start(spec=spec)
    await kernel.until(lambda: "exited 1" in kernel.life, "the exit")
    assert kernel.kernel.log_tail() == "no such module"


async def test_environment_directory_umask_and_zone(kernels: KernelHouse) -> None:
    """The kernel has exactly the given environment, directory, umask and time zone."""
    env = kernels.environment(MINE="1", JPY_PARENT_PID="1")
    kernel = await kernels.start(cwd=str(kernels.root), env=env, umask=0o27, tz="Asia/Tokyo")
    code = (
        "import os, time, sys\n"
        "print([os.environ.get('MINE'), os.environ.get('JPY_PARENT_PID'), os.getcwd(), os.umask(0), "
        "time.tzname[0], '' in sys.path])"
    )
    assert await kernel.run("e1", code) == str(["1", None, str(kernels.root), 0o27, "JST", True]) + "\n"


async def test_python_launcher_keeps_jupyter_behaviour(kernels: KernelHouse) -> None:
    """No debugger is loaded, plots arrive as images, history works in the session, our modules are hidden."""
    kernel = await kernels.start()
    assert (
        await kernel.run("e1", "import sys; print('debugpy' in sys.modules, 'runt' in sys.modules)")
        == "False False\n"
    )
    await kernel.run("e2", "import matplotlib.pyplot as plt; plt.plot([1]); plt.show()")
    (plot,) = kernel.of("e2", "display_data")
    assert "image/png" in plot.content["data"]
    await kernel.run("e3", "%matplotlib inline\nplt.plot([1])")
    assert "image/png" in kernel.of("e3", "display_data")[0].content["data"]
    assert "import sys" in await kernel.run("e4", "%history")
    assert "ModuleNotFoundError" in str([m.content for m in (await _error(kernel, "import kernelspecs"))])


async def _error(kernel, code):
    await kernel.run("err", code)
    return kernel.of("err", "error")


async def test_input_is_answered_through_the_supervisor(kernels: KernelHouse) -> None:
    """input() asks on stdin and gets the answer."""
    kernel = await kernels.start()
    kernel.kernel.execute("e1", "print('got', input('name? '))")
    await kernel.until(lambda: kernel.of("e1", "input_request"), "the question")
    kernel.kernel.input_reply(kernel.of("e1", "input_request")[0].header, "Ada")
    await kernel.idle("e1")
    assert kernel.text("e1") == "got Ada\n"


async def test_acknowledged_segments_are_dropped(kernels: KernelHouse) -> None:
    """After an ACK the journal loses its old segments; an attachment from before starts at what is left."""
    kernel = await kernels.start()
    code = (
        "from IPython.display import display\n"
        "for i in range(5): display({'text/plain': 'x' * 5_000_000}, raw=True)"
    )
    await kernel.run("e1", code)
    await kernel.run("e2", "pass")
    kernel.kernel.acknowledge(kernel.records[-1].end)
    await kernel.run("e2b", "pass")
    kernel.kernel.close()
    again = await kernels.attach(offset=0)
    assert again.kernel.hello is not None
    assert again.kernel.hello.start > 0
    assert await again.run("e3", "print(3)") == "3\n"


async def test_a_lost_supervisor(kernels: KernelHouse) -> None:
    """When the supervisor itself is killed, its journal can still be read and its kernel be ended."""
    kernel = await kernels.start()
    await kernel.run("e1", "print('kept')")
    directory = kernels.kernels / "a"
    file = read_kernel_file(directory)
    os.kill(file.supervisor_pid, signal.SIGKILL)
    await kernel.until(lambda: kernel.lost, "the loss")
    await gone(file.supervisor_pid)

    class Where:
        supervisors = kernels.kernels

    (found,) = find_supervisors(Where)  # type: ignore[arg-type]
    assert not found.alive
    with pytest.raises(ConnectionLost):
        await kernels.attach()
    records = list(last_records(directory, 0))
    assert [r.end for r in records[:-1]] == [r.end for r in kernel.records]
    assert (records[-1].channel, records[-1].frames) == (LIFECYCLE, [b"lost supervisor died"])
    assert found.file is not None
    assert end_kernel(found.file)
    await gone(file.kernel_pid)
    assert not end_kernel(found.file)
    remove(directory, kernels.sockets)
    assert find_supervisors(Where) == []  # type: ignore[arg-type]


async def test_files_are_private(kernels: KernelHouse) -> None:
    """Nothing of a kernel can be read by others, and the environment is in none of its files."""
    kernel = await kernels.start(env=kernels.environment(TOKEN="canary-7281"))
    await kernel.run("e1", "pass")
    for path in [*kernels.kernels.rglob("*"), *kernels.sockets.rglob("*")]:
        mode = path.lstat().st_mode
        if not stat.S_ISSOCK(mode):  # sockets lie in a directory that is private
            assert not mode & 0o077, path
        if path.is_file():
            assert b"canary-7281" not in path.read_bytes()


async def test_garbage_on_the_socket_harms_nobody(kernels: KernelHouse) -> None:
    """Nonsense, a wild offset and many connections are dropped; the daemon that is served notices nothing."""
    kernel = await kernels.start()
    path = str(socket_directory(kernels.kernels / "a", kernels.sockets) / "s")
    for data in (b"\xff" * 64, protocol.message(protocol.SEND, b""), protocol.message(protocol.START, b"x"),
                 protocol.message(99, b"?"), protocol.message(protocol.SIGNAL), b""):  # fmt: skip
        for _ in range(3):
            with socket.socket(socket.AF_UNIX) as other:
                other.connect(path)
                other.sendall(data)
    assert await kernel.run("e1", "print('fine')") == "fine\n"
    wild = KernelProcess(kernels.sockets)
    lost = asyncio.Event()
    await wild.attach(kernels.kernels / "a", 7, lambda _: None, lambda _: lost.set())
    async with asyncio.timeout(PATIENCE_S):
        await lost.wait()
    wild.close()
    again = await kernels.attach()
    assert await again.run("e2", "print('still')") == "still\n"


def _pss_kb(pid: int) -> int:
    rollup = Path(f"/proc/{pid}/smaps_rollup")
    if not rollup.exists():
        pytest.skip("no smaps_rollup here")
    return next(int(line.split()[1]) for line in rollup.read_text().splitlines() if line.startswith("Pss:"))


async def test_memory(kernels: KernelHouse) -> None:
    """A supervisor with a kernel stays below 15 MB (PSS)."""
    kernel = await kernels.start()
    await kernel.run("e1", "for i in range(20000): print(i)")
    assert kernel.kernel.hello is not None
    assert _pss_kb(kernel.kernel.hello.pid) < MEMORY_BUDGET_KB


def test_the_supervisor_imports_little() -> None:
    """The supervisor's own modules load nothing heavy beyond what pyzmq itself loads."""
    places = [str(Path(zmq.__file__).parents[1]), str(Path(runt.__file__).parents[1])]
    code = (
        f"import sys; sys.path[:0] = {places!r}; import zmq; before = set(sys.modules)\n"
        "import runt.runtime.supervisor; print(*sorted(set(sys.modules) - before))"
    )
    run = subprocess.run([sys.executable, "-I", "-S", "-c", code], capture_output=True, text=True, check=True)
    loaded = {name.partition(".")[0] for name in run.stdout.split()}
    heavy = {
        "asyncio",
        "json",
        "msgspec",
        "pycrdt",
        "subprocess",
        "dataclasses",
        "inspect",
        "ssl",
        "sqlite3",
        "textual",
        "logging",
    }
    assert not loaded & heavy


async def test_an_ended_supervisor_is_no_zombie(kernels: KernelHouse) -> None:
    """The daemon that started it collects it without being asked."""
    kernel = await kernels.start()
    assert kernel.kernel.hello is not None
    entry = Path("/proc", str(kernel.kernel.hello.pid))
    kernel.kernel.shutdown()
    await kernel.kernel.wait_closed()
    async with asyncio.timeout(PATIENCE_S):
        while entry.exists():  # noqa: ASYNC110, ASYNC240 - there is no event for it but the one under test
            await asyncio.sleep(0.01)


async def test_signals_to_the_supervisor(kernels: KernelHouse) -> None:
    """SIGHUP and SIGINT do nothing; SIGTERM, as at a logout, ends kernel and supervisor in order."""
    kernel = await kernels.start()
    await kernel.run("e1", "pass")
    file = read_kernel_file(kernels.kernels / "a")
    for number in (signal.SIGHUP, signal.SIGINT):
        os.kill(file.supervisor_pid, number)
    assert await kernel.run("e2", "print('on')") == "on\n"
    os.kill(file.supervisor_pid, signal.SIGTERM)
    await kernel.until(lambda: kernel.lost, "the end")
    assert kernel.life[1] == "stopping shutdown"
    assert kernel.life[2].split()[0] in ("exited", "killed")
    await gone(file.kernel_pid)
