"""Simulated quantum annealing: path-integral Monte Carlo of spins in a falling transverse field.

The Suzuki-Trotter formula maps H = E(S) - Gamma sum sigma^x at inverse temperature beta to P slices of imaginary
time: each has the weight exp(-beta / P E(S^k)), and each spin the weight exp(K s^k s^(k+1)) with itself in the next
slice, K = -ln(tanh(beta Gamma / P)) / 2. The slices of a unit lie side by side in the kernel's lanes.
"""

from collections.abc import Callable, Sequence

import numpy as np

from annealtrain import _anneal
from annealtrain.errors import InputError
from annealtrain.hamiltonian.layer_problem import LayerProblem
from annealtrain.hamiltonian.quadratic import QuadraticForm
from annealtrain.runtime.array_types import Array
from annealtrain.runtime.memory import aligned
from annealtrain.runtime.random_streams import Seed, stream
from annealtrain.runtime.validation import READS, checked, first_and_last, number, one_of, optional, whole
from annealtrain.schedule import Schedule
from annealtrain.solvers.annealing.lanes import Chains
from annealtrain.solvers.annealing.markov_chains import (
    ChainResult,
    chain_stats,
    scatter_live,
    timed_blocks,
    to_float32,
)
from annealtrain.solvers.annealing.starts import better_reads, in_spins
from annealtrain.solvers.annealing.temperatures import automatic_beta_range, beta_range_of_start
from annealtrain.solvers.effort import Effort, counted, plural, result_bytes
from annealtrain.solvers.lattice.good_start import GOOD_STARTS, good_start
from annealtrain.solvers.scheduled_settings import COUNT, resolve_schedules, started
from annealtrain.solvers.solver import Solver, SolveResult, solve_in_one_range

# Automatic schedule: beta Gamma / P from slices nearly free of each other to slices locked together (K = .02 to 2.3).
FREE, LOCKED = 2.0, 0.01
SWEEP_BYTES, READ_S = 90, 5e-4  # of a sweep's schedules, and of the Python objects of a read
FROM_START = 0.25  # beta / P from a good start, times that of one chain: the slices together are colder
BetaRange = tuple[float, float] | None


