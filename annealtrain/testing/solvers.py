"""What every solver must do."""

from collections.abc import Sequence
from unittest import SkipTest

import numpy as np

from annealtrain.hamiltonian.layer_problem import LayerProblem
from annealtrain.runtime import thread_pool
from annealtrain.solvers.exact import Exact
from annealtrain.solvers.solver import Solver, SolveResult


def random_problem(
    M: int = 3,
    N: int = 5,
    bits: int = 2,
    seed: int = 0,
    alpha: float | None = None,
    half_range: float = 0.5,
    dead: Sequence[int] = (),
    num_levels: int | None = None,
) -> LayerProblem:
    """Return the problem of 60 random rows, M units of N weights; the inputs `dead` are zero throughout.

    alpha: the units' outputs go through LeakyReLU(alpha), so that their J differ; None: they share one. num_levels: in
    place of the 2^bits.
    """
    generator = np.random.default_rng(seed)
    inputs, targets = generator.normal(size=(60, N)), generator.normal(size=(60, M))
    inputs[:, list(dead)] = 0
    S0 = generator.normal(size=(M, N)) * 0.3
    factors = None if alpha is None else np.where(inputs @ S0.T >= 0, 1.0, alpha)
    given = None if num_levels else bits
    return LayerProblem.from_rows(inputs, targets, S0, half_range, given, num_levels=num_levels, factors=factors)


def check_result(problem: LayerProblem, result: SolveResult) -> None:
    """Assert that shapes agree, levels are whole numbers, energies theirs, reads sorted, none below its bound."""
    M, R, N = result.levels.shape
    assert problem.S0.shape == (M, N)
    assert result.weights.shape == (M, R, N)
    assert result.energies.shape == (M, R)
    assert result.lower_bounds.shape == result.start_energies.shape == (M,)
    assert result.bits == problem.bits
    assert result.levels.dtype.kind in "iu"
    assert result.levels.min() >= 0
    assert result.levels.max() <= problem.encoding.top_level
    for i in range(M):
        form = problem.unit(i)
        np.testing.assert_allclose(result.weights[i], form.weights(result.levels[i]), rtol=1e-12)
        np.testing.assert_allclose(result.energies[i], form.energy(result.weights[i]), rtol=1e-9)
        np.testing.assert_allclose(result.start_energies[i], form.energy(form.S0), rtol=1e-9)
    assert np.all(np.diff(result.energies, axis=1) >= 0)
    np.testing.assert_array_equal(result.best_weights, result.weights[:, 0])
    slack = 1e-9 * np.abs(result.start_energies)
    assert np.all(result.lower_bounds <= result.energies[:, 0] + slack)
    assert all(np.isfinite(value) for value in result.stats.values())


def _without_fields(N: int, M: int) -> LayerProblem:
    """Return M units of N spins, of which a state and its negative have one energy."""
    rows = np.random.default_rng(5).normal(size=(N, N))
    return LayerProblem.from_rows(rows, np.zeros((N, M)), np.zeros((M, N)), 1.0, 1)


