"""A kernel's connection: addresses and key, as a Jupyter connection file.

It opens nothing. The invariant: ``ipc`` paths lie in the given private directory and are short enough; the
key is fresh for each kernel.
"""

from __future__ import annotations

import secrets
import socket
import sys
from dataclasses import dataclass
from pathlib import Path

import msgspec

from runt.errors import SocketPathTooLong
from runt.runtime.quirks import Transport

CHANNELS = ("iopub", "shell", "control", "stdin")  # in the order of supervisor_protocol's channel numbers
_PORTS = 5  # shell, iopub, stdin, control, heartbeat
_MAX_PATH_BYTES = 103 if sys.platform == "darwin" else 107


class _ConnectionFile(msgspec.Struct):
    shell_port: int
    iopub_port: int
    stdin_port: int
    control_port: int
    hb_port: int
    ip: str
    key: str
    transport: Transport
    signature_scheme: str = "hmac-sha256"
    kernel_name: str = ""


@dataclass(frozen=True, slots=True)
class Connection:
    """``text``: the connection file. ``endpoints``: ZeroMQ addresses of iopub, shell, control, stdin."""

    key: str
    text: bytes
    endpoints: tuple[str, ...]


def make_connection(directory: Path, kernel_name: str, transport: Transport = "ipc") -> Connection:
    """Return a new connection; with ``ipc`` its sockets will be ``directory``/k-1 … k-5.

    Raises:
        SocketPathTooLong: ``directory`` is too long for that.
    """
    if transport == "ipc":
        ip, ports = str(directory / "k"), [1, 2, 3, 4, 5]
        if len(ip.encode()) + 2 > _MAX_PATH_BYTES:
            raise SocketPathTooLong(ip, _MAX_PATH_BYTES - 2)
    else:
        ip, ports = "127.0.0.1", _free_ports(_PORTS)
    shell, iopub, stdin, control, heartbeat = ports
    content = _ConnectionFile(
        shell,
        iopub,
        stdin,
        control,
        heartbeat,
        ip=ip,
        key=secrets.token_hex(32),
        transport=transport,
        kernel_name=kernel_name,
    )
    return read_connection(msgspec.json.encode(content))


def read_connection(text: bytes) -> Connection:
    """Return the connection of a connection file's text. Raises msgspec.DecodeError when it is not one."""
    content = msgspec.json.decode(text, type=_ConnectionFile)
    endpoints = []
    for channel in CHANNELS:
        port = getattr(content, f"{channel}_port")
        address = f"{content.ip}-{port}" if content.transport == "ipc" else f"{content.ip}:{port}"
        endpoints.append(f"{content.transport}://{address}")
    return Connection(content.key, text, tuple(endpoints))


def _free_ports(count: int) -> list[int]:
    # Another process may take one before the kernel binds it; then the kernel exits and says so.
    taken = [socket.socket() for _ in range(count)]
    try:
        for one in taken:
            one.bind(("127.0.0.1", 0))
        return [one.getsockname()[1] for one in taken]
    finally:
        for one in taken:
            one.close()
