"""Inverse temperatures of a solve: given, or chosen from the Hamiltonian; of one unit, and of many at once."""

import numpy as np
import pytest

from annealtrain import anneal
from annealtrain.hamiltonian.layer_problem import LayerProblem
from annealtrain.solvers.annealing.simulated_annealing import SimulatedAnnealing
from annealtrain.solvers.annealing.temperatures import Cooling, automatic_beta_range, convex_beta_range, cooling
from annealtrain.testing import random_problem


def test_the_automatic_range_suits_the_top_and_the_lowest_bit():
    form = random_problem(N=6, bits=3).unit(0)
    first, last = automatic_beta_range(form)
    np.testing.assert_allclose(Cooling(50, "bit").of_unit(form), np.geomspace(first, last, 50))
    # 10 / A with A the typical |dE| of a top bit's flip, and 100 / (the curvature of the lowest bit), written out.
    f = form.h + 2 * form.J @ form.S0
    step = 2 * 0.5 / 7
    A = np.sqrt(np.mean((step * 4 * f) ** 2 + ((step * 4) ** 2 * np.diag(form.J)) ** 2))
    assert first == pytest.approx(10 / A)
    assert last == pytest.approx(100 / (step**2 * np.diag(form.J).mean()))


def test_given_temperatures_are_constant_or_geometric():
    form = random_problem(N=6, bits=3).unit(0)
    np.testing.assert_allclose(Cooling(3, "bit", beta_range=[1, 100]).of_unit(form), [1, 10, 100])
    np.testing.assert_allclose(Cooling(3, "bit", beta=7.0).of_unit(form), [7, 7, 7])
    assert Cooling(1, "bit", beta_range=[1, 100]).of_unit(form) == [100]  # one sweep is a cold one


def test_a_solver_has_the_cooling_of_its_settings():
    assert SimulatedAnnealing(5, beta_range=[1, 2], move="slice").cooling == Cooling(5, "slice", beta_range=[1, 2])
    assert SimulatedAnnealing(3, beta=2.0).cooling == Cooling(3, "bit", beta=2.0)


def test_given_betas_count_a_loss_per_output_site():
    """A convolution's loss is summed over its sites; the paper's runs annealed the mean over them."""
    generator = np.random.default_rng(0)
    inputs, targets = generator.normal(size=(60, 4)), generator.normal(size=(60, 2))
    form = LayerProblem.from_rows(inputs, targets, np.zeros((2, 4)), 0.5, 3, samples=10).unit(0)
    np.testing.assert_allclose(Cooling(2, "bit", beta=6.0).of_unit(form), [1, 1])
    np.testing.assert_allclose(Cooling(2, "bit", beta_range=[6, 60]).of_unit(form), [1, 10])


def test_slice_moves_start_colder():
    form = random_problem(N=20, bits=8).unit(0)
    bit, slices = (automatic_beta_range(form, move) for move in ("bit", "slice"))
    assert slices == pytest.approx((10 * bit[0], bit[1]))
    assert Cooling(5, "slice").of_unit(form)[0] == pytest.approx(slices[0])


@pytest.mark.parametrize("move", ["bit", "slice"])
@pytest.mark.parametrize("given", [{}, {"beta": 2.0}, {"beta_range": [1.0, 50.0]}])
def test_all_units_at_once_have_the_temperatures_of_each(move, given):
    problem, own = random_problem(M=4, N=7, dead=(2,)), Cooling(6, move, **given)
    forms = [problem.unit(i) for i in range(4)]
    live = forms[0].couplings.indices
    diagonal, gradients = forms[0].J.diagonal()[live], np.array([form.gradient(form.S0)[live] for form in forms])
    found = own.of_all_units(problem, diagonal, gradients)
    assert found.shape == (6, 4)
    for i, form in enumerate(forms):
        np.testing.assert_allclose(found[:, i], own.of_unit(form), rtol=1e-12)
        by_moments = own.of_moments(diagonal, gradients[i], problem.encoding.step, problem.bits, problem.sites)
        np.testing.assert_allclose(by_moments, own.of_unit(form), rtol=1e-12)


def test_all_units_of_a_general_ising_problem_have_the_temperatures_of_each():
    """J_jj = 0: the range comes from the sizes of all flips, unit by unit."""
    generator = np.random.default_rng(0)
    J = np.triu(generator.normal(size=(5, 5)), 1)
    problem = LayerProblem.from_moments(J + J.T, generator.normal(size=(3, 5)), np.zeros(3), np.zeros((3, 5)), 1.0, 2)
    forms = [problem.unit(i) for i in range(3)]
    gradients = np.array([form.gradient(form.S0) for form in forms])
    found = Cooling(4, "bit").of_all_units(problem, np.zeros(5), gradients)
    np.testing.assert_allclose(found, np.transpose([Cooling(4, "bit").of_unit(form) for form in forms]), rtol=1e-12)


