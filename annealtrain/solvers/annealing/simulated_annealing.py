"""Simulated annealing, Eqs. (30), (31): the policy; `cost_model` plans which executor of the kernel does the work."""

from collections.abc import Callable, Sequence

import numpy as np

from annealtrain import _anneal
from annealtrain.errors import InputError
from annealtrain.hamiltonian.layer_problem import LayerProblem
from annealtrain.hamiltonian.quadratic import QuadraticForm
from annealtrain.runtime import thread_pool
from annealtrain.runtime.array_types import Array
from annealtrain.runtime.random_streams import Seed, stream
from annealtrain.runtime.validation import READS, checked, number, one_of, optional, whole
from annealtrain.schedule import Schedule
from annealtrain.solvers.annealing.cost_model import (
    Executor,
    chain_sweep_s,
    plan,
    plan_chains,
)
from annealtrain.solvers.annealing.lanes import ChainEnds, Chains, run_lanes
from annealtrain.solvers.annealing.markov_chains import (
    Chain,
    ChainResult,
    chain_stats,
    run_chain,
    scatter_live,
)
from annealtrain.solvers.annealing.shared_couplings import anneal_batch
from annealtrain.solvers.annealing.shared_inputs import anneal_shared_inputs
from annealtrain.solvers.annealing.starts import PLAIN_STARTS, STARTS, better_reads, from_spins, in_spins
from annealtrain.solvers.annealing.temperatures import Cooling
from annealtrain.solvers.effort import READ_BYTES, READ_S, Effort, counted, plural, result_bytes
from annealtrain.solvers.lattice.blocks import search_blocks
from annealtrain.solvers.lattice.good_start import GOOD_STARTS, GoodStart, good_start
from annealtrain.solvers.scheduled_settings import (
    COUNT,
    INVERSE_TEMPERATURES,
    check_inverse_temperatures,
    resolve_schedules,
    started,
)
from annealtrain.solvers.solver import Solver, SolveResult, solve_in_one_range

ORDERS = ("sequential", "random")
SWEEP_BYTES, LANES_SWEEP_BYTES = 24, 70  # of a sweep's inverse temperatures, and what each thread makes of them
LANE_S, LANE_BYTES = 1e-6, 150  # of a read in a lane: it has no Python object of its own
FEW_SWEEPS = 10_000  # of all reads of a unit, for which nothing is estimated: it is one of many small solves
SWEEPS, SWEEPS_OF_GOOD_START = 100, 1000


