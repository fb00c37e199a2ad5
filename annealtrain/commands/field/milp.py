"""A mixed-integer linear program in place of the quadratic one: a variable for each product of two spins, by HiGHS."""

from typing import Any

import numpy as np
import scipy.sparse
from scipy.optimize import Bounds, LinearConstraint, milp

from annealtrain.commands.field.ising import levels_of, pairs
from annealtrain.hamiltonian.quadratic import QuadraticForm
from annealtrain.runtime.array_types import Array


def linearised(form: QuadraticForm) -> Any:
    """Return a run of HiGHS on x = (1 + spin) / 2 and y_ij = x_i x_j; levels (0, N) where it found none in time.

    Of a positive weight y >= 0 and y >= x_i + x_j - 1 are enough, of a negative one y <= x_i and y <= x_j.
    """
    h, row, column, bias, _ = pairs(form)
    n, count = h.size, bias.size
    linear = 2 * h - 2 * (np.bincount(row, bias, n) + np.bincount(column, bias, n))
    weights, pair = 4 * bias, n + np.arange(count)
    up, down = np.flatnonzero(weights > 0), np.flatnonzero(weights < 0)
    # x_i + x_j - y <= 1; y - x_i <= 0; y - x_j <= 0
    places = np.arange(up.size + 2 * down.size)
    above, below = places[: up.size], np.r_[places[up.size :]]
    ends = np.r_[row[down], column[down]]
    rows = np.r_[above, above, above, below, below]
    columns = np.r_[row[up], column[up], pair[up], np.r_[pair[down], pair[down]], ends]
    signs = np.r_[np.ones(2 * up.size), -np.ones(up.size), np.ones(2 * down.size), -np.ones(2 * down.size)]
    matrix = scipy.sparse.csr_matrix((signs, (rows, columns)), (places.size, n + count))
    limits = np.r_[np.ones(up.size), np.zeros(2 * down.size)]
    whole = np.r_[np.ones(n), np.zeros(count)]
    size = max(np.abs(linear).max(), np.abs(weights).max(initial=0.0))
    goal = np.r_[linear, weights] / size

    def run(effort: int, seed: int, left_s: float) -> Array:
        found = milp(
            goal,
            integrality=whole,
            bounds=Bounds(0, 1),
            constraints=LinearConstraint(matrix, ub=limits),
            options={"time_limit": max(left_s, 0.01)},
        )
        if found.x is None:
            return np.zeros((0, form.S0.size), np.int32)
        return levels_of(form, np.where(found.x[None, :n] > 0.5, 1, -1))

    return run
