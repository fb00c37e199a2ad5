"""`optimizer=gauss_newton grid=fixed`: every unit's Hamiltonian in the levels of its own weights, at 1 bit their signs.

Around the present weights S0 of a unit, A and r as in `gauss_newton`, D = the mean of diag(A'A / Q):

    E(S) = |r + A (S - S0)|^2 / Q + threshold D |S - S0|^2

A weight that moves goes far, and the model holds for few of them at once: the threshold is what a move must earn. A
few units at a time are solved one after the other; if the true loss of all of them falls the step is taken and the
threshold follows how right the model was, otherwise it is undone and the threshold grows. After each unit its scale
is refitted, in closed form, in the same model.

The first steps train float weights, the shadow, of which the network has the nearest on the grid. Then the grid takes
over, first layer first: each unit goes from its float weights to the levels that cost the outputs least, and what
that costs the units after it, which are still float, make up for.
"""

from dataclasses import dataclass, field
from typing import Any

import numpy as np

from annealtrain.errors import Diverged
from annealtrain.hamiltonian.layer_problem import LayerProblem
from annealtrain.hamiltonian.quadratic import Couplings
from annealtrain.nn.jacobian import Jacobian
from annealtrain.nn.model import Model
from annealtrain.optimizers.grid_optimizer import GridOptimizer
from annealtrain.optimizers.optimizer import Batch, Optimizer, Progress, Step
from annealtrain.optimizers.weight_grid import GridLayer, WeightGrid
from annealtrain.runtime import thread_pool
from annealtrain.runtime.array_types import Array, Row
from annealtrain.runtime.random_streams import Stream, generator, stream
from annealtrain.runtime.stage_timer import StageTimer
from annealtrain.solvers.annealing.simulated_annealing import SimulatedAnnealing
from annealtrain.solvers.solver import Solver
from annealtrain.solvers.statistics import merge_rows

GROUP = 4  # units between two Jacobians
FIRST_THRESHOLD, OF_TAKING_OVER = 1.0, 0.1
RIGHT, WRONG = 0.75, 0.25  # shares of the predicted decrease that came true
LESS, MORE, MUCH_MORE = 1 / 1.2, 1.5, 2.0  # what the threshold is multiplied by
LEAST, MOST = 1e-6, 1e6  # threshold
SCALE_HELD = 0.05  # of a scale's curvature, so that a unit that hardly counts keeps its own
SCALE_STEP = 1.25  # times which a scale may change at once
TAKING_OVER = SimulatedAnnealing(100, start="babai")  # of levels from float weights, with their scale, so often:
FITS = 3
MOST_TAKEN = 4.0  # times the nearest grid's scale: the model of a unit that hardly counts would have it anywhere


class FloatGaussNewton(Optimizer):
    """What this needs of `gauss_newton`: its steps, and that part of them which is not of layers."""

    def move_more(self, batch: Batch, step: Step) -> None:
        """Let the network's one pass in training mode move its running statistics, and the weights of no layer."""
        raise NotImplementedError


