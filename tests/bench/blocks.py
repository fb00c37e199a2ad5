"""LeNet's layer 1 for machines of 64 spins: whole units beside blocks of them. PYTHONPATH=tests python -m bench.blocks

First epoch of `pinv` on 1,000 MNIST images, at two ranges L and two numbers of bits: energies, certified gaps and
calls, means of three seeds.
"""

import sys

import numpy as np

from annealtrain.commands.export import layer_problem
from annealtrain.experiment.builder import ready, solver_of
from annealtrain.experiment.compose import compose_config
from annealtrain.runtime import thread_pool

SEEDS = range(3)
SOLVERS = (
    "solver=sa",
    "solver=sa solver.num_sweeps=1000",
    "solver=descent",
    "solver=decompose solver.rounds=2 solver.inner.num_sweeps=100",
    "solver=decompose solver.rounds=4 solver.inner.num_sweeps=100",
    "solver=decompose solver.inner.num_sweeps=100",
    "solver=decompose solver.inner=descent",
    "solver=decompose solver.inner=exact solver.max_spins=20 solver.rounds=4",
)


def main() -> None:
    for setting in ("bits=4 half_range.first=0.05", "bits=4 half_range.first=1", "bits=1 half_range.first=1"):
        words = f"model=lenet dataset=mnist samples=1000 optimizer=pinv {setting}".split()
        with thread_pool.threads(1):
            problem = layer_problem(ready(compose_config(words, None))[0], 1, 0)
            print(f"{setting}: {problem}, energy at S0 {problem.energies(problem.S0).sum():.7g}")
            for line in SOLVERS:
                solver = solver_of(compose_config([*words, *line.split()], None, is_shared=True))
                found = [solver.resolve_schedules(0, 10).solve(problem, seed=seed) for seed in SEEDS]
                energy = np.mean([one.energies[:, 0].sum() for one in found])
                gap, blocks = np.mean([one.gap for one in found]), found[0].stats.get("blocks", 1)
                print(f"{line:64s} energy {energy:.7g}  gap {gap:.2g}  calls a unit {blocks:.0f}", flush=True)


if __name__ == "__main__":
    sys.exit(main())
