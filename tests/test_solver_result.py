"""What a solve returns, as other tools have it: a table, dimod's sample sets, and the certified gap."""

import dimod
import numpy as np
import pytest

from annealtrain.hamiltonian.layer_problem import LayerProblem
from annealtrain.solvers.annealing.simulated_annealing import SimulatedAnnealing
from annealtrain.solvers.solver import relative_gap
from annealtrain.testing import random_problem


@pytest.fixture(params=[None, 0.1])
def solved(request):
    """A problem with a dead weight, of one J or of a J for each unit, and four reads of its three units."""
    problem = random_problem(N=4, bits=3, alpha=request.param, dead=(2,))
    return problem, SimulatedAnnealing(5, num_reads=4).solve(problem, seed=1)


def test_a_table_has_a_row_for_each_read_of_each_unit(solved):
    problem, result = solved
    table = result.to_dataframe()
    columns = ["unit", "read", "energy", "start_energy", "lower_bound", "levels", "weights"]
    assert list(table.columns) == columns
    assert list(zip(table.unit, table["read"], strict=True)) == [(i, r) for i in range(3) for r in range(4)]
    for row in table.itertuples():
        form = problem.unit(row.unit)
        np.testing.assert_array_equal(row.levels, result.levels[row.unit, row.read])
        np.testing.assert_array_equal(row.weights, result.weights[row.unit, row.read])
        assert row.energy == pytest.approx(form.energy(row.weights), rel=1e-12)
        assert row.start_energy == pytest.approx(form.energy(form.S0), rel=1e-12)
        assert row.lower_bound == result.lower_bounds[row.unit]
    best = table[table["read"] == 0]
    np.testing.assert_array_equal(np.stack(best.weights), result.best_weights)
    assert (table.groupby("unit").energy.min() == best.set_index("unit").energy).all()


def test_a_sample_set_has_the_spins_and_the_loss_that_dimod_computes(solved):
    problem, result = solved
    for unit in range(3):
        found = result.sampleset(unit)
        assert found.vartype is dimod.SPIN
        assert list(found.variables) == list(range(4 * 3))
        np.testing.assert_array_equal(found.record.energy, result.energies[unit])
        model = problem.to_bqm(unit)
        np.testing.assert_allclose(model.energies(found), result.energies[unit], rtol=1e-9)
        assert found.first.energy == result.energies[unit, 0]
        np.testing.assert_array_equal(problem.encoding.levels(found.record.sample), result.levels[unit])


def test_the_gap_is_that_of_the_sums_over_units(solved):
    _, result = solved
    energy, start, bound = (x.sum() for x in (result.energies[:, 0], result.start_energies, result.lower_bounds))
    assert result.gap == pytest.approx((energy - bound) / (start - bound))
    assert 0 <= result.gap < 1


def test_a_gap_is_not_negative_and_there_is_none_without_a_bound_or_room():
    assert relative_gap(3.0, 5.0, 1.0) == 0.5
    assert relative_gap(1.0 - 1e-12, 5.0, 1.0) == 0.0  # below its bound by rounding
    assert relative_gap(1.0, 1.0, 1.0) == 0.0  # nothing to gain
    assert np.isnan(relative_gap(3.0, 5.0, -np.inf))


def test_a_table_of_a_problem_that_is_not_convex_has_no_bounds():
    problem = LayerProblem.from_moments(-np.eye(2), np.ones((1, 2)), np.zeros(1), np.zeros((1, 2)), 1.0, 2)
    result = SimulatedAnnealing(5).solve(problem)
    assert np.isneginf(result.to_dataframe().lower_bound).all()
    assert np.isnan(result.gap)
