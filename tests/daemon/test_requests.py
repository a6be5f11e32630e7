"""Requests on a notebook channel: runs, kernels, acknowledgement, repetition. Real kernels."""

from __future__ import annotations

import json
import os
import signal
import uuid

import pytest

from runt.notebook.source_hash import source_hash
from runt.protocol.ysync import SyncKind
from runt.store.blobs import BlobStore
from tests.daemon.daemon_in_loop import DaemonInLoop, alive, until
from tests.daemon.raw_client import RawClient, RefusedError


def run_of(client: RawClient, index: int, execution: str | None = None) -> dict[str, str]:
    key = client.keys()[index]
    return {
        "execution": execution or str(uuid.uuid4()),
        "cell": key,
        "source_hash": source_hash(client.document.cell(key).source),
    }


async def test_a_cell_runs_and_its_output_reaches_everybody(here: DaemonInLoop) -> None:
    """Result, count and status appear in R of all peers; the file gets them by itself."""
    path = here.notebook("a.ipynb", "print('out')\n40 + 2")
    one, two = await here.join(path), await here.join(path)
    assert await one.run(one.keys()[0]) == ["ok"]
    key = two.keys()[0]
    await two.until(lambda: (view := two.runtime.execution(key)) and view.status == "ok", "the other's view")
    assert two.printed(key) == "out\n"
    view = two.runtime.execution(key)
    assert view is not None
    assert view.count == 1
    assert view.started is not None
    await until(lambda: "42" in path.read_text(), "the output in the file")
    cell = here.file(path)["cells"][0]
    assert [output["output_type"] for output in cell["outputs"]] == ["stream", "execute_result"]
    assert here.file(path)["metadata"]["kernelspec"]["name"] == "python3"
    assert here.file(path)["metadata"]["language_info"]["name"] == "python"


async def test_an_empty_cell_runs_too(here: DaemonInLoop) -> None:
    """Nothing to do is done at once."""
    client = await here.join(here.notebook("a.ipynb", ""))
    assert await client.run(client.keys()[0]) == ["ok"]


async def test_text_cells_are_skipped(here: DaemonInLoop) -> None:
    """Asking to run everything is fine: Markdown needs no kernel and is said to be done."""
    client = await here.join(here.notebook("a.ipynb", "#md # Title"))
    (execution,) = await client.execute(client.keys()[0])
    answer = await client.request("result", execution=execution)
    assert answer["status"] == "ok"
    assert client.runtime.kernel.state == "none"


async def test_a_run_names_its_source(here: DaemonInLoop) -> None:
    """If the text is another one by now, nothing runs and the answer names the cell."""
    client = await here.join(here.notebook("a.ipynb", "x = 1", "y = 1"))
    runs = [run_of(client, 0), run_of(client, 1)]
    client.type(client.keys()[1], "# changed\n")
    with pytest.raises(RefusedError) as caught:
        await client.request("execute", runs=runs)
    assert caught.value.code == "source_changed"
    assert caught.value.data == {"cell": client.keys()[1]}
    assert client.runtime.queue == []
    assert client.runtime.kernel.state == "none"


async def test_a_request_waits_for_the_text_that_it_needs(here: DaemonInLoop) -> None:
    """``needs`` ahead of the daemon's state: the request runs once the update is there."""
    client = await here.join(here.notebook("a.ipynb", "x = 1"))
    key = client.keys()[0]
    client.send_edits = False
    before = client.document.state()
    client.type(key, "print('late')\n")
    ids = [str(uuid.uuid4())]
    running = [run_of(client, 0, ids[0])]
    request = client.request("execute", id_="needs", runs=running, needs=client.document.state())
    from asyncio import create_task

    task = create_task(request)
    await client.request("synced", id_="other") if False else None
    client.sync("n", SyncKind.UPDATE, client.document.update_since(before))
    assert (await task)["executions"] == ids
    await client.until(lambda: client.printed(key) == "late\n", "the output")


