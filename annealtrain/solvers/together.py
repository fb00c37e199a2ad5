"""All units of one J annealed together from their present weights: no object and no bound for each of many units."""

import time
from collections.abc import Callable

import numpy as np

from annealtrain import _anneal, parallel
from annealtrain.problem import LayerProblem
from annealtrain.solvers.base import Array, Seed, SolveResult, stream
from annealtrain.solvers.chains import aligned, timed_blocks


def anneal_together(
    problem: LayerProblem, move: str, betas_of: Callable[[Array, Array], Array], seed: Seed
) -> SolveResult:
    """Return the result of one chain a unit, each from the grid's point closest to S0; lower bounds are -inf.

    betas_of(diagonal (live,), gradients at S0 (M, live)): inverse temperatures (sweeps, M). The chain of unit i has
    the words 2i, 2i + 1 of the seed's stream as its key, whatever the lanes and threads.
    """
    started = time.perf_counter()
    form = problem.unit(0)
    couplings, (M, N), wide = form.couplings, problem.S0.shape, _anneal.lanes()
    live, step, half_range = couplings.indices, form.step, problem.half_range
    S0, h = problem.S0[:, live], problem.h[:, live]
    if couplings.ridge:
        h = h - 2 * couplings.ridge * S0
    base = S0 @ couplings.live_J if S0.any() else np.zeros_like(S0)  # J S0
    middle = 2 ** (problem.bits - 1)
    offset = half_range / form.top_level * (2 * middle - form.top_level)
    fields = h + 2 * (base + offset * couplings.live_J.sum(axis=0))
    diagonal = couplings.packed.diagonal().copy()
    betas = betas_of(couplings.live_J.diagonal(), h + 2 * base).astype(np.float32)
    keys = stream(seed).generate_state(2 * M).reshape(M, 2)
    delta = (step * 2.0 ** np.arange(problem.bits)).astype(np.float32)

    def group(units: slice) -> tuple[Array, Array, Array]:
        used = units.stop - units.start
        levels, lane_fields = (
            aligned((live.size, wide), np.int32),
            aligned((couplings.blocks.shape[1], wide), np.float32),
        )
        lane_keys, lane_betas = np.zeros((2, wide), np.uint32), np.ones((len(betas), wide), np.float32)
        flips, total = np.zeros(wide, np.int32), np.zeros(wide, np.int64)
        levels[:] = middle
        lane_fields[: live.size, :used] = fields[units].T
        lane_keys[:, :used], lane_betas[:, :used] = keys[units].T, betas[:, units]
        for part in timed_blocks(len(betas), wide * live.size * (live.size * 3e-11 + problem.bits * 1e-9), np.inf):
            _anneal.anneal_lanes(
                couplings.blocks,
                diagonal,
                delta,
                _anneal.MOVES[move],
                lane_betas[part],
                part.start,
                lane_keys,
                lane_fields,
                levels,
                flips,
            )
            total += flips
            flips[:] = 0
        return levels[:, :used].T, lane_fields[: live.size, :used].T, total[:used]

    ends = parallel.each(group, parallel.blocks(M, wide)) if live.size else []
    levels = np.zeros((M, 1, N), np.int32)
    weights = problem.S0[:, None].copy()
    energies = problem.E0 + (S0 * (base + h)).sum(axis=1)
    start_energies = energies.copy()
    flips = 0
    if ends:
        found, last, turned = (np.concatenate([end[k] for end in ends]) for k in range(3))
        levels[:, 0, live] = found
        S = S0 + half_range / form.top_level * (2.0 * found - form.top_level)
        weights[:, 0, live] = S
        energies = problem.E0 + 0.5 * (S * (last + h)).sum(axis=1)  # the fields are h + 2 J S
        flips = int(turned.sum())
    visits = max(live.size * (problem.bits if move == "bit" else 1) * len(betas) * M, 1)
    stats = {
        "sweeps": len(betas),
        "beta_first": float(betas[0].mean()),
        "beta_last": float(betas[-1].mean()),
        "flips": flips,
        "acceptance": flips / visits,
        "build_s": 0.0,
        "anneal_s": time.perf_counter() - started,
        "bound_s": 0.0,
    }
    return SolveResult(levels, weights, energies[:, None], start_energies, np.full(M, -np.inf), stats)
