"""The notebooks of examples/ run as they stand, and what they show is there."""

import base64
import io
from pathlib import Path
from typing import Any

import numpy as np
import pytest

nbformat = pytest.importorskip("nbformat", reason="nbclient is not installed: pip install 'annealtrain[test]'")
nbclient = pytest.importorskip("nbclient", reason="nbclient is not installed: pip install 'annealtrain[test]'")

# Its cells are run once, for all of these tests.
pytestmark = [pytest.mark.slow, pytest.mark.xdist_group("quickstart")]

EXAMPLES = Path(__file__).parents[1] / "examples"
LIMIT_S = 300  # a cell


@pytest.fixture(scope="module")
def quickstart(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """The cells of the quickstart by their source, run in an empty folder."""
    notebook = nbformat.read(EXAMPLES / "quickstart.ipynb", as_version=4)
    where = {"metadata": {"path": str(tmp_path_factory.mktemp("notebook"))}}
    nbclient.NotebookClient(notebook, timeout=LIMIT_S, kernel_name="python3", resources=where).execute()
    return {cell.source: cell for cell in notebook.cells if cell.cell_type == "code"}


def shown(cell: Any, kind: str) -> str:
    """What a cell shows of a kind, such as text/plain."""
    return "".join(output.data[kind] for output in cell.outputs if kind in output.get("data", {}))


def pixels(cell: Any) -> np.ndarray:
    from matplotlib.image import imread

    return imread(io.BytesIO(base64.b64decode(shown(cell, "image/png"))))[..., :3]


def test_the_quickstart_runs_in_silence(quickstart: dict[str, Any]) -> None:
    loud = [o.text for c in quickstart.values() for o in c.outputs if o.output_type == "stream" and o.name == "stderr"]
    assert loud == []


def test_a_run_tells_what_it_is(quickstart: dict[str, Any]) -> None:
    first = next(cell for source, cell in quickstart.items() if "annealtrain.train(" in source)
    assert "lenet, digits" in shown(first, "text/plain")
    assert "LayerProblem(120 units of 400 weights" in shown(
        quickstart["problem = run.problem(layer=2)\nproblem"], "text/plain"
    )


def test_plots_are_shown_and_those_that_follow_are_not_blank(quickstart: dict[str, Any]) -> None:
    own = next(cell for source, cell in quickstart.items() if "plt.plot" in source)
    for cell in (quickstart["run.plot()"], own):
        image = pixels(cell)
        assert min(image.shape[:2]) > 100
        assert image.std() > 0.01  # blank is one colour