async def test_a_request_of_another_epoch_is_refused(here: DaemonInLoop) -> None:
    """What was asked about another incarnation is not carried out."""
    client = await here.join(here.notebook("a.ipynb", "x = 1"))
    with pytest.raises(RefusedError) as caught:
        await client.request("execute", runs=[run_of(client, 0)], epoch="another")
    assert caught.value.code == "needs_unmet"


async def test_a_repeated_request_runs_once(here: DaemonInLoop) -> None:
    """The same request id, the same execution id under another request id, from another connection: one
    run.
    """
    path = here.notebook("a.ipynb", "counter = globals().get('counter', 0) + 1\nprint(counter)")
    one, two = await here.join(path), await here.join(path)
    run = run_of(one, 0)
    first = await one.request("execute", id_="same", runs=[run])
    again = await two.request("execute", id_="same", runs=[run])
    third = await two.request("execute", id_="different", runs=[run])
    assert first == again == third
    key = one.keys()[0]
    await one.until(lambda: (view := one.runtime.execution(key)) and view.status == "ok", "the end")
    fourth = await two.request("execute", id_="late", runs=[run])
    assert fourth == first
    assert await one.run(key) == ["ok"]
    assert one.printed(key) == "2\n"


async def test_an_error_cancels_the_rest_of_its_request(here: DaemonInLoop) -> None:
    """The failing cell keeps its error; what waited behind it never runs, and peers are told."""
    client = await here.join(here.notebook("a.ipynb", "1/0", "print('never')"))
    first, second = client.keys()
    ids = await client.execute(first, second)
    await client.until(lambda: any(event.name == "cancelled" for event in client.events), "the cancellation")
    view = client.runtime.execution(first)
    assert view is not None
    assert view.status == "error"
    assert client.runtime.execution(second) is None
    assert (await client.request("result", execution=ids[1]))["status"] == "cancelled"
    assert client.runtime.queue == []


async def test_waiting_runs_can_be_cancelled_and_the_running_one_interrupted(here: DaemonInLoop) -> None:
    """Cancel empties the line; interrupt ends what runs with KeyboardInterrupt."""
    client = await here.join(here.notebook("a.ipynb", "print('go')\nimport time\ntime.sleep(100)", "2", "3"))
    first, second, third = client.keys()
    await client.execute(first)
    ids = await client.execute(second) + await client.execute(third)
    await client.until(lambda: client.printed(first) == "go\n", "the start")
    assert (await client.request("cancel"))["executions"] == ids
    await client.until(lambda: client.runtime.queue == [], "the empty line")
    await client.request("kernel.interrupt")
    await client.until(lambda: (view := client.runtime.execution(first)) and view.ended, "the interrupt")
    error = client.runtime.outputs(first)[-1]
    assert getattr(error, "ename", "") == "KeyboardInterrupt"


async def test_a_kernel_that_is_killed_ends_its_run_with_an_error(here: DaemonInLoop) -> None:
    """The run says signal 9, the rest is cancelled, R says dead; a restart brings a working kernel."""
    client = await here.join(
        here.notebook("a.ipynb", "import os, signal\nos.kill(os.getpid(), signal.SIGKILL)", "1")
    )
    first, second = client.keys()
    await client.execute(first)
    await client.execute(second)
    await client.until(lambda: client.runtime.kernel.state == "dead", "the death")
    view = client.runtime.execution(first)
    assert view is not None
    assert view.status == "error"
    error = client.runtime.outputs(first)[-1]
    assert (getattr(error, "ename", ""), "signal 9" in getattr(error, "evalue", "")) == ("KernelDied", True)
    assert "signal 9" in client.runtime.kernel.error
    await client.until(lambda: client.runtime.queue == [], "the cancellation of the rest")
    with pytest.raises(RefusedError) as caught:
        await client.execute(second)
    assert caught.value.code == "kernel_dead"
    await client.request("kernel.restart")
    await client.until(lambda: client.runtime.kernel.state == "ready", "the restarted kernel")
    assert await client.run(second) == ["ok"]
    assert client.runtime.outputs(first), "a restart clears nothing"


