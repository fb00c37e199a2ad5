"""Training layer by layer with targets of each layer: Sec. 4 of the paper, steps 2 to 4."""

import time
from collections.abc import Sequence

import numpy as np

from annealtrain.errors import Diverged, InputError
from annealtrain.hamiltonian.layer_problem import LayerProblem
from annealtrain.hamiltonian.least_squares import BLOCK_ROWS
from annealtrain.hamiltonian.penalty import NO_PENALTY, STRENGTH, Penalty
from annealtrain.nn import footprint
from annealtrain.nn.forward import ActivationCache
from annealtrain.nn.model import Model, ModelLayer
from annealtrain.nn.network import Network
from annealtrain.optimizers.diagnostics import layer_diagnosis, solve_row
from annealtrain.optimizers.optimizer import Batch, Optimizer, Progress, Step
from annealtrain.optimizers.targets import (
    DifferenceTargets,
    PseudoInverseTargets,
    Targets,
    WeightedPseudoInverseTargets,
)
from annealtrain.runtime.array_types import Row
from annealtrain.runtime.validation import checked
from annealtrain.schedule import Schedule
from annealtrain.solvers.solver import Solver, SolveResult


class Layerwise(Optimizer):
    """The samples go forward, targets come back, and each layer is solved for its own targets, first to last.

    targets: where a layer's targets come from. penalty: on its weights. The others are as in `Optimizer`.
    """

    network: Network
    solver: Solver
    half_range: Schedule
    bits: int

    def __init__(
        self, targets: Targets, penalty: Penalty = NO_PENALTY, *, solver: Solver, half_range: Schedule, bits: int
    ) -> None:
        self.targets, self.amplitude, self.penalty = targets, targets.amplitude, penalty
        self.solver, self.half_range, self.bits = solver, half_range, bits

    def check(self, network: Model) -> None:
        try:
            network.check_inverses()
            if own := [type(layer).__name__ for layer in network.trainable if not layer.has_shared_rows]:
                raise InputError(
                    f"the units of {own[0]} see inputs of their own, and have no least-squares rows in common"
                )
        except InputError as error:
            raise InputError(
                f"{error}; optimizer=pinv and difference bring targets back by inverses: take optimizer=gauss_newton "
                "or kronecker, which need none"
            ) from None
        assert isinstance(network, Network)  # nothing else has inverses
        self.targets.check(network)
        super().check(network)

    def step_bytes(self, network: Model, samples: int, threads: int) -> int:
        def of_layer(layer: ModelLayer) -> int:
            (M, N), rows = layer.weight_shape, samples * footprint.sites(layer)
            # float32: rows, and targets, slopes, their row forms.
            # float64: J whole, live, packed, a block of rows; all J at once where they are smaller than the rows.
            held, at_once = 4 * rows * (N + 5 * M), 8 * M * N * N if rows >= M * N else 0
            return held + at_once + (threads + 1) * (20 * N * N + 16 * min(rows, BLOCK_ROWS) * N)

        return super().step_bytes(network, samples, threads) + max(map(of_layer, network.trainable))

    def step(self, batch: Batch, step: Step, progress: Progress) -> list[Row]:
        # Steps 2 and 4: outputs back through the inverse of the network as the last step left it.
        state = ActivationCache(self.network, batch.inputs)
        with self.timer.stage("targets_s"):
            self.targets.start_epoch(state, batch.outputs)
        loss, rows = self._true_loss(state, batch, step.epoch), []
        for k in range(len(self.network.trainable)):
            before = loss
            rows.append(self._train_layer(k, step, state, progress))
            loss = self._true_loss(state, batch, step.epoch)
            rows[-1] |= {"actual_change": loss - before, "raised_share": float(loss > before)}
        return rows

    def next_problem(self, k: int, batch: Batch, step: Step) -> LayerProblem:
        state = ActivationCache(self.network, batch.inputs)
        self.targets.start_epoch(state, batch.outputs)
        return self.layer_problem(k, state, step)

    def _true_loss(self, state: ActivationCache, batch: Batch, epoch: int) -> float:
        """Return the loss of the network, which the layers' own losses only stand for."""
        with self.timer.stage("evaluate_s"):
            loss = float(((state.outputs() - batch.outputs).astype(np.float64) ** 2).sum() / len(batch.outputs))
        if not np.isfinite(loss):
            raise Diverged(f"training left the range of numbers in epoch {epoch + 1}: lower half_range.first")
        return loss

    def _train_layer(self, k: int, step: Step, state: ActivationCache, progress: Progress) -> Row:
        layer = self._layer_alone(k, state, step)
        problem = self.penalty.added(k, layer)
        # Low-energy spins, back to weights.
        result, wall = self._solve(problem, k, step, progress)
        self.network.trainable[k].weights = result.best_weights
        state.weights_changed(k)
        row = solve_row(step.epoch, k, problem, result)
        return row | {
            "solve_s": wall,
            "predicted_change": row["energy"] - row["start_energy"],
            **layer_diagnosis(layer),
        }

    def layer_problem(self, k: int, state: ActivationCache, step: Step) -> LayerProblem:
        """Return layer k as M quadratic forms on n-bit weights around the present ones."""
        return self.penalty.added(k, self._layer_alone(k, state, step))

    def _layer_alone(self, k: int, state: ActivationCache, step: Step) -> LayerProblem:
        """Return layer k without the penalty, in the least-squares view of its rows."""
        # Samples forward up to the layer, with the weights just updated below it; targets from above.
        with self.timer.stage("forward_s"):
            inputs = state.unfolded(k)
        with self.timer.stage("targets_s"):
            targets, factors = self.targets.of_layer(k, state)
        with self.timer.stage("build_s"):
            try:
                return LayerProblem.from_rows(
                    inputs,
                    self.network.flatten_outputs(k, targets),
                    self.network.trainable[k].weights,
                    self.half_range.value(step.number, step.total, k),
                    self.bits,
                    factors=None if factors is None else self.network.flatten_outputs(k, factors),
                    samples=len(targets),
                    ridge=self.targets.ridge,
                )
            except ValueError as error:
                raise Diverged(
                    f"training left the range of numbers in epoch {step.epoch + 1}, layer {k} ({error}): "
                    "lower pinv.gain or half_range.first"
                ) from error

    def _solve(self, problem: LayerProblem, k: int, step: Step, progress: Progress) -> tuple[SolveResult, float]:
        solver = self.solver.resolve_schedules(step.epoch, step.epochs)
        started = time.perf_counter()
        result = solver.solve(
            problem, seed=self.solve_seed(k, step), progress=lambda done: progress(k, done / problem.num_units)
        )
        wall = time.perf_counter() - started
        # Units are built, annealed and bounded side by side on threads: share the wall time out between the three.
        shares = {stage: result.stats[stage] for stage in ("build_s", "anneal_s", "bound_s")}
        for stage, share in shares.items():
            self.timer.seconds[stage] += wall * share / (sum(shares.values()) or 1)
        return result, wall


