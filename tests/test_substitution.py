"""Ranges of units, groups and weights, and numbers of levels: the same answers as by counting every state."""

import itertools

import numpy as np
import pytest

from annealtrain.hamiltonian.layer_problem import LayerProblem
from annealtrain.hamiltonian.substitution import of_one_range
from annealtrain.solvers.annealing.path_integral import SimulatedQuantumAnnealing
from annealtrain.solvers.annealing.reference import ReferenceAnnealing
from annealtrain.solvers.annealing.simulated_annealing import SimulatedAnnealing
from annealtrain.solvers.coordinate_descent import CoordinateDescent, RoundedLeastSquares
from annealtrain.solvers.dimod_samplers import neal
from annealtrain.solvers.exact import Exact
from annealtrain.solvers.gate_model.imaginary_time import ImaginaryTimeCircuit
from annealtrain.solvers.lattice.babai import Babai, Klein
from annealtrain.solvers.lattice.beam import Beam
from annealtrain.testing import check_result

M, N = 3, 4
RANGES = {
    "one": 0.5,
    "unit": np.array([0.2, 0.5, 0.9]),
    "column": np.array([[0.2], [0.5], [0.9]]),
    "group": np.array([[0.2, 0.6], [0.5, 0.4], [0.9, 0.3]]),
    "weight": np.random.default_rng(7).uniform(0.2, 0.9, (M, N)),
    "same of all units": np.repeat([[0.2, 0.3, 0.5, 0.9]], M, axis=0) * np.array([[1.0], [2.0], [0.5]]),
}
GRIDS = {"2 bits": (2, None), "ternary": (None, 3), "five": (None, 5)}
KINDS = ("one J", "a J each", "ridge", "dead weights")


def problem(ranges: str, grid: str = "2 bits", kind: str = "one J") -> LayerProblem:
    generator = np.random.default_rng(3)
    inputs, targets = generator.normal(size=(40, N)), generator.normal(size=(40, M))
    S0 = generator.normal(size=(M, N)) * 0.3
    factors = np.where(inputs @ S0.T > 0, 1.0, 0.1) if kind == "a J each" else None
    if kind == "dead weights":
        inputs[:, [0, 2]] = 0
    bits, levels = GRIDS[grid]
    ridge = 0.3 if kind == "ridge" else 0.0
    rows = {"factors": factors, "ridge": ridge, "samples": 20}
    return LayerProblem.from_rows(inputs, targets, S0, RANGES[ranges], bits, num_levels=levels, **rows)


def every_level(given: LayerProblem) -> np.ndarray:
    return np.array(list(itertools.product(range(given.encoding.top_level + 1), repeat=N)))


def ground(given: LayerProblem) -> np.ndarray:
    """The lowest energy of each unit, by its own formula at every state."""
    levels = every_level(given)
    return np.array([form.energy(form.weights(levels)).min() for form in map(given.unit, range(M))])


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("grid", GRIDS)
@pytest.mark.parametrize("ranges", RANGES)
def test_the_ground_state_is_that_of_every_state_counted(ranges, grid, kind):
    given = problem(ranges, grid, kind)
    result = Exact().solve(given)
    check_result(given, result)
    np.testing.assert_allclose(result.energies[:, 0], ground(given), rtol=1e-10)
    if kind == "dead weights":
        np.testing.assert_array_equal(result.best_weights[:, [0, 2]], given.S0[:, [0, 2]])


@pytest.mark.parametrize("ranges", RANGES)
def test_energies_in_units_of_the_ranges_are_the_same(ranges):
    for kind in KINDS:
        given = problem(ranges, "five", kind)
        substitution = of_one_range(given)
        assert substitution.problem.half_range == 1
        assert substitution.problem.is_shared == (given.is_shared and ranges not in ("group", "weight"))
        levels = every_level(given)[::17]
        for i in range(M):
            mine, theirs = given.unit(i), substitution.problem.unit(i)
            energies = theirs.energy(theirs.weights(levels)) * substitution.energy_unit[i]
            np.testing.assert_allclose(energies, mine.energy(mine.weights(levels)), rtol=1e-10)
            assert theirs.sites == pytest.approx(2 / substitution.energy_unit[i])


