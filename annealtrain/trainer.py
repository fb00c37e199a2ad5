"""Training layer by layer: Sec. 4 of the paper, steps 1 to 5."""

import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import numpy as np

from annealtrain.averages import Averages
from annealtrain.errors import InputError
from annealtrain.network import ForwardPass, Network
from annealtrain.pictures import Pictures
from annealtrain.problem import LayerProblem
from annealtrain.schedule import Schedule
from annealtrain.solvers.base import Solver, SolveResult, relative_gap
from annealtrain.targets import Targets
from annealtrain.update import (
    Array,
    Batch,
    Checkpoint,
    Clock,
    Observer,
    Row,
    Step,
    Task,
    Update,
    by_layer,
    condition,
    solve_row,
)

ORDER_STREAM = 3  # SeedSequence child of a run's seed: (ORDER_STREAM, epoch), the order of samples in mini-batches
AUGMENT_STREAM = 4  # (AUGMENT_STREAM, step): how a batch's images are shifted and flipped
DIAGNOSED_ROWS = 4096
SCORED = 10_000  # training samples that a run of mini-batches is scored on


@dataclass(frozen=True, eq=False)
class Samples:
    """inputs: (Q, ...) as Network.stem gives them, an array, or Pictures that are read batch by batch. labels: (Q,)."""

    inputs: Array | Pictures
    labels: Array

    def first(self, count: int) -> "Samples":
        """Return the first `count` samples."""
        inputs = self.inputs.first(count) if isinstance(self.inputs, Pictures) else self.inputs[:count]
        return Samples(inputs, self.labels[:count])


class LayerByLayer(Update):
    """Step 3 of Sec. 4: the samples go forward, targets come back, and each layer is solved, first to last."""

    def __init__(self, targets: Targets) -> None:
        self.targets, self.amplitude = targets, targets.amplitude

    def check(self, network: Network) -> None:
        self.targets.check(network)

    def step(self, batch: Batch, step: Step, observer: Observer) -> list[Row]:
        # Steps 2 and 4: outputs back through the inverse of the network as the last step left it.
        state = ForwardPass(self.task.network, batch.inputs)
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
        state = ForwardPass(self.task.network, batch.inputs)
        self.targets.start_epoch(state, batch.outputs)
        return self.problem(k, state, self.task.half_range.value(step.number, step.total, k), step.epoch)

    def _loss(self, state: ForwardPass, batch: Batch) -> float:
        """Return the true loss, which the layers' own losses only stand for."""
        with self.task.clock.stage("evaluate_s"):
            return float(((state.outputs() - batch.outputs).astype(np.float64) ** 2).sum() / len(batch.outputs))

    def _train_layer(self, k: int, step: Step, state: ForwardPass, observer: Observer) -> Row:
        problem = self.problem(k, state, self.task.half_range.value(step.number, step.total, k), step.epoch)
        # Low-energy spins, back to weights.
        result, wall = self._solve(problem, k, step, observer)
        self.task.network.trainable[k].weights = result.best_weights
        state.weights_changed(k)
        row = solve_row(step.epoch, k, problem, result)
        return row | {"solve_s": wall, "predicted_change": row["energy"] - row["start_energy"], **_diagnosis(problem)}

    def problem(self, k: int, state: ForwardPass, half_range: float, epoch: int = 0) -> LayerProblem:
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


