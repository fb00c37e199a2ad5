"""All units of one J annealed together from their present weights: no object and no bound for each of many units."""

import time

import numpy as np

from annealtrain import _anneal
from annealtrain.hamiltonian.layer_problem import LayerProblem
from annealtrain.runtime import memory, thread_pool
from annealtrain.runtime.array_types import Array
from annealtrain.runtime.random_streams import Seed, stream
from annealtrain.solvers.annealing.cost_model import lanes_sweep_s
from annealtrain.solvers.annealing.markov_chains import timed_blocks, to_float32
from annealtrain.solvers.annealing.temperatures import Cooling
from annealtrain.solvers.solver import SolveResult
from annealtrain.solvers.statistics import with_rates


def anneal_batch(problem: LayerProblem, cooling: Cooling, seed: Seed) -> SolveResult:
    """Return the result of one chain a unit, each from the grid's point closest to S0; lower bounds are -inf.

    The chain of unit i has the words 2i, 2i + 1 of the seed's stream as its key, whatever the lanes and threads.
    """
    started = time.perf_counter()
    form = problem.unit(0)
    couplings, (M, N), wide = form.couplings, problem.S0.shape, _anneal.lanes()
    live, encoding = couplings.indices, form.encoding
    S0, h = problem.S0[:, live], problem.h[:, live]
    if couplings.ridge:
        h = h - 2 * couplings.ridge * S0
    J = couplings.J if live.size == N else couplings.J[np.ix_(live, live)]
    base = S0 @ J if S0.any() else np.zeros_like(S0)  # J S0
    offset = encoding.offsets(encoding.middle_level)
    fields = h + 2 * (base + offset * J.sum(axis=0))
    exact = cooling.of_all_units(problem, couplings.diagonal[live], h + 2 * base)
    betas = to_float32(exact)
    keys = stream(seed).generate_state(2 * M).reshape(M, 2)
    delta = encoding.bit_changes
    groups, stride = -(-M // wide), couplings.packed.shape[1]
    rows = live.size + live.size % 2  # so that each group's levels begin on a 64-byte border
    all_levels = memory.aligned((groups * rows, wide), np.int32).reshape(groups, rows, wide)[:, : live.size]
    all_fields = memory.aligned((M, stride), np.float32)
    all_levels[:] = encoding.middle_level
    all_fields[:, : live.size] = fields

    sweep_s = lanes_sweep_s(live.size, problem.bits)

    def group(units: slice) -> tuple[Array, int]:
        levels, lane_fields = all_levels[units.start // wide], all_fields[units]
        filled = np.minimum(np.arange(units.start, units.start + wide), M - 1)
        filled[units.stop - units.start :] = units.start  # lanes without a chain are like the first
        lane_keys, lane_betas = np.ascontiguousarray(keys[filled].T), np.ascontiguousarray(betas[:, filled])
        flips, total = np.zeros(wide, np.int32), 0
        for part in timed_blocks(len(betas), sweep_s):
            _anneal.anneal_lanes(
                couplings.packed,
                couplings.packed_diagonal,
                delta,
                _anneal.MOVES[cooling.move],
                lane_betas[part],
                part.start,
                lane_keys,
                lane_fields,
                levels,
                flips,
            )
            total += int(flips[: units.stop - units.start].sum())
            flips[:] = 0
        return levels[:, : units.stop - units.start].T, total

    parts = thread_pool.chunks(M, wide) if live.size else []
    ends = thread_pool.parallel_map(group, parts, seconds=len(parts) * len(betas) * sweep_s)
    levels = np.zeros((M, 1, N), np.int32)
    weights = problem.S0[:, None].copy()
    energies = problem.E0 + (S0 * (base + h)).sum(axis=1)
    start_energies = energies.copy()
    flips = 0
    if ends:
        found = np.concatenate([end[0] for end in ends])
        levels[:, 0, live] = found
        S = S0 + encoding.offsets(found)
        weights[:, 0, live] = S
        last = all_fields[:, : live.size]  # h + 2 J S
        energies = problem.E0 + 0.5 * (S * (last + h)).sum(axis=1)
        flips = sum(end[1] for end in ends)
    visits = live.size * (problem.bits if cooling.move == "bit" else 1) * len(betas) * M
    stats = {
        "sweeps": len(betas),
        "beta_first": float(exact[0].mean()),
        "beta_last": float(exact[-1].mean()),
        "flips": flips,
        "visits": visits,
        "build_s": 0.0,
        "anneal_s": time.perf_counter() - started,
        "bound_s": 0.0,
    }
    bounds = np.full(M, -np.inf)
    return SolveResult(levels, weights, energies[:, None], start_energies, bounds, with_rates(stats), problem.bits)
