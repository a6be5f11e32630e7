"""Machine ids and file systems."""

from __future__ import annotations

import re
import socket
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from runt.store.file_system import file_system_type, is_network
from runt.store.machine import boot_id, machine_id

MOUNTS = r"""22 1 254:0 / / rw,relatime shared:1 - ext4 /dev/vda rw
23 22 0:21 / /proc rw - proc proc rw
30 22 0:40 / /home rw,relatime shared:2 - nfs4 server:/home rw
31 30 0:41 / /home/local\040disk rw - xfs /dev/vdb rw
32 22 0:42 / /mnt/ssh rw - fuse.sshfs me@host: rw
33 22 0:43 / /over rw - ext4 /dev/vdc rw
34 33 0:44 / /over rw - nfs server:/over rw
broken line
"""


def test_hash_of_the_systems_id(tmp_path: Path) -> None:
    """/etc/machine-id is confidential: only a short hash of it is used, the same one each time."""
    source = tmp_path / "machine-id"
    source.write_text("3d1219c7c4c5404aaa1f6d2a48adfda4\n")
    first = machine_id(tmp_path / "data", source)
    assert re.fullmatch(r"[0-9a-f]{12}", first)
    assert first not in source.read_text()
    assert machine_id(tmp_path / "other", source) == first
    assert not (tmp_path / "data").exists()


@pytest.mark.parametrize("content", ["", "uninitialized\n", None])
def test_kept_id(tmp_path: Path, content: str | None) -> None:
    """Without a machine id a random one is kept in the data directory, one per host name."""
    source = tmp_path / "machine-id"
    if content is not None:
        source.write_text(content)
    first = machine_id(tmp_path / "data", source)
    assert re.fullmatch(r"[0-9a-f]{12}", first)
    assert machine_id(tmp_path / "data", source) == first
    assert machine_id(tmp_path / "another", source) != first


def test_two_hosts_with_one_home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Two hosts without a machine id that share a data directory get different ids, each always its own."""
    missing = tmp_path / "missing"
    ids = {}
    for host in ("login1", "login2", "login1"):
        monkeypatch.setattr(socket, "gethostname", lambda host=host: host)
        assert ids.setdefault(host, machine_id(tmp_path, missing)) == machine_id(tmp_path, missing)
    assert len(set(ids.values())) == 2


def test_hostile_host_name(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A host name cannot lead out of the directory."""
    monkeypatch.setattr(socket, "gethostname", lambda: "../../etc/passwd")
    machine_id(tmp_path / "data", tmp_path / "missing")
    made = [path for path in tmp_path.rglob("*") if path.is_file()]
    assert [path.parent for path in made] == [tmp_path / "data" / "machine-ids"]


def test_processes_that_start_together_agree(tmp_path: Path) -> None:
    """Whoever makes the id first, all use that one, and no temporary file stays."""
    with ThreadPoolExecutor(8) as pool:
        ids = set(pool.map(lambda _: machine_id(tmp_path, tmp_path / "missing"), range(32)))
    assert len(ids) == 1
    assert len(list((tmp_path / "machine-ids").iterdir())) == 1


def test_unwritable_data(tmp_path: Path) -> None:
    """Where no id can be kept, the host name's hash is used: the same each time."""
    (tmp_path / "data").write_text("not a directory")
    missing = tmp_path / "missing"
    assert machine_id(tmp_path / "data", missing) == machine_id(tmp_path / "data", missing)


def test_boot_id_is_stable() -> None:
    """Two questions within one boot have one answer."""
    assert boot_id() == boot_id()


@pytest.mark.parametrize(
    ("path", "kind", "network"),
    [
        ("/var/lib", "ext4", False),
        ("/home/me/not/there", "nfs4", True),
        ("/home/local disk/x", "xfs", False),
        ("/homestead", "ext4", False),
        ("/mnt/ssh/x", "fuse.sshfs", True),
        ("/over/x", "nfs", True),
    ],
)
def test_file_system_of_a_path(tmp_path: Path, path: str, kind: str, network: bool) -> None:
    """The longest mount point above a path decides, the later of two on one point."""
    table = tmp_path / "mountinfo"
    table.write_text(MOUNTS)
    assert file_system_type(Path(path), table) == kind
    assert is_network(Path(path), table) is network


def test_unknown_is_local(tmp_path: Path) -> None:
    """Without a mount table everything counts as local."""
    assert not is_network(tmp_path, tmp_path / "missing")
