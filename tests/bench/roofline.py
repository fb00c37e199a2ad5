"""How close a slice sweep with full lanes comes to the matrix product that it cannot do without."""

import numpy as np

from annealtrain import _anneal
from bench.measure import timed
from bench.peers import Settings, build_ours, single_thread, solve_ours
from bench.problems import Problem

REPEATS = 15
SHORT, LONG = 20, 220  # sweeps: the difference of two runs has no start-up in it


def roofline(problem: Problem) -> dict[str, float]:
    """Return seconds of one sweep of all lanes, of its 2 lanes N^2 flops as BLAS does them, and their quotient.

    gemm_s: at the speed of the faster of two products, (N, N) by (N, lanes) and one large square, both float32 on
    one thread.
    """
    return single_thread(lambda: _measure(problem))


def _measure(problem: Problem) -> dict[str, float]:
    lanes, live = _anneal.lanes(), problem.form.couplings.indices.size
    generator = np.random.default_rng(0)
    J, lane_weights = generator.random((live, live), np.float32), generator.random((live, lanes), np.float32)
    square = generator.random((1024, 1024), np.float32)
    runs: dict[tuple[str, int], list[float]] = {(m, n): [] for m in ("slice", "greedy") for n in (SHORT, LONG)}
    thin, large = [], []
    for seed in range(REPEATS):
        for (move, count), seconds in runs.items():
            seconds.append(_seconds(problem, Settings(count, lanes, move=move), seed))
        thin.append(min(timed(lambda: J @ lane_weights)[1] for _ in range(20)))
        large.append(timed(lambda: square @ square)[1])
    flops = 2.0 * lanes * live * live
    rates = flops / min(thin), 2.0 * 1024**3 / min(large)
    slice_s, greedy_s = (
        (min(runs[move, LONG]) - min(runs[move, SHORT])) / (LONG - SHORT) for move in ("slice", "greedy")
    )
    gemm_s = flops / max(rates)
    return {
        "lanes": lanes,
        "live_weights": live,
        "slice_sweep_s": slice_s,
        "greedy_sweep_s": greedy_s,
        "gemm_s": gemm_s,
        "thin_gflops": rates[0] / 1e9,
        "square_gflops": rates[1] / 1e9,
        "kernel_gflops": flops / slice_s / 1e9,
        "share": gemm_s / slice_s,
    }


def _seconds(problem: Problem, settings: Settings, seed: int) -> float:
    layer = build_ours(problem, settings)
    return timed(lambda: solve_ours(layer, problem, settings, seed))[1]
