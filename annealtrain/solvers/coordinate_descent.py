"""The honest baselines: as good as annealing wherever the landscape is nearly convex (4 bits and more)."""

from collections.abc import Sequence

import numpy as np

from annealtrain.hamiltonian.quadratic import QuadraticForm
from annealtrain.runtime import thread_pool
from annealtrain.runtime.array_types import Array
from annealtrain.runtime.random_streams import generator
from annealtrain.runtime.validation import READS, checked, one_of, whole
from annealtrain.solvers.bounds import descend
from annealtrain.solvers.effort import READ_S, Effort, counted, plural, result_bytes
from annealtrain.solvers.lattice.good_start import GOOD_STARTS, good_start
from annealtrain.solvers.solver import Solver

USUAL_SWEEPS = 20  # until no weight moves


class CoordinateDescent(Solver):
    """`solver=descent`: each weight in turn to its best level, until no weight moves.

    num_starts: the first start is `start`, the others are random; all are kept as reads.
    start: `present`, the grid's point closest to S0, or the levels that the weights of a fixed grid have; or `babai` or
    `beam`, see SimulatedAnnealing.
    """

    @checked("solver.", num_starts=READS, max_sweeps=whole(), start=one_of("present", *GOOD_STARTS))
    def __init__(self, num_starts: int = 1, max_sweeps: int = 1000, start: str = "present") -> None:
        self.num_starts, self.max_sweeps, self.start = num_starts, max_sweeps, start

    def effort(self, *, units: int, weights: int, bits: int) -> Effort:
        starts = counted(self.num_starts)
        seconds = units * starts * (READ_S + min(self.max_sweeps, USUAL_SWEEPS) * weights**2 * 1.2e-10)
        what = f"descent from {plural(starts, 'start')} for {plural(units, 'unit')}"
        return Effort(what, result_bytes(units, starts, weights), seconds, "solver.num_starts")

    def sample_batch(
        self, forms: Sequence[QuadraticForm], seeds: Sequence[np.random.SeedSequence]
    ) -> list[tuple[Array, dict[str, float]]]:
        if self.start == "present" or not forms[0].couplings.indices.size:
            firsts = [form.present_levels for form in forms]
        else:
            firsts = list(good_start(self.start, forms, seeds).levels)
        found = thread_pool.parallel_map(lambda unit: self._reads(*unit), list(zip(forms, seeds, firsts, strict=True)))
        return [(reads, {}) for reads in found]

    def _reads(self, form: QuadraticForm, seed: np.random.SeedSequence, first: Array) -> Array:
        reads = []
        for start in range(self.num_starts):
            thread_pool.check_cancelled()
            levels = first
            if start:
                levels = generator(seed, start).integers(0, form.encoding.top_level + 1, form.S0.size)
            reads.append(form.nearest_levels(descend(form, form.weights(levels), form.encoding.step, self.max_sweeps)))
        return np.array(reads)


class RoundedLeastSquares(Solver):
    """`solver=rounded`: the continuous minimum in the box, rounded to the closest levels."""

    @checked("solver.", max_sweeps=whole())
    def __init__(self, max_sweeps: int = 1000) -> None:
        self.max_sweeps = max_sweeps

    def sample(self, form: QuadraticForm, seed: np.random.SeedSequence) -> tuple[Array, dict[str, float]]:
        scale = abs(float(form.energy(form.S0))) + abs(form.E0)
        box = descend(form, form.S0, 0.0, self.max_sweeps, 1e-10 * scale)
        return form.nearest_levels(box)[None], {}
