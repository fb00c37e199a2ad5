"""Training layer by layer: Sec. 4 of the paper, step 3."""

import time

import numpy as np

from annealtrain.errors import InputError
from annealtrain.hamiltonian.layer_problem import LayerProblem
from annealtrain.nn.forward import ActivationCache
from annealtrain.nn.network import Network
from annealtrain.optimizers.diagnostics import layer_diagnosis, solve_row
from annealtrain.optimizers.optimizer import Batch, Optimizer, Step
from annealtrain.optimizers.targets import Targets
from annealtrain.runtime.array_types import Row
from annealtrain.solvers.solver import SolveResult
from annealtrain.training.callback import Observer


class Layerwise(Optimizer):
    """Step 3 of Sec. 4: the samples go forward, targets come back, and each layer is solved, first to last."""

    def __init__(self, targets: Targets) -> None:
        self.targets, self.amplitude = targets, targets.amplitude

    def check(self, network: Network) -> None:
        self.targets.check(network)

    def step(self, batch: Batch, step: Step, observer: Observer) -> list[Row]:
        # Steps 2 and 4: outputs back through the inverse of the network as the last step left it.
        state = ActivationCache(self.task.network, batch.inputs)
        with self.task.clock.stage("targets_s"):
            self.targets.start_epoch(state, batch.outputs)
        loss, rows = self._loss(state, batch), []
        for k in range(len(self.task.network.trainable)):
            before = loss
            rows.append(self._train_layer(k, step, state, observer))
            loss = self._loss(state, batch)
            rows[-1] |= {"actual_change": loss - before, "raised_share": float(loss > before)}
        return rows

    def next_problem(self, k: int, batch: Batch, step: Step) -> LayerProblem:
        state = ActivationCache(self.task.network, batch.inputs)
        self.targets.start_epoch(state, batch.outputs)
        return self.problem(k, state, self.task.half_range.value(step.number, step.total, k), step.epoch)

    def _loss(self, state: ActivationCache, batch: Batch) -> float:
        """Return the true loss, which the layers' own losses only stand for."""
        with self.task.clock.stage("evaluate_s"):
            return float(((state.outputs() - batch.outputs).astype(np.float64) ** 2).sum() / len(batch.outputs))

    def _train_layer(self, k: int, step: Step, state: ActivationCache, observer: Observer) -> Row:
        problem = self.problem(k, state, self.task.half_range.value(step.number, step.total, k), step.epoch)
        # Low-energy spins, back to weights.
        result, wall = self._solve(problem, k, step, observer)
        self.task.network.trainable[k].weights = result.best_weights
        state.weights_changed(k)
        row = solve_row(step.epoch, k, problem, result)
        return row | {
            "solve_s": wall,
            "predicted_change": row["energy"] - row["start_energy"],
            **layer_diagnosis(problem),
        }

    def problem(self, k: int, state: ActivationCache, half_range: float, epoch: int = 0) -> LayerProblem:
        """Return layer k as M quadratic forms on n-bit weights around the present ones."""
        clock, network = self.task.clock, self.task.network
        # Samples forward up to the layer, with the weights just updated below it; targets from above.
        with clock.stage("forward_s"):
            inputs = state.rows(k)
        with clock.stage("targets_s"):
            targets, factors = self.targets.of_layer(k, state)
        with clock.stage("build_s"):
            try:
                return LayerProblem.from_rows(
                    inputs,
                    network.unit_rows(k, targets),
                    network.trainable[k].weights,
                    half_range,
                    self.task.bits,
                    factors=None if factors is None else network.unit_rows(k, factors),
                    samples=len(targets),
                    ridge=self.targets.ridge,
                )
            except ValueError as error:
                raise InputError(
                    f"training left the range of numbers in epoch {epoch + 1}, layer {k} ({error}): "
                    "lower targets.gain or schedule.first"
                ) from error

    def _solve(self, problem: LayerProblem, k: int, step: Step, observer: Observer) -> tuple[SolveResult, float]:
        solver = self.task.solver.at_epoch(step.epoch, step.epochs)
        started = time.perf_counter()
        result = solver.solve(
            problem,
            seed=self.task.solve_seed(k, step),
            progress=lambda done: observer.solving(step.epoch, k, done / problem.num_units),
        )
        wall = time.perf_counter() - started
        # Units are built, annealed and bounded side by side on threads: share the wall time out between the three.
        shares = {stage: result.stats[stage] for stage in ("build_s", "anneal_s", "bound_s")}
        for stage, share in shares.items():
            self.task.clock.seconds[stage] += wall * share / (sum(shares.values()) or 1)
        return result, wall
