"""Chains that share one J side by side in the lanes of the compiled kernel: the same bits as chain after chain."""

from collections.abc import Sequence

import numpy as np

from annealtrain import _anneal
from annealtrain.runtime.memory import aligned
from annealtrain.solvers.annealing.cost_model import lanes_sweep_s
from annealtrain.solvers.annealing.markov_chains import Chain, ChainResult, fields, timed_blocks, to_float32
from annealtrain.solvers.deadline import UNWATCHED, Watch


def run_lanes(chains: Sequence[Chain], watch: Watch = UNWATCHED) -> list[ChainResult]:
    """Return what `run_chain` does for each of at most _anneal.lanes() chains of one J.

    All have as many sweeps and the same move.
    """
    couplings, wide = chains[0].form.couplings, _anneal.lanes()
    live, used, sweeps = couplings.indices.size, len(chains), len(chains[0].betas)
    levels, lane_fields = aligned((live, wide), np.int32), aligned((used, couplings.packed.shape[1]), np.float32)
    keys, betas = np.empty((2, wide), np.uint32), np.empty((sweeps, wide), np.float32)
    for lane in range(wide):
        chain = chains[lane if lane < used else 0]
        levels[:, lane], keys[:, lane], betas[:, lane] = chain.start(), chain.key, to_float32(chain.betas)
    lane_fields[:, :live] = fields(chains, levels.T[:used])
    flips = np.zeros(wide, np.int32)
    total = np.zeros(wide, np.int64)
    sweep_s = lanes_sweep_s(live, chains[0].form.bits)
    swept = 0
    for part in timed_blocks(sweeps, sweep_s, watch, chains=used):
        _anneal.anneal_lanes(
            couplings.packed,
            couplings.packed_diagonal,
            chains[0].delta,
            _anneal.MOVES[chains[0].move],
            betas[part],
            part.start,
            keys,
            lane_fields,
            levels,
            flips,
        )
        total += flips
        flips[:] = 0
        swept = part.stop
    return [ChainResult(levels[:, lane].copy(), int(total[lane]), swept) for lane in range(used)]
