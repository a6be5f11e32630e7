"""The daemon's log: limited, private, and quiet about its own troubles."""

from __future__ import annotations

import logging
import os
import subprocess
import sys
from pathlib import Path

from runt.store.log_file import LogHandler, log_handler, open_log, read_end

CHILD = """
import logging, sys
from pathlib import Path
from runt.store.log_file import LogHandler
handler = LogHandler(Path(sys.argv[1]), max_bytes=300, kept_files=1, take_stdio=True)
logging.basicConfig(handlers=[handler], level=logging.INFO)
for i in range(20):
    logging.info("line %d of some length", i)
print("printed", flush=True)
sys.stderr.write("and an error\\n")
"""


def record(text: str, *values: object) -> logging.LogRecord:
    return logging.LogRecord("runt", logging.INFO, __file__, 1, text, values, None)


def test_size_is_limited(tmp_path: Path) -> None:
    """However much is logged, the files together stay within the limit and the newest lines are there."""
    path = tmp_path / "log" / "daemon.log"
    handler = LogHandler(path, max_bytes=1000, kept_files=2)
    for number in range(500):
        handler.emit(record("line %d", number))
    handler.close()
    names = sorted(entry.name for entry in path.parent.iterdir())
    assert names == ["daemon.log", "daemon.log.1", "daemon.log.2"]
    for entry in path.parent.iterdir():
        assert entry.stat().st_size <= 1000
        assert entry.stat().st_mode & 0o777 == 0o600
    assert path.parent.stat().st_mode & 0o777 == 0o700
    assert read_end(path).endswith("line 499\n")


def test_output_of_the_process_follows_a_rotation(tmp_path: Path) -> None:
    """With `take_stdio`, what is printed after a rotation is in the current file, not in an old one."""
    path = tmp_path / "log" / "daemon.log"
    subprocess.run([sys.executable, "-c", CHILD, str(path)], check=True, timeout=60)
    assert read_end(path).endswith("printed\nand an error\n")


def test_a_full_log_is_rotated_at_start(tmp_path: Path) -> None:
    """A process that is started with a full log begins a new one."""
    path = tmp_path / "log" / "daemon.log"
    for _ in range(2):
        descriptor = open_log(path, max_bytes=10)
        os.write(descriptor, b"twelve bytes")
        os.close(descriptor)
    assert path.read_bytes() == path.with_name("daemon.log.1").read_bytes() == b"twelve bytes"


def test_lone_surrogates_and_wrong_formats(tmp_path: Path, capsys: object) -> None:
    """A line that cannot be encoded is escaped; a wrong format string does not raise into the caller."""
    path = tmp_path / "log" / "daemon.log"
    handler = log_handler(path)
    handler.emit(record("name \udcff"))
    handler.emit(record("%d", "not a number"))
    handler.emit(record("after"))
    handler.close()
    text = path.read_text()
    assert "INFO runt: name \\udcff\n" in text
    assert text.endswith("after\n")


def test_end_of_a_long_log(tmp_path: Path) -> None:
    """The end begins with a whole line; a log that is missing has an empty one."""
    path = tmp_path / "daemon.log"
    assert read_end(path) == ""
    path.write_text("".join(f"line {i}\n" for i in range(1000)))
    end = read_end(path, 100)
    assert len(end) <= 100
    assert end.startswith("line 9")
    assert end.endswith("line 999\n")
