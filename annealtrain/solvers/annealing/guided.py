"""Annealing by a schedule and from levels of a caller's own, and the energies on its way."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from annealtrain import _anneal
from annealtrain.errors import InputError
from annealtrain.hamiltonian.grid import numbers
from annealtrain.hamiltonian.layer_problem import LayerProblem
from annealtrain.hamiltonian.quadratic import QuadraticForm
from annealtrain.runtime import thread_pool
from annealtrain.runtime.array_types import Array
from annealtrain.runtime.validation import shown
from annealtrain.solvers.annealing.cost_model import Executor, lanes_sweep_s
from annealtrain.solvers.annealing.lanes import ChainEnds, Chains, Lanes, group_jobs
from annealtrain.solvers.annealing.markov_chains import scatter_live, to_float32
from annealtrain.solvers.annealing.rescaling import BETA_LIMIT, betas
from annealtrain.solvers.annealing.simulated_annealing import SimulatedAnnealing
from annealtrain.solvers.lattice.good_start import GoodStart

MOST_POINTS = 2**26  # of all trajectories: half a gigabyte


@dataclass
class Guide:
    """What a caller of `anneal` gives beside the settings of SimulatedAnnealing, and what is kept of the solve.

    betas, from beta_schedule: an inverse temperature for each sweep, in any order; there are as many sweeps.
    firsts, from initial_levels: all reads begin at these levels, (N,) or (M, N), 0 .. 2^bits - 1; what is hot at first
    forgets them. every, from record_every: energies are kept after every so many sweeps and the last, as
    `trajectories`. kept: of each unit its reads' last levels (R, N) and energies (R, points). recorded: the sweeps.
    energy: what 1 stands for in the problem's energies.
    """

    betas: Array | None = None
    firsts: Array | None = None
    every: int | None = None
    kept: dict[int, tuple[Array, Array]] = field(default_factory=dict)
    recorded: Array | None = None
    energy: float = 1.0

    def first(self, unit: int) -> Array | None:
        """Return the levels (N,) that a unit begins at, None for random ones."""
        return None if self.firsts is None else self.firsts[unit]


def guide_of(problem: LayerProblem, energy: float, schedule: Any, levels: Any, every: int | None) -> Guide:
    """Return what a caller gives, checked. energy: what 1 stands for in the problem's energies."""
    (M, N), top = problem.S0.shape, problem.encoding.top_level
    betas = None if schedule is None else own_betas(schedule, energy)
    return Guide(betas, None if levels is None else own_levels(levels, M, N, top), every, energy=energy)


def solver_of(guide: Guide, *, num_sweeps: int | None, beta_range: Any, **settings: Any) -> SimulatedAnnealing:
    """Return the solver by a guide; ValueError where its settings do not go with it."""
    beta_range = None if beta_range is None else betas(beta_range, guide.energy)
    if guide.betas is None and guide.firsts is None and guide.every is None:
        return SimulatedAnnealing(num_sweeps, beta_range=beta_range, **settings)
    if guide.betas is not None:
        if beta_range is not None:
            raise ValueError("beta_range and beta_schedule are given: leave one of them out")
        if num_sweeps not in (None, len(guide.betas)):
            count = len(guide.betas)
            raise ValueError(f"beta_schedule has {count} numbers, num_sweeps={num_sweeps}: leave num_sweeps out")
        num_sweeps = len(guide.betas)
    if guide.every is not None and (settings["order"] != "sequential" or settings["time_limit_s"] is not None):
        raise ValueError("record_every is for order=sequential without a time_limit_s: leave these out")
    solver = GuidedAnnealing(num_sweeps, beta_range=beta_range, **settings)
    solver.guide = guide
    return solver


