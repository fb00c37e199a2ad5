"""A layer of the size of a language model's on two bits: seconds, memory and error: `python -m bench.large_layer`.

Inputs of spectrum 1/k in random directions, normal weights, one scale a unit. Seconds are of one core's work; "BLAS" is
what the matrix products of the same number of operations take, the factorisation included. The annealers get the first
`--annealed` units; their seconds are for all, by proportion.
"""

import argparse
import time
from collections.abc import Callable

import numpy as np
import scipy.fft

from annealtrain.optimizers.quantization.grid import Grid
from annealtrain.optimizers.quantization.rounding import quantize_layer
from annealtrain.runtime import thread_pool
from annealtrain.runtime.memory import resettable_peak_mb
from annealtrain.solvers.annealing.simulated_annealing import SimulatedAnnealing
from annealtrain.solvers.lattice.babai import Babai
from annealtrain.solvers.solver import Solver
from bench.report import markdown

BITS, SHRINK = 2, 0.6
SOLVERS: dict[str, tuple[Callable[[], Solver], bool]] = {
    "`babai`": (Babai, False),
    "`babai`, descent": (lambda: Babai(descent=True), True),
    "`sa`, `start=babai`, 20 sweeps": (lambda: SimulatedAnnealing(20, start="babai"), True),
    "`sa`, `start=babai`, 1,000 sweeps": (lambda: SimulatedAnnealing(start="babai"), True),
}


def second_moments(inputs: int, generator: np.random.Generator) -> np.ndarray:
    """Return H of spectrum 1/k: cosines with random signs and places are its directions."""
    signs, places = generator.choice([-1.0, 1.0], inputs), generator.permutation(inputs)
    H = np.diag(1 / np.arange(1.0, inputs + 1)[places])
    for axis in (0, 1):
        H = scipy.fft.dct(H, norm="ortho", axis=axis, overwrite_x=True)
    H *= signs[:, None] * signs
    found: np.ndarray = (H + H.T) / 2
    return found


def relative_error(H: np.ndarray, W: np.ndarray, levels: np.ndarray, scales: np.ndarray) -> float:
    D = Grid(BITS).weights(levels, scales[:, None]) - W
    return float(((D @ H) * D).sum() / ((W @ H) * W).sum())


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--inputs", type=int, default=4096)
    parser.add_argument("--units", type=int, default=4096)
    parser.add_argument("--annealed", type=int, default=256)
    words = parser.parse_args()
    N, M = words.inputs, words.units
    generator = np.random.default_rng(0)
    H, W = second_moments(N, generator), generator.normal(size=(M, N))
    scales = SHRINK * np.abs(W).max(axis=1)
    with thread_pool.threads(1):
        started = time.process_time()
        W @ H
        rate = 2.0 * M * N**2 / (time.process_time() - started)
        # S0 J, the triangle's solution and the rounding, M N^2 each but for a factor; and the factorisation.
        blas = (4.0 * M * N**2 + N**3 / 3) / rate
        rows = [["BLAS of `babai`'s operations", f"{blas:.1f}", "", ""]]
        for name, (make, is_part) in SOLVERS.items():
            own = min(words.annealed, M) if is_part else M
            resettable_peak_mb(reset=True)
            before, started = resettable_peak_mb(), time.process_time()
            levels = quantize_layer(H, W[:own], BITS, scales[:own], solver=make())
            seconds = (time.process_time() - started) * M / own
            peak = (resettable_peak_mb() or 0) - (before or 0)
            error = relative_error(H, W[:own], levels, scales[:own])
            rows.append([name, f"{seconds:.1f}", f"{peak:.0f}", f"{error:.4f}"])
            print(rows[-1], flush=True)
    print(markdown(["solver", "s", "MB beyond H and W", "error"], rows))


if __name__ == "__main__":
    main()