class Trainer:
    """The loop over epochs and batches. `sets` holds the samples of "train", "test" and, if there are any, "val".

    batch_size: samples a step, drawn in a new order each epoch; None: all of them, in their own order.
    averaging: decay of an exponential average of the weights over the steps, which is what is scored and kept; 0: none.
    """

    def __init__(
        self,
        network: Network,
        sets: dict[str, Samples],
        update: Update | Targets,
        solver: Solver,
        half_range: Schedule,
        *,
        bits: int,
        epochs: int,
        seed: int,
        batch_size: int | None = None,
        averaging: float = 0.0,
    ) -> None:
        self.network, self.sets, self.epochs, self.seed = network, sets, epochs, seed
        self.update = update if isinstance(update, Update) else LayerByLayer(update)
        self.update.check(network)
        half_range.check_layers(len(network.trainable))
        self.clock = Clock()
        self.update.start(Task(network, solver, half_range, bits, seed, self.clock))
        self.batch_size = batch_size
        self._averages = Averages(network, averaging) if averaging else None

    def run(self, observer: Observer, done: int | None = None) -> None:
        """Train the epochs after the `done` ones; a new run (None) first reports step 1, random weights, as epoch 0."""
        if done is None:
            row = {"epoch": 0, **self.scores(), **self.clock.take()}
            observer.epoch_done(row, [], self.checkpoint())
        for epoch in range(done or 0, self.epochs):
            solves: list[Row] = []
            for step, batch in self._batches(epoch):
                solves += self.update.step(batch, step, observer)
                if self._averages:
                    self._averages.add()
            solves = by_layer(solves)
            observer.epoch_done(self._metrics(epoch, solves), solves, self.checkpoint())

    def _batches(self, epoch: int) -> Iterator[tuple[Step, Batch]]:
        train = self.sets["train"]
        count = -(-len(train.labels) // self.batch_size) if self.batch_size else 1
        if self.batch_size:
            order = np.random.default_rng(np.random.SeedSequence(self.seed, spawn_key=(ORDER_STREAM, epoch)))
            parts = np.array_split(order.permutation(len(train.labels)), count)
        else:
            parts = [np.arange(len(train.labels))]
        for number, part in enumerate(parts):
            step = Step(epoch, self.epochs, epoch * count + number, self.epochs * count)
            with self.clock.stage("forward_s"):
                inputs = self._inputs(part, step.number)
            yield step, Batch(inputs, self._outputs(train.labels[part]))

    def _inputs(self, part: Array, step: int) -> Array:
        inputs = self.sets["train"].inputs
        if isinstance(inputs, Pictures):
            return inputs.augmented(part, np.random.SeedSequence(self.seed, spawn_key=(AUGMENT_STREAM, step)))
        return inputs[part] if self.batch_size else inputs

    def next_problem(self, k: int, epoch: int) -> LayerProblem:
        """Return what the first step of `epoch` would solve in layer k at the present weights of all layers."""
        step, batch = next(self._batches(epoch))
        return self.update.next_problem(k, batch, step)

    def _outputs(self, labels: Array) -> Array:
        outputs = np.zeros((len(labels), self.network.classes), np.float32)
        outputs[np.arange(len(labels)), labels] = self.update.amplitude
        return outputs

    def scores(self) -> Row:
        """Return the true MSE (summed over outputs, Eq. 2) on the training samples and the accuracy on each set.

        In a run of mini-batches the first 10,000 training samples stand for all.
        """
        row: Row = {}
        with self.clock.stage("evaluate_s"), self._averaged():
            for name, samples in self.sets.items():
                shown = samples.first(SCORED) if name == "train" and self.batch_size else samples
                outputs, labels = self.network.predict(shown.inputs), shown.labels
                if name == "train":
                    away = (outputs - self._outputs(labels)).astype(np.float64)
                    row["train_loss"] = float((away**2).sum(axis=1).mean())
                row[f"{name}_accuracy"] = float((outputs.argmax(axis=1) == labels).mean())
        return row

    def checkpoint(self) -> Checkpoint:
        """Return the weights that are scored, and what going on needs beside them."""
        with self._averaged():
            weights = [layer.weights for layer in self.network.trainable]
        return Checkpoint(weights, self.update.state() | (self._averages.state() if self._averages else {}))

    def restore(self, state: dict[str, Array]) -> None:
        """Go on from a checkpoint's state; the network has its weights already."""
        self.update.restore(state)
        if self._averages:
            self._averages.restore(state)

    @contextmanager
    def _averaged(self) -> Iterator[None]:
        if not self._averages:
            yield
            return
        with self._averages.in_place():
            yield

    def _metrics(self, epoch: int, solves: list[Row]) -> Row:
        if not all("energy" in s for s in solves):  # backpropagation anneals nothing
            return {"epoch": epoch + 1, **self.scores(), **self.clock.take()}
        betas = [s["beta_last"] for s in solves if s.get("beta_last") is not None]
        return {
            "epoch": epoch + 1,
            **self.scores(),
            "L": float(np.mean([s["L"] for s in solves])),
            "beta": float(np.mean(betas)) if betas else None,
            **_energies(solves),
            **self.clock.take(),
        }


def _energies(solves: list[Row]) -> Row:
    energy, start = (sum(s[name] for s in solves) for name in ("energy", "start_energy"))
    bounds = [s["lower_bound"] for s in solves]
    if None in bounds:
        return {"energy": energy, "lower_bound": None, "gap": None}
    return {"energy": energy, "lower_bound": sum(bounds), "gap": relative_gap(energy, start, sum(bounds))}


def _diagnosis(problem: LayerProblem) -> Row:
    """Return how far a layer's targets are from what it gives, and how its weights hang together.

    target_cosine: between targets and gamma (inputs @ S0); condition: of inputs' inputs; both on the first rows.
    """
    rows = problem.rows
    assert rows is not None
    inputs, targets = rows.inputs[:DIAGNOSED_ROWS], rows.targets[:DIAGNOSED_ROWS]
    given = inputs @ problem.S0.T.astype(inputs.dtype)
    if rows.factors is not None:
        given *= rows.factors[:DIAGNOSED_ROWS]
    size = float(np.linalg.norm(given)) * float(np.linalg.norm(targets))
    cosine = float((given * targets).sum()) / size if size else None
    return {"target_cosine": cosine, "condition": condition(np.asarray(inputs.T @ inputs, np.float64))}
