"""Simulated annealing, Eqs. (30), (31): what is annealed how fast, on the compiled kernel's chains."""

import math
import time
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from annealtrain import _anneal
from annealtrain.errors import InputError
from annealtrain.hamiltonian.layer_problem import LayerProblem
from annealtrain.hamiltonian.quadratic import QuadraticForm
from annealtrain.runtime import thread_pool
from annealtrain.runtime.array_types import Array
from annealtrain.runtime.random_streams import Seed, stream
from annealtrain.runtime.validation import positive, whole
from annealtrain.schedule import Schedule
from annealtrain.solvers.annealing.cost_model import chain_sweep_s, estimate_cost, lanes_sweep_s
from annealtrain.solvers.annealing.markov_chains import (
    Chain,
    ChainResult,
    chain_stats,
    run_chain,
    run_lanes,
    scatter_live,
    start_levels,
)
from annealtrain.solvers.annealing.shared_couplings import anneal_batch
from annealtrain.solvers.annealing.shared_inputs import Lane, SharedInputs
from annealtrain.solvers.annealing.temperatures import automatic_beta_range, convex_beta_range, cooling
from annealtrain.solvers.deadline import Watch
from annealtrain.solvers.scheduled_settings import inverse_temperatures, is_scheduled, resolve_schedules, started
from annealtrain.solvers.solver import Solver, SolveResult
from annealtrain.solvers.statistics import combine_units, with_rates

ORDERS = ("sequential", "random")
STARTS = ("random", "present")


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
        run_chain: Callable[[Chain, Watch], ChainResult] | None = None,
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
        return resolve_schedules(self, ("num_sweeps", "beta"), epoch, epochs)

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
            result = anneal_batch(problem, self.move, lambda *moments: self._all_betas(problem, *moments), seed)
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
        formed, by_rows = estimate_cost(
            problem, problem.num_units * self.num_reads, len(self._betas(lambda: (1, 1), 1))
        )
        return by_rows < formed

    def _solve_by_rows(self, problem: LayerProblem, seed: Seed) -> SolveResult:
        started = time.perf_counter()
        rows, (M, N), R = SharedInputs(problem), problem.S0.shape, self.num_reads
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
        stats = combine_units([chain_stats(beta, ends[R * i : R * (i + 1)], visits) for i, beta in enumerate(betas)])
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
        ends = self._run(chains, thread_pool.parallel_map if parallel_groups else _one_by_one)
        visits = live * (forms[0].bits if self.move == "bit" else 1)
        found = []
        for i, form in enumerate(forms):
            own = ends[R * i : R * (i + 1)]
            found.append(
                (np.array([scatter_live(form, end.levels) for end in own]), chain_stats(betas[i], own, visits))
            )
        return found

    def _run(self, chains: list[Chain], each: Callable[..., list[Any]]) -> list[ChainResult]:
        """Return the end of each chain; several share the kernel's lanes where that is faster."""
        wide, sweeps = _anneal.lanes(), len(chains[0].betas)
        if self.run_chain or self.order == "random" or len(chains) <= min(2, wide // 4):
            chain_of = self.run_chain or run_chain
            seconds = (
                math.inf if self.run_chain else sweeps * chain_sweep_s(chains[0].spins, chains[0].live) * len(chains)
            )
            return each(lambda chain: chain_of(chain, self.watch), chains, seconds=seconds)
        groups = [chains[start : start + wide] for start in range(0, len(chains), wide)]
        seconds = sweeps * lanes_sweep_s(chains[0].form.couplings.indices.size, chains[0].form.bits) * len(groups)
        return [
            end for group in each(lambda group: run_lanes(group, self.watch), groups, seconds=seconds) for end in group
        ]


def _one_by_one(job: Callable[[Any], Any], items: Sequence[Any], seconds: float) -> list[Any]:
    return [job(item) for item in items]
