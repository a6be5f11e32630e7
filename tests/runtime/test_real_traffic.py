"""Folding of what a real ipykernel sends."""

from __future__ import annotations

from runt.daemon.folding_ops import ExecutionDone, KernelDied, KernelReady, SetNextInput
from runt.daemon.folding_state import encode_state
from tests.daemon.folding_model import FoldedRoom
from tests.runtime.kernel_house import KernelHouse, Listening

CODES = {
    "joined": "print('a', flush=True)\nprint('b')",
    "order": "import sys\n"
    "for i in range(3):\n  print(i, flush=True)\n  print(i, file=sys.stderr, flush=True)",
    "progress": "for i in range(5): print(f'\\r{i}/4', end='', flush=True)\nprint()",
    "tqdm": "import sys\nfrom tqdm import tqdm\n"
    "for _ in tqdm(range(3), file=sys.stdout, ncols=40, bar_format='{n_fmt}'): pass",
    "clear": "from IPython.display import clear_output\nprint('x')\nclear_output()\nprint('y')",
    "clear_wait": "print('x')\nclear_output(wait=True)\nprint('y')",
    "display": "h = display('one', display_id=True)",
    "update": "h.update('two')",
    "result": "1 + 1",
    "error": "1 / 0",
    "next": "get_ipython().set_next_input('new cell')",
    "late": "import threading, time\ngo = threading.Event()\n"
    "def late():\n  go.wait()\n  print('late')\nt = threading.Thread(target=late)\nt.start()",
    "release": "go.set(); t.join(); print('released')",
    "plot": "import matplotlib.pyplot as plt\n_ = plt.plot([1, 2])",
    "help": "len?",
}
EXPECTED = {
    "joined": ["stdout: a\nb\n"],
    "order": ["stdout: 0\n", "stderr: 0\n", "stdout: 1\n", "stderr: 1\n", "stdout: 2\n", "stderr: 2\n"],
    "progress": ["stdout: 4/4\n"],
    "clear": ["stdout: y\n"],
    "clear_wait": ["stdout: y\n"],
    "display": ["'two'"],
    "update": [],
    "result": ["2"],
    "error": ["ZeroDivisionError: division by zero"],
    "next": [],
}


async def recorded(kernels: KernelHouse) -> Listening:
    kernel = await kernels.start()
    for name, code in CODES.items():
        await kernel.run(name, code)
    kernel.kernel.execute("dies", "import os\nprint('last words', flush=True)\nos._exit(3)")
    await kernel.until(lambda: "exited 3" in kernel.life, "the kernel's end")
    return kernel


def fold_all(kernel: Listening, batch: int, *, restarts: bool) -> FoldedRoom:
    room = FoldedRoom(kernel.kernel.wire)
    for name in [*CODES, "dies"]:
        room.begin(name, f"cell-{name}")
    for start in range(0, len(kernel.records), batch):
        room.fold(kernel.records[start : start + batch])
        if restarts:
            room.restart_daemon()
    return room


async def test_real_messages_fold_as_expected(kernels: KernelHouse) -> None:
    """Each kind of output ends up as Jupyter shows it, whatever the batches are."""
    kernel = await recorded(kernels)
    room = fold_all(kernel, len(kernel.records), restarts=False)
    assert {name: room.texts(f"cell-{name}") for name in EXPECTED} == EXPECTED
    assert room.texts("cell-tqdm")[-1].endswith("3\n")
    assert "\r" not in room.texts("cell-tqdm")[-1]
    # A thread's output belongs to the cell that started it, or to the one that runs: in either case once.
    assert (room.texts("cell-late") + room.texts("cell-release")).count("stdout: late\n") <= 1
    assert "late\n" in "".join(room.texts("cell-late") + room.texts("cell-release"))
    (plot,) = [output for output in room.outputs("cell-plot") if output["output_type"] == "display_data"]
    assert plot["data"]["image/png"].startswith("iVBOR")
    assert "Return the number of items" in room.texts("cell-help")[0]
    assert room.texts("cell-dies") == ["stdout: last words\n", "KernelDied: kernel died (exit status 3)"]
    statuses = {effect.execution: effect.status for effect in room.of(ExecutionDone)}
    assert statuses == {name: "error" if name in ("error", "dies") else "ok" for name in [*CODES, "dies"]}
    assert len(room.of(KernelReady)) == 1
    assert [effect.text for effect in room.of(SetNextInput)] == ["new cell"]
    assert room.of(KernelDied) == [KernelDied("exit status 3")]
    for batch, restarts in ((1, True), (1, False), (7, True)):
        other = fold_all(kernel, batch, restarts=restarts)
        for name in [*CODES, "dies"]:
            assert other.outputs(f"cell-{name}") == room.outputs(f"cell-{name}")
        assert encode_state(other.state) == encode_state(room.state)
        assert other.effects == room.effects
