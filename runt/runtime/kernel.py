"""A kernel as the daemon sees it: a supervisor that is started, attached to, and given orders.

It decodes and interprets nothing; records go to ``daemon.folding``. The invariant: whatever this object
does, or however it dies, the kernel keeps running and its journal keeps growing until ``shutdown``.
"""

from __future__ import annotations

import asyncio
import os
import signal
import uuid
from collections.abc import Mapping, Sequence
from pathlib import Path

import msgspec

from runt.errors import ConnectionLost, KernelDied
from runt.runtime import supervisor_protocol as protocol
from runt.runtime.adoption import find_supervisors as find_supervisors
from runt.runtime.connection import make_connection, read_connection
from runt.runtime.kernel_file import Description, read_kernel_file, socket_directory
from runt.runtime.kernelspecs import Kernelspec
from runt.runtime.supervisor_directory import CONNECTION_NAME, KERNEL_LOG_NAME, LOG_NAME
from runt.runtime.supervisor_link import OnLost, OnRecords, SupervisorLink, connect
from runt.runtime.supervisor_protocol import CONTROL, SHELL, Hello, StartOrder
from runt.runtime.supervisor_spawn import SOCKET_NAME, reap_supervisors, spawn_supervisor
from runt.runtime.wire import JupyterWire
from runt.store.safe_directory import read_private_file

RESTART_GRACE_S = 1.5  # for atexit handlers, before SIGTERM; then as long again before SIGKILL
SHUTDOWN_GRACE_S = 3.0
_REAP_DELAYS_S = (0.01, 0.1, 1.0)
_LOG_TAIL_BYTES = 4096
# Set for a Jupyter server's own children; a kernel that believes them exits with us or misnames itself.
_REMOVED_VARIABLES = ("JPY_PARENT_PID", "JPY_SESSION_NAME")


