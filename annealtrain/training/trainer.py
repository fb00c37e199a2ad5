"""Training layer by layer: Sec. 4 of the paper, steps 1 to 5."""

from collections.abc import Iterator
from contextlib import contextmanager

import numpy as np

from annealtrain.data.loader import Pictures, Samples
from annealtrain.hamiltonian.layer_problem import LayerProblem
from annealtrain.nn.network import Network
from annealtrain.optimizers.diagnostics import energy_columns
from annealtrain.optimizers.layerwise import Layerwise
from annealtrain.optimizers.optimizer import Batch, Optimizer, Step, Task
from annealtrain.optimizers.targets import Targets
from annealtrain.runtime.array_types import Array, Row
from annealtrain.runtime.stage_timer import StageTimer
from annealtrain.schedule import Schedule
from annealtrain.solvers.solver import Solver
from annealtrain.solvers.statistics import merge_by_layer
from annealtrain.training.callback import Checkpoint, Observer
from annealtrain.training.weight_averaging import Averages

ORDER_STREAM = 3  # SeedSequence child of a run's seed: (ORDER_STREAM, epoch), the order of samples in mini-batches
AUGMENT_STREAM = 4  # (AUGMENT_STREAM, step): how a batch's images are shifted and flipped
SCORED = 10_000  # training samples that a run of mini-batches is scored on


class Trainer:
    """The loop over epochs and batches. `sets` holds the samples of "train", "test" and, if there are any, "val".

    batch_size: samples a step, drawn in a new order each epoch; None: all of them, in their own order.
    averaging: decay of an exponential average of the weights over the steps, which is what is scored and kept; 0: none.
    """

    def __init__(
        self,
        network: Network,
        sets: dict[str, Samples],
        update: Optimizer | Targets,
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
        self.update = update if isinstance(update, Optimizer) else Layerwise(update)
        self.update.check(network)
        half_range.check_layers(len(network.trainable))
        self.clock = StageTimer()
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
            solves = merge_by_layer(solves)
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
            **energy_columns(solves),
            **self.clock.take(),
        }
