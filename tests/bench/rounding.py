"""Solvers on synthetic layers to be put on coarse grids, beside GPTQ and descent: `python -m bench.rounding`.

Inputs of spectrum k^-p in random directions, normal weights, one symmetric scale a unit: the shrink of max |w| whose
rounding errs least. Errors are relative to what `babai` with descent leaves, summed over units; seconds are of a
core's work, bounds not counted.
"""

import argparse
import time
from collections.abc import Callable, Sequence

import numpy as np

from annealtrain.hamiltonian.layer_problem import LayerProblem
from annealtrain.runtime import thread_pool
from annealtrain.solvers.annealing.path_integral import SimulatedQuantumAnnealing
from annealtrain.solvers.annealing.simulated_annealing import SimulatedAnnealing
from annealtrain.solvers.lattice.babai import Babai, Klein
from annealtrain.solvers.lattice.beam import Beam
from annealtrain.solvers.solver import Solver
from bench.report import markdown

POWERS, BITS = (1.0, 1.5), (1, 2, 3, 4)
SHRINKS = np.linspace(0.05, 1, 60)
SOLVERS: dict[str, Callable[[], Solver]] = {
    "`babai`": Babai,
    "`babai`, descent": lambda: Babai(descent=True),
    "`klein`, 64 reads": Klein,
    "`beam`, 32": Beam,
    "`beam`, 128": lambda: Beam(128),
    "`sa`, `start=babai`": lambda: SimulatedAnnealing(start="babai"),
    "`sa`, `start=babai`, 4,000 sweeps": lambda: SimulatedAnnealing(4000, start="babai"),
    "`sa`, `start=beam`": lambda: SimulatedAnnealing(start="beam"),
    "`sa`, `start=beam`, 4,000 sweeps": lambda: SimulatedAnnealing(4000, start="beam"),
    "`sa`, `start=beam`, 48 blocks": lambda: SimulatedAnnealing(start="beam", num_blocks=48),
    "`sa`, `start=babai`, 12 blocks": lambda: SimulatedAnnealing(start="babai", num_blocks=12),
    "`sa`, `start=babai`, 16 reads": lambda: SimulatedAnnealing(num_reads=16, start="babai"),
    "`sqa`, `start=babai`, 1,000 sweeps": lambda: SimulatedQuantumAnnealing(1000, start="babai"),
    "`sa`, random spins, slice, 4,000 sweeps": lambda: SimulatedAnnealing(4000, move="slice"),
}
BASE = "`babai`, descent"


def layer(power: float, bits: int, *, inputs: int, units: int, seed: int) -> Callable[[], LayerProblem]:
    """Return what makes the problem of putting a random layer's weights on the grid, nothing of it prepared."""
    generator = np.random.default_rng(seed)
    directions, _ = np.linalg.qr(generator.normal(size=(inputs, inputs)))
    H = (directions * np.arange(1, inputs + 1.0) ** -power) @ directions.T
    H, W = (H + H.T) / 2, generator.normal(size=(units, inputs))
    top, largest = 2**bits - 1, np.abs(W).max(axis=1, keepdims=True)
    scales = largest * SHRINKS  # (units, shrinks)
    errors = np.empty(scales.shape)
    for k in range(len(SHRINKS)):
        scale = scales[:, k, None]
        D = scale * (2 * np.clip(np.rint((W / scale + 1) * top / 2), 0, top) / top - 1) - W
        errors[:, k] = ((D @ H) * D).sum(axis=1)
    best = scales[np.arange(units), errors.argmin(axis=1)]

    def problem() -> LayerProblem:
        made = LayerProblem.of_rounding(H, W, best, bits)
        made.convex = False  # no bounds: they would take longer than most solves
        return made

    return problem


def measured(layers: Sequence[Callable[[], LayerProblem]], solver: Solver) -> tuple[list[np.ndarray], float]:
    """Return the best energies of each layer's units, and the core seconds of all solves."""
    problems = [problem() for problem in layers]
    started = time.process_time()
    energies = [solver.solve(problem, seed=k).energies[:, 0] for k, problem in enumerate(problems)]
    return energies, time.process_time() - started


def table(names: Sequence[str], *, inputs: int, units: int, seeds: Sequence[int]) -> str:
    """Return a row for each solver: its error on each kind of layer, the mean, the largest, and seconds a layer."""
    errors: dict[str, list[float]] = {name: [] for name in names}
    seconds = dict.fromkeys(names, 0.0)
    for power in POWERS:
        for bits in BITS:
            layers = [layer(power, bits, inputs=inputs, units=units, seed=seed) for seed in seeds]
            found = {name: measured(layers, SOLVERS[name]()) for name in dict.fromkeys([BASE, *names])}
            for name in names:
                ratios = [a.sum() / b.sum() for a, b in zip(found[name][0], found[BASE][0], strict=True)]
                errors[name].append(float(np.mean(ratios)))
                seconds[name] += found[name][1] / len(seeds) / len(POWERS) / len(BITS)
    head = ["solver", *(f"{power}, {bits}" for power in POWERS for bits in BITS), "mean", "most", "s a layer"]
    numbers = {name: [*errors[name], np.mean(errors[name]), max(errors[name]), seconds[name]] for name in names}
    return markdown(head, [[name, *(f"{x:.3f}" for x in row)] for name, row in numbers.items()])


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--inputs", type=int, default=512)
    parser.add_argument("--units", type=int, default=32)
    parser.add_argument("--seeds", type=int, default=2)
    parser.add_argument("--only", nargs="*", default=list(SOLVERS), help="names of rows")
    words = parser.parse_args()
    with thread_pool.threads(1):
        print(table(words.only, inputs=words.inputs, units=words.units, seeds=range(words.seeds)))


if __name__ == "__main__":
    main()
