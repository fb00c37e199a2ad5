"""`optimizer=kronecker grid=fixed`: mini-batches move float weights, and a Hamiltonian puts them on the grid.

The gradient of a mini-batch says little about a move of a whole level. So it moves the float weights W, the shadow, as
in `kronecker`, but it is measured where the network is, at the weights S of the grid. After each step all units of a
layer are annealed together, from the levels that they have, in the metric J of the step:

    E(S) = (S - W)'(J + rigidity I)(S - W),   J = R / r + damping I

With no rigidity the units' outputs are kept, and levels flip with every change of R; with much of it each weight goes
to its nearest level, which is straight-through training. Then the scales are refitted in closed form.
"""

import numpy as np

from annealtrain.errors import InputError
from annealtrain.hamiltonian.layer_problem import LayerProblem
from annealtrain.hamiltonian.quadratic import Couplings
from annealtrain.optimizers.grid_optimizer import GridOptimizer
from annealtrain.optimizers.optimizer import Batch, Optimizer, Progress, Step
from annealtrain.runtime.array_types import Row
from annealtrain.solvers.solver import Solver

RIGIDITY = 1.0
CALLS = ("submissions", "retries")  # of a machine, for the float step and for the grid
SCALE_STEP = 1.1  # times which a scale may change in a step


class FloatKronecker(Optimizer):
    """What this needs of `kronecker`: its steps, and J of each layer."""

    def couplings(self, k: int) -> Couplings:
        """Return J of a layer."""
        raise NotImplementedError


class GridKronecker(GridOptimizer[FloatKronecker]):
    """Keeps every weight on a grid, at each step that which fits the float weights best."""

    def asking(self, steps: int) -> list[tuple[Optimizer, int]]:
        return [(self.float_optimizer, steps), (self, steps - int(self.share * steps))]

    def step(self, batch: Batch, step: Step, progress: Progress) -> list[Row]:
        held, layers = self.held, self.network.trainable
        if held.trains_float(step.number, step.total):
            held.put_shadow()
            rows = self.float_optimizer.step(batch, step, progress)
            held.round_shadow()
            return rows
        before = [layer.weights for layer in layers]
        rows = self.float_optimizer.step(batch, step, progress)
        solver = self.solver.resolve_schedules(step.epoch, step.epochs)
        with self.timer.stage("anneal_s"):
            for k, (layer, old) in enumerate(zip(layers, before, strict=True)):
                held.shadow[k] = held.shadow[k] + (layer.weights - old)
                moved, stats = self._fit(k, solver, self.solve_seed(k, step))
                rows[k] |= {"L": float(held.on_grid[k].scales.mean()), "moved_share": moved}
                rows[k] |= {name: rows[k].get(name, 0.0) + stats[name] for name in CALLS if name in stats}
        held.put()
        return rows

    def next_problem(self, k: int, batch: Batch, step: Step) -> LayerProblem:
        raise InputError(
            "grid=fixed of optimizer=kronecker solves for the levels that fit float weights, which only a running "
            "training has: take optimizer=gauss_newton, or grid=step"
        )

    def _fit(self, k: int, solver: Solver, seed: np.random.SeedSequence) -> tuple[float, dict[str, float]]:
        """Bring a layer's grid closer to its float weights.

        Return the share of weights that changed their level, and the solver's statistics.
        """
        held, W = self.held.on_grid[k], self.held.shadow[k]
        J = self.float_optimizer.couplings(k).J
        if not J.any():  # nothing of the layer reaches the outputs
            return 0.0, {}
        A = J + RIGIDITY * np.eye(len(J))
        before, units = held.levels.copy(), range(held.units)
        problem = held.problem(units, Couplings(A, np.ones(len(A), bool)), -2 * W @ A)
        result = solver.solve(problem, seed=seed)
        held.take(units, result.levels[:, 0])
        T = held.directions
        TA = T @ A
        size = (TA * T).sum(axis=1)  # 0 where all are in the middle of an odd number of levels
        scales = np.where(size > 0, (TA * W).sum(axis=1) / np.where(size > 0, size, 1), held.scales)
        held.scales = np.clip(scales, held.scales / SCALE_STEP, held.scales * SCALE_STEP)
        return float(np.mean(before != held.levels)), result.stats
