"""J as a triangle, so that weights can be fixed one after another: the view of lattice algorithms.

    E(S0 + x) = E(S0) + sum_j d_j ((R x - y)_j^2 - y_j^2),   P J P' = R' diag(d) R

with R upper triangular, ones on its diagonal, and P an order of the weights. Row j holds weight j and those after it,
which are fixed before: given them, the best x_j without a grid is c_j = y_j - sum_(l > j) R_jl x_l.
"""

from dataclasses import dataclass

import numpy as np
import scipy.linalg

from annealtrain.errors import InputError
from annealtrain.runtime.array_types import Array

DAMPINGS = (1e-10, 1e-8, 1e-6)  # of mean J_jj, added to the diagonal: directions that no row reaches have a curvature
NO_TRIANGLE = "J is not positive semidefinite, so that it has no triangular factor: take solver=sa, start=random"


@dataclass(frozen=True)
class Triangle:
    """R (n, n), d (n,), and which of the n live weights each row is, (n,): the last row is fixed first."""

    R: Array
    d: Array
    order: Array

    def targets(self, gradients: Array) -> Array:
        """Return y (n, M) of M units with dE/dS (M, n) at S0."""
        pulls = np.ascontiguousarray(gradients[:, self.order].T) * -0.5
        found = scipy.linalg.solve_triangular(self.R, pulls, trans="T", unit_diagonal=True, check_finite=False)
        targets: Array = found / self.d[:, None]
        return targets

    def excess(self, targets: Array, offsets: Array) -> Array:
        """Return by how much energies at S0 + offsets (n, M), in the triangle's order, are above the least of all."""
        square: Array = (self.d[:, None] * (self.R @ offsets - targets) ** 2).sum(axis=0)
        return square


def triangle(J: Array) -> Triangle:
    """Return the triangle of J (n, n); the weights of the largest J_jj, whose rounding costs most, are fixed first.

    Raises InputError where J is not positive semidefinite.
    """
    order = np.argsort(J.diagonal(), kind="stable")
    mean = float(J.diagonal().mean()) or 1.0
    for damping in DAMPINGS:
        damped = J[np.ix_(order, order)]
        damped[np.diag_indices(len(J))] += damping * mean
        try:
            R = scipy.linalg.cholesky(damped, overwrite_a=True, check_finite=False)
        except np.linalg.LinAlgError:
            continue
        diagonal = R.diagonal().copy()
        R /= diagonal[:, None]
        return Triangle(R, diagonal**2, order)
    raise InputError(NO_TRIANGLE)
