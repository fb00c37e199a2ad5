"""One layer on its grid: scales and levels in turn."""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import scipy.linalg

from annealtrain.hamiltonian.quadratic import Couplings
from annealtrain.optimizers.quantization.grid import Grid
from annealtrain.optimizers.quantization.moments import Moments
from annealtrain.optimizers.quantization.rounding import solved
from annealtrain.optimizers.quantization.scales import best_scales, first_scales
from annealtrain.runtime.array_types import Array
from annealtrain.runtime.random_streams import Seed, stream
from annealtrain.solvers.lattice.babai import Babai
from annealtrain.solvers.solver import Solver

FACTORS = np.geomspace(0.6, 1.5, 10)  # of first scales, among which each unit's is searched for
SEARCHED = 1e12  # operations that the search may take


@dataclass(frozen=True)
class OnGrid:
    """Levels (M, N) int32, scales (M, G), and the error (S - w)'H(S - w) of each unit (M,)."""

    levels: Array
    scales: Array
    errors: Array


@dataclass(frozen=True)
class Target:
    """What a layer's weights are to be close to: W (M, N), in the measure of H (N, N), both float64."""

    H: Array
    W: Array


def target_of(moments: Moments, W: Array, damping: float, *, corrects: bool = True) -> Target:
    """Return H + lambda and the weights that bring the float outputs back most closely, lambda = damping x mean H_jj.

    |X^ S - X w|^2 + lambda |S - w|^2 is least at w + (H + lambda)^-1 (X^'X - X^'X^) w. corrects: whether that is done,
    else the target is w itself. An input that is always 0 stays so, whatever the damping.
    """
    H = moments.H.copy()
    seen = H.diagonal() > 0
    H[np.diag_indices(len(H))] += np.where(seen, damping * H.diagonal().mean(), 0.0)
    away = moments.cross - moments.H
    if not corrects or not away.any() or not seen.any():
        return Target(H, W)
    own = H[np.ix_(seen, seen)]
    pulls = (away @ W.T)[seen]
    mean = own.diagonal().mean()
    own[np.diag_indices(len(own))] += 1e-9 * mean  # two inputs that are always equal
    moved = W.copy()
    moved[:, seen] += scipy.linalg.solve(own, pulls, assume_a="pos").T
    return Target(H, moved)


def on_grid(
    target: Target,
    grid: Grid,
    solver: Solver,
    *,
    rounds: int = 4,
    seed: Seed = 0,
    progress: Callable[[float], None] | None = None,
) -> OnGrid:
    """Return levels and scales of a low error: `rounds` times levels given scales, and scales given levels.

    Of each unit the best of all rounds is kept, and where the solver goes on from levels the next round begins there.
    progress: is told the share of the work that is done.
    """
    couplings, W = Couplings(target.H), target.W
    scales = first_scales(target.H, W, grid)
    if grid.levels > 2 and target.H.any() and 2.0 * W.size * len(target.H) * len(FACTORS) <= SEARCHED:
        scales = searched_scales(target, couplings, grid, scales, seed)
    best = OnGrid(grid.nearest(W, scales), scales, np.full(len(W), np.inf))

    for number in range(rounds):

        def told(units: float, number: int = number) -> None:
            if progress:
                progress((number + units / len(W)) / rounds)

        present = best.levels if number and solver.goes_on else None
        levels = solved(couplings, W, scales, grid, solver, stream(seed, number), told, present)
        scales = best_scales(target.H, W, levels, grid, scales)
        best = better(best, OnGrid(levels, scales, errors(target, grid, levels, scales)))
    return best


def searched_scales(target: Target, couplings: Couplings, grid: Grid, scales: Array, seed: Seed) -> Array:
    """Return the multiples of scales (M, G), one of FACTORS for each unit, after which Babai's levels err least.

    Rounding alone is content with a coarser grid than the nearest plane can make use of. Two levels gain nothing.
    """
    M, T = len(target.W), len(FACTORS)
    W = np.repeat(target.W, T, axis=0)
    tried = (scales[:, None] * FACTORS[:, None]).reshape(M * T, -1)
    levels = solved(couplings, W, tried, grid, Babai(), seed)
    tried = best_scales(target.H, W, levels, grid, tried)
    found = errors(Target(target.H, W), grid, levels, tried).reshape(M, T).argmin(axis=1)
    best: Array = tried.reshape(M, T, -1)[np.arange(M), found]
    return best


def errors(target: Target, grid: Grid, levels: Array, scales: Array) -> Array:
    """Return (S - w)'H(S - w) of each unit, (M,)."""
    D = grid.weights(levels, scales) - target.W
    found: Array = ((D @ target.H) * D).sum(axis=1)
    return found


def better(one: OnGrid, other: OnGrid) -> OnGrid:
    """Return the one of two for each unit that errs less."""
    takes = other.errors < one.errors
    both = ((other.levels, one.levels), (other.scales, one.scales), (other.errors, one.errors))
    return OnGrid(*(np.where(takes if new.ndim == 1 else takes[:, None], new, old) for new, old in both))
