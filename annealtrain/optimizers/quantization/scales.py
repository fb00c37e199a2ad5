"""Scales of grids: a first one by rounding, and the best one for given levels in closed form."""

import numpy as np

from annealtrain.optimizers.quantization.grid import Grid
from annealtrain.runtime.array_types import Array

SHRINKS = np.linspace(0.02, 1, 50)
PASSES = 3  # over the scales of a unit that are not found together
EXACT_WORK = 3e10  # operations up to which rounding errors are counted with all of H; beyond it with its diagonal


def first_scales(H: Array, W: Array, grid: Grid) -> Array:
    """Return scales (M, G): the shrink of each group's max |w| whose rounding errs least under H.

    With several groups, or many weights, errors are counted within each group, or by the diagonal of H alone; where
    H is 0, plainly.
    """
    (M, N), parts = W.shape, grid.parts(W.shape[1])
    scales = np.empty((M, len(parts)))
    is_exact = 2.0 * M * N * parts[0].stop * len(SHRINKS) <= EXACT_WORK
    for k, part in enumerate(parts):
        w, own = W[:, part], H[part, part]
        if not own.any():
            own = np.eye(len(own))  # the closest levels of weights that no sample saw, as another may
        largest = np.abs(w).max(axis=1, keepdims=True)
        largest[largest == 0] = 1.0  # any scale will do for a unit of zeros
        errors = np.empty((M, len(SHRINKS)))
        for at, shrink in enumerate(SHRINKS):
            D = grid.weights(grid.nearest(w, largest * shrink), largest * shrink) - w
            errors[:, at] = ((D @ own) * D).sum(axis=1) if is_exact else (D**2) @ own.diagonal()
        scales[:, k] = largest[:, 0] * SHRINKS[errors.argmin(axis=1)]
    return scales


def best_scales(H: Array, W: Array, levels: Array, grid: Grid, scales: Array) -> Array:
    """Return the scales (M, G) that lower (S - w)'H(S - w) most at given levels; one that would not be > 0 stays.

    With one scale a unit that is s = (S~'H w) / (S~'H S~) of the levels S~ at scale 1, else a system of G equations.
    """
    signs, (M, G) = grid.signs(levels), scales.shape
    if G == 1:
        pulled = signs @ H
        square, pull = (pulled * signs).sum(axis=1), (pulled * W).sum(axis=1)
        found = np.divide(pull, square, out=np.zeros(M), where=square > 0)[:, None]
        return np.where(found > 0, found, scales)
    found = scales.copy()
    for i in range(M):
        own = np.zeros((W.shape[1], G))
        for k, part in enumerate(grid.parts(W.shape[1])):
            own[part, k] = signs[i, part]
        pulled = H @ own
        square, pull = own.T @ pulled, pulled.T @ W[i]
        solved, live = found[i].copy(), square.diagonal() > 0
        solved[live] = np.linalg.lstsq(square[np.ix_(live, live)], pull[live], rcond=1e-9)[0]
        found[i] = solved if (solved > 0).all() else _one_by_one(square, pull, found[i])
    return found


def _one_by_one(square: Array, pull: Array, scales: Array) -> Array:
    """Return scales (G,) after each was moved to its best value given the others, where that is > 0."""
    scales = scales.copy()
    for _ in range(PASSES):
        for k, own in enumerate(square.diagonal()):
            best = scales[k] + (pull[k] - square[k] @ scales) / own if own > 0 else 0.0
            scales[k] = best if best > 0 else scales[k]
    return scales
