"""`runt run` against `jupyter execute`: the same outputs, and a file that validates."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import nbformat
import pytest

from tests.harness.house import House
from tests.harness.notebooks import VARIED, write_notebook

ROOT = Path(__file__).parent.parent.parent
ADDRESS = re.compile(r"0x[0-9a-f]{6,}")


def fold(text: str) -> str:
    """What a terminal shows of a stream, line by line: carriage returns and backspaces applied, nothing else."""
    lines = []
    for line in text.split("\n"):
        shown: list[str] = []
        column = 0
        for character in line:
            if character == "\r":
                column = 0
            elif character == "\b":
                column = max(0, column - 1)
            else:
                shown[column : column + 1] = [character]
                column += 1
        lines.append("".join(shown))
    return "\n".join(lines)


def comparable(notebook: Any) -> list[Any]:
    """The outputs of a notebook, streams of one name joined and folded, addresses masked."""
    result: list[Any] = []
    for cell in notebook.cells:
        outputs: list[dict[str, Any]] = []
        for output in cell.get("outputs", []):
            plain = json.loads(ADDRESS.sub("0x0", json.dumps(output)))
            if plain["output_type"] == "stream" and outputs and outputs[-1].get("name") == plain["name"]:
                outputs[-1]["text"] += plain["text"]
            else:
                outputs.append(plain)
        for output in outputs:
            if output["output_type"] == "stream":
                output["text"] = fold(output["text"])
        result.append({"count": cell.get("execution_count"), "outputs": outputs})
    return result


def jupyter_execute(source: Path, house: House, *options: str) -> Any:
    """Run a copy of the notebook with `jupyter execute` (the oracle) and return the result."""
    directory = house.root / "oracle"
    directory.mkdir()
    copy = directory / source.name
    shutil.copy(source, copy)
    subprocess.run(
        [sys.executable, "-c", "from nbclient.cli import main; main()", "--inplace", *options, str(copy)],
        env=house.environment,
        cwd=directory,
        check=True,
        capture_output=True,
        timeout=180,
    )
    return nbformat.read(copy, as_version=4)


@pytest.mark.parametrize("name", sorted(VARIED))
def test_outputs_equal_those_of_jupyter_execute(house: House, name: str) -> None:
    """A headless run leaves the outputs and counts that Jupyter leaves, in a file that validates."""
    path = write_notebook(house.path(f"{name}.ipynb"), VARIED[name])
    expected = jupyter_execute(path, house)
    done = house.runt("run", str(path))
    assert done.returncode == 0, done.stderr
    result = nbformat.read(path, as_version=4)
    nbformat.validate(result)
    assert comparable(result) == comparable(expected)


def test_the_tour_runs_like_in_jupyter(house: House) -> None:
    """The bundled example gives the outputs that Jupyter gives."""
    path = house.path("tour.ipynb")
    shutil.copy(ROOT / "examples" / "tour.ipynb", path)
    expected = jupyter_execute(path, house)
    done = house.runt("run", str(path))
    assert done.returncode == 0, done.stderr
    result = nbformat.read(path, as_version=4)
    nbformat.validate(result)
    assert comparable(result) == comparable(expected)


def test_an_old_notebook_keeps_its_minor_version(house: House) -> None:
    """A 4.2 notebook runs and stays a 4.2 notebook without cell ids."""
    path = write_notebook(house.path("old.ipynb"), ["1 + 1"], minor=2)
    assert house.runt("run", str(path)).returncode == 0
    raw = json.loads(path.read_text())
    assert raw["nbformat_minor"] == 2
    assert all("id" not in cell for cell in raw["cells"])
    assert raw["cells"][0]["outputs"][0]["data"]["text/plain"] == ["2"]


def test_a_failing_cell_stops_the_run_with_status_1(house: House) -> None:
    """The error is shown and saved, later cells do not run, the exit status is 1."""
    path = write_notebook(house.path("fails.ipynb"), ["print('before')", "1 / 0", "print('after')"])
    done = house.runt("run", str(path))
    assert done.returncode == 1
    assert "before" in done.stdout
    assert "ZeroDivisionError" in done.stdout + done.stderr
    cells = nbformat.read(path, as_version=4).cells
    assert cells[1].outputs[0].ename == "ZeroDivisionError"
    assert cells[2].outputs == []


def test_input_fails_where_nobody_can_answer(house: House) -> None:
    """A cell that asks ends with the kernel's own error instead of waiting for ever."""
    path = write_notebook(house.path("asks.ipynb"), ["name = input('Station? ')"])
    done = house.runt("run", str(path))
    assert done.returncode == 1
    assert "cell 1: StdinNotImplementedError" in done.stderr


def test_allow_errors_goes_on(house: House) -> None:
    """With --allow-errors later cells run, and the exit status is 0."""
    path = write_notebook(house.path("fails.ipynb"), ["1 / 0", "print('after')"])
    expected = jupyter_execute(path, house, "--allow-errors")
    done = house.runt("run", "--allow-errors", str(path))
    assert done.returncode == 0, done.stderr
    assert "after" in done.stdout
    assert comparable(nbformat.read(path, as_version=4)) == comparable(expected)


def test_output_goes_to_another_file_on_request(house: House) -> None:
    """With -o the result is written there and the notebook itself stays as it was, byte for byte."""
    path = write_notebook(house.path("in.ipynb"), ["6 * 7"])
    before = path.read_bytes()
    out = house.path("out.ipynb")
    done = house.runt("run", str(path), "-o", str(out))
    assert done.returncode == 0, done.stderr
    assert path.read_bytes() == before
    assert nbformat.read(out, as_version=4).cells[0].outputs[0].data["text/plain"] == "42"


def test_json_describes_every_cell(house: House) -> None:
    """--json prints one object with the status, count and outputs of each cell."""
    path = write_notebook(house.path("j.ipynb"), ["#md text", "print('hi')", "6 * 7"])
    report = house.json("run", str(path))
    assert report["status"] == "ok"
    assert [cell["status"] for cell in report["cells"]] == ["ok", "ok"]
    assert report["cells"][1]["execution_count"] == 2
    assert report["cells"][1]["outputs"][0]["data"]["text/plain"] == "42"


def test_no_kernel_is_left_running(house: House) -> None:
    """A headless run ends the kernel that it started."""
    path = write_notebook(house.path("k.ipynb"), ["1"])
    assert house.runt("run", str(path)).returncode == 0
    assert house.json("status")["kernels"] == []
