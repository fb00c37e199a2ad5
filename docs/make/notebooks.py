"""Run the notebooks of examples/ one after the other in this process, and write each with what its cells show.

    python docs/make/notebooks.py FOLDER examples/*.ipynb

A kernel of its own for each would take seconds to start. Each notebook begins with no names, in an empty folder.
"""

import base64
import os
import sys
import tempfile
from contextlib import chdir
from pathlib import Path
from typing import Any

import nbformat
from IPython.core.interactiveshell import InteractiveShell
from IPython.utils.capture import CapturedIO, capture_output
from nbformat.v4 import new_output
from traitlets.config import Config


def run(paths: list[Path]) -> dict[str, Any]:
    """Return the notebooks by the stems of their names, their cells with outputs; raises what a cell raises."""
    os.environ["MPLBACKEND"] = (
        "module://matplotlib_inline.backend_inline"  # as a kernel does, and its folder's modules:
    )
    sys.path.insert(0, "")
    with tempfile.TemporaryDirectory() as folder:
        os.environ["IPYTHONDIR"] = folder
        shell = InteractiveShell.instance(config=Config({"HistoryManager": {"enabled": False}}))
        try:
            return {path.stem: _run(shell, path) for path in paths}
        finally:
            InteractiveShell.clear_instance()


def _run(shell: InteractiveShell, path: Path) -> Any:
    notebook = nbformat.read(path, as_version=4)
    shell.reset()
    with tempfile.TemporaryDirectory() as folder, chdir(folder), shell.display_trap:
        for cell in notebook.cells:
            if cell.cell_type == "code":
                with capture_output() as captured:
                    shell.run_cell(cell.source).raise_error()
                cell.outputs = _outputs(captured)
    return notebook


def _outputs(captured: CapturedIO) -> list[Any]:
    """Return what a cell has printed and shown as a notebook holds it."""
    texts = {"stdout": captured.stdout, "stderr": captured.stderr}
    streams = [new_output("stream", name=name, text=text) for name, text in texts.items() if text]
    shown = [{kind: _text(part) for kind, part in output.data.items()} for output in captured.outputs]
    return [*streams, *(new_output("display_data", data=data) for data in shown)]


def _text(part: Any) -> Any:
    return base64.b64encode(part).decode() if isinstance(part, bytes) else part


if __name__ == "__main__":
    for name, notebook in run([Path(word).resolve() for word in sys.argv[2:]]).items():
        nbformat.write(notebook, Path(sys.argv[1]) / f"{name}.ipynb")
