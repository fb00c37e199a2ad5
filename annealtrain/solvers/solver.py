"""The contract behind which every solver stands."""

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np

from annealtrain.hamiltonian.encoding import Encoding
from annealtrain.hamiltonian.layer_problem import LayerProblem
from annealtrain.hamiltonian.quadratic import QuadraticForm
from annealtrain.hamiltonian.substitution import of_one_range
from annealtrain.runtime import thread_pool
from annealtrain.runtime.array_types import Array
from annealtrain.runtime.random_streams import Seed, stream
from annealtrain.solvers.answers import checked_answer, checked_batch
from annealtrain.solvers.bounds import lower_bound
from annealtrain.solvers.deadline import UNWATCHED, Watch
from annealtrain.solvers.effort import Effort
from annealtrain.solvers.scoring import energies_together
from annealtrain.solvers.statistics import combine_units

if TYPE_CHECKING:
    import dimod
    import pandas


BETAS = {"beta_first", "beta_last"}  # statistics in 1 / energy


@dataclass(frozen=True)
class SolveResult:
    """What a solver found for the M units of a layer, its R reads sorted best first.

    levels: (M, R, N). weights: (M, R, N), the levels as weights. energies: (M, R). start_energies: (M,) at S0.
    lower_bounds: (M,), certified; -inf where J is not convex. stats: numbers for the record, summed or averaged
    over units. bits: spins of a weight. num_levels: None for 2^bits.
    """

    levels: Array
    weights: Array
    energies: Array
    start_energies: Array
    lower_bounds: Array
    stats: dict[str, float]
    bits: int
    num_levels: int | None = None

    @property
    def best_weights(self) -> Array:
        """The lowest-energy weights, (M, N)."""
        return self.weights[:, 0]

    @property
    def gap(self) -> float:
        """The certified relative gap of the sums over units, see `relative_gap`."""
        return relative_gap(self.energies[:, 0].sum(), self.start_energies.sum(), self.lower_bounds.sum())

    def to_dataframe(self) -> "pandas.DataFrame":
        """Return a row a unit and read: energy, that of S0, the unit's certified lower bound, levels and weights."""
        import pandas

        M, reads = self.energies.shape
        return pandas.DataFrame(
            {
                "unit": np.repeat(np.arange(M), reads),
                "read": np.tile(np.arange(reads), M),
                "energy": self.energies.ravel(),
                "start_energy": np.repeat(self.start_energies, reads),
                "lower_bound": np.repeat(self.lower_bounds, reads),
                "levels": list(self.levels.reshape(M * reads, -1)),
                "weights": list(self.weights.reshape(M * reads, -1)),
            }
        )

    def sampleset(self, unit: int) -> "dimod.SampleSet":
        """Return the reads of one unit as dimod has them: spins j n + a, energies the loss; dead weights included."""
        import dimod

        if not 0 <= unit < len(self.levels):
            raise ValueError(f"unit {unit}: there are {len(self.levels)} units, 0 to {len(self.levels) - 1}")
        spins = Encoding(1.0, self.bits, self.num_levels).spins(self.levels[unit])
        found: dimod.SampleSet = dimod.SampleSet.from_samples(spins, "SPIN", energy=self.energies[unit])
        return found


def relative_gap(energy: float, start_energy: float, lower_bound: float) -> float:
    """Return (E - bound) / (E(S0) - bound), at least 0; NaN where there is no bound."""
    if not np.isfinite(lower_bound):
        return float("nan")
    room = start_energy - lower_bound
    return float(max(energy - lower_bound, 0.0) / room) if room > 0 else 0.0


