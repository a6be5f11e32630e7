"""The process that owns one kernel and outlives the daemon.

Standard library and pyzmq, one thread, one poll loop; it never looks inside a message. Everything it may
need is imported at start: an upgrade can replace the files under it. The invariant: a message is in the
journal before any daemon sees it, a send id before the kernel sees its message, and only SHUTDOWN (or
SIGTERM) ends this process.
"""

from __future__ import annotations

import contextlib
import os
import signal
import socket
import time

import zmq

from runt.errors import RemoteProtocolError, StoreError
from runt.runtime import supervisor_protocol as protocol
from runt.runtime.supervisor_directory import JOURNAL_NAME, KERNEL_JSON_NAME, kernel_json
from runt.runtime.supervisor_journal import RETRY_S, SupervisorJournal
from runt.runtime.supervisor_kernel import KernelChild, KernelSockets
from runt.runtime.supervisor_serving import MAX_CONNECTIONS, DaemonConnection, Listener
from runt.store.safe_directory import write_private_file

DRAIN_MESSAGES = 512  # from one channel, then the others have their turn
CHECK_S = 10.0  # a vanished socket, a long log: one wake-up in ten seconds
SIGTERM_GRACE_S = 3.0
LAST_WORDS_S = 1.0  # how long output of an ended kernel may still arrive
SILENCE_MS = 20
FAREWELL_S = 2.0  # how long the daemon may take to read the end of the journal
MAX_HELD_SENDS = 1024  # given while the kernel restarts; beyond it the daemon repeats them

ORDER_S = 5.0  # a daemon gives START at once; one that died in between leaves us with nothing to do

RESTART, SHUTDOWN = "restart", "shutdown"


class Stopping:
    """A kernel that was asked to leave: wait, then SIGTERM, then SIGKILL. Deadline: monotonic seconds."""

    def __init__(self, then: str, grace_s: float) -> None:
        self.then = then
        self.grace_s = grace_s
        self.deadline = time.monotonic() + grace_s
        self.signals = [signal.SIGTERM, signal.SIGKILL]

    def next_signal(self) -> int:
        """Return the signal whose time has come, or 0."""
        if not self.signals or time.monotonic() < self.deadline:
            return 0
        self.deadline = time.monotonic() + self.grace_s
        return int(self.signals.pop(0))


