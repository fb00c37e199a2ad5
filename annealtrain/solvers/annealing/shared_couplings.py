"""All units of one J annealed together from their present weights: no object and no bound for each of many units."""

import time

import numpy as np

from annealtrain import _anneal
from annealtrain.hamiltonian.layer_problem import LayerProblem
from annealtrain.hamiltonian.quadratic import QuadraticForm
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
    couplings, wide, delta, (M, live) = form.couplings, _anneal.lanes(), form.encoding.bit_changes, fields.shape
    keys, lane_betas = seed.generate_state(2 * M).reshape(M, 2), to_float32(betas)
    whole = _anneal.MAX_LANES // wide  # rows of levels that fill 64 bytes: each group's begin on such a border
    rows = -(-live // whole) * whole
    all_levels = memory.aligned((-(-M // wide) * rows, wide), np.int32).reshape(-1, rows, wide)[:, :live]
    all_fields = memory.aligned((M, couplings.packed.shape[1]), np.float32)
    all_levels[:] = form.encoding.middle_level
    all_fields[:, :live] = fields
    sweep_s = lanes_sweep_s(live, form.bits)

    def group(units: slice) -> tuple[Array, int]:
        levels, count = all_levels[units.start // wide], units.stop - units.start
        filled = np.minimum(np.arange(units.start, units.start + wide), M - 1)
        filled[count:] = units.start  # lanes without a chain are like the first
        own_keys, own_betas = np.ascontiguousarray(keys[filled].T), np.ascontiguousarray(lane_betas[:, filled])
        flips, total = np.zeros(wide, np.int32), 0
        for part in timed_blocks(len(betas), sweep_s):
            _anneal.anneal_lanes(
                couplings.packed,
                couplings.packed_diagonal,
                delta,
                _anneal.MOVES[move],
                own_betas[part],
                part.start,
                own_keys,
                all_fields[units],
                levels,
                flips,
            )
            total += int(flips[:count].sum())
            flips[:] = 0
        return levels[:, :count].T, total

    parts = thread_pool.chunks(M, wide)
    ends = thread_pool.parallel_map(group, parts, seconds=len(parts) * len(betas) * sweep_s)
    return np.concatenate([end[0] for end in ends]), all_fields[:, :live], sum(end[1] for end in ends)
