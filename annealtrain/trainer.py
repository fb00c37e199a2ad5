"""Training layer by layer: Sec. 4 of the paper, steps 1 to 5."""

import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np

from annealtrain.errors import InputError
from annealtrain.network import ForwardPass, Network
from annealtrain.problem import LayerProblem
from annealtrain.schedule import Schedule
from annealtrain.solvers.base import Solver, SolveResult, relative_gap
from annealtrain.targets import Targets

Array = np.ndarray[Any, np.dtype[Any]]
Row = dict[str, Any]

SOLVE_STREAM = 2  # SeedSequence child of a run's seed: (SOLVE_STREAM, layer, epoch)
STAGES = ("forward_s", "targets_s", "build_s", "anneal_s", "bound_s", "evaluate_s")


@dataclass(frozen=True)
class Samples:
    """inputs: (Q, ...) as Network.stem gives them. labels: (Q,) int."""

    inputs: Array
    labels: Array


class Observer(Protocol):
    """Who wants to know how a run goes on."""

    def epoch_done(self, row: Row, solves: list[Row]) -> None:
        """An epoch's row of metrics, and a row for each layer solved in it."""

    def solving(self, epoch: int, layer: int, done: float) -> None:
        """Layer `layer` of epoch `epoch` has a fraction `done` of its units solved."""


class Trainer:
    """The epoch loop. `sets` holds the samples of "train", "test" and, if there are any, "val"."""

    def __init__(
        self,
        network: Network,
        sets: dict[str, Samples],
        targets: Targets,
        solver: Solver,
        half_range: Schedule,
        *,
        bits: int,
        epochs: int,
        seed: int,
    ) -> None:
        targets.check(network)
        half_range.check_layers(len(network.trainable))
        self.network, self.sets, self.targets, self.solver = network, sets, targets, solver
        self.half_range, self.bits, self.epochs, self.seed = half_range, bits, epochs, seed
        self._seconds = dict.fromkeys(STAGES, 0.0)
        train = sets["train"]
        one_hot = np.zeros((len(train.labels), network.classes), np.float32)
        one_hot[np.arange(len(train.labels)), train.labels] = targets.amplitude
        self._outputs = one_hot

    def run(self, observer: Observer, done: int | None = None) -> None:
        """Train the epochs after the `done` ones; a new run (None) first reports step 1, random weights, as epoch 0."""
        if done is None:
            observer.epoch_done({"epoch": 0, **self.scores(), **self._stage_seconds()}, [])
        for epoch in range(done or 0, self.epochs):
            # Steps 2 and 4: outputs back through the inverse of the network as the last epoch left it.
            state = ForwardPass(self.network, self.sets["train"].inputs)
            with self._timed("targets_s"):
                self.targets.start_epoch(state, self._outputs)
            # Step 3: each layer, first to last.
            solves = [self._train_layer(k, epoch, state, observer) for k in range(len(self.network.trainable))]
            observer.epoch_done(self._metrics(epoch, solves), solves)

    def _train_layer(self, k: int, epoch: int, state: ForwardPass, observer: Observer) -> Row:
        layer = self.network.trainable[k]
        # Samples forward up to the layer, with the weights just updated below it; targets from above.
        with self._timed("forward_s"):
            inputs = state.rows(k)
        with self._timed("targets_s"):
            targets, factors = self.targets.of_layer(k, state)
        # The layer as M quadratic forms on n-bit weights around the present ones.
        with self._timed("build_s"):
            try:
                problem = LayerProblem.from_rows(
                    inputs,
                    layer.unit_rows(targets),
                    layer.weights,
                    self.half_range.value(epoch, self.epochs, k),
                    self.bits,
                    factors=None if factors is None else layer.unit_rows(factors),
                    samples=len(targets),
                    ridge=self.targets.ridge,
                )
            except ValueError as error:
                raise InputError(
                    f"training left the range of numbers in epoch {epoch + 1}, layer {k} ({error}): "
                    "lower targets.gain or schedule.first"
                ) from error
        # Low-energy spins, back to weights.
        seed = np.random.SeedSequence(self.seed, spawn_key=(SOLVE_STREAM, k, epoch))
        result, wall = self._solve(problem, epoch, k, seed, observer)
        layer.weights = result.best_weights
        state.weights_changed(k)
        return _solve_row(epoch, k, problem, result, wall)

    def _solve(
        self, problem: LayerProblem, epoch: int, k: int, seed: np.random.SeedSequence, observer: Observer
    ) -> tuple[SolveResult, float]:
        solver = self.solver.at_epoch(epoch, self.epochs)
        started = time.perf_counter()
        result = solver.solve(
            problem, seed=seed, progress=lambda done: observer.solving(epoch, k, done / problem.num_units)
        )
        wall = time.perf_counter() - started
        # Units are built, annealed and bounded side by side on threads: share the wall time out between the three.
        shares = {stage: result.stats[stage] for stage in ("build_s", "anneal_s", "bound_s")}
        for stage, share in shares.items():
            self._seconds[stage] += wall * share / (sum(shares.values()) or 1)
        return result, wall

    def scores(self) -> Row:
        """Return the true MSE (summed over outputs, Eq. 2) on the training samples and the accuracy on each set."""
        row: Row = {}
        with self._timed("evaluate_s"):
            for name, samples in self.sets.items():
                outputs = self.network.predict(samples.inputs)
                if name == "train":
                    row["train_loss"] = float(((outputs - self._outputs).astype(np.float64) ** 2).sum(axis=1).mean())
                row[f"{name}_accuracy"] = float((outputs.argmax(axis=1) == samples.labels).mean())
        return row

    def _metrics(self, epoch: int, solves: list[Row]) -> Row:
        energy, start, bound = (sum(s[name] for s in solves) for name in ("energy", "start_energy", "lower_bound"))
        betas = [s["beta_last"] for s in solves if "beta_last" in s]
        return {
            "epoch": epoch + 1,
            **self.scores(),
            "L": float(np.mean([s["L"] for s in solves])),
            "beta": float(np.mean(betas)) if betas else None,
            "energy": energy,
            "lower_bound": bound,
            "gap": relative_gap(energy, start, bound),
            **self._stage_seconds(),
        }

    def _stage_seconds(self) -> Row:
        row: Row = {**self._seconds, "total_s": sum(self._seconds.values())}
        self._seconds = dict.fromkeys(STAGES, 0.0)
        return row

    @contextmanager
    def _timed(self, stage: str) -> Iterator[None]:
        started = time.perf_counter()
        try:
            yield
        finally:
            self._seconds[stage] += time.perf_counter() - started


def _solve_row(epoch: int, k: int, problem: LayerProblem, result: SolveResult, wall: float) -> Row:
    energy, start, bound = result.energies[:, 0], result.start_energies, result.lower_bounds
    return {
        "epoch": epoch + 1,
        "layer": k,
        "units": problem.num_units,
        "spins": problem.num_spins,
        "L": problem.half_range,
        "bits": problem.bits,
        "start_energy": float(start.sum()),
        "energy": float(energy.sum()),
        "lower_bound": float(bound.sum()),
        "gap": result.gap,
        "solve_s": wall,
        **result.stats,
    }
