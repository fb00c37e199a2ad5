"""Successive rounding of many units at once: Babai's nearest plane, and Klein's randomised form of it.

Weights are fixed one after another by the triangle of J (hamiltonian/triangle.py), each to the level closest to what
the weights before it ask for, or at random to the next one. Units that share J, and reads, are columns; what
the fixed weights ask of the others is a matrix product over halves, quarters, ... of the triangle.
"""

from collections.abc import Callable, Sequence

import numpy as np

from annealtrain.hamiltonian.encoding import Encoding
from annealtrain.hamiltonian.quadratic import QuadraticForm
from annealtrain.hamiltonian.triangle import Triangle
from annealtrain.runtime import thread_pool
from annealtrain.runtime.array_types import Array

SMALLEST = 16  # rows that are not halved further
COLUMNS = 512  # units and reads that are rounded together


def gradients(forms: Sequence[QuadraticForm]) -> Array:
    """Return dE/dS at S0 of the live weights of units that share J, (M, live)."""
    couplings, live = forms[0].couplings, forms[0].couplings.indices
    S0, h = (np.array([getattr(form, name)[live] for form in forms]) for name in ("S0", "h"))
    found: Array = h + 2 * (S0 @ couplings.live_J)
    return found


def nearest_plane(forms: Sequence[QuadraticForm]) -> Array:
    """Return Babai's levels (M, N) of units that share J and L."""
    triangle, encoding = forms[0].couplings.triangle, forms[0].encoding
    levels, _ = rounded(triangle, triangle.targets(gradients(forms)), lambda part: to_nearest(encoding), encoding)
    return scattered(forms[0], levels.T)


def randomised(
    forms: Sequence[QuadraticForm], generators: Sequence[np.random.Generator], reads: int, spread: float
) -> tuple[Array, Array]:
    """Return levels (M, reads, N) of units that share J and L, and their energies above the least of all (M, reads).

    The first read is Babai's, the others Klein's: a level at x has the weight exp(-d_j (x - c_j)^2 / T), with
    T = spread * step^2 * the mean of d_j.
    """
    triangle, encoding, M = forms[0].couplings.triangle, forms[0].encoding, len(forms)
    targets = np.repeat(triangle.targets(gradients(forms)), reads, axis=1)
    drawn = np.empty((len(targets), M, reads))
    for i, generator in enumerate(generators):
        drawn[:, i] = generator.random((len(targets), reads))
    drawn[:, :, 0] = 1.0  # the closest
    uniforms = drawn.reshape(len(targets), -1)
    sharpness = triangle.d / triangle.d.mean() / spread
    levels, excess = rounded(
        triangle, targets, lambda part: to_random(encoding, sharpness, uniforms[:, part]), encoding
    )
    return scattered(forms[0], levels.T.reshape(M, reads, -1)), excess.reshape(M, reads)


def rounded(
    triangle: Triangle, targets: Array, chooser: Callable[[slice], "Choice"], encoding: Encoding
) -> tuple[Array, Array]:
    """Return levels (n, columns) of targets (n, columns), rows as the triangle's, and energies above the least of all.

    chooser(part): how the columns of a part choose their levels.
    """

    def columns(part: slice) -> tuple[Array, Array]:
        centres, choose = targets[:, part].copy(), chooser(part)
        levels, offsets = np.empty(centres.shape), np.empty(centres.shape)
        _round(triangle, encoding, choose, (0, len(centres)), (centres, levels, offsets))
        return levels.astype(np.int32), triangle.d @ (offsets - centres) ** 2

    parts = thread_pool.parallel_map(columns, thread_pool.chunks(targets.shape[1], COLUMNS))
    return np.concatenate([part[0] for part in parts], axis=1), np.concatenate([part[1] for part in parts])


# Of row j and how many steps above the lowest level its weights ask for, (columns,): levels, whole numbers in floats.
Choice = Callable[[int, Array], Array]
Columns = tuple[Array, Array, Array]


def _round(triangle: Triangle, encoding: Encoding, choose: Choice, rows: tuple[int, int], columns: Columns) -> None:
    """Fix rows first .. last - 1, the last one first, and take what they ask of the rows before off their centres."""
    (first, last), (centres, levels, offsets), R = rows, columns, triangle.R
    if last - first > SMALLEST:
        middle = (first + last) // 2
        _round(triangle, encoding, choose, (middle, last), columns)
        centres[first:middle] -= R[first:middle, middle:last] @ offsets[middle:last]
        _round(triangle, encoding, choose, (first, middle), columns)
        return
    thread_pool.check_cancelled()
    half_range, step, top = encoding.half_range, encoding.step, encoding.top_level  # once: rows are many and short
    for j in range(last - 1, first - 1, -1):
        levels[j] = choose(j, (centres[j] + half_range) / step)
        offsets[j] = half_range / top * (2.0 * levels[j] - top)
        centres[first:j] -= R[first:j, j, None] * offsets[j]


def to_nearest(encoding: Encoding) -> Choice:
    """Return the choice of the closest level."""
    top = encoding.top_level
    return lambda j, steps: np.minimum(np.maximum(np.rint(steps), 0), top)


def to_random(encoding: Encoding, sharpness: Array, uniforms: Array) -> Choice:
    """Return the choice of the closest level or the one on the other side, by a uniform number each, (n, columns).

    A level that is x steps away has the weight exp(-sharpness_j x^2): of two, at x and 1 - x, the farther one has
    the share 1 / (1 + exp(sharpness_j (1 - 2 x))), at most a half. A uniform number of 1 takes the closest.
    """
    closest, top = to_nearest(encoding), encoding.top_level
    with np.errstate(divide="ignore"):  # u < 1 / (1 + exp(e)) where e < log(1 / u - 1)
        bounds = np.log(1 / uniforms - 1) / sharpness[:, None]

    def choose(j: int, steps: Array) -> Array:
        levels = closest(j, steps)
        away = steps - levels
        others = levels + np.sign(away)
        is_other = (1 - 2 * np.abs(away) < bounds[j]) & (others >= 0) & (others <= top)
        return np.where(is_other, others, levels)

    return choose


def scattered(form: QuadraticForm, levels: Array) -> Array:
    """Return levels (..., N) of all weights from those of the live ones (..., n) in the triangle's order."""
    full = np.zeros((*levels.shape[:-1], form.S0.size), np.int32)
    full[..., form.couplings.indices[form.couplings.triangle.order]] = levels
    return full