@checked("optimizer.", l1=STRENGTH, l2=STRENGTH)
def pinv(
    amplitude: float = 10.0,
    gain: float | Sequence[float] | None = 1.0,
    inverse_activation: bool = False,
    ridge: float = 0.0,
    l1: float | Sequence[float] = 0.0,
    l2: float | Sequence[float] = 0.0,
    *,
    solver: Solver,
    half_range: Schedule,
    bits: int,
) -> Layerwise:
    """Return `optimizer=pinv`, the paper's: see PseudoInverseTargets, and Penalty for l1 and l2."""
    targets = PseudoInverseTargets(amplitude, gain, inverse_activation, ridge)
    return Layerwise(targets, Penalty(l1, l2), solver=solver, half_range=half_range, bits=bits)


@checked("optimizer.", l1=STRENGTH, l2=STRENGTH)
def pinv_weighted(
    amplitude: float = 10.0,
    gain: float | Sequence[float] | None = 1.0,
    inverse_activation: bool = False,
    ridge: float = 0.0,
    l1: float | Sequence[float] = 0.0,
    l2: float | Sequence[float] = 0.0,
    *,
    solver: Solver,
    half_range: Schedule,
    bits: int,
) -> Layerwise:
    """Return `optimizer=pinv_weighted`, the paper's variant of Eqs. (28), (29): see WeightedPseudoInverseTargets."""
    targets = WeightedPseudoInverseTargets(amplitude, gain, inverse_activation, ridge)
    return Layerwise(targets, Penalty(l1, l2), solver=solver, half_range=half_range, bits=bits)


@checked("optimizer.", l1=STRENGTH, l2=STRENGTH)
def difference(
    amplitude: float = 1.0,
    eta: float = 1.0,
    ridge: float = 0.0,
    l1: float | Sequence[float] = 0.0,
    l2: float | Sequence[float] = 0.0,
    *,
    solver: Solver,
    half_range: Schedule,
    bits: int,
) -> Layerwise:
    """Return `optimizer=difference`: see DifferenceTargets, and Penalty for l1 and l2."""
    return Layerwise(
        DifferenceTargets(amplitude, eta, ridge), Penalty(l1, l2), solver=solver, half_range=half_range, bits=bits
    )