class KernelProcess:
    """One kernel and its supervisor.

    ``sockets`` is ``places.kernel_sockets``. Start or attach, then give orders; orders given while the
    connection is lost return False and do nothing: attach again and repeat what has no SENT record.
    """

    def __init__(self, sockets: Path) -> None:
        self._sockets = sockets
        self._link: SupervisorLink | None = None
        self._directory: Path | None = None
        self._wire: JupyterWire | None = None
        self._description: Description | None = None
        self._reaping: list[asyncio.TimerHandle] = []
        self.hello: Hello | None = None

    @property
    def directory(self) -> Path:
        """The directory of the journal. Raises RuntimeError before start or attach."""
        if self._directory is None:
            raise RuntimeError("the kernel was neither started nor attached")
        return self._directory

    @property
    def wire(self) -> JupyterWire:
        """Encodes and decodes this kernel's messages. Raises RuntimeError before start or attach."""
        if self._wire is None:
            raise RuntimeError("the kernel was neither started nor attached")
        return self._wire

    @property
    def description(self) -> Description:
        """Name, language and interrupt mode. Raises RuntimeError before start or attach."""
        if self._description is None:
            raise RuntimeError("the kernel was neither started nor attached")
        return self._description

    @property
    def attached(self) -> bool:
        """Whether orders reach the supervisor now."""
        return self._link is not None and not self._link.closed.done()

    async def start(
        self,
        directory: Path,
        spec: Kernelspec,
        cwd: str,
        env: Mapping[str, str],
        *,
        umask: int | None = None,
        tz: str | None = None,
    ) -> None:
        """Start a supervisor and, through it, the kernel. Then ``attach`` with offset 0.

        ``env`` is the kernel's whole environment (the kernelspec's is added to it). Whether the kernel
        could be executed is told by its journal: ``started <pid>`` or ``failed <reason>``.

        Raises:
            KernelDied: the supervisor itself could not be started; the message holds the end of its log.
            SocketPathTooLong, UnsafeDirectory, OSError.
        """
        folder = socket_directory(directory, self._sockets)
        process = spawn_supervisor(directory, folder)
        connection = make_connection(folder, spec.name, spec.transport)
        description = Description(spec.name, spec.display_name, spec.language, spec.interrupt_mode, cwd)
        variables = {**env, **spec.env}
        for name in _REMOVED_VARIABLES:
            variables.pop(name, None)
        if tz:
            variables["TZ"] = tz
        connection_file = str(directory / CONNECTION_NAME)
        order = StartOrder(
            argv=spec.command(connection_file),
            env=variables,
            cwd=cwd,
            connection_file=connection_file,
            connection_text=connection.text,
            endpoints=connection.endpoints,
            description=msgspec.json.encode(description),
            umask=-1 if umask is None else umask,
        )
        try:
            link = await connect(folder / SOCKET_NAME, _ignore_records, _ignore_loss)
            try:
                link.write(protocol.encode_start(order))
                await link.hello()
                self._directory, self._wire, self._description = (
                    directory,
                    JupyterWire(connection.key),
                    description,
                )
                link.write(self._probe())
            finally:
                link.close()
                await link.closed
        except ConnectionLost as error:
            process.kill()
            log = _tail(directory / LOG_NAME)
            raise KernelDied("the kernel's supervisor did not start", hint=log or error.message) from error

    async def attach(self, directory: Path, offset: int, on_records: OnRecords, on_lost: OnLost) -> Hello:
        """Connect, and be given every record after ``offset`` (bytes), each once and in order.

        ``hello.end`` is where the journal ended at this moment: what was sent before is replayed once a
        record reaches it. The newest attachment wins; the older one is closed by the supervisor.

        Raises:
            ConnectionLost: no supervisor serves this directory (any more), or it does not answer.
            RemoteProtocolError: it is not ours, or does not speak our protocol.
            OSError, StoreError, msgspec.DecodeError: its files cannot be read.
        """
        self.close()
        file = read_kernel_file(directory)
        connection = read_connection(read_private_file(directory / CONNECTION_NAME))
        self._directory, self._description = directory, file.description
        if self._wire is None:
            self._wire = JupyterWire(connection.key)

        def lost(reason: str) -> None:
            self._reap_soon()
            on_lost(reason)

        folder = socket_directory(directory, self._sockets)
        link = await connect(folder / SOCKET_NAME, on_records, lost)
        self._link = link
        try:
            link.write(protocol.encode_attach(offset))
            self.hello = await link.hello()
        except BaseException:
            link.close()  # orders must not go to who has not answered
            raise
        return self.hello

    def send(self, send_id: str, channel: int, frames: Sequence[bytes]) -> bool:
        """Forward frames to the kernel once per ``send_id``; False: not attached, nothing was sent."""
        return self._order(protocol.encode_send(send_id, channel, frames))

    def execute(self, execution: str, code: str, *, allow_stdin: bool = True, silent: bool = False) -> bool:
        """Send an ``execute_request`` whose message id and send id are ``execution``."""
        content = {
            "code": code,
            "silent": silent,
            "store_history": not silent,
            "user_expressions": {},
            "allow_stdin": allow_stdin,
            # The daemon owns the queue: a kernel that aborts what follows would hide it from us.
            "stop_on_error": False,
        }
        return self.send(execution, SHELL, self.wire.encode("execute_request", content, msg_id=execution))

    def request(self, msg_type: str, content: Mapping[str, object], *, channel: int = SHELL) -> str:
        """Send any other request; its reply comes as a ``Reply`` effect with the returned message id."""
        msg_id = uuid.uuid4().hex
        self.send(msg_id, channel, self.wire.encode(msg_type, content, msg_id=msg_id))
        return msg_id

    def input_reply(self, request_header: bytes, value: str) -> bool:
        """Answer ``input()``. ``request_header`` comes with the InputRequested effect."""
        frames = self.wire.encode("input_reply", {"value": value}, parent=request_header)
        return self.send(uuid.uuid4().hex, protocol.STDIN, frames)

    def probe(self) -> bool:
        """Ask for ``kernel_info``. Repeat every 0.5 s until KernelReady: one reply proves only shell."""
        return self._order(self._probe())

    def interrupt(self) -> bool:
        """Interrupt what runs: a message or SIGINT to the process group, whichever the kernel understands."""
        if self.description.interrupt_mode == "message":
            frames = self.wire.encode("interrupt_request", {})
            return self.send(uuid.uuid4().hex, CONTROL, frames)
        return self._order(protocol.encode_signal(signal.SIGINT))

    def restart(self, grace_s: float = RESTART_GRACE_S) -> bool:
        """End the kernel and start it again with the same command, environment and connection.

        Returns at once; the journal tells ``stopping restart``, the exit, ``restarted``, ``started <pid>``.
        From then on ``probe``.
        """
        self._ask_to_leave(restart=True)
        return self._order(protocol.encode_grace(protocol.RESTART, grace_s))

    def shutdown(self, grace_s: float = SHUTDOWN_GRACE_S) -> bool:
        """End the kernel, then the supervisor. Returns at once; afterwards ``on_lost`` is called."""
        self._ask_to_leave(restart=False)
        return self._order(protocol.encode_grace(protocol.SHUTDOWN, grace_s))

    async def wait_closed(self) -> None:
        """Wait until the supervisor has closed the connection (after ``shutdown``), or we did."""
        if self._link is not None:
            await asyncio.shield(self._link.closed)

    def acknowledge(self, offset: int) -> bool:
        """Let the supervisor drop journal segments before ``offset`` (bytes); also forgets old send ids."""
        return self._order(protocol.encode_ack(offset))

    def pause(self) -> None:
        """Take no more records for now; they wait on disk."""
        if self._link is not None:
            self._link.pause()

    def resume(self) -> None:
        """Take records again."""
        if self._link is not None:
            self._link.resume()

    def close(self) -> None:
        """Detach; the kernel goes on."""
        for handle in self._reaping:
            handle.cancel()
        self._reaping.clear()
        if self._link is not None:
            self._link.close()
        reap_supervisors()

    def log_tail(self) -> str:
        """Return the end of what the kernel wrote to its raw stderr: why it did not start, or died."""
        return _tail(self.directory / KERNEL_LOG_NAME)

    def _order(self, data: bytes) -> bool:
        return self._link is not None and self._link.write(data)

    def _probe(self) -> bytes:
        msg_id = uuid.uuid4().hex
        return protocol.encode_send(msg_id, SHELL, self.wire.encode("kernel_info_request", {}, msg_id=msg_id))

    def _ask_to_leave(self, *, restart: bool) -> None:
        frames = self.wire.encode("shutdown_request", {"restart": restart})
        self.send(uuid.uuid4().hex, CONTROL, frames)

    def _reap_soon(self) -> None:
        # The supervisor closes its socket a moment before it exits.
        loop = asyncio.get_running_loop()
        self._reaping = [loop.call_later(delay, reap_supervisors) for delay in _REAP_DELAYS_S]


def _ignore_records(records: Sequence[protocol.Record]) -> None:
    del records


def _ignore_loss(reason: str) -> None:
    del reason


def _tail(path: Path) -> str:
    try:
        with path.open("rb") as file:
            file.seek(max(0, os.fstat(file.fileno()).st_size - _LOG_TAIL_BYTES))
            return file.read().decode("utf-8", "replace").strip()
    except OSError:
        return ""
