"""Averaged weights: what is scored and kept where single steps are noisy."""

from collections.abc import Iterator
from contextlib import contextmanager

import numpy as np

from annealtrain.nn.network import Network
from annealtrain.optimizers.moving_average import MovingAverage
from annealtrain.runtime.array_types import Array


class WeightAveraging:
    """An exponential average of a network's weights over the steps of a run, without bias towards the first."""

    def __init__(self, network: Network, decay: float) -> None:
        self._layers = network.trainable
        self._average = MovingAverage([np.zeros_like(layer.weights) for layer in self._layers], decay)
        self._weight = 0.0  # as MovingAverage.weight, step by step: rounded otherwise, runs would not repeat

    def add(self) -> None:
        """Take the present weights into the average."""
        decay = self._average.decay
        self._weight = decay * self._weight + 1 - decay
        self._average.add([layer.weights for layer in self._layers])

    @contextmanager
    def in_place(self) -> Iterator[None]:
        """Let the network have the averages for a while."""
        present = [layer.weights for layer in self._layers]
        if self._weight:
            for total, layer in zip(self._average.sums, self._layers, strict=True):
                layer.weights = total / self._weight
        try:
            yield
        finally:
            for weights, layer in zip(present, self._layers, strict=True):
                layer.weights = weights

    def state(self) -> dict[str, Array]:
        present = {f"present_{k}": layer.weights for k, layer in enumerate(self._layers)}
        return {"average_weight": np.array(self._weight), **self._average.state("average"), **present}

    def restore(self, state: dict[str, Array]) -> None:
        self._weight = float(state["average_weight"])
        self._average.restore("average", state)
        for k, layer in enumerate(self._layers):
            layer.weights = state[f"present_{k}"]
