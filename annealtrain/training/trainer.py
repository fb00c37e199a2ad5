"""The loop over epochs and batches: Sec. 4 of the paper, steps 1 to 5."""

from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from itertools import islice
from time import perf_counter
from typing import TYPE_CHECKING
from zlib import crc32

import numpy as np

from annealtrain.data.loader import Loader
from annealtrain.errors import InputError
from annealtrain.nn.network import Network
from annealtrain.optimizers.diagnostics import epoch_columns
from annealtrain.optimizers.optimizer import Batch, Optimizer, Progress, Step
from annealtrain.runtime.array_types import Array, Row
from annealtrain.runtime.random_streams import Stream, generator, stream
from annealtrain.runtime.ranks import current_ranks, require_alike, require_samples
from annealtrain.runtime.stage_timer import StageTimer
from annealtrain.solvers.statistics import merge_by_layer
from annealtrain.training.answers import check_weights, checked_rows
from annealtrain.training.callback import Checkpoint, Observer
from annealtrain.training.task import Classification, Task
from annealtrain.training.weight_averaging import WeightAveraging

if TYPE_CHECKING:
    from annealtrain.hamiltonian.layer_problem import LayerProblem

SCORED = 10_000  # training samples that a run of mini-batches is scored on
CALIBRATED, CALIBRATED_AT_ONCE = 2048, 256  # training samples that running statistics of averaged weights are of


