"""The record log against a list, through reopening, dropping, and cutting at any byte."""

from __future__ import annotations

import os
import shutil
import tempfile
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from runt.errors import StoreError
from runt.store.record_log import RecordLog

HEADER_BYTES = 8
SMALL_SEGMENT = 200
payloads = st.binary(max_size=120)
batches = st.lists(payloads, max_size=6)


def read_all(log: RecordLog, max_bytes: int = 1 << 20) -> list[tuple[int, bytes]]:
    """Everything in the log, asked for piece by piece."""
    records: list[tuple[int, bytes]] = []
    at = log.start
    while at < log.end:
        piece = log.read(at, max_bytes)
        assert piece
        records += piece
        at = piece[-1][0]
    return records


class LogModel(RuleBasedStateMachine):
    """The log does what a list of records would do."""

    @initialize()
    def open(self) -> None:
        self.directory = Path(tempfile.mkdtemp(prefix="rt"))
        self.log = RecordLog(self.directory / "journal", segment_bytes=SMALL_SEGMENT)
        self.model: list[tuple[int, bytes]] = []
        """``(offset behind the record, payload)``"""
        self.end = 0

    @rule(batch=batches)
    def append(self, batch: list[bytes]) -> None:
        for payload in batch:
            self.end += HEADER_BYTES + len(payload)
            self.model.append((self.end, payload))
        assert self.log.append(batch) == self.end

    @rule()
    def reopen(self) -> None:
        self.log.close()
        self.log = RecordLog(self.directory / "journal", segment_bytes=SMALL_SEGMENT)

    @rule(data=st.data())
    def drop(self, data: st.DataObject) -> None:
        offset = data.draw(st.sampled_from([0, self.end, *(end for end, _ in self.model)]))
        start = self.log.drop_before(offset)
        assert start <= max(offset, self.log.start)
        self.model = [(end, payload) for end, payload in self.model if end > start]

    @precondition(lambda self: self.model)
    @rule(data=st.data())
    def cut(self, data: st.DataObject) -> None:
        """A kill tears the last segment at any byte: what remains is a prefix, to the byte."""
        self.log.close()
        last = max((self.directory / "journal").iterdir())
        first = int(last.name[:16], 16)
        size = data.draw(st.integers(0, last.stat().st_size))
        os.truncate(last, size)
        self.model = [(end, payload) for end, payload in self.model if end <= first + size]
        self.end = max([first, *(end for end, _ in self.model)])
        self.reopen()

    @rule(max_bytes=st.integers(0, 400))
    def read_in_pieces(self, max_bytes: int) -> None:
        assert read_all(self.log, max_bytes) == self.model

    @rule(data=st.data())
    def read_from_a_border(self, data: st.DataObject) -> None:
        index = data.draw(st.integers(0, len(self.model)))
        offset = self.log.start if index == 0 else self.model[index - 1][0]
        rest = self.log.read(offset, 1 << 20)
        assert rest == self.model[index : index + len(rest)]
        assert bool(rest) == (index < len(self.model))

    @invariant()
    def same(self) -> None:
        if hasattr(self, "log"):
            assert self.log.end == self.end
            assert read_all(self.log) == self.model

    def teardown(self) -> None:
        if hasattr(self, "log"):
            self.log.close()
            shutil.rmtree(self.directory)


LogModel.TestCase.settings = settings(max_examples=60, stateful_step_count=25, deadline=None)
test_log_against_a_list = LogModel.TestCase


@given(noise=st.binary(min_size=1, max_size=64))
@settings(max_examples=60, deadline=None)
def test_noise_behind_the_end_is_cut(noise: bytes) -> None:
    """Whatever a power cut leaves behind the last record, zero bytes included, is not taken for one."""
    with tempfile.TemporaryDirectory() as directory:
        with RecordLog(Path(directory) / "j") as log:
            end = log.append([b"one", b"two"])
            segment = Path(log.directory) / f"{0:016x}.log"
        with open(segment, "ab") as file:
            file.write(noise)
        with RecordLog(Path(directory) / "j") as log:
            assert log.end == end
            assert [payload for _, payload in log.read(0, 100)] == [b"one", b"two"]
            assert segment.stat().st_size == end


