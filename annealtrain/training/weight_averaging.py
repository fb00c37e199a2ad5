"""Averaged weights: what is scored and kept where single steps are noisy."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np

from annealtrain.optimizers.moving_average import MovingAverage
from annealtrain.runtime.array_types import Array

PRESENT = "present."  # before the names of what a torch module holds now, in a checkpoint


class WeightAveraging:
    """An exponential average of a network's weights over the steps of a run, without bias towards the first.

    Of a torch module all weights that move are averaged. calibrate: fits its running statistics to the averages.
    """

    def __init__(self, network: Any, decay: float, calibrate: Callable[[], None]) -> None:
        self._network, self._calibrate = network, calibrate
        self._layers = network.trainable
        self._average = MovingAverage([np.zeros_like(array) for array in self._values()], decay)
        self._weight = 0.0  # as MovingAverage.weight, step by step: rounded otherwise, runs would not repeat
        self._fitted: dict[str, Array] | None = None  # what the module holds with the averages, until the next step

    def _values(self) -> list[Array]:
        return [*(layer.weights for layer in self._layers), *self._network.moving().values()]

    def add(self) -> None:
        """Take the present weights into the average."""
        decay = self._average.decay
        self._weight = decay * self._weight + 1 - decay
        self._average.add(self._values())
        self._fitted = None

    @contextmanager
    def in_place(self) -> Iterator[None]:
        """Let the network have the averages for a while, and statistics that fit them."""
        present, others = [layer.weights for layer in self._layers], self._network.others()
        if self._weight:
            self._put()
        try:
            yield
        finally:
            self._network.take_others(others)
            for weights, layer in zip(present, self._layers, strict=True):
                layer.weights = weights

    def _put(self) -> None:
        count = len(self._layers)
        means = [total / self._weight for total in self._average.sums]
        if self._fitted is None:
            self._network.set_moving(dict(zip(self._network.moving(), means[count:], strict=True)))
            for mean, layer in zip(means, self._layers, strict=False):
                layer.weights = mean
            self._calibrate()
            self._fitted = self._network.others()
            return
        self._network.take_others(self._fitted)
        for mean, layer in zip(means, self._layers, strict=False):
            layer.weights = mean

    def state(self) -> dict[str, Array]:
        present = {f"present_{k}": layer.weights for k, layer in enumerate(self._layers)}
        present |= {f"{PRESENT}{name}": array for name, array in self._network.others().items()}
        return {"average_weight": np.array(self._weight), **self._average.state("average"), **present}

    def restore(self, state: dict[str, Array]) -> None:
        self._weight = float(state["average_weight"])
        self._average.restore("average", state)
        self._fitted = None
        others = {name.removeprefix(PRESENT): array for name, array in state.items() if name.startswith(PRESENT)}
        self._network.take_others(others)
        for k, layer in enumerate(self._layers):
            layer.weights = state[f"present_{k}"]
