"""Simulated annealing, Eqs. (30), (31): what is annealed how fast, on the compiled kernel's chains."""

import math
import time
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from annealtrain import _anneal, parallel
from annealtrain.errors import InputError
from annealtrain.problem import LayerProblem
from annealtrain.quadratic import QuadraticForm
from annealtrain.schedule import Schedule
from annealtrain.solvers.base import Array, Seed, Solver, SolveResult, Watch, combined, stream, with_rates
from annealtrain.solvers.chains import (
    Chain,
    End,
    alone,
    alone_sweep_s,
    lanes_sweep_s,
    side_by_side,
    spread,
    start_levels,
)
from annealtrain.solvers.rows import Lane, SharedRows, seconds
from annealtrain.solvers.settings import at_epoch, inverse_temperatures, is_scheduled, positive, started, whole
from annealtrain.solvers.together import anneal_together

ORDERS = ("sequential", "random")
STARTS = ("random", "present")
# Inverse temperature to begin with, times the typical |dE| of a top bit's flip. Slice moves have no cliffs to climb.
FIRST_BETA = {"bit": 10.0, "slice": 100.0, "greedy": 10.0}
COLDEST = 1e15  # times the first: float32 fields tell nothing finer apart


def automatic_beta_range(form: QuadraticForm, move: str = "bit") -> tuple[float, float]:
    """Return (beta0, beta1) of one unit, in 1 / loss: hot enough to move the top bit, cold enough for the lowest.

    For a general Ising problem (some J_jj <= 0) it comes from the largest and smallest typical |dE| of one flip.
    """
    live = form.couplings.indices
    diagonal = form.couplings.diagonal[live]
    field = form.gradient(form.S0)[live]
    if np.all(diagonal > 0):
        return convex_beta_range(diagonal, field, form.step, form.bits, move)
    # The size of dE at random levels: the lowest bit's for the coldest weight, the top bit's for the hottest.
    size = form.step * np.sqrt(field**2 + ((2 * form.half_range * form.couplings.live_J) ** 2).sum(axis=1))
    size = size[size > 0]
    if not size.size:
        return 1.0, 1.0
    first = 0.2 / (size.max() * 2 ** (form.bits - 1))
    return first, min(30 / size.min(), COLDEST * first)


def convex_beta_range(diagonal: Array, field: Array, step: float, bits: int, move: str) -> tuple[Any, Any]:
    """Return the automatic range of live weights with J_jj > 0 (live,) and dE/dS at S0 (..., live)."""
    top = step * 2 ** (bits - 1)
    # One of many thousand small solves of a run: sums and minima are several times faster than np.mean and np.clip.
    square = ((top * field) ** 2 + (top**2 * diagonal) ** 2).sum(axis=-1) / len(diagonal)
    first = FIRST_BETA[move] / np.sqrt(square)
    return first, np.minimum(np.maximum(100 / (step**2 * (diagonal.sum() / len(diagonal))), first), COLDEST * first)


def cooling(first: Any, last: Any, num_sweeps: int) -> Array:
    """Return geometric inverse temperatures (num_sweeps, ...), from first to last, each a number or (...)."""
    if num_sweeps == 1:
        return np.array([last])
    whole = np.log(last / first)
    logs = np.multiply.outer(np.arange(num_sweeps), whole / (num_sweeps - 1))
    logs[-1] = whole
    return first * np.exp(logs)


