"""Between a notebook and its kernel: which one it asks for, where it starts, what it may write.

It starts nothing and asks the disk only for installed kernelspecs. The invariant: what the notebook names
is used or refused by name; a kernel of another language is never put in its place.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from runt.notebook.cell import CellKey

if TYPE_CHECKING:
    from runt.daemon.folding_ops import SetNextInput
    from runt.notebook.notebook_document import NotebookDocument
    from runt.runtime.kernelspecs import Kernelspec


def choose_kernel(metadata: Mapping[str, Any], asked: str | None = None) -> Kernelspec:
    """The kernelspec for a notebook with this metadata. Blocks: reads the disk, imports jupyter_client.

    ``asked`` wins; then kernelspec.name, kernelspec.language, language_info.name, python3.

    Raises:
        KernelNotFound: it is not installed, nor another kernel of the same language.
    """
    from runt.runtime.kernelspecs import find_kernelspec

    if asked:
        return find_kernelspec(asked)
    spec = _mapping(metadata.get("kernelspec"))
    language = _text(spec.get("language")) or _text(_mapping(metadata.get("language_info")).get("name"))
    return find_kernelspec(_text(spec.get("name")), language)


def write_language(notebook: NotebookDocument, info: Mapping[str, Any]) -> None:
    """At the first run, as nbclient does: language_info as the kernel says, kernelspec if the notebook
    names none.
    """
    metadata = notebook.metadata
    language, spec = info.get("language_info"), info.get("kernelspec")
    with notebook.transaction("daemon"):
        if spec is not None and "kernelspec" not in metadata:
            notebook.set_metadata("kernelspec", spec, "daemon")
        if language is not None and metadata.get("language_info") != language:
            notebook.set_metadata("language_info", language, "daemon")


def set_next_input(notebook: NotebookDocument, effect: SetNextInput) -> None:
    """What the kernel asks for: its cell's text replaced, or a new cell below it."""
    key = CellKey(effect.cell)
    if effect.replace and key in notebook:
        notebook.cell(key).set_source(effect.text, "daemon")
        return
    index = notebook.index(key) + 1 if key in notebook else len(notebook)
    notebook.insert_cell(index, "code", effect.text, origin="daemon")


def working_directory(asked: str | None, notebook: Path | None) -> str:
    """Where the kernel starts: where it was asked for, else beside the notebook, else at home. Must exist."""
    for candidate in (asked, str(notebook.parent) if notebook is not None else None, str(Path.home())):
        if candidate and Path(candidate).is_absolute() and Path(candidate).is_dir():
            return candidate
    return "/"


def _mapping(value: object) -> Mapping[str, Any]:
    return value if isinstance(value, dict) else {}


def _text(value: object) -> str | None:
    return value if isinstance(value, str) and value else None
