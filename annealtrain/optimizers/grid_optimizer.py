"""What optimizers that keep weights on a grid share: an optimizer of the float weights, the shadow, behind them."""

from math import prod
from typing import Generic, TypeVar

from annealtrain.errors import InputError
from annealtrain.nn.model import Model
from annealtrain.optimizers.optimizer import Optimizer
from annealtrain.optimizers.weight_grid import HELD_BYTES, OF_SHADOW, GridWeights, WeightGrid
from annealtrain.runtime.array_types import Array
from annealtrain.runtime.stage_timer import StageTimer
from annealtrain.solvers.solver import Solver

SHADOW = 0.3  # of the steps
MANY = 1_000_000  # of which any share is some
Float = TypeVar("Float", bound=Optimizer)


class GridOptimizer(Optimizer, Generic[Float]):
    """Keeps every weight on a grid.

    float_optimizer: trains the shadow; its solver is the grid's too. The other settings are as in `WeightGrid`.
    """

    solver: Solver

    def __init__(self, float_optimizer: Float, grid: WeightGrid) -> None:
        assert float_optimizer.solver is not None
        self.float_optimizer, self.grid, self.solver = float_optimizer, grid, float_optimizer.solver
        self.half_range, self.bits, self.objective = float_optimizer.half_range, grid.bits, float_optimizer.objective
        self.share = SHADOW if grid.shadow is None else grid.shadow

    def start(self, network: Model, *, seed: int, timer: StageTimer) -> None:
        super().start(network, seed=seed, timer=timer)
        self.float_optimizer.start(network, seed=seed, timer=timer)
        self.held = GridWeights(network.trainable, self.grid, share=self.share)

    def check(self, network: Model) -> None:
        super().check(network)
        bits = self.float_optimizer.bits
        if bits is None or all(one is self for one, _ in self.asking(MANY)):
            return
        try:
            self.solver.check(bits=bits, weights=[layer.weight_shape[1] for layer in network.trainable])
        except InputError as error:
            raise type(error)(
                f"{error}; grid=fixed moves float weights behind its own by steps of {bits} bits, whatever bits= is: "
                "optimizer=gauss_newton fixed_grid.shadow=0 has none of them"
            ) from None

    def step_bytes(self, network: Model, samples: int, threads: int) -> int:
        held = HELD_BYTES * sum(prod(layer.weight_shape) for layer in network.trainable)
        return held + self.float_optimizer.step_bytes(network, samples, threads)

    def scheduled(self) -> list[str]:
        return [*self.float_optimizer.scheduled(), *([OF_SHADOW] if self.share else [])]

    def state(self) -> dict[str, Array]:
        return self.float_optimizer.state() | self.held.state()

    def restore(self, state: dict[str, Array]) -> None:
        self.float_optimizer.restore(state)
        self.held.restore(state)