def test_zero_bytes_are_not_records(tmp_path: Path) -> None:
    """A file system that fills with zeros after a crash does not give empty records."""
    with RecordLog(tmp_path / "j") as log:
        log.append([b"one"])
    with open(tmp_path / "j" / f"{0:016x}.log", "ab") as file:
        file.write(bytes(4096))
    with RecordLog(tmp_path / "j") as log:
        assert [payload for _, payload in log.read(0, 10_000)] == [b"one"]


def test_a_flipped_bit_is_found(tmp_path: Path) -> None:
    """Damage in the middle is an error that names the offset, and what lies before it can be read."""
    with RecordLog(tmp_path / "j", segment_bytes=1) as log:
        first = log.append([b"first"])
        log.append([b"second"])
        log.append([b"third"])
        path = tmp_path / "j" / f"{first:016x}.log"
        data = bytearray(path.read_bytes())
        data[-1] ^= 1
        path.write_bytes(data)
        assert log.read(0, 100) == [(first, b"first")]
        with pytest.raises(StoreError, match=f"offset {first} is damaged"):
            log.read(first, 100)


def test_drop_frees_whole_segments_only(tmp_path: Path) -> None:
    """Dropping removes what lies wholly before the offset; reading there says that it is gone."""
    with RecordLog(tmp_path / "j", segment_bytes=1) as log:
        ends = [log.append([b"x" * 10]) for _ in range(5)]
        assert log.drop_before(ends[2] - 1) == ends[1]
        assert log.drop_before(ends[2]) == ends[2]
        assert len(list((tmp_path / "j").iterdir())) == 2
        with pytest.raises(StoreError, match="is not in"):
            log.read(0, 100)
        assert log.drop_before(ends[4] + 1000) == ends[3]
        assert log.append([b"more"]) > ends[4]


def test_offsets_survive_dropping_and_reopening(tmp_path: Path) -> None:
    """An offset means the same record for ever."""
    with RecordLog(tmp_path / "j", segment_bytes=1) as log:
        ends = [log.append([b"%d" % i]) for i in range(5)]
        log.drop_before(ends[3])
    with RecordLog(tmp_path / "j", segment_bytes=1) as log:
        assert (log.start, log.end) == (ends[3], ends[4])
        assert log.read(ends[3], 100) == [(ends[4], b"4")]


def test_many_records_in_one_append(tmp_path: Path) -> None:
    """More pieces than one system call takes are still one append."""
    batch = [b"%d" % i for i in range(3000)]
    with RecordLog(tmp_path / "j") as log:
        end = log.append(batch)
        assert [payload for _, payload in log.read(0, end)] == batch


def test_a_record_larger_than_asked_for(tmp_path: Path) -> None:
    """At least one record comes, however small the limit."""
    with RecordLog(tmp_path / "j") as log:
        end = log.append([b"x" * 100_000, b"y"])
        assert log.read(0, 0) == [(end - HEADER_BYTES - 1, b"x" * 100_000)]


def test_read_only_leaves_everything_alone(tmp_path: Path) -> None:
    """The journal of a lost supervisor can be read, torn as it is, and is not changed."""
    with RecordLog(tmp_path / "j") as log:
        end = log.append([b"one"])
    path = tmp_path / "j" / f"{0:016x}.log"
    with open(path, "ab") as file:
        file.write(b"torn")
    with RecordLog(tmp_path / "j", read_only=True) as log:
        assert log.read(0, 100) == [(end, b"one")]
        with pytest.raises(StoreError, match="read-only"):
            log.append([b"two"])
    assert path.stat().st_size == end + 4
    with pytest.raises(StoreError):
        RecordLog(tmp_path / "missing", read_only=True)


def test_closed_log_refuses(tmp_path: Path) -> None:
    """Appending to a closed log is an error, not a lost record."""
    log = RecordLog(tmp_path / "j")
    log.close()
    log.close()
    with pytest.raises(StoreError, match="closed"):
        log.append([b"x"])
