"""The .ipynb format: ``read_ipynb`` and ``write_ipynb``, with the values between them.

A door, no more: reading is in ``ipynb_reader``, writing in ``ipynb_writer``, the values in
``file_notebook``. The invariant of the pair: ``write_ipynb(read_ipynb(data))`` is ``data``, byte for byte,
for every file that a known program writes, and says the same for any other.
"""

from __future__ import annotations

from runt.errors import NotebookFileError
from runt.notebook.file_notebook import FileCell, FileNotebook, FileStyle
from runt.notebook.ipynb_reader import read_ipynb
from runt.notebook.ipynb_writer import write_ipynb

__all__ = ["FileCell", "FileNotebook", "FileStyle", "NotebookFileError", "read_ipynb", "write_ipynb"]