class SimulatedQuantumAnnealing(Solver):
    """`solver=sqa`. Every read's result is the lowest slice at the end.

    num_sweeps: visits of each spin of each slice; a schedule makes it depend on the epoch.
    num_slices: P, a multiple of 16. num_reads: independent reads a unit.
    beta: inverse temperature of the quantum system, in 1 / (loss of one output site), constant over the sweeps.
    gamma_range: with it, [first, last] transverse field, in loss of one output site, geometric over the sweeps.
    Both null: chosen for each unit, beta / P rising over the range of `solver=sa` while the slices are locked.
    start: `random` spins in each slice; or `babai` or `beam`, one good point for all of them, see SimulatedAnnealing:
    beta / P is then that of `sa` from there, times 1/4, and a read that ends above the point gives way to it.
    time_limit_s: stop sweeping so many seconds after a solve began; null: never.
    """

    @checked(
        "solver.",
        num_sweeps=COUNT,
        num_slices=whole(1, 65_536, "as all slices are held at once"),
        num_reads=READS,
        beta=optional(number(above=0)),
        gamma_range=optional(first_and_last(number(above=0))),
        start=one_of("random", *GOOD_STARTS),
        time_limit_s=optional(number(above=0)),
    )
    def __init__(
        self,
        num_sweeps: int | Schedule = 100,
        num_slices: int = 16,
        num_reads: int = 1,
        beta: float | None = None,
        gamma_range: Sequence[float] | None = None,
        start: str = "random",
        time_limit_s: float | None = None,
    ) -> None:
        if num_slices % _anneal.MAX_LANES:
            raise InputError(f"solver.num_slices={num_slices} is not a multiple of {_anneal.MAX_LANES}")
        if (beta is None) != (gamma_range is None):
            raise InputError("solver.beta and solver.gamma_range belong together: set both, or neither")
        self.num_sweeps, self.num_slices, self.num_reads = num_sweeps, num_slices, num_reads
        self.beta, self.gamma_range, self.start, self.time_limit_s = beta, gamma_range, start, time_limit_s

    def resolve_schedules(self, epoch: int, epochs: int) -> "SimulatedQuantumAnnealing":
        return resolve_schedules(self, ("num_sweeps",), epoch, epochs)

    def schedules(self, form: QuadraticForm, beta_range: BetaRange = None) -> tuple[Array, Array]:
        """Return beta / P, in 1 / loss, and the ring coupling K of each sweep, both (num_sweeps,).

        beta_range: first and last beta / P where no beta is set; None: chosen from the form.
        """
        if isinstance(self.num_sweeps, Schedule):
            raise InputError(
                "this solver's settings change with the epoch: call resolve_schedules(epoch, epochs) first"
            )
        sweeps, P = self.num_sweeps, self.num_slices
        if self.beta is not None and self.gamma_range is not None:
            betas = np.full(sweeps, self.beta / form.sites / P)
            x = self.beta / P * np.geomspace(self.gamma_range[0], self.gamma_range[1], sweeps)
        else:
            first, last = beta_range or automatic_beta_range(form)
            betas = np.geomspace(first, last, sweeps)
            x = np.geomspace(FREE, LOCKED, sweeps)
        return betas, -0.5 * np.log(np.tanh(x))

    def solve(
        self, problem: LayerProblem, *, seed: Seed = 0, progress: Callable[[float], None] | None = None
    ) -> SolveResult:
        if not problem.has_one_range:
            return solve_in_one_range(self, problem, seed, progress)
        result = Solver.solve(started(self, self.time_limit_s, progress, self.num_reads), problem, seed=seed)
        if progress:
            progress(problem.num_units)
        return result

    def _sweep_s(self, live: int, bits: int) -> float:
        return self.num_slices * live * (bits * 4e-9 + live * 5e-11)

    def effort(self, *, units: int, weights: int, bits: int) -> Effort:
        sweeps, reads = counted(self.num_sweeps), counted(self.num_reads)
        seconds = units * reads * (READ_S + sweeps * self._sweep_s(weights, bits))
        slices = plural(self.num_slices, "slice")
        return Effort(
            f"annealing {plural(reads, 'read')} of {plural(sweeps, 'sweep')} and {slices} for {plural(units, 'unit')}",
            reads * self.num_slices * weights * 4 + result_bytes(units, reads, weights) + sweeps * SWEEP_BYTES,
            seconds if self.time_limit_s is None else 0.0,
            "solver.num_sweeps, solver.num_reads or solver.num_slices, or set solver.time_limit_s",
        )

    def sample(self, form: QuadraticForm, seed: np.random.SeedSequence) -> tuple[Array, dict[str, float]]:
        if self.start == "random" or not form.couplings.indices.size:
            return self._sampled(form, seed, None, None)
        start = good_start(self.start, [form], [seed])
        levels, excess = start.levels[0], float(start.excess[0])
        first, last = beta_range_of_start(form, excess)
        reads, stats = self._sampled(form, seed, levels, (first * FROM_START, last * FROM_START))
        return better_reads(form, levels, reads), stats

    def _sampled(
        self, form: QuadraticForm, seed: np.random.SeedSequence, first: Array | None, betas: BetaRange
    ) -> tuple[Array, dict[str, float]]:
        """Return levels (reads, N) and statistics of paths from levels (N,) or from random ones."""
        live = form.couplings.indices.size
        if not form.encoding.is_binary:
            first = None if first is None else in_spins(form, first)
            found, stats = self._sampled(form.spin_form(), seed, first, betas)
            return form.encoding.levels(2 * found - 1), stats
        if not live:
            return np.zeros((self.num_reads, form.S0.size), dtype=np.int32), chain_stats(np.zeros(1), [], [], 0)
        own = None if first is None else first[form.couplings.indices]
        ends = [self.slices(form, stream(seed, read), own, betas) for read in range(self.num_reads)]
        reads = []
        for end in ends:
            full = scatter_live(form, end.levels.T)
            reads.append(full[np.argmin(form.energy(form.weights(full)))])
        visits = live * form.bits * self.num_slices
        flips, sweeps = [end.flips for end in ends], [end.sweeps for end in ends]
        return np.array(reads), chain_stats(self.schedules(form, betas)[0], flips, sweeps, visits)

    def slices(
        self,
        form: QuadraticForm,
        seed: np.random.SeedSequence,
        first: Array | None = None,
        beta_range: BetaRange = None,
    ) -> ChainResult:
        """Return the end of a path: levels of the live weights in every slice, (live, P), and flips in all of them.

        It begins at the levels `first` (live,), or at random ones.
        """
        couplings, P = form.couplings, self.num_slices
        betas, ring = (to_float32(each) for each in self.schedules(form, beta_range))
        chains = Chains([form], [seed], betas[None], P, "bit", firsts=None if first is None else first[None])
        keys, first_levels, first_fields = chains.begin(slice(0, P))
        levels, own_fields = (aligned((couplings.indices.size, P), dtype) for dtype in (np.int32, np.float32))
        levels[:], own_fields[:] = first_levels.T, first_fields[:, : len(levels)].T
        keys = np.concatenate([keys.T.ravel(), stream(seed, P).generate_state(2)]).astype(np.uint32)
        flips, swept = 0, 0
        sweep_s = self._sweep_s(couplings.indices.size, form.bits)
        for part in timed_blocks(len(betas), sweep_s, self.watch):
            flips += _anneal.anneal_path_integral(
                couplings.packed,
                couplings.packed_diagonal,
                form.encoding.bit_changes,
                betas[part],
                ring[part],
                part.start,
                keys,
                own_fields,
                levels,
            )
            swept = part.stop
        return ChainResult(levels, flips, swept)
