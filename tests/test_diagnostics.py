"""What is told of each solve: weights at the walls of their box, condition numbers."""

import numpy as np
import pytest

from annealtrain.hamiltonian.layer_problem import LayerProblem
from annealtrain.optimizers.diagnostics import condition_number, saturated_share
from annealtrain.runtime import thread_pool
from annealtrain.solvers.solver import SolveResult


def test_walls_are_counted_where_weights_changed():
    start = np.array([[0.0, 0.5, -1.0], [0.25, 0.0, 0.0]])
    problem = LayerProblem.from_moments(np.eye(3), np.zeros((2, 3)), np.zeros(2), start, 1.0, 3)
    levels = np.array([[[7, 3, 0]], [[5, 0, 1]]])
    weights = start[:, None] - 1 + 2 * levels / 7
    weights[0, 0, 2] = -1.0  # as it was: no wall
    result = SolveResult(levels, weights, np.zeros((2, 1)), np.zeros(2), np.zeros(2), {}, 3)
    assert saturated_share(problem, result) == 2 / 5
    still = SolveResult(levels, start[:, None], np.zeros((2, 1)), np.zeros(2), np.zeros(2), {}, 3)
    assert saturated_share(problem, still) == 0.0


def test_the_condition_number_leaves_out_dead_weights():
    turn = np.linalg.qr(np.random.default_rng(0).normal(size=(4, 4)))[0]
    J = np.zeros((5, 5))
    J[np.ix_([0, 1, 3, 4], [0, 1, 3, 4])] = turn @ np.diag([0.5, 1.0, 3.0, 20.0]) @ turn.T
    assert condition_number(J) == pytest.approx(40.0)
    assert condition_number(np.ones((2, 2))) == pytest.approx(
        1 / np.finfo(float).eps
    )  # singular: as far as numbers tell
    assert condition_number(np.zeros((2, 2))) is None


def test_the_condition_number_of_a_large_matrix_is_not_computed():
    with thread_pool.threads(1):
        assert condition_number(np.eye(512)) == 1.0
        assert condition_number(np.eye(513)) is None
