"""How far solvers end above the certified optimum of small units on coarse grids: `python -m bench.optima`.

Inputs are pixels of the embedded digits, those that vary most; weights are normal, with one symmetric scale a unit. The
optimum is `exact`'s. A share of .05 is an error 5 % above it.
"""

import argparse
import time
from collections.abc import Callable

import numpy as np

from annealtrain.data import datasets
from annealtrain.hamiltonian.grid import in_words
from annealtrain.hamiltonian.layer_problem import LayerProblem
from annealtrain.runtime import thread_pool
from annealtrain.solvers.annealing.simulated_annealing import SimulatedAnnealing
from annealtrain.solvers.coordinate_descent import CoordinateDescent
from annealtrain.solvers.exact import Exact
from annealtrain.solvers.lattice.babai import Babai, Klein
from annealtrain.solvers.lattice.beam import Beam
from annealtrain.solvers.solver import Solver
from bench.report import markdown

SOLVERS: dict[str, Callable[[], Solver]] = {
    "`descent`": CoordinateDescent,
    "`babai`": Babai,
    "`babai`, descent": lambda: Babai(descent=True),
    "`klein`, 64 reads": Klein,
    "`beam`, 32": Beam,
    "`beam`, 256": lambda: Beam(256),
    "`sa`, `start=babai`": lambda: SimulatedAnnealing(start="babai"),
    "`sa`, `start=beam`": lambda: SimulatedAnnealing(start="beam"),
    "`sa`, random spins, slice, 16 reads": lambda: SimulatedAnnealing(1000, 16, move="slice"),
}
KINDS = ((40, 2, None), (40, None, 3), (56, 1, None))  # weights, bits, levels


def units(weights: int, bits: int | None, levels: int | None, count: int) -> LayerProblem:
    """Return the rounding of `count` random units that see so many pixels."""
    pixels = datasets.digits().train_images.reshape(-1, 64).astype(np.float64)
    seen = pixels[:, np.sort(np.argsort(-pixels.std(axis=0))[:weights])]
    W = np.random.default_rng(0).normal(size=(count, weights))
    scale = np.abs(W).max(axis=1) * (0.4 if bits == 1 else 0.7)
    return LayerProblem.of_rounding(seen.T @ seen / len(seen), W, scale, bits, num_levels=levels)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--units", type=int, default=8)
    words = parser.parse_args()
    columns: dict[str, list[str]] = {name: [] for name in ("`exact`, s a unit", "its nodes a unit", *SOLVERS)}
    with thread_pool.threads(1):
        for kind in KINDS:
            problem = units(*kind, words.units)
            problem.convex = False  # no bounds
            started = time.process_time()
            optimum = Exact().solve(problem)
            assert optimum.stats["certified"] == 1, "raise max_nodes"
            columns["`exact`, s a unit"].append(f"{(time.process_time() - started) / words.units:.2f}")
            columns["its nodes a unit"].append(f"{optimum.stats['nodes']:,.0f}")
            for name, make in SOLVERS.items():
                found = make().solve(problem).energies[:, 0]
                columns[name].append(f"{(found / optimum.energies[:, 0] - 1).mean():.3f}")
    heads = [f"{n} weights, {in_words(bits or 0, levels)}" for n, bits, levels in KINDS]
    print(markdown(["", *heads], [[name, *cells] for name, cells in columns.items()]))


if __name__ == "__main__":
    main()
