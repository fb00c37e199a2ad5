"""The notebooks of examples/ run as they stand, and what they show is there."""

import base64
import io
from typing import Any

import numpy as np
import pytest

nbformat = pytest.importorskip("nbformat", reason="nbformat is not installed: pip install 'annealtrain[test]'")
pytest.importorskip("matplotlib_inline", reason="IPython is not installed: pip install 'annealtrain[test]'")

from example_notebooks import PATHS, ran  # noqa: E402

pytestmark = [pytest.mark.slow, pytest.mark.xdist_group("notebooks")]
NAMES = [path.stem for path in PATHS]


def code(name: str) -> list[Any]:
    return [cell for cell in ran()[0][name].cells if cell.cell_type == "code"]


def cell_with(name: str, part: str) -> Any:
    """The first cell of a notebook whose source has a part."""
    return next(cell for cell in code(name) if part in cell.source)


def shown(cell: Any, kind: str) -> str:
    """What a cell shows of a kind, such as text/plain."""
    return "".join(output.data[kind] for output in cell.outputs if kind in output.get("data", {}))


def printed(cell: Any) -> str:
    return "".join(output.text for output in cell.outputs if output.output_type == "stream")


def pixels(cell: Any) -> np.ndarray:
    from matplotlib.image import imread

    return imread(io.BytesIO(base64.b64decode(shown(cell, "image/png"))))[..., :3]


@pytest.mark.parametrize("name", NAMES)
def test_a_notebook_runs_in_silence_and_is_kept_without_outputs(name: str) -> None:
    loud = [o.text for c in code(name) for o in c.outputs if o.output_type == "stream" and o.name == "stderr"]
    assert loud == []
    assert ran()[1].err == ""
    (kept,) = (nbformat.read(path, as_version=4) for path in PATHS if path.stem == name)
    assert [cell.source for cell in kept.cells if cell.get("outputs")] == []


@pytest.mark.parametrize("name", NAMES)
def test_plots_are_shown_and_none_is_blank(name: str) -> None:
    drawn = [cell for cell in code(name) if "plt.show()" in cell.source or "run.plot()" in cell.source]
    assert drawn or name == "own_machine"
    for cell in drawn:
        image = pixels(cell)
        assert min(image.shape[:2]) > 100
        assert image.std() > 0.01  # blank is one colour


def test_a_run_tells_what_it_is() -> None:
    assert "lenet, digits" in shown(cell_with("quickstart", "annealtrain.train("), "text/plain")
    told = shown(cell_with("quickstart", "problem = run.problem(layer=4)\nproblem"), "text/plain")
    assert "LayerProblem(10 units of 84 weights" in told


def test_plots_of_ones_own_follow_a_runs_in_the_same_notebook() -> None:
    sources = [cell.source for cell in code("quickstart")]
    assert sources.index("run.plot()") < next(at for at, source in enumerate(sources) if "plt.plot" in source)


def test_what_the_notebooks_say_comes_true() -> None:
    mine, exact = (line.partition("[")[2] for line in printed(cell_with("own_machine", '"exact"')).splitlines())
    assert mine == exact
    (values,) = printed(cell_with("n_bit_networks", "np.unique")).splitlines()
    assert len(values.partition("[")[2].partition("]")[0].split()) == 2  # one bit
    errors = [line.split() for line in printed(cell_with("n_bit_networks", "np.rint")).splitlines()]
    assert all(float(words[-1]) < float(words[3].rstrip(",")) for words in errors)
    assert printed(cell_with("hamiltonian", "exact finds")).startswith("exact finds the lowest: True")
    before, after = map(float, printed(cell_with("hamiltonian", "run.set_unit")).split())
    assert after < before
