"""The daemon as a process: start, race, signals, kill -9."""

from __future__ import annotations

import asyncio
import os
import random
import signal
import stat
from collections.abc import AsyncIterator

import nbformat
import pytest
import pytest_asyncio

from runt.protocol.messages import Hello
from runt.protocol.session import ClientSession
from runt.store.pending import PendingFile
from tests.daemon.daemon_in_loop import alive, until
from tests.daemon.daemon_process import DaemonProcess, read_line
from tests.daemon.raw_client import RawClient


@pytest_asyncio.fixture
async def daemon() -> AsyncIterator[DaemonProcess]:
    async with DaemonProcess() as process:
        yield process


async def test_the_record_names_the_socket_and_all_is_private(daemon: DaemonProcess) -> None:
    """daemon.json leads to the socket; both, and the log, are ours alone."""
    record = daemon.record()
    assert record["pid"] == daemon.process.pid
    assert record["endpoint"] == str(daemon.places.socket)
    for path in (daemon.places.socket, daemon.places.daemon_json, daemon.places.log):
        assert stat.S_IMODE(path.stat().st_mode) == 0o600
    status = await daemon.control("status")
    assert status["pid"] == record["pid"]


async def test_of_several_daemons_one_serves_and_the_others_leave_quietly(daemon: DaemonProcess) -> None:
    """The losers of a race exit 0 and say nothing."""
    others = [daemon.spawn() for _ in range(3)]
    said = await asyncio.gather(*(asyncio.to_thread(read_line, reading) for _, reading in others))
    statuses = [await asyncio.to_thread(process.wait, 30) for process, _ in others]
    assert said == ["", "", ""]
    assert statuses == [0, 0, 0]
    await daemon.control("ping")


async def test_a_daemon_that_cannot_start_says_why(daemon: DaemonProcess) -> None:
    """The ready pipe carries one line with the reason; the exit status is not 0."""
    await daemon.control("shutdown")
    await asyncio.to_thread(daemon.process.wait, 30)
    daemon.places.sockets.chmod(0o755)
    line = await daemon.start()
    assert line.startswith("error ")
    assert str(daemon.places.sockets) in line
    assert await asyncio.to_thread(daemon.process.wait, 30) == 1
    daemon.places.sockets.chmod(0o700)


async def test_a_term_signal_is_an_orderly_end(daemon: DaemonProcess) -> None:
    """SIGTERM: what was typed is in the file, peers were told, nothing remains, status 0."""
    path = daemon.notebook("a.ipynb", "x")
    client = await daemon.join(path)
    client.type(client.keys()[0], "typed ")
    await client.request("synced", n=client.session.sent_n)
    daemon.process.send_signal(signal.SIGTERM)
    assert await asyncio.to_thread(daemon.process.wait, 30) == 0
    assert nbformat.read(path, as_version=4).cells[0].source == "typed x"
    await client.until(lambda: client.lost, "the end of the connection")
    assert client.events[-1].name == "stopping"
    assert not daemon.places.socket.exists()
    assert not daemon.places.daemon_json.exists()


async def test_a_hang_up_changes_nothing(daemon: DaemonProcess) -> None:
    """SIGHUP is the terminal's affair."""
    daemon.process.send_signal(signal.SIGHUP)
    await daemon.control("ping")


async def test_a_vanished_socket_is_made_again(daemon: DaemonProcess) -> None:
    """Somebody cleans /tmp: the daemon listens at the same path again."""
    daemon.places.socket.unlink()
    await until(daemon.places.socket.exists, "the new socket")
    await daemon.control("ping")


async def acknowledged(client: RawClient, number: int) -> None:
    """Wait until that many of the client's frames are journaled."""
    await client.until(lambda: client.status.journaled_n >= number, "some acknowledgements")


async def test_acknowledged_edits_survive_kill_9(daemon: DaemonProcess) -> None:
    """Several generations of typing, each killed in the middle: every acknowledged character is there,
    once, in order.
    """
    path = daemon.notebook("a.ipynb", "")
    choose = random.Random(7)
    typed = ""
    for _ in range(4):
        client = await daemon.join(path)
        assert client.sources()[0].startswith(typed), "an acknowledged edit is missing"
        typed = client.sources()[0]
        key = client.keys()[0]
        for _ in range(choose.randrange(20, 120)):
            client.type(key, choose.choice("abcé🎉\n"), len(client.document.cell(key).source))
        await acknowledged(client, choose.randrange(1, client.session.sent_n))
        kept = client.status.journaled_n - 1  # the first content frame is the sync
        typed = client.sources()[0][: len(typed) + kept]
        await daemon.kill_and_start()
    client = await daemon.join(path)
    assert client.sources()[0].startswith(typed)


async def test_a_run_survives_kill_9_of_the_daemon(daemon: DaemonProcess) -> None:
    """Killed three times during a run: same kernel, output complete and once, the line goes on, the file
    has it all.
    """
    path = daemon.notebook(
        "a.ipynb",
        "import time\nfor i in range(60):\n    print('line', i, flush=True)\n    time.sleep(0.02)",
        "print('second', i)",
    )
    client = await daemon.join(path)
    first, second = client.keys()
    await client.execute(first, second)
    await client.until(lambda: "line 2\n" in client.printed(first), "some output")
    pid = (await daemon.control("status"))["kernels"][0]["pid"]
    for _ in range(3):
        await daemon.kill_and_start()
    again = await daemon.join(path)
    await again.until(lambda: (view := again.runtime.execution(second)) and view.status == "ok", "the end")
    assert again.printed(first) == "".join(f"line {number}\n" for number in range(60))
    assert again.printed(second) == "second 59\n"
    assert again.runtime.queue == []
    assert (await daemon.control("status"))["kernels"][0]["pid"] == pid
    await again.request("save")
    cells = nbformat.read(path, as_version=4).cells
    assert cells[1].outputs[0].text == "second 59\n"
    assert [cell.execution_count for cell in cells] == [1, 2]