def test_greedy_moves_read_no_temperature_and_a_unit_of_dead_weights_has_none_of_its_own():
    problem = random_problem(M=2)
    np.testing.assert_array_equal(Cooling(3, "greedy").of_all_units(problem, np.ones(5), np.ones((2, 5))), 1)
    np.testing.assert_array_equal(Cooling(3, "bit").of_moments(np.zeros(0), np.zeros(0), 0.1, 2, 1.0), 1)


def test_no_range_is_colder_than_float32_tells_apart():
    """Of a curvature so small that 100 / curvature is beyond 1e15 times the first, and of one that asks for a rise."""
    first, last = convex_beta_range(np.array([1e-30]), np.array([1.0]), 0.1, 2, "bit")
    assert last == pytest.approx(1e15 * first)
    first, last = convex_beta_range(np.array([1e6]), np.array([1e-9]), 0.1, 1, "slice")
    assert last >= first


@pytest.mark.parametrize("step", [1e-320, 1e-80])
def test_a_grid_that_vanishes_has_finite_temperatures(step):
    for field in (0.0, 1.0):
        first, last = convex_beta_range(np.array([1e-9]), np.array([field]), step, 8, "bit")
        assert 0 < first <= last < np.inf


def test_cooling_ends_at_its_last_temperature_exactly():
    """Rounding must not leave the last sweep warmer, for numbers and for arrays."""
    found = cooling(np.array([1.0, 0.3]), np.array([7.0, 1e9]), 5)
    np.testing.assert_allclose(found, np.transpose([np.geomspace(1, 7, 5), np.geomspace(0.3, 1e9, 5)]), rtol=1e-12)
    np.testing.assert_allclose(found[-1], [7.0, 1e9], rtol=1e-15)
    np.testing.assert_array_equal(found[0], [1.0, 0.3])


def glass(N, *, convex, diagonal=0.0, spread=1.0):
    """A Sherrington-Kirkpatrick glass of N spins, with a diagonal, which spins do not notice; spread: of its rows."""
    generator = np.random.default_rng(0)
    J = np.triu(generator.normal(size=(N, N)), 1)
    scale = spread ** generator.uniform(-1, 1, N)
    J = (J + J.T) * np.outer(scale, scale) + np.diag(np.full(N, diagonal))
    return LayerProblem.from_moments(J, np.zeros((1, N)), np.zeros(1), np.zeros((1, N)), 1.0, 1, convex=convex)


@pytest.mark.parametrize(("diagonal", "spread"), [(0.0, 1.0), (5.0, 1.0), (0.0, 4.0), (5.0, 4.0)])
def test_the_automatic_range_suits_spin_glasses(diagonal, spread):
    """It comes within a few percent of a long run of a range set by hand, with couplings alike in size and not."""
    problem = glass(256, convex=None, diagonal=diagonal, spread=spread)
    constant = 256 * diagonal
    best = SimulatedAnnealing(2000, num_reads=16, beta_range=[0.005, 1.0]).solve(problem).energies[0, 0] - constant
    found = SimulatedAnnealing(100, num_reads=16).solve(problem).energies[0, 0] - constant
    assert found < 0.98 * best


def test_spins_of_a_positive_diagonal_are_annealed_as_hot_as_they_ask_for():
    """A J that is not convex has no bowl to begin in; one that is said to be convex keeps its own range."""
    size = 2 * np.sqrt(((2 * glass(40, convex=False).unit(0).J) ** 2).sum(axis=1))
    wanted = (0.5 / np.median(size), 30 / np.median(size))
    assert automatic_beta_range(glass(40, convex=False).unit(0)) == pytest.approx(wanted)
    hot, cold = (automatic_beta_range(glass(40, convex=convex, diagonal=0.1).unit(0)) for convex in (False, True))
    assert hot == pytest.approx(wanted, rel=1e-2)
    assert cold[0] > 20 * hot[0]
    found = glass(40, convex=None, diagonal=0.1)
    assert automatic_beta_range(found.unit(0)) == hot
    whole = Cooling(5, "bit").of_all_units(found, found.unit(0).J.diagonal(), np.zeros((1, 40)))
    np.testing.assert_allclose(whole[:, 0], np.geomspace(*hot, 5))
    told, known = (glass(40, convex=convex, diagonal=30.0).unit(0) for convex in (None, True))  # shifted until it is
    assert automatic_beta_range(told) == automatic_beta_range(known)


def test_what_anneal_is_given_may_have_any_diagonal():
    """The user's J: nobody has said whether it is convex."""
    J = glass(128, convex=False, diagonal=1.0).unit(0).J
    best = anneal(J, np.zeros(128), bits=1, num_sweeps=2000, num_reads=16, beta_range=[0.005, 1.0]).energies[0, 0]
    found = anneal(J, np.zeros(128), bits=1, num_sweeps=100, num_reads=16).energies[0, 0]
    assert found - 128 < 0.98 * (best - 128)