class GridGaussNewton(GridOptimizer[FloatGaussNewton]):
    """Keeps every weight on a grid; each step solves for the levels of one unit after the other."""

    def __init__(self, float_optimizer: FloatGaussNewton, grid: WeightGrid, ridge: float) -> None:
        super().__init__(float_optimizer, grid)
        self.ridge = ridge

    def units_a_solve(self, units: int) -> int:
        return 1

    def asking(self, steps: int) -> list[tuple[Optimizer, int]]:
        floats = int(self.share * steps)
        found = [(self.float_optimizer, floats), (self, steps - floats - 1)]  # the grid takes over by itself
        return [(one, count) for one, count in found if count > 0]

    def start(self, network: Model, *, seed: int, timer: StageTimer) -> None:
        super().start(network, seed=seed, timer=timer)
        self.thresholds = np.full(len(network.trainable), FIRST_THRESHOLD)

    def state(self) -> dict[str, Array]:
        return super().state() | {"thresholds": self.thresholds.copy()}

    def restore(self, state: dict[str, Array]) -> None:
        super().restore(state)
        self.thresholds = state["thresholds"].copy()

    def step(self, batch: Batch, step: Step, progress: Progress) -> list[Row]:
        is_first = not self.held.has_taken_over
        if self.held.trains_float(step.number, step.total):
            self.held.put_shadow()
            rows = self.float_optimizer.step(batch, step, progress)
            self.held.round_shadow()
            return rows
        if self.network.has_more:
            self.float_optimizer.move_more(batch, step)
        layers = list(range(len(self.network.trainable)))
        if is_first:
            self.held.put_shadow()
            return [self._train_layer(k, batch, step, progress, is_first=True) for k in layers]
        return [self._train_layer(k, batch, step, progress) for k in reversed(layers)][::-1]

    def next_problem(self, k: int, batch: Batch, step: Step) -> LayerProblem:
        """Return the units' Hamiltonians of their weights, each as if it were the first of its layer."""
        weights = self.network.trainable[k].weights
        jacobian = Jacobian(self.network, k, batch.inputs, batch.outputs, self.objective)
        held, threshold = GridLayer.of_weights(weights, self.grid), float(self.thresholds[k])

        def model(unit: int) -> tuple[Couplings, Array]:
            return self._model(jacobian.gram(unit), jacobian.gradient(unit), weights[unit], k, threshold)

        h, energies = np.empty(weights.shape), np.empty(len(weights))
        for unit, S in enumerate(weights):  # J of a unit at a time: those of a layer may not fit in memory
            couplings, h[unit] = model(unit)
            energies[unit] = S @ couplings.J @ S + h[unit] @ S
        problem = held.problem(range(held.units), lambda unit: model(unit)[0], h)
        problem.E0 = jacobian.loss() - energies
        return problem

    def _train_layer(self, k: int, batch: Batch, step: Step, progress: Progress, is_first: bool = False) -> Row:
        layer, timer = self.network.trainable[k], self.timer
        M, N = layer.weight_shape
        order = [int(i) for i in generator(self.seed, Stream.UNIT_ORDER, k, step.number).permutation(M)]
        solver, told = self.solver.resolve_schedules(step.epoch, step.epochs), _Told()
        inputs, first = batch.inputs, None
        for group in thread_pool.chunks(M, GROUP):
            units = order[group]
            with timer.stage("forward_s"):
                jacobian = Jacobian(self.network, k, inputs, batch.outputs, self.objective, units=units, first=first)
                inputs, first = jacobian.starts
            before = jacobian.loss()
            if not np.isfinite(before):
                raise Diverged(f"training left the range of numbers in epoch {step.epoch + 1}: lower half_range.first")
            kept, weights = self.held.on_grid[k].copy(), layer.weights.copy()
            grams = self._grams(jacobian, len(units))
            for place, unit in enumerate(units):
                seed = stream(self.solve_seed(k, step), unit)
                if is_first:
                    self._take_over(k, jacobian, place, unit, grams[place], seed)
                else:
                    told.stats.append(self._move(k, jacobian, place, unit, grams[place], solver, seed))
                progress(k, (group.start + place + 1) / M)
            moved = int(np.count_nonzero(kept.levels != self.held.on_grid[k].levels))
            with timer.stage("evaluate_s"):
                actual, predicted = jacobian.true_loss() - before, jacobian.loss() - before
            if is_first:
                actual = self._keep_better(k, units, weights, jacobian, actual + before) - before
            is_taken = is_first or actual <= 0
            if not is_taken:
                self.held.on_grid[k], layer.weights = kept, weights
            if not is_first:
                self._adapt(k, predicted, actual, moved)
            told.add(before, predicted, actual if is_taken else 0.0, moved if is_taken else 0, is_taken)
        return self._row(k, step, told, M, N)

    def _grams(self, jacobian: Jacobian, count: int) -> list[Array]:
        with self.timer.stage("build_s"):
            grams = thread_pool.parallel_map(jacobian.gram, range(count))
            return [(gram + gram.T) / 2 for gram in grams]

    def _model(
        self, gram: Array, gradient: Array, weights: Array, k: int, threshold: float | None = None
    ) -> tuple[Couplings, Array]:
        """Return J and h of E(S), up to a constant, for a unit whose weights (N,) are now `weights`."""
        held = self.thresholds[k] if threshold is None else threshold
        J = gram + (held * float(gram.trace()) / len(gram) + self.ridge) * np.eye(len(gram))
        g = gradient + 2 * self.ridge * weights
        return Couplings(J, np.ones(len(J), bool)), g - 2 * J @ weights

    def _move(
        self,
        k: int,
        jacobian: Jacobian,
        place: int,
        unit: int,
        gram: Array,
        solver: Solver,
        seed: np.random.SeedSequence,
    ) -> dict[str, Any]:
        """Let a unit have the levels of a lower energy that the solver finds, and then the best scale."""
        held, weights = self.held.on_grid[k], self.network.trainable[k].weights[unit].copy()
        if not gram.trace() > 0:
            return {}
        with self.timer.stage("build_s"):
            couplings, h = self._model(gram, jacobian.gradient(place), weights, k)
            problem = held.problem([unit], couplings, h[None])
        with self.timer.stage("anneal_s"):
            result = solver.solve(problem, seed=seed)
        # A solver that does not begin at the present levels may end above them.
        if result.energies[0, 0] < problem.unit(0).energy(weights):
            held.take([unit], result.levels[:, 0])
        self._set_unit(k, jacobian, place, unit, gram, weights)
        return result.stats

    def _take_over(
        self, k: int, jacobian: Jacobian, place: int, unit: int, gram: Array, seed: np.random.SeedSequence
    ) -> None:
        """Bring a unit from its float weights to the grid: levels, and the scale that suits them, in turn."""
        weights = self.network.trainable[k].weights[unit].copy()
        layer = GridLayer.nearest(weights[None], WeightGrid(self.grid.num_levels))
        nearest = layer.scales[0]
        if gram.trace() > 0:
            couplings, h = self._model(gram, jacobian.gradient(place), weights, k, OF_TAKING_OVER)
            for _ in range(FITS):
                problem = layer.problem([0], couplings, h[None])
                problem.present = None
                layer.take([0], TAKING_OVER.solve(problem, seed=seed).levels[:, 0])
                t = layer.directions[0]
                if not t.any():  # all in the middle of an odd number of levels
                    break
                scale = -(h @ t) / (2 * (t @ couplings.J @ t))
                layer.scales[0] = np.clip(scale, nearest / MOST_TAKEN, nearest * MOST_TAKEN)
        self.held.on_grid[k].levels[unit], self.held.on_grid[k].scales[unit] = layer.levels[0], layer.scales[0]
        self._set_unit(k, jacobian, place, unit, gram, weights)

    def _keep_better(self, k: int, units: list[int], weights: Array, jacobian: Jacobian, loss: float) -> float:
        """Let units that came from float weights (M, N) have the nearest grid if that costs less; return the loss."""
        held, layer = self.held.on_grid[k], self.network.trainable[k]
        found = held.copy(), layer.weights
        nearest = GridLayer.nearest(weights[units], self.grid)
        held.levels[units], held.scales[units] = nearest.levels, nearest.scales
        changed = layer.weights.copy()
        changed[units] = nearest.weights
        layer.weights = changed
        plain = jacobian.true_loss()
        if plain < loss or not np.isfinite(loss):
            return plain
        self.held.on_grid[k], layer.weights = found
        return loss

    def _set_unit(self, k: int, jacobian: Jacobian, place: int, unit: int, gram: Array, weights: Array) -> None:
        """Give the network a unit's levels, and the scale that is best for them in the model of the outputs."""
        held, layer = self.held.on_grid[k], self.network.trainable[k]
        now = held.scales[unit] * held.directions_of(unit)
        jacobian.move(place, now - weights)
        t, curvature = held.directions_of(unit), float(gram.trace()) / len(gram)
        g = jacobian.gradient(place) @ t + 2 * self.ridge * (now @ t)
        curved = 2 * (t @ gram @ t) + 2 * (self.ridge + SCALE_HELD * curvature) * (t @ t)
        if curved > 0:
            scale = held.scales[unit]
            held.scales[unit] = np.clip(scale - g / curved, scale / SCALE_STEP, scale * SCALE_STEP)
            jacobian.move(place, (held.scales[unit] - scale) * t)
        changed = layer.weights.copy()
        changed[unit] = held.scales[unit] * t
        layer.weights = changed

    def _adapt(self, k: int, predicted: float, actual: float, moved: int) -> None:
        if not moved:
            factor = LESS
        elif actual > 0:
            factor = MUCH_MORE
        elif predicted >= 0 or actual / predicted < WRONG:
            factor = MORE
        else:
            factor = LESS if actual / predicted > RIGHT else 1.0
        self.thresholds[k] = np.clip(self.thresholds[k] * factor, LEAST, MOST)

    def _row(self, k: int, step: Step, told: "_Told", M: int, N: int) -> Row:
        stats = [stats for stats in told.stats if stats]
        return {
            "epoch": step.epoch + 1,
            "layer": k,
            "units": M,
            "spins": N * self.grid.bits,
            "L": float(np.mean(self.held.on_grid[k].scales)),
            "bits": self.bits,
            "start_energy": told.start,
            "energy": told.start + told.predicted,
            "lower_bound": None,
            "gap": None,
            "predicted_change": told.predicted,
            "actual_change": told.actual,
            "raised_share": float(told.actual > 0),
            "backtracks": told.undone,
            "moved_share": told.moved / (M * N),
            "threshold": float(self.thresholds[k]),
            **(merge_rows(stats) if stats else {}),
        }


@dataclass
class _Told:
    """Sums over the groups of a layer's step, for its row of solves.csv. start: the loss before the first."""

    start: float = np.nan
    predicted: float = 0.0
    actual: float = 0.0
    moved: int = 0
    undone: int = 0
    stats: list[dict[str, Any]] = field(default_factory=list)

    def add(self, before: float, predicted: float, actual: float, moved: int, is_taken: bool) -> None:
        self.start = before if np.isnan(self.start) else self.start
        self.predicted, self.actual, self.moved = self.predicted + predicted, self.actual + actual, self.moved + moved
        self.undone += not is_taken