SOLVERS = {
    "sa": lambda: SimulatedAnnealing(30, num_reads=10),
    "sa, slice": lambda: SimulatedAnnealing(30, num_reads=10, move="slice"),
    "sa, greedy": lambda: SimulatedAnnealing(30, num_reads=10, move="greedy"),
    "sa, random order": lambda: SimulatedAnnealing(30, order="random"),
    "sa, present": lambda: SimulatedAnnealing(30, start="present"),
    "sa, one beta": lambda: SimulatedAnnealing(30, beta=20.0),
    "sa, babai": lambda: SimulatedAnnealing(30, start="babai", num_reads=2),
    "sa, beam": lambda: SimulatedAnnealing(30, start="beam"),
    "reference": lambda: ReferenceAnnealing(5, start="beam"),
    "sqa": lambda: SimulatedQuantumAnnealing(30),
    "sqa, babai": lambda: SimulatedQuantumAnnealing(30, start="babai"),
    "descent": lambda: CoordinateDescent(3, start="babai"),
    "rounded": RoundedLeastSquares,
    "babai": Babai,
    "klein": Klein,
    "beam": Beam,
    "neal": lambda: neal(num_sweeps=20),
    "itemc": ImaginaryTimeCircuit,
}


@pytest.mark.parametrize("name", SOLVERS)
def test_every_solver_takes_every_range_and_number_of_levels(name):
    for ranges, grid, kind in itertools.product(("unit", "weight"), ("2 bits", "ternary"), ("one J", "a J each")):
        given = problem(ranges, grid, kind)
        result = SOLVERS[name]().solve(given, seed=1)
        check_result(given, result)
        assert np.all(result.energies[:, 0] >= ground(given) * (1 - 1e-9))


def test_one_range_given_for_each_unit_is_the_same_chain():
    """With a power of two for a range the units change no digit."""
    one = problem("one")
    each = LayerProblem.from_rows(
        one.least_squares.inputs, one.least_squares.targets, one.S0, np.full(M, 0.5), 2, samples=20
    )
    for settings in ({}, {"beta": 3.0}, {"beta_range": [0.1, 30.0]}, {"move": "slice", "num_reads": 3}):
        first, second = (SimulatedAnnealing(20, **settings).solve(given, seed=5) for given in (one, each))
        np.testing.assert_array_equal(first.levels, second.levels)
        np.testing.assert_allclose(first.energies, second.energies, rtol=1e-12)
        np.testing.assert_allclose(first.lower_bounds, second.lower_bounds, rtol=1e-6)
        for name in ("beta_first", "beta_last"):
            assert second.stats[name] == pytest.approx(first.stats[name])


def test_the_present_weights_of_three_levels_are_their_middle():
    given = problem("unit", "ternary")
    result = SimulatedAnnealing(1, start="present", beta=1e12, move="greedy").solve(given)
    still = LayerProblem.from_moments(
        np.eye(N), -2 * given.S0, (given.S0**2).sum(axis=1), given.S0, RANGES["unit"], None, num_levels=3
    )
    assert result.levels.max() <= 2
    np.testing.assert_array_equal(SimulatedAnnealing(1, start="present", beta=1e12).solve(still).levels, 1)


@pytest.mark.parametrize("grid", GRIDS)
@pytest.mark.parametrize("ranges", ["unit", "weight"])
def test_exported_energies_are_the_loss(ranges, grid):
    given = problem(ranges, grid)
    form, model = given.unit(1), given.to_bqm(1)
    levels = every_level(given)[5:60:11]
    for row, energy in zip(levels, form.energy(form.weights(levels)), strict=True):
        spins = form.encoding.spins(row)
        assert len(spins) == model.num_variables == N * given.bits
        assert model.energy(dict(enumerate(spins.tolist()))) == pytest.approx(float(energy), rel=1e-10)
    bound = form.dual_bound(form.weights(levels[0]))
    assert bound <= ground(given)[1]


def test_a_result_knows_its_number_of_levels():
    given = problem("unit", "five")
    result = SimulatedAnnealing(20, num_reads=3).solve(given)
    assert (result.bits, result.num_levels) == (3, 5)
    found = result.sampleset(2)
    spins = found.record.sample[:, np.argsort(found.variables)]
    np.testing.assert_array_equal(given.encoding.levels(spins), result.levels[2])