class GuidedAnnealing(SimulatedAnnealing):
    """SimulatedAnnealing of problems whose units have one range of their levels, by a guide."""

    guide: Guide

    def executor(self, problem: LayerProblem) -> Executor:
        points = problem.num_units * self.num_reads * (self.cooling.num_sweeps // (self.guide.every or 2**62) + 1)
        if points > MOST_POINTS:
            raise InputError(f"record_every asks for {points} energies, at most {MOST_POINTS} are kept: record fewer")
        if self.guide.every is not None:
            sweeps = self.cooling.num_sweeps
            self.guide.recorded = np.append(np.arange(self.guide.every, sweeps, self.guide.every), sweeps)
        return Executor.LANES

    def _chains_begin(
        self, forms: Sequence[QuadraticForm], start: GoodStart | None
    ) -> tuple[list[Array], Sequence[QuadraticForm], Array | None]:
        betas, run_forms, firsts = super()._chains_begin(forms, start)
        return (betas if self.guide.betas is None else [self.guide.betas] * len(forms)), run_forms, firsts

    def run(self, chains: Chains, is_in_job: bool) -> ChainEnds:
        units, live = [seed.spawn_key[-1] for seed in chains.seeds], chains.forms[0].couplings.indices
        if self.guide.firsts is not None:
            chains = Chains(**{**vars(chains), "firsts": self.guide.firsts[units][:, live]})
        if self.guide.every is None:
            return super().run(chains, is_in_job)
        sweep_s = lanes_sweep_s(chains.live, chains.forms[0].bits)
        parts, seconds = group_jobs(len(chains), chains.betas.shape[1] * sweep_s)

        def recorded(part: slice) -> tuple[ChainEnds, Array]:
            return run_recorded(chains, part, self.guide.every or 1)

        found = (
            [recorded(part) for part in parts]
            if is_in_job
            else thread_pool.parallel_map(recorded, parts, seconds=seconds)
        )
        ends = ChainEnds(*(np.concatenate(each) for each in zip(*(end for end, _ in found), strict=True)))
        energies, reads = np.concatenate([path for _, path in found]), chains.reads
        for i, (unit, form) in enumerate(zip(units, chains.forms, strict=True)):
            own = slice(reads * i, reads * (i + 1))
            self.guide.kept[unit] = (scatter_live(form, ends.levels[own]), energies[own])
        return ends


def run_recorded(chains: Chains, part: slice, every: int) -> tuple[ChainEnds, Array]:
    """Return the ends of some chains, and their energies after every so many sweeps and the last: (chains, points)."""
    keys, levels, fields = chains.begin(part)
    unit = np.arange(part.start, part.stop) // chains.reads
    form, betas = chains.forms[0], to_float32(chains.betas)[unit]
    lanes = Lanes.of(form.couplings, form.encoding.bit_changes, betas, keys, fields, levels)
    groups, _, wide = lanes.levels.shape
    sweeps, flips, energies = betas.shape[1], np.zeros((groups, wide), np.int64), []
    for first in range(0, sweeps, every):
        thread_pool.check_cancelled()
        move, last = _anneal.MOVES[chains.move], min(first + every, sweeps)
        couplings = form.couplings.packed, form.couplings.packed_diagonal, lanes.delta
        _anneal.anneal_lanes(*couplings, move, lanes.betas, first, last, lanes.keys, fields, lanes.levels, flips)
        now = lanes.levels[:, : chains.live].transpose(0, 2, 1).reshape(-1, chains.live)[: len(unit)]
        energies.append(_energies(chains.forms, unit, now))
    return ChainEnds(now, flips.ravel()[: len(unit)], np.full(len(unit), sweeps)), np.array(energies).T


def _energies(forms: Sequence[QuadraticForm], unit: Array, levels: Array) -> Array:
    """Return the energies (chains,) of levels (chains, live), chain c of unit[c]."""
    found = np.empty(len(unit))
    for i in np.unique(unit):
        own = unit == i
        found[own] = forms[i].energy(forms[i].weights(scatter_live(forms[i], levels[own])))
    return found


def own_betas(beta_schedule: Any, energy: float) -> Array:
    """Return a schedule in 1 / (the problem's unit of energy), as far as float32 goes; ValueError for what is none."""
    given = np.atleast_1d(numbers("beta_schedule", beta_schedule))
    if given.ndim != 1 or not given.size or not np.all((given >= 0) & np.isfinite(given)):
        raise ValueError(f"beta_schedule={shown(beta_schedule)} is not a number of at least 0 for each sweep")
    return np.minimum(given * energy, BETA_LIMIT)


def own_levels(initial_levels: Any, units: int, weights: int, top: int) -> Array:
    """Return levels (M, N) int32 of those of all problems (N,), or of each (M, N); ValueError for others."""
    given = numbers("initial_levels", initial_levels)
    if given.shape not in ((weights,), (1, weights), (units, weights)):
        raise ValueError(f"initial_levels {given.shape} is neither {(weights,)} nor {(units, weights)}")
    if not np.all((given >= 0) & (given <= top) & (given == np.floor(given))):
        raise ValueError(f"initial_levels has values that are not whole numbers from 0 to {top}")
    return np.broadcast_to(given, (units, weights)).astype(np.int32)


def trajectories(guide: Guide, levels: Array, energies: Array) -> Array:
    """Return energies (M, R, points) of the reads in the order of levels (M, R, N), which end at energies (M, R)."""
    assert guide.recorded is not None
    found = np.repeat(energies[:, :, None], len(guide.recorded), axis=2)  # of a unit that nothing moves
    for unit, (kept, path) in guide.kept.items():
        order = np.empty(len(kept), np.intp)
        order[np.lexsort(levels[unit].T)] = np.lexsort(kept.T)
        found[unit] = path[order]
    return found
