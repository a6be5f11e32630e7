"""What kind of file system a path is on: local, or shared over a network.

It does not touch the path. The invariant: "network" only when the mount table says so; unknown means local.
Sockets and `flock` do not work reliably on network file systems.
"""

from __future__ import annotations

from pathlib import Path

NETWORK_TYPES = frozenset(
    {"9p", "acfs", "afs", "afpfs", "beegfs", "ceph", "cifs", "coda", "davfs", "fhgfs", "gfs", "gfs2", "gpfs"}
    | {"lustre", "mfs", "ncpfs", "nfs", "nfs4", "ocfs2", "orangefs", "panfs", "pvfs2", "smb2", "smb3"}
    | {"smbfs", "vboxsf", "wekafs"}
)
NETWORK_FUSE = frozenset(
    {"sshfs", "s3fs", "rclone", "glusterfs", "ceph", "ceph-fuse", "davfs2", "gcsfuse", "juicefs", "goofys"}
    | {"moosefs", "lizardfs", "cvmfs2"}
)
"""Behind ``fuse.`` in the mount table."""

MOUNT_TABLE = Path("/proc/self/mountinfo")


def is_network(path: Path, mount_table: Path = MOUNT_TABLE) -> bool:
    """Whether `path` (which need not exist yet) is on a network file system. macOS: always False."""
    kind = file_system_type(path, mount_table)
    return kind in NETWORK_TYPES or (kind.startswith("fuse.") and kind[5:] in NETWORK_FUSE)


def file_system_type(path: Path, mount_table: Path = MOUNT_TABLE) -> str:
    """The type in the mount table ("ext4", "nfs4", …), or "" where there is no table (macOS)."""
    try:
        lines = mount_table.read_text(encoding="utf-8", errors="surrogateescape").splitlines()
    except OSError:
        return ""
    target = path.resolve()
    found, depth = "", -1
    for line in lines:
        fields = line.split(" ")
        try:
            point = Path(_unescape(fields[4]))
            kind = fields[fields.index("-", 6) + 1]
        except (IndexError, ValueError):
            continue  # a line in a form that we do not know says nothing about our path
        # ">=": a later mount on the same point hides the earlier one.
        if len(point.parts) >= depth and target.is_relative_to(point):
            found, depth = kind, len(point.parts)
    return found


def _unescape(field: str) -> str:
    """The kernel writes space, tab, newline and backslash as octal."""
    for code, character in (("\\040", " "), ("\\011", "\t"), ("\\012", "\n"), ("\\134", "\\")):
        field = field.replace(code, character)
    return field