class SimulatedAnnealing(Solver):
    """`solver=sa`. Every read starts from random spins.

    num_sweeps: visits of each spin; a schedule makes it depend on the epoch.
    num_reads: independent reads a unit, all kept; training uses the best.
    beta_range: [first, last] inverse temperature over the sweeps of one solve, geometric; null: chosen for each unit.
    beta: instead, one inverse temperature for a whole solve; a schedule over the epochs is the paper's annealing.
    move: `bit`, Metropolis on spins, the paper; `slice`, overrelaxed slice sampling of a weight's level, the same
    Boltzmann law without Hamming cliffs; `greedy`, each weight to its best level, the limit of infinite beta.
    order: `sequential`, weight after weight from the top bit down, in blocks of 32 weights whose order is another in
    each sweep; or `random`, the paper's: a new permutation of the spins for each sweep (the same law, slower; for bit
    moves).
    start: `random` spins for every read, or `present`: the grid's point closest to the present weights.
    time_limit_s: stop sweeping so many seconds after a solve began, wherever the schedule is, so that results depend
    on the clock; every unit is annealed for at least a few milliseconds. null: never.
    Given betas are in 1 / (loss of one output site), as in the author's code behind the paper's figures.
    run_chain: runs one chain, see chains.alone; null: the compiled kernel, side by side where chains share J.
    """

    def __init__(
        self,
        num_sweeps: int | Schedule = 100,
        num_reads: int = 1,
        beta_range: Sequence[float] | None = None,
        beta: float | Schedule | None = None,
        move: str = "bit",
        order: str = "sequential",
        start: str = "random",
        time_limit_s: float | None = None,
        run_chain: Callable[[Chain, Watch], End] | None = None,
    ) -> None:
        if move not in _anneal.MOVES:
            raise InputError(f"solver.move={move!r} is not one of {', '.join(_anneal.MOVES)}")
        if order not in ORDERS:
            raise InputError(f"solver.order={order!r} is not one of {', '.join(ORDERS)}")
        if order == "random" and move != "bit":
            raise InputError(f"solver.order=random is for move=bit; move={move} visits weight after weight")
        if start not in STARTS:
            raise InputError(f"solver.start={start!r} is not one of {', '.join(STARTS)}")
        if not is_scheduled("num_sweeps", num_sweeps):
            whole("num_sweeps", num_sweeps)
        whole("num_reads", num_reads)
        inverse_temperatures(beta, beta_range)
        if time_limit_s is not None:
            positive("time_limit_s", time_limit_s)
        self.num_sweeps, self.num_reads, self.move, self.order = num_sweeps, num_reads, move, order
        self.beta_range, self.beta, self.time_limit_s, self.run_chain = beta_range, beta, time_limit_s, run_chain
        self.start = start

    def at_epoch(self, epoch: int, epochs: int) -> "SimulatedAnnealing":
        return at_epoch(self, ("num_sweeps", "beta"), epoch, epochs)

    def betas(self, form: QuadraticForm) -> Array:
        """Return the inverse temperature of each sweep, (num_sweeps,), in 1 / loss."""
        return self._betas(lambda: automatic_beta_range(form, self.move), form.sites)

    def _betas(self, automatic: Callable[[], tuple[float, float]], sites: float) -> Array:
        if isinstance(self.num_sweeps, Schedule) or isinstance(self.beta, Schedule):
            raise InputError("this solver's settings change with the epoch: call at_epoch(epoch, epochs) first")
        if self.beta is not None:
            return np.full(self.num_sweeps, self.beta / sites)
        first, last = (beta / sites for beta in self.beta_range) if self.beta_range is not None else automatic()
        return cooling(first, last, self.num_sweeps)

    def solve(
        self, problem: LayerProblem, *, seed: Seed = 0, progress: Callable[[float], None] | None = None
    ) -> SolveResult:
        watched = started(self, self.time_limit_s, progress, self.num_reads)
        if self._goes_together(problem):
            result = anneal_together(problem, self.move, lambda *moments: self._all_betas(problem, *moments), seed)
        elif self._goes_by_rows(problem):
            result = watched._solve_by_rows(problem, seed)
        else:
            result = Solver.solve(watched, problem, seed=seed)
        if progress:
            progress(problem.num_units)
        return result

    def _goes_together(self, problem: LayerProblem) -> bool:
        """Whether no bound is wanted, and the plain chains start alike: one of the many solves of mini-batches."""
        is_plain = not (self.run_chain or self.order == "random" or self.num_reads > 1 or self.time_limit_s)
        return problem.is_shared and not problem.convex and self.start == "present" and is_plain

    def _all_betas(self, problem: LayerProblem, diagonal: Array, gradients: Array) -> Array:
        """Return the inverse temperatures of all units, (num_sweeps, M), in 1 / loss."""
        if self.move == "greedy":
            assert isinstance(self.num_sweeps, int)
            return np.ones((self.num_sweeps, problem.num_units))  # it reads none
        if self.beta is not None or self.beta_range is not None:
            return np.repeat(self._betas(lambda: (1.0, 1.0), problem.sites)[:, None], problem.num_units, axis=1)
        if (diagonal > 0).all():
            first, last = convex_beta_range(diagonal, gradients, problem.step, problem.bits, self.move)
        else:
            pairs = [automatic_beta_range(problem.unit(i), self.move) for i in range(problem.num_units)]
            first, last = np.transpose(pairs)
        assert isinstance(self.num_sweeps, int)
        return cooling(first, last, self.num_sweeps)

    def _goes_by_rows(self, problem: LayerProblem) -> bool:
        """Whether units that differ in J are faster annealed side by side on their shared inputs."""
        if problem.is_shared or problem.rows is None or self.run_chain or self.order == "random":
            return False
        formed, by_rows = seconds(problem, problem.num_units * self.num_reads, len(self._betas(lambda: (1, 1), 1)))
        return by_rows < formed

    def _solve_by_rows(self, problem: LayerProblem, seed: Seed) -> SolveResult:
        started = time.perf_counter()
        rows, (M, N), R = SharedRows(problem), problem.S0.shape, self.num_reads
        live, step = rows.columns.size, 2 * problem.half_range / (2**problem.bits - 1)
        slope, betas, lanes = rows.gradients(problem.S0), [], []
        for i in range(M):
            own = rows.live[i]
            diagonal = rows.diagonal[i, own] + rows.ridge[i]
            pair = (1.0, 1.0)
            if own.any():
                pair = convex_beta_range(diagonal, slope[i, own], step, problem.bits, self.move)
            betas.append(self._betas(lambda pair=pair: pair, problem.sites))  # type: ignore[misc]
            for read in range(R):
                source = stream(seed, i, read)
                start = start_levels(source, live, problem.bits, self.start == "present")
                lanes.append(Lane(i, source.generate_state(2), start, betas[i]))
        built = time.perf_counter()
        ends = rows.run_all(lanes, problem.bits, self.move, self.watch)
        found = np.array([end.levels for end in ends]).reshape(M, R, live)
        levels = np.zeros((M, R, N), dtype=np.int32)
        levels[:, :, rows.columns] = found
        weights = np.stack([rows.weights(found[:, r], problem.bits) for r in range(R)], axis=1)
        energies = np.stack([rows.energies(weights[:, r]) for r in range(R)], axis=1)
        order = np.argsort(energies, axis=1, kind="stable")
        levels, weights = (np.take_along_axis(each, order[:, :, None], axis=1) for each in (levels, weights))
        energies = np.take_along_axis(energies, order, axis=1)
        annealed = time.perf_counter()
        bounds = rows.lower_bounds(weights[:, 0])
        visits = live * (problem.bits if self.move == "bit" else 1)
        stats = combined([chain_stats(beta, ends[R * i : R * (i + 1)], visits) for i, beta in enumerate(betas)])
        times = {"build_s": built - started, "anneal_s": annealed - built, "bound_s": time.perf_counter() - annealed}
        return SolveResult(levels, weights, energies, rows.energies(problem.S0), bounds, with_rates(stats | times))

    def sample(self, form: QuadraticForm, seed: np.random.SeedSequence) -> tuple[Array, dict[str, float]]:
        return self._sampled([form], [seed], parallel_groups=False)[0]

    def sample_shared(
        self, forms: Sequence[QuadraticForm], seeds: Sequence[np.random.SeedSequence]
    ) -> list[tuple[Array, dict[str, float]]]:
        return self._sampled(forms, seeds, parallel_groups=True)

    def _sampled(
        self, forms: Sequence[QuadraticForm], seeds: Sequence[np.random.SeedSequence], *, parallel_groups: bool
    ) -> list[tuple[Array, dict[str, float]]]:
        """Return levels (reads, N) and statistics of units that share one J, their reads spread over lanes."""
        couplings, R = forms[0].couplings, self.num_reads
        live = couplings.indices.size
        if not live:
            return [(np.zeros((R, form.S0.size), dtype=np.int32), chain_stats(np.zeros(1), [], 0)) for form in forms]
        if self.move != "bit" and np.any(couplings.diagonal < 0):
            raise InputError(f"solver.move={self.move} needs J_jj >= 0 for every weight: take move=bit")
        betas = [self.betas(form) for form in forms]
        chains = [
            Chain(form, beta, stream(seed, read), self.move, self.order == "random", self.start == "present")
            for form, beta, seed in zip(forms, betas, seeds, strict=True)
            for read in range(R)
        ]
        ends = self._run(chains, parallel.each if parallel_groups else _one_by_one)
        visits = live * (forms[0].bits if self.move == "bit" else 1)
        found = []
        for i, form in enumerate(forms):
            own = ends[R * i : R * (i + 1)]
            found.append((np.array([spread(form, end.levels) for end in own]), chain_stats(betas[i], own, visits)))
        return found

    def _run(self, chains: list[Chain], each: Callable[..., list[Any]]) -> list[End]:
        """Return the end of each chain; several share the kernel's lanes where that is faster."""
        wide, sweeps = _anneal.lanes(), len(chains[0].betas)
        if self.run_chain or self.order == "random" or len(chains) <= min(2, wide // 4):
            run_chain = self.run_chain or alone
            seconds = math.inf if self.run_chain else sweeps * alone_sweep_s(chains[0]) * len(chains)
            return each(lambda chain: run_chain(chain, self.watch), chains, seconds=seconds)
        groups = [chains[start : start + wide] for start in range(0, len(chains), wide)]
        seconds = sweeps * lanes_sweep_s(chains[0].form.couplings.indices.size, chains[0].form.bits) * len(groups)
        return [
            end
            for group in each(lambda group: side_by_side(group, self.watch), groups, seconds=seconds)
            for end in group
        ]


def _one_by_one(job: Callable[[Any], Any], items: Sequence[Any], seconds: float) -> list[Any]:
    return [job(item) for item in items]


def chain_stats(betas: Array, ends: Sequence[End], visits: int) -> dict[str, float]:
    """Return what is recorded of one unit's chains: sweeps done, the range of betas they came through, and counts.

    visits: of spins (or weights, for moves of whole levels) in one sweep of one chain.
    """
    swept = [end.sweeps for end in ends]
    return {
        "sweeps": sum(swept) / len(swept) if ends else len(betas),
        "beta_first": float(betas[0]),
        "beta_last": float(betas[max(swept, default=0) - 1]),
        "flips": sum(end.flips for end in ends),
        "visits": visits * sum(swept),
    }
