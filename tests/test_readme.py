"""The README keeps its word: its commands are the ones that are tested."""

from __future__ import annotations

from pathlib import Path

ROOT = Path(__file__).parent.parent


def test_ci_calls_exactly_the_test_command_of_the_readme() -> None:
    """The second command of the README stands in .ci/run, word for word."""
    command = "python3 -m pip install -q uv && python3 -m uv run --group test pytest"
    assert f"\n{command}\n" in (ROOT / "README.md").read_text()
    assert f"\n{command}\n" in (ROOT / ".ci" / "run").read_text()


def test_the_readme_opens_the_bundled_example() -> None:
    """The first command opens a notebook that is in the repository."""
    command = "python3 -m pip install -q uv && python3 -m uv run runt examples/tour.ipynb"
    assert f"\n{command}\n" in (ROOT / "README.md").read_text()
    assert (ROOT / "examples" / "tour.ipynb").is_file()


def test_no_lock_file_is_tracked() -> None:
    """Lock files record download addresses; they stay out of the repository."""
    assert "uv.lock" in (ROOT / ".gitignore").read_text().split()
