"""Levels of a layer's weights: the Hamiltonian of the change S - w, and a solver."""

from collections.abc import Callable
from functools import partial
from typing import Any

import numpy as np

from annealtrain.errors import InputError, nearest
from annealtrain.hamiltonian.grid import numbers
from annealtrain.hamiltonian.layer_problem import LayerProblem, symmetric
from annealtrain.hamiltonian.quadratic import Couplings
from annealtrain.hamiltonian.triangle import NO_TRIANGLE
from annealtrain.optimizers.quantization.grid import Grid
from annealtrain.runtime import thread_pool
from annealtrain.runtime.array_types import Array
from annealtrain.runtime.random_streams import Seed, stream
from annealtrain.runtime.validation import LARGEST, SEED, reworded, shown
from annealtrain.solvers.annealing.path_integral import SimulatedQuantumAnnealing
from annealtrain.solvers.annealing.simulated_annealing import SimulatedAnnealing
from annealtrain.solvers.coordinate_descent import CoordinateDescent
from annealtrain.solvers.exact import Exact
from annealtrain.solvers.lattice.babai import Babai, Klein
from annealtrain.solvers.lattice.beam import Beam
from annealtrain.solvers.solver import Solver

SOLVERS: dict[str, Callable[[], Solver]] = {
    "sa": partial(SimulatedAnnealing, start="beam"),
    "sqa": partial(SimulatedQuantumAnnealing, start="beam"),
    "babai": Babai,
    "gptq": Babai,
    "klein": Klein,
    "beam": Beam,
    "descent": partial(CoordinateDescent, start="babai"),
    "exact": Exact,
}

LARGEST_MOMENT = 1e250  # beyond it sums of products leave the range of numbers
SOLVED_AS_IT_IS = 1e30  # and its inverse: of H beyond them energies would leave that of single precision, or vanish
UNITS, NUMBERS = 64, 2**20  # units of a block, at least; their weights


def solver_named(solver: str | Solver) -> Solver:
    """Return a solver by the name that it has here, or itself."""
    if isinstance(solver, Solver):
        return solver
    if not isinstance(solver, str) or solver not in SOLVERS:
        close = nearest(str(solver), SOLVERS)
        raise InputError(f"solver={shown(solver)} is neither a Solver nor one of {', '.join(SOLVERS)}{close}")
    return SOLVERS[solver]()


@reworded({NO_TRIANGLE: "H is not positive semidefinite: give second moments of inputs, X.T @ X"})
def quantize_layer(
    H: Array,
    W: Array,
    bits: int | None = None,
    scales: Any = None,
    *,
    num_levels: int | None = None,
    solver: str | Solver = "sa",
    seed: int = 0,
) -> Array:
    """Return levels (M, N) int32 of a low error (S - w)'H(S - w) of each unit, S = scale (2 level / (levels - 1) - 1).

    H: (N, N), second moments of the inputs, symmetric and positive semidefinite. W: (M, N) weights. bits: levels are
    2^bits; or num_levels, such as 3. scales: (M,), or (M, G) for G groups of neighbouring inputs that divide N.
    solver: sa (from a beam search), sqa, babai or gptq, klein, beam, descent (from babai), exact; or a Solver.
    A weight that H does not see gets the closest level. Raises ValueError for shapes and numbers that are none.
    """
    SEED.check("seed", seed)
    H, W = numbers("H", H), numbers("W", W)
    if W.ndim != 2 or not W.size or H.shape != (W.shape[1], W.shape[1]):
        raise ValueError(f"W {W.shape} is not (M, N), or H {H.shape} is not (N, N)")
    for name, values in (("H", H), ("W", W)):
        if not np.isfinite(values).all():
            raise ValueError(f"{name} has values that are not finite")
    if np.abs(H).max() > LARGEST_MOMENT:
        raise ValueError(f"H has values beyond {LARGEST_MOMENT:g}: divide it by its largest, levels stay the same")
    if H.diagonal().min() < 0:
        least = f"{H.diagonal().min():g}"
        raise ValueError(f"H has {least} on its diagonal: second moments of inputs, X.T @ X, have nothing below 0")
    if scales is None:
        raise ValueError("scales is missing: one number > 0 for each unit, (M,)")
    scales = numbers("scales", scales)
    if scales.ndim > 2:
        raise ValueError(f"scales {scales.shape} are neither ({len(W)},) nor ({len(W)}, G), G groups of inputs")
    scales = np.full((len(W), 1), float(scales)) if scales.ndim == 0 else scales.reshape(len(scales), -1)
    if len(scales) != len(W) or not scales.size or not ((scales >= 1 / LARGEST) & (scales <= LARGEST)).all():
        least = f"from {1 / LARGEST:g} to {LARGEST:g}"
        raise ValueError(f"scales {scales.shape} are not numbers {least}, one or more for each of {len(W)} units")
    if W.shape[1] % scales.shape[1]:
        raise ValueError(f"scales {scales.shape} are of groups that do not divide the {W.shape[1]} inputs of a unit")
    grid = Grid(bits, num_levels, W.shape[1] // scales.shape[1])
    return solved(Couplings(_in_range(symmetric(H, "H"))), W, scales, grid, solver_named(solver), seed)


def _in_range(H: Array) -> Array:
    """Return H, or where its numbers are huge or tiny H times a power of two: the same levels, to the last bit."""
    largest = float(np.abs(H).max())
    if not largest or 1 / SOLVED_AS_IT_IS <= largest <= SOLVED_AS_IT_IS:
        return H
    scaled: Array = np.ldexp(H, -int(np.frexp(largest)[1]))
    return scaled


def problem_of(couplings: Couplings, W: Array, scales: Array, grid: Grid, present: Array | None = None) -> LayerProblem:
    """Return the problem of weights W (M, N) whose couplings are there already, which share what was made of them.

    present: the levels (M, N) that the weights have, if any.
    """
    half_range = float(scales[0, 0]) if scales.size == 1 else scales[:, 0]
    if scales.shape[1] > 1:
        half_range = grid.spread(scales, W.shape[1])
    form = (couplings, np.zeros(W.shape), np.zeros(len(W)), -W, half_range, grid.bits)
    # Bounds take longer than most solves.
    return LayerProblem(*form, num_levels=grid.num_levels, convex=False, present=present)


def solved(
    couplings: Couplings,
    W: Array,
    scales: Array,
    grid: Grid,
    solver: Solver,
    seed: Seed,
    progress: Callable[[float], None] | None = None,
    present: Array | None = None,
) -> Array:
    """Return the best levels (M, N) that a solver finds; weights without couplings get the closest level.

    Units are solved a block at a time: what solvers hold of each stays small beside H. progress: units that are done.
    present: levels (M, N) to begin at, of a solver that does.
    """
    solver.check(bits=grid.stored_bits, weights=[W.shape[1]])
    parts = thread_pool.chunks(len(W), max(UNITS, NUMBERS // W.shape[1]))
    levels = np.empty(W.shape, np.int32)
    for number, part in enumerate(parts):
        told = None if progress is None else partial(_add, progress, part.start)
        own = seed if len(parts) == 1 else stream(seed, number)
        problem = problem_of(couplings, W[part], scales[part], grid, None if present is None else present[part])
        levels[part] = solver.best_levels(problem, seed=own, progress=told)
    live = couplings.live
    return levels if live.all() else np.where(live, levels, grid.nearest(W, scales))


def _add(progress: Callable[[float], None], before: int, units: float) -> None:
    progress(before + units)
