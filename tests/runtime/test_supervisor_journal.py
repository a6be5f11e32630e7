"""The supervisor's journal when the disk is full or too much has piled up."""

from __future__ import annotations

import socket
import tempfile
from pathlib import Path

import pytest

from runt.errors import NoSpace
from runt.runtime import supervisor_journal
from runt.runtime.supervisor_journal import SupervisorJournal
from runt.runtime.supervisor_protocol import IOPUB, LIFECYCLE, SENT, SHELL, decode_record
from runt.runtime.supervisor_serving import Listener


def content(journal: SupervisorJournal) -> list[tuple[int, bytes]]:
    found, at = [], journal.start
    while at < journal.end:
        for at, payload in journal.read(at, 1 << 16):  # noqa: B020
            record = decode_record(at, payload)
            found.append((record.channel, b"".join(record.frames)))
    return found


@pytest.fixture
def journal(tmp_path: Path) -> SupervisorJournal:
    return SupervisorJournal(str(tmp_path / "j"), max_bytes=4000, max_held=600)


def test_flushed_records_can_be_read(journal: SupervisorJournal) -> None:
    """What was put is read back in order after the flush, and not before."""
    journal.put(IOPUB, [b"a", b"b"])
    journal.lifecycle("started 1")
    assert content(journal) == []
    journal.flush()
    assert content(journal) == [(IOPUB, b"ab"), (LIFECYCLE, b"started 1")]


def test_a_full_disk_is_survived(journal: SupervisorJournal, monkeypatch: pytest.MonkeyPatch) -> None:
    """Records wait in memory; what exceeds the limit is dropped and marked; replies are kept."""
    monkeypatch.setattr(supervisor_journal, "RETRY_S", 0.0)
    append = journal._log.append

    def full(payloads: object) -> int:
        raise NoSpace("full")

    monkeypatch.setattr(journal._log, "append", full)
    journal.put(IOPUB, [b"first"])
    journal.flush()
    assert journal.failing
    for _ in range(20):
        journal.put(IOPUB, [b"x" * 100])
        journal.flush()
    journal.put(SHELL, [b"reply"])
    journal.put(SENT, [b"id"])
    journal.flush()
    monkeypatch.setattr(journal._log, "append", append)
    journal.flush()
    assert not journal.failing
    found = content(journal)
    assert found[0] == (IOPUB, b"first")
    kept = [data for channel, data in found if channel == IOPUB and data != b"first"]
    assert 0 < len(kept) < 20
    (mark,) = [data for channel, data in found if channel == LIFECYCLE]
    assert mark.startswith(b"truncated %d " % (20 - len(kept)))
    assert found[-2:] == [(SHELL, b"reply"), (SENT, b"id")]


def test_a_long_journal_drops_output_until_acknowledged(journal: SupervisorJournal) -> None:
    """Beyond the size cap output is dropped, replies are not, and the loss is marked by the next record."""
    for _ in range(60):
        journal.put(IOPUB, [b"x" * 100])
        journal.flush()
    journal.put(SHELL, [b"reply"])
    journal.flush()
    found = content(journal)
    assert found[-1] == (SHELL, b"reply")
    assert found[-2][1].startswith(b"truncated ")
    assert journal.end < 4300


def test_a_vanished_socket_is_made_again() -> None:
    """When the socket's directory is cleaned away, a new socket appears at the same path."""
    with tempfile.TemporaryDirectory(prefix="rt", dir="/tmp") as root:
        path = Path(root, "k", "s")
        path.parent.mkdir(0o700)
        first = socket.socket(socket.AF_UNIX)
        first.bind(str(path))
        first.listen(1)
        listener = Listener(str(path), first.detach())
        assert not listener.is_gone()
        path.unlink()
        path.parent.rmdir()
        assert listener.is_gone()
        listener.make_again()
        assert not listener.is_gone()
        with socket.socket(socket.AF_UNIX) as client:
            client.connect(str(path))
            accepted = listener.accept()
            assert accepted is not None
            accepted.socket.close()
        listener.remove()
        assert not path.parent.exists()