class SolverContract:
    """What every solver must do; it is given problems of up to 12 spins.

    make: returns a new solver. reaches_ground_state: it finds the lowest energy of ten spins, whatever the seed.
    solves_separable: it finds the lowest energy of weights that do not hang together.
    is_random: another seed finds other levels of the same energy. has_separate_units: a unit's result does not depend
    on the units beside it.
    """

    reaches_ground_state = False
    solves_separable = True
    is_random = True
    has_separate_units = True

    def make(self) -> Solver:
        raise NotImplementedError

    def solved(self, problem: LayerProblem, seed: int = 0) -> SolveResult:
        """Return what a new solver finds, checked."""
        result = self.make().solve(problem, seed=seed)
        check_result(problem, result)
        return result

    def test_the_same_seed_is_the_same_result_on_any_number_of_threads(self) -> None:
        for alpha in (None, 0.1):
            problem = random_problem(alpha=alpha)
            result = self.solved(problem, seed=1)
            for threads in (1, 3):
                with thread_pool.threads(threads):
                    again = self.solved(problem, seed=1)
                np.testing.assert_array_equal(again.levels, result.levels)
                np.testing.assert_array_equal(again.energies, result.energies)
                np.testing.assert_array_equal(again.lower_bounds, result.lower_bounds)

    def test_what_it_solved_before_changes_nothing(self) -> None:
        """A run that is resumed begins with a new solver."""
        solver, problem = self.make(), _without_fields(5, 4)
        first = solver.solve(problem, seed=0).levels
        np.testing.assert_array_equal(solver.solve(problem, seed=0).levels, first)

    def test_levels_that_are_no_power_of_two_end_with_the_top_one(self) -> None:
        self.solved(random_problem(M=2, N=3, num_levels=3))

    def test_another_seed_is_another_result_unless_nothing_is_random(self) -> None:
        problem = _without_fields(12, 8)
        first, second = (self.solved(problem, seed).levels[:, 0] for seed in (0, 1))
        assert np.array_equal(first, second) != self.is_random

    def test_units_do_not_depend_on_their_neighbours(self) -> None:
        if not self.has_separate_units:
            raise SkipTest("the units of this solver are one problem")
        generator = np.random.default_rng(0)
        inputs, targets, S0 = (generator.normal(size=size) for size in ((60, 5), (60, 2), (2, 5)))
        found = []
        for sign in (1, -1):
            problem = LayerProblem.from_rows(inputs, targets * np.array([1, 5 * sign]), S0, 0.5, 2)
            found.append(self.solved(problem).levels[0])
        np.testing.assert_array_equal(*found)

    def test_progress_is_told_of_each_unit_or_between_sweeps(self) -> None:
        told: list[float] = []
        solver = self.make()
        solver.solve(random_problem(M=4), seed=0, progress=told.append)
        if hasattr(solver, "time_limit_s"):  # it looks up between its sweeps
            assert told == sorted(told)
            assert len(told) > 1
            assert told[-1] == 4
        else:
            assert told == [1, 2, 3, 4]

    def test_one_spin_takes_the_lower_of_its_two_energies(self) -> None:
        problem = random_problem(M=4, N=1, bits=1)
        result = self.solved(problem)
        for i in range(4):
            form = problem.unit(i)
            assert result.energies[i, 0] == min(form.energy(form.weights(np.array([u]))) for u in (0, 1))

    def test_without_fields_weights_come_as_close_to_zero_as_levels_do(self) -> None:
        self._needs_separable()
        problem = LayerProblem.from_moments(np.eye(3), np.zeros((2, 3)), np.zeros(2), np.zeros((2, 3)), 1.0, 3)
        np.testing.assert_allclose(np.abs(self.solved(problem).best_weights), 1 / 7)

    def _needs_separable(self) -> None:
        if not self.solves_separable:
            raise SkipTest("solves_separable is False")

    def test_without_couplings_each_weight_goes_to_the_end_that_its_field_asks_for(self) -> None:
        self._needs_separable()
        h = np.array([[1.0, -2.0, 0.5], [-1.0, 0.0, 3.0]])
        problem = LayerProblem.from_moments(np.zeros((3, 3)), h, np.zeros(2), np.zeros((2, 3)), 1.0, 3)
        np.testing.assert_allclose(self.solved(problem).best_weights[h != 0], -np.sign(h)[h != 0])

    def test_dead_weights_keep_S0_to_the_last_bit(self) -> None:
        for dead in ([1, 3], [0, 1, 2, 3, 4]):
            problem = random_problem(dead=dead)
            np.testing.assert_array_equal(self.solved(problem).best_weights[:, dead], problem.S0[:, dead])

    def test_a_unit_that_no_row_reaches_stands_beside_one_that_is_sampled(self) -> None:
        generator = np.random.default_rng(0)
        inputs, targets, S0 = (generator.normal(size=size) for size in ((60, 5), (60, 2), (2, 5)))
        factors = np.where(generator.random((60, 2)) < 0.5, 1.0, 0.1) * [1, 0]
        problem = LayerProblem.from_rows(inputs, targets, S0, 0.5, 2, factors=factors)
        np.testing.assert_array_equal(self.solved(problem).best_weights[1], S0[1])

    def test_no_energy_is_below_the_ground_state_which_is_reached_where_promised(self) -> None:
        for seed in range(4):
            for N, bits in ((10, 1), (5, 2)):
                problem = random_problem(M=3, N=N, bits=bits, seed=seed, alpha=0.1)
                found, ground = (each.energies[:, 0] for each in (self.solved(problem, seed), Exact().solve(problem)))
                assert np.all(found >= ground * (1 - 1e-9))
                if self.reaches_ground_state:
                    np.testing.assert_allclose(found, ground, rtol=1e-9)
