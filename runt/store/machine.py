"""Which machine this is, and which boot of it.

Not a secret and not a licence key. The invariant: two hosts that share a home directory get different machine
ids, one host always gets the same.
"""

from __future__ import annotations

import contextlib
import hashlib
import os
import re
import secrets
import socket
import subprocess
import sys
from pathlib import Path

MACHINE_ID_FILE = Path("/etc/machine-id")
BOOT_ID_FILE = Path("/proc/sys/kernel/random/boot_id")
ID_HEX_DIGITS = 12
IDS_DIRECTORY = "machine-ids"
_ID = re.compile(r"[0-9a-f]{12}")


def machine_id(data: Path, machine_id_file: Path = MACHINE_ID_FILE) -> str:
    """12 hex digits: the hash of /etc/machine-id, else a random id kept in `data`/machine-ids/<host name>.

    When that cannot be kept (a read-only home), the hash of the host name.
    """
    try:
        text = machine_id_file.read_text(encoding="ascii").strip()
    except (OSError, UnicodeDecodeError):
        text = ""
    # systemd writes "uninitialized" during the first boot of an image: that is not an identity.
    if text and text != "uninitialized":
        return _digest(f"runt:{text}")
    return _kept_id(data / IDS_DIRECTORY, socket.gethostname() or "localhost")


def boot_id() -> str:
    """Changes at each boot: with a pid it names a process for ever. "" if the system has none."""
    try:
        return BOOT_ID_FILE.read_text(encoding="ascii").strip()
    except OSError:
        pass
    if sys.platform == "darwin":
        return _darwin_boot_id()
    return ""


def _darwin_boot_id() -> str:
    command = ["/usr/sbin/sysctl", "-n", "kern.bootsessionuuid"]
    try:
        return subprocess.run(command, capture_output=True, text=True, check=True, timeout=5).stdout.strip()
    except (OSError, subprocess.SubprocessError):
        return ""


def _kept_id(directory: Path, host: str) -> str:
    path = directory / re.sub(r"[^0-9A-Za-z._-]", "_", host)[:200].lstrip(".")
    known = _read(path)
    if known:
        return known
    fresh = secrets.token_hex(ID_HEX_DIGITS // 2)
    temporary = directory / f".{secrets.token_hex(8)}.tmp"
    try:
        directory.mkdir(mode=0o700, parents=True, exist_ok=True)
        descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
        try:
            os.write(descriptor, fresh.encode())
        finally:
            os.close(descriptor)
        try:
            # A link fails when the name exists: of two processes that start together, one wins and both
            # agree.
            path.hardlink_to(temporary)
        finally:
            with contextlib.suppress(OSError):
                temporary.unlink()
    except FileExistsError:
        pass
    except OSError:
        return _digest(f"runt-host:{host}")
    return _read(path) or _digest(f"runt-host:{host}")


def _read(path: Path) -> str:
    try:
        text = path.read_text(encoding="ascii").strip()
    except (OSError, UnicodeDecodeError):
        return ""
    return text if _ID.fullmatch(text) else ""


def _digest(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()[:ID_HEX_DIGITS]
