"""`optimizer=kronecker`: all units of a layer in one shared Hamiltonian, for mini-batches of any amount of data.

A layer's Gauss-Newton block is approximated by a Kronecker product of two averages over samples, R (N, N) between the
weights of a unit and Gamma (M, M) between units. Gamma is divided out of the gradient, so that one J, that of R,
serves all units of the layer; only their fields differ: the case that the annealing kernel is fastest at.
"""

from collections.abc import Sequence
from typing import Any

import numpy as np

from annealtrain.errors import Diverged, InputError
from annealtrain.hamiltonian.layer_problem import LayerProblem
from annealtrain.hamiltonian.penalty import STRENGTH, Penalty
from annealtrain.hamiltonian.quadratic import Couplings
from annealtrain.nn import footprint
from annealtrain.nn.losses import LOSSES
from annealtrain.nn.matrices import NUMPY
from annealtrain.nn.model import Model
from annealtrain.optimizers.diagnostics import condition_number, solve_row
from annealtrain.optimizers.grid_kronecker import FloatKronecker, GridKronecker
from annealtrain.optimizers.kronecker_model import FORMS, KroneckerModel, kronecker_factors
from annealtrain.optimizers.optimizer import Batch, Optimizer, Progress, Step
from annealtrain.optimizers.weight_grid import WeightGrid
from annealtrain.runtime.array_types import Array, Row
from annealtrain.runtime.random_streams import Stream, generator
from annealtrain.runtime.ranks import current_ranks
from annealtrain.runtime.stage_timer import StageTimer
from annealtrain.runtime.validation import checked, number, one_of, whole
from annealtrain.schedule import Schedule
from annealtrain.solvers.solver import Solver

PROBED = 64  # samples of a curvature probe
DIAGNOSED = 64  # steps of an epoch between two that are looked at closely, the first of them always
SHADOW_BITS = 8  # of the steps of float weights behind those of a grid
WARM_UP = 10  # first steps that each renew the curvature


__all__ = ["Kronecker", "kronecker_bytes", "kronecker_factors"]


def kronecker_bytes(network: Model, samples: int, threads: int) -> int:
    """Return an estimate of what a step on so many samples holds at once, beside their inputs, but not of a GPU's."""
    shapes = [layer.weight_shape for layer in network.trainable]
    if network.matrices is not NUMPY:
        return sum(8 * (3 * N * N + 8 * M * N) for M, N in shapes)
    # Averages, new ones, what is made of them (float64) and what the solver reads (float32); a checkpoint's copy.
    factors = sum(8 * (5 * N * N + 4 * M * M + 8 * M * N) for M, N in shapes)
    largest = sum(sorted(8 * 3 * N * N for _, N in shapes)[-threads:])  # of the spectra that are made side by side
    probe = max(4 * PROBED * footprint.unfolded(layer) for layer in network.trainable)
    return factors + largest + probe * threads + footprint.pass_bytes(network, samples, threads)