async def test_a_restart_forgets_variables_and_keeps_outputs(here: DaemonInLoop) -> None:
    """The same supervisor, a fresh kernel."""
    client = await here.join(here.notebook("a.ipynb", "x = 1\nprint(x)", "print('x' in globals())"))
    first, second = client.keys()
    assert await client.run(first) == ["ok"]
    await client.request("kernel.restart")
    await client.until(lambda: client.runtime.kernel.state == "ready", "the restarted kernel")
    assert await client.run(second) == ["ok"]
    assert client.printed(second) == "False\n"
    assert client.printed(first) == "1\n"


async def test_a_shut_down_kernel_is_gone_and_a_run_starts_another(here: DaemonInLoop) -> None:
    """Process and directory go; the next run finds a new kernel."""
    client = await here.join(here.notebook("a.ipynb", "import os\nprint(os.getpid())"))
    key = client.keys()[0]
    assert await client.run(key) == ["ok"]
    pid = int(client.printed(key))
    (entry,) = (await here.control("status"))["kernels"]
    assert entry["pid"] == pid
    await client.request("kernel.shutdown")
    assert client.runtime.kernel.state == "stopped"
    assert not alive(pid)
    assert (await here.control("status"))["kernels"] == []
    await until(lambda: not list(here.places.supervisors.iterdir()), "the kernel's directory to go")
    assert await client.run(key) == ["ok"]
    assert int(client.printed(key)) != pid


async def test_the_kernel_has_the_openers_environment_and_directory(here: DaemonInLoop) -> None:
    """kernel.start carries them; a restart keeps them; they are not in the journal or the log."""
    client = await here.join(
        here.notebook("a.ipynb", "import os\nprint(os.environ['CANARY'], os.getcwd(), os.umask(0o22))")
    )
    key = client.keys()[0]
    env = {**os.environ, "CANARY": "canary-7261"}
    folder = here.work / "sub"
    folder.mkdir()
    await client.request("kernel.start", env=env, cwd=str(folder), umask=0o27)
    for _ in range(2):
        assert await client.run(key) == ["ok"]
        assert client.printed(key) == f"canary-7261 {folder} {0o27}\n"
        await client.request("kernel.restart")
        await client.until(lambda: client.runtime.kernel.state == "ready", "the restarted kernel")
    await client.request("clear_outputs", cells=None)
    await client.request("save")
    assert "canary-7261" not in here.log_text()


async def test_an_unknown_kernel_is_refused_and_the_queue_does_not_hang(here: DaemonInLoop) -> None:
    """The refusal lists what is installed; R says why there is no kernel; the file keeps its bytes."""
    path = here.notebook(
        "a.ipynb",
        "1",
        metadata={"kernelspec": {"name": "klingon", "language": "klingon", "display_name": "K"}},
    )
    before = path.read_bytes()
    client = await here.join(path)
    for method in ("kernel.start", "execute"):
        with pytest.raises(RefusedError, match="klingon") as caught:
            await client.request(method, **({"runs": [run_of(client, 0)]} if method == "execute" else {}))
        assert caught.value.code == "kernel_not_found"
        assert "python3" in caught.value.hint
    assert client.runtime.kernel.state == "none"
    assert "klingon" in client.runtime.kernel.error
    assert client.runtime.queue == []
    await client.request("save")
    assert path.read_bytes() == before


async def test_a_known_language_is_enough(here: DaemonInLoop) -> None:
    """A kernelspec of another machine with the same language runs on what is here."""
    path = here.notebook(
        "a.ipynb",
        "1 + 1",
        metadata={"kernelspec": {"name": "conda-env-x", "language": "python", "display_name": "X"}},
    )
    client = await here.join(path)
    assert await client.run(client.keys()[0]) == ["ok"]
    await client.request("save")
    assert here.file(path)["metadata"]["kernelspec"]["name"] == "conda-env-x"


