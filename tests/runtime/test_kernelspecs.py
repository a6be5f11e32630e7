"""Finding kernels and making their command lines."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import pytest

from runt.errors import KernelNotFound, SocketPathTooLong
from runt.runtime.connection import make_connection, read_connection
from runt.runtime.kernelspecs import LAUNCHER, find_kernelspec, list_kernelspecs, with_launcher


@pytest.fixture
def installed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A directory of kernelspecs: ``deno`` with a wrong interrupt mode, a Julia, another Python."""
    specs = {
        "deno": {"argv": ["/x/deno", "jupyter", "--conn", "{connection_file}"], "language": "typescript"},
        "julia-1.10": {"argv": ["julia", "{resource_dir}", "{connection_file}", "{other}"],
                       "language": "julia", "interrupt_mode": "message", "env": {"A": "1"}},
        "venv": {"argv": ["/v/bin/python", "-Xfrozen_modules=off", "-m", "ipykernel_launcher", "-f",
                          "{connection_file}"], "language": "python"},
    }  # fmt: skip
    for name, spec in specs.items():
        directory = tmp_path / "kernels" / name
        directory.mkdir(parents=True)
        (directory / "kernel.json").write_text(json.dumps({"display_name": name.title(), **spec}))
    monkeypatch.setenv("JUPYTER_PATH", str(tmp_path))
    return tmp_path


def test_find_by_name_language_and_default(installed: Path) -> None:
    """The name wins (in any case), then the language, then the Python that runt runs in."""
    assert find_kernelspec("DENO").name == "deno"
    assert find_kernelspec(language="Julia").name == "julia-1.10"
    assert find_kernelspec("gone", "julia").name == "julia-1.10"
    assert find_kernelspec().argv[:2] == (sys.executable, str(LAUNCHER))
    assert find_kernelspec(language="python").name == "python3"


def test_unknown_kernels_are_listed(installed: Path) -> None:
    """The error names what was asked for and what there is."""
    with pytest.raises(KernelNotFound, match="fortran") as caught:
        find_kernelspec("fortran")
    assert {"deno", "julia-1.10", "python3", "venv"} <= set(caught.value.known)
    with pytest.raises(KernelNotFound):
        find_kernelspec(language="cobol")


def test_quirks_override_the_kernelspec(installed: Path) -> None:
    """Deno gets tcp and message interrupts; others what their kernelspec says."""
    specs = {spec.name: spec for spec in list_kernelspecs()}
    assert (specs["deno"].interrupt_mode, specs["deno"].transport) == ("message", "tcp")
    assert (specs["julia-1.10"].interrupt_mode, specs["julia-1.10"].transport) == ("message", "ipc")
    assert (specs["venv"].interrupt_mode, specs["venv"].env) == ("signal", {})


def test_commands_are_filled_in(installed: Path) -> None:
    """Known placeholders are replaced once, unknown ones kept, and ipykernel is started by our launcher."""
    julia = find_kernelspec("julia-1.10")
    folder = str(installed / "kernels" / "julia-1.10")
    assert julia.command("{resource_dir}") == ["julia", folder, "{resource_dir}", "{other}"]
    venv = find_kernelspec("venv").command("/c")
    assert venv == ["/v/bin/python", "-Xfrozen_modules=off", str(LAUNCHER), "-f", "/c"]
    assert with_launcher(["python3.11", "-m", "other"]) == [sys.executable, "-m", "other"]
    assert with_launcher([]) == []


def test_connections() -> None:
    """An ipc connection lies in its directory, a tcp one on this host; both can be read back; keys differ."""
    ipc = make_connection(Path("/tmp/x"), "python3")
    assert ipc.endpoints[0] == "ipc:///tmp/x/k-2"
    tcp = make_connection(Path("/tmp/x"), "deno", "tcp")
    assert all(endpoint.startswith("tcp://127.0.0.1:") for endpoint in tcp.endpoints)
    assert len(set(tcp.endpoints)) == 4
    assert read_connection(tcp.text) == tcp
    assert ipc.key != tcp.key
    with pytest.raises(SocketPathTooLong):
        make_connection(Path("/tmp/" + "x" * 120), "python3")
