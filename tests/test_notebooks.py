"""The notebooks of examples/ run as they stand, and what they show is there."""

import base64
import io
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from conftest import Outcome, finished, started

nbformat = pytest.importorskip("nbformat", reason="nbformat is not installed: pip install 'annealtrain[test]'")
pytest.importorskip("matplotlib_inline", reason="IPython is not installed: pip install 'annealtrain[test]'")

# All are run once, by one process, for all of these tests.
pytestmark = [pytest.mark.slow, pytest.mark.xdist_group("notebooks")]

ROOT = Path(__file__).resolve().parents[1]
PATHS = sorted((ROOT / "examples").glob("*.ipynb"))
NAMES = [path.stem for path in PATHS]


@pytest.fixture(scope="module")
def ran(tmp_path_factory: pytest.TempPathFactory) -> tuple[dict[str, Any], Outcome]:
    """The notebooks with what their cells show, by name, and what the process that ran them says."""
    folder = tmp_path_factory.mktemp("notebooks")
    command = [sys.executable, str(ROOT / "docs/make/notebooks.py"), str(folder), *map(str, PATHS)]
    outcome = finished(started(command, folder), timeout=300)
    assert outcome.code == 0, outcome
    return {path.stem: nbformat.read(folder / path.name, as_version=4) for path in PATHS}, outcome


def code(ran: tuple[dict[str, Any], Outcome], name: str) -> list[Any]:
    return [cell for cell in ran[0][name].cells if cell.cell_type == "code"]


def cell_with(ran: tuple[dict[str, Any], Outcome], name: str, part: str) -> Any:
    """The first cell of a notebook whose source has a part."""
    return next(cell for cell in code(ran, name) if part in cell.source)


def shown(cell: Any, kind: str) -> str:
    """What a cell shows of a kind, such as text/plain."""
    return "".join(output.data[kind] for output in cell.outputs if kind in output.get("data", {}))


def printed(cell: Any) -> str:
    return "".join(output.text for output in cell.outputs if output.output_type == "stream")


def pixels(cell: Any) -> np.ndarray:
    from matplotlib.image import imread

    return imread(io.BytesIO(base64.b64decode(shown(cell, "image/png"))))[..., :3]


@pytest.mark.parametrize("name", NAMES)
def test_a_notebook_runs_in_silence_and_is_kept_without_outputs(name: str, ran: tuple[dict[str, Any], Outcome]) -> None:
    loud = [o.text for c in code(ran, name) for o in c.outputs if o.output_type == "stream" and o.name == "stderr"]
    assert loud == []
    assert ran[1].err == ""
    kept = nbformat.read(ROOT / "examples" / f"{name}.ipynb", as_version=4)
    assert [cell.source for cell in kept.cells if cell.get("outputs")] == []


@pytest.mark.parametrize("name", NAMES)
def test_plots_are_shown_and_none_is_blank(name: str, ran: tuple[dict[str, Any], Outcome]) -> None:
    drawn = [cell for cell in code(ran, name) if "plt.show()" in cell.source or "run.plot()" in cell.source]
    assert drawn or name == "own_machine"
    for cell in drawn:
        image = pixels(cell)
        assert min(image.shape[:2]) > 100
        assert image.std() > 0.01  # blank is one colour


def test_a_run_tells_what_it_is(ran: tuple[dict[str, Any], Outcome]) -> None:
    assert "lenet, digits" in shown(cell_with(ran, "quickstart", "annealtrain.train("), "text/plain")
    told = shown(cell_with(ran, "quickstart", "problem = run.problem(layer=4)\nproblem"), "text/plain")
    assert "LayerProblem(10 units of 84 weights" in told


def test_plots_that_follow_a_runs_own_are_drawn_in_the_same_notebook(ran: tuple[dict[str, Any], Outcome]) -> None:
    sources = [cell.source for cell in code(ran, "quickstart")]
    assert sources.index("run.plot()") < next(at for at, source in enumerate(sources) if "plt.plot" in source)


def test_what_the_notebooks_say_comes_true(ran: tuple[dict[str, Any], Outcome]) -> None:
    mine, exact = (line.partition("[")[2] for line in printed(cell_with(ran, "own_machine", '"exact"')).splitlines())
    assert mine == exact
    (values,) = printed(cell_with(ran, "n_bit_networks", "np.unique")).splitlines()
    assert len(values.partition("[")[2].partition("]")[0].split()) == 2  # one bit
    errors = [line.split() for line in printed(cell_with(ran, "n_bit_networks", "np.rint")).splitlines()]
    assert all(float(words[-1]) < float(words[3].rstrip(",")) for words in errors)
    assert printed(cell_with(ran, "hamiltonian", "exact finds")).startswith("exact finds the lowest: True")
    before, after = map(float, printed(cell_with(ran, "hamiltonian", "run.set_unit")).split())
    assert after < before
