"""Folding of the kernel's messages, by channel and type.

The table of what each message does; the doing is in ``folding_outputs``. The invariant: a message of an
unknown type, or with content of the wrong shape, changes nothing.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from runt.daemon.folding_ops import InputRequested, KernelReady, LateOutput, Reply, SetCount, SetNextInput
from runt.daemon.folding_outputs import OutputFolding
from runt.daemon.folding_state import ExecutionState
from runt.daemon.output_entries import count_of, display, display_id_of, entry_of, error, result
from runt.runtime.supervisor_protocol import IOPUB, STDIN, Record
from runt.runtime.wire import WireMessage

# What is kept of kernel_info: the rest is a banner and links, twice the size of everything else in the state.
INFO_FIELDS = ("language_info", "implementation", "implementation_version", "protocol_version")
STREAM_NAMES = ("stdout", "stderr")


class MessageFolding:
    """Dispatches messages to ``outputs``."""

    def __init__(self, outputs: OutputFolding) -> None:
        self.outputs = outputs
        self.state = outputs.state

    def message(self, message: WireMessage, record: Record) -> None:
        """Fold one message."""
        if record.channel == IOPUB:
            self._published(message, record)
        elif record.channel == STDIN:
            self._asked(message)
        else:
            self._replied(message, record)

    # iopub

    def _published(self, message: WireMessage, record: Record) -> None:
        if not self.state.heard:
            self.state.heard = True
            self._ready_if_complete()
        kind, content = message.msg_type, message.content
        if kind in ("iopub_welcome", "comm_open", "comm_msg", "comm_close"):
            return
        execution = self.outputs.of_parent(message.parent_id)
        if kind == "update_display_data":
            self.outputs.update_display(content)
        elif execution is None:
            self._unknown(message)
            return
        elif kind == "status":
            if message.parent_id:  # xeus also tells states that belong to no request
                self._status(execution, content, record.time)
        elif kind == "stream":
            self._stream(execution, content)
        elif kind == "execute_input":
            self._count(execution, content)
        elif kind == "clear_output":
            self.outputs.clear(execution, wait=bool(content.get("wait")))
        else:
            self._output(execution, kind, content)
        if execution is not None:
            execution.last = record.time

    def _stream(self, execution: ExecutionState, content: Mapping[str, Any]) -> None:
        text, name = content.get("text"), content.get("name")
        if isinstance(text, str) and text and isinstance(name, str):
            self.outputs.stream(execution, name if name in STREAM_NAMES else "stdout", text)

    def _output(self, execution: ExecutionState, kind: str, content: Mapping[str, Any]) -> None:
        if kind == "display_data":
            self.outputs.append(execution, display(content), display_id_of(content))
        elif kind == "execute_result":
            count = count_of(content)
            self._count(execution, content)
            self.outputs.append(execution, result(content, count), display_id_of(content), count)
        elif kind == "error":
            execution.errored = True
            self.outputs.append(execution, error(content))

    def _status(self, execution: ExecutionState, content: Mapping[str, Any], time: float) -> None:
        if content.get("execution_state") == "busy" and not execution.done:
            self.state.activity = "busy"
        elif content.get("execution_state") == "idle":
            execution.idle = True
            self.outputs.settle(execution, time)

    def _count(self, execution: ExecutionState, content: Mapping[str, Any]) -> None:
        count = count_of(content)
        if count is not None and execution.cell and not execution.done:
            self.outputs.ops.append(SetCount(execution.cell, count))

    def _unknown(self, message: WireMessage) -> None:
        """Output of an execution that we no longer know; anything else without an execution says nothing."""
        content = message.content
        if message.msg_type == "stream":
            output = {
                "output_type": "stream",
                "name": str(content.get("name") or "stdout"),
                "text": str(content.get("text") or ""),
            }
        elif message.msg_type in ("display_data", "execute_result"):
            output = display(content)
        elif message.msg_type == "error":
            output = error(content)
        else:
            return
        self.outputs.effects.append(LateOutput(message.parent_id, entry_of(output, self.outputs.put)))

    # shell, control, stdin

    def _replied(self, message: WireMessage, record: Record) -> None:
        content = message.content
        if message.msg_type == "kernel_info_reply" and not self.state.ready:
            self.state.info = {name: content[name] for name in INFO_FIELDS if name in content}
            self._ready_if_complete()
        execution = self.state.executions.get(message.parent_id)
        if message.msg_type != "execute_reply" or execution is None:
            self.outputs.effects.append(Reply(message.parent_id, record.channel, message.msg_type, content))
            return
        execution = self.outputs.own(execution)
        if execution.done:
            return
        self._count(execution, content)
        self._payloads(execution, content, record)
        status = content.get("status")
        execution.reply = "ok" if status == "ok" else "error" if status == "error" else "cancelled"
        if execution.reply == "error" and not execution.errored:
            execution.failure = error(content)
        execution.last = record.time
        self.outputs.settle(execution, record.time)

    def _payloads(self, execution: ExecutionState, content: Mapping[str, Any], record: Record) -> None:
        payloads = content.get("payload")
        for payload in payloads if isinstance(payloads, list) else ():
            if not isinstance(payload, dict):
                continue
            if payload.get("source") == "set_next_input" and isinstance(payload.get("text"), str):
                self.outputs.effects.append(
                    SetNextInput(
                        execution.id,
                        execution.cell,
                        payload["text"],
                        bool(payload.get("replace")),
                        record.end,
                    )
                )
            elif payload.get("source") == "page" and isinstance(payload.get("data"), dict):
                # `name?`: Jupyter shows it in a pager; here it is an output of the cell.
                self.outputs.append(execution, display(payload))

    def _asked(self, message: WireMessage) -> None:
        execution = self.outputs.of_parent(message.parent_id)
        if message.msg_type == "input_request" and execution is not None:
            content = message.content
            self.outputs.effects.append(
                InputRequested(
                    execution.id,
                    execution.cell,
                    str(content.get("prompt") or ""),
                    bool(content.get("password")),
                    message.msg_id,
                    message.header,
                )
            )

    def _ready_if_complete(self) -> None:
        if self.state.heard and self.state.info is not None and not self.state.ready:
            self.state.ready = True
            if not self.state.running:
                self.state.activity = "idle"
            self.outputs.effects.append(KernelReady(self.state.info))
            self.state.info = None
