"""How one batch of samples changes a network's weights: the contract behind which every way of training stands."""

from dataclasses import dataclass

import numpy as np

from annealtrain.errors import InputError
from annealtrain.hamiltonian.layer_problem import LayerProblem
from annealtrain.nn.network import Network
from annealtrain.runtime.array_types import Array, Row
from annealtrain.runtime.stage_timer import StageTimer
from annealtrain.schedule import Schedule
from annealtrain.solvers.solver import Solver
from annealtrain.training.callback import Observer

SOLVE_STREAM = 2  # SeedSequence child of a run's seed: (SOLVE_STREAM, layer, step)


@dataclass(frozen=True, eq=False)
class Batch:
    """inputs: (Q, ...) as Network.stem gives them. outputs: (Q, classes), amplitude x one-hot, float32."""

    inputs: Array
    outputs: Array


@dataclass(frozen=True)
class Step:
    """Step `number` of `total` in a run, in `epoch` of `epochs`; all counted from 0."""

    epoch: int
    epochs: int
    number: int
    total: int


@dataclass(frozen=True, eq=False)
class Task:
    """What a run trains, with which solver, bits and schedule of the range L; what `Update.start` is given."""

    network: Network
    solver: Solver
    half_range: Schedule
    bits: int
    seed: int
    clock: StageTimer

    def solve_seed(self, layer: int, step: Step) -> np.random.SeedSequence:
        return np.random.SeedSequence(self.seed, spawn_key=(SOLVE_STREAM, layer, step.number))


class Optimizer:
    """Changes the weights by one batch at a time: `start` once, then `step` for batch after batch.

    amplitude: the output targets that the true loss is measured against are amplitude x one-hot.
    is_unit_by_unit: whether each unit is a problem of its own to the solver, not all units of a layer one.
    """

    amplitude: float = 1.0
    is_unit_by_unit: bool = False

    def check(self, network: Network) -> None:
        """Raise InputError if this way of training cannot serve the network."""

    def start(self, task: Task) -> None:
        """Take what to train; nothing is computed yet."""
        self.task = task

    def step(self, batch: Batch, step: Step, observer: Observer) -> list[Row]:
        """Change the network's weights by one batch; return a row for each layer solved."""
        raise NotImplementedError

    def next_problem(self, k: int, batch: Batch, step: Step) -> LayerProblem:
        """Return the Hamiltonians that `step` would solve in layer k at the present weights; InputError if none."""
        raise InputError("this way of training solves no Hamiltonians: take a solver that anneals, such as solver=sa")

    def state(self) -> dict[str, Array]:
        """Return what the next step needs beside the weights, as arrays by name."""
        return {}

    def restore(self, state: dict[str, Array]) -> None:
        """Take back what `state` returned."""
