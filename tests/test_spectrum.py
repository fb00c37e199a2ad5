"""`annealtrain spectrum`, and the energies that it draws, against all states counted one by one."""

from collections.abc import Callable
from itertools import product
from pathlib import Path

import numpy as np
import pytest
from conftest import SMALL

from annealtrain.hamiltonian.layer_problem import LayerProblem
from annealtrain.reports import spectrum_plots, style
from annealtrain.runs.tables import read_rows
from annealtrain.solvers.spectrum import spectrum
from annealtrain.testing import random_problem


def test_all_states_are_counted() -> None:
    form = random_problem(M=1, N=4, bits=2, dead=[1]).unit(0)
    found = spectrum(form)
    levels = np.array([(a, 0, b, c) for a, b, c in product(range(4), repeat=3)])  # the dead weight counts once
    energies = np.sort(form.energy(form.weights(levels)))
    assert found.is_counted
    assert found.log2_states == 6
    np.testing.assert_allclose(found.energies, energies, rtol=1e-12)
    assert found.states.tolist() == [1] * 64
    assert found.gap == pytest.approx(energies[1] - energies[0])
    assert found.density.sum() == 64
    live = form.live_part().J
    np.testing.assert_allclose(found.eigenvalues, np.linalg.eigvalsh(live))
    assert found.condition == pytest.approx(np.linalg.cond(live))
    assert found.present == pytest.approx(form.energy(form.S0))


def test_states_of_one_energy() -> None:
    # (s1 + s2 + s3 + s4)^2 of spins: 0, 4 and 16 for 6, 8 and 2 states; a ternary weight has three.
    problem = LayerProblem.from_moments(np.ones((4, 4)), np.zeros((1, 4)), [0.0], np.zeros((1, 4)), 1.0, 1)
    found = spectrum(problem.unit(0))
    np.testing.assert_allclose(found.energies, [0, 4, 16], atol=1e-12)
    assert found.states.tolist() == [6, 8, 2]
    assert (found.degeneracy, found.gap) == (6, pytest.approx(4))
    ternary = LayerProblem.from_moments([[1.0]], [[0.0]], [0.0], [[0.0]], 1.0, None, num_levels=3)
    assert spectrum(ternary.unit(0)).states.tolist() == [1, 2]


def test_no_weight_that_moves_the_energy() -> None:
    problem = LayerProblem.from_moments(np.zeros((2, 2)), [[0.0, 0.0]], [3.0], np.zeros((1, 2)), 1.0, 4)
    found = spectrum(problem.unit(0))
    assert (found.energies.tolist(), found.states.tolist(), found.eigenvalues) == ([3.0], [1], None)
    with style.styled():
        drawn(found)


def test_larger_units_have_reads_and_chance() -> None:
    form = random_problem(M=1, N=9, bits=4).unit(0)
    found = spectrum(form, num_reads=50)
    assert not found.is_counted
    assert found.log2_states == 36
    assert found.reads is not None
    assert (found.reads.sum(), found.density.sum(), found.states.sum()) == (50, 50, 50)
    assert found.energies[0] < found.edges[np.flatnonzero(found.density)[0]]
    again = spectrum(form, num_reads=50)
    np.testing.assert_array_equal(found.energies, again.energies)


def drawn(found):
    names = ("energies", "states", "edges", "density", "reads", "present", "eigenvalues", "condition")
    return spectrum_plots.drawn("a unit", **{name: getattr(found, name) for name in names})


def test_the_figure_holds_the_numbers() -> None:
    found = spectrum(random_problem(M=1, N=4, bits=2).unit(0))
    with style.styled():
        density, lowest, eigenvalues = drawn(found).axes
        assert density.patches[0].get_data().values.sum() == 256
        np.testing.assert_allclose(lowest.lines[0].get_ydata(), found.energies[:40] - found.energies[0])
        np.testing.assert_allclose(eigenvalues.lines[0].get_ydata(), found.eigenvalues[::-1])


def test_the_command(cli: Callable, refused: Callable, tmp_path: Path) -> None:
    assert cli("train", *SMALL, "bits=2", "hydra.run.dir=run").code == 0
    outcome = cli("spectrum", "run", "--layer", "1", "--unit", "2", "--reads", "20")
    assert outcome.code == 0, outcome.err
    first, *lines = outcome.out.splitlines()
    assert first == "layer 1, unit 2 after 2 epochs:"
    paths = [Path(line) for line in lines if line.startswith("run/")]
    assert [path.name.removeprefix("layer1_unit2_") for path in paths] == [
        *("spectrum.png", "spectrum.pdf", "levels.csv", "density.csv", "eigenvalues.csv")
    ]
    levels = read_rows(tmp_path / paths[2])
    assert len(levels) == 1000
    assert levels[0]["states"] >= 1
    assert f"lowest energy {levels[0]['energy']:.6g}, of {levels[0]['states']} of them" in outcome.out
    assert sum(row["states"] for row in read_rows(tmp_path / paths[3])) == 2**16
    assert "exists: give --output another name, or add --force" in refused("spectrum", "run", "--layer=1", "--unit=2")
    assert cli("spectrum", "run", "--layer=1", "--unit=2", "--force", "--reads=20").code == 0
    assert cli("eval", "run").code == 0  # the run's own files are as they were
    few = cli("spectrum", *SMALL, "bits=4", "--reads=1", "--output=few").out
    assert "of 1 of 1 reads; at the present weights" in few  # of one energy there is no gap
    assert "--output is missing" in refused("spectrum", *SMALL)
    assert "nor is there a run folder" in refused("spectrum", "lenett=3", "--output=new")
    assert "--reads=0 is not a whole number of at least 1" in refused("spectrum", "run", "--reads=0")
