"""How close a slice sweep with full lanes comes to the matrix product that it cannot do without."""

import numpy as np

from annealtrain import _anneal
from annealtrain.solvers.annealing.simulated_annealing import SimulatedAnnealing
from bench.measure import timed
from bench.peers import Settings, build_ours, single_thread
from bench.problems import Problem

REPEATS = 15
SHORT, LONG = 20, 220  # sweeps: the difference of two runs has no start-up in it


def roofline(problem: Problem) -> dict[str, float]:
    """Return seconds of one sweep of all lanes, of its matrix product as BLAS does it, and their quotient.

    gemm_s: 2 lanes N^2 flops at the speed of the faster of two products, (N, N) by (N, lanes) and one large square,
    both float32 on one thread. changed: the share of weights that a sweep changes; the kernel does only their part of
    the product, changed_share is that part's quotient.
    """
    return single_thread(lambda: _measure(problem))


def _measure(problem: Problem) -> dict[str, float]:
    lanes, live = _anneal.lanes(), problem.form.couplings.indices.size
    generator = np.random.default_rng(0)
    J, lane_weights = generator.random((live, live), np.float32), generator.random((live, lanes), np.float32)
    square = generator.random((1024, 1024), np.float32)
    runs: dict[int, list[tuple[float, float]]] = {SHORT: [], LONG: []}
    thin, large = [], []
    for seed in range(REPEATS):
        for sweeps, seen in runs.items():
            seen.append(_run(problem, SimulatedAnnealing(sweeps, lanes, move="slice"), seed))
        thin.append(min(timed(lambda: J @ lane_weights)[1] for _ in range(20)))
        large.append(timed(lambda: square @ square)[1])
    rates = 2.0 * lanes * live * live / min(thin), 2.0 * 1024**3 / min(large)
    slice_s = (min(s for s, _ in runs[LONG]) - min(s for s, _ in runs[SHORT])) / (LONG - SHORT)
    changes = (np.mean([c for _, c in runs[LONG]]) - np.mean([c for _, c in runs[SHORT]])) / (LONG - SHORT)
    changed = float(changes) / (lanes * live)
    flops = 2.0 * lanes * live * live
    gemm_s = flops / max(rates)
    return {
        "lanes": lanes,
        "live_weights": live,
        "slice_sweep_s": slice_s,
        "changed": changed,
        "gemm_s": gemm_s,
        "thin_gflops": rates[0] / 1e9,
        "square_gflops": rates[1] / 1e9,
        "share": gemm_s / slice_s,
        "changed_share": changed * gemm_s / slice_s,
    }


def _run(problem: Problem, solver: SimulatedAnnealing, seed: int) -> tuple[float, float]:
    """Return the seconds of a solve and the weights changed in it."""
    layer = build_ours(problem, Settings())
    result, seconds = timed(lambda: solver.solve(layer, seed=seed))
    return seconds, result.stats["flips"]