class Solver:
    """Finds low-energy levels of each unit of a LayerProblem; a subclass gives `sample`, or `sample_batch`.

    takes_all_units: units that differ in J are given to `sample_batch` together too, all their forms built.
    goes_on: it gains by beginning at the levels that a solve of nearly the same problem left.
    """

    takes_all_units = False
    goes_on = False
    is_metered = False  # a solve costs money, or waits in a queue: none is made for an estimate

    watch: Watch = UNWATCHED  # of the solve that this copy of a solver is for

    def resolve_schedules(self, epoch: int, epochs: int) -> "Solver":
        """Return this solver with the settings of one epoch (those given as a schedule)."""
        return self

    def check(self, *, bits: int, weights: Sequence[int]) -> None:
        """Raise InputError if a layer, with weights[k] weights a unit, is beyond what this solver takes."""

    def prepare(self, *, bits: int, weights: Sequence[int], units: Sequence[int], solves: Sequence[int]) -> None:
        """Get ready for a run that solves layer k solves[k] times; InputError if it cannot be.

        units[k] units of weights[k] weights are solved at once.
        """
        for k, (M, N) in enumerate(zip(units, weights, strict=True)):
            if effort := self.effort(units=M, weights=N, bits=bits):
                effort.require(thread_pool.width(), f"layer {k}: ")

    def calls(self, *, units: int, weights: int, bits: int) -> int:
        """Return how often a solve of so many units, given together, calls what does its work."""
        return 1

    def most_problems(self, *, units: int, weights: int, bits: int) -> tuple[int, int]:
        """Return how many problems a solve of so many units is at most, and the spins of the largest."""
        return units, weights * bits

    def effort(self, *, units: int, weights: int, bits: int) -> Effort | None:
        """Return what a solve of so many units asks of memory and time, None where nothing is estimated."""
        return None

    def require_effort(self, problem: LayerProblem) -> None:
        """Raise InputError where a solve asks more than there is, see `Effort.require`."""
        units, weights = problem.S0.shape
        if effort := self.effort(units=units, weights=weights, bits=problem.bits):
            effort.require(thread_pool.width())

    def sample(self, form: QuadraticForm, seed: np.random.SeedSequence) -> tuple[Array, dict[str, float]]:
        """Return levels (reads, N) of one unit and statistics; all random numbers come from `seed`."""
        if type(self).sample_batch is Solver.sample_batch:
            raise NotImplementedError
        return self.sample_batch([form], [seed])[0]

    def sample_batch(
        self, forms: Sequence[QuadraticForm], seeds: Sequence[np.random.SeedSequence]
    ) -> list[tuple[Array, dict[str, float]]]:
        """Return what `sample` does for each of several units that have one J; a solver may take them together."""
        return thread_pool.parallel_map(lambda unit: self.sample(*unit), list(zip(forms, seeds, strict=True)))

    def best_levels(
        self, problem: LayerProblem, *, seed: Seed = 0, progress: Callable[[float], None] | None = None
    ) -> Array:
        """Return the levels (M, N) of each unit's best read, for who needs nothing else; see `solve`."""
        return self.solve(problem, seed=seed, progress=progress).levels[:, 0]

    def solve(
        self, problem: LayerProblem, *, seed: Seed = 0, progress: Callable[[float], None] | None = None
    ) -> SolveResult:
        """Return low-energy levels of all units, best read first.

        The same seed gives the same result for any number of threads. progress(k): k units are done, the last time
        all of them; k is not whole where a solver tells between its sweeps.
        """
        if not problem.has_one_range:
            return solve_in_one_range(self, problem, seed, progress)
        self.require_effort(problem)
        units = range(problem.num_units)
        seeds = [stream(seed, i) for i in units]
        began = time.perf_counter()
        if problem.least_squares:
            problem.least_squares.prepare()
        prepared = (time.perf_counter() - began) / problem.num_units
        if problem.is_shared or self.takes_all_units:
            forms = thread_pool.parallel_map(problem.unit, units)
            started = time.perf_counter()
            samples = checked_batch(type(self).__name__, forms, self.sample_batch(forms, seeds))
            times = {"build_s": started - began, "anneal_s": time.perf_counter() - started}
            share = {stage: seconds / problem.num_units for stage, seconds in times.items()}
            together = energies_together(problem.is_shared, forms, [levels for levels, _ in samples])
            found = thread_pool.parallel_map(
                lambda i: _scored(problem, forms[i], *samples[i], share, together[i] if together else None),
                units,
                progress,
            )
        else:

            def one(i: int) -> tuple[Any, ...]:
                thread_pool.check_cancelled()
                started = time.perf_counter()
                form = problem.unit(i)
                built = time.perf_counter()
                levels, stats = checked_answer(type(self).__name__, form, self.sample(form, seeds[i]))
                times = {"build_s": prepared + built - started, "anneal_s": time.perf_counter() - built}
                return _scored(problem, form, levels, stats, times)

            found = thread_pool.parallel_map(one, units, progress)
        found = _of_one_length(found)
        levels, weights, energies, start, bounds = (_stacked([u[k] for u in found]) for k in range(5))
        stats = combine_units([u[5] for u in found])
        return SolveResult(levels, weights, energies, start, bounds, stats, problem.bits, problem.num_levels)


def solve_in_one_range(
    solver: Solver, problem: LayerProblem, seed: Seed, progress: Callable[[float], None] | None
) -> SolveResult:
    """Return the result of a problem with a range for each unit or weight: what a solver finds in units of them."""
    substitution = of_one_range(problem)
    found = solver.solve(substitution.problem, seed=seed, progress=progress)
    energies = found.energies * substitution.energy_unit[:, None]
    bounds = np.maximum(found.lower_bounds * substitution.energy_unit, problem.floor)
    # Each unit had betas of its own unit of energy; the mean is told in the typical one.
    typical = float(np.exp(np.log(substitution.energy_unit).mean()))
    stats = found.stats | {name: found.stats[name] / typical for name in BETAS & found.stats.keys()}
    return replace(
        found,
        weights=substitution.weights(problem, found.levels, found.weights),
        energies=energies,
        start_energies=found.start_energies * substitution.energy_unit,
        lower_bounds=bounds,
        stats=stats,
    )


def _scored(
    problem: LayerProblem,
    form: QuadraticForm,
    levels: Array,
    stats: dict[str, float],
    times: dict[str, float],
    known: tuple[Array, float] | None = None,
) -> tuple[Any, ...]:
    """Return one unit's part of a SolveResult: its reads sorted, their energies, and a certified bound.

    known: energies of the reads and of S0, where they were computed with those of other units.
    """
    thread_pool.check_cancelled()
    weights = form.weights(levels)
    energies, start = known or (form.energy(weights), form.energy(form.S0))
    order = energies.argsort(kind="stable")
    started = time.perf_counter()
    bound = max(lower_bound(form, weights[order[0]]), problem.floor) if problem.convex else -np.inf
    times = times | {"bound_s": time.perf_counter() - started}
    reads = (each.take(order, axis=0) for each in (levels, weights, energies))
    return *reads, start, bound, stats | times


def _stacked(parts: list[Any]) -> Array:
    """Return the parts of several units as one array; of a single unit not a copy."""
    return np.asarray(parts[0])[None] if len(parts) == 1 else np.array(parts)


def _of_one_length(units: list[tuple[Any, ...]]) -> list[tuple[Any, ...]]:
    """Return the units' parts with as many reads each: those with fewer (all weights dead) repeat their last one."""
    most = max(len(unit[0]) for unit in units)
    if all(len(unit[0]) == most for unit in units):
        return units
    rows = [np.minimum(np.arange(most), len(unit[0]) - 1) for unit in units]
    return [(*(part[row] for part in unit[:3]), *unit[3:]) for unit, row in zip(units, rows, strict=True)]
