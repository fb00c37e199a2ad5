"""Successive rounding as solvers: Babai's nearest plane (GPTQ) and Klein's randomised reads of it."""

from collections.abc import Callable, Sequence

import numpy as np

from annealtrain.hamiltonian.layer_problem import LayerProblem
from annealtrain.hamiltonian.quadratic import QuadraticForm
from annealtrain.hamiltonian.substitution import of_one_range
from annealtrain.runtime import thread_pool
from annealtrain.runtime.array_types import Array
from annealtrain.runtime.random_streams import Seed, generator
from annealtrain.runtime.validation import READS, YES_OR_NO, checked, number
from annealtrain.solvers.bounds import descend
from annealtrain.solvers.lattice.nearest_plane import nearest_plane, randomised
from annealtrain.solvers.solver import Solver

SPREAD = 0.03  # of Klein's draws: on the synthetic layers the best of 64 reads is lowest for .01 to .06
MAX_SWEEPS = 1000  # of coordinate descent; it ends long before


class Babai(Solver):
    """`solver=babai`: each weight in turn to the level closest to what the weights fixed before it ask for.

    The weights of the largest J_jj are fixed first. J must be positive semidefinite. It is what GPTQ does, and
    decision feedback. descent: then coordinate descent, each weight to its best level until none moves.
    """

    @checked("solver.", descent=YES_OR_NO)
    def __init__(self, descent: bool = False) -> None:
        self.descent = descent

    def best_levels(
        self, problem: LayerProblem, *, seed: Seed = 0, progress: Callable[[float], None] | None = None
    ) -> Array:
        """Return levels (M, N); of one read nothing has to be compared, so that no energy is computed."""
        own = problem if problem.has_one_range else of_one_range(problem).problem
        if self.descent or not own.is_shared or not own.unit(0).couplings.indices.size:
            return super().best_levels(problem, seed=seed, progress=progress)
        levels = nearest_plane([own.unit(i) for i in range(own.num_units)])
        if progress:
            progress(own.num_units)
        return levels

    def sample_batch(
        self, forms: Sequence[QuadraticForm], seeds: Sequence[np.random.SeedSequence]
    ) -> list[tuple[Array, dict[str, float]]]:
        if not forms[0].couplings.indices.size:
            return [(np.zeros((1, form.S0.size), np.int32), {}) for form in forms]
        levels = nearest_plane(forms)[:, None]
        return as_reads(forms, levels, self.descent)


class Klein(Solver):
    """`solver=klein`: num_reads randomised roundings a unit, Babai's the first, side by side; all are kept.

    spread: T of the draws in units of what a step costs: 0.01 hardly leaves Babai's, 1 is nearly blind.
    descent: then coordinate descent of each read.
    """

    @checked("solver.", num_reads=READS, spread=number(above=0), descent=YES_OR_NO)
    def __init__(self, num_reads: int = 64, spread: float = SPREAD, descent: bool = True) -> None:
        self.num_reads, self.spread, self.descent = num_reads, spread, descent

    def sample_batch(
        self, forms: Sequence[QuadraticForm], seeds: Sequence[np.random.SeedSequence]
    ) -> list[tuple[Array, dict[str, float]]]:
        if not forms[0].couplings.indices.size:
            return [(np.zeros((self.num_reads, form.S0.size), np.int32), {}) for form in forms]
        levels, _ = randomised(forms, [generator(seed) for seed in seeds], self.num_reads, self.spread)
        return as_reads(forms, levels, self.descent)


def as_reads(forms: Sequence[QuadraticForm], levels: Array, descent: bool) -> list[tuple[Array, dict[str, float]]]:
    """Return levels (M, reads, N), after coordinate descent if asked for, as a solver gives the reads of each unit."""
    return [(each, {}) for each in (descended(forms, levels) if descent else levels)]


def descended(forms: Sequence[QuadraticForm], levels: Array) -> Array:
    """Return levels (M, reads, N) after coordinate descent of each read."""

    def one(i: int) -> Array:
        form, found = forms[i], []
        for read in levels[i]:
            thread_pool.check_cancelled()
            found.append(form.nearest_levels(descend(form, form.weights(read), form.encoding.step, MAX_SWEEPS)))
        return np.array(found)

    return np.array(thread_pool.parallel_map(one, range(len(forms))))
