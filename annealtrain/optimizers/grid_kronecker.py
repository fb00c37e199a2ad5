"""`optimizer=kronecker grid=fixed`: mini-batches move float weights, and a Hamiltonian puts them on the grid.

The gradient of a mini-batch says little about a move of a whole level. So it moves the float weights W, the shadow, as
in `kronecker`, but it is measured where the network is, at the weights S of the grid. After each step all units of a
layer are annealed together, from the levels that they have, in the metric J of the step:

    E(S) = (S - W)'(J + rigidity I)(S - W),   J = R / r + damping I

With no rigidity the units' outputs are kept, and levels flip with every change of R; with much of it each weight goes
to its nearest level, which is straight-through training. Then the scales are refitted in closed form.
"""

from math import prod

import numpy as np

from annealtrain.errors import InputError
from annealtrain.hamiltonian.layer_problem import LayerProblem
from annealtrain.hamiltonian.quadratic import Couplings
from annealtrain.nn.model import Model
from annealtrain.optimizers.optimizer import Batch, Optimizer, Progress, Step
from annealtrain.optimizers.weight_grid import HELD_BYTES, OF_SHADOW, GridWeights, WeightGrid
from annealtrain.runtime.array_types import Array, Row
from annealtrain.runtime.stage_timer import StageTimer
from annealtrain.solvers.solver import Solver

SHADOW = 0.3  # of the steps
RIGIDITY = 1.0
SCALE_STEP = 1.1  # times which a scale may change in a step


class FloatKronecker(Optimizer):
    """What this needs of `kronecker`: its steps, and J of each layer."""

    def couplings(self, k: int) -> Couplings:
        """Return J of a layer."""
        raise NotImplementedError


class GridKronecker(Optimizer):
    """Keeps every weight on a grid, at each step that which fits the float weights best.

    float_optimizer: moves the float weights. The other settings are as in `Optimizer` and `WeightGrid`.
    """

    solver: Solver

    def __init__(self, float_optimizer: FloatKronecker, grid: WeightGrid) -> None:
        assert float_optimizer.solver is not None
        self.float_optimizer, self.grid, self.solver = float_optimizer, grid, float_optimizer.solver
        self.half_range, self.bits, self.objective = float_optimizer.half_range, grid.bits, float_optimizer.objective
        self.share = SHADOW if grid.shadow is None else grid.shadow

    def start(self, network: Model, *, seed: int, timer: StageTimer) -> None:
        super().start(network, seed=seed, timer=timer)
        self.float_optimizer.start(network, seed=seed, timer=timer)
        self.held = GridWeights(network.trainable, self.grid, share=self.share)

    def step_bytes(self, network: Model, samples: int, threads: int) -> int:
        held = HELD_BYTES * sum(prod(layer.weight_shape) for layer in network.trainable)
        return held + self.float_optimizer.step_bytes(network, samples, threads)

    def scheduled(self) -> list[str]:
        return [*self.float_optimizer.scheduled(), *([OF_SHADOW] if self.share else [])]

    def state(self) -> dict[str, Array]:
        return self.float_optimizer.state() | self.held.state()

    def restore(self, state: dict[str, Array]) -> None:
        self.float_optimizer.restore(state)
        self.held.restore(state)

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
                moved = self._fit(k, solver, self.solve_seed(k, step))
                rows[k] |= {"L": float(held.on_grid[k].scales.mean()), "moved_share": moved}
        held.put()
        return rows

    def next_problem(self, k: int, batch: Batch, step: Step) -> LayerProblem:
        raise InputError(
            "grid=fixed of optimizer=kronecker solves for the levels that fit float weights, which only a running "
            "training has: take optimizer=gauss_newton, or grid=step"
        )

    def _fit(self, k: int, solver: Solver, seed: np.random.SeedSequence) -> float:
        """Bring a layer's grid closer to its float weights; return the share of weights that changed their level."""
        held, W = self.held.on_grid[k], self.held.shadow[k]
        J = self.float_optimizer.couplings(k).J
        if not J.any():  # nothing of the layer reaches the outputs
            return 0.0
        A = J + RIGIDITY * np.eye(len(J))
        before, units = held.levels.copy(), range(held.units)
        problem = held.problem(units, Couplings(A, np.ones(len(A), bool)), -2 * W @ A)
        held.take(units, solver.solve(problem, seed=seed).levels[:, 0])
        T = held.directions
        TA = T @ A
        size = (TA * T).sum(axis=1)  # 0 where all are in the middle of an odd number of levels
        scales = np.where(size > 0, (TA * W).sum(axis=1) / np.where(size > 0, size, 1), held.scales)
        held.scales = np.clip(scales, held.scales / SCALE_STEP, held.scales * SCALE_STEP)
        return float(np.mean(before != held.levels))
