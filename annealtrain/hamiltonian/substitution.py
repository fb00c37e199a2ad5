"""Grids with a range for each unit or weight, written as grids of one range: what a solver need not know.

With S = a b t, a number a for each unit and b for each weight, and t in [S0 / (a b) - 1, S0 / (a b) + 1],

    E(S) / a^2 = t'(b J b)t + (b h / a)'t + E0 / a^2

The levels are the same. Where L = a b, as it always is with one range a unit, units that share J share b J b too; other
ranges give each unit a J of its own.
"""

from dataclasses import dataclass, replace

import numpy as np

from annealtrain.hamiltonian.layer_problem import LayerProblem
from annealtrain.hamiltonian.quadratic import Couplings
from annealtrain.runtime.array_types import Array


@dataclass(frozen=True)
class Substitution:
    """A problem of one range, 1, and what 1 stands for in the energies of each unit, (M,)."""

    problem: LayerProblem
    energy_unit: Array

    def weights(self, given: LayerProblem, levels: Array, found: Array) -> Array:
        """Return the weights (M, R, N) that levels are in the problem that was given.

        found: the weights that they are in `problem`, which tell the dead ones.
        """
        centres, ranges = given.S0[:, None], given.encoding.half_range[:, None]
        offsets = replace(given.encoding, half_range=ranges).offsets(levels)
        return np.where(found == self.problem.S0[:, None], centres, centres + offsets)


def of_one_range(problem: LayerProblem) -> Substitution:
    """Return the problem in units of its ranges, which may be one for each unit, (M,), or for each weight, (M, N)."""
    ranges = np.broadcast_to(problem.encoding.half_range, problem.S0.shape)
    a = np.exp(np.log(ranges).mean(axis=1, keepdims=True)) if np.ndim(problem.half_range) == 2 else ranges[:, :1]
    b = ranges / a
    is_common = bool(np.allclose(b, b[:1], rtol=1e-12, atol=0))
    if is_common:
        b = np.broadcast_to(b[:1], ranges.shape)  # to the last bit, so that all units have one grid

    def couplings(unit: int) -> Couplings:
        given = problem.unit(unit).couplings
        if np.all(b[unit] == 1):
            return given
        ridge = given.ridge * b[unit] ** 2 if np.any(given.ridge) else 0.0
        return Couplings(given.J * np.outer(b[unit], b[unit]), given.live, ridge, convex=given.convex)

    sites = problem.sites / a[:, 0] ** 2  # inverse temperatures are given in 1 / (loss of a site)
    substituted = LayerProblem(
        couplings(0) if is_common and problem.is_shared else couplings,
        problem.h * b / a,
        problem.E0 / a[:, 0] ** 2,
        problem.S0 / (a * b),
        1.0,
        problem.bits if problem.num_levels is None else None,
        num_levels=problem.num_levels,
        sites=sites,
        convex=problem.convex,
        present=problem.present,
    )
    return Substitution(substituted, a[:, 0] ** 2)
