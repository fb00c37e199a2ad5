"""The notebooks of examples/, run once for all tests that look at them."""

import functools
import sys
import tempfile
from pathlib import Path
from typing import Any

import nbformat
from conftest import Outcome, finished, started

ROOT = Path(__file__).resolve().parents[1]
PATHS = sorted((ROOT / "examples").glob("*.ipynb"))


@functools.cache
def ran() -> tuple[dict[str, Any], Outcome]:
    """Return the notebooks with what their cells show, by name, and what the process that ran them says."""
    with tempfile.TemporaryDirectory() as folder:
        command = [sys.executable, str(ROOT / "docs/make/notebooks.py"), folder, *map(str, PATHS)]
        outcome = finished(started(command, Path(folder)), timeout=300)
        assert outcome.code == 0, outcome
        return {path.stem: nbformat.read(Path(folder, path.name), as_version=4) for path in PATHS}, outcome
