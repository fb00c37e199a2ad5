"""Units of one J annealed together: the chains of the ordinary path, without its objects and bounds."""

import numpy as np
import pytest

from annealtrain.errors import InputError
from annealtrain.hamiltonian.layer_problem import LayerProblem
from annealtrain.runtime import thread_pool
from annealtrain.solvers.annealing.simulated_annealing import SimulatedAnnealing
from annealtrain.solvers.annealing.temperatures import automatic_beta_range
from annealtrain.testing import check_result


def problem(M=37, N=21, bits=5, seed=0, dead=(), convex=False, S0=0.0):
    generator = np.random.default_rng(seed)
    rows = generator.normal(size=(60, N))
    rows[:, list(dead)] = 0
    h = generator.normal(size=(M, N))
    h[:, list(dead)] = 0
    start = S0 * generator.normal(size=(M, N))
    return LayerProblem.from_moments(rows.T @ rows / 60, h, generator.normal(size=M), start, 0.3, bits, convex=convex)


@pytest.mark.parametrize("S0", [0.0, 1.0])
def test_greedy_chains_are_those_of_the_ordinary_path(S0):
    solver = SimulatedAnnealing(3, move="greedy", start="present")
    together = solver.solve(problem(S0=S0, dead=(4,)), seed=0)
    ordinary = solver.solve(problem(S0=S0, dead=(4,), convex=True), seed=0)
    np.testing.assert_array_equal(
        together.levels[:, 0, [j for j in range(21) if j != 4]], np.delete(ordinary.levels, 4, 2)[:, 0]
    )
    np.testing.assert_array_equal(together.weights, ordinary.weights)
    np.testing.assert_allclose(together.energies, ordinary.energies, rtol=1e-5, atol=1e-5)
    np.testing.assert_allclose(together.start_energies, ordinary.start_energies, rtol=1e-12)
    assert np.isneginf(together.lower_bounds).all()
    assert np.isfinite(ordinary.lower_bounds).all()


@pytest.mark.parametrize("move", ["bit", "slice"])
def test_random_moves_reach_low_energies_for_any_threads(move):
    solver, given = SimulatedAnnealing(200, move=move, start="present"), problem(M=20, N=8, bits=3)
    found = []
    for threads in (1, 3):
        with thread_pool.threads(threads):
            found.append(solver.solve(given, seed=5))
    np.testing.assert_array_equal(found[0].levels, found[1].levels)
    best = SimulatedAnnealing(400, num_reads=8, move="slice").solve(given, seed=1)
    assert found[0].energies.sum() <= best.energies[:, 0].sum() + 0.01 * abs(best.energies[:, 0].sum())
    other = solver.solve(given, seed=6)
    assert not np.array_equal(other.levels, solver.solve(given, seed=5).levels) or move == "slice"
    check_energies(given, found[0])


def check_energies(given, result):
    for i in range(given.num_units):
        np.testing.assert_allclose(result.energies[i], given.unit(i).energy(result.weights[i]), rtol=1e-4, atol=1e-5)


def test_beta_ranges_are_those_of_the_units():
    given, solver = problem(M=4), SimulatedAnnealing(7, start="present")
    ranges = np.array([automatic_beta_range(given.unit(i)) for i in range(4)])
    stats = solver.solve(given, seed=0).stats
    assert stats["beta_first"] == pytest.approx(ranges[:, 0].mean(), rel=1e-6)
    assert stats["beta_last"] == pytest.approx(ranges[:, 1].mean(), rel=1e-6)


def test_present_is_the_closest_level_on_every_path():
    # At beta = 0+ nothing decides; no sweep moves a greedy chain that is at its minimum already.
    given = LayerProblem.from_moments(np.eye(3), np.zeros((2, 3)), np.zeros(2), np.zeros((2, 3)), 1.0, 3, convex=True)
    result = SimulatedAnnealing(1, move="greedy", start="present").solve(given, seed=0)
    np.testing.assert_allclose(np.abs(result.weights), 1 / 7)
    check_result(given, result)


def test_no_live_weight_is_the_present_weights():
    given = LayerProblem.from_moments(
        np.zeros((3, 3)), np.zeros((2, 3)), np.ones(2), np.ones((2, 3)), 1.0, 3, convex=False
    )
    result = SimulatedAnnealing(2, move="greedy", start="present").solve(given, seed=0)
    np.testing.assert_array_equal(result.best_weights, np.ones((2, 3)))
    np.testing.assert_array_equal(result.energies[:, 0], result.start_energies)


def test_a_wrong_start_is_named():
    with pytest.raises(InputError, match="start='here' is not one of random, present"):
        SimulatedAnnealing(start="here")