class Kronecker(FloatKronecker):
    """Minimises E_m(d) = d'Jd + H_m d of every unit m in its box |d_j| <= L, and moves the weights by d.

    J = (R / r + damping I)^p, H = eta (Gamma + damping g I)^-p h / r^p, r and g the means of the diagonals of R and
    Gamma, h the gradient of the loss averaged over steps. All layers move at once, and no step is refused.
    eta: size of a step at the start; it falls linearly with the steps, to a fiftieth.
    power: p, 1 (Gauss-Newton), or less, see `KroneckerModel`. damping: rho, relative.
    momentum, memory: decay of the averages of the gradient and of the curvature.
    every: steps between two measurements of the curvature. loss: squared_error or cross_entropy.
    weight_decay: nu, adds 2 eta nu w_m J to H of unit m, w_m its weights: with no gradient and no box d is -eta nu w_m.
    l1, l2: the loss has a penalty l1 |W|_1 + l2 |W|^2, see `KroneckerModel.problem`.
    factors: of a layer that is applied at several sites, see `kronecker_factors`: sites, expand or reduce.
    """

    solves_for_changes = True
    shares_batches = True
    solver: Solver
    half_range: Schedule
    bits: int

    @checked(
        "optimizer.",
        eta=number(above=0, most=10),
        power=number(0, most=1),
        damping=number(above=0, most=1e6),
        momentum=number(0, below=1),
        memory=number(0, below=1),
        every=whole(),
        loss=one_of(*LOSSES),
        factors=one_of(*FORMS),
        weight_decay=number(0, most=1),
        l1=STRENGTH,
        l2=STRENGTH,
    )
    def __init__(
        self,
        eta: float = 0.3,
        damping: float = 0.1,
        momentum: float = 0.9,
        memory: float = 0.95,
        every: int = 16,
        loss: str = "squared_error",
        factors: str = "sites",
        weight_decay: float = 0.0,
        l1: float | Sequence[float] = 0.0,
        l2: float | Sequence[float] = 0.0,
        power: float = 1.0,
        *,
        solver: Solver,
        half_range: Schedule,
        bits: int,
    ) -> None:
        self.solver, self.half_range, self.bits = solver, half_range, bits
        self.eta, self.power, self.damping = eta, power, damping
        self.momentum, self.memory, self.every = momentum, memory, every
        self.objective, self.factors = LOSSES[loss], factors
        self.weight_decay, self.penalty = weight_decay, Penalty(l1, l2)
        if power != 1 and not self.penalty.is_none:
            raise InputError("optimizer.l1 and optimizer.l2 are told in curvature: set kronecker.power=1")

    def on_grid(self, grid: WeightGrid) -> Optimizer:
        if not self.penalty.is_none:
            raise InputError("grid=fixed has few sizes that a weight can have: set optimizer.l1=0 and optimizer.l2=0")
        self.bits = SHADOW_BITS
        return GridKronecker(self, grid)

    def start(self, network: Model, *, seed: int, timer: StageTimer) -> None:
        super().start(network, seed=seed, timer=timer)
        self._ranks = current_ranks()
        self._model = self._empty_model()

    def _empty_model(self) -> KroneckerModel:
        return KroneckerModel(
            [layer.weight_shape for layer in self.network.trainable],
            damping=self.damping,
            momentum=self.momentum,
            memory=self.memory,
            form=self.factors,
            weight_decay=self.weight_decay,
            power=self.power,
            ranks=self._ranks,
            matrices=self.network.matrices,
        )

    def step_bytes(self, network: Model, samples: int, threads: int) -> int:
        return kronecker_bytes(network, samples, threads)

    def scheduled(self) -> list[str]:
        return [*super().scheduled(), "eta"]

    def step(self, batch: Batch, step: Step, progress: Progress) -> list[Row]:
        timer, layers = self.timer, self.network.trainable
        with timer.stage("targets_s"):
            loss, gradients = self._loss_and_gradients(batch, step.number)
            if not np.isfinite(loss):
                raise Diverged(f"training left the range of numbers in epoch {step.epoch + 1}: lower half_range.first")
            self._model.gradient.add(gradients)
        with timer.stage("build_s"):
            if step.number < WARM_UP or step.number % self.every == 0:
                self._measure_curvature(batch, step)
            owners = self._ranks.shared_out([M * N * N for M, N in (layer.weight_shape for layer in layers)])
            own = [k for k, owner in enumerate(owners) if owner == self._ranks.rank]
            self._model.prepare(own)
            problems = {k: self._layer_problem(k, step) for k in own}
        with timer.stage("anneal_s"):
            solver = self.solver.resolve_schedules(step.epoch, step.epochs)
            found = {k: solver.solve(problems[k], seed=self.solve_seed(k, step)) for k in own}
            rows = self._rows({k: solve_row(step.epoch, k, problems[k], found[k]) for k in own})
            changes = [np.zeros(layer.weight_shape) for layer in layers]
            for k in own:
                changes[k] = found[k].best_weights
            changes = self._ranks.from_owners(changes, owners)
            progress(len(layers) - 1, 1.0)
        if step.number % (step.total // step.epochs) % DIAGNOSED:
            for layer, change in zip(layers, changes, strict=True):
                layer.weights = layer.weights + change
        else:
            with timer.stage("evaluate_s"):
                rows = self._diagnosed(batch, loss, gradients, changes, rows)
        self.network.move_rest(self._left(step), self._ranks)
        return rows

    def _rows(self, own: dict[int, Row]) -> list[Row]:
        """Return the rows of all layers, whichever rank has solved them."""
        rows = self._ranks.gathered(own)
        return [rows[k] for k in sorted(rows)]

    def next_problem(self, k: int, batch: Batch, step: Step) -> LayerProblem:
        """Return the layer's Hamiltonians of changes d, from this batch's gradient alone."""
        kept, self._model = self._model, self._empty_model()
        try:
            self._model.gradient.add(self._loss_and_gradients(batch)[1])
            if kept.input_factor.count:
                self._model.input_factor, self._model.output_factor = kept.input_factor, kept.output_factor
            else:
                self._measure_curvature(batch, step)
            return self._layer_problem(k, step)
        finally:  # what it measured was for this one: the weights may be others when the next is asked for
            self._model = kept

    def _diagnosed(
        self, batch: Batch, loss: float, gradients: list[Array], changes: list[Array], rows: list[Row]
    ) -> list[Row]:
        """Move layer after layer, last to first, and tell what each does to the batch's loss."""
        layers = self.network.trainable
        for k in reversed(range(len(layers))):
            before, old = loss, layers[k].weights
            layers[k].weights = old + changes[k]
            loss = self._loss(batch)
            penalty = self.penalty.value(k, layers[k].weights) - self.penalty.value(k, old)
            predicted = float((gradients[k] * changes[k]).sum()) + self._model.curved(k, changes[k])
            rows[k] |= {
                "predicted_change": predicted + penalty,
                "actual_change": loss - before + penalty,
                "raised_share": float(loss - before + penalty > 0),
                "condition": condition_number(self._model.preconditioner(k)[0].J),
            }
        return rows

    def _loss(self, batch: Batch) -> float:
        value = self.objective.value(self.network.training_outputs(batch.inputs), batch.outputs)
        loss: float = self._joined(value) / self._joined(len(batch.inputs))
        return loss

    def _joined(self, value: float) -> Any:
        """Return the sum of a number over ranks."""
        return value if self._ranks.size == 1 else self._ranks.sums([np.array(value, np.float64)])[0].item()

    def _loss_and_gradients(self, batch: Batch, step: int | None = None) -> tuple[float, list[Any]]:
        """Return the batch's loss and its gradient, (M, N) a layer, in float64.

        step: number of the step whose own pass this is; None: a look.
        """
        network, count = self.network, self._joined(len(batch.inputs))

        def part(block: slice) -> tuple[float, list[Array]]:
            forward, targets = network.training_tape(batch.inputs[block], step), batch.outputs[block]
            gradients = forward.gradients(self.objective.gradient(forward.outputs, targets, count))
            return self.objective.value(forward.outputs, targets) / count, gradients

        parts = network.in_parts(part, len(batch.inputs), is_training=True)
        sums: list[Any] = [sum(g[k].astype(np.float64) for _, g in parts) for k in range(len(network.trainable))]
        return self._joined(sum((loss for loss, _ in parts), 0.0)), self._ranks.sums(sums)

    def _measure_curvature(self, batch: Batch, step: Step) -> None:
        forward = self.network.training_tape(batch.inputs[: -(-(PROBED - self._ranks.rank) // self._ranks.size)])
        random = generator(self.seed, Stream.SIGNS, step.number)
        self._model.measure(self.network, forward, self._model.draw(self.objective, forward.outputs, random))

    def _layer_problem(self, k: int, step: Step) -> LayerProblem:
        half_range = self.half_range.value(step.number, step.total, k)
        weights, penalty = self.network.trainable[k].weights, None
        if not self.penalty.is_none:
            penalty = self.penalty.around(k, weights, half_range, self.bits)
        eta = self.eta * self._left(step)
        return self._model.problem(k, weights, eta, half_range, self.bits, penalty=penalty)

    def couplings(self, k: int) -> Couplings:
        return self._model.preconditioner(k)[0]

    def _left(self, step: Step) -> float:
        """Return the share of eta that is left in a step: it falls linearly, to a fiftieth."""
        return max(1 - step.number / step.total, 0.02)

    def state(self) -> dict[str, Array]:
        return self._model.state()

    def restore(self, state: dict[str, Array]) -> None:
        self._model.restore(state)