async def test_clearing_outputs(here: DaemonInLoop) -> None:
    """Outputs and counts go, in R and in the file."""
    path = here.notebook("a.ipynb", "print(1)", "print(2)")
    client = await here.join(path)
    first, second = client.keys()
    assert await client.run(first, second) == ["ok", "ok"]
    await client.request("clear_outputs", cells=[first])
    await client.until(lambda: client.runtime.outputs(first) == [], "the cleared output")
    assert client.printed(second) == "2\n"
    await client.request("save")
    cells = here.file(path)["cells"]
    assert (cells[0]["outputs"], cells[0]["execution_count"]) == ([], None)
    assert cells[1]["outputs"]


async def test_a_question_of_the_kernel_is_answered_once(here: DaemonInLoop) -> None:
    """input() shows up at every peer, also at one that comes later; the first answer counts."""
    path = here.notebook("a.ipynb", "print('got', input('name? '))")
    one, two = await here.join(path), await here.join(path)
    key = one.keys()[0]
    await one.execute(key)

    await two.until(lambda: two.runtime.kernel.question, "the question")
    late = await here.join(path)
    question = late.runtime.kernel.question
    assert question is not None
    assert (question.cell, question.prompt, question.password) == (key, "name? ", False)
    assert (await late.request("input_reply", request=question.request, value="ann"))["accepted"]
    assert not (await one.request("input_reply", request=question.request, value="bob"))["accepted"]
    await one.until(lambda: (view := one.runtime.execution(key)) and view.status == "ok", "the end")
    assert one.printed(key) == "got ann\n"
    for client in (one, two, late):
        await client.until(lambda client=client: client.runtime.kernel.question is None, "its end")


async def test_a_question_survives_a_restart_of_the_daemon(here: DaemonInLoop) -> None:
    """Who comes back after a restart sees what the kernel still waits for, and can answer it."""
    path = here.notebook("a.ipynb", "print('got', input('name? '))")
    before = await here.join(path)
    key = before.keys()[0]
    await before.execute(key)
    await before.until(lambda: before.runtime.kernel.question, "the question")
    await here.restart()
    client = await here.join(path)
    question = client.runtime.kernel.question
    assert question is not None
    assert (await client.request("input_reply", request=question.request, value="ann"))["accepted"]
    await client.until(lambda: (view := client.runtime.execution(key)) and view.status == "ok", "the end")
    assert client.printed(key) == "got ann\n"
    assert client.runtime.kernel.question is None


async def test_a_question_ends_with_its_execution(here: DaemonInLoop) -> None:
    """An interrupt takes the question away; a late answer is not taken."""
    client = await here.join(here.notebook("a.ipynb", "input('name? ')"))
    await client.execute(client.keys()[0])
    await client.until(lambda: client.runtime.kernel.question, "the question")
    question = client.runtime.kernel.question
    assert question is not None
    await client.request("kernel.interrupt")
    await client.until(lambda: client.runtime.kernel.question is None, "the end of the question")
    assert not (await client.request("input_reply", request=question.request, value="ann"))["accepted"]


async def test_where_nobody_answers_input_fails(here: DaemonInLoop) -> None:
    """A run of somebody who cannot be asked ends with the kernel's own error."""
    client = await here.join(here.notebook("a.ipynb", "input('name? ')"))
    key = client.keys()[0]
    run = {"execution": "e1", "cell": key, "source_hash": source_hash(client.document.cell(key).source)}
    await client.request("execute", runs=[run], allow_stdin=False)
    await client.until(lambda: (view := client.runtime.execution(key)) and view.status == "error", "the end")
    assert client.runtime.outputs(key)[-1].ename == "StdinNotImplementedError"


async def test_a_lot_of_output_is_complete_and_stays_out_of_the_document(here: DaemonInLoop) -> None:
    """200 000 lines: all there, in order, in a blob; the document does not grow with them."""
    path = here.notebook("a.ipynb", "for i in range(200_000): print(i)")
    client = await here.join(path)
    key = client.keys()[0]
    assert await client.run(key) == ["ok"]
    text = client.printed(key, BlobStore(here.places.blobs))
    assert text == "".join(f"{number}\n" for number in range(200_000))
    assert len(client.runtime.update_since()) < 1 << 20
    await client.request("save")
    assert "".join(here.file(path)["cells"][0]["outputs"][0]["text"]) == text


