"""All units of one J annealed together from their present weights: no object and no bound for each of many units."""

import time

import numpy as np

from annealtrain.hamiltonian.layer_problem import LayerProblem
from annealtrain.hamiltonian.quadratic import QuadraticForm
from annealtrain.runtime import memory, thread_pool
from annealtrain.runtime.array_types import Array
from annealtrain.runtime.random_streams import Seed, stream
from annealtrain.solvers.annealing.cost_model import lanes_sweep_s
from annealtrain.solvers.annealing.lanes import ChainEnds, Lanes, group_jobs
from annealtrain.solvers.annealing.markov_chains import to_float32
from annealtrain.solvers.annealing.temperatures import Cooling
from annealtrain.solvers.solver import SolveResult
from annealtrain.solvers.statistics import with_rates


def anneal_batch(problem: LayerProblem, cooling: Cooling, seed: Seed) -> SolveResult:
    """Return the result of one chain a unit, each from the grid's point closest to S0; lower bounds are -inf.

    The chain of unit i has the words 2i, 2i + 1 of the seed's stream as its key, whatever the lanes and threads.
    """
    started = time.perf_counter()
    form = problem.unit(0)
    couplings, (M, N), encoding = form.couplings, problem.S0.shape, form.encoding
    live = couplings.indices
    S0, h = problem.S0[:, live], problem.h[:, live]
    if np.any(couplings.ridge):
        h = h - 2 * couplings.ridge * S0
    J = couplings.J if live.size == N else couplings.J[np.ix_(live, live)]
    base = S0 @ J if S0.any() else np.zeros_like(S0)  # J S0
    betas = cooling.of_all_units(problem, couplings.diagonal[live], h + 2 * base)
    levels = np.zeros((M, 1, N), np.int32)
    weights = problem.S0[:, None].copy()
    energies = problem.E0 + (S0 * (base + h)).sum(axis=1)
    start_energies, flips = energies.copy(), 0
    if live.size:
        fields = h + 2 * (base + encoding.offsets(encoding.middle_level) * J.sum(axis=0))
        found, fields, flips = _run_all(form, cooling.move, betas, stream(seed), fields)
        levels[:, 0, live] = found
        S = S0 + encoding.offsets(found)
        weights[:, 0, live] = S
        energies = problem.E0 + 0.5 * (S * (fields + h)).sum(axis=1)  # the fields are h + 2 J S
    stats = {
        "sweeps": len(betas),
        "beta_first": float(betas[0].mean()),
        "beta_last": float(betas[-1].mean()),
        "flips": flips,
        "visits": live.size * (problem.bits if cooling.move == "bit" else 1) * len(betas) * M,
        "build_s": 0.0,
        "anneal_s": time.perf_counter() - started,
        "bound_s": 0.0,
    }
    bounds = np.full(M, -np.inf)
    return SolveResult(levels, weights, energies[:, None], start_energies, bounds, with_rates(stats), problem.bits)


def _run_all(
    form: QuadraticForm, move: str, betas: Array, seed: np.random.SeedSequence, fields: Array
) -> tuple[Array, Array, int]:
    """Return the last levels (M, live) and fields (M, live) of all units' chains, and the flips of all.

    form: any unit's. betas: (sweeps, M). fields: h + 2 J S at the middle level of every weight, (M, live).
    """
    couplings, delta, (M, live) = form.couplings, form.encoding.bit_changes, fields.shape
    keys, lane_betas = seed.generate_state(2 * M).reshape(M, 2), to_float32(betas).T
    all_fields = memory.aligned((M, couplings.packed.shape[1]), np.float32)
    all_fields[:, :live] = fields
    levels = np.full((M, live), form.encoding.middle_level, np.int32)

    def run(units: slice) -> ChainEnds:
        own = (lane_betas[units], keys[units], all_fields[units], levels[units])
        return Lanes.of(couplings, delta, *own).run(move)

    group_s = len(betas) * lanes_sweep_s(live, form.bits)
    parts, seconds = group_jobs(M, group_s)
    ends = thread_pool.parallel_map(run, parts, seconds=seconds)
    found = ends[0].levels if len(ends) == 1 else np.concatenate([end.levels for end in ends])
    return found, all_fields[:, :live], sum(int(end.flips.sum()) for end in ends)
