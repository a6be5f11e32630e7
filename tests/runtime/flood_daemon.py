"""A child process that attaches, keeps what it has read in one file, and can be killed at any moment.

Usage: flood_daemon.py <sockets> <kernel directory> <state file> [code]. The state is
replaced in one step, as by a daemon's transaction. Prints "done" when the execution has ended.
"""

import asyncio
import contextlib
import json
import sys
from pathlib import Path

from runt.runtime.kernel import KernelProcess
from runt.runtime.supervisor_protocol import STDIN


async def main(sockets: str, directory: str, state_file: str, code: str = "") -> None:
    kernel = KernelProcess(Path(sockets))
    state = {"offset": 0, "texts": [], "replied": False, "idle": False}
    with contextlib.suppress(FileNotFoundError), open(state_file) as file:  # noqa: ASYNC230 - nothing else runs
        state = json.load(file)
    done = asyncio.Event()

    def on_records(records):
        for record in records:
            state["offset"] = record.end
            if record.channel > STDIN:
                continue
            message = kernel.wire.decode(record.frames)
            if message.parent_id != "flood":
                continue
            if message.msg_type == "stream":
                state["texts"].append(message.content["text"])
            state["replied"] |= message.msg_type == "execute_reply"
            state["idle"] |= message.content.get("execution_state") == "idle"
        Path(state_file + ".new").write_text(json.dumps(state))
        Path(state_file + ".new").replace(state_file)
        kernel.acknowledge(state["offset"])
        if state["replied"] and state["idle"]:
            done.set()

    if state["replied"] and state["idle"]:
        done.set()
    await kernel.attach(Path(directory), state["offset"], on_records, lambda _: None)
    if code:
        kernel.execute("flood", code)
    await done.wait()
    kernel.close()
    print("done", flush=True)


asyncio.run(main(*sys.argv[1:]))