async def test_durable_means_on_the_disk(here: DaemonInLoop) -> None:
    """durable() is answered, and the session then says the same number."""
    client = await here.join(here.notebook("a.ipynb", "x"))
    client.type(client.keys()[0], "y")
    await client.request("durable", n=client.session.sent_n)
    await client.until(lambda: client.status.durable_n == client.session.sent_n, "the status")


async def test_an_orderly_restart_of_the_daemon_keeps_the_kernel(here: DaemonInLoop) -> None:
    """A run that is under way when the daemon goes is finished by the next one: once, complete."""
    path = here.notebook(
        "a.ipynb",
        "import time\nfor i in range(20):\n    print(i, flush=True)\n    time.sleep(0.05)",
        "print(i)",
    )
    client = await here.join(path)
    first, second = client.keys()
    await client.execute(first, second)
    await client.until(lambda: "3\n" in client.printed(first), "some output")
    pid = (await here.control("status"))["kernels"][0]["pid"]
    await here.restart()
    again = await here.join(path)
    await again.until(lambda: (view := again.runtime.execution(second)) and view.status == "ok", "the end")
    assert again.printed(first) == "".join(f"{number}\n" for number in range(20))
    assert again.printed(second) == "19\n"
    assert (await here.control("status"))["kernels"][0]["pid"] == pid


async def test_a_lost_supervisor_ends_its_kernel_and_says_so(here: DaemonInLoop) -> None:
    """kill -9 of the supervisor: the run fails, the kernel process is ended, a restart works."""
    from runt.runtime.kernel_file import read_kernel_file

    client = await here.join(here.notebook("a.ipynb", "print('go')\nimport time\ntime.sleep(100)", "1"))
    first, second = client.keys()
    await client.execute(first)
    await client.until(lambda: client.printed(first) == "go\n", "the start")
    (directory,) = here.places.supervisors.iterdir()
    file = read_kernel_file(directory)
    os.kill(file.supervisor_pid, signal.SIGKILL)
    await client.until(lambda: client.runtime.kernel.state == "dead", "the death")
    assert "supervisor" in client.runtime.kernel.error
    view = client.runtime.execution(first)
    assert view is not None
    assert view.status == "error"
    await until(lambda: not file.kernel_runs, "the end of the kernel")
    await client.request("kernel.start")
    assert await client.run(second) == ["ok"]


async def test_a_failed_save_is_shown_until_it_succeeds(here: DaemonInLoop) -> None:
    """A vanished directory: the error stays in R, edits stay, and the save works once the directory is
    back.
    """
    folder = here.work / "sub"
    folder.mkdir()
    path = here.notebook("sub/a.ipynb", "x")
    client = await here.join(path)
    moved = here.work / "moved"
    folder.rename(moved)
    client.type(client.keys()[0], "y")
    with pytest.raises(RefusedError):
        await client.request("save")
    await client.until(lambda: client.runtime.file.error, "the error")
    moved.rename(folder)
    await client.request("save")
    await client.until(lambda: not client.runtime.file.error, "the error to go")
    assert json.loads(path.read_text())["cells"][0]["source"] == ["yx"]


async def test_a_run_that_was_accepted_before_a_restart_does_not_run_again(here: DaemonInLoop) -> None:
    """An execute that is sent again to the next daemon runs nothing, though its cell was run again meanwhile."""
    path = here.notebook("a.ipynb", "n = globals().get('n', 0) + 1; print(n)")
    client = await here.join(path)
    key = client.keys()[0]
    first = str(uuid.uuid4())
    await client.execute(key, ids=[first])
    await client.until(lambda: (view := client.runtime.execution(key)) and view.ended, "the first run")
    assert await client.run(key) == ["ok"]
    await here.restart()
    again = await here.join(path)
    assert await again.execute(key, ids=[first]) == [first]
    assert await again.run(key) == ["ok"]
    assert again.printed(key) == "3\n"
