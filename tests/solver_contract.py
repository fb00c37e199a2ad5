"""What every solver must do. A new solver is one line in test_solvers.py."""

from collections.abc import Callable

import numpy as np

from annealtrain.hamiltonian.layer_problem import LayerProblem
from annealtrain.runtime import thread_pool
from annealtrain.solvers.exact import Exact
from annealtrain.solvers.solver import Solver, SolveResult


def random_problem(M=3, N=5, bits=2, seed=0, alpha=None, half_range=0.5, dead=()):
    """Return a layer problem of random rows; `dead` inputs are zero throughout."""
    generator = np.random.default_rng(seed)
    inputs, targets = generator.normal(size=(60, N)), generator.normal(size=(60, M))
    inputs[:, list(dead)] = 0
    S0 = generator.normal(size=(M, N)) * 0.3
    factors = None if alpha is None else np.where(inputs @ S0.T >= 0, 1.0, alpha)
    return LayerProblem.from_rows(inputs, targets, S0, half_range, bits, factors=factors)


def check_result(problem: LayerProblem, result: SolveResult) -> None:
    """Shapes agree, energies are those of the levels, reads are sorted, nothing lies below the bound."""
    M, R, N = result.levels.shape
    assert problem.S0.shape == (M, N)
    assert result.weights.shape == (M, R, N)
    assert result.energies.shape == (M, R)
    assert result.lower_bounds.shape == result.start_energies.shape == (M,)
    assert result.levels.min() >= 0
    assert result.levels.max() < 2**problem.bits
    for i in range(M):
        form = problem.unit(i)
        np.testing.assert_allclose(result.weights[i], form.weights(result.levels[i]), rtol=1e-12)
        np.testing.assert_allclose(result.energies[i], form.energy(result.weights[i]), rtol=1e-9)
        spins = form.encoding.spins(result.levels[i])
        np.testing.assert_array_equal(form.encoding.levels(spins), result.levels[i])
        np.testing.assert_allclose(result.start_energies[i], form.energy(form.S0), rtol=1e-9)
    assert np.all(np.diff(result.energies, axis=1) >= 0)
    np.testing.assert_array_equal(result.best_weights, result.weights[:, 0])
    slack = 1e-9 * np.abs(result.start_energies)
    assert np.all(result.lower_bounds <= result.energies[:, 0] + slack)
    assert all(np.isfinite(value) for value in result.stats.values())


def check_solver(
    make: Callable[[], Solver], *, reaches_ground_state: bool, is_random: bool, has_separate_units: bool = True
) -> None:
    """Put a solver through the whole contract; it must take problems of up to 12 spins.

    has_separate_units: a unit's result does not depend on its neighbours.
    """
    for alpha in (None, 0.1):
        problem = random_problem(alpha=alpha)
        result = make().solve(problem, seed=1)
        check_result(problem, result)
        # The same seed, the same result, on any number of threads and at every call.
        for threads in (1, 3):
            with thread_pool.threads(threads):
                again = make().solve(problem, seed=1)
            np.testing.assert_array_equal(again.levels, result.levels)
            np.testing.assert_array_equal(again.energies, result.energies)
            np.testing.assert_array_equal(again.lower_bounds, result.lower_bounds)
    # Without fields a state and its negative are equal: another seed takes other ones, unless nothing is random.
    rows = np.random.default_rng(5).normal(size=(12, 12))
    problem = LayerProblem.from_rows(rows, np.zeros((12, 8)), np.zeros((8, 12)), 1.0, 1)
    best = [make().solve(problem, seed=seed).levels[:, 0] for seed in (0, 1)]
    assert np.array_equal(*best) != is_random

    # Units do not depend on their neighbours.
    if has_separate_units:
        problem, other = random_problem(M=2), random_problem(M=2)
        other.h[1] += 1
        np.testing.assert_array_equal(make().solve(problem, seed=0).levels[0], make().solve(other, seed=0).levels[0])

    # Progress is told for each unit, or between sweeps by those that could stop there.
    told: list[float] = []
    solver = make()
    solver.solve(random_problem(M=4), seed=0, progress=told.append)
    if hasattr(solver, "time_limit_s"):
        assert told == sorted(told)
        assert len(told) > 1
        assert told[-1] == 4
    else:
        assert told == [1, 2, 3, 4]

    # One spin: the lower of two energies.
    problem = random_problem(M=4, N=1, bits=1)
    result = make().solve(problem, seed=0)
    check_result(problem, result)
    for i in range(4):
        form = problem.unit(i)
        assert result.energies[i, 0] == min(form.energy(form.weights(np.array([u]))) for u in (0, 1))

    # h = 0: the levels next to zero, E = S'JS. J = 0: each weight to the end that its field asks for.
    no_field = LayerProblem.from_moments(np.eye(3), np.zeros((2, 3)), np.zeros(2), np.zeros((2, 3)), 1.0, 3)
    result = make().solve(no_field, seed=0)
    check_result(no_field, result)
    np.testing.assert_allclose(np.abs(result.best_weights), 1 / 7)
    h = np.array([[1.0, -2.0, 0.5], [-1.0, 0.0, 3.0]])
    no_coupling = LayerProblem.from_moments(np.zeros((3, 3)), h, np.zeros(2), np.zeros((2, 3)), 1.0, 3)
    result = make().solve(no_coupling, seed=0)
    check_result(no_coupling, result)
    moved = h != 0
    np.testing.assert_allclose(result.best_weights[moved], -np.sign(h)[moved])

    # Dead weights keep S0 to the last bit, with all others dead too.
    problem = random_problem(dead=(1, 3))
    result = make().solve(problem, seed=0)
    check_result(problem, result)
    np.testing.assert_array_equal(result.best_weights[:, [1, 3]], problem.S0[:, [1, 3]])
    problem = random_problem(dead=range(5))
    result = make().solve(problem, seed=0)
    check_result(problem, result)
    np.testing.assert_array_equal(result.best_weights, problem.S0)

    # A unit that no row reaches stands beside one that is sampled.
    problem = random_problem(M=2, alpha=0.1)
    assert problem.least_squares is not None
    assert problem.least_squares.factors is not None
    problem.least_squares.factors[:, 1] = 0
    problem = LayerProblem.from_rows(
        problem.least_squares.inputs,
        problem.least_squares.targets,
        problem.S0,
        0.5,
        2,
        factors=problem.least_squares.factors,
    )
    result = make().solve(problem, seed=0)
    check_result(problem, result)
    np.testing.assert_array_equal(result.best_weights[1], problem.S0[1])

    # The ground state of ten spins.
    if reaches_ground_state:
        for seed in range(4):
            for N, bits in ((10, 1), (5, 2)):
                problem = random_problem(M=3, N=N, bits=bits, seed=seed, alpha=0.1)
                ground = Exact().solve(problem, seed=0).energies[:, 0]
                np.testing.assert_allclose(make().solve(problem, seed=seed).energies[:, 0], ground, rtol=1e-9)