async def test_a_run_that_ended_while_no_daemon_was_there_is_complete(daemon: DaemonProcess) -> None:
    """The supervisor kept it; the next daemon folds it and saves the file without any client."""
    go, over = daemon.work / "go", daemon.work / "over"
    path = daemon.notebook(
        "a.ipynb",
        "import pathlib, time\n"
        f"while not pathlib.Path({str(go)!r}).exists(): time.sleep(0.01)\n"
        "print('en' + 'ded', flush=True)\n"
        f"pathlib.Path({str(over)!r}).touch()",
    )
    client = await daemon.join(path)
    await client.execute(client.keys()[0])
    await client.until(lambda: client.runtime.kernel.activity == "busy", "the start of the run")
    await daemon.kill()
    go.touch()
    await until(over.exists, "the end of the run")
    assert "ended" not in path.read_text()
    assert await daemon.start() == "ready"
    await until(lambda: "ended" in path.read_text(), "the output in the file")


async def test_a_run_in_the_instant_of_the_kill_runs_exactly_once(daemon: DaemonProcess) -> None:
    """Killed right after the answer, before or after the kernel got it: the cell's effect is there once."""
    effect = daemon.work / "effect.txt"
    path = daemon.notebook("a.ipynb", f"with open({str(effect)!r}, 'a') as f: f.write('x')", "1")
    client = await daemon.join(path)
    first, second = client.keys()
    assert await client.run(second) == ["ok"]
    for round_ in range(1, 4):
        client = await daemon.join(path)
        (execution,) = await client.execute(first)
        await daemon.kill_and_start()
        client = await daemon.join(path)
        await client.until(
            lambda client=client, execution=execution: (
                (view := client.runtime.execution(first)) and view.id == execution and view.status == "ok"
            ),
            "the end of the run",
        )
        assert effect.read_text() == "x" * round_


async def test_pending_edits_of_a_dead_client_are_merged_and_removed(daemon: DaemonProcess) -> None:
    """A file of the right epoch is taken in at the next open; one of another epoch stays."""
    path = daemon.notebook("a.ipynb", "x")
    client = await daemon.join(path)
    assert client.welcome is not None
    room = client.welcome.room
    client.send_edits = False
    before = client.document.state()
    client.type(client.keys()[0], "pending ")
    update = client.document.update_since(before)
    mine = PendingFile.create(daemon.places.pending, room, client.document.epoch)
    mine.append(update)
    other = PendingFile.create(daemon.places.pending, room, "0" * 32)
    other.append(update)
    client.vanish()
    for _ in range(2):
        again = await daemon.join(path)
        assert again.sources() == ["pending x"]
        assert not mine.path.exists()
        assert other.path.exists()
        await daemon.kill_and_start()


async def test_a_shutdown_with_kernels_ends_them(daemon: DaemonProcess) -> None:
    """Also those whose notebooks nobody has open."""
    path = daemon.notebook("a.ipynb", "import os\nprint(os.getpid())")
    client = await daemon.join(path)
    assert await client.run(client.keys()[0]) == ["ok"]
    pid = int(client.printed(client.keys()[0]))
    client.close()
    await daemon.kill_and_start()
    await daemon.control("shutdown", kernels=True)
    assert await asyncio.to_thread(daemon.process.wait, 30) == 0
    assert not alive(pid)
    assert not list(daemon.places.supervisors.iterdir())


async def test_another_protocol_version_may_only_use_the_control_channel(daemon: DaemonProcess) -> None:
    """A newer or older client is told to restart, and can still ask for the status."""
    path = daemon.notebook("a.ipynb", "x")

    class Future(ClientSession):
        def hello(self, hello: Hello) -> bytes:
            data = bytearray(super().hello(hello))
            data[4] = 99
            return bytes(data)

    async def connect(**fields: str) -> RawClient:
        loop = asyncio.get_running_loop()
        _, client = await loop.create_unix_connection(RawClient, str(daemon.places.socket))
        client.session = Future()
        client.transport.write(client.session.hello(Hello(protocol=99, **fields)))  # type: ignore[arg-type]
        await client.until(lambda: client.welcome or client.refusal or client.lost, "an answer")
        return client

    refused = await connect(channel="notebook", path=str(path))
    assert refused.refusal is not None
    assert refused.refusal.code == "protocol_version"
    control = await connect(channel="control")
    assert (await control.request("status"))["pid"] == daemon.process.pid
    control.close()


@pytest.mark.skipif(os.geteuid() != 0, reason="needs another user")
async def test_another_user_is_not_served(daemon: DaemonProcess) -> None:
    """Even with the directories open, a connection of another uid is closed without a word."""
    import subprocess
    import sys

    for directory in (daemon.root, daemon.places.sockets):
        directory.chmod(0o755)
    daemon.places.socket.chmod(0o666)
    script = (
        "import os, socket; os.setuid(65534); s = socket.socket(socket.AF_UNIX);"
        f"s.connect({str(daemon.places.socket)!r}); s.settimeout(20)\n"
        "try: print(s.recv(100))\nexcept ConnectionError: print(b'')"
    )
    done = await asyncio.to_thread(
        subprocess.run, [sys.executable, "-c", script], capture_output=True, text=True
    )
    daemon.places.sockets.chmod(0o700)
    assert done.stdout.strip() == "b''", done