class Supervisor:
    """The loop and its state. ``run`` returns when the kernel was shut down."""

    def __init__(self, directory: str, listener: Listener) -> None:
        self.directory = directory
        self.listener = listener
        self.journal = SupervisorJournal(os.path.join(directory, JOURNAL_NAME))
        self.context: zmq.Context[zmq.Socket[bytes]] = zmq.Context()
        self.context.io_threads = 1
        self.poller = zmq.Poller()
        self.instance = os.urandom(protocol.INSTANCE_ID_BYTES)
        self.kernel: KernelChild | None = None
        self.channels: KernelSockets | None = None
        self.connections: list[DaemonConnection] = []
        self.served: DaemonConnection | None = None
        # Send ids → offset of their record. Dropped when acknowledged: the daemon has folded them by then.
        self.sent: dict[bytes, int] = {}
        self.held: list[tuple[bytes, int, list[bytes]]] = []
        self.stopping: Stopping | None = None
        self.leave_at = 0.0
        self.check_at = time.monotonic() + CHECK_S
        self.order_by = time.monotonic() + ORDER_S
        self.wakeup, signalled = socket.socketpair()
        self.wakeup.setblocking(False)
        signalled.setblocking(False)
        self._signalled = signalled
        signal.set_wakeup_fd(signalled.fileno(), warn_on_full_buffer=False)
        signal.signal(signal.SIGCHLD, _noticed)
        signal.signal(signal.SIGTERM, _noticed)
        self.poller.register(self.wakeup.fileno(), zmq.POLLIN)
        self.poller.register(self.listener.socket.fileno(), zmq.POLLIN)

    def run(self) -> None:
        """Serve until shut down."""
        while not self._may_leave():
            events = dict(self.poller.poll(self._timeout_ms()))
            self._drain()
            self._take_signals(self.wakeup.fileno() in events)
            self.journal.flush()
            if self.listener.socket.fileno() in events:
                self._accept()
            for connection in list(self.connections):
                if events.get(connection.socket.fileno(), 0) & ~zmq.POLLOUT:
                    self._read_orders(connection)
            self._advance_stop()
            self._check()
            self.journal.flush()
            self._serve()

    # the kernel's messages

    def _drain(self) -> int:
        count = 0
        if self.channels is not None:
            for channel, source in self.channels.sockets.items():
                for _ in range(DRAIN_MESSAGES):
                    try:
                        frames = source.recv_multipart(zmq.NOBLOCK)
                    except zmq.Again:
                        break
                    self.journal.put(channel, frames)
                    count += 1
        return count

    def _drain_last_words(self) -> None:
        """Take what an ended kernel had sent: its bytes are in the pipe, ZeroMQ's thread hands them over."""
        until = time.monotonic() + LAST_WORDS_S
        while self.channels is not None and time.monotonic() < until:
            if not self._drain() and not self.channels.sockets[protocol.IOPUB].poll(SILENCE_MS):
                return
            self.journal.flush()

    # the kernel's life

    def _start_kernel(self) -> None:
        assert self.kernel is not None
        if self.channels is not None:
            for one in self.channels.sockets.values():
                self.poller.unregister(one)
            self.channels.close()
        failure = self.kernel.spawn()
        identity = os.urandom(8).hex().encode()
        self.channels = KernelSockets(self.context, self.kernel.order.endpoints, identity)
        for one in self.channels.sockets.values():
            self.poller.register(one, zmq.POLLIN)
        description = self.kernel.order.description
        write_private_file(
            os.path.join(self.directory, KERNEL_JSON_NAME),
            kernel_json(self.kernel.pid, description),
            durable=False,
        )
        self.journal.lifecycle(f"failed {failure}" if failure else f"started {self.kernel.pid}")

    def _take_signals(self, woken: bool) -> None:
        if not woken:
            return
        with contextlib.suppress(BlockingIOError):
            if signal.SIGTERM in self.wakeup.recv(4096) and self.stopping is None:
                self._stop(SHUTDOWN, SIGTERM_GRACE_S)
        ended = self.kernel.collect() if self.kernel is not None else ""
        if ended:
            self._drain_last_words()
            self.journal.lifecycle(ended)
            self._after_stop()

    def _stop(self, then: str, grace_s: float) -> None:
        if self.stopping is not None and self.stopping.then == SHUTDOWN:
            return
        self.stopping = Stopping(then, grace_s)
        self.journal.lifecycle(f"stopping {then}")
        if self.kernel is None or not self.kernel.pid:
            self._after_stop()

    def _advance_stop(self) -> None:
        if self.stopping is not None and self.kernel is not None and (number := self.stopping.next_signal()):
            self.kernel.signal(number)

    def _after_stop(self) -> None:
        """The kernel is gone: go on with what was asked for, if anything was."""
        if self.stopping is None:
            return
        then, self.stopping = self.stopping.then, None
        if self.kernel is not None:
            self.kernel.end_group()
        if then == SHUTDOWN or self.kernel is None:
            self.leave_at = time.monotonic() + FAREWELL_S
            return
        self.journal.lifecycle("restarted")
        self._start_kernel()
        held, self.held = self.held, []
        for send_id, channel, frames in held:
            self._forward(send_id, channel, frames)

    # the daemon's orders

    def _accept(self) -> None:
        connection = self.listener.accept()
        if connection is None:
            return
        if len(self.connections) >= MAX_CONNECTIONS:
            self._drop(next(one for one in self.connections if one is not self.served))
        self.connections.append(connection)
        self.poller.register(connection.socket.fileno(), zmq.POLLIN)

    def _drop(self, connection: DaemonConnection) -> None:
        if connection in self.connections:
            self.connections.remove(connection)
            self.poller.unregister(connection.socket.fileno())
            connection.socket.close()
        if self.served is connection:
            self.served = None

    def _read_orders(self, connection: DaemonConnection) -> None:
        orders = connection.receive()
        if orders is None:
            self._drop(connection)
            return
        try:
            for operation, payload in orders:
                self._obey(connection, operation, payload)
        except (RemoteProtocolError, ValueError):
            self._drop(connection)

    def _obey(self, connection: DaemonConnection, operation: int, payload: bytes) -> None:
        if operation == protocol.ATTACH:
            self._attach(connection, protocol.decode_attach(payload)[1])
        elif operation == protocol.START:
            if self.kernel is None:
                self.kernel = KernelChild(protocol.decode_start(payload), self.directory)
                self._start_kernel()
                self.journal.flush()
            self._greet(connection)
        elif operation == protocol.SEND:
            self._forward(*protocol.decode_send(payload))
        elif operation == protocol.SIGNAL:
            if self.kernel is not None:
                self.kernel.signal(protocol.decode_signal(payload))
        elif operation == protocol.ACK:
            self._acknowledge(protocol.decode_ack(payload))
        elif operation == protocol.RESTART:
            self._stop(RESTART, protocol.decode_grace(payload))
        elif operation == protocol.SHUTDOWN:
            self._stop(SHUTDOWN, protocol.decode_grace(payload))
        # Anything else comes from a newer daemon: ignored, it knows our version from HELLO.

    def _attach(self, connection: DaemonConnection, offset: int) -> None:
        if self.served is not None and self.served is not connection:
            self._drop(self.served)  # the newest daemon wins
        self.served = connection
        connection.position = max(self.journal.start, min(offset, self.journal.end))
        self._greet(connection)

    def _greet(self, connection: DaemonConnection) -> None:
        kernel_pid = self.kernel.pid if self.kernel is not None else 0
        hello = protocol.Hello(
            protocol.VERSION, self.instance, os.getpid(), kernel_pid, self.journal.start, self.journal.end
        )
        connection.queue(protocol.encode_hello(hello))
        if not connection.push(self.journal):
            self._drop(connection)

    def _forward(self, send_id: bytes, channel: int, frames: list[bytes]) -> None:
        if send_id in self.sent or self.channels is None:
            return
        if self.stopping is not None and self.stopping.then == RESTART and channel != protocol.CONTROL:
            # Meant for the kernel that comes.
            if len(self.held) < MAX_HELD_SENDS and all(send_id != one[0] for one in self.held):
                self.held.append((send_id, channel, frames))
            return
        self.journal.put(protocol.SENT, [send_id])
        self.journal.flush()
        self.sent[send_id] = self.journal.end
        if (target := self.channels.sockets.get(channel)) is not None and channel != protocol.IOPUB:
            target.send_multipart(frames, zmq.NOBLOCK)

    def _acknowledge(self, offset: int) -> None:
        self.journal.acknowledge(offset)
        for send_id, end in list(self.sent.items()):
            if end > offset:
                break
            del self.sent[send_id]

    # the loop's other duties

    def _serve(self) -> None:
        for connection in list(self.connections):
            if connection.wants_to_write(self.journal) and not connection.push(self.journal):
                self._drop(connection)
                continue
            waits = connection.wants_to_write(self.journal)
            flags = zmq.POLLIN | (zmq.POLLOUT if waits else 0)
            self.poller.modify(connection.socket.fileno(), flags)

    def _timeout_ms(self) -> int:
        moments = [self.check_at]
        if self.kernel is None:
            moments.append(self.order_by)
        if self.stopping is not None:
            moments.append(self.stopping.deadline)
        if self.leave_at:
            moments.append(self.leave_at)
        if self.journal.failing:
            moments.append(time.monotonic() + RETRY_S)
        return int(max(0.0, min(moments) - time.monotonic()) * 1000) + 1

    def _check(self) -> None:
        if time.monotonic() < self.check_at:
            return
        self.check_at = time.monotonic() + CHECK_S
        if self.kernel is not None:
            self.kernel.trim_log()
        if self.listener.is_gone():
            old = self.listener.socket.fileno()
            with contextlib.suppress(OSError, StoreError):  # tried again at the next check
                self.listener.make_again()
                self.poller.unregister(old)
                self.poller.register(self.listener.socket.fileno(), zmq.POLLIN)

    def _may_leave(self) -> bool:
        if self.kernel is None and time.monotonic() >= self.order_by:
            return True
        if not self.leave_at:
            return False
        told = self.served is None or not self.served.wants_to_write(self.journal)
        return told or time.monotonic() >= self.leave_at


def _noticed(number: int, frame: object) -> None:
    """Wake the poll loop (through the wakeup descriptor); nothing else is safe here."""


def main(arguments: list[str]) -> None:
    """Run a supervisor: ``-c <directory> <socket path> <listening descriptor> …``."""
    directory, path, descriptor = arguments[1], arguments[2], int(arguments[3])
    os.umask(0o077)
    for number in (signal.SIGHUP, signal.SIGINT, signal.SIGPIPE):
        signal.signal(number, signal.SIG_IGN)
    listener = Listener(path, descriptor)
    try:
        Supervisor(directory, listener).run()
    finally:
        listener.remove()
