"""What `annealtrain.anneal` takes beside its kernel: many short reads of small problems, and one large problem.

    PYTHONPATH=tests python -m bench.reads

Both samplers are given one thread, the same spins, sweeps, reads and range of temperatures; the best of several turns.
"""

import time
from collections.abc import Callable
from typing import Any

import dimod
import numpy as np
from dwave.samplers import SimulatedAnnealingSampler

import annealtrain

TURNS, READS, SWEEPS, BETAS = 15, 1000, 10, (0.1, 10.0)


def spin_glass(N: int) -> tuple[np.ndarray, np.ndarray]:
    """Return J (N, N) and h (N,), normal random numbers."""
    random = np.random.default_rng(N)
    J = random.normal(size=(N, N))
    return (J + J.T) * (1 - np.eye(N)) / 2, random.normal(size=N)


def seconds(call: Callable[[], Any]) -> float:
    """Return the least of several turns."""
    times = []
    for _ in range(TURNS):
        started = time.perf_counter()
        call()
        times.append(time.perf_counter() - started)
    return min(times)


def many_reads(N: int) -> tuple[float, float]:
    """Return the seconds of `anneal` and of D-Wave's neal for many reads of N spins."""
    (J, h), sampler = spin_glass(N), SimulatedAnnealingSampler()
    row, column = np.nonzero(np.triu(J, 1))
    model = dimod.BinaryQuadraticModel.from_numpy_vectors(h, (row, column, 2 * J[row, column]), 0.0, "SPIN")
    settings: dict[str, Any] = {"num_reads": READS, "num_sweeps": SWEEPS, "beta_range": BETAS}
    ours = seconds(lambda: annealtrain.anneal(J, h, threads=1, **settings))
    return ours, seconds(lambda: sampler.sample(model, seed=0, **settings))


def one_large(N: int, bits: int) -> tuple[float, float]:
    """Return the seconds of a whole call of `anneal` for one convex problem, and of its annealing alone."""
    X = np.random.default_rng(1).normal(size=(2 * N, N))
    J, h, stats = X.T @ X / (2 * N), np.linspace(-1, 1, N), []
    whole = seconds(lambda: stats.append(annealtrain.anneal(J, h, bits=bits, threads=1).stats["anneal_s"]))
    return whole, min(stats)


def main() -> None:
    print(f"{READS} reads of {SWEEPS} sweeps | anneal, ms | neal, ms | neal / anneal")
    for N in (16, 64):
        ours, neal = many_reads(N)
        print(f"{N} spins | {1e3 * ours:.2f} | {1e3 * neal:.2f} | {neal / ours:.1f}")
    whole, annealing = one_large(1024, 8)
    print(f"1024 weights of 8 bits: whole call {1e3 * whole:.1f} ms, annealing {1e3 * annealing:.1f} ms, ", end="")
    print(f"ratio {whole / annealing:.2f}")


if __name__ == "__main__":
    main()
