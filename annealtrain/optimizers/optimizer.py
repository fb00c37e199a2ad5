"""How one batch of samples changes a network's weights: the contract behind which every optimizer stands.

Three choices make a run. The *optimizer* turns a batch into Hamiltonians, one for each unit of a layer, in the change
of that unit's weights. The *solver* finds low energies of them. The *range* L says how far each weight may go in one
step, S0 - L to S0 + L in 2^bits levels: a schedule lets it fall over the run. An optimizer is constructed with its
solver, range and bits; backpropagation, which anneals nothing, with none of them.
"""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from annealtrain.errors import InputError
from annealtrain.hamiltonian.layer_problem import LayerProblem
from annealtrain.hamiltonian.penalty import NO_PENALTY, Penalty
from annealtrain.nn import footprint
from annealtrain.nn.losses import SQUARED_ERROR, Loss
from annealtrain.nn.model import Model
from annealtrain.optimizers.weight_grid import WeightGrid
from annealtrain.runtime.array_types import Array, Row
from annealtrain.runtime.random_streams import Stream, stream
from annealtrain.runtime.stage_timer import StageTimer
from annealtrain.schedule import Schedule
from annealtrain.solvers.solver import Solver

# progress(layer, share): so much of the layer's units are solved, 0 to 1.
Progress = Callable[[int, float], None]


@dataclass(frozen=True, eq=False)
class Batch:
    """inputs: (Q, ...) as Network.preprocess gives them. outputs: (Q, classes), amplitude x one-hot, float32."""

    inputs: Array
    outputs: Array


@dataclass(frozen=True)
class Step:
    """Step `number` of `total` in a run, in `epoch` of `epochs`; all counted from 0."""

    epoch: int
    epochs: int
    number: int
    total: int


class Optimizer:
    """Changes a network's weights by one batch at a time: `start` once, then `step` for batch after batch.

    solver, half_range, bits: who finds low energies, the schedule of the range L, and bits of a step; None where
    nothing is annealed. amplitude: the true loss is measured against outputs of amplitude x one-hot.
    solves_for_changes: whether the weights of its Hamiltonians are changes of the layer's, not the layer's own.
    objective: the true loss of a run. penalty: on the weights, which its Hamiltonians have beside the loss.
    shares_batches: whether several processes can train together, each on its share of a batch.
    step_setting: what a user lowers to make its steps smaller.
    """

    solver: Solver | None = None
    half_range: Schedule | None = None
    bits: int | None = None
    amplitude: float = 1.0
    objective: Loss = SQUARED_ERROR
    penalty: Penalty = NO_PENALTY
    solves_for_changes: bool = False
    shares_batches: bool = False
    step_setting: str = "the range L (half_range.first and last, or the schedule's own values)"

    def on_grid(self, grid: WeightGrid) -> "Optimizer":
        """Return the optimizer that trains in this one's place where the weights stay on a grid; InputError if none."""
        raise InputError(
            "grid=fixed keeps the weights on a grid, which this optimizer cannot: take optimizer=gauss_newton or "
            "kronecker, or backprop, whose gradients go straight through"
        )

    def check(self, network: Model) -> None:
        """Raise InputError if this optimizer, its range or its solver cannot serve the network."""
        self.penalty.check_layers(len(network.trainable))
        if self.half_range is not None:
            self.half_range.check_layers(len(network.trainable))
        if self.solver is not None and self.bits is not None:
            self.solver.check(bits=self.bits, weights=[layer.weight_shape[1] for layer in network.trainable])

    def prepare(self, network: Model, steps: int) -> None:
        """Tell the solver how many units of each layer it gets at once, and how often in a run of so many steps."""
        shapes = [layer.weight_shape for layer in network.trainable]
        for one, count in self.asking(steps):
            if one.solver is None or one.bits is None:
                continue
            one.solver.prepare(
                bits=one.bits,
                weights=[N for _, N in shapes],
                units=[one.units_a_solve(M) for M, _ in shapes],
                solves=[count * -(-M // one.units_a_solve(M)) for M, _ in shapes],
            )

    def asking(self, steps: int) -> "list[tuple[Optimizer, int]]":
        """Return which optimizers ask the solver in a run of so many steps, and each one in how many: 1 at least."""
        return [(self, steps)]

    def units_a_solve(self, units: int) -> int:
        """Return how many of a layer's units the solver is given together; the next wait for what they find."""
        return units

    def start(self, network: Model, *, seed: int, timer: StageTimer) -> None:
        """Take what to train; nothing is computed yet. All random numbers come from `seed`."""
        self.network, self.seed, self.timer = network, seed, timer

    def step(self, batch: Batch, step: Step, progress: Progress) -> list[Row]:
        """Change the network's weights by one batch; return a row of solves.csv for each layer solved."""
        raise NotImplementedError

    def step_bytes(self, network: Model, samples: int, threads: int) -> int:
        """Return an estimate of what a step on so many samples holds at once, beside their inputs.

        This one is of all activations there and back; an optimizer that holds more says so.
        """
        return 4 * samples * footprint.activations(network) + footprint.pass_bytes(network, samples, threads)

    def scheduled(self) -> list[str]:
        """Return, in words, which of its settings follow a run's length: they are others in a run of more epochs."""
        found = ["the range L"] if self.half_range is not None and self.half_range.is_stretched else []
        held = vars(self.solver).items() if self.solver is not None else ()
        return found + [f"solver.{name}" for name, value in held if isinstance(value, Schedule) and value.is_stretched]

    def next_problem(self, k: int, batch: Batch, step: Step) -> LayerProblem:
        """Return the Hamiltonians that `step` would solve in layer k at the present weights; InputError if none."""
        raise InputError("this optimizer solves no Hamiltonians: take one that anneals, such as optimizer=gauss_newton")

    def state(self) -> dict[str, Array]:
        """Return what the next step needs beside the weights, as arrays by name."""
        return {}

    def restore(self, state: dict[str, Array]) -> None:
        """Take back what `state` returned."""

    def solve_seed(self, layer: int, step: Step) -> np.random.SeedSequence:
        """Return the seed of a layer's solve in a step."""
        return stream(self.seed, Stream.SOLVE, layer, step.number)