class SimulatedAnnealing(Solver):
    """`solver=sa`. Every read starts from random spins, or all of a unit from one point.

    num_sweeps: visits of each spin; a schedule makes it depend on the epoch; null: 100, from a good
    start 1,000.
    num_reads: independent reads a unit, all kept; training uses the best.
    beta_range: [first, last] inverse temperature over the sweeps of one solve, geometric; null: chosen for each unit.
    beta: instead, one inverse temperature for a whole solve; a schedule over the epochs is the paper's annealing.
    move: `bit`, Metropolis on spins, the paper; `slice`, overrelaxed slice sampling of a weight's level, the same
    Boltzmann law without Hamming cliffs; `greedy`, each weight to its best level, the limit of infinite beta; null:
    `bit`, from a good start `slice`. Where levels are no power of two (ternary) all three move spins, see Encoding.
    order: `sequential`, weight after weight from the top bit down, in blocks of 32 weights whose order is another in
    each sweep; or `random`, the paper's: a new permutation of the spins for each sweep (the same law, slower; for bit
    moves).
    start: `random` spins for every read; `present`, the grid's point closest to the present weights; or a good point,
    for J that is positive semidefinite: `babai`, the best of a few successive roundings of each unit, or `beam`, that
    of a beam search, slower, and better where J is ill-conditioned. The first temperature is then such that the point
    is not forgotten, and a read that ends above it gives way to it. On a fixed grid (see WeightGrid) the first two are
    one: all reads begin at the levels that the weights have, and none ends above them; so do the good points' there.
    num_blocks: after its sweeps the best read of a unit goes through so many blocks of coupled weights, two to four
    fifths of all, each put on its best levels by a beam search, the others held; it needs J that is positive
    semidefinite.
    time_limit_s: stop sweeping so many seconds after a solve began, wherever the schedule is, so that results depend
    on the clock; every unit is annealed for at least a few milliseconds. null: never.
    Given betas are in 1 / (loss of one output site), as in the author's code behind the paper's figures.
    """

    @checked(
        "solver.",
        num_sweeps=optional(COUNT),
        num_reads=READS,
        **INVERSE_TEMPERATURES,
        move=one_of(*_anneal.MOVES, None),
        order=one_of(*ORDERS),
        start=one_of(*STARTS),
        num_blocks=whole(0),
        time_limit_s=optional(number(above=0)),
    )
    def __init__(
        self,
        num_sweeps: int | Schedule | None = None,
        num_reads: int = 1,
        beta_range: Sequence[float] | None = None,
        beta: float | Schedule | None = None,
        move: str | None = None,
        order: str = "sequential",
        start: str = "random",
        time_limit_s: float | None = None,
        num_blocks: int = 0,
    ) -> None:
        if order == "random" and move not in ("bit", None):
            raise InputError(f"solver.order=random is for move=bit; move={move} visits weight after weight")
        check_inverse_temperatures(beta, beta_range)
        self.num_sweeps: int | Schedule = num_sweeps or (SWEEPS if start in PLAIN_STARTS else SWEEPS_OF_GOOD_START)
        self.num_reads, self.move, self.order = num_reads, move, order
        self.beta_range, self.beta, self.time_limit_s, self.start = beta_range, beta, time_limit_s, start
        self.num_blocks = num_blocks
        self.goes_on = num_blocks > 0 and start in GOOD_STARTS

    def resolve_schedules(self, epoch: int, epochs: int) -> "SimulatedAnnealing":
        return resolve_schedules(self, ("num_sweeps", "beta"), epoch, epochs)

    @property
    def cooling(self) -> Cooling:
        """The inverse temperatures of one solve."""
        if isinstance(self.num_sweeps, Schedule) or isinstance(self.beta, Schedule):
            raise InputError(
                "this solver's settings change with the epoch: call resolve_schedules(epoch, epochs) first"
            )
        return Cooling(self.num_sweeps, self.chosen_move, self.beta, self.beta_range)

    @property
    def chosen_move(self) -> str:
        """The move, or what null stands for."""
        is_of_levels = self.start not in PLAIN_STARTS and self.order == "sequential"
        return self.move or ("slice" if is_of_levels else "bit")

    def solve(
        self, problem: LayerProblem, *, seed: Seed = 0, progress: Callable[[float], None] | None = None
    ) -> SolveResult:
        if not problem.has_one_range:
            return solve_in_one_range(self, problem, seed, progress)
        watched = started(self, self.time_limit_s, progress, self.num_reads)
        executor = self.executor(problem)
        if executor in (Executor.SHARED_COUPLINGS, Executor.SHARED_INPUTS):
            self.require_effort(problem)
        if executor is Executor.SHARED_COUPLINGS:
            result = anneal_batch(problem, self.cooling, seed)
        elif executor is Executor.SHARED_INPUTS:
            result = anneal_shared_inputs(
                problem,
                self.cooling,
                num_reads=self.num_reads,
                is_from_present=self.start == "present",
                seed=seed,
                watch=watched.watch,
            )
        else:
            result = Solver.solve(watched, problem, seed=seed)
        if progress:
            progress(problem.num_units)
        return result

    def require_effort(self, problem: LayerProblem) -> None:
        if self.num_reads * counted(self.num_sweeps) > FEW_SWEEPS:
            super().require_effort(problem)

    def effort(self, *, units: int, weights: int, bits: int) -> Effort:
        sweeps, reads = counted(self.num_sweeps), counted(self.num_reads)
        sweep_bytes = SWEEP_BYTES + LANES_SWEEP_BYTES * min(thread_pool.width(), reads * units)
        read_s, read_bytes = (READ_S, READ_BYTES) if self.order == "random" else (LANE_S, LANE_BYTES)
        seconds = units * reads * (read_s + sweeps * chain_sweep_s(weights * bits, weights))
        return Effort(
            f"annealing {plural(reads, 'read')} of {plural(sweeps, 'sweep')} for {plural(units, 'unit')}",
            units * reads * read_bytes + result_bytes(units, reads, weights) + sweeps * sweep_bytes,
            seconds if self.time_limit_s is None else 0.0,
            "solver.num_sweeps or solver.num_reads, or set solver.time_limit_s",
        )

    def executor(self, problem: LayerProblem) -> Executor:
        """Return the way in which a layer is annealed."""
        if self.start not in PLAIN_STARTS or problem.present is not None or self.num_blocks:
            return Executor.LANES  # J is formed
        return plan(
            problem,
            num_sweeps=self.cooling.num_sweeps,
            num_reads=self.num_reads,
            is_random_order=self.order == "random",
            is_from_present=self.start == "present",
            is_timed=self.time_limit_s is not None,
        )

    def sample(self, form: QuadraticForm, seed: np.random.SeedSequence) -> tuple[Array, dict[str, float]]:
        return self._sampled([form], [seed], is_in_job=True)[0]

    def sample_batch(
        self, forms: Sequence[QuadraticForm], seeds: Sequence[np.random.SeedSequence]
    ) -> list[tuple[Array, dict[str, float]]]:
        return self._sampled(forms, seeds, is_in_job=False)

    def _sampled(
        self, forms: Sequence[QuadraticForm], seeds: Sequence[np.random.SeedSequence], *, is_in_job: bool
    ) -> list[tuple[Array, dict[str, float]]]:
        """Return levels (reads, N) and statistics of units of one J. is_in_job: on one of the pool's threads."""
        couplings, R, move = forms[0].couplings, self.num_reads, self.chosen_move
        live = couplings.indices.size
        if not live:
            none = chain_stats(np.zeros(1), [], [], 0)
            return [(np.zeros((R, form.S0.size), dtype=np.int32), none) for form in forms]
        if move != "bit" and np.any(couplings.diagonal < 0):
            raise InputError(f"solver.move={move} needs J_jj >= 0 for every weight: take move=bit")
        start = None if self.start in PLAIN_STARTS else good_start(self.start, forms, seeds)
        betas, run_forms, firsts = self._chains_begin(forms, start)
        is_from_present = self.start == "present"
        chains = Chains(run_forms, seeds, np.array(betas), R, move, self.order == "random", is_from_present, firsts)
        ends = self.run(chains, is_in_job)
        visits = live * (forms[0].bits if move == "bit" or run_forms is not forms else 1)
        found = []
        for i, form in enumerate(forms):
            own = slice(R * i, R * (i + 1))
            levels = (scatter_live if run_forms is forms else from_spins)(form, ends.levels[own])
            begun = form.present if start is None else start.levels[i]
            if begun is not None:
                levels = better_reads(form, begun, levels)
            found.append((levels, chain_stats(betas[i], ends.flips[own], ends.sweeps[own], visits)))
        if self.num_blocks:
            self._search_blocks(forms, seeds, [levels for levels, _ in found])
        return found

    def _search_blocks(
        self, forms: Sequence[QuadraticForm], seeds: Sequence[np.random.SeedSequence], reads: Sequence[Array]
    ) -> None:
        """Put the best of each unit's reads (R, N) on what a search of blocks finds from it."""
        best = [int(form.energy(form.weights(each)).argmin()) for form, each in zip(forms, reads, strict=True)]
        levels = np.array([each[k] for each, k in zip(reads, best, strict=True)])
        seed = stream(seeds[0], self.num_reads)  # the reads have those before it
        found = search_blocks(forms, levels, seed, self.num_blocks, self.watch.deadline)
        for each, k, new in zip(reads, best, found, strict=True):
            each[k] = new

    def _chains_begin(
        self, forms: Sequence[QuadraticForm], start: GoodStart | None
    ) -> tuple[list[Array], Sequence[QuadraticForm], Array | None]:
        """Return each unit's inverse temperatures, form and first levels (units, live), which may be None: see Chains.

        Where levels are no power of two the chains are of spins, as weights of one bit.
        """
        cooling, firsts = self.cooling, None
        if start is None:
            betas = [cooling.of_unit(form) for form in forms]
            if forms[0].present is not None:
                firsts = np.array([form.present_levels[form.couplings.indices] for form in forms])
        else:
            betas = [cooling.of_start(form, excess) for form, excess in zip(forms, start.excess, strict=True)]
            firsts = start.levels[:, forms[0].couplings.indices]
        if forms[0].encoding.is_binary:
            return betas, forms, firsts
        if self.start == "present" and forms[0].present is None:
            firsts = np.full((len(forms), forms[0].couplings.indices.size), forms[0].encoding.middle_level)
        if firsts is not None:
            firsts = np.array([in_spins(form, first) for form, first in zip(forms, firsts, strict=True)])
        spin_forms = [form.spin_form() for form in forms]
        return (betas if start else [cooling.of_unit(form) for form in spin_forms]), spin_forms, firsts

    def run(self, chains: Chains, is_in_job: bool) -> ChainEnds:
        """Return the ends of the chains; several share the kernel's lanes where that is faster."""
        if self.order == "random" or plan_chains(len(chains)) is Executor.CHAINS:
            return self.run_each(lambda chain: run_chain(chain, self.watch), chains, is_in_job)
        return run_lanes(chains, self.watch, is_in_job=is_in_job)

    def run_each(self, run: Callable[[Chain], ChainResult], chains: Chains, is_in_job: bool) -> ChainEnds:
        """Return the ends of chains that are run one by one."""
        each = (chains[c] for c in range(len(chains)))
        if is_in_job or len(chains) == 1:
            ends = [run(chain) for chain in each]
        else:
            sweep_s = chain_sweep_s(chains.live * chains.forms[0].bits, chains.live)
            ends = thread_pool.parallel_map(run, each, seconds=len(chains) * chains.betas.shape[1] * sweep_s)
        return ChainEnds(*(np.array(part) for part in zip(*ends, strict=True)))
