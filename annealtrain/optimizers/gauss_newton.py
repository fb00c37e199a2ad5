"""`optimizer=gauss_newton`: every unit's Hamiltonian models the loss of the whole network, not of its own layer.

Inside an activation region the outputs are linear in the weights of one unit, so the true loss is a quadratic in them:

    A[(a, c), :] = d out_c(a) / d w,   r = out - onehot,   E(d) = |r + A d|^2 / Q + ridge |w + d|^2 + l1 |w + d|_1

Layers go last to first, units one after the other (Gauss-Seidel): r is brought up to date after each unit. It is block
Gauss-Newton on a quantised trust region, a departure that the paper's Eqs. (25)-(29) reach for: it takes the transpose
of the layers above where the paper takes their pseudo-inverse.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from math import prod
from typing import Any

import numpy as np

from annealtrain.errors import Diverged, InputError
from annealtrain.hamiltonian.layer_problem import LayerProblem
from annealtrain.hamiltonian.penalty import STRENGTH, Penalty, PenaltyModel
from annealtrain.hamiltonian.quadratic import Couplings
from annealtrain.nn import footprint
from annealtrain.nn.jacobian import Jacobian
from annealtrain.nn.layout import CHUNK_SAMPLES, TAPED
from annealtrain.nn.losses import LOSSES
from annealtrain.nn.model import Model
from annealtrain.optimizers import unit_blocks
from annealtrain.optimizers.diagnostics import condition_number, saturated_share
from annealtrain.optimizers.grid_gauss_newton import FloatGaussNewton, GridGaussNewton
from annealtrain.optimizers.optimizer import Batch, Optimizer, Progress, Step
from annealtrain.optimizers.weight_grid import WeightGrid
from annealtrain.runtime import thread_pool
from annealtrain.runtime.array_types import Array, Row
from annealtrain.runtime.random_streams import Stream, generator, stream
from annealtrain.runtime.stage_timer import StageTimer
from annealtrain.runtime.validation import YES_OR_NO, checked, number, one_of, whole
from annealtrain.schedule import Schedule
from annealtrain.solvers.solver import Solver, SolveResult
from annealtrain.solvers.statistics import merge_rows

GROUP = 16  # units whose J are formed at once, on all threads
GROW, SHRINK = 1.3, 0.5  # of the range L, where the model was right, and where it was wrong
RIGHT, WRONG = 0.75, 0.25  # shares of the predicted decrease that came true
SHADOW_BITS = 8  # of the steps of float weights behind those of a grid
BACKTRACKS = 6  # halvings of a layer's step before its old weights are kept


class GaussNewton(FloatGaussNewton):
    """Solves unit after unit, or block after block of units, for the change d of their weights, |d_j| <= L.

    ridge: lambda, absolute: adds lambda |W|^2 to the loss. l1: adds l1 |W|_1, see `Penalty`.
    adaptive: a layer's step is taken only if the true loss (with ridge and l1) falls, or else halved; its L grows where
    the model was right and shrinks where it was wrong; the schedule gives the first L. False: every step is taken and
    L follows the schedule, as mini-batches need it.
    block: units that are solved in one call; how far each goes is then fitted to the others, see `unit_blocks`.
    """

    solves_for_changes = True

    solver: Solver
    half_range: Schedule
    bits: int

    @checked("optimizer.", ridge=number(0), adaptive=YES_OR_NO, loss=one_of(*LOSSES), block=whole(), l1=STRENGTH)
    def __init__(
        self,
        ridge: float = 3e-4,
        adaptive: bool = True,
        loss: str = "squared_error",
        block: int = 1,
        l1: float | Sequence[float] = 0.0,
        *,
        solver: Solver,
        half_range: Schedule,
        bits: int,
    ) -> None:
        self.ridge, self.adaptive, self.block = float(ridge), adaptive, block
        self.objective, self.penalty = LOSSES[loss], Penalty(l1, self.ridge)
        self.solver, self.half_range, self.bits = solver, half_range, bits

    def on_grid(self, grid: WeightGrid) -> Optimizer:
        if not self.adaptive:
            raise InputError("grid=fixed takes steps that lower the true loss only: set optimizer.adaptive=true")
        if self.block > 1:
            raise InputError(f"grid=fixed moves unit after unit: set optimizer.block=1, not {self.block}")
        if np.any(self.penalty.l1):
            raise InputError(
                "grid=fixed has few sizes that a weight can have: set optimizer.l1=0, ridge is its penalty"
            )
        self.bits = SHADOW_BITS
        return GridGaussNewton(self, grid, self.ridge)

    def start(self, network: Model, *, seed: int, timer: StageTimer) -> None:
        super().start(network, seed=seed, timer=timer)
        self._half_ranges: dict[int, float] = {}

    def units_a_solve(self, units: int) -> int:
        return min(self.block, units)

    def state(self) -> dict[str, Array]:
        return {f"half_range_{k}": np.array(value) for k, value in self._half_ranges.items()}

    def restore(self, state: dict[str, Array]) -> None:
        prefix = "half_range_"
        self._half_ranges = {int(n.removeprefix(prefix)): float(v) for n, v in state.items() if n.startswith(prefix)}

    def step_bytes(self, network: Model, samples: int, threads: int) -> int:
        at_once, chunk = (threads, CHUNK_SAMPLES) if network.is_chain else (1, TAPED)
        whole = network.has_more and not network.is_chain  # all samples go through where running statistics move
        passes = footprint.pass_bytes(network, samples if whole else at_once * chunk, threads)

        def of_layer(k: int) -> int:
            layer, C = network.trainable[k], network.classes
            (M, N), in_numbers = layer.weight_shape, prod(layer.in_shape)
            rows = samples * N if footprint.sites(layer) == 1 else 0
            moved = 8 * min(self.block, M) * samples * C if self.block > 1 else 0
            back = 4 * chunk * C * (prod(layer.out_shape) + (M * N if not rows else 0))  # of one thread
            gram = 8 * N * N + (4 * rows if rows else 0)
            held = 8 * min(M, max(GROUP, self.block)) + 4 * min(M, self.block)  # a group's J, a block's packed ones
            forms = (held + 32) * N * N + threads * gram
            return (
                Jacobian.bytes_of(network, k, samples)
                + 4 * samples * in_numbers
                + 4 * rows
                + 2 * moved
                + max(at_once * back + passes, forms)
            )

        return max(map(of_layer, range(len(network.trainable))))

    def scheduled(self) -> list[str]:
        found = super().scheduled()
        return [name for name in found if name != "the range L"] if self.adaptive else found

    def step(self, batch: Batch, step: Step, progress: Progress) -> list[Row]:
        if self.network.has_more:
            self.move_more(batch, step)
        rows = [self._train_layer(k, batch, step, progress) for k in reversed(range(len(self.network.trainable)))]
        return rows[::-1]

    def next_problem(self, k: int, batch: Batch, step: Step) -> LayerProblem:
        """Return the units' Hamiltonians of changes d, each as if it were the first of its layer."""
        jacobian, weights = self._jacobian(k, batch), self.network.trainable[k].weights
        M, N = weights.shape
        half_range = self._half_range(k, step)
        penalty = self.penalty.around(k, weights, half_range, self.bits)
        g = np.array([jacobian.gradient(unit) for unit in range(M)]) + penalty.gradient
        E0 = jacobian.loss() + self.penalty.value(k, weights) + penalty.excess

        def couplings(unit: int) -> Couplings:
            return Couplings(_made_curvature(jacobian.gram(unit), penalty.bend(unit), self._damping(M)), self._live(N))

        return LayerProblem(couplings, g, E0, np.zeros((M, N)), half_range, self.bits)

    def _train_layer(self, k: int, batch: Batch, step: Step, progress: Progress) -> Row:
        timer, layer = self.timer, self.network.trainable[k]
        half_range = self._half_range(k, step)
        with timer.stage("forward_s"):
            jacobian = self._jacobian(k, batch)
        before, old = jacobian.loss(), layer.weights
        if not np.isfinite(before):
            raise Diverged(f"training left the range of numbers in epoch {step.epoch + 1}: lower half_range.first")
        found = self._solve_units(k, jacobian, half_range, step, progress)
        penalty = partial(self.penalty.value, k)
        predicted = (jacobian.loss() - before) + (penalty(old + found.change) - penalty(old))
        # Take the whole step, or the same spins at half the range, and so on.
        actual, backtracks, factor = 0.0, 0, 1.0
        with timer.stage("evaluate_s"):
            while True:
                layer.weights = old + factor * found.change
                after = jacobian.true_loss()
                actual = after + penalty(layer.weights) - before - penalty(old)
                if not self.adaptive or actual <= 0:
                    break
                if backtracks == BACKTRACKS:
                    layer.weights, actual = old, 0.0
                    break
                backtracks, factor = backtracks + 1, factor / 2
        self._adapt(k, half_range, predicted, actual, backtracks)
        return {
            "epoch": step.epoch + 1,
            "layer": k,
            "units": layer.weight_shape[0],
            "spins": layer.weight_shape[1] * self.bits,
            "L": half_range,
            "bits": self.bits,
            "start_energy": before + penalty(old),
            "energy": before + penalty(old) + predicted,
            "lower_bound": None,
            "gap": None,
            "predicted_change": predicted,
            "actual_change": actual,
            "raised_share": float(actual > 0),
            "backtracks": backtracks,
            **found.stats,
        }

    def move_more(self, batch: Batch, step: Step) -> None:
        tape = self.network.training_tape(batch.inputs, step.number)
        if self.network.has_rest:
            tape.gradients(self.objective.gradient(tape.outputs, batch.outputs, len(batch.inputs)))
        self.network.move_rest(1 - step.number / step.total)

    def _jacobian(self, k: int, batch: Batch) -> Jacobian:
        return Jacobian(self.network, k, batch.inputs, batch.outputs, self.objective)

    def _damping(self, units: int) -> float:
        """Return what the curvatures of a layer of so many units are multiplied by."""
        return unit_blocks.DAMPING if self.units_a_solve(units) > 1 else 1.0

    def _live(self, N: int) -> Array | None:
        """Return which weights move the energy, None for those of J: l1 moves also what no sample reaches."""
        return np.ones(N, bool) if np.any(self.penalty.l1) else None

    def _half_range(self, k: int, step: Step) -> float:
        scheduled = self.half_range.value(step.number, step.total, k)
        return self._half_ranges.setdefault(k, scheduled) if self.adaptive else scheduled

    def _adapt(self, k: int, half_range: float, predicted: float, actual: float, backtracks: int) -> None:
        if not self.adaptive:
            return
        if backtracks or predicted >= 0 or actual / predicted < WRONG:
            self._half_ranges[k] = half_range * SHRINK
        elif actual / predicted > RIGHT:
            self._half_ranges[k] = half_range * GROW

    def _solve_units(self, k: int, jacobian: Jacobian, half_range: float, step: Step, progress: Progress) -> "Found":
        """Return the change of a layer's weights; the Jacobian's residual then holds what the model predicts."""
        timer, weights = self.timer, self.network.trainable[k].weights
        M, N = weights.shape
        solver, seed = self.solver.resolve_schedules(step.epoch, step.epochs), self.solve_seed(k, step)
        order = generator(self.seed, Stream.UNIT_ORDER, k, step.number).permutation(M)
        units = [int(unit) for unit in order]
        change, stats, walls = np.zeros((M, N)), list[dict[str, Any]](), []
        penalty = self.penalty.around(k, weights, half_range, self.bits)
        conditioned = None
        for group in thread_pool.chunks(M, self.block * max(1, GROUP // self.block)):
            with timer.stage("build_s"):
                grams = thread_pool.parallel_map(jacobian.gram, units[group])
                if group.start == 0:
                    conditioned = condition_number(grams[0] + np.diag(penalty.bend(units[0])))  # of one unit, for all
            for block in thread_pool.chunks(len(grams), self.block):
                some = units[group][block]
                with timer.stage("build_s"):
                    own = zip(grams[block], some, strict=True)
                    J = [_made_curvature(gram, penalty.bend(i), self._damping(M)) for gram, i in own]
                    g = np.array([jacobian.gradient(unit) + penalty.gradient[unit] for unit in some])
                    grid = (half_range, self.bits)
                    problem = _problem(J, g, *grid, self._live(N))
                with timer.stage("anneal_s"):
                    result = solver.solve(problem, seed=stream(seed, some[0]))
                with timer.stage("build_s"):
                    self._take(jacobian, some, result, change, penalty)
                walls.append(saturated_share(problem, result))
                stats.append(result.stats)
                progress(k, (group.start + block.start + len(some)) / M)
            del grams, J, problem, own  # before the next group's are made
        diagnosis = {"saturated_share": float(np.mean(walls)), "condition": conditioned}
        return Found(change, merge_rows(stats) | diagnosis)

    def _take(
        self, jacobian: Jacobian, units: list[int], result: SolveResult, change: Array, penalty: PenaltyModel
    ) -> None:
        """Put the changes that a block's units found into `change` (M, N), and move the Jacobian's outputs by them.

        No change is not on the grid: where the best of it is worse, a unit's weights stay.
        """
        taken = [i for i, energy in enumerate(result.energies[:, 0]) if energy < 0]
        found = {units[i]: result.best_weights[i] for i in taken}
        if found and self._damping(len(change)) > 1:
            found = unit_blocks.shortened(jacobian, found, penalty)
        for unit, moves in found.items():
            change[unit] = moves
            jacobian.move(unit, moves)


def _made_curvature(gram: Array, bend: Array, damping: float) -> Array:
    """Return damping (gram + diag bend), symmetric to the last bit, in the place of gram (N, N)."""
    gram[np.diag_indices(len(gram))] += bend
    gram *= damping
    gram += gram.T
    gram /= 2
    return gram


def _problem(J: list[Array], g: Array, half_range: float, bits: int, live: Array | None) -> LayerProblem:
    """Return E_i(d) = d'J_i d + g_i.d; J is convex, but a bound of each would cost more than its solve."""
    couplings = [Couplings(own, live) for own in J]
    made: Any = couplings[0] if len(J) == 1 else couplings.__getitem__
    return LayerProblem(made, g, np.zeros(len(g)), np.zeros(g.shape), half_range, bits, convex=False)


@dataclass(frozen=True, eq=False)
class Found:
    """change: (M, N) of a layer's weights. stats: of the solves, and the share of weights at the wall of their box."""

    change: Array
    stats: dict[str, Any]