class Trainer:
    """Trains a network. `sets` holds the samples of "train", "test" and, if there are any, "val".

    batch_size: samples a step, drawn in a new order each epoch; None: all of them, in their own order.
    averaging: decay of an exponential average of the weights over the steps, which is what is scored and kept; 0: none.
    task: what outputs are fitted to and how they are scored; None: classes.
    """

    def __init__(
        self,
        network: Network,
        sets: dict[str, Loader],
        optimizer: Optimizer,
        *,
        epochs: int,
        seed: int,
        batch_size: int | None = None,
        averaging: float = 0.0,
        task: Task | None = None,
    ) -> None:
        self.task = task or Classification()
        self.network, self.sets, self.optimizer = network, sets, optimizer
        self.epochs, self.seed, self.batch_size = epochs, seed, batch_size
        self.timer, self._ranks = StageTimer(), current_ranks()
        if self._ranks.size > 1 and not optimizer.shares_batches:
            raise InputError(
                "several processes train together with optimizer=kronecker alone, and grid=step: start this in one"
            )
        require_samples(len(sets["train"]), batch_size, self._ranks.size)
        optimizer.check(network)
        optimizer.start(network, seed=seed, timer=self.timer)
        self._averages = WeightAveraging(network, averaging, self._calibrate) if averaging else None

    def run(self, observer: Observer, done: int | None = None) -> None:
        """Train the epochs after the `done` ones; a new run (None) first reports step 1, random weights, as epoch 0.

        It ends early after an epoch whose loss is no finite number: no step leads back from there.
        """
        labels = np.ascontiguousarray(self.sets["train"].labels)
        data = f"{len(labels)} training samples of checksum {crc32(labels.tobytes()):08x}"
        own = {"epochs": self.epochs, "batch_size": self.batch_size, "seed": self.seed}
        require_alike(self._ranks, {"the data": data, **own})
        with np.errstate(over="ignore", invalid="ignore"):  # said once, by the loss
            self._run(observer, done)

    def _run(self, observer: Observer, done: int | None) -> None:
        if done is None:
            scores = self.scores()
            observer.epoch_done({"epoch": 0, **scores, **self.timer.take()}, [], self.checkpoint())
            if not np.isfinite(scores["train_loss"]):
                return
        name = type(self.optimizer).__name__
        for epoch in range(done or 0, self.epochs):
            rows: list[Row] = []
            for step, batch in self._batches(epoch):
                given = self.optimizer.step(batch, step, partial(observer.solving, epoch))
                rows += checked_rows(name, self.network, given)
                if self._averages:
                    self._averages.add()
            check_weights(name, self.network)
            solves = merge_by_layer(rows)
            metrics = {"epoch": epoch + 1, **self.scores(), **epoch_columns(solves), **self.timer.take()}
            observer.epoch_done(metrics, solves, self.checkpoint())
            if not np.isfinite(metrics["train_loss"]):
                return

    def _batches(self, epoch: int) -> Iterator[tuple[Step, Batch]]:
        train = self.sets["train"]
        count, order = 1, np.arange(len(train))
        if self.batch_size:
            count = -(-len(train) // self.batch_size)
            order = generator(self.seed, Stream.ORDER, epoch).permutation(len(train))
        for number, index in enumerate(np.array_split(order, count)):
            step = Step(epoch, self.epochs, epoch * count + number, self.epochs * count)
            with self.timer.stage("forward_s"):
                inputs = train.batch(index, stream(self.seed, Stream.AUGMENT, step.number))
            share = slice(self._ranks.rank, None, self._ranks.size)  # of all samples, as they are augmented together
            yield step, Batch(inputs[share], self._outputs(train.labels[index])[share])

    def timed_steps(self, progress: Progress, first: int = 0) -> Iterator[float]:
        """Yield the seconds of each step of the first epoch from `first` on; nobody is told of its scores."""
        batches = islice(self._batches(0), first, None)
        started = perf_counter()
        for step, batch in batches:
            self.optimizer.step(batch, step, progress)
            now = perf_counter()
            yield now - started
            started = now

    def timed_step(self, count: int, progress: Progress) -> float:
        """Return the seconds of a first step on the first `count` training samples."""
        train, step = self.sets["train"], Step(0, self.epochs, 0, self.epochs)
        started = perf_counter()
        self.optimizer.step(Batch(train[:count], self._outputs(train.labels[:count])), step, progress)
        return perf_counter() - started

    def next_problem(self, k: int, epoch: int) -> "LayerProblem":
        """Return what the first step of `epoch` would solve in layer k at the present weights of all layers."""
        step, batch = next(self._batches(epoch))
        return self.optimizer.next_problem(k, batch, step)

    def _outputs(self, labels: Array) -> Array:
        return self.task.outputs(labels, self.network.classes, self.optimizer.amplitude)

    def scores(self) -> Row:
        """Return the optimizer's loss on the training samples and the task's scores on each set.

        The loss is the MSE summed over outputs, Eq. (2), or cross-entropy.
        In a run of mini-batches the first 10,000 training samples stand for all.
        """
        row: Row = {}
        with self.timer.stage("evaluate_s"), self._averaged():
            for name in self.sets:
                scored = self.scored(name)
                outputs, labels = self.network.predict(scored), scored.labels
                if name == "train":
                    row["train_loss"] = float(self.optimizer.objective.values(outputs, self._outputs(labels)).mean())
                scores = self.task.scores(outputs, labels, self.optimizer.amplitude)
                row |= {f"{name}_{score}": value for score, value in scores.items()}
        return row

    def scored(self, name: str) -> Loader:
        """Return the samples of a set that its accuracy counts."""
        return self.sets[name].take(SCORED) if name == "train" and self.batch_size else self.sets[name]

    def checkpoint(self) -> Checkpoint:
        """Return the weights that are scored, and what going on needs beside them."""
        with self._averaged():
            weights, module = [layer.weights for layer in self.network.trainable], self.network.others()
        state = self.optimizer.state() | self.network.rest_state()
        return Checkpoint(weights, module, state | (self._averages.state() if self._averages else {}))

    def restore(self, state: dict[str, Array]) -> None:
        """Go on from a checkpoint's state; the network has its weights already."""
        self.optimizer.restore(state)
        self.network.restore_rest(state)
        if self._averages:
            self._averages.restore(state)

    def _calibrate(self) -> None:
        train, size = self.sets["train"].take(CALIBRATED), CALIBRATED_AT_ONCE
        self.network.calibrate(train[start : start + size] for start in range(0, len(train), size))

    @contextmanager
    def _averaged(self) -> Iterator[None]:
        if not self._averages:
            yield
            return
        with self._averages.in_place():
            yield
