"""Which kernel a notebook asks for.

It starts nothing and asks the disk only for installed kernelspecs. The invariant: what the notebook names
is used or refused by name; a kernel of another language is never put in its place.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
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


def _mapping(value: object) -> Mapping[str, Any]:
    return value if isinstance(value, dict) else {}


def _text(value: object) -> str | None:
    return value if isinstance(value, str) and value else None
